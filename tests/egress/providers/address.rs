//! What one provider knows of one address, and what the address did there.

use std::time::Duration;

use mta::message::Timestamp;

use super::history::{History, Window};
use super::rules::Rules;
use super::standing::{Block, Standing};

/// Recipients of a day from which their quality can be judged.
const SAMPLE: u32 = 20;

/// One address at one provider.
#[derive(Debug)]
pub struct Address {
    /// When it was seen for the first time.
    pub first_seen: Timestamp,
    /// Open connections.
    pub open: u32,
    /// How much comes.
    pub history: History,
    /// What is thought of it.
    pub standing: Standing,
    /// What it did.
    pub conduct: Conduct,
    /// Sending domains that were seen from it, one bit for each.
    domains: u64,
    minute: Window,
    hour: Window,
    unknown_today: u32,
    patience_until: Timestamp,
    tries_left: u32,
}

/// What an address did, for the checks: the relay never sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Connections that came up.
    pub connections: u64,
    /// Most of them at a time.
    pub most_at_once: u32,
    /// Most transactions in one of them.
    pub most_in_one: u32,
    /// Recipients that were taken.
    pub accepted: u64,
    /// Refusals with 4xx.
    pub deferred: u64,
    /// Refusals with 5xx.
    pub refused: u64,
    /// Recipients that do not exist.
    pub unknown: u64,
    /// Attempts that came too early after a refusal.
    pub impatient: u64,
    /// Attempts while it was blocked.
    pub while_blocked: u64,
    /// Recipients taken on each day of the provider, from the first of the simulation.
    pub by_day: Vec<u32>,
}

impl Address {
    /// Somebody who was never seen.
    pub fn new(rules: &Rules, now: Timestamp) -> Self {
        Self {
            first_seen: now,
            open: 0,
            history: History::default(),
            standing: Standing::new(&rules.reputation),
            conduct: Conduct::default(),
            domains: 0,
            minute: Window::default(),
            hour: Window::default(),
            unknown_today: 0,
            patience_until: Timestamp::default(),
            tries_left: 0,
        }
    }

    /// A sending domain uses it. Whether that is new.
    pub fn carries(&mut self, domain: usize) -> bool {
        let bit = 1 << domain;
        let new = self.domains & bit == 0;
        self.domains |= bit;
        new
    }

    /// An attempt: was one asked to wait? Returns the block that follows from haste.
    pub fn attempt(&mut self, rules: &Rules, now: Timestamp) -> Option<Block> {
        if now >= self.patience_until {
            return None;
        }
        if self.tries_left > 0 {
            self.tries_left -= 1;
            return None;
        }
        self.conduct.impatient += 1;
        // It weighs by what the address is known for: a few of thousands are nobody's haste.
        let trust = self.standing.trust(&rules.reputation);
        let harm = rules.reputation.impatient / self.history.tolerance(&rules.address, trust);
        self.standing.harm(harm, &rules.reputation, now)
    }

    /// It was told to slow down, or is blocked: it is expected to wait.
    pub fn told_to_wait(&mut self, rules: &Rules, now: Timestamp) {
        if now >= self.patience_until {
            self.patience_until = now.after(rules.patience);
            self.tries_left = rules.tries;
        }
    }

    /// One recipient more; whether that is too fast.
    pub fn recipient(&mut self, rules: &Rules, now: Timestamp) -> bool {
        self.minute.add(Duration::from_mins(1), now);
        self.hour.add(Duration::from_hours(1), now);
        self.history.offer(now);
        self.minute.count(now) > rules.per_minute || self.hour.count(now) > rules.per_hour
    }

    /// A recipient does not exist. Returns the block that follows when they are too many.
    pub fn unknown(&mut self, rules: &Rules, now: Timestamp) -> Option<Block> {
        self.unknown_today += 1;
        self.conduct.unknown += 1;
        let (unknown, offered) = (self.unknown_today, self.history.offered());
        let many = f64::from(unknown) > rules.reputation.unknown_share * f64::from(offered);
        if offered < SAMPLE || !many {
            return None;
        }
        self.standing.harm(rules.reputation.unknown, &rules.reputation, now)
    }

    /// Recipients were taken on a day.
    pub fn accepted(&mut self, recipients: u32, day: usize) {
        self.history.accept(recipients);
        self.conduct.accepted += u64::from(recipients);
        if self.conduct.by_day.len() <= day {
            self.conduct.by_day.resize(day + 1, 0);
        }
        if let Some(today) = self.conduct.by_day.get_mut(day) {
            *today += recipients;
        }
    }

    /// A day has ended.
    pub fn turn(&mut self, rules: &Rules) {
        self.standing.turn(self.history.offered() > 0, &rules.reputation);
        self.history.turn(&rules.address);
        self.unknown_today = 0;
    }
}
