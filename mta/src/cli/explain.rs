//! `tambo explain`: where mail to somebody would go now, and what stands in its way.

use std::path::Path;

use clap::Args;

use crate::admin::Explanation;

use super::client::{call, query};
use super::queue::words;
use super::{print_json, print_line, print_table};

/// Whom it is about.
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// An address.
    recipient: String,
    /// From this pool instead of the default one.
    #[arg(long)]
    pool: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn explain(config: &Path, arguments: &ExplainArguments) -> Result<(), String> {
    let pairs =
        [("recipient", Some(arguments.recipient.as_str())), ("pool", arguments.pool.as_deref())];
    let found: Explanation =
        call(config, &format!("/api/v1/explain{}", query(&pairs)), None::<&()>)?;
    if arguments.json {
        return print_json(&found);
    }
    print_line(&found.verdict);
    if let Some(mend) = &found.mend {
        print_line(&format!("to mend it: {mend}"));
    }
    for entry in found.suppressed.iter().filter(|entry| entry.account.is_some()) {
        let account = entry.account.as_deref().unwrap_or("");
        let (address, why) = (&entry.address, &entry.why);
        print_line(&format!("mail of the account {account} would not be sent to {address}: {why}"));
    }
    for hold in &found.holds {
        let (kind, who, why) = (words(&hold.kind), &hold.who, &hold.why);
        print_line(&format!("held   {kind}: by {who}: {why} (standing hold {})", hold.id));
    }
    if let Some(site) = &found.site {
        let route = found.route.as_deref().unwrap_or("");
        let tls = found.tls.as_deref().unwrap_or("");
        print_line(&format!("\nsite   {site} ({route}, TLS {tls}); {} wait for it", found.waiting));
    }
    for host in &found.hosts {
        let note = host.note.as_ref().map_or(String::new(), |note| format!("  {note}"));
        print_line(&format!(
            "host   {} {}  {}{note}",
            host.preference,
            host.name,
            host.addresses.join(" ")
        ));
    }
    for limit in &found.limits {
        let used = limit.used.map_or(String::new(), |used| format!(", {used} used"));
        print_line(&format!("limit  {} {}{used}", limit.name, limit.value));
    }
    for obstacle in &found.obstacles {
        print_line(&format!("waits  {obstacle}"));
    }
    if found.sources.is_empty() {
        return Ok(());
    }
    print_line(&format!("\nsources of the pool {}:", found.pool));
    let rows: Vec<Vec<String>> = found
        .sources
        .iter()
        .map(|source| {
            let next = found.source.as_ref() == Some(&source.name);
            let state = match &source.obstacle {
                Some(obstacle) => obstacle.clone(),
                None if next => "next".to_owned(),
                None => "ready".to_owned(),
            };
            vec![source.name.clone(), source.address.clone(), source.connections.to_string(), state]
        })
        .collect();
    print_table(&["NAME", "ADDRESS", "OPEN", "NOW"], &rows);
    Ok(())
}
