//! The whole relay in a world of its own: no sockets, no disk, no clock but the one that is set. Hours pass in
//! moments; the same seed gives the same story to the letter.
//!
//! A seed draws who sends what to whom and what goes wrong (`plan`, `faults`). Sessions, queue, egress and
//! dispatch are the real ones; `net`, `names`, `disk`, `keys` and `world` are what they run on; `client` and
//! `peer` are who they talk to. `books` and `records` hold what must be true whatever happens. What is not here:
//! what egress makes of providers over weeks (`tests/egress`), real processes and disks (`tests/crash`).
//!
//! `make sim SEED=7` runs one seed and prints its log, `make sim SEEDS=100000` many.

#![expect(clippy::print_stdout, reason = "figures for whoever reads the log")]
#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

mod books;
mod client;
mod disk;
mod faults;
mod found;
mod keys;
mod life;
mod names;
mod net;
mod peer;
mod plan;
mod records;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use life::{Story, run};

/// Seeds of a run of all tests.
const SEEDS: u64 = 200;

/// Each of them must happen in so many seeds: what never happens tests nothing.
const FAULTS: [&str; 45] = [
    "421 after the final dot",
    "421 as greeting",
    "421 to DATA",
    "421 to EHLO",
    "421 to MAIL",
    "421 to QUIT",
    "421 to RCPT",
    "421 to a later MAIL",
    "421 while the message arrives",
    "450",
    "450 for ever",
    "450 with a time",
    "451",
    "550",
    "BDAT",
    "DNS timeout",
    "NXDOMAIN",
    "SERVFAIL",
    "TLS",
    "TLS broken off",
    "TLS garbage",
    "changed MX",
    "client leaves",
    "clock set back",
    "clock set forward",
    "connection not answered",
    "connection refused",
    "crash",
    "crash after a sync",
    "crash between write and sync",
    "failed sync",
    "failed write",
    "final reply lost",
    "garbage",
    "greylisted",
    "low disk",
    "octet by octet",
    "reload",
    "reset",
    "server leaves",
    "signing failed",
    "stall",
    "stop",
    "too many recipients",
    "unsynced writes lost",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What is known of all seeds so far.
#[derive(Default)]
struct Sum {
    faults: BTreeMap<&'static str, u64>,
    taken: usize,
    accepted: usize,
    lives: usize,
    hours: u64,
    failed: Vec<(u64, String)>,
}

impl Sum {
    fn add(&mut self, seed: u64, story: Story) {
        for (fault, count) in story.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.taken += story.taken;
        self.accepted += story.accepted;
        self.lives += story.lives;
        self.hours += story.passed.as_secs() / 3600;
        if let Some(violation) = story.violation {
            println!("seed {seed}: {violation} (make sim SEED={seed})");
            self.failed.push((seed, violation));
        }
    }
}

#[test]
fn nothing_is_lost_whatever_happens() {
    if let Some(seed) = number("TAMBO_SIM_SEED") {
        let story = run(seed, true, None);
        for line in &story.lines {
            println!("{line}");
        }
        assert_eq!(story.violation, None, "seed {seed}");
        return;
    }
    let first = number("TAMBO_SIM_FIRST").unwrap_or(1);
    let count = number("TAMBO_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, sum) = (AtomicU64::new(first), Mutex::new(Sum::default()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let story = run(seed, false, None);
                    sum.lock().unwrap().add(seed, story);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    tell(&sum, count, begun);
    assert!(
        sum.failed.is_empty(),
        "{} of {count} seeds: {:?}",
        sum.failed.len(),
        sum.failed.first()
    );
    let missing: Vec<_> = FAULTS.iter().filter(|it| !sum.faults.contains_key(*it)).collect();
    assert!(missing.is_empty() || count < SEEDS, "never happened: {missing:?}");
}

fn tell(sum: &Sum, count: u64, begun: Instant) {
    let Sum { faults, taken, accepted, lives, hours, .. } = sum;
    println!(
        "{count} seeds: {accepted} recipients accepted, {taken} messages taken, {lives} lives, {hours} hours, in {:?}",
        begun.elapsed()
    );
    let faults: Vec<String> =
        faults.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
    println!("faults: {}", faults.join(", "));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1..=15 {
        if run(seed, false, None).hash == run(seed, false, None).hash {
            continue;
        }
        let (first, again) = (run(seed, true, None), run(seed, true, None));
        for (number, (a, b)) in first.lines.iter().zip(&again.lines).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {number}");
        }
        unreachable!("seed {seed}: not the same story, but this time");
    }
}

#[test]
fn another_policy_tells_another_story() {
    let (mine, other) = (run(3, true, None), run(3, true, Some(Duration::from_secs(77))));
    assert_ne!(mine.hash, other.hash, "the first delay of the schedule has no effect");
    assert_ne!(mine.hash, run(4, false, None).hash, "the seed has no effect");
}
