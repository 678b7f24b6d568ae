//! Nothing but taking mail in: the destination takes connections and never says a word, so that all of it
//! stays in the queue. Measured by the clients, until the last `250`.

use crate::contender::{Contender, Setting};
use crate::measure::Measured;
use crate::plain::{PlainLoad, PlainSink};
use crate::scenario::{Plan, Scenario, Wanted};
use crate::sink::Silent;

use super::SMALL_OCTETS;

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let load = PlainLoad::new(SMALL_OCTETS, plan.small, plan.sessions);
    let about = "2 KiB, taken in and kept";
    let mut scenario = Scenario::new("accept", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &["direct", "tambo", "postfix"], async |contender| {
            let (silent, sink) = (Silent::start().await, PlainSink::start().await);
            let to = if contender == "direct" { sink.address } else { silent.address };
            let made = Contender::start(contender, &Setting::smarthost(to)).await;
            let send = load.send(made.address());
            let measured = made.measure(load.messages, send, async || true).await;
            made.end().await;
            measured
        })
        .await;
    scenario.compare("tambo", "postfix");
    scenario.compare("tambo", "direct");
    let rate = scenario.spread("tambo", Measured::accepted_rate);
    scenario.target("messages a second", rate, Wanted::AtLeast(4000.0));
    let ratio = scenario.ratio("tambo", "direct", Measured::accepted_rate);
    scenario.or("speed, of the direct line's", ratio, Wanted::AtLeast(0.8));
    scenario
}
