//! How long a client waits from its final dot to the `250`, when a tenth of what the relay can do comes
//! in: beside the time of one sync of the same disk, and beside a destination that answers at once without a relay,
//! in the same run. That is what the machine takes for waking those who talk; no relay answers sooner.

use std::cell::Cell;

use crate::contender::{Contender, Setting};
use crate::disk;
use crate::measure::{Measured, Spread, percentile};
use crate::scenario::{Plan, Scenario, Wanted};
use crate::sink::{Manners, Sink};
use crate::source::Load;

use super::SMALL_OCTETS;

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let messages = plan.part(4);
    let about = "2 KiB, at a tenth of the speed that a run at full speed just had";
    let mut scenario = Scenario::new("latency", about, messages, plan.sessions);
    // The direct line gets as much a second as the relay before it.
    let full = Cell::new(0.0);
    scenario
        .run(plan.rounds, &["tambo", "direct"], async |contender| {
            let measured = one(contender, plan, messages, full.get()).await;
            full.set(measured.figure("full_speed"));
            measured
        })
        .await;
    scenario.columns = vec!["wait_p50_ms", "wait_p99_ms", "sync_ms", "full_speed"];
    let ratio = Spread::of(
        scenario.rounds("tambo").iter().map(|it| it.figure("wait_p99_ms") / it.figure("sync_ms")),
    );
    scenario.target("p99 from final dot to 250, in sync times", ratio, Wanted::AtMost(3.0));
    scenario
}

async fn one(contender: &str, plan: &Plan, messages: usize, known: f64) -> Measured {
    let sink = Sink::start(Manners::default()).await;
    let made = Contender::start(contender, &Setting::smarthost(sink.address())).await;
    let burst = Load::new(SMALL_OCTETS, plan.part(2), plan.sessions);
    let to = made.address();
    let send = async {
        burst.send(to).await;
    };
    let wanted = burst.deliveries();
    let measured = made
        .measure(burst.messages, send, async || sink.counts.total() >= wanted)
        .await
        .through_rate();
    let full = if contender == "direct" { known } else { measured };
    let paced = Load::new(SMALL_OCTETS, messages, plan.sessions).at_rate(full / 10.0);
    let wanted = wanted + paced.deliveries();
    let before = disk::sync_ms().middle;
    let mut waits = Vec::new();
    let send = async {
        waits = paced.send(to).await;
    };
    let mut measured = made.measure(messages, send, async || sink.counts.total() >= wanted).await;
    let sync_ms = f64::midpoint(before, disk::sync_ms().middle);
    made.end().await;
    measured.more.insert("wait_p50_ms", percentile(&waits, 50) * 1000.0);
    measured.more.insert("wait_p99_ms", percentile(&waits, 99) * 1000.0);
    measured.more.insert("sync_ms", sync_ms);
    measured.more.insert("full_speed", full);
    measured
}
