//! Messages to many recipients at many domains: one body, one delivery for each domain.

use crate::contender::{Setting, Way, domain};
use crate::scenario::{Plan, Scenario};
use crate::sink::{Manners, Sink};
use crate::source::Load;

use super::{SMALL_OCTETS, through};

const DOMAINS: usize = 20;
const RECIPIENTS: usize = 100;

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let envelope = (0..RECIPIENTS)
        .map(|number| format!("r{number}@{}", domain(number % DOMAINS)))
        .collect::<Vec<_>>();
    let load = Load::new(SMALL_OCTETS, plan.part(40), plan.sessions).to(vec![envelope]);
    let about = format!("2 KiB to {RECIPIENTS} recipients at {DOMAINS} domains");
    let mut scenario = Scenario::new("recipients", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &["direct", "tambo", "postfix"], async |contender| {
            let sink = Sink::start(Manners::default()).await;
            let setting = Setting::new(Way::domains(DOMAINS, sink.port));
            through(contender, &setting, &load, &sink).await
        })
        .await;
    scenario.compare("tambo", "postfix");
    scenario.compare("tambo", "direct");
    scenario
}
