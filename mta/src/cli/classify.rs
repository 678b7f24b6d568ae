//! `tambo classify`: what a server's reply means, and what the relay would do. Needs no relay.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use relay_config::responses::{Action, Blame, Category, Classifier, Phase, Spoken, Verdict};
use serde::Serialize;

use super::{DEFAULT_CONFIG, load, print_json, print_line};

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct ClassifyArguments {
    /// The reply, as in "550 5.7.1 …"; lines of one reply may follow each other.
    #[arg(required = true)]
    reply: Vec<String>,
    /// When it was said: greeting (banner), hello (ehlo), starttls, auth, mail, rcpt, data, final.
    #[arg(long, value_parser = phase)]
    phase: Option<Phase>,
    /// Provider that said it, as in google: some rules are for one only.
    #[arg(long)]
    provider: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    rule: &'a str,
    category: Category,
    scope: &'a [Blame],
    mail: &'static str,
    actions: Vec<String>,
    does: Vec<String>,
    about: Option<&'a str>,
    fix: Option<&'a str>,
    alert: Option<&'a str>,
    help: Option<&'a str>,
    normalised: String,
    phase: Option<Phase>,
    provider: Option<&'a str>,
}

pub(super) fn classify(config: &Path, arguments: &ClassifyArguments) -> Result<(), String> {
    let classifier = rules(config)?;
    let spoken = Spoken::parse(&arguments.reply.join(" "))?;
    let said = spoken.said(arguments.phase, arguments.provider.as_deref());
    let verdict = classifier.classify(&said);
    let by = verdict.by.as_deref();
    let answer = Answer {
        rule: &verdict.rule,
        category: verdict.category,
        scope: &verdict.scope,
        mail: verdict.mail.word(),
        actions: verdict.actions.iter().map(Action::to_string).collect(),
        does: verdict.sentences(),
        about: by.and_then(|rule| rule.about.as_deref()),
        fix: by.and_then(|rule| rule.fix.as_deref()),
        alert: by.and_then(|rule| rule.alert.as_deref()),
        help: by.and_then(|rule| rule.help.as_deref()),
        normalised: said.normalised(),
        phase: arguments.phase,
        provider: arguments.provider.as_deref(),
    };
    if arguments.json {
        return print_json(&answer);
    }
    print(&answer, &place(&classifier, &verdict));
    Ok(())
}

/// The operator's rules and the built-in ones. Without a file where one is looked for by itself,
/// the built-in ones are asked.
fn rules(config: &Path) -> Result<Arc<Classifier>, String> {
    if config == Path::new(DEFAULT_CONFIG)
        && let Err(error) = std::fs::File::open(config)
    {
        if error.kind() != std::io::ErrorKind::NotFound {
            eprintln!("{}: {error}; only the built-in rules are asked", config.display());
        }
        return Ok(Classifier::builtin());
    }
    Ok(Arc::clone(&load(config)?.responses))
}

/// Where the rule stands in their order, in words.
fn place(classifier: &Classifier, verdict: &Verdict) -> String {
    let of = classifier.rules().count();
    let place = classifier.rules().position(|rule| rule.id == verdict.rule);
    match place {
        Some(place) if place < classifier.own() => "yours".to_owned(),
        Some(place) => format!("built in, tried as number {} of {of}", place + 1),
        None => "no rule knows it".to_owned(),
    }
}

fn print(answer: &Answer<'_>, place: &str) {
    let labelled = |label: &str, text: &str| print_line(&format!("{label:<12}{text}"));
    labelled("rule", &format!("{} ({place})", answer.rule));
    if let Some(about) = answer.about {
        labelled("says", about);
    }
    labelled("category", &format!("{}: {}", answer.category, answer.category.meaning()));
    for (number, blame) in answer.scope.iter().enumerate() {
        labelled(if number == 0 { "blames" } else { "" }, &format!("{blame}: {}", blame.meaning()));
    }
    for (number, sentence) in answer.does.iter().enumerate() {
        labelled(if number == 0 { "would do" } else { "" }, sentence);
    }
    for (label, text) in [("to mend", answer.fix), ("alert", answer.alert), ("help", answer.help)] {
        if let Some(text) = text {
            labelled(label, text);
        }
    }
    labelled("read as", &answer.normalised);
}

fn phase(written: &str) -> Result<Phase, String> {
    let word = match written.to_ascii_lowercase() {
        word if word == "banner" => "greeting".to_owned(),
        word if word == "ehlo" || word == "helo" => "hello".to_owned(),
        word => word,
    };
    let known = || Phase::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let found = Phase::WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, phase)| *phase).ok_or_else(|| format!("write one of: {}", known()))
}
