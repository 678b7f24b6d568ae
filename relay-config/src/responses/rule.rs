//! One `[[response]]`: how it is read, and what in it can contradict itself.

use std::sync::Arc;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use toml::de::DeValue;

use crate::fields::{Fields, Value};
use crate::parse::{boolean, count_from, duration, list, name, one_of, string, text};
use crate::problem::Mistake;

use super::words::{Action, ActionWord, Blame, Category, Move, Percent, Phase};

/// Longest pattern, in octets: longer than any built-in one by a factor of five.
const PATTERN_OCTETS_MAX: usize = 1000;
/// Memory that one compiled pattern may take, in octets; nested repetitions are refused by it.
const PATTERN_MEMORY_MAX: usize = 1 << 20;

/// A rule: what a reply must say, what it means and what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in events.
    pub id: Arc<str>,
    /// What the normalised reply must match.
    pub pattern: Arc<str>,
    /// What such a reply is about.
    pub category: Category,
    /// What it blames; not empty.
    pub scope: Arc<[Blame]>,
    /// What is done, in this order; may be empty where `fix` or `alert` says all.
    pub actions: Arc<[Action]>,
    /// Exceptions within the rule: the first that matches replaces `actions`.
    pub variants: Vec<Variant>,
    /// Moments at which it can be said; empty: any.
    pub phases: Vec<Phase>,
    /// Providers that can have said it; empty: anyone.
    pub providers: Vec<String>,
    /// What it says, in a sentence.
    pub about: Option<String>,
    /// What an operator must mend, raised as an alarm.
    pub fix: Option<String>,
    /// What an operator is told.
    pub alert: Option<String>,
    /// A page or mailbox that helps.
    pub help: Option<String>,
    /// Keys of where the rule is known from; of built-in rules only.
    pub origin: Vec<String>,
}

/// An exception within a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What the normalised reply must match, beside the pattern of the rule.
    pub pattern: Arc<str>,
    /// What is done then.
    pub actions: Arc<[Action]>,
}

/// Compiles one pattern as it is matched: without regard to case, within bounded memory.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&plain_word_ends(pattern))
        .case_insensitive(true)
        .size_limit(PATTERN_MEMORY_MAX)
        .build()
}

/// `\b` between ASCII letters only: the automaton knows that kind, the Unicode kind sends it
/// the slow way as soon as a text holds one letter with an accent.
pub(super) fn plain_word_ends(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('b') => plain.push_str("(?-u:\\b)"),
                Some(next) => plain.extend(['\\', next]),
                None => plain.push('\\'),
            },
            (character, false) => plain.push(character),
        }
    }
    plain
}

/// Reads a `[[response]]` of the configuration.
pub(crate) fn operators(f: &mut Fields<'_>) -> Option<Rule> {
    read(f)
}

/// Reads a `[[response]]` of the built-in file, which has more keys.
pub(super) fn builtin(f: &mut Fields<'_>) -> Option<Rule> {
    let variants = f.tables("variant", "An exception within the rule.", |f| {
        let pattern = f.required("pattern", "'x'", "What the reply says then.", pattern);
        let actions = actions(f);
        Some(Variant { pattern: pattern?, actions: actions.into() })
    });
    let origin = f.or("origin", "[]", "Where it is known from.", list(string));
    let mut rule = read(f)?;
    rule.variants = variants.into_iter().map(|variant| variant.value).collect();
    rule.origin = origin;
    Some(rule)
}

fn read(f: &mut Fields<'_>) -> Option<Rule> {
    let id = f.required("id", "\"partner-quota\"", "Its name, in events and commands.", name);
    let pattern = f.required(
        "pattern",
        "'quota of the day'",
        "Regular expression (syntax of the crate `regex`), in any case, over code, enhanced code and text on one line. Addresses of machines read `<IP>` there, mail addresses `<ADDR>`.",
        pattern,
    );
    let category = f.required(
        "category",
        "\"rate-limit\"",
        "What such a reply is about: one of the words in responses.md.",
        one_of(Category::WORDS),
    );
    let scope = f.required(
        "scope",
        "\"source\"",
        "What it blames, one word or a list: `recipient`, `recipient-domain`, `source`, `netblock`, `sending-domain`, `content`, `link`, `list`, `message`, `triplet`, `connection`, `route`, `configuration`, `receiver`, `unclear`.",
        words(Blame::WORDS),
    );
    let actions = actions(f);
    let phases = f.or(
        "phases",
        "[]",
        "Moments at which it can be said: `greeting`, `hello`, `starttls`, `auth`, `mail`, `rcpt`, `data`, `final`. Empty: any.",
        list(one_of(Phase::WORDS)),
    );
    let providers =
        f.or("providers", "[]", "Providers that can have said it. Empty: anyone.", list(name));
    let about = f.optional("about", "\"Our partner counts by day.\"", "What it says.", text);
    let fix = f.optional(
        "fix",
        "\"set the PTR record\"",
        "What an operator must mend, raised as an alarm.",
        text,
    );
    let alert = f.optional("alert", "\"call the partner\"", "What an operator is told.", text);
    let help = f.optional("help", "\"https://example.pe/mail\"", "A page that helps.", text);
    let (scope, pattern) = (scope?, pattern?);
    check_measures(f, &actions);
    check_scope(f, &actions, &scope);
    Some(Rule {
        id: id?.into(),
        pattern,
        category: category?,
        scope: scope.into(),
        actions: actions.into(),
        variants: Vec::new(),
        phases,
        providers,
        about,
        fix,
        alert,
        help,
        origin: Vec::new(),
    })
}

/// What the keys beside `action` say.
struct Measures {
    lasts: Option<Duration>,
    retry_after: Option<Duration>,
    transient: bool,
    hits: u32,
    domains: u32,
    above: Option<Percent>,
}

/// What is done: the words of `action`, each with the measures that other keys give.
fn actions(f: &mut Fields<'_>) -> Vec<Action> {
    let written = f.required(
        "action",
        "\"slow\"",
        "What is done, one word or a list: `suppress`, `soft-suppress`, `fail`, `retry`, `same-source`, `other-source`, `split`, `reconnect`, `slow`, `fewer-connections`, `suspend`, `freeze-warm-up`, `step-back`, `check-listing`, `halt-domain`, `slow-ramp`, `halt-campaign`, `resolve-again`, `require-tls`.",
        words(ActionWord::WORDS),
    );
    let measures = Measures {
        lasts: f.optional(
            "for",
            "\"2h\"",
            "How long `slow`, `fewer-connections`, `suspend` or `halt-domain` lasts. The last two without it: until released.",
            duration,
        ),
        retry_after: f.optional(
            "retry_after",
            "\"1h\"",
            "When `retry` tries again, at the earliest.",
            duration,
        ),
        transient: f.or(
            "transient",
            "false",
            "Whether `fail` holds for a 4xx, too: it is tried again otherwise.",
            boolean,
        ),
        hits: f.or("hits", "1", "Such replies before `suppress` holds.", count_from(1)),
        domains: f.or(
            "domains",
            "1",
            "Recipient domains that must say so before `halt-domain` holds.",
            count_from(1),
        ),
        above: f.optional(
            "above",
            "\"1%\"",
            "Share of replies above which `halt-campaign` or `slow` holds.",
            percent,
        ),
    };
    let moves = f.optional(
        "move",
        "\"at-once\"",
        "When other warm sources take the mail of one that is suspended: `at-once`, `if-repeated`, `if-listed`, `if-another-is-heard`. Without it: never.",
        one_of(Move::WORDS),
    );
    let mut actions: Vec<Action> = Vec::new();
    for word in written.unwrap_or_default() {
        match action(word, &measures) {
            Some(action) => actions.push(action),
            None if f.is_written("for") => {}
            None => {
                let message = format!("`{word}` does not say for how long");
                f.mistake("action", Mistake::new(message, "add `for = \"1h\"`"));
            }
        }
    }
    actions.extend(moves.map(Action::Move));
    actions
}

/// `None`: it must say for how long.
fn action(word: ActionWord, measures: &Measures) -> Option<Action> {
    let Measures { lasts, retry_after, transient, hits, domains, above } = *measures;
    Some(match word {
        ActionWord::Suppress => Action::Suppress { hits },
        ActionWord::SoftSuppress => Action::SoftSuppress,
        ActionWord::Fail => Action::Fail { transient },
        ActionWord::Retry => Action::Retry { after: retry_after },
        ActionWord::SameSource => Action::SameSource,
        ActionWord::OtherSource => Action::OtherSource,
        ActionWord::Split => Action::Split,
        ActionWord::Reconnect => Action::Reconnect,
        ActionWord::Slow => Action::Slow { lasts: lasts?, above },
        ActionWord::FewerConnections => Action::FewerConnections { lasts: lasts? },
        ActionWord::Suspend => Action::Suspend { lasts },
        ActionWord::FreezeWarmUp => Action::FreezeWarmUp,
        ActionWord::StepBack => Action::StepBack,
        ActionWord::CheckListing => Action::CheckListing,
        ActionWord::HaltDomain => Action::HaltDomain { lasts, domains },
        ActionWord::SlowRamp => Action::SlowRamp,
        ActionWord::HaltCampaign => Action::HaltCampaign { above },
        ActionWord::ResolveAgain => Action::ResolveAgain,
        ActionWord::RequireTls => Action::RequireTls,
    })
}

/// A key that measures an action which is not there does nothing: its writer meant something.
fn check_measures(f: &mut Fields<'_>, actions: &[Action]) {
    let takes = |key: &str, action: &Action| match key {
        "for" => matches!(
            action,
            Action::Slow { .. }
                | Action::FewerConnections { .. }
                | Action::Suspend { .. }
                | Action::HaltDomain { .. }
        ),
        "retry_after" => matches!(action, Action::Retry { .. }),
        "transient" => matches!(action, Action::Fail { .. }),
        "hits" => matches!(action, Action::Suppress { .. }),
        "domains" => matches!(action, Action::HaltDomain { .. }),
        "above" => matches!(action, Action::Slow { .. } | Action::HaltCampaign { .. }),
        _ => matches!(action, Action::Suspend { .. }),
    };
    for (key, of) in [
        ("for", "`slow`, `fewer-connections`, `suspend` and `halt-domain`"),
        ("retry_after", "`retry`"),
        ("transient", "`fail`"),
        ("hits", "`suppress`"),
        ("domains", "`halt-domain`"),
        ("above", "`slow` and `halt-campaign`"),
        ("move", "`suspend`"),
    ] {
        let written = f.is_written(key) && f.is_written("action") && !actions.is_empty();
        if written && !actions.iter().any(|action| takes(key, action)) {
            let message = format!("`{key}` belongs to {of}, which this rule does not have");
            f.mistake(key, Mistake::new(message, "remove it, or add the action"));
        }
    }
}

/// What is done must be done to what is blamed (a reply that blames a source never counts against
/// a recipient, nor the reverse).
fn check_scope(f: &mut Fields<'_>, actions: &[Action], scope: &[Blame]) {
    let needed = |action: &Action| -> Option<(&str, &[Blame])> {
        Some(match action {
            Action::Suppress { .. } => ("suppress", &[Blame::Recipient, Blame::RecipientDomain]),
            Action::SoftSuppress => ("soft-suppress", &[Blame::Recipient, Blame::RecipientDomain]),
            Action::Slow { .. } => ("slow", &[Blame::Source, Blame::Netblock, Blame::Receiver]),
            Action::Suspend { .. } => {
                ("suspend", &[Blame::Source, Blame::Netblock, Blame::Receiver])
            }
            Action::FewerConnections { .. } => {
                ("fewer-connections", &[Blame::Source, Blame::Netblock, Blame::Receiver])
            }
            Action::HaltDomain { .. } => ("halt-domain", &[Blame::SendingDomain]),
            Action::HaltCampaign { .. } => {
                ("halt-campaign", &[Blame::Content, Blame::Link, Blame::List])
            }
            _ => return None,
        })
    };
    for (word, blames) in actions.iter().filter_map(needed) {
        if !blames.iter().any(|blame| scope.contains(blame)) {
            let names: Vec<String> = blames.iter().map(|blame| format!("\"{blame}\"")).collect();
            let mend = format!("write {} in `scope`, or another action", names.join(" or "));
            let message = format!("`{word}` does not fit what the rule blames");
            f.mistake("action", Mistake::new(message, mend));
        }
    }
}

fn pattern(value: Value<'_>) -> Result<Arc<str>, Mistake> {
    let pattern = text(value)?;
    if pattern.len() > PATTERN_OCTETS_MAX {
        let mend = format!("write at most {PATTERN_OCTETS_MAX} octets, or several rules");
        return Err(Mistake::new("the pattern is too long", mend));
    }
    match compile(&pattern) {
        Ok(regex) if regex.is_match("") => Err(Mistake::new(
            "the pattern matches every reply",
            "write words that the reply must hold",
        )),
        Ok(_) => Ok(pattern.into()),
        Err(regex::Error::CompiledTooBig(_)) => Err(Mistake::new(
            "the pattern takes too much memory",
            "write smaller repetitions, as in `.{0,20}`",
        )),
        Err(error) => {
            let told = error.to_string();
            let why = told.rsplit("error: ").next().unwrap_or(&told).trim().to_owned();
            let mend = "write a regular expression of the crate `regex`, in single quotes; \
                        a backslash before . ( ) [ ] { } * + ? | ^ $ means the character itself";
            Err(Mistake::new(format!("the pattern cannot be read: {why}"), mend))
        }
    }
}

/// One word, or a list of at least one.
fn words<T: Copy>(
    known: &'static [(&'static str, T)],
) -> impl Fn(Value<'_>) -> Result<Vec<T>, Mistake> {
    let word = one_of(known);
    move |value| match value.get_ref() {
        DeValue::Array(items) if items.is_empty() => {
            Err(Mistake::new("is empty", "write at least one word"))
        }
        DeValue::Array(items) => {
            items.iter().map(|item| word(item).map_err(|m| m.at(item.span()))).collect()
        }
        _ => Ok(vec![word(value)?]),
    }
}

/// `1%` to `50%`.
fn percent(value: Value<'_>) -> Result<Percent, Mistake> {
    let written = string(value)?;
    let number = written.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    number.filter(|number| (1..=50).contains(number)).map(Percent).ok_or_else(|| {
        Mistake::new("is no share", "write a whole number of percent from \"1%\" to \"50%\"")
    })
}
