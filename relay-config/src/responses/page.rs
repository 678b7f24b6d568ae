//! Writes `docs/reference/responses.md`: every built-in rule in the order in which it is tried.

use std::fmt::Write as _;

use super::builtin::{Origin, builtin};
use super::rule::Rule;
use super::words::{ActionWord, Blame, Category, Phase};

/// The reference of rules and words, as Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# What replies mean\n\n\
         This page is generated: `make docs` writes it from `relay-config/data/responses.toml`.\n\n\
         When a server does not take a message, its reply is put on one line (code, enhanced code, \
         text), addresses of machines but 127.0.0.0/8 become `<IP>` and mail addresses `<ADDR>`, and \
         rules are tried in order without regard to case. The first that matches holds. \
         `[[response]]` tables of the configuration are tried before those below. What no rule \
         knows falls to its enhanced code (RFC 3463), named `enhanced:X.Y.Z`, then to its class, \
         named `class:4` or `class:5`: unknown 4xx is tried again, unknown 5xx ends the message, \
         and nobody is suppressed. A 4xx never suppresses at once. What is said before RCPT says nothing about \
         the recipient: rules that blame only the recipient are passed over, and a 5xx before MAIL \
         ends no message. A 5xx that blames the source leaves the message in the queue.\n\n\
         `tambo classify \"550 5.7.1 …\"` shows which rule a reply falls under and what follows.\n\n\
         Events tell category and rule, and the relay does what the rule says. Who is suppressed stands on a list \
         (`tambo suppression`, `[suppression]`): it gets no more mail, and each message that is not sent is told as an event.\n",
    );
    text.push_str("\n## Rules\n\n| rule | the reply says | category | blames | does |\n| --- | --- | --- | --- | --- |\n");
    for rule in &builtin().rules {
        row(&mut text, rule);
    }
    words(&mut text, "Categories", Category::WORDS, Category::meaning);
    words(&mut text, "What is blamed", Blame::WORDS, Blame::meaning);
    words(&mut text, "Actions", ActionWord::WORDS, ActionWord::meaning);
    words(&mut text, "Phases", Phase::WORDS, Phase::meaning);
    text.push_str("\n## Where the rules are known from\n\n");
    for Origin { key, title, date } in &builtin().origins {
        let date = date.as_ref().map_or_else(String::new, |date| format!(", {date}"));
        let _ = writeln!(text, "- `{key}`: {title}{date}.");
    }
    text
}

fn row(text: &mut String, rule: &Rule) {
    let about = rule.about.as_deref().unwrap_or("");
    let pattern = rule.pattern.replace('|', "\\|");
    let scope: Vec<&str> = rule.scope.iter().map(|blame| blame.word()).collect();
    let sentences = |actions: &[super::Action]| {
        actions.iter().map(|action| action.sentence(&rule.scope)).collect::<Vec<_>>().join("; ")
    };
    let mut does = vec![sentences(&rule.actions)];
    for variant in &rule.variants {
        let pattern = variant.pattern.replace('|', "\\|");
        does.push(format!("where `{pattern}` matches, instead: {}", sentences(&variant.actions)));
    }
    does.extend(rule.fix.iter().map(|fix| format!("to mend: {fix}")));
    does.extend(rule.alert.iter().map(|alert| format!("told: {alert}")));
    does.extend(rule.help.iter().map(|help| format!("<{help}>")));
    if !rule.phases.is_empty() {
        let phases: Vec<&str> = rule.phases.iter().map(|phase| phase.word()).collect();
        does.push(format!("only in {}", phases.join(", ")));
    }
    let _ = writeln!(
        text,
        "| `{}` | {about}<br>`{pattern}`<br>{} | {} | {} | {} |",
        rule.id,
        rule.origin.join(", "),
        rule.category,
        scope.join(", "),
        does.join(".<br>"),
    );
}

fn words<T: Copy>(
    text: &mut String,
    title: &str,
    words: &[(&str, T)],
    meaning: impl Fn(T) -> &'static str,
) {
    let _ = write!(text, "\n## {title}\n\n| word | meaning |\n| --- | --- |\n");
    for (word, value) in words {
        let _ = writeln!(text, "| `{word}` | {} |", meaning(*value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_current() {
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../docs/reference/responses.md";
        if std::env::var_os("TAMBO_WRITE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page(), "docs/reference/responses.md is not current: run `make docs`");
    }
}
