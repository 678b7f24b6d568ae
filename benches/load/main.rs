//! `make bench`: how fast the relay takes mail in and passes it on, beside Postfix and beside the
//! direct line from load to sink, in turn on the same machine in one run; and what it was promised to do.
//!
//! Load and sink are Postfix's `smtp-source` and `smtp-sink` where they can do it, else `source.rs` and
//! `sink.rs`; all queues are on the same real disk; bodies do not compress. Absolute times belong to the
//! machine: read the ratios.

#![expect(clippy::print_stdout, reason = "it talks to a person")]
#![expect(clippy::unwrap_used, reason = "a bench whose world cannot be built ends")]

mod contender;
mod disk;
mod eventless;
mod history;
mod measure;
mod plain;
mod preload;
mod processes;
mod report;
mod scenario;
mod scenarios;
mod sink;
mod source;
mod visitor;

use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::packages::need;
use clap::Parser;
use tokio::time::Instant;

use scenario::{Plan, Scenario};
use scenarios::Name;

/// Measures.
#[derive(Parser)]
struct Arguments {
    /// What is measured, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    scenario: Vec<Name>,
    /// Rounds; each contender runs once in each.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages of 2 KiB; scenarios that take longer for each take a part of them.
    #[arg(long, default_value_t = 10_000)]
    small: usize,
    /// Messages of 100 kB.
    #[arg(long, default_value_t = 1_000)]
    large: usize,
    /// Sessions at a time.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Deferred messages in the queue of the scenario `backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: usize,
    /// Events of thirty days behind the scenario `web`.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Also write the figures here.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A contender: this program in place of `tambo serve --config FILE`.
    let words: Vec<String> = std::env::args().collect();
    if let [_, mode, .., config] = &words[..]
        && [eventless::WITH, eventless::WITHOUT].contains(&&**mode)
    {
        eventless::serve(config.as_ref(), mode == eventless::WITH).await;
    }
    let arguments = Arguments::parse();
    for program in ["smtp-source", "smtp-sink", "postfix"] {
        need(program, "postfix");
    }
    if let Err(why) = disk::real_disk() {
        eprintln!("load: {why}");
        return ExitCode::FAILURE;
    }
    let plan = Plan {
        rounds: arguments.rounds.max(1),
        small: arguments.small.max(1),
        large: arguments.large.max(1),
        sessions: arguments.sessions.max(1),
        backlog: arguments.backlog,
        events: arguments.events,
    };
    let sync = disk::sync_ms();
    let mut done = Vec::new();
    for name in Name::chosen(&arguments.scenario) {
        let started = Instant::now();
        let scenario = Box::pin(name.run(&plan)).await;
        eprintln!("{}: done in {} s", scenario.name, started.elapsed().as_secs());
        done.push(scenario);
    }
    println!(
        "\n{}: a sync of 4 KiB takes {:.2} ms ({:.2} to {:.2})",
        disk::DISK,
        sync.middle,
        sync.least,
        sync.most
    );
    for scenario in &done {
        print!("{}", report::table(scenario));
    }
    print!("{}", report::targets(&done));
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&done).unwrap()).unwrap();
    }
    if done.iter().all(Scenario::passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
