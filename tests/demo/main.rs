//! `make demo`: the main job on a small internet of its own. No configuration, no root.

#![expect(clippy::print_stdout, reason = "it talks to a person")]

mod report;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::time::Instant;

use report::Report;
use world::{MESSAGES, World};

/// Time for everything to be delivered or refused.
const PATIENCE: Duration = Duration::from_mins(2);

/// Shows the relay at work.
#[derive(Parser)]
struct Arguments {
    /// End when the work is done; exit code 0 only if every message is accounted for.
    #[arg(long)]
    exit: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    println!("A small internet on loopback: a DNS server, mail servers on 127.0.1.x, and a relay");
    println!("with 18 source addresses (127.0.0.11 to 127.0.0.28).\n");
    let world = World::build().await?;
    let started = Instant::now();
    let (report, sent) = watch(&world, started).await?;
    eprintln!("\n");
    println!("{}", report.table(&world, sent));
    let missing = report.account_for(&world);
    for line in missing.iter().take(20) {
        println!("NOT ACCOUNTED FOR: {line}");
    }
    if missing.is_empty() {
        println!(
            "Every one of the {MESSAGES} messages is accounted for: what the mail servers recorded was"
        );
        println!("compared octet for octet with what was sent.");
    }
    if !arguments.exit {
        stay(&world).await;
    }
    world.stop().await;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("{} messages are not accounted for", missing.len()))
    }
}

/// Sends everything and shows how far it is, until all of it has ended.
async fn watch(world: &World, started: Instant) -> Result<(Report, Duration), String> {
    let sending = world.send_all();
    tokio::pin!(sending);
    let mut sent = None;
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            done = &mut sending, if sent.is_none() => {
                done?;
                sent = Some(started.elapsed());
            }
            _ = ticks.tick() => {
                let report = Report::read(world);
                eprint!("\r{}", report.progress(MESSAGES));
                if sent.is_some() && report.ended() >= MESSAGES && report.notices_arrived(world) {
                    return Ok((report, sent.unwrap_or_default()));
                }
                if started.elapsed() > PATIENCE {
                    eprintln!();
                    println!("{}", report.table(world, started.elapsed()));
                    return Err(format!("after {PATIENCE:?} not everything has ended"));
                }
            }
        }
    }
}

async fn stay(world: &World) {
    let tambo = tests::program("tambo");
    let config = world.relay.config.display();
    println!("\nThe relay stays up until Ctrl-C. To try:\n");
    println!("  export TAMBO_CONFIG={config}");
    for command in [
        "queue list".to_owned(),
        "sources list".to_owned(),
        "trace persona-1@rapido.example".to_owned(),
        "trace nadie-4@rechaza.example".to_owned(),
        "trace tag:acto-2026".to_owned(),
    ] {
        println!("  {} {command}", tambo.display());
    }
    println!("  curl http://{}/metrics", world.relay.address("admin"));
    println!(
        "  swaks --server {} --from yo@institucion.example --to persona@rapido.example",
        world.relay.address("relay")
    );
    let _ = tokio::signal::ctrl_c().await;
    println!();
}
