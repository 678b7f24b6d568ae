//! `tambo audit`: list and verify the book of what was changed.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::access::AuditEntry;
use crate::access::audit::{FILE, verify};
use crate::admin::Page;

use super::client::call;
use super::{load, print_json, print_line};

/// What to do with the audit log.
#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List what was changed, by whom and from where, newest first.
    List {
        /// Entries at most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read the book through: whether anything in it was changed, removed or put in. Needs no running relay.
    ///
    /// What the book cannot show by itself is that its end was cut off: compare the number and hash printed with the
    /// last line that says "audit" in the relay's log.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn audit(config: &Path, arguments: &AuditArguments) -> Result<(), String> {
    match &arguments.command {
        AuditCommand::List { limit, json } => list(config, *limit, *json),
        AuditCommand::Verify { json } => check(config, *json),
    }
}

fn list(config: &Path, limit: usize, json: bool) -> Result<(), String> {
    let (mut entries, mut from): (Vec<AuditEntry>, Option<String>) = (Vec::new(), None);
    while entries.len() < limit {
        let rows = (limit - entries.len()).min(1_000);
        let from_part = from.map(|from| format!("&from={from}")).unwrap_or_default();
        let page: Page<AuditEntry> =
            call(config, &format!("/api/v1/audit?limit={rows}{from_part}"), None::<&()>)?;
        entries.extend(page.rows);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    if json {
        return print_json(&entries);
    }
    if entries.is_empty() {
        print_line("Nothing was changed yet.");
    }
    for entry in &entries {
        let what = match entry.of {
            Some(of) => format!("outcome of {of}"),
            None => entry.what.clone(),
        };
        print_line(&format!(
            "{} {} {} ({}): {what}",
            entry.number, entry.time, entry.who, entry.from
        ));
        if !entry.order.is_null() {
            print_line(&format!("    {}", entry.order));
        }
    }
    Ok(())
}

fn check(config: &Path, json: bool) -> Result<(), String> {
    let path = load(config)?.server.data_dir.join(FILE);
    let report = verify(&path)?;
    if json {
        print_json(&report)?;
    } else {
        print_line(&format!("{} entries, the last with hash {}", report.entries, report.last_hash));
    }
    report.flaw.map_or(Ok(()), |flaw| {
        Err(format!(
            "{}: {flaw}. What stands before it is as it was written; compare the rest with the relay's log",
            path.display()
        ))
    })
}
