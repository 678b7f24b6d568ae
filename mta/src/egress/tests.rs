//! Egress as dispatch drives it: what is opened, what each connection pulls, what waits.

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

/// Opens, pulls and closes as the dispatch does, for so many pulls; counts what each site got.
fn carried(world: &mut World, sites: &[&str], pulls: usize) -> Vec<usize> {
    let mut counts = vec![0; sites.len()];
    let mut open: Vec<(ConnectionId, usize)> = Vec::new();
    let place = |name: &str| sites.iter().position(|site| *site == name).unwrap();
    let balance = |world: &mut World, site: &str, open: &mut Vec<_>| {
        open.extend(world.open_at(site).into_iter().map(|(id, _)| (id, place(site))));
    };
    for site in sites {
        balance(world, site, &mut open);
    }
    for turn in 0..pulls {
        let (id, site) = open[turn % open.len()];
        if world.pull(id).parse::<u32>().is_ok() {
            counts[site] += 1;
            continue;
        }
        open.retain(|(other, _)| *other != id);
        let own = world.egress.closed(id, NOW).unwrap();
        while let Some(site) = world.egress.next_with_room() {
            balance(world, &site, &mut open);
        }
        balance(world, &own, &mut open);
    }
    counts
}

#[test]
fn who_has_no_limit_does_not_hold_what_others_wait_for() {
    let mut world = world(3, TWO_OF_FIVE, 4);
    let sites = ["smart", "a", "b", "c"];
    for (number, site) in sites.iter().enumerate() {
        let kind = if number == 0 { SiteKind::Smarthost } else { SiteKind::Mx };
        for item in 0..5_000 {
            let to = Destination { kind: kind.clone(), ..to(site) };
            world.push_to(&to, key(), Mail::new(item)).unwrap();
        }
    }
    let counts = carried(&mut world, &sites, 4_000);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    assert!(counts[1].abs_diff(counts[3]) <= 12, "those alike get alike: {counts:?}");
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
fn a_pool_without_sources_keeps_nothing_in_memory() {
    let mut world = world(2, TWO_OF_FIVE, 100);
    world.push(0..2);
    world.egress.source_lost("ip-0", NOW);
    assert!(world.egress.take_stranded().is_empty());
    world.push(2..3);
    world.egress.source_lost("ip-1", NOW);
    let stranded = world.egress.take_stranded();
    let numbers: Vec<u32> = stranded.into_iter().map(|(_, item)| item.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(world.push_to(&to("mx.x.pe"), key(), Mail::new(4)), Err(Refused::NoSource));
    world.egress.look_for_sources(|source| &*source.name == "ip-1");
    world.push(5..6);
    assert_eq!(world.open()[0].1, "ip-1");
}

#[test]
fn a_fault_of_one_source_leaves_the_mail_to_the_others() {
    let mut world = world(2, TWO_OF_FIVE, 100);
    world.push(0..1);
    let own_fault = Failure { scope: Scope::Path, ..failure() };
    let first = world.open_one();
    assert!(world.egress.failed_to_open(first, &own_fault, NOW).is_empty());
    world.push(1..2);
    let second = world.open_one();
    let all = world.egress.failed_to_open(second, &own_fault, NOW);
    assert_eq!(all.len(), 2, "no source of the pool can");
    world.push(2..3);
    assert!(world.open().is_empty(), "each waits a while");
    world.now = NOW.after(super::books::DOWN);
    assert_eq!(world.balance("mx.x.pe").len(), 1);
}

#[test]
fn transactions_of_one_delivery_count_each() {
    let mut world = world(1, TWO_OF_FIVE, 100);
    world.push(0..9);
    let id = world.open()[0].0;
    assert_eq!(world.pull(id), "0");
    let more: Vec<bool> = (0..3).map(|_| world.egress.begin_another(id, NOW)).collect();
    assert_eq!(more, [true, true, false], "three is the limit");
    assert_eq!(world.pull(id), "close");
}

#[test]
fn hosts_that_cannot_be_reached_give_everything_back() {
    let mut world = world(1, TWO_OF_FIVE, 100);
    world.push(0..3);
    let id = world.open_one();
    assert_eq!(world.egress.failed_to_open(id, &failure(), NOW).len(), 3);
    let refused = world.push_to(&to("mx.x.pe"), key(), Mail::new(4));
    assert_eq!(refused, Err(Refused::Unreachable(failure())));
    world.now = NOW.after(super::books::DOWN);
    assert_eq!(world.push_to(&to("mx.x.pe"), key(), Mail::new(4)), Ok(()));
}

#[test]
fn hosts_of_one_domain_that_are_down_say_nothing_of_others_of_the_provider() {
    let mut world = world(1, "", 100);
    world.push_to(&at_google("a.pe"), key(), Mail::new(1)).unwrap();
    let [Action::Open { connection, .. }] = world.balance("google")[..] else { unreachable!() };
    assert_eq!(world.egress.failed_to_open(connection, &failure(), NOW).len(), 1);
    let refused = world.push_to(&at_google("a.pe"), key(), Mail::new(2));
    assert!(matches!(refused, Err(Refused::Unreachable(_))));
    assert_eq!(world.push_to(&at_google("b.pe"), key(), Mail::new(3)), Ok(()));
}

#[test]
fn a_failed_connection_beside_a_good_one_costs_nothing_but_itself() {
    let mut world = world(2, TWO_OF_FIVE, 100);
    world.push(0..1);
    let good = world.open()[0].0;
    assert_eq!(world.pull(good), "0");
    world.push(1..9);
    let Action::Open { connection, .. } = world.balance("mx.x.pe")[0] else { unreachable!() };
    assert!(world.egress.failed_to_open(connection, &failure(), NOW).is_empty());
    assert_eq!(world.pull(good), "1");
}

#[test]
fn the_backlog_of_a_pool_does_not_keep_another_from_the_site() {
    let pools = ["bulk", "urgent"].map(|name| pool_of(name, &names(3), Rotation::Adaptive));
    let limits = "connections = 2\nconnections_total = 4\nmessages_per_connection = 3\n";
    let mut world = world_of(3, pools.into(), limits, 100);
    world.push(0..1000);
    let open = world.open();
    assert_eq!(open.len(), 4);
    world.pool = "urgent".into();
    world.push(5000..5001);
    assert!(world.open().is_empty(), "the site is full");
    world.close(open[0].0);
    let next = world.open();
    assert_eq!(world.pull(next[0].0), "5000");
}

#[test]
fn one_source_that_fails_does_not_speak_for_those_still_coming_up() {
    let mut world = world(3, TWO_OF_FIVE, 100);
    world.push(0..100);
    let actions = world.balance("mx.x.pe");
    let ids: Vec<ConnectionId> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Open { connection, .. } => Some(*connection),
            Action::Wake(_) => None,
        })
        .collect();
    assert_eq!(ids.len(), 5);
    assert!(world.egress.failed_to_open(ids[0], &failure(), NOW).is_empty());
    world.egress.opened(ids[1], NOW);
    assert_eq!(world.pull(ids[1]), "0");
    for id in &ids[2..] {
        assert!(world.egress.failed_to_open(*id, &failure(), NOW).is_empty());
    }
}

#[test]
fn a_rate_spaces_recipients_evenly() {
    let mut world = world(1, "connections = 2\nrate = \"60/m\"\n", 100);
    world.push(0..9);
    let open = world.open();
    assert_eq!(world.pull(open[0].0), "0");
    assert_eq!(world.pull(open[0].0), "wait 1");
    assert_eq!(world.pull(open[1].0), "wait 1", "the limit is the path's");
    world.now = NOW.after(Duration::from_secs(1));
    assert_eq!(world.pull(open[0].0), "1");
}

#[test]
fn a_rate_of_all_sources_holds_over_them_all() {
    let mut world = world(2, "connections = 1\nrate_total = \"60/m\"\n", 100);
    world.push(0..9);
    let open = world.open();
    assert_eq!((open.len(), world.pull(open[0].0)), (2, "0".to_owned()));
    assert_eq!(world.pull(open[1].0), "wait 1");
    world.now = NOW.after(Duration::from_secs(1));
    assert_eq!((world.pull(open[1].0), world.pull(open[0].0)), ("1".into(), "wait 1".into()));
}

#[test]
fn connections_are_opened_no_faster_than_both_limits_allow() {
    let limits = "connections = 9\nconnections_total = 90\nconnections_per_minute = 30\n\
                  connections_per_minute_total = 40\n";
    let mut world = world(2, limits, 100);
    world.push(0..1000);
    let mut opened = Vec::new();
    for second in 0..6 {
        world.now = NOW.after(Duration::from_millis(1500) * second);
        opened.extend(world.open().into_iter().map(|(_, source)| (second, source)));
    }
    let sources: Vec<&str> = opened.iter().map(|(_, source)| source.as_str()).collect();
    assert_eq!(
        sources,
        ["ip-0", "ip-1", "ip-0", "ip-1", "ip-0", "ip-1"],
        "one every 1.5 s, 2 s for each"
    );
}

#[test]
fn what_a_day_may_carry_is_counted_in_recipients_and_waits_for_the_next() {
    let mut world = world(1, "messages_per_connection = 100\nper_day = 10\n", 100);
    for number in 0..4 {
        let mail = Mail { recipients: 3, ..Mail::new(number) };
        world.push_to(&to("mx.x.pe"), key(), mail).unwrap();
    }
    let id = world.open()[0].0;
    let mut sent = Vec::new();
    for half_hour in 0..47 {
        world.now = NOW.after(Duration::from_mins(30) * half_hour);
        loop {
            match world.egress.pull(id, world.now) {
                Pull::Deliver { recipients, .. } => sent.push(recipients),
                Pull::Save => {
                    let savings = world.egress.to_save(world.now);
                    world.egress.saved(&savings);
                }
                _ => break,
            }
        }
    }
    assert_eq!(sent, [3, 3, 3, 1], "the last is divided");
    let refused = world.egress.push(&to("mx.x.pe"), &world.pool, key(), Mail::new(9), world.now);
    let Err((_, Refused::Waits(waits))) = refused else { unreachable!("{refused:?}") };
    assert_eq!(waits.why, WaitsFor::Source(Reason::DaySpent(10)));
}

#[test]
fn a_block_of_a_cap_that_was_written_counts_as_used_after_a_crash() {
    let mut sent = 0;
    let mut kept = Vec::new();
    for crash in 0..30 {
        let mut world = world(1, "messages_per_connection = 100\nper_day = 40\n", 100);
        world.egress.restore(kept.clone());
        world.now = NOW.after(Duration::from_mins(30) * crash);
        world.push_to(&to("mx.x.pe"), key(), Mail::new(1)).ok();
        world.push_to(&to("mx.x.pe"), key(), Mail::new(2)).ok();
        for (id, _) in world.open() {
            loop {
                match world.egress.pull(id, world.now) {
                    Pull::Deliver { recipients, .. } => sent += recipients,
                    Pull::Save => {
                        let savings = world.egress.to_save(world.now);
                        for saving in &savings {
                            let value = saving.value.clone().unwrap();
                            kept.retain(|it: &super::Kept| it.key != saving.key);
                            kept.push(super::Kept { key: saving.key.clone(), value });
                        }
                        world.egress.saved(&savings);
                    }
                    _ => break,
                }
            }
        }
    }
    assert!((1..=40).contains(&sent), "{sent}");
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
fn accounts_share_a_provider_whatever_the_number_of_their_domains() {
    let mut world = world(1, "", 100);
    for n in 0..300 {
        world.push_to(&at_google(&format!("a{n}.pe")), lane(0, 1), Mail::new(n)).unwrap();
    }
    for n in 0..10 {
        world.push_to(&at_google(&format!("b{n}.pe")), lane(0, 2), Mail::new(1000 + n)).unwrap();
    }
    let mut order = Vec::new();
    let mut open: std::collections::VecDeque<ConnectionId> = std::collections::VecDeque::new();
    while order.len() < 30 {
        world.now = world.now.after(Duration::from_secs(3));
        open.extend(world.open_at("google").into_iter().map(|it| it.0));
        let id = open.pop_front().unwrap();
        if let Ok(number) = world.pull(id).parse::<u32>() {
            order.push(number);
            open.push_back(id);
        } else {
            world.close(id);
        }
    }
    let small = order.iter().filter(|number| **number >= 1000).count();
    assert_eq!(small, 10, "all of the small account are among the first thirty: {order:?}");
}

#[test]
fn an_urgent_message_to_another_tenant_does_not_wait_for_a_campaign() {
    let mut world = world(1, "", 100);
    for n in 0..200 {
        world.push_to(&at_google(&format!("a{}.pe", n % 5)), lane(0, 1), Mail::new(n)).unwrap();
    }
    let open = world.open_at("google");
    assert_eq!(open.len(), 5, "all that one path may have");
    assert_eq!(world.pull(open[0].0), "0");
    world.push_to(&at_google("b.pe"), lane(5, 1), Mail::new(1000)).unwrap();
    assert!(world.open_at("google").is_empty());
    world.now = world.now.after(Duration::from_secs(3));
    assert_eq!(world.pull(open[1].0), "close", "it gives up its place after one message");
    world.close(open[1].0);
    let next = world.open_at("google");
    assert_eq!(world.pull(next[0].0), "1000");
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

#[test]
fn a_backlog_at_a_slow_site_waits_on_disk() {
    let mut world = world(1, "rate = \"60/h\"\n", 100);
    let mut refused = Vec::new();
    for number in 0..200 {
        if let Err(Refused::Waits(waits)) = world.push_to(&to("mx.x.pe"), key(), Mail::new(number))
        {
            assert_eq!(waits.why, WaitsFor::Backlog);
            refused.push(waits.until);
        }
    }
    assert!((150..=180).contains(&refused.len()), "{}", refused.len());
    let (first, last) = (refused.iter().min().unwrap(), refused.iter().max().unwrap());
    assert!(*first > NOW && *last <= NOW.after(Duration::from_hours(1)));
    assert_eq!(world.push_to(&to("mx.x.pe"), lane(0, 7), Mail::new(9)), Ok(()), "another lane");
}
