//! Which source goes next. Turn by turn, each active source alike; or adaptive: small volumes
//! concentrate on few sources that a site then knows well, and grow onto more as they must.
//!
//! At 10,000 recipients a day, eighteen sources in turn are eighteen strangers at every provider: too thin to
//! be known, and a pattern (snowshoe) that is punished. So the sources of a pool stand in one order at a
//! site, those furthest in their warm-up first, and one is used only when those before it have no room:
//! their connections are taken, or their pace would keep what waits for too long.

use std::sync::Arc;
use std::time::Duration;

use relay_config::config::Rotation;

use crate::message::{Lane, Priority, Timestamp};

use super::calendar::Day;
use super::limits::Limits;
use super::path::{Path, Terms};
use super::site::{Site, SitePool, Trickle};
use super::sources::Sources;

/// What the sources in use would take longer for opens the next one …
const PATIENCE: Duration = Duration::from_mins(2);
/// … once more than so many deliveries wait …
const PATIENT: usize = 2;
/// … or when none of them may go within this time.
const PATIENCE_FOR_ONE: Duration = Duration::from_mins(10);
/// A connection is worth opening when its path may send within this time.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// Recipients a day that keep a source warm which the mail would not need.
const TRICKLE_PER_DAY: u32 = 50;
/// Share of a site's mail that trickles may take, in percent.
const TRICKLE_PERCENT: u32 = 20;

/// What keeps a line from getting another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    /// All connections are taken.
    Connections,
    /// Nothing may go yet.
    Time,
}

/// Whether a source is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Those before it have no room.
    Yes,
    /// No, but a little keeps it known.
    Trickle,
    /// No.
    No,
}

/// Everything that is looked at to choose a source at a site.
pub(super) struct Choice<'a> {
    pub(super) sources: &'a Sources,
    pub(super) pool_name: &'a str,
    pub(super) paths: &'a std::collections::HashMap<Arc<str>, Path>,
    pub(super) pool: ChoicePool<'a>,
    pub(super) terms: Terms<'a>,
    pub(super) now: Timestamp,
}

/// What is looked at of a pool.
#[derive(Clone, Copy)]
pub(super) struct ChoicePool<'a> {
    pub(super) limits: &'a Limits,
    pub(super) waiting: usize,
    pub(super) trickle: Trickle,
}

impl<'a> Choice<'a> {
    pub(super) fn at<T>(
        site: &'a Site<T>,
        pool: &'a SitePool<T>,
        sources: &'a Sources,
        pool_name: &'a str,
        terms: Terms<'a>,
        now: Timestamp,
    ) -> Self {
        let pool =
            ChoicePool { limits: &pool.limits, waiting: pool.waiting, trickle: pool.trickle };
        Self { sources, pool_name, paths: &site.paths, pool, terms, now }
    }

    /// Whether a source may open a connection now.
    pub(super) fn can_open(&self, source: &Arc<str>) -> Result<(), Blocked> {
        if !self.sources.is_usable(source) {
            return Err(Blocked::Time);
        }
        let Some(path) = self.paths.get(source) else { return Ok(()) };
        if path.open >= path.connections(self.pool.limits, self.now) {
            return Err(Blocked::Connections);
        }
        let soon = self.now.after(SOON);
        if path.gate(self.terms, self.now).opens() > soon || !path.opens().is_open(self.now) {
            return Err(Blocked::Time);
        }
        Ok(())
    }

    /// The source for a new connection that carries mail of this lane.
    pub(super) fn source(&self, lane: Lane) -> Result<Arc<str>, Blocked> {
        let mut blocked = Blocked::Time;
        let mut may = |name: &Arc<str>| match self.can_open(name) {
            Ok(()) => true,
            Err(Blocked::Connections) => {
                blocked = Blocked::Connections;
                false
            }
            Err(Blocked::Time) => false,
        };
        let found = match self.sources.rotation(self.pool_name) {
            Rotation::RoundRobin => {
                let may = std::cell::RefCell::new(&mut may);
                self.sources.peek(self.pool_name, |name| (may.borrow_mut())(name))
            }
            Rotation::Adaptive => {
                let ranked = self.ranked();
                let mut found = None;
                for name in &ranked {
                    if may(name) && self.need(name, &ranked, lane.priority) != Need::No {
                        found = Some(Arc::clone(name));
                        break;
                    }
                }
                found
            }
        };
        found.ok_or(blocked)
    }

    /// Whether a source that has a connection should go on taking what any source may carry.
    pub(super) fn may_take(&self, source: &Arc<str>, priority: Priority) -> Need {
        match self.sources.rotation(self.pool_name) {
            Rotation::RoundRobin => Need::Yes,
            Rotation::Adaptive => self.need(source, &self.ranked(), priority),
        }
    }

    /// The sources in the order in which they are used: those that have no cap first, then those that are
    /// furthest in their warm-up; of equals, as they are written.
    fn ranked(&self) -> Vec<Arc<str>> {
        let active = self.sources.active(self.pool_name);
        let mut ranked: Vec<Arc<str>> =
            active.iter().filter(|name| self.sources.is_usable(name)).cloned().collect();
        if self.terms.rules.is_some() {
            let cap = |name: &Arc<str>| {
                let path = self.paths.get(name);
                path.and_then(|path| path.cap(self.terms)).map_or(u32::MAX, |(cap, _)| cap)
            };
            ranked.sort_by_cached_key(|name| std::cmp::Reverse(cap(name)));
        }
        ranked
    }

    /// Whether those before it have no room for what waits.
    fn need(&self, source: &Arc<str>, ranked: &[Arc<str>], priority: Priority) -> Need {
        if self.have_no_room(source, ranked, priority) {
            Need::Yes
        } else if self.trickles(source) {
            Need::Trickle
        } else {
            Need::No
        }
    }

    fn have_no_room(&self, source: &Arc<str>, ranked: &[Arc<str>], priority: Priority) -> bool {
        let now = self.now;
        let mut rate = 0.0;
        let mut next = Timestamp::MAX;
        for name in ranked.iter().take_while(|name| *name != source) {
            let Some(path) = self.paths.get(name) else { return false };
            let gate = path.gate(self.terms, now);
            if gate.opens() > now.after(PATIENCE_FOR_ONE) {
                continue;
            }
            match path.pace(self.terms, now) {
                Some((every, _)) => {
                    rate += 1.0 / every.as_secs_f64();
                    next = next.min(gate.opens().max(now));
                }
                None if gate.is_open(now)
                    && path.open < path.connections(self.pool.limits, now)
                    && path.opens().is_open(now) =>
                {
                    return false;
                }
                None => {}
            }
        }
        if rate == 0.0 || priority > Priority::default() || next > now.after(PATIENCE_FOR_ONE) {
            return true;
        }
        let waiting = self.pool.waiting;
        waiting > PATIENT && waiting as f64 / rate > PATIENCE.as_secs_f64()
    }

    /// Whether a source that is not needed takes a little, so that it stays known there.
    fn trickles(&self, source: &Arc<str>) -> bool {
        let Some(path) = self.paths.get(source) else { return false };
        let Trickle { day, all, trickled } = self.pool.trickle;
        self.terms.rules.is_some()
            && day == self.terms.day.number
            && path.budget.used() < TRICKLE_PER_DAY
            && trickled.saturating_mul(100) < all.saturating_mul(TRICKLE_PERCENT)
            && self.now.since(path.last_used) >= trickle_every(self.terms.day)
    }
}

/// Time between two recipients that keep a source known.
pub(super) fn trickle_every(day: Day) -> Duration {
    day.closes.since(day.opens) / TRICKLE_PER_DAY
}
