//! `tambo probe`: how a destination answers now, step by step.

use std::path::Path;

use clap::Args;

use crate::admin::{ProbeAnswer, ProbeOrder, ProbeRow};

use super::client::call;
use super::{print_json, print_line};

/// Whom to ask, and from where.
#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    /// A domain; or an address, which the server is asked to take (RCPT). No mail is sent.
    to: String,
    /// From this source, whatever its state; from each that is active when not given.
    #[arg(long)]
    source: Option<String>,
    /// From the sources of this pool.
    #[arg(long)]
    pool: Option<String>,
    /// The sender that the server is told; empty for <>.
    #[arg(long)]
    sender: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn probe(config: &Path, arguments: &ProbeArguments) -> Result<(), String> {
    let order = ProbeOrder {
        to: arguments.to.clone(),
        source: arguments.source.clone(),
        pool: arguments.pool.clone(),
        sender: arguments.sender.clone(),
    };
    let answer: ProbeAnswer = call(config, "/api/v1/probes", Some(&order))?;
    if arguments.json {
        print_json(&answer)?;
    } else {
        print_answer(&answer);
    }
    let failed: Vec<&str> =
        answer.sources.iter().filter(|row| !row.good).map(|row| &*row.source).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("it did not go well from {}", failed.join(", ")))
}

fn print_answer(answer: &ProbeAnswer) {
    let whose = answer.provider.as_deref().map_or(String::new(), |it| format!(", provider {it}"));
    let (domain, route, tls) = (&answer.routing_domain, &answer.route, &answer.tls);
    print_line(&format!("{domain} goes by {route} to {}{whose}; TLS {tls}", answer.site));
    for host in &answer.hosts {
        print_line(&format!("  {host}"));
    }
    for row in &answer.sources {
        print_line("");
        print_row(row);
    }
}

fn print_row(row: &ProbeRow) {
    print_line(&format!("from {} ({})", row.source, row.address));
    for step in &row.steps {
        let sign = match &*step.kind {
            "sent" => ">",
            "heard" => "<",
            _ => "·",
        };
        for (place, line) in step.text.split('\n').enumerate() {
            let after = if place == 0 { format!("{:8.3}", step.after) } else { " ".repeat(8) };
            print_line(&format!("{after} {sign} {}", line.replace(char::is_control, " ")));
        }
    }
    let tls = row.tls.as_deref().unwrap_or("in clear");
    match (&row.host, &row.cause) {
        (Some(host), _) => print_line(&format!("  good: {host}, {tls}, {:.3} s", row.seconds)),
        (None, cause) => {
            print_line(&format!("  not good: {}", cause.as_deref().unwrap_or("")));
            if let (Some(rule), Some(category)) = (&row.rule, &row.category) {
                print_line(&format!("  it would be taken for `{category}` by the rule `{rule}`"));
            }
        }
    }
}
