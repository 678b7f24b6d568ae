//! `make abuse`: what strangers do to the relay, and what is left for good traffic meanwhile.
//!
//! Good traffic is a number of sessions that send as fast as they are answered, by a network that is trusted; the
//! attackers come from other addresses. Each attack is measured in turn with no attack, in one run: read the
//! ratio. They share the processors of this machine with the relay, so what an attacker's own program costs is
//! taken from the good traffic, too: on machines of their own they would cost it less.

#![expect(clippy::print_stdout, reason = "it talks to a person")]
#![expect(clippy::unwrap_used, reason = "a bench whose world cannot be built ends")]

mod attacks;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tokio::time::Instant;

use attacks::{ATTACKS, Attack, Hostile};
use world::{Good, World};

/// An attack that is held off does not get done what it wants: it is given up then.
const LONGEST: Duration = Duration::from_mins(4);

/// Measures.
#[derive(Parser)]
struct Arguments {
    /// Only this attack; by its name in the table.
    #[arg(long)]
    attack: Option<String>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds; each is once without and once with the attack.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also write the figures here.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What came of an attack.
#[derive(Serialize)]
struct Measured {
    attack: &'static str,
    /// Good messages a second: without the attack, and with it, in each round.
    good: Vec<(f64, f64)>,
    /// Most memory that the relay had in use during the attack, and before it, in MiB.
    memory_mib: (f64, f64),
    /// What the attackers got done, and how they were answered.
    attackers: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    world::raise_descriptors();
    let wanted = |attack: &&Attack| arguments.attack.as_deref().is_none_or(|it| it == attack.name);
    let attacks: Vec<&Attack> = ATTACKS.iter().filter(wanted).collect();
    if attacks.is_empty() {
        let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
        eprintln!("abuse: there is no such attack; write one of: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let mut all = Vec::new();
    for attack in attacks {
        all.push(measure(attack, &arguments).await);
    }
    print(&all);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&all).unwrap()).unwrap();
    }
    ExitCode::SUCCESS
}

async fn measure(attack: &'static Attack, arguments: &Arguments) -> Measured {
    let world = World::start().await;
    let time = Duration::from_secs(arguments.seconds);
    let good = Good::start(&world);
    let mut rounds = Vec::new();
    let mut attackers = String::new();
    let (mut before, mut during) = (0.0_f64, 0.0_f64);
    // What is made once at the start (memtables, caches) is not the attackers'.
    good.rate(time.min(Duration::from_secs(3))).await;
    for round in 1..=arguments.rounds {
        eprint!("{}: round {round} of {} … ", attack.name, arguments.rounds);
        let quiet = good.rate(time).await;
        before = before.max(world.memory_mib());
        let hostile = (attack.begin)(&world);
        let attacked = under(&good, &hostile, attack.tries, time).await;
        during = during.max(world.memory_mib());
        attackers = hostile.end().await;
        eprintln!(
            "{quiet:.0} good messages a second without it, {attacked:.0} with it; {attackers}"
        );
        rounds.push((quiet, attacked));
    }
    good.stop().await;
    world.stop().await;
    Measured { attack: attack.name, good: rounds, memory_mib: (before, during), attackers }
}

/// Good messages a second while the attack goes on: for the time, and until so much was tried.
async fn under(good: &Good, hostile: &Hostile, tries: u64, time: Duration) -> f64 {
    let begun = Instant::now();
    let (mut sum, mut parts) = (0.0, 0.0);
    while parts == 0.0 || (hostile.tried() < tries && begun.elapsed() < LONGEST) {
        sum += good.rate(time).await;
        parts += 1.0;
    }
    sum / parts
}

fn print(all: &[Measured]) {
    println!("\n| attack | good traffic keeps | memory before → during | the attackers |");
    println!("| --- | --- | --- | --- |");
    for measured in all {
        let mut shares: Vec<f64> =
            measured.good.iter().map(|(quiet, attacked)| attacked / quiet * 100.0).collect();
        shares.sort_by(f64::total_cmp);
        let at = |place: usize| shares.get(place).copied().unwrap_or_default();
        let (before, during) = measured.memory_mib;
        println!(
            "| {} | {:.0} % ({:.0} to {:.0}) | {before:.0} → {during:.0} MiB | {} |",
            measured.attack,
            at(shares.len() / 2),
            at(0),
            at(shares.len().saturating_sub(1)),
            measured.attackers
        );
    }
}
