//! The relay in a world of its own: no sockets, no disk, no clock but the one that is set. Hours
//! pass in moments; the same seed gives the same story to the letter.
//!
//! `make sim SEED=7` runs one seed, `make sim COUNT=1000` many.

#![expect(clippy::print_stdout, reason = "figures for whoever reads the log")]
#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

mod scenario;
mod world;

use scenario::{Story, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn greylisting_resets_and_a_crash_lose_nothing() {
    let seeds = match number("TAMBO_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("TAMBO_SIM_COUNT").unwrap_or(5),
    };
    for seed in seeds {
        let story = run(seed);
        check(seed, &story);
        println!(
            "seed {seed}: {} lines, {} accepted, {} copies",
            story.log.len(),
            story.acknowledged.len(),
            story.copies
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let (first, again, other) = (run(3), run(3), run(4));
    for (number, (a, b)) in first.log.iter().zip(&again.log).enumerate() {
        assert_eq!(a, b, "line {number}");
    }
    assert_eq!(first.log.len(), again.log.len());
    assert_ne!(first.log, other.log, "the seed has no effect");
}

/// What must be true whatever happens (design, sections 1 and 9).
fn check(seed: u64, story: &Story) {
    for (recipient, ends) in &story.ends {
        assert!(*ends <= 1, "seed {seed}: {recipient} ended {ends} times");
    }
    for recipient in &story.acknowledged {
        assert_eq!(
            story.ends.get(recipient),
            Some(&1),
            "seed {seed}: {recipient} was accepted and has no end"
        );
        let silent = recipient.ends_with("silent.example");
        assert_eq!(story.expired.contains(recipient), silent, "seed {seed}: {recipient}");
        assert_eq!(story.arrived.contains(recipient), !silent, "seed {seed}: {recipient}");
    }
    assert_eq!(story.signed_most, 1, "seed {seed}: a message is signed once in a life");
    assert!(story.signing_failed > 10, "seed {seed}: {}", story.signing_failed);
    assert!(
        story.ill_signed.is_empty(),
        "seed {seed}: not signed as it should be: {:?}",
        story.ill_signed.first()
    );
    assert_eq!(story.left, 0, "seed {seed}: something is left in the queue");
    assert!(
        story.most_for_site <= 10,
        "seed {seed}: {} connections to one site",
        story.most_for_site
    );
    assert!(
        story.most_for_path <= 2,
        "seed {seed}: {} connections on one path",
        story.most_for_path
    );
    assert!(
        story.early_retries.is_empty(),
        "seed {seed}: tried too early: {:?}",
        story.early_retries
    );
}
