//! Seeds that have found a bug, each with what it was. A seed means something else once the draws of `plan` or
//! `faults` change; what it found has a test of its own nearer to the code where that can be.

use super::life::run;

fn check(seed: u64) {
    let story = run(seed, false, None);
    assert_eq!(story.violation, None, "seed {seed}: make sim SEED={seed}");
}

/// The words of a greeting that says no were heard while the state of dispatch was held, which hearing takes:
/// the relay hung for good.
#[test]
fn a_refusal_in_a_greeting_stops_nothing() {
    check(1);
}

/// An idle connection that may not carry what waits was woken for it each second and counted as at work, so that the
/// source that should carry it got none, until the mail expired.
#[test]
fn mail_gets_a_connection_of_the_source_that_may_carry_it() {
    check(175);
}
