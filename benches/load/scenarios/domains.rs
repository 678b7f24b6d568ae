//! A thousand destinations, each with a host of its own: names are asked for, connections opened for a
//! few messages each.

use crate::contender::{Setting, Way, domain};
use crate::scenario::{Plan, Scenario};
use crate::sink::{Manners, Sink};
use crate::source::Load;

use super::{SMALL_OCTETS, through};

const DOMAINS: usize = 1_000;

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let envelopes = (0..DOMAINS).map(|number| vec![format!("sink@{}", domain(number))]).collect();
    let load = Load::new(SMALL_OCTETS, plan.part(2), plan.sessions).to(envelopes);
    let about = format!("2 KiB to {DOMAINS} domains in turn");
    let mut scenario = Scenario::new("domains", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &["direct", "tambo", "postfix"], async |contender| {
            let sink = Sink::start(Manners::default()).await;
            let setting = Setting::new(Way::domains(DOMAINS, sink.port));
            through(contender, &setting, &load, &sink).await
        })
        .await;
    scenario.compare("tambo", "postfix");
    scenario.compare("tambo", "direct");
    scenario.notes.push(
        "Tambo asks a DNS server for each domain; Postfix reads them from a table".to_owned(),
    );
    scenario
}
