//! A destination that takes 200 ms for each reply, beside fast ones: what the fast ones lose by it.

use std::time::Duration;

use crate::contender::{Contender, Setting, Way, domain, host};
use crate::measure::Measured;
use crate::scenario::{Plan, Scenario};
use crate::sink::{Manners, Sink};
use crate::source::Load;

use super::SMALL_OCTETS;

const FAST: usize = 20;
const DELAY: Duration = Duration::from_millis(200);
/// Sessions that send to the slow one, beside those of the others.
const SLOW_SESSIONS: usize = 5;

const TAMBO: &str = "tambo";
const TAMBO_BESIDE: &str = "tambo, slow beside";
const POSTFIX: &str = "postfix";
const POSTFIX_BESIDE: &str = "postfix, slow beside";

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let fast = (0..FAST).map(|number| vec![format!("sink@{}", domain(number))]).collect();
    let load = Load::new(SMALL_OCTETS, plan.part(4), plan.sessions).to(fast);
    let slow = Load::new(SMALL_OCTETS, plan.part(20), SLOW_SESSIONS)
        .to(vec![vec![format!("sink@{}", domain(FAST))]]);
    let about = format!(
        "2 KiB to {FAST} fast domains; beside them {} messages to one of 200 ms a reply",
        slow.messages
    );
    let mut scenario = Scenario::new("slow", about, load.messages, load.sessions);
    scenario
        .run(plan.rounds, &[TAMBO, TAMBO_BESIDE, POSTFIX, POSTFIX_BESIDE], async |who| {
            let beside = [TAMBO_BESIDE, POSTFIX_BESIDE].contains(&who);
            let name = if [TAMBO, TAMBO_BESIDE].contains(&who) { "tambo" } else { "postfix" };
            one(name, &load, beside.then_some(&slow)).await
        })
        .await;
    scenario.compare(TAMBO_BESIDE, TAMBO);
    scenario.compare(POSTFIX_BESIDE, POSTFIX);
    scenario.compare(TAMBO_BESIDE, POSTFIX_BESIDE);
    scenario
}

/// Until all that goes to fast ones is there. What goes to the slow one is still on its way then, and left.
async fn one(contender: &str, load: &Load, beside: Option<&Load>) -> Measured {
    let manners = Manners { tls: None, slow: Some((host(FAST).into(), DELAY)) };
    let sink = Sink::start(manners).await;
    let made = Contender::start(contender, &Setting::new(Way::domains(FAST + 1, sink.port))).await;
    let to = made.address();
    // Ended with this scope, if it is not done by then.
    let mut others = tokio::task::JoinSet::new();
    if let Some(slow) = beside.cloned() {
        others.spawn(async move { slow.send(to).await });
    }
    let wanted = load.deliveries();
    let slow_one = format!("sink@{}", domain(FAST));
    let send = async {
        load.send(to).await;
    };
    let is_through =
        async || sink.counts.total().saturating_sub(sink.counts.of(&slow_one)) >= wanted;
    let measured = made.measure(load.messages, send, is_through).await;
    drop(others);
    made.end().await;
    load.check(&sink.counts);
    measured
}
