//! `tambo suppression`: list, show, add, remove.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use relay_config::values::parse_duration;

use crate::admin::{ADDRESSES_MAX, SuppressionOrder, SuppressionRow, SuppressionsAdded};

use super::client::{call, escaped, first_rows, query, remove};
use super::{print_json, print_line, print_table};

/// What to do with the list.
#[derive(Debug, Args)]
pub(super) struct SuppressionArguments {
    #[command(subcommand)]
    command: SuppressionCommand,
}

#[derive(Debug, Subcommand)]
enum SuppressionCommand {
    /// List those nothing is sent to.
    List {
        /// Only of this domain.
        #[arg(long)]
        domain: Option<String>,
        /// Only entries of this account.
        #[arg(long)]
        account: Option<String>,
        /// Only those that came so.
        #[arg(long)]
        cause: Option<CauseWord>,
        /// Rows at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell whether and why nothing is sent to an address.
    Show {
        /// The address, or @example.pe.
        address: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send nothing to these any more.
    Add(AddArguments),
    /// Take an address off the list, and forget what servers said of it.
    Remove {
        /// Addresses, or @example.pe.
        #[arg(required = true)]
        addresses: Vec<String>,
        /// Only the entry of this account.
        #[arg(long)]
        account: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// How somebody came onto the list.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum CauseWord {
    /// A server said that nobody is there.
    Reply,
    /// A person or a program put it there.
    Order,
}

#[derive(Debug, Args)]
struct AddArguments {
    /// Addresses, or @example.pe for all of a domain.
    addresses: Vec<String>,
    /// A file with one a line ("-": standard input); what begins with # is passed over.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Only mail of this account.
    #[arg(long)]
    account: Option<String>,
    /// For so long, as in `90d`; without it, until it is removed.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    lasts: Option<std::time::Duration>,
    /// Why: it stands in the list, in events and in notices to senders.
    #[arg(long)]
    why: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn suppression(config: &Path, arguments: &SuppressionArguments) -> Result<(), String> {
    match &arguments.command {
        SuppressionCommand::List { domain, account, cause, limit, json } => {
            let cause = cause.and_then(|cause| cause.to_possible_value());
            let pairs = [
                ("domain", domain.as_deref()),
                ("account", account.as_deref()),
                ("cause", cause.as_ref().map(clap::builder::PossibleValue::get_name)),
            ];
            let target = format!("/api/v1/suppressions{}", query(&pairs));
            let (rows, more) = first_rows(config, &target, *limit)?;
            show(&rows, more, *json)
        }
        SuppressionCommand::Show { address, json } => {
            let target = format!("/api/v1/suppressions/{}", escaped(address));
            let rows: Vec<SuppressionRow> = call(config, &target, None::<&()>)?;
            show(&rows, false, *json)
        }
        SuppressionCommand::Add(arguments) => add(config, arguments),
        SuppressionCommand::Remove { addresses, account, json } => {
            take_off(config, addresses, account.as_deref(), *json)
        }
    }
}

fn add(config: &Path, arguments: &AddArguments) -> Result<(), String> {
    let mut addresses = arguments.addresses.clone();
    if let Some(file) = &arguments.file {
        addresses.extend(read(file)?);
    }
    if addresses.is_empty() {
        return Err("name at least one address, or a file of them with --file".to_owned());
    }
    let mut done = SuppressionsAdded::default();
    for part in addresses.chunks(ADDRESSES_MAX) {
        let order = SuppressionOrder {
            addresses: part.to_vec(),
            account: arguments.account.clone(),
            for_seconds: arguments.lasts.map(|lasts| lasts.as_secs().max(1)),
            why: arguments.why.clone(),
            who: String::new(),
        };
        let of_part: SuppressionsAdded = call(config, "/api/v1/suppressions", Some(&order))
            .map_err(|error| {
                let before = done.added + done.replaced;
                if before > 0 {
                    format!("{error} (the {before} before them are on the list)")
                } else {
                    error
                }
            })?;
        done.added += of_part.added;
        done.replaced += of_part.replaced;
    }
    if arguments.json {
        return print_json(&done);
    }
    let SuppressionsAdded { added, replaced } = done;
    print_line(&match replaced {
        0 => format!("Put {added} on the suppression list."),
        _ => format!("Put {added} on the suppression list; {replaced} were on it and are renewed."),
    });
    Ok(())
}

/// One a line.
fn read(file: &Path) -> Result<Vec<String>, String> {
    let place = |error: std::io::Error| format!("{}: {error}", file.display());
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(place)?;
    } else {
        text = std::fs::read_to_string(file).map_err(place)?;
    }
    let lines = text.lines().map(str::trim);
    let wanted = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(wanted.map(str::to_owned).collect())
}

fn take_off(
    config: &Path,
    addresses: &[String],
    account: Option<&str>,
    json: bool,
) -> Result<(), String> {
    let mut removed: Vec<SuppressionRow> = Vec::new();
    for address in addresses {
        let path = format!("/api/v1/suppressions/{}", escaped(address));
        let target = format!("{path}{}", query(&[("account", account)]));
        let rows: Vec<SuppressionRow> = remove(config, &target)?;
        if !json {
            print_line(&format!("{address} is off the suppression list."));
        }
        removed.extend(rows);
    }
    if json { print_json(&removed) } else { Ok(()) }
}

fn show(rows: &[SuppressionRow], more: bool, json: bool) -> Result<(), String> {
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("Nobody is on the suppression list.");
        return Ok(());
    }
    let day = |time: &str| time.get(..10).unwrap_or(time).to_owned();
    let cells = |row: &SuppressionRow| {
        let until = row.until.as_deref().map_or_else(|| "-".to_owned(), day);
        let account = row.account.clone().unwrap_or_else(|| "all".to_owned());
        let why = match (&row.who, &row.rule) {
            (Some(who), _) => format!("{who}: {}", row.why),
            (None, Some(rule)) => format!("{rule}: {}", row.why),
            (None, None) => row.why.clone(),
        };
        vec![row.address.clone(), account, day(&row.since), until, why]
    };
    let headings = ["ADDRESS", "MAIL OF", "SINCE", "UNTIL", "WHY"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    if more {
        print_line("There are more: --limit shows them.");
    }
    Ok(())
}
