//! `tambo trace`: the story of a message or of a recipient.

use std::path::Path;

use clap::Args;

use crate::message::{Event, EventKind};

use super::client::{call, query};
use super::{print_json, print_line};

/// What is asked for.
#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    /// Tambo's id, a Message-ID, a recipient's or sender's address, or tag:TAG.
    of: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn trace(config: &Path, arguments: &TraceArguments) -> Result<(), String> {
    let target = format!("/api/v1/trace{}", query(&[("of", Some(&arguments.of))]));
    let events: Vec<Event> = call(config, &target, None::<&()>)?;
    if arguments.json {
        return print_json(&events);
    }
    if events.is_empty() {
        return Err(format!("nothing is known of {}", arguments.of));
    }
    print_events(&events);
    Ok(())
}

/// One line each, for people.
pub(super) fn print_events(events: &[Event]) {
    for event in events {
        print_line(&line(event, false));
    }
}

/// An event in one line, with or without colours.
pub(super) fn line(event: &Event, colours: bool) -> String {
    let word = format!("{:<9}", event.kind.word());
    let word = if colours { format!("\x1b[{}m{word}\x1b[0m", colour(event.kind)) } else { word };
    let mut line = String::new();
    if let Some(id) = event.message {
        line.push_str(&format!("  {id}"));
    }
    for (label, value) in [("", &event.recipient), ("via ", &event.mx), ("from ", &event.source)] {
        if let Some(value) = value {
            line.push_str(&format!("  {label}{value}"));
        }
    }
    if let Some(code) = event.code {
        let enhanced = event.enhanced.as_deref().unwrap_or("");
        let reply = event.reply.as_deref().unwrap_or("");
        line.push_str(&format!("  {code} {enhanced} {reply}"));
    } else if let Some(detail) = &event.detail {
        line.push_str(&format!("  {detail}"));
    }
    if let (Some(rule), Some(category)) = (&event.rule, &event.category) {
        line.push_str(&format!("  [{category}: {rule}]"));
    }
    if let Some(next) = &event.next_attempt {
        line.push_str(&format!("  (again {next})"));
    }
    format!("{}  {word}{}", event.time, plain(&line))
}

/// On one line; nothing that a stranger wrote reaches the terminal as an order.
fn plain(line: &str) -> String {
    line.replace('\n', " / ").replace(char::is_control, " ")
}

/// Good, bad, or to be seen (ECMA-48, SGR).
fn colour(kind: EventKind) -> u8 {
    match kind {
        EventKind::Delivered => 32,
        EventKind::Bounced | EventKind::Expired | EventKind::Suppressed | EventKind::Rejected => 31,
        EventKind::Deferred | EventKind::Waiting | EventKind::Held => 33,
        EventKind::Source | EventKind::Suppression | EventKind::Relay => 36,
        EventKind::Accepted | EventKind::Released | EventKind::Rerouted => 39,
    }
}
