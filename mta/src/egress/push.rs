//! A delivery finds its place: in a line, dealt to a source where that matters, or back to disk when it
//! would only sit in memory.

use std::sync::Arc;
use std::time::Duration;

use relay_config::config::Rotation;

use crate::message::{Failure, Priority, Timestamp};

use super::Item;
use super::books::Egress;
use super::capacity::bounds_a_day;
use super::gate::Reason;
use super::line::Line;
use super::path::{Path, Terms};
use super::rotation::Choice;
use super::site::{Destination, Site};
use super::sources::Sources;
use super::turns::LaneKey;

/// What cannot go within this time waits on disk: memory is for what can.
pub(super) const SOON_ENOUGH: Duration = Duration::from_mins(2);
/// What waits on disk is looked at again after this at the latest: things change.
pub(super) const LOOK_AGAIN: Duration = Duration::from_hours(1);
/// Mail of one lane in memory that may go on waiting, whatever the pace.
const LANE_IN_MEMORY: u32 = 20;
/// At a slow site no more waits in memory than it takes in this time.
const IN_MEMORY: Duration = Duration::from_mins(15);
/// A path that was used within this time has a share of the site's mail.
const SHARES: Duration = Duration::from_hours(24);

/// Why a delivery cannot wait for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The hosts could not be reached a moment ago.
    Unreachable(Failure),
    /// No source of the pool may send.
    NoSource,
    /// Nothing can take it soon: it waits on disk, and this is no failure.
    Waits(Waits),
}

/// Until when, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// It is looked at again then.
    pub until: Timestamp,
    /// What keeps it.
    pub why: WaitsFor,
}

/// What keeps a delivery on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// Every source that might take it is kept by something; this opens first.
    Source(Reason),
    /// Others of its kind stand before it, and the site takes only so many.
    Backlog,
    /// The sending domain or the campaign is halted at this site: by this rule.
    Halted(String),
}

impl WaitsFor {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Source(reason) => reason.word(),
            Self::Backlog => "backlog",
            Self::Halted(_) => "halted",
        }
    }

    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Source(reason) => format!("it waits: {}", reason.sentence()),
            Self::Backlog => {
                "it waits: others stand before it, and the destination is sent only so many at a time".to_owned()
            }
            Self::Halted(rule) => format!(
                "it waits: mail of its sender or campaign to this destination is halted (rule {rule})"
            ),
        }
    }
}

impl<T: Item> Egress<T> {
    /// A delivery waits for its destination. Gives it back with the reason when that is no use.
    pub fn push(
        &mut self,
        to: &Destination,
        pool: &Arc<str>,
        key: LaneKey,
        item: T,
        now: Timestamp,
    ) -> Result<(), (T, Refused)> {
        if !self.sources.any_usable(pool, |_| true) {
            return Err((item, Refused::NoSource));
        }
        self.site(&to.site, &to.kind, pool);
        self.advance(&to.site, pool, now);
        if let Some(refused) = self.refuses(to, pool, &key, &item, now) {
            if let (Refused::Waits(_), Some(site)) = (&refused, self.sites.get_mut(&to.site))
                && let Some(state) = site.pools.get_mut(pool)
                && bounds_a_day(&state.limits, state.rules.as_ref())
            {
                state.puts_back(item.recipients(), now);
            }
            self.forget_if_quiet(&to.site, now);
            return Err((item, refused));
        }
        self.put(to, pool, key, item, false, now);
        Ok(())
    }

    /// A delivery goes back to the head of its lane: the connection failed, not the delivery.
    pub fn push_back(
        &mut self,
        to: &Destination,
        pool: &Arc<str>,
        key: LaneKey,
        item: T,
        now: Timestamp,
    ) {
        self.site(&to.site, &to.kind, pool);
        self.put(to, pool, key, item, true, now);
    }

    fn put(
        &mut self,
        to: &Destination,
        pool: &Arc<str>,
        key: LaneKey,
        item: T,
        first: bool,
        now: Timestamp,
    ) {
        let source = self.deal(&to.site, pool, key.1.priority, &item, now);
        let Some(site) = self.sites.get_mut(&to.site) else { return };
        if let Some(state) = site.pools.get_mut(pool) {
            state.put(&to.host_set, source.as_ref(), key, item, first);
        }
        site.settle(pool, &to.host_set);
        self.note_waiting(&to.site);
    }

    /// The one source that is to carry it; `None`: any of them.
    fn deal(
        &mut self,
        site_name: &str,
        pool: &str,
        priority: Priority,
        item: &T,
        now: Timestamp,
    ) -> Option<Arc<str>> {
        let day = self.sources.day(pool, now);
        let site = self.sites.get(site_name)?;
        let state = site.pools.get(pool)?;
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        let soon = now.after(SOON_ENOUGH);
        let may = |name: &Arc<str>| {
            site.paths.get(name).is_none_or(|path| path.gate(terms, now).opens() <= soon)
        };
        if let Some(same) = item.same_source() {
            let active = self.sources.active(pool).iter();
            let same = active.into_iter().find(|name| ***name == *same).cloned();
            if let Some(same) = same.filter(|name| self.sources.is_usable(name) && may(name)) {
                return Some(same);
            }
        }
        if let Some(refused) = item.refused_source().filter(|_| item.other_source()) {
            let choice = Choice::at(site, state, &self.sources, pool, terms, now);
            if let Some(other) = choice.other_than(refused, may) {
                return Some(other);
            }
        }
        if self.sources.rotation(pool) != Rotation::RoundRobin {
            // Mail that is urgent, or was refused before, goes from where it is best known.
            let ordinary = priority <= Priority::default() && item.refused_source().is_none();
            return ordinary.then(|| self.make_known(site_name, pool, item.recipients(), now))?;
        }
        self.sources.next(pool, may).map(|source| Arc::clone(&source.name))
    }

    /// The source that gets it so that the site comes to know it, if that is wanted now.
    fn make_known(
        &mut self,
        site: &str,
        pool: &str,
        recipients: u32,
        now: Timestamp,
    ) -> Option<Arc<str>> {
        let day = self.sources.day(pool, now);
        let site = self.sites.get_mut(site)?;
        let state = site.pools.get(pool)?;
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        let source = Choice::at(site, state, &self.sources, pool, terms, now).makes_known()?;
        site.paths.get_mut(&source)?.dealt = now;
        site.pools.get_mut(pool)?.trickle.count(day.number, recipients);
        Some(source)
    }

    /// Whether it cannot wait here.
    fn refuses(
        &mut self,
        to: &Destination,
        pool: &str,
        key: &LaneKey,
        item: &T,
        now: Timestamp,
    ) -> Option<Refused> {
        let day = self.sources.day(pool, now);
        if let Some(halt) = self.halts.find(&to.site, item.sending_domain(), item.campaign(), now) {
            return Some(Refused::Waits(halt.waits(now)));
        }
        let site = self.sites.get_mut(&to.site)?;
        if let Some(hosts) = site.hosts.get_mut(&to.host_set) {
            match &hosts.down {
                Some((until, failure)) if *until > now => {
                    return Some(Refused::Unreachable(failure.clone()));
                }
                Some(_) => hosts.down = None,
                None => {}
            }
        }
        let state = site.pools.get(pool)?;
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        let waits = |until: Timestamp, why: WaitsFor| {
            let until = until.min(now.after(LOOK_AGAIN));
            Some(Refused::Waits(Waits { until, why }))
        };
        let room = Room::at(site, &self.sources, pool, terms, now);
        if room.opens > now.after(SOON_ENOUGH) {
            return waits(room.opens, WaitsFor::Source(room.reason.unwrap_or(Reason::Rate)));
        }
        if let Some(until) = own_path_is_kept(site, item, now) {
            return waits(until, WaitsFor::Source(Reason::Suspended));
        }
        let urgent = key.1.priority > Priority::default();
        if !urgent && let Some(until) = room.share_waits(site.pools.get_mut(pool)?, now) {
            return waits(until, WaitsFor::Source(Reason::Slowed));
        }
        let state = site.pools.get(pool)?;
        let in_lane = state.lanes.get(&key.1).copied().unwrap_or(0);
        let expected = room.time_for(state.waiting);
        if in_lane >= LANE_IN_MEMORY && expected > IN_MEMORY {
            let again = now.after(spread_out(expected, state.waiting));
            return waits(again, WaitsFor::Backlog);
        }
        None
    }

    /// Takes out what is halted at a site, and says until when it waits.
    pub fn take_halted(&mut self, name: &Arc<str>, now: Timestamp) -> Vec<(T, Waits)> {
        let Some(site) = self.sites.get_mut(name) else { return Vec::new() };
        let halts = &self.halts;
        let halted = |item: &T| halts.holds(name, item.sending_domain(), item.campaign(), now);
        let mut taken = Vec::new();
        let mut lines = Vec::new();
        for (pool_name, pool) in &mut site.pools {
            let mut of_pool = Vec::new();
            for host_set in pool.in_order() {
                let line = pool.lines.get_mut(&host_set);
                of_pool.extend(line.map_or_else(Vec::new, |line| line.take_all(halted)));
                lines.push((Arc::clone(pool_name), host_set));
            }
            for (key, item) in of_pool {
                pool.left(key.1);
                taken.push(item);
            }
        }
        for (pool, host_set) in lines {
            site.settle(&pool, &host_set);
        }
        self.note_waiting(name);
        let waits = |item: T| {
            let (domain, campaign) = (item.sending_domain(), item.campaign());
            let waits = match self.halts.find(name, domain, campaign, now) {
                Some(halt) => halt.waits(now),
                None => Waits { until: now, why: WaitsFor::Backlog },
            };
            (item, waits)
        };
        taken.into_iter().map(waits).collect()
    }

    /// What was dealt to a source that may no longer carry it finds another place.
    pub(super) fn redeal(
        &mut self,
        name: &Arc<str>,
        pool: &Arc<str>,
        source: &str,
        now: Timestamp,
    ) {
        let Some(site) = self.sites.get_mut(name) else { return };
        let Some(state) = site.pools.get_mut(pool) else { return };
        let mut loose = Vec::new();
        for host_set in state.in_order() {
            let Some(line) = state.lines.get_mut(&host_set) else { continue };
            let taken = line.take_dealt(source);
            loose.extend(taken.into_iter().map(|(key, item)| (Arc::clone(&host_set), key, item)));
        }
        for (_, key, _) in &loose {
            state.left(key.1);
        }
        let kind = site.kind.clone();
        for (host_set, key, item) in loose {
            let to = Destination { site: Arc::clone(name), host_set, kind: kind.clone() };
            self.put(&to, pool, key, item, false, now);
        }
    }

    /// What was dealt to sources that serve their pool no longer finds another place.
    pub(super) fn redeal_all(&mut self, now: Timestamp) {
        let mut moved = Vec::new();
        for name in &self.waiting {
            let Some(site) = self.sites.get(name) else { continue };
            for (pool, state) in &site.pools {
                for source in state.lines.values().flat_map(Line::dealt_to) {
                    let step = (Arc::clone(name), Arc::clone(pool), Arc::clone(source));
                    if !self.sources.serves(source, pool) && !moved.contains(&step) {
                        moved.push(step);
                    }
                }
            }
        }
        for (name, pool, source) in moved {
            self.redeal(&name, &pool, &source, now);
        }
    }

    /// Whether some source of the pool may go to the site soon.
    pub(super) fn any_may_go(&mut self, name: &str, pool: &str, now: Timestamp) -> bool {
        let day = self.sources.day(pool, now);
        let Some(site) = self.sites.get(name) else { return false };
        let Some(state) = site.pools.get(pool) else { return false };
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        Room::at(site, &self.sources, pool, terms, now).opens <= now
    }
}

/// What a site may take from a pool.
pub(super) struct Room {
    /// When the next may go.
    pub(super) opens: Timestamp,
    /// What keeps it until then.
    pub(super) reason: Option<Reason>,
    /// Recipients a second; infinite: no pace is set.
    rate: f64,
    /// Paths that carry mail, and those of them that keep their share, with the first that is free of it.
    sharing: usize,
    keeping: usize,
    free: Timestamp,
}

impl Room {
    pub(super) fn at<T>(
        site: &Site<T>,
        sources: &Sources,
        pool: &str,
        terms: Terms<'_>,
        now: Timestamp,
    ) -> Self {
        let total = site.gate(terms.limits, terms.day.ends, now);
        let mut room = Self {
            opens: Timestamp::MAX,
            reason: None,
            rate: 0.0,
            sharing: 0,
            keeping: 0,
            free: Timestamp::MAX,
        };
        for name in sources.usable(pool) {
            room.add(site.paths.get(name), terms, now);
        }
        if total.opens() > room.opens.max(now) {
            (room.opens, room.reason) = (total.opens(), total.kept(now).map(|kept| kept.0));
        }
        if let Some(rate) = terms.limits.rate_total {
            room.rate = room.rate.min(f64::from(rate.count) / rate.per.as_secs_f64());
        }
        room
    }

    fn add(&mut self, path: Option<&Path>, terms: Terms<'_>, now: Timestamp) {
        let Some(path) = path else {
            // Nothing is known against it.
            (self.opens, self.reason) = (now, None);
            self.rate = f64::INFINITY;
            return;
        };
        let gate = path.gate(terms, now);
        if gate.opens() < self.opens {
            (self.opens, self.reason) = (gate.opens(), gate.kept(now).map(|kept| kept.0));
        }
        if path.last_used > Timestamp::default() && now.since(path.last_used) < SHARES {
            self.sharing += 1;
            if path.health.keeps_its_share() {
                self.keeping += 1;
                self.free = self.free.min(path.health.until());
            }
        }
        if gate.opens() <= now.after(SOON_ENOUGH) {
            let every = path.pace(terms, now).map(|(every, _)| every.as_secs_f64());
            self.rate += every.map_or(f64::INFINITY, |every| 1.0 / every);
        }
    }

    /// Time that so many deliveries take.
    fn time_for(&self, deliveries: usize) -> Duration {
        let seconds = deliveries as f64 / self.rate.max(1e-6);
        Duration::from_secs_f64(seconds.min(LOOK_AGAIN.as_secs_f64() * 24.0 * 365.0))
    }

    /// The share of paths that were told to slow down is kept from the site: so much of its mail waits
    /// until they are free, and the others carry no more than before.
    fn share_waits<T>(
        &self,
        pool: &mut super::site::SitePool<T>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.keeping == 0 || self.keeping == self.sharing {
            pool.aside = 0.0;
            return None;
        }
        pool.aside += self.keeping as f64 / self.sharing as f64;
        if pool.aside < 1.0 {
            return None;
        }
        pool.aside -= 1.0;
        (self.free > now.after(SOON_ENOUGH)).then_some(self.free)
    }
}

/// Mail that a source was refused for stays with it, unless the rule moves it: the time when the path is free.
fn own_path_is_kept<T: Item, U>(site: &Site<U>, item: &T, now: Timestamp) -> Option<Timestamp> {
    let path = site.paths.get(item.refused_source()?)?;
    let until = path.health.until();
    (path.health.is_suspended() && path.health.keeps_its_share() && until > now.after(SOON_ENOUGH))
        .then_some(until)
}

/// When mail is looked at again that stands behind a backlog: before its turn, and not all at once.
fn spread_out(expected: Duration, place: usize) -> Duration {
    let minutes = u64::try_from(place % 30).unwrap_or(0);
    let latest = LOOK_AGAIN / 2 + Duration::from_mins(minutes);
    (expected * 4 / 5).min(latest)
}
