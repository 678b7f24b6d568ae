//! `tambo sources show`: a source and its paths.

use std::path::Path;

use clap::Args;

use crate::admin::{LimitNow, NamesRow, PathRow, SourceAnswer};

use super::client::call;
use super::sources::{path, why};
use super::{print_json, print_line};

/// Which source.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The source.
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn show(config: &Path, arguments: &ShowArguments) -> Result<(), String> {
    let found: SourceAnswer = call(config, &path(&arguments.name, ""), None::<&()>)?;
    if arguments.json {
        return print_json(&found);
    }
    let source = &found.source;
    let seen =
        if source.public == source.address { "" } else { &format!(", seen as {}", source.public) };
    print_line(&format!("{}  {}", source.name, source.state));
    print_line(&format!("  sends from {}{seen}, as {}", source.address, source.helo));
    for (label, pools) in [("active in", &source.pools), ("standby of", &source.standby)] {
        if !pools.is_empty() {
            print_line(&format!("  {label} {}", pools.join(", ")));
        }
    }
    if source.why.is_some() {
        print_line(&format!("  {}", why(source)));
    }
    if let Some(names) = &source.names {
        print_names(names, "  ");
    }
    if !found.refusals.is_empty() {
        print_line("\nlast refusals");
    }
    for refusal in &found.refusals {
        let what = if refusal.for_good { "refused" } else { "put off" };
        print_line(&format!(
            "  {}  {}  {what} {} times: {}  (rule {})",
            refusal.at, refusal.site, refusal.times, refusal.reply, refusal.rule
        ));
    }
    if found.paths.is_empty() {
        print_line("\nNothing is remembered of it at any site.");
    }
    for path in &found.paths {
        print_path(path);
    }
    if found.paths_left_out > 0 {
        print_line(&format!("\nand {} more, all as they should be", found.paths_left_out));
    }
    Ok(())
}

/// `tambo sources names`: what the DNS says of them now.
pub(super) fn names(config: &Path, name: &str, json: bool) -> Result<(), String> {
    let found: NamesRow = call(config, &path(name, "/names"), Some(&serde_json::json!({})))?;
    if json {
        return print_json(&found);
    }
    print_names(&found, "");
    Ok(())
}

fn print_names(names: &NamesRow, indent: &str) {
    let said = match names.verdict.as_str() {
        "fits" => "the name of the address leads back to it and is the one in EHLO",
        "differs" => "the name of the address leads back to it, but is not the one in EHLO",
        "fails" => "the names do not fit",
        _ => "not known yet",
    };
    let known = names.pointers.join(", ");
    let known = if known.is_empty() { "no name".to_owned() } else { known };
    print_line(&format!("{indent}names: {known}; {said} ({})", names.at));
    for check in names.checks.iter().filter(|check| check.outcome != "passed") {
        let found = check.found.as_deref().unwrap_or_default();
        print_line(&format!("{indent}  {}: {found}", check.what));
        if let (Some(expected), Some(mend)) = (&check.expected, &check.mend) {
            print_line(&format!("{indent}    expected: {expected}; to mend: {mend}"));
        }
    }
}

fn print_path(path: &PathRow) {
    let pool = path.pool.as_ref().map_or_else(String::new, |pool| format!(" (pool {pool})"));
    let until = path.until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
    print_line(&format!("\n{}{pool}  {}{until}", path.site, path.state));
    if let (Some(rule), Some(reply), Some(since)) = (&path.rule, &path.reply, &path.since) {
        print_line(&format!("  because  {reply}  (rule {rule}, {since})"));
    }
    if let Some(kept) = &path.kept {
        print_line(&format!("  waits    {kept}"));
    }
    let cap = path.cap.map_or_else(|| "no cap".to_owned(), |cap| format!("of {cap}"));
    print_line(&format!("  today    {} recipients, {cap}; {} open", path.used, path.open));
    if let (Some(day), Some(days)) = (path.warm_up_day, path.warm_up_days) {
        let held = path.held.as_ref().map_or_else(String::new, |held| format!(": {held}"));
        print_line(&format!("  warm-up  day {day} of {days}{held}"));
    }
    let limits: Vec<String> = path.limits.iter().map(limit).collect();
    print_line(&format!("  limits   {}", limits.join(", ")));
    if let Some(last) = &path.last_used {
        print_line(&format!("  last     {last}"));
    }
}

fn limit(limit: &LimitNow) -> String {
    let LimitNow { name, now, configured } = limit;
    if now == configured {
        format!("{name} {now}")
    } else {
        format!("{name} {now} ({configured} configured)")
    }
}
