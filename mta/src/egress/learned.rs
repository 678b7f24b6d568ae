//! What a peer has taught us that it takes from one source: less than is configured, and growing back slowly
//! while it is content. Never a snap back to the full rate: that is how one is blocked again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Timestamp;

/// Share of the full value that comes back in an hour without complaint, in percent.
const GROWTH_PERCENT_PER_HOUR: u64 = 10;

/// Limits that were learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Learned {
    /// Recipients an hour.
    pub(super) rate: Option<Growing>,
    /// Connections at a time.
    pub(super) connections: Option<Growing>,
    /// Transactions in one connection.
    pub(super) messages: Option<Growing>,
}

/// A value that grows from where it was cut to the full one, and is forgotten there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Growing {
    from: u32,
    full: u32,
    since: Timestamp,
}

impl Growing {
    /// Grows from `from` to `full`, beginning at `since`.
    pub(super) fn new(from: u32, full: u32, since: Timestamp) -> Self {
        let from = from.max(1);
        Self { from, full: full.max(from), since }
    }

    /// What may be used now; `None`: all of it again.
    pub(super) fn value(self, now: Timestamp) -> Option<u32> {
        let minutes = now.since(self.since).as_secs() / 60;
        let grown = u64::from(self.full) * GROWTH_PERCENT_PER_HOUR * minutes / 6000;
        let value = u64::from(self.from) + grown;
        (value < u64::from(self.full)).then(|| u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// Where it grows to.
    pub(super) fn full(self) -> u32 {
        self.full
    }

    /// Cut in half from what it is now; grows again from `since` on.
    fn halved(self, now: Timestamp, since: Timestamp) -> Self {
        let value = self.value(now).unwrap_or(self.full);
        Self::new(value / 2, self.full, since)
    }
}

impl Learned {
    /// The peer had more than it wanted from us: half of `full`, or of what was learned before.
    pub(super) fn cut_rate(&mut self, full: u32, now: Timestamp, since: Timestamp) {
        let before = self.rate.filter(|rate| rate.value(now).is_some());
        self.rate = Some(match before {
            Some(before) => before.halved(now, since),
            None => Growing::new(full / 2, full, since),
        });
    }

    /// A path that was suspended comes back with a share of its rate.
    pub(super) fn return_with(&mut self, percent: u32, full: u32, now: Timestamp) {
        let from = u64::from(full) * u64::from(percent) / 100;
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        let known = self.rate.and_then(|rate| rate.value(now)).unwrap_or(from);
        self.rate = Some(Growing::new(from.min(known), full, now));
    }

    /// Half as many connections as are open; they come back after `lasts`, one after another.
    pub(super) fn cut_connections(&mut self, open: u32, full: u32, since: Timestamp) {
        let known = self.connections.map_or(full, |it| it.from);
        self.connections = Some(Growing::new((open / 2).min(known), full, since));
    }

    /// The peer takes no more than `carried` in one connection.
    pub(super) fn cut_messages(&mut self, carried: u32, full: u32, now: Timestamp) {
        self.messages = Some(Growing::new(carried, full, now));
    }

    /// Forgets what has grown back.
    pub(super) fn forget_grown(&mut self, now: Timestamp) {
        let keep = |growing: &Growing| growing.value(now).is_some();
        self.rate = self.rate.filter(keep);
        self.connections = self.connections.filter(keep);
        self.messages = self.messages.filter(keep);
    }

    /// Whether there is anything to remember.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Recipients that went through a path lately, for what was never configured: the rate at which a peer
/// first complained is the only full rate there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Observed {
    minute: u64,
    count: u32,
    before: u32,
}

impl Observed {
    /// So many went.
    pub(super) fn add(&mut self, recipients: u32, now: Timestamp) {
        self.turn(now);
        self.count = self.count.saturating_add(recipients);
    }

    /// Recipients an hour, by the fuller of this minute and the one before; at least 60.
    pub(super) fn per_hour(&self, now: Timestamp) -> u32 {
        let mut at = *self;
        at.turn(now);
        at.count.max(at.before).max(1).saturating_mul(60)
    }

    fn turn(&mut self, now: Timestamp) {
        let minute = now.as_millis() / 60_000;
        if minute != self.minute {
            self.before = if minute == self.minute + 1 { self.count } else { 0 };
            (self.minute, self.count) = (minute, 0);
        }
    }
}

/// Time between two at so many an hour.
pub(super) fn hourly(count: u32) -> Duration {
    Duration::from_hours(1) / count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(10_000_000);

    fn hours(count: u64) -> Timestamp {
        NOW.after(Duration::from_hours(count))
    }

    #[test]
    fn a_rate_is_halved_and_grows_back_by_a_tenth_an_hour() {
        let mut learned = Learned::default();
        learned.cut_rate(1000, NOW, NOW);
        let value = |learned: &Learned, at| learned.rate.unwrap().value(at);
        assert_eq!((value(&learned, NOW), value(&learned, hours(1))), (Some(500), Some(600)));
        assert_eq!(value(&learned, hours(5)), None, "all of it again");
        learned.cut_rate(1000, hours(2), hours(3));
        assert_eq!(value(&learned, hours(3)), Some(350), "half of the 700 that it was");
        learned.cut_rate(1000, hours(3), hours(3));
        learned.forget_grown(hours(20));
        assert!(learned.is_empty());
    }

    #[test]
    fn a_path_returns_with_no_more_than_it_had() {
        let mut learned = Learned::default();
        learned.return_with(10, 1000, NOW);
        assert_eq!(learned.rate.unwrap().value(NOW), Some(100));
        learned.cut_rate(1000, NOW, NOW);
        learned.return_with(10, 1000, NOW);
        assert_eq!(learned.rate.unwrap().value(NOW), Some(50));
    }

    #[test]
    fn connections_come_back_one_after_another() {
        let mut learned = Learned::default();
        learned.cut_connections(10, 10, NOW);
        let value = |at| learned.connections.unwrap().value(at);
        assert_eq!((value(NOW), value(hours(2)), value(hours(5))), (Some(5), Some(7), None));
    }

    #[test]
    fn the_fuller_of_two_minutes_counts() {
        let mut seen = Observed::default();
        seen.add(10, NOW);
        seen.add(5, NOW);
        assert_eq!(seen.per_hour(NOW), 900);
        let next = NOW.after(Duration::from_mins(1));
        seen.add(2, next);
        assert_eq!(seen.per_hour(next), 900);
        assert_eq!(seen.per_hour(hours(1)), 60);
    }
}
