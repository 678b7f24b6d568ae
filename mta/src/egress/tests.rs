//! Egress as dispatch drives it: what is opened, what each connection pulls, what waits.

mod fairness;
mod hearing;
mod hosts;
mod limits;
mod warming;

use std::sync::Arc;
use std::time::Duration;

use relay_config::config::{Pool, Rotation};

use super::connection::{Action, ConnectionId, Pull};
use super::examples::{Mail, pool_of, settings, source};
use super::push::{Refused, WaitsFor};
use super::{Destination, Egress, LaneKey, Reason, SiteKind, Sources};
use crate::message::{
    EnhancedCode, Failure, Fault, Lane, Priority, Reply, Retry, Scope, Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_764_028_800_000);

struct World {
    egress: Egress<Mail>,
    to: Destination,
    pool: Arc<str>,
    now: Timestamp,
}

const TWO_OF_FIVE: &str = "connections = 2\nconnections_total = 5\nmessages_per_connection = 3\n";

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("ip-{n}")).collect()
}

fn world(sources: usize, limits: &str, connections_max: usize) -> World {
    let pool = pool_of("p", &names(sources), Rotation::Adaptive);
    world_of(sources, vec![pool], limits, connections_max)
}

fn world_of(sources: usize, pools: Vec<Pool>, limits: &str, connections_max: usize) -> World {
    let pools: Vec<Arc<Pool>> = pools.into_iter().map(Arc::new).collect();
    let made: Vec<_> = names(sources).iter().map(source).collect();
    let pool = Arc::clone(&pools[0].name);
    let sources = Sources::new(&made, &pools, |_| true);
    // Long after the start: buckets are not empty any more.
    let started = NOW.before(Duration::from_hours(24));
    let egress = Egress::new(sources, settings(limits, connections_max), started);
    World { egress, to: to("mx.x.pe"), pool, now: NOW }
}

fn to(site: &str) -> Destination {
    Destination { site: site.into(), host_set: site.into(), kind: SiteKind::Mx }
}

fn at_google(domain: &str) -> Destination {
    let host_set = format!("mx.{domain}").into();
    Destination { site: "google".into(), host_set, kind: SiteKind::Provider("google".into()) }
}

fn key() -> LaneKey {
    lane(0, 0)
}

fn lane(priority: i8, account: u32) -> LaneKey {
    ("x.pe".into(), Lane { priority: Priority::new(priority), account, tag: 0 })
}

fn failure() -> Failure {
    Failure {
        scope: Scope::Site,
        fault: Fault::Peer,
        retry: Retry::Later(None),
        reply: Reply::new(450, EnhancedCode::new(4, 4, 1), "refused"),
        phase: None,
        cause: "refused".to_owned(),
    }
}

impl World {
    fn push_to(&mut self, to: &Destination, key: LaneKey, mail: Mail) -> Result<(), Refused> {
        let pushed = self.egress.push(to, &self.pool, key, mail, self.now);
        pushed.map_err(|(_, refused)| refused)
    }

    fn push(&mut self, items: std::ops::Range<u32>) {
        for item in items {
            self.push_to(&self.to.clone(), key(), Mail::new(item)).unwrap();
        }
    }

    fn balance(&mut self, site: &str) -> Vec<Action> {
        self.egress.balance(&site.into(), self.now)
    }

    /// Opens what is wanted at a site; returns what came up and from where.
    fn open_at(&mut self, site: &str) -> Vec<(ConnectionId, String)> {
        let opened: Vec<_> = self
            .balance(site)
            .into_iter()
            .filter_map(|action| match action {
                Action::Open { connection, source, .. } => {
                    Some((connection, source.name.to_string()))
                }
                Action::Wake(_) => None,
            })
            .collect();
        for (id, _) in &opened {
            self.egress.opened(*id, self.now);
        }
        opened
    }

    fn open(&mut self) -> Vec<(ConnectionId, String)> {
        let site = Arc::clone(&self.to.site);
        self.open_at(&site)
    }

    fn open_one(&mut self) -> ConnectionId {
        let site = Arc::clone(&self.to.site);
        match self.balance(&site)[..] {
            [Action::Open { connection, .. }] => connection,
            ref other => unreachable!("{other:?}"),
        }
    }

    /// What a connection pulls: the number of a delivery, or a word.
    fn pull(&mut self, id: ConnectionId) -> String {
        loop {
            return match self.egress.pull(id, self.now) {
                Pull::Deliver { item, .. } => item.number.to_string(),
                Pull::Idle => "idle".to_owned(),
                Pull::Wait(until) => format!("wait {}", until.since(self.now).as_secs()),
                Pull::Close => "close".to_owned(),
                Pull::Save => {
                    let savings = self.egress.to_save(self.now);
                    assert!(!savings.is_empty(), "there must be something to save");
                    self.egress.saved(&savings);
                    continue;
                }
            };
        }
    }

    fn close(&mut self, id: ConnectionId) {
        self.egress.closed(id, self.now);
    }

    /// Delivers all that may go until nothing more happens; returns from where each went.
    fn run_at(&mut self, site: &str) -> Vec<String> {
        let mut from = Vec::new();
        let mut open: Vec<(ConnectionId, String)> = Vec::new();
        for _ in 0..10_000 {
            open.extend(self.open_at(site));
            let Some((id, source)) = open.pop() else { return from };
            loop {
                let pulled = self.pull(id);
                if pulled.parse::<u32>().is_err() {
                    break;
                }
                from.push(source.clone());
            }
            self.close(id);
        }
        from
    }
}

fn count(from: &[String]) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for source in from {
        *counts.entry(source.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[test]
fn no_more_connections_than_path_and_site_allow() {
    let mut world = world(3, TWO_OF_FIVE, 100);
    world.push(0..1000);
    let mut open = Vec::new();
    for _ in 0..10 {
        open.extend(world.open());
    }
    let names: Vec<_> = open.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["ip-0", "ip-0", "ip-1", "ip-1", "ip-2"], "one source after the other");
    for item in 0..3 {
        assert_eq!(world.pull(open[0].0), item.to_string());
    }
    assert_eq!(world.pull(open[0].0), "close");
    world.close(open[0].0);
    assert_eq!(world.open()[0].1, "ip-0");
}

#[test]
fn one_message_opens_one_connection_and_an_idle_one_is_used_again() {
    let mut world = world(3, TWO_OF_FIVE, 100);
    world.push(0..1);
    let open = world.open();
    assert_eq!(open.len(), 1);
    assert_eq!((world.pull(open[0].0), world.pull(open[0].0)), ("0".into(), "idle".into()));
    world.push(1..2);
    assert_eq!(world.balance("mx.x.pe"), [Action::Wake(open[0].0)]);
    assert_eq!(world.pull(open[0].0), "1");
}

#[test]
fn the_relay_as_a_whole_has_a_limit_and_who_starved_is_served_next() {
    let mut world = world(3, TWO_OF_FIVE, 1);
    world.push(0..1);
    let first = world.open();
    world.push_to(&to("mx.y.pe"), key(), Mail::new(9)).unwrap();
    assert_eq!(world.balance("mx.y.pe"), []);
    world.close(first[0].0);
    assert_eq!(world.egress.next_with_room().as_deref(), Some("mx.y.pe"));
    assert_eq!(world.balance("mx.y.pe").len(), 1);
    assert_eq!(world.egress.next_with_room(), None);
}

#[test]
fn an_idle_connection_makes_room() {
    let mut world = world(3, TWO_OF_FIVE, 1);
    world.push(0..1);
    let first = world.open()[0].0;
    assert_eq!((world.pull(first), world.pull(first)), ("0".into(), "idle".into()));
    world.push_to(&to("mx.y.pe"), key(), Mail::new(9)).unwrap();
    assert_eq!(world.balance("mx.y.pe"), [Action::Wake(first)]);
    assert_eq!(world.balance("mx.y.pe"), [], "one is enough");
    assert_eq!(world.pull(first), "close");
}

#[test]
fn in_round_robin_each_delivery_goes_from_the_next_source() {
    let pool = pool_of("p", &names(18), Rotation::RoundRobin);
    let mut world = world_of(18, vec![pool], "connections_total = 4\n", 100);
    world.push(0..36);
    let from = world.run_at("mx.x.pe");
    let counts = count(&from);
    assert_eq!(counts.len(), 18, "{counts:?}");
    assert!(counts.iter().all(|(_, count)| *count == 2), "{counts:?}");
}

#[test]
fn a_source_that_may_not_go_is_passed_over_in_its_turn() {
    let pool = pool_of("p", &names(3), Rotation::RoundRobin);
    let mut world = world_of(3, vec![pool], TWO_OF_FIVE, 100);
    world.push(0..6);
    world.egress.source_lost("ip-1", NOW);
    assert_eq!(count(&world.run_at("mx.x.pe")).iter().map(|it| it.1).sum::<usize>(), 6);
    world.push(6..12);
    let counts = count(&world.run_at("mx.x.pe"));
    assert_eq!(counts, [("ip-0".to_owned(), 3), ("ip-2".to_owned(), 3)]);
}

#[test]
fn small_volumes_concentrate_and_large_ones_grow() {
    let mut world = world(18, "connections = 5\nconnections_total = 90\nrate = \"1500/h\"\n", 1000);
    world.push(0..40);
    assert_eq!(world.open().len(), 5, "one source takes so few in less than two minutes");
    world.push(40..2000);
    let open = world.open();
    let sources: std::collections::BTreeSet<_> = open.iter().map(|(_, source)| source).collect();
    assert!(sources.len() >= 16, "{sources:?}");
}

#[test]
fn mail_that_was_greylisted_goes_again_from_the_same_source() {
    let mut world = world(5, TWO_OF_FIVE, 100);
    let same = Mail { same: Some("ip-3"), ..Mail::new(1) };
    world.push_to(&to("mx.x.pe"), key(), same).unwrap();
    world.push_to(&to("mx.x.pe"), key(), Mail::new(2)).unwrap();
    let open = world.open();
    let sources: Vec<&str> = open.iter().map(|(_, source)| source.as_str()).collect();
    assert!(sources.contains(&"ip-3") && open.len() <= 2, "{sources:?}");
    let three = open.iter().find(|(_, source)| source == "ip-3").unwrap().0;
    assert_eq!(world.pull(three), "1");
}

#[test]
fn mail_that_a_server_takes_from_another_source_only_goes_from_another() {
    let mut world = world(3, TWO_OF_FIVE, 100);
    let other = Mail { refused: Some("ip-0"), other: true, ..Mail::new(1) };
    world.push_to(&to("mx.x.pe"), key(), other.clone()).unwrap();
    let open = world.open();
    assert_eq!(open.iter().map(|it| it.1.as_str()).collect::<Vec<_>>(), ["ip-1"]);
    // A pool that has no other does what it can.
    let mut alone = self::world(1, TWO_OF_FIVE, 100);
    alone.push_to(&to("mx.x.pe"), key(), other).unwrap();
    assert_eq!(alone.open()[0].1, "ip-0");
}

#[test]
fn a_quiet_site_is_forgotten() {
    let mut world = world(1, TWO_OF_FIVE, 100);
    world.push(0..1);
    let id = world.open()[0].0;
    assert_eq!(world.pull(id), "0");
    world.close(id);
    assert!(world.egress.sites.is_empty() && world.egress.waiting.is_empty());
    assert!(world.egress.connections.is_empty());
}
