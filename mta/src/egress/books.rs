//! All sites and the connections to them: what is there, who waits for what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use relay_config::config::{Pool, Source, SwapRules};
use relay_config::providers::Providers;

use crate::message::Timestamp;

use super::Item;
use super::connection::{Connection, ConnectionId, ConnectionState};
use super::counted::Blames;
use super::decision::Decision;
use super::halts::Halts;
use super::limits::Limits;
use super::memory::Remembered;
use super::path::{Path, Terms};
use super::room::Room;
use super::site::{Settled, Site, SiteKind, SitePool};
use super::sources::Sources;
use super::turns::LaneKey;
use super::warm_up::{Rules, WarmUp};

/// What the operator decided of egress.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose sites are whose, and what they may be asked to take.
    pub providers: Providers,
    /// Connections of the whole relay.
    pub connections_max: usize,
    /// When a source is replaced.
    pub swap: SwapRules,
}

/// Everything that may go out now.
#[derive(Debug)]
pub struct Egress<T> {
    pub(super) sources: Sources,
    pub(super) settings: Settings,
    pub(super) sites: BTreeMap<Arc<str>, Site<T>>,
    /// Sites with something ready.
    pub(super) waiting: BTreeSet<Arc<str>>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    pub(super) next_connection: u64,
    pub(super) room: Room,
    pub(super) halts: Halts,
    pub(super) blames: Blames,
    pub(super) remembered: Remembered,
    pub(super) decisions: Vec<Decision>,
    pub(super) started: Timestamp,
}

impl<T: Item> Egress<T> {
    /// Nothing waits yet.
    pub fn new(sources: Sources, settings: Settings, now: Timestamp) -> Self {
        Self {
            sources,
            settings,
            sites: BTreeMap::new(),
            waiting: BTreeSet::new(),
            connections: HashMap::new(),
            next_connection: 0,
            room: Room::default(),
            halts: Halts::default(),
            blames: Blames::default(),
            remembered: Remembered::default(),
            decisions: Vec::new(),
            started: now,
        }
    }

    /// Takes new sources, pools and limits. Open connections end as they are, what waits for a source that
    /// serves its pool no longer goes to the others. Returns what no source of its pool is left for.
    pub fn reconfigure(
        &mut self,
        sources: &[Arc<Source>],
        pools: &[Arc<Pool>],
        present: impl Fn(&Source) -> bool,
        settings: Settings,
        now: Timestamp,
    ) {
        self.sources.reconfigure(sources, pools, present);
        self.settings = settings;
        let (providers, sources) = (&self.settings.providers, &self.sources);
        for site in self.sites.values_mut() {
            for (name, pool) in &mut site.pools {
                pool.limits = limits_of(providers, &site.kind, name);
                pool.rules = rules_of(sources, &site.kind, name);
                pool.settled = Settled::default();
            }
            for (name, path) in &mut site.paths {
                if let (Some(warm_up), Some(config)) = (&mut path.warm_up, sources.get(name)) {
                    warm_up.declare(&config.warmth, warm_up.today());
                }
            }
        }
        self.redeal_all(now);
    }

    /// The sources.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Decisions since this was last asked: each is told as an event.
    pub fn take_decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decisions)
    }

    /// Takes out a delivery that has not been started.
    pub fn take(&mut self, key: &LaneKey, wanted: impl Fn(&T) -> bool + Copy) -> Option<T> {
        let waiting: Vec<Arc<str>> = self.waiting.iter().cloned().collect();
        for name in waiting {
            let Some(site) = self.sites.get_mut(&name) else { continue };
            let found = site.pools.iter_mut().find_map(|(pool_name, pool)| {
                let (host_set, item) = pool.lines.iter_mut().find_map(|(host_set, line)| {
                    Some((Arc::clone(host_set), line.take(key, wanted)?))
                })?;
                pool.left(key.1);
                Some((Arc::clone(pool_name), host_set, item))
            });
            if let Some((pool, host_set, item)) = found {
                site.settle(&pool, &host_set);
                self.note_waiting(&name);
                return Some(item);
            }
        }
        None
    }

    /// The site that may open a connection now, after having waited for one.
    pub fn next_with_room(&mut self) -> Option<Arc<str>> {
        if self.connections.len() >= self.settings.connections_max {
            None
        } else {
            self.room.next()
        }
    }

    /// A connection changes its state, and the books with it.
    pub(super) fn enter(&mut self, id: ConnectionId, state: ConnectionState) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = std::mem::replace(&mut connection.state, state);
        let idle = state == ConnectionState::Idle;
        if before == state {
            return;
        }
        let Connection { site, host_set, pool, source, .. } = connection;
        if let Some(site) = self.sites.get_mut(site) {
            if let Some(pool) = site.pools.get_mut(pool) {
                pool.moves(host_set, id, source, (Some(before), Some(state)));
            }
            if idle {
                site.idle.insert(id);
            } else {
                site.idle.remove(&id);
            }
            site.settle(pool, host_set);
        }
        self.room.set_idle(id, idle);
    }

    /// Whether a connection may carry one more transaction of the delivery it pulled, which has
    /// more recipients than one transaction takes. Counts it.
    pub fn begin_another(&mut self, id: ConnectionId, now: Timestamp) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Some(site) = self.sites.get(&connection.site) else { return false };
        let Some(pool) = site.pools.get(&connection.pool) else { return false };
        let path = site.paths.get(&connection.source);
        let most = path.map_or(1, |path| path.messages(&pool.limits, now));
        let may = connection.transactions < most;
        connection.transactions += u32::from(may);
        may
    }

    /// A connection will carry nothing more; it counts until [`Egress::closed`]. What waits may need
    /// another one now.
    pub fn closing(&mut self, id: ConnectionId) {
        self.enter(id, ConnectionState::Closing);
    }

    /// A connection has ended. Returns its site, which may want another one, after those that
    /// [`Egress::next_with_room`] tells.
    pub fn closed(&mut self, id: ConnectionId, now: Timestamp) -> Option<Arc<str>> {
        let connection = self.remove(id)?;
        self.forget_if_quiet(&connection.site, now);
        Some(connection.site)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if let Some(site) = self.sites.get_mut(&connection.site) {
            site.open = site.open.saturating_sub(1);
            if let Some(path) = site.paths.get_mut(&connection.source) {
                path.open = path.open.saturating_sub(1);
            }
            site.idle.remove(&id);
            if let Some(pool) = site.pools.get_mut(&connection.pool) {
                let Connection { host_set, source, state, .. } = &connection;
                pool.moves(host_set, id, source, (Some(*state), None));
            }
            site.settle(&connection.pool, &connection.host_set);
        }
        self.room.set_idle(id, false);
        Some(connection)
    }

    /// Takes out what waits in pools that have no source left that may send, with their names.
    pub fn take_stranded(&mut self) -> Vec<(Arc<str>, T)> {
        let mut stranded = Vec::new();
        let waiting: Vec<Arc<str>> = self.waiting.iter().cloned().collect();
        for name in waiting {
            let Some(site) = self.sites.get(&name) else { continue };
            let without: Vec<(Arc<str>, Vec<Arc<str>>)> = site
                .pools
                .iter()
                .filter(|(pool, state)| {
                    state.waiting > 0 && !self.sources.any_usable(pool, |_| true)
                })
                .map(|(pool, state)| (Arc::clone(pool), state.in_order()))
                .collect();
            for (pool, host_sets) in without {
                for host_set in host_sets {
                    let items = self.drain_line(&name, &pool, &host_set);
                    stranded.extend(items.into_iter().map(|item| (Arc::clone(&pool), item)));
                }
            }
        }
        stranded
    }

    /// The machine has lost the address of a source: it takes no turns until it is found again.
    pub fn source_lost(&mut self, source: &str, now: Timestamp) {
        self.sources.lost(source);
        self.redeal_all(now);
    }

    /// Looks again for addresses that were missing.
    pub fn look_for_sources(&mut self, present: impl Fn(&Source) -> bool) {
        self.sources.look_again(present);
    }

    /// Sites with something ready, for those that must look after all of them once in a while.
    pub fn waiting_sites(&self) -> Vec<Arc<str>> {
        self.waiting.iter().cloned().collect()
    }

    /// Connections open or coming up, and deliveries that wait for one.
    pub fn counts(&self) -> (usize, usize) {
        let sites = self.waiting.iter().filter_map(|name| self.sites.get(name));
        (self.connections.len(), sites.map(Site::waiting).sum())
    }

    /// Whether anything waits for these hosts of a site, or is connected to them.
    pub fn has_line(&self, site: &str, host_set: &str) -> bool {
        let pools = self.sites.get(site).into_iter().flat_map(|site| site.pools.values());
        pools.into_iter().any(|pool| pool.lines.contains_key(host_set))
    }

    /// The pool whose mail a connection carries.
    pub fn pool_of(&self, id: ConnectionId) -> Option<Arc<str>> {
        self.connections.get(&id).map(|connection| Arc::clone(&connection.pool))
    }

    /// Whether a pool of this name exists.
    pub fn has_pool(&self, pool: &str) -> bool {
        self.sources.has_pool(pool)
    }

    /// The site, made when it is not there.
    pub(super) fn site(
        &mut self,
        name: &Arc<str>,
        kind: &SiteKind,
        pool: &Arc<str>,
    ) -> &mut Site<T> {
        let (providers, sources) = (&self.settings.providers, &self.sources);
        let remembered = &mut self.remembered;
        let started = self.started;
        let site = self.sites.entry(Arc::clone(name)).or_insert_with(|| {
            let limits = limits_of(providers, kind, pool);
            let mut site = Site::new(kind.clone(), &limits, started);
            remembered.restore(name, &mut site, &limits, started);
            site
        });
        if !site.pools.contains_key(pool) {
            let limits = limits_of(providers, kind, pool);
            let rules = rules_of(sources, kind, pool);
            site.pools.insert(Arc::clone(pool), SitePool::new(limits, rules));
        }
        site
    }

    /// Brings the paths of a pool at a site up to date, and makes those that are not there.
    pub(super) fn advance(&mut self, name: &str, pool: &str, now: Timestamp) {
        let day = self.sources.day(pool, now);
        let Some(site) = self.sites.get_mut(name) else { return };
        let Some(state) = site.pools.get(pool) else { return };
        if state.settled.holds(day.number, self.sources.active(pool), now) {
            return;
        }
        let mut until = day.ends;
        site.budget.turn(day.number);
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        for source in self.sources.active(pool) {
            let path = match site.paths.get_mut(source) {
                Some(path) => path,
                None => site
                    .paths
                    .entry(Arc::clone(source))
                    .or_insert_with(|| Path::new(terms.limits, self.started)),
            };
            if terms.rules.is_some()
                && path.warm_up.is_none()
                && let Some(config) = self.sources.get(source)
            {
                path.warm_up = Some(WarmUp::begin(&config.warmth, day.number));
            }
            let passed = path.advance(terms, now);
            if let Some(decision) = Decision::of_time(passed, name, source, path, now) {
                self.decisions.push(decision);
            }
            if path.unsaved {
                self.remembered.unsaved(name, source);
                path.unsaved = false;
            }
            let changes = path.health.until();
            if changes > now {
                until = until.min(changes);
            }
        }
        let settled = Settled::new(until, day.number, self.sources.active(pool));
        if let Some(state) = site.pools.get_mut(pool) {
            state.settled = settled;
        }
    }

    /// A path was changed: what it remembers is saved.
    pub(super) fn settle_path(&mut self, site: &str, source: &str) {
        let Some(state) = self.sites.get_mut(site) else { return };
        let path = state.paths.get_mut(source).filter(|path| path.unsaved);
        if let Some(path) = path {
            path.unsaved = false;
            state.unsettle();
            self.remembered.unsaved(site, source);
        }
    }

    pub(super) fn note_waiting(&mut self, name: &Arc<str>) {
        if self.sites.get(name).is_some_and(|site| site.waiting() > 0) {
            if !self.waiting.contains(name) {
                self.waiting.insert(Arc::clone(name));
            }
        } else {
            self.waiting.remove(name);
        }
    }

    /// A site that has nothing to remember is forgotten: memory does not grow with the number of
    /// domains that were ever written to.
    pub(super) fn forget_if_quiet(&mut self, name: &Arc<str>, now: Timestamp) {
        if self.sites.get(name).is_some_and(|site| site.is_quiet(now)) {
            self.sites.remove(name);
            self.waiting.remove(name);
        }
    }

    /// Forgets what has been quiet, ends what is over: called once in a while.
    pub fn sweep(&mut self, now: Timestamp) {
        for source in self.sources.end_suspensions(now) {
            self.remembered.unsaved_source(&source);
            self.decisions.push(Decision::resumed(&source));
        }
        self.halts.sweep(now, &mut self.decisions);
        self.blames.sweep(now);
        let quiet = |site: &Site<T>| site.is_quiet(now);
        self.sites.retain(|_, site| {
            site.tidy(now);
            !quiet(site)
        });
    }
}

/// What mail of a pool may ask of a site.
pub(super) fn limits_of(providers: &Providers, kind: &SiteKind, pool: &str) -> Limits {
    match kind {
        SiteKind::Smarthost => Limits::NONE,
        SiteKind::Mx => providers.limits(None, pool).into(),
        SiteKind::Provider(name) => providers.limits(Some(name), pool).into(),
    }
}

/// How sources of a pool warm up at a site. A smarthost judges by other things.
pub(super) fn rules_of(sources: &Sources, kind: &SiteKind, pool: &str) -> Option<Rules> {
    let schedule = sources.pool_config(pool)?.warm_up.as_ref()?;
    match kind {
        SiteKind::Smarthost => None,
        SiteKind::Mx | SiteKind::Provider(_) => {
            Some(Rules::new(schedule, kind.provider().map(|name| &**name)))
        }
    }
}
