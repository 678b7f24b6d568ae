//! How fast commits come: whether it is worth waiting for others to share a sync with.

use std::time::Duration;

use tokio::time::Instant;

/// Commits that must be expected while a group waits, for it to wait at all: with fewer a sync is hardly shared,
/// and whoever waits does so for nothing.
const COMPANY_MIN: f64 = 4.0;
/// What a group adds to what is known of how fast commits come: the last ten decide.
const PACE_WEIGHT: f64 = 0.1;

/// How fast commits come, as the last groups tell: so many in so long. (A mean of what each group tells would be
/// too high: two that come together by chance would tell of thousands a second.)
#[derive(Default)]
pub(super) struct Pace {
    commits: f64,
    secs: f64,
    seen: Option<Instant>,
}

impl Pace {
    /// So many came since it was told last.
    pub(super) fn saw(&mut self, commits: usize, now: Instant) {
        if commits == 0 {
            return;
        }
        if let Some(seen) = self.seen.replace(now) {
            let secs = now.duration_since(seen).as_secs_f64();
            self.commits += PACE_WEIGHT * (commits as f64 - self.commits);
            self.secs += PACE_WEIGHT * (secs - self.secs);
        }
    }

    /// Whether enough will come in this time for it to be worth the wait.
    pub(super) fn brings_company_in(&self, time: Duration) -> bool {
        self.expected_in(time) >= COMPANY_MIN
    }

    /// How many will come in this time.
    fn expected_in(&self, time: Duration) -> f64 {
        if self.secs > 0.0 { self.commits / self.secs * time.as_secs_f64() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_follows_what_comes_and_nothing_is_expected_before() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let expected = |pace: &Pace| pace.expected_in(Duration::from_millis(2));
        pace.saw(1, begun);
        assert!(expected(&pace) < COMPANY_MIN, "one is no pace");
        // Ten a millisecond for a tenth of a second, then one in ten milliseconds.
        (1..=100).for_each(|n| pace.saw(10, begun + Duration::from_millis(n)));
        assert!((19.0..21.0).contains(&expected(&pace)), "{}", expected(&pace));
        (1..=40).for_each(|n| pace.saw(1, begun + Duration::from_millis(100 + 10 * n)));
        assert!(expected(&pace) < COMPANY_MIN, "{}", expected(&pace));
    }
}
