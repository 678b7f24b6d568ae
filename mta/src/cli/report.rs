//! `tambo report`: what happened on a day or in a month, to be read or to be passed on.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::client::{fetch, query};

/// Which report, and as what.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// A day: 2026-11-24, today or yesterday.
    #[arg(long, required_unless_present_any = ["month", "from"], conflicts_with_all = ["month", "from"])]
    day: Option<String>,
    /// A month: 2026-11, this or last.
    #[arg(long, conflicts_with = "from")]
    month: Option<String>,
    /// The first day of a longer time.
    #[arg(long)]
    from: Option<String>,
    /// Its last day; today when not given.
    #[arg(long, requires = "from")]
    to: Option<String>,
    /// By what it is divided, with commas between: provider, source, pool, account, tag, category.
    #[arg(long)]
    by: Option<String>,
    /// text, csv, xlsx or json.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write it into this file.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// es or en; as [reports] says when not given.
    #[arg(long)]
    language: Option<String>,
    /// Time zone in which days turn; as [reports] says when not given.
    #[arg(long)]
    zone: Option<String>,
    /// Print JSON.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Csv,
    Xlsx,
    Json,
}

pub(super) fn report(config: &Path, arguments: &ReportArguments) -> Result<(), String> {
    let format = if arguments.json { Format::Json } else { arguments.format };
    let to_terminal = arguments.output.is_none() && std::io::stdout().is_terminal();
    if format == Format::Xlsx && to_terminal {
        return Err("a workbook is no text: name a file with --output".to_owned());
    }
    let word = format.to_possible_value().map(|value| value.get_name().to_owned());
    let target = query(&[
        ("day", arguments.day.as_deref()),
        ("month", arguments.month.as_deref()),
        ("from", arguments.from.as_deref()),
        ("to", arguments.to.as_deref()),
        ("by", arguments.by.as_deref()),
        ("zone", arguments.zone.as_deref()),
        ("language", arguments.language.as_deref()),
        ("format", word.as_deref()),
    ]);
    let octets = fetch(config, &format!("/api/v1/reports{target}"))?;
    match &arguments.output {
        Some(file) => {
            std::fs::write(file, &octets).map_err(|error| format!("{}: {error}", file.display()))
        }
        None => std::io::stdout().write_all(&octets).map_err(|error| error.to_string()),
    }
}
