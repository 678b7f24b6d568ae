//! `tambo sources`: what there is, and the levers. What is longer stands in files of its own: one source with
//! its paths, swaps, warm-up and forecasts.

use std::path::Path;

use clap::{Args, Subcommand};
use relay_config::values::parse_duration;

use crate::admin::{
    HaltRow, ReleaseOrder, Released, SourceAction, SourceDone, SourceOrder, SourceRow,
};

use super::client::{call, escaped, rows};
use super::{print_json, print_line, print_table, source_show, swap, warm_up};

/// What to do with sources.
#[derive(Debug, Args)]
pub(super) struct SourcesArguments {
    #[command(subcommand)]
    command: SourcesCommand,
}

#[derive(Debug, Subcommand)]
enum SourcesCommand {
    /// List them with their pools and states, what the DNS says of their names, and why those that are stopped are.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one: how it stands at each site, what made it so, what was learned there, its warm-up.
    Show(source_show::ShowArguments),
    /// Look now whether the name of a source's address leads back to it, and is the one in its EHLO.
    ///
    /// Receivers ask that of an address before they hear a word of it, and many refuse it otherwise. The relay looks once
    /// an hour; this is for after a record was mended.
    Names(Target),
    /// Send nothing from a source until it is resumed: its mail goes from the others of its pools.
    ///
    /// What is being transmitted ends, and nothing is lost: where no other source may carry it, mail waits. The
    /// suspension outlives a restart. A source that is configured as standby does not take its place: for
    /// that, see `swap`.
    Suspend {
        #[command(flatten)]
        target: Target,
        /// It resumes by itself after this time, as in 90m, 2h, 1d.
        #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
        lasts: Option<std::time::Duration>,
        /// At this site only: a provider (google), a site as `show` tells it, or a domain whose mail
        /// goes there.
        #[arg(long, value_name = "SITE")]
        at: Option<String>,
        /// Why, for those who ask later; who did it is added.
        #[arg(long)]
        why: String,
    },
    /// Have a source that is suspended, draining or quarantined send again.
    ///
    /// At one site (--at) it comes back as after every suspension: three single messages, five minutes apart,
    /// then a tenth of its rate, then more by and by. A quarantined source returns as standby. Mail that
    /// was put off because no source could take it is attempted at its next turn; `tambo queue retry` has
    /// it go at once.
    Resume {
        #[command(flatten)]
        target: Target,
        /// At this site only.
        #[arg(long, value_name = "SITE")]
        at: Option<String>,
        /// Why, for those who ask later; who did it is added.
        #[arg(long, default_value = "by hand")]
        why: String,
    },
    /// Take a source out of use: it takes nothing new, what is in use ends. For one that will be removed.
    Drain {
        #[command(flatten)]
        target: Target,
        /// Why, for those who ask later; who did it is added.
        #[arg(long)]
        why: String,
    },
    /// Take a source out of its pools and a standby in, after a look at the standby.
    Swap(swap::SwapArguments),
    /// List sending domains and campaigns that wait at a site because it will have nothing of them.
    Halts {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have a sending domain or a campaign go on at a site where it is halted.
    ///
    /// Do this when what the site complained of is mended. What waits is attempted at once, at most a thousand
    /// deliveries; the rest is looked at within an hour.
    Release {
        /// The site, as `halts` shows it.
        site: String,
        /// The sending domain or the campaign.
        #[arg(value_name = "DOMAIN-OR-CAMPAIGN")]
        name: String,
        /// Why, for those who ask later; who did it is added.
        #[arg(long, default_value = "by hand")]
        why: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show each source at each site that is not warm yet: its day, its cap, what keeps it there.
    WarmUp(warm_up::WarmUpArguments),
    /// Tell how many days a mailing takes from a pool as it is now, if everything is accepted.
    Forecast(warm_up::ForecastArguments),
}

/// Which source.
#[derive(Debug, Args)]
struct Target {
    /// The source.
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn sources(config: &Path, arguments: &SourcesArguments) -> Result<(), String> {
    let act = |target: &Target, order: SourceOrder| act(config, target, &order);
    match &arguments.command {
        SourcesCommand::List { json } => list(config, *json),
        SourcesCommand::Show(arguments) => source_show::show(config, arguments),
        SourcesCommand::Names(target) => source_show::names(config, &target.name, target.json),
        SourcesCommand::Suspend { target, lasts, at, why } => {
            let for_seconds = lasts.map(|lasts| lasts.as_secs().max(1));
            act(target, order(SourceAction::Suspend, at.as_ref(), for_seconds, why))
        }
        SourcesCommand::Resume { target, at, why } => {
            act(target, order(SourceAction::Resume, at.as_ref(), None, why))
        }
        SourcesCommand::Drain { target, why } => {
            act(target, order(SourceAction::Drain, None, None, why))
        }
        SourcesCommand::Swap(arguments) => swap::swap(config, arguments),
        SourcesCommand::Halts { json } => halts(config, *json),
        SourcesCommand::Release { site, name, why, json } => {
            release(config, site, name, why, *json)
        }
        SourcesCommand::WarmUp(arguments) => warm_up::warm_up(config, arguments),
        SourcesCommand::Forecast(arguments) => warm_up::forecast(config, arguments),
    }
}

fn order(
    action: SourceAction,
    at: Option<&String>,
    for_seconds: Option<u64>,
    why: &str,
) -> SourceOrder {
    SourceOrder { action, at: at.cloned(), for_seconds, why: why.to_owned() }
}

/// `/api/v1/sources/NAME/what`
pub(super) fn path(name: &str, what: &str) -> String {
    format!("/api/v1/sources/{}{what}", escaped(name))
}

fn act(config: &Path, target: &Target, order: &SourceOrder) -> Result<(), String> {
    let done: SourceDone = call(config, &path(&target.name, "/actions"), Some(order))?;
    if target.json {
        return print_json(&done);
    }
    print_line(&done.said);
    Ok(())
}

fn list(config: &Path, json: bool) -> Result<(), String> {
    let rows: Vec<SourceRow> = rows(config, "/api/v1/sources")?;
    if json {
        return print_json(&rows);
    }
    let cells = |row: &SourceRow| {
        vec![
            row.name.clone(),
            row.state.clone(),
            address(row),
            row.public.clone(),
            row.helo.clone(),
            row.names.as_ref().map_or_else(|| "-".to_owned(), |names| names.verdict.clone()),
            row.pools.join(", "),
            row.standby.join(", "),
            why(row),
        ]
    };
    let headings =
        ["SOURCE", "STATE", "ADDRESS", "PUBLIC", "HELO", "NAMES", "POOLS", "STANDBY", "WHY"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}

fn address(row: &SourceRow) -> String {
    match &row.via {
        Some(via) => format!("{} via {via}", row.address),
        None => row.address.clone(),
    }
}

/// Why a source is stopped, and until when.
pub(super) fn why(row: &SourceRow) -> String {
    match (&row.why, &row.until) {
        (Some(why), Some(until)) => format!("{why}; until {until}"),
        (Some(why), None) => why.clone(),
        (None, _) => String::new(),
    }
}

fn halts(config: &Path, json: bool) -> Result<(), String> {
    let rows: Vec<HaltRow> = rows(config, "/api/v1/halts")?;
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("Nothing is halted.");
        return Ok(());
    }
    let cells = |row: &HaltRow| {
        vec![
            row.site.clone(),
            row.kind.clone(),
            row.name.clone(),
            row.until.clone().unwrap_or_else(|| "it is released".to_owned()),
            row.rule.clone(),
            row.reply.clone(),
        ]
    };
    let headings = ["SITE", "WHAT", "NAME", "UNTIL", "RULE", "REPLY"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}

fn release(config: &Path, site: &str, name: &str, why: &str, json: bool) -> Result<(), String> {
    let (site, name) = (site.to_owned(), name.to_owned());
    let order = ReleaseOrder { site, name, why: why.to_owned() };
    let released: Released = call(config, "/api/v1/halts/release", Some(&order))?;
    if json {
        return print_json(&released);
    }
    for what in &released.released {
        print_line(&format!("{what} goes on at {}", order.site));
    }
    let more =
        if released.more { "; what else waits for it is looked at within an hour" } else { "" };
    print_line(&format!("{} deliveries are attempted at once{more}", released.at_once));
    Ok(())
}
