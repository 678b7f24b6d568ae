//! `tambo sources`.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::admin::SourceRow;

use super::client::call;
use super::{print_json, print_table};

/// What to do with sources.
#[derive(Debug, Args)]
pub(super) struct SourcesArguments {
    #[command(subcommand)]
    command: SourcesCommand,
}

#[derive(Debug, Subcommand)]
enum SourcesCommand {
    /// List them with their pools and states.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn sources(config: &Path, arguments: &SourcesArguments) -> Result<(), String> {
    let SourcesCommand::List { json } = arguments.command;
    let rows: Vec<SourceRow> = call(config, "/api/v1/sources", None::<&()>)?;
    if json {
        return print_json(&rows);
    }
    let cells = |row: &SourceRow| {
        vec![
            row.name.clone(),
            row.state.clone(),
            row.address.clone(),
            row.public.clone(),
            row.helo.clone(),
            row.pools.join(", "),
        ]
    };
    let headings = ["SOURCE", "STATE", "ADDRESS", "PUBLIC", "HELO", "POOLS"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}
