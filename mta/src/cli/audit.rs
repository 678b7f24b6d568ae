//! `tambo audit`: list and verify the book of what was changed.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::access::AuditEntry;
use crate::access::audit::{FILE, verify};

use super::client::first_rows;
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
    let (entries, more): (Vec<AuditEntry>, _) = first_rows(config, "/api/v1/audit", limit)?;
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
    if more {
        print_line(&format!("There are more: these are the newest {limit} (--limit)."));
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
