//! `tambo webhooks`: how they are, and sending again.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::admin::{ReplayOrder, Replayed, WebhookRow};

use super::client::{call, escaped, rows};
use super::{print_json, print_line, print_table};

/// What to do with webhooks.
#[derive(Debug, Args)]
pub(super) struct WebhooksArguments {
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
enum WebhooksCommand {
    /// List them: how far each is behind, and what its server last said.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send again what happened after an event or since a time.
    Replay(Replay),
}

#[derive(Debug, Args)]
struct Replay {
    /// Its name.
    name: String,
    /// Id of an event: those after it are sent again.
    #[arg(long, required_unless_present = "since", conflicts_with = "since")]
    from: Option<String>,
    /// Those since then: 2026-11-24T13:05:00Z, 2026-11-24, or 2h for two hours ago.
    #[arg(long)]
    since: Option<String>,
    /// Why, for those who ask later.
    #[arg(long, default_value = "by the administrator")]
    why: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn webhooks(config: &Path, arguments: &WebhooksArguments) -> Result<(), String> {
    match &arguments.command {
        WebhooksCommand::List { json } => list(config, *json),
        WebhooksCommand::Replay(replay) => start_again(config, replay),
    }
}

fn list(config: &Path, json: bool) -> Result<(), String> {
    let rows: Vec<WebhookRow> = rows(config, "/api/v1/webhooks")?;
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("There are no webhooks: [[webhook]] in the configuration makes one.");
        return Ok(());
    }
    let cells = |row: &WebhookRow| {
        vec![
            row.name.clone(),
            row.state.clone(),
            format!("{} s", row.behind_seconds),
            row.taken.to_string(),
            row.passed_over.to_string(),
            row.next_attempt.clone().unwrap_or_else(|| "-".to_owned()),
            row.last_error.clone().unwrap_or_default(),
        ]
    };
    let headings = ["NAME", "STATE", "BEHIND", "TAKEN", "PASSED OVER", "NEXT", "LAST ERROR"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}

fn start_again(config: &Path, replay: &Replay) -> Result<(), String> {
    let order = ReplayOrder {
        from: replay.from.clone(),
        since: replay.since.clone(),
        why: replay.why.clone(),
    };
    let target = format!("/api/v1/webhooks/{}/replay", escaped(&replay.name));
    let done: Replayed = call(config, &target, Some(&order))?;
    if replay.json {
        return print_json(&done);
    }
    print_line(&format!("{} sends again what happened after {}", done.webhook, done.place));
    Ok(())
}
