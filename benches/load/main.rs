//! `make bench`: how fast the relay takes mail in and passes it on, beside Postfix and beside the
//! direct line from load to sink, in turn on the same machine in one run.
//!
//! Load and sink are Postfix's `smtp-source` and `smtp-sink`; both queues are on the same real
//! disk; bodies do not compress. Absolute times belong to the machine: read the ratios.

#![expect(clippy::print_stdout, reason = "it talks to a person")]
#![expect(clippy::unwrap_used, reason = "a bench whose world cannot be built ends")]

mod contender;
mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use tests::packages::need;

use contender::{Contender, Load, Sink};
use measure::{Measured, median, spread};

/// Measures.
#[derive(Parser)]
struct Arguments {
    /// Rounds; each contender runs once in each.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages of 2 KiB.
    #[arg(long, default_value_t = 10_000)]
    small: usize,
    /// Messages of 100 kB.
    #[arg(long, default_value_t = 1_000)]
    large: usize,
    /// Sessions at a time.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Also write the figures here.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One scenario with all its rounds.
#[derive(Serialize)]
struct Scenario {
    name: &'static str,
    messages: usize,
    sessions: usize,
    results: Vec<(&'static str, Vec<Measured>)>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    for program in ["smtp-source", "smtp-sink", "postfix"] {
        need(program, "postfix");
    }
    if let Err(why) = contender::real_disk() {
        eprintln!("load: {why}");
        return ExitCode::FAILURE;
    }
    let mut scenarios = Vec::new();
    for (name, octets, messages) in
        [("2 KiB", 2 * 1024, arguments.small), ("100 kB", 100_000, arguments.large)]
    {
        let load = Load::new(octets, messages, arguments.sessions);
        scenarios.push(run(name, &load, arguments.rounds).await);
    }
    for scenario in &scenarios {
        print(scenario);
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&scenarios).unwrap()).unwrap();
    }
    ExitCode::SUCCESS
}

async fn run(name: &'static str, load: &Load, rounds: usize) -> Scenario {
    let mut results: Vec<(&'static str, Vec<Measured>)> =
        ["direct", "tambo", "postfix"].iter().map(|name| (*name, Vec::new())).collect();
    for round in 1..=rounds {
        for (contender, measured) in &mut results {
            eprint!("{name}: round {round} of {rounds}, {contender} … ");
            let sink = Sink::start();
            let made = Contender::start(contender, sink.port).await;
            let found = made.measure(load, &sink).await;
            eprintln!(
                "{:.0} messages a second in, {:.0} through",
                found.accepted_rate(load),
                found.through_rate(load)
            );
            measured.push(found);
        }
    }
    Scenario { name, messages: load.messages, sessions: load.sessions, results }
}

fn print(scenario: &Scenario) {
    println!(
        "\n{}: {} messages over {} sessions",
        scenario.name, scenario.messages, scenario.sessions
    );
    println!(
        "{:<10}{:>12}{:>12}{:>16}{:>14}",
        "", "in", "through", "CPU s / 1,000", "syncs / 1,000"
    );
    for (name, rounds) in &scenario.results {
        let rate = |seconds: f64| scenario.messages as f64 / seconds;
        let per_thousand = |value: f64| value * 1000.0 / scenario.messages as f64;
        let accepted = median(rounds, |round| rate(round.accepted_secs));
        let through = median(rounds, |round| rate(round.through_secs));
        let cpu = median(rounds, |round| per_thousand(round.cpu_secs));
        let syncs = median(rounds, |round| per_thousand(round.syncs));
        let syncs = if syncs > 0.0 { format!("{syncs:.0}") } else { "-".to_owned() };
        println!("{name:<10}{accepted:>10.0}/s{through:>10.0}/s{cpu:>16.2}{syncs:>14}");
    }
    let of = |wanted: &str| &scenario.results.iter().find(|(name, _)| *name == wanted).unwrap().1;
    for other in ["postfix", "direct"] {
        for (what, pick) in [
            ("in", (|round: &Measured| round.accepted_secs) as fn(&Measured) -> f64),
            ("through", |round: &Measured| round.through_secs),
        ] {
            let ratios: Vec<f64> = of("tambo")
                .iter()
                .zip(of(other))
                .map(|(ours, theirs)| pick(theirs) / pick(ours))
                .collect();
            let (least, middle, most) = spread(&ratios);
            println!("tambo / {other:<8} {what:<8} {middle:>6.2}   ({least:.2} to {most:.2})");
        }
    }
}
