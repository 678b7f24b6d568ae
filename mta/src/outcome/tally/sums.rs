//! What is added up of events.

use serde::{Deserialize, Serialize};

/// Seconds to delivery are counted up to each of these, and beyond. The steps are as wide as the question is rough: within
/// a minute, within the hour, today.
const SECONDS: [f64; 16] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
    14_400.0, 43_200.0, 86_400.0,
];

/// Sums of one name in one stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Recipients that we took responsibility for.
    pub accepted: u64,
    /// Recipients that a peer took responsibility for.
    pub delivered: u64,
    /// Attempts that are made again.
    pub deferred: u64,
    /// Recipients refused for good, or removed by an operator.
    pub bounced: u64,
    /// Recipients whose time was over.
    pub expired: u64,
    /// Recipients not sent to, because of the suppression list.
    pub suppressed: u64,
    /// Complaints.
    pub complaints: u64,
    /// Octets of what was delivered.
    pub octets: u64,
    /// How many deliveries took so long: up to each of [`SECONDS`], and beyond. What is zero at the end is left out.
    seconds: Vec<u64>,
}

impl Sums {
    /// Counts a delivery that took so long.
    pub fn took(&mut self, seconds: f64) {
        let step = SECONDS.iter().position(|most| seconds <= *most).unwrap_or(SECONDS.len());
        if self.seconds.len() <= step {
            self.seconds.resize(step + 1, 0);
        }
        self.seconds[step] += 1;
    }

    /// Adds others to these.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.bounced += other.bounced;
        self.expired += other.expired;
        self.suppressed += other.suppressed;
        self.complaints += other.complaints;
        self.octets += other.octets;
        if self.seconds.len() < other.seconds.len() {
            self.seconds.resize(other.seconds.len(), 0);
        }
        for (own, more) in self.seconds.iter_mut().zip(&other.seconds) {
            *own += more;
        }
    }

    /// Seconds within which this share (0 to 1) of what was delivered was delivered, estimated within the step in which
    /// it lies; `None`: nothing was delivered.
    pub fn within(&self, share: f64) -> Option<f64> {
        let all: u64 = self.seconds.iter().sum();
        let wanted = share * all as f64;
        let mut below = 0.0;
        for (step, count) in self.seconds.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= wanted {
                let least = step.checked_sub(1).map_or(0.0, |before| SECONDS[before]);
                // Beyond the last step nothing more is known than that.
                let most = SECONDS.get(step).copied().unwrap_or(least);
                return Some(least + (most - least) * (wanted - below) / count);
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_how_long_is_told_from_the_steps() {
        let mut sums = Sums::default();
        assert_eq!(sums.within(0.5), None);
        for _ in 0..10 {
            sums.took(0.4);
        }
        assert_eq!(sums.within(0.5), Some(0.5));
        let mut slow = Sums::default();
        for _ in 0..10 {
            slow.took(8.0);
        }
        slow.took(1e9);
        assert_eq!(slow.within(1.0), Some(86_400.0));
        sums.add(&slow);
        assert_eq!(sums.seconds, [10, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let (median, most) = (sums.within(0.5).unwrap(), sums.within(0.95).unwrap());
        assert!((5.0..6.0).contains(&median) && (9.0..=10.0).contains(&most), "{median} {most}");
    }

    #[test]
    fn everything_is_added() {
        let one = Sums {
            accepted: 1,
            delivered: 2,
            deferred: 3,
            bounced: 4,
            expired: 5,
            suppressed: 6,
            complaints: 7,
            octets: 8,
            seconds: vec![9],
        };
        let mut two = one.clone();
        two.add(&one);
        let Sums { seconds, .. } = &two;
        assert_eq!(seconds, &[18]);
        let all = |it: &Sums| {
            [it.accepted, it.delivered, it.deferred, it.bounced, it.expired, it.suppressed]
                .into_iter()
                .chain([it.complaints, it.octets])
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&two), all(&one).iter().map(|it| it * 2).collect::<Vec<_>>());
    }
}
