//! The pages of the web with everything behind them that an institution has: a full queue over a thousand domains,
//! thirty days of events, 18 sources, and mail that has just gone to a thousand sites. Each page is asked for
//! ten times by one who has come in; the median may take 50 ms.

use std::fmt::Write as _;

use crate::contender::{Contender, Setting, Tambo, Way, domain, tambo_config};
use crate::disk;
use crate::history::{SOURCES, source};
use crate::measure::Spread;
use crate::preload;
use crate::scenario::{Plan, Scenario, Wanted};
use crate::sink::{Manners, Sink};
use crate::source::Load;
use crate::visitor::Visitor;

use super::SMALL_OCTETS;
use super::backlog::comes_to_rest;

/// What each page is asked for.
const TIMES: usize = 10;
/// Milliseconds of the median at most.
const MOST: f64 = 50.0;
/// Domains that mail goes to while the relay runs.
const DOMAINS: usize = 1_000;
/// The pages; `{message}` is one that waits.
const PAGES: [&str; 31] = [
    "/",
    "/sources",
    "/sources?t=0&sort=-2",
    "/sources/ip-01",
    "/forecast",
    "/queue",
    "/queue?by=domain",
    "/queue?by=account",
    "/queue?by=tag",
    "/queue?by=pool",
    "/queue/deliveries",
    "/queue/deliveries?domain=b7.example",
    "/queue/act?action=hold&domain=b7.example",
    "/messages",
    "/messages?since=30d",
    "/messages?by=recipient&q=r7@b7.example&since=30d",
    "/messages?by=domain&q=b7.example&since=24h",
    "/messages?state=bounced&since=30d",
    "/messages/{message}",
    "/explain?recipient=a@d7.example",
    "/bounces",
    "/bounces?since=30d",
    "/suppression",
    "/providers",
    "/reports?day=today",
    "/reports?month=this",
    "/reports?month=last",
    "/settings",
    "/settings/accounts",
    "/settings/users",
    "/settings/audit",
];

/// Runs it.
pub async fn run(plan: &Plan) -> Scenario {
    let sink = Sink::start(Manners::default()).await;
    let setting = setting(sink.port);
    let folder = disk::folder();
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let text = tambo_config(folder.path(), &setting, nowhere);
    preload::fill(folder.path(), &text, plan.backlog, plan.events).await;
    let envelopes = (0..DOMAINS).map(|number| vec![format!("sink@{}", domain(number))]).collect();
    let load = Load::new(SMALL_OCTETS, plan.part(2), plan.sessions).to(envelopes);
    let about = format!(
        "pages beside {} deferred messages, {} events of 30 days, {SOURCES} sources",
        plan.backlog, plan.events
    );
    let mut scenario = Scenario::new("web", about, load.messages, load.sessions);
    scenario.must = true;
    let tambo = Tambo::start(folder.path(), &setting).await;
    comes_to_rest(tambo.relay.pid().as_raw()).await;
    let made = Contender::Tambo(Box::new(tambo));
    let (to, wanted) = (made.address(), load.deliveries());
    let send = async {
        load.send(to).await;
    };
    let measured = made.measure(load.messages, send, async || sink.counts.total() >= wanted).await;
    scenario.results.push(("tambo", vec![measured]));
    let Contender::Tambo(tambo) = &made else { return scenario };
    comes_to_rest(tambo.relay.pid().as_raw()).await;
    let visitor = Visitor::enter(&tambo.relay.config, tambo.relay.address("admin")).await;
    let message = waiting(&visitor).await;
    for page in PAGES {
        let path = page.replace("{message}", &message);
        let mut took = Vec::new();
        for _ in 0..TIMES {
            took.push(visitor.look(&path).await.0.as_secs_f64() * 1000.0);
        }
        let first = took.first().copied().unwrap_or(0.0);
        let spread = Spread::of(took);
        eprintln!(
            "web: {page}: median {:.1} ms, worst {:.1}, first {first:.1}",
            spread.middle, spread.most
        );
        scenario.target(page, spread, Wanted::AtMost(MOST));
    }
    made.end().await;
    scenario
}

/// A message that waits, from the page that lists them.
async fn waiting(visitor: &Visitor) -> String {
    let (_, page) = visitor.look("/queue/deliveries").await;
    let after =
        page.split("href=\"/messages/").nth(1).unwrap_or_else(|| panic!("nothing waits: {page}"));
    after.split(['"', '?']).next().unwrap().to_owned()
}

/// 18 sources in one pool.
fn setting(port: u16) -> Setting {
    let mut sections = "pool = \"bulk\"\n".to_owned();
    let mut names = String::new();
    for number in 0..SOURCES {
        let name = source(number);
        let _ = write!(
            sections,
            "[[source]]\nname = \"{name}\"\naddress = \"127.0.0.{}\"\nhelo = \"m{number}.relay.example\"\n",
            number + 11
        );
        let _ = write!(names, "\"{name}\", ");
    }
    let _ = write!(sections, "[[pool]]\nname = \"bulk\"\nsources = [{names}]\n");
    let way = Way::domains(DOMAINS, port);
    Setting { sections, ..Setting::new(way) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let text = tambo_config(folder.path(), &setting(25), nowhere);
        let config = relay_config::load(&text, "tambo.toml");
        let config = config.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")).config;
        assert_eq!(config.sources.len(), SOURCES);
    }
}
