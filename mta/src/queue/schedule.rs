//! When a delivery is tried again.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::message::{Outcome, Retry, Timestamp};

/// Least and greatest delay that a peer's own words ("try again in 5 minutes") can ask for.
const HINT_MIN: Duration = Duration::from_mins(1);
const HINT_MAX: Duration = Duration::from_hours(6);

/// Delays between attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// After the first, second … attempt; the last repeats.
    pub delays: Vec<Duration>,
    /// Share of a delay that is added or taken at random, so that a batch that failed
    /// together does not return together.
    pub jitter: f64,
}

impl Schedule {
    /// When to try again after attempt number `attempts` (from 1) ended at `now`. A peer that
    /// said when is heard within bounds: its time stands, never earlier, jitter only adds.
    pub fn next(
        &self,
        attempts: u32,
        hint: Option<Duration>,
        now: Timestamp,
        random: &mut StdRng,
    ) -> Timestamp {
        let spread = self.jitter.clamp(0.0, 0.5);
        if let Some(hint) = hint {
            let hint = hint.clamp(HINT_MIN, HINT_MAX);
            return now.after(hint.mul_f64(1.0 + random.random_range(0.0..=spread)));
        }
        let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = self
            .delays
            .get(place)
            .or(self.delays.last())
            .copied()
            .unwrap_or(Duration::from_mins(5));
        now.after(delay.mul_f64(1.0 + random.random_range(-spread..=spread)))
    }
}

/// The longest time that the replies of an attempt asked for.
pub fn hint(outcomes: &[Outcome]) -> Option<Duration> {
    outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Failed(failure) => match failure.retry {
                Retry::Later(hint) => hint,
                Retry::NextHost | Retry::Never => None,
            },
            Outcome::Delivered(_) => None,
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn check(attempts: u32, hint: Option<u64>, between_seconds: (u64, u64)) {
        let schedule =
            Schedule { delays: vec![Duration::from_mins(5), Duration::from_mins(15)], jitter: 0.1 };
        let now = Timestamp::from_millis(1_000_000);
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..1000 {
            let next = schedule.next(attempts, hint.map(Duration::from_secs), now, &mut random);
            let delay = next.since(now).as_secs();
            assert!((between_seconds.0..=between_seconds.1).contains(&delay), "{delay}");
        }
    }

    #[test]
    fn delays_follow_the_list_and_the_last_repeats() {
        check(1, None, (270, 330));
        check(2, None, (810, 990));
        check(3, None, (810, 990));
        check(u32::MAX, None, (810, 990));
    }

    #[test]
    fn a_peer_that_says_when_is_heard_within_bounds() {
        check(1, Some(600), (600, 660));
        check(1, Some(1), (60, 66));
        check(1, Some(7 * 86_400), (6 * 3600, 6 * 3600 + 2160));
    }
}
