//! One site: its limits, its pools with what waits in them, its paths, its hosts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::message::{Failure, Lane, Priority, Timestamp};

use super::budget::Budget;
use super::capacity::PutBack;
use super::connection::{ConnectionId, ConnectionState};
use super::gate::{Gate, Reason};
use super::limits::{Limits, Spacing, interval, minutely};
use super::line::Line;
use super::order::Order;
use super::path::Path;
use super::turns::LaneKey;
use super::warm_up::Rules;

/// Where mail goes, as far as egress must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Whose limits hold: a provider, or else the set of MX hosts, or a smarthost.
    pub site: Arc<str>,
    /// The hosts that take the mail of the domain: a provider has many such sets, each domain is reached at its own.
    pub host_set: Arc<str>,
    /// What bounds it.
    pub kind: SiteKind,
}

/// What bounds a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteKind {
    /// MX hosts of nobody that is known: the limits of everyone.
    Mx,
    /// Hosts of a provider: its own limits.
    Provider(Arc<str>),
    /// A server that takes our mail for others: no limit but the relay's.
    Smarthost,
}

impl SiteKind {
    /// The provider's name.
    pub fn provider(&self) -> Option<&Arc<str>> {
        match self {
            Self::Provider(name) => Some(name),
            Self::Mx | Self::Smarthost => None,
        }
    }
}

/// Sources at a site, by name.
pub(super) type Paths = HashMap<Arc<str>, Path, BuildHasherDefault<NameHasher>>;

/// Hashes names of sources (FNV-1a), which the operator writes: nobody else can choose them to collide, and they are looked
/// up many times for each message.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A destination.
#[derive(Debug)]
pub(super) struct Site<T> {
    pub(super) kind: SiteKind,
    pub(super) pools: BTreeMap<Arc<str>, SitePool<T>>,
    pub(super) paths: Paths,
    pub(super) hosts: HashMap<Arc<str>, HostSet>,
    /// Connections of all sources.
    pub(super) open: u32,
    opens: Spacing,
    spacing: Spacing,
    pub(super) budget: Budget,
    /// Connections that have nothing to do, of all lines.
    pub(super) idle: BTreeSet<ConnectionId>,
    /// The priority of a line that has no connection, and for which there is none to be had.
    pub(super) starving: Option<Priority>,
}

/// Servers that take the same mail.
#[derive(Debug, Default)]
pub(super) struct HostSet {
    /// None could be reached; it is asked again then.
    pub(super) down: Option<(Timestamp, Failure)>,
    /// One more connection failed while others were open.
    pub(super) no_more_until: Timestamp,
    /// Hosts that failed go behind the others until then.
    pub(super) avoid: BTreeMap<String, Timestamp>,
}

/// What waits for the sources of one pool.
#[derive(Debug)]
pub(super) struct SitePool<T> {
    pub(super) limits: Limits,
    pub(super) rules: Option<Rules>,
    pub(super) lines: HashMap<Arc<str>, Line<T>>,
    pub(super) order: Order,
    /// Deliveries of each lane that wait in memory.
    pub(super) lanes: HashMap<Lane, u32>,
    pub(super) waiting: usize,
    /// Connections of all lines, up or coming up …
    pub(super) connections: usize,
    /// … but for those that are idle.
    pub(super) at_work: usize,
    /// What was put back to disk lately.
    pub(super) put_back: PutBack,
    /// Share of the mail that waits for paths that keep theirs.
    pub(super) aside: f64,
    /// Its paths are up to date until then, if nothing happens to them.
    pub(super) settled: Settled,
    /// What was dealt to sources so that they are known.
    pub(super) trickle: Trickle,
}

/// Until when nothing changes at the paths of a pool by time alone, on this day and for these sources: they need not
/// be looked at for each message.
#[derive(Debug, Default)]
pub(super) struct Settled {
    until: Timestamp,
    day: i32,
    sources: Vec<Arc<str>>,
}

impl Settled {
    /// Nothing changes before then.
    pub(super) fn new(until: Timestamp, day: i32, sources: &[Arc<str>]) -> Self {
        Self { until, day, sources: sources.to_vec() }
    }

    pub(super) fn holds(&self, day: i32, sources: &[Arc<str>], now: Timestamp) -> bool {
        now < self.until
            && day == self.day
            && sources.len() == self.sources.len()
            && sources.iter().zip(&self.sources).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// Recipients of a day that went to sources which the mail would not have needed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trickle {
    day: i32,
    recipients: u32,
}

/// Share of a site's mail that trickles may take, in percent: most of it goes from where it is best known.
const TRICKLE_PERCENT: u32 = 20;

impl Trickle {
    /// So many were dealt.
    pub(super) fn count(&mut self, day: i32, recipients: u32) {
        if day != self.day {
            *self = Self { day, recipients: 0 };
        }
        self.recipients = self.recipients.saturating_add(recipients);
    }

    /// Whether there may be more, when so many went in all.
    pub(super) fn has_room(self, day: i32, all: u32) -> bool {
        let recipients = if day == self.day { self.recipients } else { 0 };
        recipients.saturating_mul(100) < all.saturating_mul(TRICKLE_PERCENT)
    }
}

impl HostSet {
    fn is_idle(&self, now: Timestamp) -> bool {
        self.down.as_ref().is_none_or(|(until, _)| *until <= now)
            && self.no_more_until <= now
            && self.avoid.values().all(|until| *until <= now)
    }
}

impl<T> Site<T> {
    pub(super) fn new(kind: SiteKind, limits: &Limits, started: Timestamp) -> Self {
        let after = |every: Option<std::time::Duration>| {
            Spacing::from(every.map_or(Timestamp::default(), |every| started.after(every)))
        };
        Self {
            kind,
            pools: BTreeMap::new(),
            paths: Paths::default(),
            hosts: HashMap::new(),
            open: 0,
            opens: after(minutely(limits.connections_per_minute_total)),
            spacing: after(limits.rate_total.map(interval)),
            budget: Budget::default(),
            idle: BTreeSet::new(),
            starving: None,
        }
    }

    /// When the site may be sent the next recipient, from any source.
    pub(super) fn gate(&self, limits: &Limits, ends: Timestamp, now: Timestamp) -> Gate {
        let mut gate = Gate::OPEN;
        if limits.rate_total.is_some() {
            gate = gate.and(Gate::until(self.spacing.next(), Reason::RateTotal));
        }
        if let Some(cap) = limits.per_day_total
            && self.budget.left(cap) == 0
        {
            gate = gate.and(Gate::until(ends.max(now), Reason::DayTotalSpent(cap)));
        }
        gate
    }

    /// When the next connection may be opened.
    pub(super) fn opens(&self) -> Gate {
        Gate::until(self.opens.next(), Reason::ConnectionsPerMinute)
    }

    /// A connection is being opened.
    pub(super) fn opening(&mut self, limits: &Limits, now: Timestamp) {
        self.open += 1;
        if let Some(every) = minutely(limits.connections_per_minute_total) {
            self.opens.take(every, 1, now);
        }
    }

    /// So many recipients go now.
    pub(super) fn carries(&mut self, recipients: u32, limits: &Limits, now: Timestamp) {
        if let Some(rate) = limits.rate_total {
            self.spacing.take(interval(rate), recipients, now);
        }
        self.budget.take(recipients);
    }

    /// A line of a pool has changed: whether it wants a connection.
    pub(super) fn settle(&mut self, pool: &str, host_set: &Arc<str>) {
        let Some(pool) = self.pools.get_mut(pool) else { return };
        let Some(line) = pool.lines.get(host_set) else { return };
        let wants = line.wants();
        let empty = line.is_empty();
        pool.order.set(host_set, wants);
        if empty {
            pool.lines.remove(host_set);
        }
    }

    /// Something happened to a path.
    pub(super) fn unsettle(&mut self) {
        for pool in self.pools.values_mut() {
            pool.settled = Settled::default();
        }
    }

    /// Deliveries that wait.
    pub(super) fn waiting(&self) -> usize {
        self.pools.values().map(|pool| pool.waiting).sum()
    }

    /// Whether anything of it must be remembered.
    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        self.open == 0
            && self.spacing.next() <= now
            && self.opens.next() <= now
            && self.pools.values().all(|pool| pool.waiting == 0)
            && self.hosts.values().all(|hosts| hosts.is_idle(now))
            && !self.is_counted()
            && self.paths.values().all(|path| !path.is_worth_keeping(now))
    }

    fn is_counted(&self) -> bool {
        let capped = self.pools.values().any(|pool| pool.limits.per_day_total.is_some());
        capped && self.budget.used() > 0
    }

    /// Forgets what is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.hosts.retain(|_, hosts| !hosts.is_idle(now));
        self.paths.retain(|_, path| path.open > 0 || path.is_worth_keeping(now));
        self.unsettle();
    }
}

impl<T> SitePool<T> {
    pub(super) fn new(limits: Limits, rules: Option<Rules>) -> Self {
        Self {
            limits,
            rules,
            lines: HashMap::new(),
            order: Order::default(),
            lanes: HashMap::new(),
            waiting: 0,
            connections: 0,
            at_work: 0,
            put_back: PutBack::default(),
            aside: 0.0,
            settled: Settled::default(),
            trickle: Trickle::default(),
        }
    }

    /// A delivery waits in a line: at its end, or where it was (`first`).
    pub(super) fn put(
        &mut self,
        host_set: &Arc<str>,
        source: Option<&Arc<str>>,
        key: LaneKey,
        item: T,
        first: bool,
    ) {
        *self.lanes.entry(key.1).or_default() += 1;
        self.waiting += 1;
        let line = self.lines.entry(Arc::clone(host_set)).or_default();
        if first {
            line.push_front(source, key, item);
        } else {
            line.push(source, key, item);
        }
    }

    /// The lines in an order that does not change from one run to the next.
    pub(super) fn in_order(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self.lines.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Deliveries have left a line.
    pub(super) fn left(&mut self, lane: Lane) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(count) = self.lanes.get_mut(&lane) {
            *count -= 1;
            if *count == 0 {
                self.lanes.remove(&lane);
            }
        }
    }

    /// A connection goes from one state to another.
    pub(super) fn moves(
        &mut self,
        host_set: &Arc<str>,
        id: ConnectionId,
        source: &Arc<str>,
        (before, after): (Option<ConnectionState>, Option<ConnectionState>),
    ) {
        let line = self.lines.entry(Arc::clone(host_set)).or_default();
        if let Some(before) = before {
            line.leave(id, source, before);
            self.connections -= usize::from(before != ConnectionState::Closing);
            self.at_work -= usize::from(before.is_at_work());
        }
        if let Some(after) = after {
            line.enter(id, source, after);
            self.connections += usize::from(after != ConnectionState::Closing);
            self.at_work += usize::from(after.is_at_work());
        }
    }
}
