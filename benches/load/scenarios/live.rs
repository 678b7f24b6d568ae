//! Pages that move: the speed of the relay while fifty people look at Ahora, beside that while nobody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::contender::{Contender, Setting};
use crate::measure::Measured;
use crate::scenario::{Plan, Scenario, Wanted};
use crate::sink::{Manners, Sink};
use crate::source::Load;
use crate::visitor::Visitor;

use super::SMALL_OCTETS;

/// Pages that are open.
const PAGES: usize = 50;
const NOBODY: &str = "nobody looks";
const LOOKED_AT: &str = "50 live pages";

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    // Long enough that each page is told something several times.
    let load = Load::new(SMALL_OCTETS, plan.small * 4, plan.sessions);
    let about = format!("2 KiB, while {PAGES} pages show the figures as they move");
    let mut scenario = Scenario::new("live", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &[NOBODY, LOOKED_AT], async |who| {
            one(&load, if who == NOBODY { 0 } else { PAGES }).await
        })
        .await;
    scenario.columns = vec!["told"];
    scenario.compare(LOOKED_AT, NOBODY);
    let ratio = scenario.ratio(LOOKED_AT, NOBODY, Measured::through_rate);
    scenario.target("speed, of that while nobody looks", ratio, Wanted::AtLeast(0.95));
    scenario
}

async fn one(load: &Load, pages: usize) -> Measured {
    let sink = Sink::start(Manners::default()).await;
    let made = Contender::start("tambo", &Setting::smarthost(sink.address())).await;
    let Contender::Tambo(tambo) = &made else { return Measured::default() };
    let visitor = Visitor::enter(&tambo.relay.config, tambo.relay.address("admin")).await;
    let told = Arc::new(AtomicUsize::new(0));
    let mut looking = JoinSet::new();
    for _ in 0..pages {
        let (visitor, told) = (visitor.clone(), Arc::clone(&told));
        looking.spawn(async move {
            visitor
                .follow(|| {
                    told.fetch_add(1, Ordering::Relaxed);
                })
                .await;
        });
    }
    let (to, wanted) = (made.address(), load.deliveries());
    let send = async {
        load.send(to).await;
    };
    let is_through = async || sink.counts.total() >= wanted;
    let mut measured = made.measure(load.messages, send, is_through).await;
    assert!(looking.try_join_next().is_none(), "a page stopped moving");
    let told = told.load(Ordering::Relaxed);
    assert!(told >= pages, "not all pages moved: {told}");
    measured.more.insert("told", told as f64);
    looking.shutdown().await;
    made.end().await;
    measured
}
