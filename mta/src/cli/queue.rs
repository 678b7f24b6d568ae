//! `tambo queue`: list, show, retry, hold, release, bounce, reroute.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::admin::{Acted, Action, Order, QueueQuery, Row};
use crate::message::Event;

use super::client::{call, first_rows, query, rows};
use super::{print_json, print_line, print_table};

/// What to do with the queue.
#[derive(Debug, Args)]
pub(super) struct QueueArguments {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List what has not been delivered yet, oldest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Rows at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one message: what is left to do, and its story.
    Show {
        /// Tambo's id, or the Message-ID.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Attempt now.
    Retry(Target),
    /// Do not attempt until released.
    Hold(Target),
    /// Attempt what was held.
    Release(Target),
    /// Give up and tell the sender.
    Bounce(Target),
    /// Look the route up again (after a change of routes or of MX records) and attempt now.
    Reroute(Target),
}

/// Which deliveries are meant.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// Only to this domain.
    #[arg(long)]
    domain: Option<String>,
    /// Only of this account.
    #[arg(long)]
    account: Option<String>,
    /// Only with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// Only from this sender.
    #[arg(long)]
    sender: Option<String>,
}

/// What is acted upon.
#[derive(Debug, Args)]
struct Target {
    /// Ids of messages (Tambo's or Message-ID).
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Everything in the queue.
    #[arg(long)]
    all: bool,
    /// Change nothing: tell how many it would be done to.
    #[arg(long)]
    dry_run: bool,
    /// Why, for those who ask later.
    #[arg(long, default_value = "by the administrator")]
    why: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn queue(config: &Path, arguments: &QueueArguments) -> Result<(), String> {
    match &arguments.command {
        QueueCommand::List { filter, limit, json } => list(config, filter, *limit, *json),
        QueueCommand::Show { id, json } => show(config, id, *json),
        QueueCommand::Retry(target) => act(config, Action::Retry, "retried", target),
        QueueCommand::Hold(target) => act(config, Action::Hold, "held", target),
        QueueCommand::Release(target) => act(config, Action::Release, "released", target),
        QueueCommand::Bounce(target) => act(config, Action::Bounce, "bounced", target),
        QueueCommand::Reroute(target) => act(config, Action::Reroute, "rerouted", target),
    }
}

fn list(config: &Path, filter: &Filter, limit: usize, json: bool) -> Result<(), String> {
    let (rows, more) =
        first_rows::<Row>(config, &format!("/api/v1/queue{}", filter.query()), limit)?;
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("The queue is empty.");
        return Ok(());
    }
    let cells = |row: &Row| {
        vec![
            row.message.clone(),
            row.state.clone(),
            row.attempts.to_string(),
            row.next_attempt.clone().unwrap_or_else(|| "-".to_owned()),
            row.sender.clone(),
            recipients(row),
            row.held.clone().or_else(|| row.last_reply.clone()).unwrap_or_default(),
        ]
    };
    let headings = ["MESSAGE", "STATE", "TRIES", "NEXT", "FROM", "TO", "WHY"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    if more {
        print_line(&format!("There are more: these are the first {limit} (--limit)."));
    }
    Ok(())
}

fn recipients(row: &Row) -> String {
    match &row.recipients[..] {
        [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
        [first, ..] => first.clone(),
        [] => String::new(),
    }
}

fn show(config: &Path, id: &str, json: bool) -> Result<(), String> {
    let target = format!("/api/v1/queue{}", query(&[("message", Some(id))]));
    let waiting: Vec<Row> = rows(config, &target)?;
    let target = format!("/api/v1/trace{}", query(&[("of", Some(id))]));
    let events: Vec<Event> = call(config, &target, None::<&()>)?;
    if json {
        return print_json(&serde_json::json!({ "deliveries": waiting, "events": events }));
    }
    if waiting.is_empty() && events.is_empty() {
        return Err(format!("nothing is known of {id}"));
    }
    for row in &waiting {
        print_line(&format!(
            "{} to {}: {}, {} attempts",
            row.message, row.site, row.state, row.attempts
        ));
        print_line(&format!(
            "  from {} ({}), {} octets, accepted {}",
            row.sender, row.account, row.size, row.accepted
        ));
        print_line(&format!("  to {}", row.recipients.join(", ")));
        for (label, value) in [
            ("next attempt", &row.next_attempt),
            ("last reply", &row.last_reply),
            ("held", &row.held),
        ] {
            if let Some(value) = value {
                print_line(&format!("  {label}: {value}"));
            }
        }
    }
    if waiting.is_empty() {
        print_line("Nothing of it is left to do.");
    }
    super::trace::print_events(&events);
    Ok(())
}

fn act(config: &Path, action: Action, done: &str, target: &Target) -> Result<(), String> {
    if target.ids.is_empty() && target.filter.is_empty() && !target.all {
        return Err("say which: ids, --domain, --account, --tag, --sender or --all".to_owned());
    }
    let mut queries: Vec<QueueQuery> = Vec::new();
    for id in &target.ids {
        queries.push(QueueQuery { message: Some(id.clone()), ..target.filter.to_query() });
    }
    if queries.is_empty() {
        queries.push(target.filter.to_query());
    }
    let mut sum = Acted::default();
    for query in queries {
        let named = query.message.clone();
        // Only what is held can be released; the rest stays as it is.
        let held = (action == Action::Release && named.is_none()).then_some(true);
        let order = Order {
            action,
            query: QueueQuery { held, ..query },
            why: target.why.clone(),
            who: String::new(),
            all: target.all,
            dry_run: target.dry_run,
        };
        let acted: Acted = call(config, "/api/v1/queue/actions", Some(&order))?;
        if let Some(id) = named.filter(|_| acted.matched == 0) {
            sum.refused_count += 1;
            sum.refused.push(crate::admin::Refused {
                message: id,
                why: "it is not in the queue".to_owned(),
            });
        }
        sum.matched += acted.matched;
        sum.done += acted.done;
        sum.refused_count += acted.refused_count;
        sum.refused.extend(acted.refused);
    }
    if target.json {
        print_json(&sum)?;
    } else if target.dry_run {
        print_line(&format!("{} would be {done}; nothing is changed", sum.matched));
    } else {
        print_line(&format!("{} {done}", sum.done));
        for refused in &sum.refused {
            print_line(&format!("{}: {}", refused.message, refused.why));
        }
    }
    if sum.refused_count == 0 {
        Ok(())
    } else {
        Err(format!("{} stayed as they were", sum.refused_count))
    }
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.domain.is_none()
            && self.account.is_none()
            && self.tag.is_none()
            && self.sender.is_none()
    }

    fn to_query(&self) -> QueueQuery {
        QueueQuery {
            domain: self.domain.clone(),
            account: self.account.clone(),
            tag: self.tag.clone(),
            sender: self.sender.clone(),
            ..QueueQuery::default()
        }
    }

    fn query(&self) -> String {
        query(&[
            ("domain", self.domain.as_deref()),
            ("account", self.account.as_deref()),
            ("tag", self.tag.as_deref()),
            ("sender", self.sender.as_deref()),
        ])
    }
}
