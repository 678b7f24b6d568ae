//! A source at a site: what it may send, when the next may go, and what it remembers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Timestamp;

use super::budget::{Budget, Reserved};
use super::calendar::Day;
use super::gate::{Gate, Reason};
use super::health::{Health, PROBE_EVERY, Passed, SHARE_PERCENT, SLOW_EVERY, Why};
use super::learned::{Growing, Learned, Observed, hourly};
use super::limits::{Limits, Spacing, interval, minutely};
use super::warm_up::{Rules, WarmUp};

/// What was not sent earlier in the day may be caught up with, at most so much faster than an even pace.
pub(super) const CATCH_UP: u32 = 4;

/// A path that was silent for longer than this has no warmth left to remember.
const WARMTH_LASTS: Duration = Duration::from_hours(24 * 31);

/// A source at the site.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    pub(super) open: u32,
    opens: Spacing,
    spacing: Spacing,
    /// It could not be used, through a fault of its own: no connection before this.
    pub(super) not_before: Timestamp,
    pub(super) budget: Budget,
    pub(super) warm_up: Option<WarmUp>,
    pub(super) health: Health,
    pub(super) why: Option<Why>,
    pub(super) learned: Learned,
    observed: Observed,
    /// Connections that failed one after another without a word from the peer.
    pub(super) silent: u32,
    /// When the peer last took a message, or spoke at all without blaming the source.
    pub(super) heard: Timestamp,
    /// When something was last dealt to it, so that the site knows it.
    pub(super) dealt: Timestamp,
    /// When it last carried anything.
    pub(super) last_used: Timestamp,
    /// There is something that is not on disk.
    pub(super) unsaved: bool,
    /// It has had a cap: what it used of the day must be remembered.
    capped: bool,
    /// It was used before the start, and nobody knows how long ago.
    restarted: bool,
}

/// What holds for a path at this moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) limits: &'a Limits,
    pub(super) day: Day,
    /// Of its warm-up; `None`: its pool does not warm up.
    pub(super) rules: Option<&'a Rules>,
}

/// What is kept of a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PathRecord {
    reserved: Reserved,
    warm_up: Option<WarmUp>,
    health: Health,
    why: Option<Why>,
    learned: Learned,
    last_used: Timestamp,
}

impl PathRecord {
    /// How it stood.
    pub(super) fn health(&self) -> Health {
        self.health
    }
}

impl Path {
    /// One that was never used. Its buckets are empty: after a restart nobody knows what went a moment before.
    pub(super) fn new(limits: &Limits, started: Timestamp) -> Self {
        let after = |every: Option<Duration>| {
            Spacing::from(every.map_or(Timestamp::default(), |every| started.after(every)))
        };
        Self {
            spacing: after(limits.rate.map(interval)),
            opens: after(minutely(limits.connections_per_minute)),
            ..Self::default()
        }
    }

    /// As it was left.
    pub(super) fn restored(record: PathRecord, limits: &Limits, started: Timestamp) -> Self {
        Self {
            budget: Budget::restored(record.reserved),
            warm_up: record.warm_up,
            health: record.health,
            why: record.why,
            learned: record.learned,
            last_used: record.last_used,
            restarted: true,
            ..Self::new(limits, started)
        }
    }

    /// What must be kept; `None`: there is nothing to remember.
    pub(super) fn record(&self) -> PathRecord {
        PathRecord {
            reserved: self.budget.to_save(),
            warm_up: self.warm_up,
            health: self.health,
            why: self.why.clone(),
            learned: self.learned,
            last_used: self.last_used,
        }
    }

    /// Recipients of this day.
    pub(super) fn used_on(&self, day: i32) -> u32 {
        let mut budget = self.budget;
        budget.turn(day);
        budget.used()
    }

    /// Whether anything of it must outlive its site's silence.
    pub(super) fn is_worth_keeping(&self, now: Timestamp) -> bool {
        self.health != Health::Active
            || !self.learned.is_empty()
            || (self.warm_up.is_some() && now.since(self.last_used) < WARMTH_LASTS)
            || self.spacing.next() > now
            || self.opens.next() > now
            || self.not_before > now
            || (self.capped && self.budget.to_save().recipients > 0)
    }

    /// Time has passed: the day may have turned, a suspension may be over.
    pub(super) fn advance(&mut self, terms: Terms<'_>, now: Timestamp) -> Passed {
        self.budget.turn(terms.day.number);
        if let (Some(warm_up), Some(rules)) = (&mut self.warm_up, terms.rules) {
            warm_up.turn(terms.day.number, rules);
        }
        let passed = self.health.advance(now);
        match passed {
            Passed::Nothing => {}
            Passed::Quickens => self.unsaved = true,
            Passed::Probes => {
                self.spacing = Spacing::default();
                self.unsaved = true;
            }
        }
        self.capped = self.cap(terms).is_some();
        if std::mem::take(&mut self.restarted)
            && let Some((every, _)) = self.pace(terms, now)
        {
            // The bucket is empty.
            self.spacing = Spacing::from(self.spacing.next().max(now.after(every)));
        }
        self.learned.forget_grown(now);
        passed
    }

    /// Connections that it may have.
    pub(super) fn connections(&self, limits: &Limits, now: Timestamp) -> u32 {
        match self.health {
            Health::Slowed { .. } | Health::Probing { .. } => 1,
            _ => least(limits.connections, self.learned.connections, now),
        }
    }

    /// Transactions in one connection.
    pub(super) fn messages(&self, limits: &Limits, now: Timestamp) -> u32 {
        match self.health {
            Health::Probing { .. } => 1,
            _ => least(limits.messages_per_connection, self.learned.messages, now),
        }
    }

    /// Its cap of this day, and what sets it; `None`: none.
    pub(super) fn cap(&self, terms: Terms<'_>) -> Option<(u32, Reason)> {
        let per_day = terms.limits.per_day.map(|cap| (cap, Reason::DaySpent(cap)));
        let warm_up = self.warm_up_cap(terms).map(|cap| (cap, Reason::WarmUpSpent(cap)));
        match (per_day, warm_up) {
            (Some(day), Some(warm)) => Some(if warm.0 <= day.0 { warm } else { day }),
            (day, warm) => day.or(warm),
        }
    }

    fn warm_up_cap(&self, terms: Terms<'_>) -> Option<u32> {
        terms.rules.and_then(|rules| self.warm_up.as_ref()?.cap(rules))
    }

    /// Time between two recipients, and what sets it; `None`: none is set.
    pub(super) fn pace(&self, terms: Terms<'_>, now: Timestamp) -> Option<(Duration, Reason)> {
        let learned = self.learned.rate.and_then(|rate| rate.value(now)).map(hourly);
        let of_health = match self.health {
            Health::Slowed { .. } => Some((SLOW_EVERY, Reason::Slowed)),
            Health::Probing { .. } => Some((PROBE_EVERY, Reason::Probing)),
            Health::Active | Health::Suspended { .. } => None,
        };
        let spread = self.cap(terms).and_then(|(cap, _)| self.spread(cap, terms.day, now));
        let paces = [
            terms.limits.rate.map(|rate| (interval(rate), Reason::Rate)),
            learned.map(|every| (every, Reason::Rate)),
            of_health,
            spread.map(|every| (every, Reason::Spread)),
        ];
        paces.into_iter().flatten().max_by_key(|(every, _)| *every)
    }

    /// What is left of a cap, evenly over what is left of the window, and not much faster than
    /// the whole of it over all of the window.
    fn spread(&self, cap: u32, day: Day, now: Timestamp) -> Option<Duration> {
        let left = self.budget.left(cap);
        if left == 0 {
            return None;
        }
        let rest = day.closes.since(now.max(day.opens)) / left;
        let even = day.closes.since(day.opens) / cap.max(1);
        Some(rest.max(even / CATCH_UP).max(Duration::from_millis(1)))
    }

    /// When it may carry the next recipient, and what keeps it until then.
    pub(super) fn gate(&self, terms: Terms<'_>, now: Timestamp) -> Gate {
        let mut gate = Gate::until(self.not_before, Reason::Rests);
        if let Health::Suspended { until, .. } = self.health {
            let until = until.unwrap_or(Timestamp::MAX);
            gate = gate.and(Gate::until(until, Reason::Suspended));
        }
        if let Some((cap, spent)) = self.cap(terms) {
            let day = terms.day;
            if now >= day.closes {
                return gate.and(Gate::until(day.ends, Reason::Window));
            }
            if self.budget.left(cap) == 0 {
                return gate.and(Gate::until(day.ends, spent));
            }
            gate = gate.and(Gate::until(day.opens, Reason::Window));
        }
        if self.spacing.next() > now
            && let Some((_, reason)) = self.pace(terms, now)
        {
            gate = gate.and(Gate::until(self.spacing.next(), reason));
        }
        gate
    }

    /// When it may open the next connection.
    pub(super) fn opens(&self) -> Gate {
        Gate::until(self.opens.next(), Reason::ConnectionsPerMinute)
    }

    /// A connection is being opened.
    pub(super) fn opening(&mut self, limits: &Limits, now: Timestamp) {
        self.open += 1;
        if let Some(every) = minutely(limits.connections_per_minute) {
            self.opens.take(every, 1, now);
        }
    }

    /// So many recipients go now.
    pub(super) fn carries(&mut self, recipients: u32, terms: Terms<'_>, now: Timestamp) {
        if let Some((every, _)) = self.pace(terms, now) {
            self.spacing.take(every, recipients, now);
        }
        self.budget.take(recipients);
        self.observed.add(recipients, now);
        self.last_used = now;
    }

    /// Recipients an hour that are the full rate of this path.
    pub(super) fn full_rate(&self, limits: &Limits, now: Timestamp) -> u32 {
        let configured = limits.rate.map(|rate| {
            let every = interval(rate).as_millis().max(1);
            u32::try_from(3_600_000 / every).unwrap_or(u32::MAX)
        });
        let learned = self.learned.rate.map(Growing::full);
        configured.or(learned).unwrap_or_else(|| self.observed.per_hour(now))
    }

    /// The peer took a message.
    pub(super) fn taken(&mut self, limits: &Limits, now: Timestamp) {
        self.heard = now;
        self.silent = 0;
        if matches!(self.health, Health::Probing { .. }) {
            self.unsaved = true;
        }
        if self.health.taken() {
            let full = self.full_rate(limits, now);
            self.learned.return_with(SHARE_PERCENT, full, now);
            self.learned.cut_connections(2, limits.connections, now);
            self.spacing = Spacing::default();
        }
    }

    /// The peer wants less until then, and gets it back slowly from then on.
    pub(super) fn slow(&mut self, until: Timestamp, limits: &Limits, why: Why) {
        let full = self.full_rate(limits, why.at);
        self.learned.cut_rate(full, why.at, until);
        self.health.slow(until);
        self.why = Some(why);
        self.unsaved = true;
    }

    /// Half as many connections for so long, then more by and by.
    pub(super) fn fewer_connections(&mut self, until: Timestamp, limits: &Limits) {
        self.learned.cut_connections(self.open.max(2), limits.connections, until);
        self.unsaved = true;
    }

    /// The peer takes no more than this in one connection.
    pub(super) fn fewer_messages(&mut self, carried: u32, limits: &Limits, now: Timestamp) {
        self.learned.cut_messages(carried, limits.messages_per_connection, now);
        self.unsaved = true;
    }

    /// Nothing goes until then.
    pub(super) fn suspend(&mut self, until: Option<Timestamp>, moves: bool, why: Why) {
        self.health.suspend(until, moves);
        self.why = Some(why);
        self.unsaved = true;
    }

    /// An operator has it go on at once, as one that comes back.
    pub(super) fn resume(&mut self) {
        if matches!(self.health, Health::Suspended { .. } | Health::Slowed { .. }) {
            self.health = Health::Probing { taken: 0 };
            self.spacing = Spacing::default();
            self.unsaved = true;
        }
    }
}

fn least(configured: u32, learned: Option<Growing>, now: Timestamp) -> u32 {
    let learned = learned.and_then(|it| it.value(now));
    learned.map_or(configured, |learned| learned.min(configured))
}
