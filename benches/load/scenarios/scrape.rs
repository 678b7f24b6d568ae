//! How long Prometheus waits for the metrics of a relay with many sources and sites.

use std::fmt::Write as _;

use tokio::time::Instant;

use crate::contender::{Contender, Setting, Way, domain};
use crate::measure::percentile;
use crate::scenario::{Plan, Scenario, Wanted};
use crate::sink::{Manners, Sink};
use crate::source::Load;

/// Destinations, each a site.
const SITES: usize = 10_000;
/// Addresses that mail is sent from.
const SOURCES: usize = 18;
/// Times that the metrics are read.
const SCRAPES: usize = 100;

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let envelopes = (0..SITES).map(|number| vec![format!("sink@{}", domain(number))]).collect();
    let load = Load::new(100, SITES, plan.sessions).to(envelopes);
    let about = format!("metrics, after a mail to each of {SITES} sites from {SOURCES} sources");
    let mut scenario = Scenario::new("scrape", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &["tambo"], async |contender| {
            let sink = Sink::start(Manners::default()).await;
            let setting =
                Setting { sections: sources(), ..Setting::new(Way::domains(SITES, sink.port)) };
            let made = Contender::start(contender, &setting).await;
            let send = async {
                load.send(made.address()).await;
            };
            // Those whose names the DNS server of the test did not tell in time come later.
            let is_through = async || sink.counts.total() * 100 >= load.deliveries() * 95;
            let mut measured = made.measure(load.messages, send, is_through).await;
            if let Contender::Tambo(tambo) = &made {
                let (mut waits, mut series) = (Vec::new(), 0);
                for _ in 0..SCRAPES {
                    let begun = Instant::now();
                    let page = tambo.relay.metrics().await;
                    waits.push(begun.elapsed().as_secs_f64() * 1_000.0);
                    series = page.lines().filter(|line| line.starts_with("tambo_")).count();
                }
                measured.more.insert("scrape_p50_ms", percentile(&waits, 50));
                measured.more.insert("scrape_p99_ms", percentile(&waits, 99));
                measured.more.insert("series", series as f64);
            }
            made.end().await;
            measured
        })
        .await;
    scenario.columns = vec!["scrape_p50_ms", "scrape_p99_ms", "series"];
    let waits = scenario.spread("tambo", |run| run.figure("scrape_p99_ms"));
    scenario.target("p99 of a scrape, ms", waits, Wanted::AtMost(20.0));
    let series = scenario.spread("tambo", |run| run.figure("series"));
    scenario.target("series", series, Wanted::AtMost(2_000.0));
    scenario
}

fn sources() -> String {
    let mut text = String::new();
    for number in 1..=SOURCES {
        let _ = write!(
            text,
            "[[source]]\nname = \"ip-{number:02}\"\naddress = \"127.0.0.{}\"\nhelo = \"ip-{number:02}.relay.example\"\n",
            number + 10
        );
    }
    text
}
