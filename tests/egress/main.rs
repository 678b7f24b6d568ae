//! The policy of egress against providers whose rules it does not know: 45 days, 100,000 messages a
//! day, 18 sources, in seconds.
//!
//! `providers` is the world, written before the policy and without a number of it; `relay` is the
//! adapter to the egress of the relay; `simulation` joins them. `make sim-egress` prints the
//! table.

#![expect(clippy::print_stdout, reason = "the table is for whoever reads the log")]

mod books;
mod connections;
mod detail;
mod figures;
mod letters;
mod link;
mod monitor;
mod plan;
mod providers;
mod reader;
mod relay;
mod scenarios;
mod seeds;
mod simulation;
mod traffic;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use figures::{Column, blocks, table};
use plan::{Plan, Policy};
use providers::LARGE;
use relay::address;
use simulation::{START, Simulation};

fn story(seed: u64, plan: Plan, days: u64) -> Simulation {
    let mut simulation = Simulation::new(seed, plan, days);
    simulation.run(days);
    simulation
}

/// What a plan came to; every recipient that was accepted is somewhere.
fn column(seed: u64, name: &'static str, plan: Plan, days: u64) -> Column {
    let simulation = story(seed, plan, days);
    if std::env::var_os("TAMBO_SIM_DETAIL").is_some() {
        println!("{name}\n{}", detail::of(&simulation));
    }
    let blocks = blocks(&simulation.internet, START, usize::try_from(days).unwrap_or(usize::MAX));
    let reasons = simulation.letters.reasons();
    assert_eq!(reasons.get("nothing"), None, "seed {seed}, {name}: something waits for nothing");
    if plan.policy == Policy::Adaptive {
        check_warm_up(&simulation, seed, days);
    }
    let figures = simulation.figures;
    let total = figures.total();
    let ended = total.sent + total.failed + total.expired;
    assert_eq!(
        total.accepted,
        ended + figures.waiting_recipients,
        "seed {seed}, {name}: recipients are nowhere, or twice"
    );
    Column { name, figures, blocks }
}

/// What an adaptive pool owes: it warms up, everything that waits does so for a reason, nobody is blocked more
/// than by turns.
#[test]
fn weeks_of_mail_end_or_are_explained_and_no_limit_is_exceeded() {
    let (seeds, days) = seeds::chosen();
    let mut blocked = BTreeMap::<&str, u32>::new();
    for seed in seeds {
        let policies = Policy::ALL.into_iter().filter(|policy| seeds::wants(policy.name()));
        let mut columns: Vec<Column> =
            policies.map(|policy| column(seed, policy.name(), Plan::usual(policy), days)).collect();
        println!("seed {seed}\n{}", table(&mut columns));
        for column in &columns {
            *blocked.entry(column.name).or_default() += column.blocks.iter().sum::<u32>();
        }
    }
    if let [Some(by_turns), Some(adaptive)] =
        Policy::ALL.map(|policy| blocked.get(policy.name()).copied())
    {
        assert!(adaptive < by_turns, "{adaptive} blocks, and {by_turns} of who never listened");
    }
}

/// The first strangers of a pool earn most days of their schedule at the largest provider: its mail fills every cap.
/// That none is exceeded is asserted at each step.
fn check_warm_up(simulation: &Simulation, seed: u64, days: u64) {
    let earned: Vec<usize> = simulation.books.earned(0).collect();
    let most = earned.iter().copied().max().unwrap_or(0) as u64;
    let wanted = days.min(20) / 2;
    assert!(most >= wanted, "seed {seed}: of {days} days, strangers earned {earned:?}");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for policy in Policy::ALL {
        let days = |seed| story(seed, Plan::usual(policy), 2).figures.days;
        let seed = seeds::TUNING.start;
        assert_eq!(days(seed), days(seed));
        assert_ne!(days(seed), days(seed + 1), "the seed has no effect");
    }
}

/// The ordinary limit is seldom reached; this one is.
#[test]
fn a_tight_limit_is_reached_and_not_exceeded() {
    let usual = Plan::usual(Policy::RoundRobin);
    let plan = Plan { sources: 6, known: 6, connections_total: Some(2), ..usual };
    let simulation = story(seeds::TUNING.start, plan, 1);
    assert_eq!(simulation.books.most, 2);
    let total = simulation.figures.total();
    assert!(total.sent * 10 > total.accepted * 8, "{total:?}");
}

/// The world is fair: whom it knows, and who sends as before, gets through.
#[test]
fn six_sources_that_have_always_carried_the_mail_go_on() {
    let plan = Plan { sources: 6, known: 6, ..Plan::usual(Policy::RoundRobin) };
    for seed in seeds::TUNING.take(4) {
        let mut column = column(seed, "six known", plan, 5);
        let total = column.figures.total();
        let (sent, accepted) = (total.sent as f64, total.accepted as f64);
        assert!(sent > 0.98 * accepted, "seed {seed}: {sent} of {accepted}");
        assert_eq!(column.blocks.iter().sum::<u32>(), 0, "seed {seed}");
        let [half, most] = column.figures.percentiles([50, 90]);
        assert!(half < Duration::from_mins(1), "seed {seed}: {half:?}");
        assert!(most < Duration::from_mins(30), "seed {seed}: {most:?}");
    }
}

/// And it is hard: who gives a third of the mail of a day to each of twelve strangers meets it.
#[test]
fn twelve_strangers_among_the_sources_are_blocked_by_most() {
    for seed in seeds::TUNING.take(2) {
        let plan = Plan::usual(Policy::RoundRobin);
        let simulation = story(seed, plan, 3);
        for provider in &simulation.internet.providers[..LARGE.len()] {
            let strangers = (plan.known..plan.sources).filter(|source| {
                let known = provider.addresses.get(&address(*source));
                known.is_some_and(|it| it.conduct.refused > it.conduct.accepted)
            });
            let (strangers, kind) = (strangers.count(), provider.kind);
            assert!(strangers >= 9, "seed {seed}: {kind:?} turned {strangers} away");
        }
    }
}
