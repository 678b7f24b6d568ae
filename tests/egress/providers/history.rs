//! How much came from somebody (an address, a sending domain), and how much is tolerated for it.
//!
//! Tolerance grows with what was taken and decays while nothing comes. Everything that is offered
//! counts, also what was put off: who hammers stays above.

use std::time::Duration;

use mta::message::Timestamp;

use super::rules::Growth;

/// Counts in a span that begins with the first after the last one ended, as servers do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    ends: Timestamp,
    count: u32,
}

impl Window {
    /// How many came in the span that is running.
    pub fn count(self, now: Timestamp) -> u32 {
        if now < self.ends { self.count } else { 0 }
    }

    /// One more.
    pub fn add(&mut self, span: Duration, now: Timestamp) {
        if now >= self.ends {
            *self = Self { ends: now.after(span), count: 0 };
        }
        self.count += 1;
    }
}

/// What is known of one sender.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Recipients a day that it is known for.
    level: f64,
    offered: u32,
    accepted: u32,
    hour: Window,
}

impl History {
    /// Somebody who is known for this much a day.
    pub fn known_for(&mut self, a_day: f64) {
        self.level = self.level.max(a_day);
    }

    /// Recipients a day that it is known for.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// A recipient is offered.
    pub fn offer(&mut self, now: Timestamp) {
        self.offered += 1;
        self.hour.add(Duration::from_hours(1), now);
    }

    /// And was taken.
    pub fn accept(&mut self, recipients: u32) {
        self.accepted += recipients;
    }

    /// Recipients offered today.
    pub fn offered(&self) -> u32 {
        self.offered
    }

    /// Recipients a day that are tolerated now.
    pub fn tolerance(&self, growth: &Growth, trust: f64) -> f64 {
        (self.level * growth.factor).clamp(growth.newcomer, growth.ceiling) * trust
    }

    /// How many times the tolerated was offered, today or in this hour.
    pub fn excess(&self, growth: &Growth, trust: f64, now: Timestamp) -> f64 {
        let a_day = self.tolerance(growth, trust);
        // A handful in an hour is nobody's haste.
        let an_hour = (a_day * growth.in_an_hour).max(5.0);
        let hour = f64::from(self.hour.count(now)) / an_hour;
        (f64::from(self.offered) / a_day).max(hour)
    }

    /// A day has ended.
    pub fn turn(&mut self, growth: &Growth) {
        let accepted = f64::from(self.accepted);
        self.level = if accepted >= self.level {
            accepted.min((self.level * growth.factor).max(growth.newcomer))
        } else {
            self.level - (self.level - accepted) * growth.forgets
        };
        self.offered = 0;
        self.accepted = 0;
    }

    /// Part of what it was known for is forgotten.
    pub fn lose(&mut self, share: f64) {
        self.level *= 1.0 - share;
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rules;
    use super::*;

    fn day(history: &mut History, growth: &Growth, accepted: u32) -> String {
        for _ in 0..accepted {
            history.offer(Timestamp::from_millis(0));
        }
        history.accept(accepted);
        history.turn(growth);
        format!("{:.0}", history.tolerance(growth, 1.0))
    }

    #[test]
    fn tolerance_grows_with_what_was_taken_and_decays_when_idle() {
        let growth = Growth {
            newcomer: 100.0,
            factor: 1.5,
            ceiling: 400.0,
            forgets: 0.1,
            ..Rules::easy().address
        };
        let mut history = History::default();
        assert_eq!(format!("{:.0}", history.tolerance(&growth, 1.0)), "100");
        assert_eq!(day(&mut history, &growth, 10), "100", "little earns nothing");
        assert_eq!(day(&mut history, &growth, 100), "150");
        assert_eq!(day(&mut history, &growth, 150), "225");
        assert_eq!(day(&mut history, &growth, 3000), "338", "a leap is not remembered whole");
        assert_eq!(day(&mut history, &growth, 338), "400", "and there is a ceiling");
        assert_eq!(
            format!("{:.0}", history.tolerance(&growth, 0.5)),
            "200",
            "who is not trusted gets less"
        );
        let idle: Vec<String> = (0..30).map(|_| day(&mut history, &growth, 0)).collect();
        assert_eq!(idle[5], "269");
        assert_eq!(idle[29], "100", "a month later it is a stranger again");
    }

    #[test]
    fn an_hour_may_not_carry_the_day() {
        let growth = Growth { newcomer: 100.0, in_an_hour: 0.2, ..Rules::easy().address };
        let mut history = History::default();
        let start = Timestamp::from_millis(5_000);
        for _ in 0..30 {
            history.offer(start);
        }
        assert!((history.excess(&growth, 1.0, start) - 1.5).abs() < 1e-9);
        let later = start.after(Duration::from_hours(1));
        assert!((history.excess(&growth, 1.0, later) - 0.3).abs() < 1e-9);
    }
}
