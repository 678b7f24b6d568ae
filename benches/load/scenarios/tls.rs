//! TLS on both sides: clients that must, and a destination that offers it.

use ::tests::certificate::Certificate;

use crate::contender::{HOSTNAME, Setting};
use crate::scenario::{Plan, Scenario};
use crate::sink::{Manners, Sink};
use crate::source::Load;

use super::{SMALL_OCTETS, through};

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let messages = plan.part(4);
    let about = "2 KiB, TLS on both sides";
    let mut scenario = Scenario::new("tls", about, messages, plan.sessions);
    scenario
        .run(plan.rounds, &["direct", "tambo", "postfix"], async |contender| {
            let certificate = Certificate::new(&[HOSTNAME]);
            let manners = Manners { tls: Some(certificate.acceptor()), slow: None };
            let sink = Sink::start(manners).await;
            let load = Load::new(SMALL_OCTETS, messages, plan.sessions).with_tls(&certificate);
            let setting =
                Setting { certificate: Some(certificate), ..Setting::smarthost(sink.address()) };
            let measured = through(contender, &setting, &load, &sink).await;
            assert_eq!(sink.counts.in_clear(), 0, "messages that came to the sink in clear");
            measured
        })
        .await;
    scenario.compare("tambo", "postfix");
    scenario.compare("tambo", "direct");
    scenario
}
