//! How often somebody may do something: a bucket for each of them that fills by the second. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::message::Timestamp;

/// Somebody must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// So long.
    pub wait: Duration,
}

impl TooOften {
    /// The same in whole seconds, never too few.
    pub fn seconds(self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)
    }
}

/// A bucket for each of them.
#[derive(Debug)]
pub struct Allowances<K> {
    per_second: f64,
    at_once: f64,
    max: usize,
    buckets: HashMap<K, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl<K: Clone + Eq + Hash> Allowances<K> {
    /// So many a second, so many at once after a silence, for so many of them at most: of more, those
    /// who have been silent are forgotten, and they lose nothing by it.
    pub fn new(per_second: f64, at_once: u32, max: usize) -> Self {
        Self { per_second, at_once: f64::from(at_once), max, buckets: HashMap::new() }
    }

    /// Takes one, or says how long to wait.
    pub fn take(&mut self, who: &K, now: Timestamp) -> Result<(), TooOften> {
        if self.buckets.len() >= self.max && !self.buckets.contains_key(who) {
            self.make_room(now);
        }
        let (per_second, at_once) = (self.per_second, self.at_once);
        let bucket = self.buckets.entry(who.clone()).or_insert(Bucket { left: at_once, at: now });
        bucket.left = bucket.filled(now, per_second, at_once);
        bucket.at = now;
        if bucket.left < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - bucket.left) / per_second);
            return Err(TooOften { wait });
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// Forgets who has been silent for long enough to have a full bucket; when nobody has, whoever
    /// has been silent longest.
    fn make_room(&mut self, now: Timestamp) {
        let (per_second, at_once) = (self.per_second, self.at_once);
        self.buckets.retain(|_, bucket| bucket.filled(now, per_second, at_once) < at_once);
        if self.buckets.len() >= self.max
            && let Some(oldest) =
                self.buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(who, _)| who.clone())
        {
            self.buckets.remove(&oldest);
        }
    }
}

impl Bucket {
    fn filled(&self, now: Timestamp, per_second: f64, at_once: f64) -> f64 {
        (self.left + now.since(self.at).as_secs_f64() * per_second).min(at_once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let at = Timestamp::from_millis;
        let mut all = Allowances::new(2.0, 3, 10);
        for _ in 0..3 {
            assert_eq!(all.take(&"a", at(0)), Ok(()));
        }
        assert_eq!(all.take(&"a", at(0)), Err(TooOften { wait: Duration::from_millis(500) }));
        assert_eq!(all.take(&"a", at(500)), Ok(()));
        assert!(all.take(&"a", at(500)).is_err());
        let wait = |millis| TooOften { wait: Duration::from_millis(millis) }.seconds();
        assert_eq!([wait(1), wait(1000), wait(1001)], [1, 1, 2]);
        assert_eq!(all.take(&"b", at(500)), Ok(()), "each has a bucket of its own");
        for _ in 0..3 {
            assert_eq!(all.take(&"a", at(60_000)), Ok(()));
        }
        assert!(all.take(&"a", at(60_000)).is_err(), "no more than so many at once");
    }

    #[test]
    fn memory_is_bounded_and_who_is_spent_is_remembered() {
        let at = Timestamp::from_millis;
        let mut all = Allowances::new(0.01, 1, 100);
        assert_eq!(all.take(&u32::MAX, at(1)), Ok(()));
        for who in 0..1_000 {
            let now = at(u64::from(who) + 2);
            let _ = all.take(&who, now);
            let _ = all.take(&u32::MAX, now);
        }
        assert_eq!(all.buckets.len(), 100);
        assert!(all.take(&u32::MAX, at(1_003)).is_err(), "who goes on asking is not forgotten");
    }
}
