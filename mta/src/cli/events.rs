//! `tambo events` and `tambo messages`: what happened, found by whatever names it.

use std::path::Path;

use clap::Args;

use crate::admin::MessageRow;
use crate::message::Event;

use super::client::{first_rows, query};
use super::trace::print_events;
use super::{print_json, print_line, print_table};

/// Which events, or messages, are meant; all of it must be so.
#[derive(Debug, Clone, Args)]
pub(super) struct EventFilter {
    /// Tambo's id of a message.
    #[arg(long)]
    message: Option<String>,
    /// Content of a Message-ID header.
    #[arg(long)]
    message_id: Option<String>,
    /// Address of a recipient.
    #[arg(long)]
    recipient: Option<String>,
    /// Domain of the recipient.
    #[arg(long)]
    domain: Option<String>,
    /// MAIL FROM.
    #[arg(long)]
    sender: Option<String>,
    /// One of the tags.
    #[arg(long)]
    tag: Option<String>,
    /// Account.
    #[arg(long)]
    account: Option<String>,
    /// Listener that it came in by.
    #[arg(long)]
    listener: Option<String>,
    /// Pool.
    #[arg(long)]
    pool: Option<String>,
    /// Where the mail really goes: a provider, or the hosts of a domain.
    #[arg(long)]
    site: Option<String>,
    /// Provider.
    #[arg(long)]
    provider: Option<String>,
    /// Source that was used.
    #[arg(long)]
    source: Option<String>,
    /// What a reply was about.
    #[arg(long)]
    category: Option<String>,
    /// Rule that classified the reply.
    #[arg(long)]
    rule: Option<String>,
    /// Not before: 2026-11-24T13:05:00Z, 2026-11-24, or 2h for two hours ago.
    #[arg(long)]
    since: Option<String>,
    /// Before; written like --since.
    #[arg(long)]
    until: Option<String>,
}

impl EventFilter {
    /// As a query, with more before it.
    pub(super) fn query(&self, more: &[(&str, Option<&str>)]) -> String {
        let own = [
            ("message", &self.message),
            ("message_id", &self.message_id),
            ("recipient", &self.recipient),
            ("domain", &self.domain),
            ("sender", &self.sender),
            ("tag", &self.tag),
            ("account", &self.account),
            ("listener", &self.listener),
            ("pool", &self.pool),
            ("site", &self.site),
            ("provider", &self.provider),
            ("source", &self.source),
            ("category", &self.category),
            ("rule", &self.rule),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let own = own.map(|(name, value)| (name, value.as_deref()));
        query(&[more, &own].concat())
    }
}

/// Which events to list.
#[derive(Debug, Args)]
pub(super) struct EventsArguments {
    /// Types, with commas between them: bounced,expired.
    #[arg(long = "type")]
    kind: Option<String>,
    #[command(flatten)]
    filter: EventFilter,
    /// Events at most: the newest.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which messages to list.
#[derive(Debug, Args)]
pub(super) struct MessagesArguments {
    /// waiting, ended, or the type of the last event of a recipient, as delivered or bounced.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    filter: EventFilter,
    /// Messages at most: the newest.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn events(config: &Path, arguments: &EventsArguments) -> Result<(), String> {
    let target = arguments.filter.query(&[("type", arguments.kind.as_deref())]);
    let (mut rows, more) =
        first_rows::<Event>(config, &format!("/api/v1/events{target}"), arguments.limit)?;
    // As everywhere in a terminal, the newest stands last.
    rows.reverse();
    if arguments.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("Nothing like that has happened as far as is remembered.");
    }
    print_events(&rows);
    if more {
        eprintln!("There are more: these are the newest {} (--limit).", arguments.limit);
    }
    Ok(())
}

pub(super) fn messages(config: &Path, arguments: &MessagesArguments) -> Result<(), String> {
    let target = arguments.filter.query(&[("state", arguments.state.as_deref())]);
    let (mut rows, more) =
        first_rows::<MessageRow>(config, &format!("/api/v1/messages{target}"), arguments.limit)?;
    rows.reverse();
    if arguments.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("No such message is remembered.");
        return Ok(());
    }
    let cells = |row: &MessageRow| {
        let states = row.recipients.iter().map(|(state, count)| format!("{count} {state}"));
        vec![
            row.message.clone(),
            row.accepted.clone(),
            row.sender.clone().unwrap_or_default(),
            row.recipient.clone().unwrap_or_default(),
            states.collect::<Vec<_>>().join(", "),
            row.last_reply.as_deref().unwrap_or_default().replace('\n', " / "),
        ]
    };
    let headings = ["MESSAGE", "ACCEPTED", "FROM", "TO", "RECIPIENTS", "LAST"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    if more {
        eprintln!("There are more: these are the newest {} (--limit).", arguments.limit);
    }
    Ok(())
}
