//! `tambo sources warm-up` and `tambo sources forecast`: how far the addresses are, and what a mailing takes.

use std::path::Path;

use clap::Args;

use crate::admin::{ForecastAnswer, WarmUpRow};

use super::client::{call, query, rows};
use super::{print_json, print_line, print_table};

/// Of which pool.
#[derive(Debug, Args)]
pub(super) struct WarmUpArguments {
    /// Only of this pool.
    #[arg(long)]
    pool: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tell how many days a mailing takes from a pool as it is now, if everything is accepted.
///
/// It plays the days, from the state of each source at each site: where its warm-up is, what of today is used,
/// the limits of a day, the rates over the hours of the send window, who is stopped where. A source that never
/// sent to a site begins there on its first day. Trouble makes it later; nothing makes it sooner.
#[derive(Debug, Args)]
pub(super) struct ForecastArguments {
    /// From this pool instead of the default one.
    #[arg(long)]
    pool: Option<String>,
    /// Recipients of each site: providers, and `other` for all else, which may say over how many sites it is
    /// spread (other=1000/100).
    #[arg(long, value_name = "SITE=RECIPIENTS,…")]
    mix: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn warm_up(config: &Path, arguments: &WarmUpArguments) -> Result<(), String> {
    let target = format!("/api/v1/warm-up{}", query(&[("pool", arguments.pool.as_deref())]));
    let rows: Vec<WarmUpRow> = rows(config, &target)?;
    if arguments.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("No source warms up at any site: none was used yet, or all are warm.");
        return Ok(());
    }
    let cells = |row: &WarmUpRow| {
        vec![
            row.source.clone(),
            row.site.clone(),
            row.pool.clone().unwrap_or_default(),
            format!("{}/{}", row.day, row.days),
            row.cap.map_or_else(|| "-".to_owned(), |cap| cap.to_string()),
            row.used.to_string(),
            format!("{}/{}", row.accepted, row.enough),
            row.warm_on.clone(),
            row.held.clone().unwrap_or_default(),
        ]
    };
    let headings =
        ["SOURCE", "SITE", "POOL", "DAY", "CAP", "USED", "ACCEPTED", "WARM ON", "HELD BY"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    print_line("\nA day counts when ACCEPTED reaches its goal and little was refused.");
    Ok(())
}

pub(super) fn forecast(config: &Path, arguments: &ForecastArguments) -> Result<(), String> {
    let pairs = [("pool", arguments.pool.as_deref()), ("mix", Some(arguments.mix.as_str()))];
    let found: ForecastAnswer =
        call(config, &format!("/api/v1/forecast{}", query(&pairs)), None::<&()>)?;
    if arguments.json {
        return print_json(&found);
    }
    let of_site = |site: &String, sent: &std::collections::BTreeMap<String, u64>| {
        sent.get(site).copied().unwrap_or(0)
    };
    let mut headings = vec!["DAY", "DATE", "TOTAL"];
    headings.extend(found.sites.iter().map(String::as_str));
    let rows: Vec<Vec<String>> = found
        .days
        .iter()
        .enumerate()
        .map(|(number, day)| {
            let sites = found.sites.iter().map(|site| of_site(site, &day.sent).to_string());
            [(number + 1).to_string(), day.date.clone(), day.total.to_string()]
                .into_iter()
                .chain(sites)
                .collect()
        })
        .collect();
    if !rows.is_empty() {
        print_table(&headings, &rows);
        print_line("");
    }
    for note in &found.notes {
        print_line(&format!("note: {note}"));
    }
    print_line(&conclusion(&found));
    Ok(())
}

fn conclusion(found: &ForecastAnswer) -> String {
    let pool = &found.pool;
    if let Some(date) = &found.done_on {
        let days = match found.days.len() {
            1 => "one day".to_owned(),
            days => format!("{days} days"),
        };
        return format!("From {pool} it takes {days}, to {date}, if everything is accepted.");
    }
    let left = found.left.iter().filter(|(_, left)| **left > 0);
    let left: Vec<String> = left.map(|(site, left)| format!("{left} to {site}")).collect();
    if left.is_empty() {
        return "Nothing is to be sent.".to_owned();
    }
    format!("From {pool} it does not end within a year: {} are left.", left.join(", "))
}
