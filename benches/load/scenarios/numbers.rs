//! What it costs to tell what happens: events, their sums and files, and those who ask, on against off.

use std::process::Stdio;
use std::time::Duration;

use ::tests::program;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::contender::{Contender, Setting, Tambo};
use crate::measure::Measured;
use crate::plain::{PlainLoad, PlainSink};
use crate::scenario::{Plan, Scenario, Wanted};

use super::SMALL_OCTETS;

/// How often metrics are read: Prometheus does so every 15 s.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let load = PlainLoad::new(SMALL_OCTETS, plan.small, plan.sessions);
    let about = "2 KiB: events neither stored nor read; stored, added up and written to files; \
                 and beside that followed by `tambo tail`, metrics read every second";
    let mut scenario = Scenario::new("numbers", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &["off", "on", "asked"], async |how| {
            let sink = PlainSink::start().await;
            let name = if how == "off" { "without-events" } else { "with-events" };
            let made = Contender::start(name, &Setting::smarthost(sink.address)).await;
            let watching = match &made {
                Contender::Tambo(tambo) if how == "asked" => Some(Watching::begin(tambo)),
                _ => None,
            };
            let send = load.send(made.address());
            let is_through = async || made.has_passed_on(load.messages).await;
            let measured = made.measure(load.messages, send, is_through).await;
            drop(watching);
            made.end().await;
            measured
        })
        .await;
    for how in ["on", "asked"] {
        scenario.compare(how, "off");
        let ratio = scenario.ratio(how, "off", Measured::through_rate);
        scenario.target(format!("speed with events {how}, of off"), ratio, Wanted::AtLeast(0.9));
    }
    scenario
}

/// Those who ask, until it is dropped.
struct Watching {
    _tail: Child,
    _scrapes: JoinSet<()>,
}

impl Watching {
    fn begin(tambo: &Tambo) -> Self {
        let tail = Command::new(program("tambo"))
            .args(["tail", "--json", "--config"])
            .arg(&tambo.relay.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = tambo.relay.address("admin");
        let mut scrapes = JoinSet::new();
        scrapes.spawn(async move {
            let mut every = tokio::time::interval(SCRAPE_EVERY);
            loop {
                every.tick().await;
                ::tests::relay::metrics_at(address).await;
            }
        });
        Self { _tail: tail, _scrapes: scrapes }
    }
}
