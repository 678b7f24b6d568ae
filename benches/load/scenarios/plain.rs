//! Small and large messages to one destination: Postfix's own load and sink, which know how to do that.

use crate::contender::{Contender, Setting};
use crate::disk;
use crate::measure::Measured;
use crate::plain::{PlainLoad, PlainSink};
use crate::scenario::{Plan, Scenario, Wanted};

use super::SMALL_OCTETS;

/// Octets of a large message.
const LARGE_OCTETS: usize = 100_000;

/// 2 KiB.
pub async fn small(plan: &Plan) -> Scenario {
    let load = PlainLoad::new(SMALL_OCTETS, plan.small, plan.sessions);
    let scenario = Scenario::new("small", "2 KiB", load.messages, load.sessions);
    beside(scenario, plan, &load, (6.5, 0.6)).await
}

/// 100 kB, with what the disk does beside it.
pub async fn large(plan: &Plan) -> Scenario {
    let load = PlainLoad::new(LARGE_OCTETS, plan.large, plan.sessions);
    let mut scenario = Scenario::new("large", "100 kB", load.messages, load.sessions);
    eprintln!("large: what the disk does with a sync for each MB … ");
    scenario.notes.push(match disk::octets_a_second() {
        Ok(rate) => format!(
            "the disk, a sync for each MB (fio): {:.0} MB/s, which is {:.0} such messages a second",
            rate / 1e6,
            rate / LARGE_OCTETS as f64
        ),
        Err(why) => format!("what the disk does is not known: {why}"),
    });
    beside(scenario, plan, &load, (3.2, 0.65)).await
}

async fn beside(
    mut scenario: Scenario,
    plan: &Plan,
    load: &PlainLoad,
    (of_postfix, of_direct): (f64, f64),
) -> Scenario {
    scenario
        .run(plan.rounds, &["direct", "tambo", "postfix"], async |contender| {
            let sink = PlainSink::start().await;
            run(contender, load, Setting::smarthost(sink.address)).await
        })
        .await;
    scenario.compare("tambo", "postfix");
    scenario.compare("tambo", "direct");
    let ratio = scenario.ratio("tambo", "postfix", Measured::through_rate);
    scenario.target("speed, of Postfix's", ratio, Wanted::AtLeast(of_postfix));
    let ratio = scenario.ratio("tambo", "direct", Measured::through_rate);
    scenario.target("speed, of the direct line's", ratio, Wanted::AtLeast(of_direct));
    let ratio = scenario.ratio("tambo", "postfix", Measured::cpu_per_thousand);
    scenario.target("CPU of a message, of Postfix's", ratio, Wanted::AtMost(0.1));
    scenario
}

/// The load through a contender, until all of it is passed on.
pub async fn run(contender: &str, load: &PlainLoad, setting: Setting) -> Measured {
    let made = Contender::start(contender, &setting).await;
    let send = load.send(made.address());
    let is_through = async || made.has_passed_on(load.messages).await;
    let measured = made.measure(load.messages, send, is_through).await;
    made.end().await;
    measured
}
