//! Hosts that cannot be reached, sources that cannot be used: what it costs, and whom.

use super::super::hosts::DOWN;
use super::*;

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
    world.now = NOW.after(DOWN);
    assert_eq!(world.balance("mx.x.pe").len(), 1);
}

#[test]
fn hosts_that_cannot_be_reached_give_everything_back() {
    let mut world = world(1, TWO_OF_FIVE, 100);
    world.push(0..3);
    let id = world.open_one();
    assert_eq!(world.egress.failed_to_open(id, &failure(), NOW).len(), 3);
    let refused = world.push_to(&to("mx.x.pe"), key(), Mail::new(4));
    assert_eq!(refused, Err(Refused::Unreachable(failure())));
    world.now = NOW.after(DOWN);
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
fn who_may_not_carry_what_waits_is_not_woken_for_it() {
    let mut world = world(2, TWO_OF_FIVE, 100);
    world.push(1..2);
    let site = world.egress.sites.get_mut("mx.x.pe").unwrap();
    let first = site.paths.entry("ip-0".into()).or_default();
    first.not_before = world.now.after(Duration::from_mins(20));
    let opened = world.open();
    assert_eq!(opened[0].1, "ip-1", "the first cannot be used");
    let second = opened[0].0;
    assert_eq!((world.pull(second), world.pull(second)), ("1".to_owned(), "idle".to_owned()));
    world.now = world.now.after(Duration::from_mins(21));
    world.push(2..3);
    // The first has room again, and the site knows it: the other would be woken each second, for nothing, and
    // counted as at work while mail waits.
    let opened = world.open();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0].1, "ip-0");
    assert_eq!(world.pull(opened[0].0), "2");
}
