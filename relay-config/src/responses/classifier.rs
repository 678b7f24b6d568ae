//! Finds the rule that a reply falls under and says what follows from it.
//!
//! All patterns are one automaton: a reply is read once, however many rules there are.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use regex::{Regex, RegexSet, RegexSetBuilder};

use super::builtin::builtin;
use super::enhanced::{by_class, by_enhanced};
use super::normalise::normalise;
use super::rule::{Rule, compile, plain_word_ends};
use super::words::{Action, Blame, Category, Phase, span};

/// Memory of the compiled rules, in octets: the built-in ones take about 1 MiB.
const RULES_MEMORY_MAX: usize = 64 << 20;
/// Memory of what the automaton remembers of replies that it has seen, for each thread.
const AUTOMATON_MEMORY_MAX: usize = 16 << 20;

/// What a server said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// 400 to 599.
    pub code: u16,
    /// Class, subject and detail (RFC 3463), where the text began with one of the same class.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The rest, its lines joined by any white space; the caller bounds it.
    pub text: &'a str,
    /// When it was said; `None`: not known, as in a notice that came back.
    pub phase: Option<Phase>,
    /// Provider that said it, where it is one that is known.
    pub provider: Option<&'a str>,
}

/// What a reply means and what follows from it.
///
/// A reply after RCPT is about the whole transaction: who acts upon [`Action::Suppress`] must see
/// that there was one recipient in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The rule's id; `enhanced:X.Y.Z` or `class:N` where none knows it.
    pub rule: Arc<str>,
    /// What it is about.
    pub category: Category,
    /// What it blames; not empty.
    pub scope: Arc<[Blame]>,
    /// What becomes of this mail.
    pub mail: Mail,
    /// What else is done, in this order. What ends mail is left out where the
    /// reply can't justify it.
    pub actions: Arc<[Action]>,
    /// The rule with its explanations; `None` where none knows it.
    pub by: Option<Arc<Rule>>,
}

/// What becomes of the mail that was answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mail {
    /// It is tried again; not before this time, or as the schedule says.
    Retry(Option<Duration>),
    /// It goes on at once where there was progress: the server takes so much at a time, and no more.
    AtOnce,
    /// It stays queued, also where the reply was permanent: the recipient was not judged. It goes
    /// on once what is blamed is free again, or from another source.
    Wait,
    /// It ends.
    Fail,
}

/// The rules in their order: those of the operator, then the built-in ones.
pub struct Classifier {
    set: RegexSet,
    rules: Vec<Compiled>,
    /// How many of them are the operator's.
    own: usize,
}

struct Compiled {
    rule: Arc<Rule>,
    variants: Vec<(Regex, Arc<[Action]>)>,
}

static BUILTIN_ONLY: LazyLock<Arc<Classifier>> = LazyLock::new(|| {
    Arc::new(Classifier::compile(Vec::new()).expect("built-in rules compile: a test reads them"))
});

impl Classifier {
    /// The operator's rules before the built-in ones. The patterns were each compiled when they
    /// were read; together they can still be too large.
    pub fn new(own: Vec<Arc<Rule>>) -> Result<Arc<Self>, regex::Error> {
        if own.is_empty() {
            return Ok(Self::builtin());
        }
        Self::compile(own).map(Arc::new)
    }

    /// The built-in rules alone; compiled once.
    pub fn builtin() -> Arc<Self> {
        Arc::clone(&BUILTIN_ONLY)
    }

    fn compile(own: Vec<Arc<Rule>>) -> Result<Self, regex::Error> {
        let count = own.len();
        let rules: Vec<Arc<Rule>> =
            own.into_iter().chain(builtin().rules.iter().cloned()).collect();
        let set = RegexSetBuilder::new(rules.iter().map(|rule| plain_word_ends(&rule.pattern)))
            .case_insensitive(true)
            .size_limit(RULES_MEMORY_MAX)
            .dfa_size_limit(AUTOMATON_MEMORY_MAX)
            .build()?;
        let compiled = rules.into_iter().map(|rule| {
            let variants = rule
                .variants
                .iter()
                .map(|variant| Ok((compile(&variant.pattern)?, Arc::clone(&variant.actions))));
            Ok(Compiled { variants: variants.collect::<Result<_, regex::Error>>()?, rule })
        });
        Ok(Self { set, rules: compiled.collect::<Result<_, regex::Error>>()?, own: count })
    }

    /// Every rule, in the order in which they are tried.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    /// How many of them are the operator's: the first ones.
    pub fn own(&self) -> usize {
        self.own
    }

    /// What a reply means.
    pub fn classify(&self, said: &Said<'_>) -> Verdict {
        let line = said.normalised();
        let matches = self.set.matches(&line);
        let found = matches
            .iter()
            .filter_map(|place| self.rules.get(place))
            .find(|compiled| compiled.rule.applies(said));
        found.map_or_else(|| unknown(said), |compiled| compiled.verdict(said, &line))
    }
}

/// What a reply of our own making means (nobody said it): by its code alone.
pub fn unknown(said: &Said<'_>) -> Verdict {
    let by_code = said.enhanced.and_then(|(class, subject, detail)| {
        // Before RCPT nobody has been named: what such a code says of a recipient means nothing.
        let known = by_enhanced(class, subject, detail);
        let (category, blame) =
            known.filter(|(_, blame)| !(blame.is_recipient() && said.is_before_rcpt()))?;
        Some((format!("enhanced:{class}.{subject}.{detail}"), category, blame))
    });
    let (rule, category, blame) = by_code.unwrap_or_else(|| {
        let (category, blame) = by_class(said.is_permanent());
        (format!("class:{}", said.code / 100), category, blame)
    });
    Verdict {
        rule: rule.into(),
        category,
        scope: Arc::new([blame]),
        mail: mail(said, &[blame], &[]),
        actions: Arc::new([]),
        by: None,
    }
}

impl Said<'_> {
    /// On one line, as patterns see it.
    pub fn normalised(&self) -> String {
        normalise(self.code, self.enhanced, self.text)
    }

    fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    fn is_before_rcpt(&self) -> bool {
        self.phase.is_some_and(|phase| phase < Phase::Rcpt)
    }
}

impl Rule {
    /// Whether such a reply can be meant: an error before RCPT says nothing about the recipient.
    fn applies(&self, said: &Said<'_>) -> bool {
        let fits_phase =
            said.phase.is_none_or(|phase| self.phases.is_empty() || self.phases.contains(&phase));
        let fits_provider = self.providers.is_empty()
            || said.provider.is_some_and(|name| self.providers.iter().any(|known| known == name));
        let only_recipient = self.scope.iter().all(|blame| blame.is_recipient());
        fits_phase && fits_provider && !(only_recipient && said.is_before_rcpt())
    }
}

impl Compiled {
    fn verdict(&self, said: &Said<'_>, line: &str) -> Verdict {
        let rule = &self.rule;
        let variant = self.variants.iter().find(|(pattern, _)| pattern.is_match(line));
        let mut actions = Arc::clone(variant.map_or(&rule.actions, |(_, actions)| actions));
        let unjustified = |action: &Action| match action {
            // What may be taken tomorrow is no reason to give somebody up today.
            Action::Suppress { .. } => !said.is_permanent() || said.is_before_rcpt(),
            Action::Fail { transient } => !said.is_permanent() && !transient,
            Action::SoftSuppress => said.is_before_rcpt(),
            _ => false,
        };
        if actions.iter().any(unjustified) {
            actions = actions.iter().filter(|action| !unjustified(action)).copied().collect();
        }
        Verdict {
            rule: Arc::clone(&rule.id),
            category: rule.category,
            scope: Arc::clone(&rule.scope),
            mail: mail(said, &rule.scope, &actions),
            actions,
            by: Some(Arc::clone(rule)),
        }
    }
}

/// What becomes of the mail. A permanent reply that blames where it came from has not judged the
/// recipient: the mail stays for another source, or for the day when the cause is mended.
fn mail(said: &Said<'_>, scope: &[Blame], actions: &[Action]) -> Mail {
    let retry = actions.iter().find_map(|action| match action {
        Action::Retry { after } => Some(Mail::Retry(*after)),
        Action::Split | Action::Reconnect => Some(Mail::AtOnce),
        _ => None,
    });
    let ends = |action: &Action| matches!(action, Action::Fail { .. });
    let stops = |action: &Action| {
        matches!(action, Action::Suspend { .. } | Action::HaltDomain { domains: 1, .. })
    };
    let stopped = actions.iter().any(stops);
    if !said.is_permanent() && !actions.iter().any(ends) {
        return retry.unwrap_or(if stopped { Mail::Wait } else { Mail::Retry(None) });
    }
    // No mail was offered yet, so none was refused.
    if said.phase.is_some_and(|phase| phase < Phase::Mail) {
        return retry.unwrap_or(Mail::Wait);
    }
    if actions.iter().any(|action| ends(action) || action.suppresses()) {
        return Mail::Fail;
    }
    let source = scope.iter().any(|blame| matches!(blame, Blame::Source | Blame::Netblock));
    match retry {
        Some(retry) => retry,
        None if source || stopped => Mail::Wait,
        None => Mail::Fail,
    }
}

impl Mail {
    /// `retry`, `at-once`, `wait` or `fail`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::AtOnce => "at-once",
            Self::Wait => "wait",
            Self::Fail => "fail",
        }
    }

    /// A sentence for people.
    pub fn sentence(self) -> String {
        match self {
            Self::Retry(None) => "the message is tried again on schedule".to_owned(),
            Self::Retry(Some(after)) => {
                format!("the message is tried again after {}, not before", span(after))
            }
            Self::AtOnce => {
                "the message goes on at once where the server took something before, or else on schedule".to_owned()
            }
            Self::Wait => "the message stays queued: the recipient was not judged".to_owned(),
            Self::Fail => "the message ends for this recipient and is reported".to_owned(),
        }
    }
}

impl Verdict {
    /// What the relay does, in sentences; the first is about the mail.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.mail.sentence()];
        let said = |action: &&Action| !matches!(action, Action::Retry { .. } | Action::Fail { .. });
        sentences.extend(self.actions.iter().filter(said).map(|a| a.sentence(&self.scope)));
        sentences
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Classifier({} rules, {} own)", self.rules.len(), self.own)
    }
}

/// The built-in rules are always the same: the operator's decide.
impl PartialEq for Classifier {
    fn eq(&self, other: &Self) -> bool {
        self.rules().take(self.own).eq(other.rules().take(other.own)) && self.own == other.own
    }
}
