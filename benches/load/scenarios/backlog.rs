//! A queue full of deferred mail: how soon the relay is ready on it, what memory it takes, and how fast new
//! mail goes beside it. The spool is written once, by `preload.rs`; each round starts on it after a kill.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::contender::{Contender, Setting, Tambo, Way, tambo_config};
use crate::disk;
use crate::measure::Measured;
use crate::plain::{PlainLoad, PlainSink};
use crate::preload;
use crate::processes::cpu_secs;
use crate::scenario::{Plan, Scenario, Wanted};

use super::SMALL_OCTETS;

const NONE: &str = "empty queue";
const FULL: &str = "full queue";
/// How often is looked whether a relay has come to rest, and how long that may take.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(3);
/// CPU seconds a second of a relay at rest.
const AT_REST: f64 = 0.05;

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let load = PlainLoad::new(SMALL_OCTETS, plan.small, plan.sessions);
    let about = format!("2 KiB beside {} deferred messages", plan.backlog);
    let mut scenario = Scenario::new("backlog", about, load.messages, load.sessions);
    let folder = disk::folder();
    // Nobody listens there: nothing of the backlog is due.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let text = tambo_config(folder.path(), &setting(nowhere), nowhere);
    preload::fill(folder.path(), &text, plan.backlog, 0).await;
    scenario
        .run(plan.rounds, &[NONE, FULL], async |queue| {
            let empty = disk::folder();
            let folder = if queue == FULL { folder.path() } else { empty.path() };
            one(folder, &load).await
        })
        .await;
    scenario.columns = vec!["waiting", "ready_secs", "at_rest_secs"];
    scenario.compare(FULL, NONE);
    let ratio = scenario.ratio(FULL, NONE, Measured::through_rate);
    scenario.target("speed, of that with an empty queue", ratio, Wanted::AtLeast(0.9));
    let peak = scenario.spread(FULL, |run| run.peak_mib);
    scenario.target("peak memory, MiB", peak, Wanted::AtMost(300.0));
    let ready = scenario.spread(FULL, |run| run.figure("ready_secs"));
    scenario.target("seconds from start to ready, after a kill", ready, Wanted::AtMost(3.0));
    scenario
}

/// The load goes to its sink, everything else by MX.
fn setting(sink: SocketAddr) -> Setting {
    let way = Way::Hosts { hosts: Vec::new(), port: 25 };
    let sections = format!(
        "[[route]]\nrecipients = [\"*@sink.example\"]\n\
         smarthost = {{ host = \"{}\", port = {}, tls = \"off\" }}\n",
        sink.ip(),
        sink.port()
    );
    Setting { sections, ..Setting::new(way) }
}

async fn one(folder: &Path, load: &PlainLoad) -> Measured {
    let sink = PlainSink::start().await;
    let started = Instant::now();
    let tambo = Tambo::start(folder, &setting(sink.address)).await;
    let ready = started.elapsed();
    let waiting = tambo.relay.metric("tambo_queue_messages").await;
    comes_to_rest(tambo.relay.pid().as_raw()).await;
    let at_rest = started.elapsed();
    let made = Contender::Tambo(Box::new(tambo));
    let send = load.send(made.address());
    let is_through = async || made.has_passed_on(load.messages).await;
    let mut measured = made.measure(load.messages, send, is_through).await;
    made.end().await;
    measured.more.insert("waiting", waiting as f64);
    measured.more.insert("ready_secs", ready.as_secs_f64());
    measured.more.insert("at_rest_secs", at_rest.as_secs_f64());
    measured
}

/// After a start on a full queue there is something to tidy up: new mail is measured when that is done.
pub(super) async fn comes_to_rest(pid: i32) {
    let until = Instant::now() + PATIENCE;
    let mut used = cpu_secs(pid);
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        let before = std::mem::replace(&mut used, cpu_secs(pid));
        if used - before < AT_REST * LOOK.as_secs_f64() {
            return;
        }
    }
    eprintln!("backlog: the relay does not come to rest; it is measured as it is");
}
