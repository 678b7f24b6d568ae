//! Worlds that somebody made, each for one thing that must not happen.

use std::time::Duration;

use crate::plan::{Plan, Policy};
use crate::providers::{Internet, Strike};
use crate::relay::{ADDRESSES, address};
use crate::seeds::TUNING;
use crate::simulation::{DAY, START, Simulation};
use crate::traffic::SMALL;

const DAYS: u64 = 3;

fn told(internet: Internet) -> Simulation {
    let plan = Plan::usual(Policy::Adaptive);
    let mut simulation = Simulation::within(internet, TUNING.start, plan, DAYS);
    simulation.run(DAYS);
    simulation
}

fn decided(simulation: &Simulation, kind: &str) -> u32 {
    simulation.relay.decided.get(kind).copied().unwrap_or(0)
}

/// The largest provider takes nothing from any of our addresses: its mail waits, nobody else's does, and no source is
/// replaced for one opinion.
#[test]
fn a_block_at_one_provider_never_stops_the_others() {
    let mut internet = Internet::draw(TUNING.start, SMALL, START);
    let blocks = &mut internet.providers[0];
    blocks.rules.reputation.permanent = DAY * 60;
    for source in 0..ADDRESSES {
        let ip = address(source);
        blocks.acquaint(ip, 1.0, START.before(DAY * 100));
        let reputation = blocks.rules.reputation.clone();
        let standing = blocks.addresses.get_mut(&ip).map(|known| &mut known.standing);
        let block = standing.and_then(|it| it.harm(1.0, &reputation, START));
        assert!(block.is_some(), "{ip} is blocked");
    }
    let simulation = told(internet);
    let (mut accepted, mut sent) = (0, 0);
    for (place, counts) in &simulation.figures.places {
        if *place == 0 {
            assert_eq!(counts.1, 0, "it takes nothing");
            continue;
        }
        accepted += counts.0;
        sent += counts.1;
    }
    assert!(sent * 100 > accepted * 97, "others took {sent} of {accepted}");
    assert_eq!(decided(&simulation, "quarantined"), 0, "{:?}", simulation.relay.decided);
    let hopeless: u64 = simulation.internet.providers[0]
        .addresses
        .values()
        .map(|known| known.conduct.while_blocked)
        .sum();
    assert!(hopeless < 20_000, "{hopeless} attempts against a block");
}

/// A provider will not have a sending domain: it is halted there, and no address is replaced, which would make it worse.
#[test]
fn a_domain_block_causes_no_swap() {
    let mut internet = Internet::draw(TUNING.start, SMALL, START);
    for provider in &mut internet.providers {
        provider.strike = None;
    }
    let (from, until) = (START.after(Duration::from_hours(10)), START.after(DAY * 30));
    let each_adds = Duration::from_hours(12);
    internet.providers[0].strike =
        Some(Strike { domain: 0, from, until, each_adds, new_addresses: 0 });
    let simulation = told(internet);
    let decided = &simulation.relay.decided;
    assert!(decided.get("halted").is_some_and(|count| *count >= 1), "{decided:?}");
    for kind in ["quarantined", "swapped", "fewer"] {
        assert_eq!(decided.get(kind), None, "{decided:?}");
    }
    let strike = simulation.internet.providers[0].strike.as_ref();
    let new = strike.map_or(0, |strike| strike.new_addresses);
    assert!(new <= 3, "{new} new addresses tried the domain that is not wanted");
    let total = simulation.figures.total();
    assert!(total.sent * 100 > total.accepted * 85, "the other domains go on: {total:?}");
}

/// The shared list names the first source: it leaves the pool, the others carry its mail, and one standby takes its place.
#[test]
fn a_listed_source_is_replaced_and_the_mail_goes_on() {
    let mut internet = Internet::draw(TUNING.start, SMALL, START);
    for provider in 0..2 {
        internet.list.report(address(0), provider, START);
    }
    let simulation = told(internet);
    for kind in ["quarantined", "swapped"] {
        assert_eq!(decided(&simulation, kind), 1, "{:?}", simulation.relay.decided);
    }
    let google = &simulation.internet.providers[0];
    let taken = google.addresses.get(&address(0)).map_or(0, |known| known.conduct.accepted);
    assert!(taken < 500, "{taken} recipients from a source that is listed");
    let total = simulation.figures.total();
    assert!(total.sent * 100 > total.accepted * 97, "{total:?}");
}
