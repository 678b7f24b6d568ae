//! `tambo queue`: list, show, retry, hold, holds, release, bounce, reroute, move.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::admin::{Acted, Action, HoldMade, HoldOrder, HoldRow, MailKind, Order, QueueQuery, Row};
use crate::message::Event;

use super::client::{call, escaped, first_rows, query, remove, rows};
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
    /// Do not attempt until released, or for a time.
    Hold {
        #[command(flatten)]
        target: Target,
        /// The hold ends by itself after this time, as in 2h or 30m.
        #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
        lasts: Option<String>,
        /// The hold ends by itself at this time, as in 2026-11-24T13:05:00-05:00.
        #[arg(long)]
        until: Option<String>,
        /// Hold also what comes later, until the standing hold is released.
        #[arg(long, conflicts_with = "ids")]
        standing: bool,
    },
    /// List standing holds: mail of a kind that is held as it comes.
    Holds {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Attempt what was held.
    Release {
        #[command(flatten)]
        target: Target,
        /// End this standing hold, and release all that it holds.
        #[arg(long, value_name = "ID", conflicts_with_all = ["ids", "domain", "site", "pool", "account", "tag", "sender", "all", "dry_run"])]
        standing: Option<String>,
    },
    /// Give up and tell the sender.
    Bounce(Target),
    /// Look the route up again (after a change of routes or of MX records) and attempt now.
    Reroute(Target),
    /// Go from another pool, at once.
    Move {
        #[command(flatten)]
        target: Target,
        /// The pool.
        #[arg(long, value_name = "POOL")]
        to: String,
    },
}

/// Which deliveries are meant.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// Only to this domain.
    #[arg(long)]
    domain: Option<String>,
    /// Only to this site: a provider, or as `tambo explain` names it.
    #[arg(long)]
    site: Option<String>,
    /// Only what leaves by this pool.
    #[arg(long)]
    pool: Option<String>,
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
        QueueCommand::Retry(target) => {
            act(config, (Action::Retry, "retried"), target, End::Never, None)
        }
        QueueCommand::Holds { json } => holds(config, *json),
        QueueCommand::Hold { target, lasts, until, standing } => {
            let end = match (lasts, until) {
                (Some(lasts), _) => End::After(seconds(lasts)?),
                (None, Some(until)) => End::At(until),
                (None, None) => End::Never,
            };
            if *standing {
                return stand(config, target, end);
            }
            act(config, (Action::Hold, "held"), target, end, None)
        }
        QueueCommand::Release { target, standing: Some(id) } => {
            let acted: Acted = remove(config, &format!("/api/v1/holds/{}", escaped(id)))?;
            tell(&acted, "released", target)
        }
        QueueCommand::Release { target, standing: None } => {
            act(config, (Action::Release, "released"), target, End::Never, None)
        }
        QueueCommand::Bounce(target) => {
            act(config, (Action::Bounce, "bounced"), target, End::Never, None)
        }
        QueueCommand::Reroute(target) => {
            act(config, (Action::Reroute, "rerouted"), target, End::Never, None)
        }
        QueueCommand::Move { target, to } => {
            act(config, (Action::Move, "moved"), target, End::Never, Some(to))
        }
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
            ("by the standing hold", &row.standing),
            ("held until", &row.held_until),
            ("to be sent", &row.send_at),
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

/// When a hold ends by itself.
#[derive(Clone, Copy)]
enum End<'a> {
    Never,
    After(u64),
    At(&'a str),
}

fn seconds(text: &str) -> Result<u64, String> {
    let lasts =
        relay_config::values::parse_duration(text).map_err(|why| format!("--for {text}: {why}"))?;
    Ok(lasts.as_secs().max(1))
}

impl End<'_> {
    fn until(self) -> Option<String> {
        if let Self::At(until) = self { Some(until.to_owned()) } else { None }
    }

    fn for_seconds(self) -> Option<u64> {
        if let Self::After(seconds) = self { Some(seconds) } else { None }
    }
}

/// Something is meant.
fn means_something(target: &Target) -> Result<(), String> {
    if target.ids.is_empty() && target.filter.is_empty() && !target.all {
        return Err(
            "say which: ids, --domain, --site, --pool, --account, --tag, --sender or --all"
                .to_owned(),
        );
    }
    Ok(())
}

fn stand(config: &Path, target: &Target, end: End<'_>) -> Result<(), String> {
    means_something(target)?;
    let order = HoldOrder {
        kind: target.filter.to_kind(),
        all: target.all,
        dry_run: target.dry_run,
        why: target.why.clone(),
        until: end.until(),
        for_seconds: end.for_seconds(),
        who: String::new(),
    };
    let made: HoldMade = call(config, "/api/v1/holds", Some(&order))?;
    if target.json {
        return print_json(&made);
    }
    if let Some(hold) = &made.hold {
        print_line(&format!(
            "What comes of this kind is held from now on{}.\nTo end it: tambo queue release --standing {}",
            hold.until.as_ref().map(|until| format!(", until {until}")).unwrap_or_default(),
            hold.id
        ));
    }
    tell(&made.acted, "held", target)
}

fn holds(config: &Path, json: bool) -> Result<(), String> {
    let holds: Vec<HoldRow> = rows(config, "/api/v1/holds")?;
    if json {
        return print_json(&holds);
    }
    if holds.is_empty() {
        print_line("There are no standing holds.");
        return Ok(());
    }
    let cells = |hold: &HoldRow| {
        let until = match (&hold.until, hold.ending) {
            (_, true) => "ending".to_owned(),
            (Some(until), false) => until.clone(),
            (None, false) => "released".to_owned(),
        };
        vec![hold.id.clone(), words(&hold.kind), until, hold.who.clone(), hold.why.clone()]
    };
    let headings = ["ID", "HOLDS", "UNTIL", "WHO", "WHY"];
    print_table(&headings, &holds.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}

/// `site google, tag boletin`
pub(super) fn words(kind: &MailKind) -> String {
    let named = [
        ("site", &kind.site),
        ("domain", &kind.domain),
        ("pool", &kind.pool),
        ("account", &kind.account),
        ("tag", &kind.tag),
        ("sender", &kind.sender),
    ];
    let said: Vec<String> = named
        .iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)))
        .collect();
    if said.is_empty() { "all mail".to_owned() } else { said.join(", ") }
}

fn act(
    config: &Path,
    (action, done): (Action, &str),
    target: &Target,
    end: End<'_>,
    pool: Option<&str>,
) -> Result<(), String> {
    means_something(target)?;
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
            until: end.until(),
            for_seconds: end.for_seconds(),
            pool: pool.map(ToOwned::to_owned),
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
    tell(&sum, done, target)
}

/// What was done, in words; an error when something stayed as it was.
fn tell(sum: &Acted, done: &str, target: &Target) -> Result<(), String> {
    if target.json {
        print_json(sum)?;
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
        self.to_kind() == MailKind::default()
    }

    fn to_kind(&self) -> MailKind {
        let Self { domain, site, pool, account, tag, sender } = self.clone();
        MailKind { site, domain, account, tag, sender, pool }
    }

    fn to_query(&self) -> QueueQuery {
        let Self { domain, site, pool, account, tag, sender } = self.clone();
        QueueQuery { domain, site, pool, account, tag, sender, ..QueueQuery::default() }
    }

    fn query(&self) -> String {
        query(&[
            ("domain", self.domain.as_deref()),
            ("site", self.site.as_deref()),
            ("pool", self.pool.as_deref()),
            ("account", self.account.as_deref()),
            ("tag", self.tag.as_deref()),
            ("sender", self.sender.as_deref()),
        ])
    }
}
