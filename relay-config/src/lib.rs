//! Tambo's configuration: what a person writes, and what it means ([`config`]).
//!
//! Pure: text in, a [`Config`] or every mistake at once out. No sockets, no clock, no files.
//! `sections` lists the keys, `fields` reads them, `parse` knows single values, `resolve`
//! compares the parts with each other. `responses` knows what servers mean when they refuse,
//! `providers` whose a destination is and what it takes; `warm_up`, `send_window` and `swap` what a
//! source may send and when another takes its place, `suppression` who gets no more mail, `reports` for whom they are written, `via` who connects for it; `blocklists`
//! what lists of strangers say. `in_force` tells people what holds and who decided it.

pub mod blocklists;
pub mod config;
mod fields;
mod in_force;
mod open_relay;
mod origin;
mod parse;
mod problem;
pub mod providers;
mod reference;
pub mod reports;
mod resolve;
pub mod responses;
pub mod routes;
mod sections;
mod send_window;
mod suppression;
mod swap;
pub mod values;
mod via;
mod warm_up;
pub mod webhooks;

pub use blocklists::Blocklist;
pub use config::Config;
pub use in_force::InForce;
pub use origin::{Origin, Place, Setting};
pub use problem::{Located, Problem};
pub use providers::Providers;
pub use reference::reference;
pub use routes::Routes;
pub use webhooks::Webhook;

use std::ops::Range;
use std::sync::Arc;

use fields::{Fields, Reader};
use origin::Places;
use toml::de::DeTable;

/// A configuration and what should be known about it.
#[derive(Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// What will surprise, though it is allowed.
    pub warnings: Vec<Located>,
}

/// Reads a file's text; `file` is its name in messages. On failure every mistake is told,
/// in the order of the file.
pub fn load(text: &str, file: &str) -> Result<Loaded, Vec<Located>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { places: Places::of_file(file, text), ..Reader::default() };
    for error in errors {
        let mistake = problem::Mistake::new(error.message().to_owned(), "");
        reader.problem(error.span().unwrap_or(0..0), "", mistake);
    }
    let torn = !reader.problems.is_empty();
    let sections = sections::read(Fields::root(&mut reader, table.get_ref()));
    if torn {
        // What is missing may be what could not be read.
        reader.problems.retain(|problem| !problem.message.ends_with("is missing"));
    }
    let name: Arc<str> = file.into();
    let place = |span: Range<usize>| {
        let (line, column) = problem::line_and_column(text, span.start);
        config::Place { file: Arc::clone(&name), line, column }
    };
    let config = resolve::resolve(sections, &mut reader, place);
    let locate = |mut problems: Vec<Problem>| -> Vec<Located> {
        problems.sort_by_key(|problem| problem.span.start);
        problems.dedup();
        problems.into_iter().map(|problem| problem.locate(file, text)).collect()
    };
    match config {
        Some(mut config) if reader.problems.is_empty() => {
            config.in_force = in_force::in_force(reader.read, text, &reader.places).into();
            Ok(Loaded { config, warnings: locate(reader.warnings) })
        }
        _ => Err(locate(reader.problems)),
    }
}
