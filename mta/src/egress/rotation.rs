//! Which source goes next. Turn by turn, each active source alike; or adaptive: small volumes
//! concentrate on few sources that a site then knows well, and grow onto more as they must.
//!
//! At 10,000 recipients a day, eighteen sources in turn are eighteen strangers at every provider: too thin to
//! be known, and a pattern (snowshoe) that is punished. So a site is sent to from as few warm sources as get
//! enough each, and those share it evenly: one that carried everything would carry more from one day to
//! the next than a receiver trusts, and the others would be forgotten. Another source is used when those before it
//! have no room: their connections are taken, or their pace would keep what waits for too long.
//!
//! What makes a cold source known is not left to chance: it is dealt to it, up to its cap, and only to as many
//! new ones at a time that most of those who write to a site are known there.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use relay_config::config::Rotation;

use crate::message::{Lane, Priority, Timestamp};

use super::calendar::Day;
use super::limits::Limits;
use super::path::{Path, Terms};
use super::site::{Paths, Site, SitePool, Trickle};
use super::sources::Sources;
use super::warm_up::Rules;

/// What the sources in use would take longer for opens the next one …
const PATIENCE: Duration = Duration::from_mins(2);
/// … once more than so many deliveries wait …
const PATIENT: usize = 2;
/// … or when none of them may go within this time.
const PATIENCE_FOR_ONE: Duration = Duration::from_mins(10);
/// A connection is worth opening when its path may send within this time.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// Recipients a day from one source to a site that are worth another one: thinner it is not spread without need.
const ENOUGH_PER_DAY: u32 = 1_000;
/// On the days of the first week of its warm-up a source is new to a site.
const NEW_DAYS: u16 = 7;
/// Recipients a day that keep a source warm which the mail would not need.
const TRICKLE_PER_DAY: u32 = 50;

/// What keeps a line from getting another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    /// All connections are taken.
    Connections,
    /// Nothing may go yet.
    Time,
}

/// Everything that is looked at to choose a source at a site.
pub(super) struct Choice<'a> {
    pub(super) sources: &'a Sources,
    pub(super) pool_name: &'a str,
    pub(super) paths: &'a Paths,
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
                let fits = |(place, it): &(usize, &Ranked<'_>)| {
                    may(it.name) && self.is_needed(&ranked, *place, lane.priority)
                };
                let found = ranked.iter().enumerate().find(fits);
                found.map(|(_, it)| Arc::clone(it.name))
            }
        };
        found.ok_or(blocked)
    }

    /// Whether a source that has a connection should go on taking what any source may carry.
    pub(super) fn may_take(&self, source: &Arc<str>, priority: Priority) -> bool {
        match self.sources.rotation(self.pool_name) {
            Rotation::RoundRobin => true,
            Rotation::Adaptive => {
                let ranked = self.ranked();
                let place = ranked.iter().position(|it| it.name == source);
                place.is_none_or(|place| self.is_needed(&ranked, place, priority))
            }
        }
    }

    /// The first source but this one that `may` send soon; or else the first but this one.
    pub(super) fn other_than(
        &self,
        refused: &str,
        may: impl Fn(&Arc<str>) -> bool,
    ) -> Option<Arc<str>> {
        let ranked = self.ranked();
        let others = || ranked.iter().map(|it| it.name).filter(|name| ***name != *refused);
        others().find(|name| may(name)).or_else(|| others().next()).cloned()
    }

    /// The sources in the order in which they are used: as many of those that have no cap as get enough each, the
    /// least used of them first; then the others; then those that are furthest in their warm-up. Of equals, as they
    /// are written.
    fn ranked(&self) -> Vec<Ranked<'a>> {
        let usable = self.sources.usable(self.pool_name).iter();
        let mut ranked: Vec<Ranked<'a>> = usable
            .map(|name| {
                let path = self.paths.get(name);
                let cap = path.and_then(|path| path.cap(self.terms)).map(|(cap, _)| cap);
                Ranked { name, path, cap, rank: Rank::Waits(Reverse(cap.unwrap_or(u32::MAX))) }
            })
            .collect();
        let used: u32 = ranked.iter().map(Ranked::used).fold(0, u32::saturating_add);
        let enough = usize::try_from(1 + used / ENOUGH_PER_DAY).unwrap_or(usize::MAX);
        for it in ranked.iter_mut().filter(|it| it.cap.is_none()).take(enough) {
            it.rank = Rank::InUse(it.used());
        }
        ranked.sort_by_key(|it| it.rank);
        ranked
    }

    /// Whether a source is used for mail that any may carry: it is one of those in use, or those before it have no
    /// room.
    fn is_needed(&self, ranked: &[Ranked<'_>], place: usize, priority: Priority) -> bool {
        let Some((own, before)) = ranked.get(place).map(|own| (own, &ranked[..place])) else {
            return false;
        };
        // What is urgent does not wait for a pace, but neither is it for strangers.
        let urgent = priority > Priority::default() && own.cap.is_none();
        matches!(own.rank, Rank::InUse(_)) || self.have_no_room(before, urgent)
    }

    fn have_no_room(&self, before: &[Ranked<'_>], urgent: bool) -> bool {
        let now = self.now;
        let mut rate = 0.0;
        let mut next = Timestamp::MAX;
        for it in before {
            let Some(path) = it.path else { return false };
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
        if rate == 0.0 || urgent || next > now.after(PATIENCE_FOR_ONE) {
            return true;
        }
        let waiting = self.pool.waiting;
        waiting > PATIENT && waiting as f64 / rate > PATIENCE.as_secs_f64()
    }

    /// The source that the next delivery is dealt to, so that the site comes to know it, or goes on doing so;
    /// `None`: any may carry it. Only where sources warm up.
    pub(super) fn makes_known(&self) -> Option<Arc<str>> {
        let rules = self.terms.rules?;
        let ranked = self.ranked();
        let all: u32 = ranked.iter().map(Ranked::used).fold(0, u32::saturating_add);
        let count = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
        let suspended = |it: &&Ranked<'_>| it.path.is_some_and(|path| path.health.is_suspended());
        let is_new = |it: &Ranked<'_>| it.day(rules).is_some_and(|day| day <= NEW_DAYS);
        let known = ranked.iter().filter(|it| !suspended(it) && !is_new(it)).count();
        let mut places = (known / 2).max(1);
        let mut first = true;
        for it in ranked.iter().filter(|it| !suspended(it)) {
            let new = is_new(it);
            if new && places == 0 {
                return None;
            }
            places -= usize::from(new);
            let below_its_share = it.used().saturating_mul(count) < all;
            let spare = self.pool.trickle.has_room(self.terms.day.number, all);
            let wanted = match it.rank {
                Rank::InUse(_) => false,
                Rank::Waits(_) if it.day(rules).is_some() => {
                    below_its_share || (new && std::mem::take(&mut first) && spare)
                }
                Rank::Waits(_) => it.used() < TRICKLE_PER_DAY && spare,
            };
            if wanted && it.path.is_some_and(|path| self.is_due(path)) {
                return Some(Arc::clone(it.name));
            }
        }
        None
    }

    /// Whether something may be dealt to a path, which is paced by its cap, or else by a trickle.
    fn is_due(&self, path: &Path) -> bool {
        let every = path.pace(self.terms, self.now).map(|(every, _)| every);
        let every = match path.cap(self.terms) {
            Some(_) => every.unwrap_or_default(),
            None => trickle_every(self.terms.day).max(every.unwrap_or_default()),
        };
        let last = path.dealt.max(path.last_used);
        path.gate(self.terms, self.now).opens() <= self.now.after(SOON)
            && (last == Timestamp::default() || self.now.since(last) >= every)
    }
}

/// A source with what its place in the order depends on.
struct Ranked<'a> {
    name: &'a Arc<str>,
    path: Option<&'a Path>,
    cap: Option<u32>,
    rank: Rank,
}

/// Where a source stands: the least is used first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// One of those that share the mail, with what it carried today.
    InUse(u32),
    /// It waits until those before it have no room: by its cap.
    Waits(Reverse<u32>),
}

impl Ranked<'_> {
    fn used(&self) -> u32 {
        self.path.map_or(0, |path| path.budget.used())
    }

    /// The day of its warm-up; `None`: it is warm.
    fn day(&self, rules: &Rules) -> Option<u16> {
        self.path?.warm_up.as_ref()?.day(rules)
    }
}

/// Time between two recipients that keep a source known.
pub(super) fn trickle_every(day: Day) -> Duration {
    day.closes.since(day.opens) / TRICKLE_PER_DAY
}
