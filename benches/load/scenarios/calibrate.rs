//! Load and sink of this tool beside `smtp-source` and `smtp-sink`, without a relay between them: how
//! much of the machine the tool itself takes.

use crate::contender::{Contender, Setting};
use crate::plain::{PlainLoad, PlainSink};
use crate::scenario::{Plan, Scenario};
use crate::sink::{Manners, Sink};
use crate::source::Load;

use super::SMALL_OCTETS;

const PLAIN: &str = "theirs to theirs";
const OWN: &str = "ours to ours";
const OWN_SINK: &str = "theirs to ours";
const OWN_SOURCE: &str = "ours to theirs";

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let messages = plan.small;
    let about = "smtp-source and smtp-sink beside load and sink of this tool, 2 KiB";
    let mut scenario = Scenario::new("calibrate", about, messages, plan.sessions);
    let load_of_theirs = PlainLoad::new(SMALL_OCTETS, messages, plan.sessions);
    let load_of_ours = Load::new(SMALL_OCTETS, messages, plan.sessions);
    scenario
        .run(plan.rounds, &[PLAIN, OWN, OWN_SINK, OWN_SOURCE], async |who| {
            let ours = Sink::start(Manners::default()).await;
            let theirs = PlainSink::start().await;
            let to = if [OWN, OWN_SINK].contains(&who) { ours.address() } else { theirs.address };
            let direct = Contender::start("direct", &Setting::smarthost(to)).await;
            let send = async {
                if [OWN, OWN_SOURCE].contains(&who) {
                    load_of_ours.send(to).await;
                } else {
                    load_of_theirs.send(to).await;
                }
            };
            direct.measure(messages, send, async || true).await
        })
        .await;
    scenario.compare(OWN, PLAIN);
    scenario.compare(OWN_SINK, PLAIN);
    scenario.compare(OWN_SOURCE, PLAIN);
    scenario
}
