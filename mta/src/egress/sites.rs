//! Sites, their connections, and what waits for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use relay_config::config::Source;

use crate::message::{Failure, Scope, Timestamp};
use crate::metrics::limit_hit;

use super::connection::{Action, Connection, ConnectionId, ConnectionState, Pull};
use super::limits::Limits;
use super::room::Room;
use super::site::Site;
use super::sources::Sources;
use super::turns::LaneKey;

/// After a site could not be reached at all, what comes due for it is deferred without asking
/// again for this long.
const DOWN: Duration = Duration::from_secs(10);
/// After a connection failed while others were open, no more are opened for this long.
const ENOUGH: Duration = Duration::from_secs(30);
/// A connection is worth opening when its path may send within this time.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// Transactions after which a connection makes room for a site that has none to get.
const YIELD_AFTER: u32 = 20;
/// A host that failed is tried after the others for this long.
const AVOID: Duration = Duration::from_mins(1);

/// What bounds a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// MX hosts of others: polite limits.
    Mx,
    /// A server that takes our mail for others: no limit but the relay's.
    Smarthost,
}

/// Why a delivery cannot wait for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The site could not be reached a moment ago.
    Unreachable(Failure),
    /// No source of the pool has its address on this machine.
    NoSource,
}

/// Everything that may go out now.
#[derive(Debug)]
pub struct Egress<T> {
    pub(super) sources: Sources,
    pub(super) sites: BTreeMap<Arc<str>, Site<T>>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    pub(super) connections_max: usize,
    pub(super) mx_limits: Limits,
    room: Room,
}

impl<T> Egress<T> {
    /// Nothing waits yet.
    pub fn new(sources: Sources, mx_limits: Limits, connections_max: usize) -> Self {
        Self {
            sources,
            sites: BTreeMap::new(),
            connections: HashMap::new(),
            next_connection: 0,
            connections_max,
            mx_limits,
            room: Room::default(),
        }
    }

    /// Takes new sources, pools and limits; open connections end as they are.
    pub fn reconfigure(&mut self, sources: Sources, mx_limits: Limits, connections_max: usize) {
        self.sources = sources;
        self.connections_max = connections_max;
        for site in self.sites.values_mut() {
            if site.limits != Limits::NONE {
                site.limits = mx_limits.clone();
            }
        }
        self.mx_limits = mx_limits;
    }

    /// The sources.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// A delivery waits for the site. Gives it back with the reason when that is no use.
    pub fn push(
        &mut self,
        site: (&Arc<str>, SiteKind),
        pool: &Arc<str>,
        key: LaneKey,
        item: T,
        now: Timestamp,
    ) -> Result<(), (T, Refused)> {
        if !self.sources.any_present(pool, |_| true) {
            return Err((item, Refused::NoSource));
        }
        let state = self.site(site.0, site.1);
        match &state.down {
            Some((until, failure)) if *until > now => {
                return Err((item, Refused::Unreachable(failure.clone())));
            }
            Some(_) => state.down = None,
            None => {}
        }
        state.pool(pool).turns.push(key, item);
        Ok(())
    }

    /// A delivery goes back to the head of its lane: the connection failed, not the delivery.
    pub fn push_back(&mut self, site: &Arc<str>, pool: &Arc<str>, key: LaneKey, item: T) {
        self.site(site, SiteKind::Mx).pool(pool).turns.push_front(key, item);
    }

    /// Takes out a delivery that has not been started.
    pub fn take(&mut self, key: &LaneKey, wanted: impl Fn(&T) -> bool + Copy) -> Option<T> {
        self.sites
            .values_mut()
            .flat_map(|site| site.pools.values_mut())
            .find_map(|pool| pool.turns.take(key, wanted))
    }

    /// Which connections to wake or open, now that something changed at the site. Pools take
    /// turns: the one with the fewest connections first, so that one pool's backlog does not keep
    /// another's mail from the site.
    pub fn balance(&mut self, name: &Arc<str>, now: Timestamp) -> Vec<Action> {
        let mut actions = self.wake_idle(name);
        // Pools whose sources have nothing to give.
        let mut spent: Vec<Arc<str>> = Vec::new();
        while let Some(pool) = self.next_to_open(name, &spent, now) {
            if self.connections.len() >= self.connections_max {
                limit_hit("delivery.connections");
                actions.extend(self.wait_for_room(name));
                break;
            }
            let Some(action) = self.open(name, &pool, now) else {
                spent.push(pool);
                continue;
            };
            actions.push(action);
            if self.room.is_wanted() {
                // Others wait for theirs: one each, in turn.
                actions.extend(self.wait_for_room(name));
                break;
            }
        }
        actions
    }

    /// The site goes to the end of those that wait for a connection; an idle one of another
    /// site makes room.
    fn wait_for_room(&mut self, name: &Arc<str>) -> Option<Action> {
        let idle = self.room.wait(name)?;
        self.enter(idle, ConnectionState::Busy);
        Some(Action::Wake(idle))
    }

    /// The site that may open a connection now, after having waited for one.
    pub fn next_with_room(&mut self) -> Option<Arc<str>> {
        if self.connections.len() >= self.connections_max { None } else { self.room.next() }
    }

    /// A connection changes its state, and the books with it.
    fn enter(&mut self, id: ConnectionId, state: ConnectionState) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = std::mem::replace(&mut connection.state, state);
        if let Some(site) = self.sites.get_mut(&connection.site) {
            site.pool(&connection.pool).leave(id, before);
            site.pool(&connection.pool).enter(id, state);
        }
        self.room.set_idle(id, state == ConnectionState::Idle);
    }

    fn wake_idle(&mut self, name: &Arc<str>) -> Vec<Action> {
        let Some(site) = self.sites.get(name) else { return Vec::new() };
        let wanted = site.pools.values().flat_map(|pool| {
            // The last that had something to do is the least likely to have been left.
            pool.idle.iter().rev().take(pool.turns.len()).copied()
        });
        let wanted: Vec<ConnectionId> = wanted.collect();
        for idle in &wanted {
            self.enter(*idle, ConnectionState::Busy);
        }
        wanted.into_iter().map(Action::Wake).collect()
    }

    /// The pool that may open a connection to the site now.
    fn next_to_open(
        &self,
        name: &Arc<str>,
        spent: &[Arc<str>],
        now: Timestamp,
    ) -> Option<Arc<str>> {
        let site = self.sites.get(name)?;
        let wanting =
            site.pools.iter().filter(|(pool, turns)| turns.wants_more() && !spent.contains(pool));
        let (pool, _) = wanting.min_by_key(|(_, turns)| {
            (turns.opening + turns.busy, std::cmp::Reverse(turns.turns.highest()))
        })?;
        if site.open >= site.limits.connections_total {
            limit_hit("connections_total");
            return None;
        }
        if site.no_more_until > now && site.open > 0 {
            return None;
        }
        Some(Arc::clone(pool))
    }

    fn open(&mut self, name: &Arc<str>, pool_name: &Arc<str>, now: Timestamp) -> Option<Action> {
        let site = self.sites.get_mut(name)?;
        let (paths, limits) = (&site.paths, &site.limits);
        // A path that may send nothing soon needs no connection either.
        let soon = now.after(SOON);
        let may = |source: &Arc<str>| {
            paths.get(source).is_none_or(|path| {
                path.open < limits.connections
                    && path.not_before <= now
                    && (limits.rate.is_none() || path.spacing.next() <= soon)
            })
        };
        let Some(source) = self.sources.next(pool_name, may) else {
            limit_hit("connections");
            return None;
        };
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        site.paths.entry(Arc::clone(&source.name)).or_default().open += 1;
        site.open += 1;
        site.pool(pool_name).opening += 1;
        self.connections.insert(
            id,
            Connection {
                site: Arc::clone(name),
                pool: Arc::clone(pool_name),
                source: Arc::clone(&source.name),
                state: ConnectionState::Opening,
                transactions: 0,
            },
        );
        Some(Action::Open { connection: id, site: Arc::clone(name), source })
    }

    /// A connection is up; it pulls next.
    pub fn opened(&mut self, id: ConnectionId) {
        self.enter(id, ConnectionState::Busy);
        let site = self.connections.get(&id).map(|connection| Arc::clone(&connection.site));
        if let Some(site) = site.and_then(|site| self.sites.get_mut(&site)) {
            site.down = None;
        }
    }

    /// A connection could not be opened to any host. While other connections of its pool are up
    /// or coming up, they go on with what waits; otherwise it has failed, and is returned.
    pub fn failed_to_open(
        &mut self,
        id: ConnectionId,
        failure: &Failure,
        now: Timestamp,
    ) -> Vec<T> {
        let Some(connection) = self.remove(id) else { return Vec::new() };
        let Some(site) = self.sites.get_mut(&connection.site) else { return Vec::new() };
        let own_fault = failure.scope == Scope::Path;
        if own_fault {
            let path = site.paths.entry(Arc::clone(&connection.source)).or_default();
            path.not_before = now.after(DOWN);
        }
        if site.pool(&connection.pool).connections() > 0 {
            if !own_fault {
                site.no_more_until = now.after(ENOUGH);
            }
            return Vec::new();
        }
        if own_fault {
            // It says nothing about the site: other sources of the pool may be heard.
            let may = |source: &Arc<str>| {
                site.paths.get(source).is_none_or(|path| path.not_before <= now)
            };
            return if self.sources.any_present(&connection.pool, may) {
                Vec::new()
            } else {
                site.pool(&connection.pool).turns.drain()
            };
        }
        if site.pools.values().all(|pool| pool.connections() == 0) {
            site.down = Some((now.after(DOWN), failure.clone()));
        }
        site.pool(&connection.pool).turns.drain()
    }

    /// The next thing for a connection to do. `recipients` counts those of a delivery.
    pub fn pull(
        &mut self,
        id: ConnectionId,
        now: Timestamp,
        recipients: impl Fn(&T) -> usize,
    ) -> Pull<T> {
        let Some(connection) = self.connections.get_mut(&id) else { return Pull::Close };
        let Some(site) = self.sites.get_mut(&connection.site) else { return Pull::Close };
        let yields = self.room.is_wanted() && connection.transactions >= YIELD_AFTER;
        if connection.transactions >= site.limits.messages_per_connection || yields {
            return Pull::Close;
        }
        let path = site.paths.entry(Arc::clone(&connection.source)).or_default();
        if site.limits.rate.is_some() && path.spacing.next() > now {
            return Pull::Wait(path.spacing.next());
        }
        let pool = site.pools.entry(Arc::clone(&connection.pool)).or_default();
        let Some(item) = pool.turns.pop() else {
            if self.room.is_wanted() {
                return Pull::Close;
            }
            self.enter(id, ConnectionState::Idle);
            return Pull::Idle;
        };
        if let Some(rate) = site.limits.rate {
            path.spacing.take(rate, recipients(&item), now);
        }
        connection.transactions += 1;
        self.enter(id, ConnectionState::Busy);
        Pull::Deliver(item)
    }

    /// Whether a connection may carry one more transaction of the delivery it pulled, which has
    /// more recipients than one transaction takes. Counts it.
    pub fn begin_another(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Some(site) = self.sites.get(&connection.site) else { return false };
        let may = connection.transactions < site.limits.messages_per_connection;
        connection.transactions += u32::from(may);
        may
    }

    /// A connection will carry nothing more; it counts until [`Egress::closed`]. What waits may need
    /// another one now.
    pub fn closing(&mut self, id: ConnectionId) {
        self.enter(id, ConnectionState::Closing);
    }

    /// Takes out what waits in pools that have no source left on this machine, with their names.
    pub fn take_stranded(&mut self) -> Vec<(Arc<str>, T)> {
        let sources = &self.sources;
        let pools = self.sites.values_mut().flat_map(|site| site.pools.iter_mut());
        pools
            .filter(|(name, pool)| !pool.turns.is_empty() && !sources.any_present(name, |_| true))
            .flat_map(|(name, pool)| {
                pool.turns.drain().into_iter().map(|item| (Arc::clone(name), item))
            })
            .collect()
    }

    /// The machine has lost the address of a source: it takes no turns until it is found again.
    pub fn source_lost(&mut self, source: &str) {
        self.sources.lost(source);
    }

    /// Looks again for addresses that were missing.
    pub fn look_for_sources(&mut self, present: impl Fn(&Source) -> bool) {
        self.sources.look_again(present);
    }

    /// A connection has ended. Returns its site, which may want another one, after those that
    /// [`Egress::next_with_room`] tells.
    pub fn closed(&mut self, id: ConnectionId) -> Option<Arc<str>> {
        let connection = self.remove(id)?;
        self.forget_if_empty(&connection.site);
        Some(connection.site)
    }

    /// A host of the site failed: it goes behind the others for a while.
    pub fn avoid(&mut self, site: &Arc<str>, host: &str, now: Timestamp) {
        if let Some(site) = self.sites.get_mut(site) {
            site.avoid.retain(|_, until| *until > now);
            site.avoid.insert(host.to_owned(), now.after(AVOID));
        }
    }

    /// Whether a host of the site failed a moment ago.
    pub fn is_avoided(&self, site: &str, host: &str, now: Timestamp) -> bool {
        self.sites.get(site).and_then(|site| site.avoid.get(host)).is_some_and(|until| *until > now)
    }

    /// Sites with something ready, for those that must look after all of them once in a while.
    pub fn waiting_sites(&self) -> Vec<Arc<str>> {
        self.sites
            .iter()
            .filter(|(_, site)| site.pools.values().any(|pool| !pool.turns.is_empty()))
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// Connections open or coming up, and deliveries that wait for one.
    pub fn counts(&self) -> (usize, usize) {
        let ready = self
            .sites
            .values()
            .flat_map(|site| site.pools.values())
            .map(|pool| pool.turns.len())
            .sum();
        (self.connections.len(), ready)
    }

    /// Whether anything is known of the site.
    pub fn has_site(&self, site: &str) -> bool {
        self.sites.contains_key(site)
    }

    /// Whether a pool of this name exists.
    pub fn has_pool(&self, pool: &str) -> bool {
        self.sources.has_pool(pool)
    }

    fn site(&mut self, name: &Arc<str>, kind: SiteKind) -> &mut Site<T> {
        self.sites.entry(Arc::clone(name)).or_insert_with(|| Site {
            limits: match kind {
                SiteKind::Mx => self.mx_limits.clone(),
                SiteKind::Smarthost => Limits::NONE,
            },
            pools: BTreeMap::new(),
            paths: HashMap::new(),
            open: 0,
            no_more_until: Timestamp::default(),
            down: None,
            avoid: BTreeMap::new(),
        })
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if let Some(site) = self.sites.get_mut(&connection.site) {
            site.open = site.open.saturating_sub(1);
            if let Some(path) = site.paths.get_mut(&connection.source) {
                path.open = path.open.saturating_sub(1);
            }
            site.pool(&connection.pool).leave(id, connection.state);
        }
        self.room.set_idle(id, false);
        Some(connection)
    }

    /// A site without connections, mail or a rate to remember is forgotten: memory does not
    /// grow with the number of domains that were ever written to.
    fn forget_if_empty(&mut self, name: &Arc<str>) {
        let empty = self.sites.get(name).is_some_and(|site| {
            site.open == 0
                && site.down.is_none()
                && site.limits.rate.is_none()
                && site.pools.values().all(|pool| pool.turns.is_empty())
        });
        if empty {
            self.sites.remove(name);
        }
    }

    /// Forgets what has been quiet: called once in a while.
    pub fn sweep(&mut self, now: Timestamp) {
        self.sites.retain(|_, site| {
            site.down = site.down.take().filter(|(until, _)| *until > now);
            let spaced = site.limits.rate.is_some()
                && site.paths.values().any(|path| path.spacing.next() > now);
            site.open > 0
                || site.down.is_some()
                || spaced
                || site.pools.values().any(|pool| !pool.turns.is_empty())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{EnhancedCode, Fault, Lane, Priority, Reply, Retry, Scope};
    use relay_config::config::{Pool, Rotation};
    use relay_config::values::Rate;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    struct World {
        egress: Egress<u32>,
        site: Arc<str>,
        pool: Arc<str>,
    }

    fn world(sources: usize, limits: Limits, connections_max: usize) -> World {
        let pool = Pool {
            name: "p".into(),
            sources: (0..sources).map(|n| format!("ip-{n}").into()).collect(),
            standby: vec![],
            rotation: Rotation::RoundRobin,
        };
        world_of(sources, &[Arc::new(pool)], limits, connections_max)
    }

    fn world_of(
        sources: usize,
        pools: &[Arc<Pool>],
        limits: Limits,
        connections_max: usize,
    ) -> World {
        let sources: Vec<_> = (0..sources)
            .map(|n| {
                Arc::new(Source {
                    name: format!("ip-{n}").into(),
                    address: "127.0.0.1".parse().unwrap(),
                    public: "127.0.0.1".parse().unwrap(),
                    helo: "m".to_owned(),
                })
            })
            .collect();
        let sources = Sources::new(&sources, pools, |_| true);
        World {
            egress: Egress::new(sources, limits, connections_max),
            site: "mx.x.pe".into(),
            pool: Arc::clone(&pools[0].name),
        }
    }

    fn limits(connections: u32, total: u32) -> Limits {
        Limits { connections, connections_total: total, messages_per_connection: 3, rate: None }
    }

    fn key() -> LaneKey {
        ("x.pe".into(), Lane { priority: Priority::default(), account: 0, tag: 0 })
    }

    fn failure() -> Failure {
        Failure {
            scope: Scope::Site,
            fault: Fault::Peer,
            retry: Retry::Later(None),
            reply: Reply::new(450, EnhancedCode::new(4, 4, 1), "refused"),
            phase: None,
            cause: "refused".to_owned(),
        }
    }

    impl World {
        fn open_one(&mut self) -> ConnectionId {
            match self.egress.balance(&self.site.clone(), NOW)[..] {
                [Action::Open { connection, .. }] => connection,
                ref other => unreachable!("{other:?}"),
            }
        }

        fn push(&mut self, items: std::ops::Range<u32>) {
            for item in items {
                let site = (&self.site, SiteKind::Mx);
                self.egress.push(site, &self.pool, key(), item, NOW).unwrap();
            }
        }

        fn open(&mut self) -> Vec<(ConnectionId, String)> {
            let actions = self.egress.balance(&self.site.clone(), NOW);
            let opened: Vec<_> = actions
                .into_iter()
                .filter_map(|action| match action {
                    Action::Open { connection, source, .. } => {
                        Some((connection, source.name.to_string()))
                    }
                    Action::Wake(_) => None,
                })
                .collect();
            for (id, _) in &opened {
                self.egress.opened(*id);
            }
            opened
        }

        fn pull(&mut self, id: ConnectionId) -> Pull<u32> {
            self.egress.pull(id, NOW, |_| 1)
        }
    }

    #[test]
    fn no_more_connections_than_path_and_site_allow() {
        let mut world = world(3, limits(2, 5), 100);
        world.push(0..1000);
        let mut open = Vec::new();
        for _ in 0..10 {
            open.extend(world.open());
        }
        assert_eq!(open.len(), 5);
        let names: Vec<_> = open.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["ip-0", "ip-1", "ip-2", "ip-0", "ip-1"]);
        // One that has carried all it may makes room for the next source in turn.
        for item in 0..3 {
            assert_eq!(world.pull(open[0].0), Pull::Deliver(item));
        }
        assert_eq!(world.pull(open[0].0), Pull::Close);
        world.egress.closed(open[0].0);
        assert_eq!(world.open()[0].1, "ip-2");
    }

    #[test]
    fn one_message_opens_one_connection_and_an_idle_one_is_used_again() {
        let mut world = world(3, limits(2, 5), 100);
        world.push(0..1);
        let open = world.open();
        assert_eq!(open.len(), 1);
        assert_eq!(world.pull(open[0].0), Pull::Deliver(0));
        assert_eq!(world.pull(open[0].0), Pull::Idle);
        world.push(1..2);
        let actions = world.egress.balance(&world.site.clone(), NOW);
        assert_eq!(actions, [Action::Wake(open[0].0)]);
        assert_eq!(world.pull(open[0].0), Pull::Deliver(1));
    }

    #[test]
    fn the_relay_as_a_whole_has_a_limit_and_who_starved_is_served_next() {
        let mut world = world(3, limits(2, 5), 1);
        world.push(0..1);
        let first = world.open();
        let other: Arc<str> = "mx.y.pe".into();
        let pushed = world.egress.push((&other, SiteKind::Mx), &world.pool, key(), 9, NOW);
        assert!(pushed.is_ok());
        assert_eq!(world.egress.balance(&other, NOW), []);
        world.egress.closed(first[0].0);
        assert_eq!(world.egress.next_with_room(), Some(Arc::clone(&other)));
        assert_eq!(world.egress.balance(&other, NOW).len(), 1);
        assert_eq!(world.egress.next_with_room(), None);
    }

    /// Opens, pulls and closes as the dispatch does, for so many pulls; counts what each site got.
    fn carried(world: &mut World, sites: &[Arc<str>], pulls: usize) -> Vec<usize> {
        let mut counts = vec![0; sites.len()];
        let mut open: Vec<(ConnectionId, usize)> = Vec::new();
        let place = |name: &Arc<str>| sites.iter().position(|site| site == name).unwrap();
        let balance = |world: &mut World, site: &Arc<str>, open: &mut Vec<_>| {
            for action in world.egress.balance(site, NOW) {
                if let Action::Open { connection, site, .. } = action {
                    world.egress.opened(connection);
                    open.push((connection, place(&site)));
                }
            }
        };
        for site in sites {
            balance(world, site, &mut open);
        }
        for turn in 0..pulls {
            let (id, site) = open[turn % open.len()];
            if let Pull::Deliver(_) = world.pull(id) {
                counts[site] += 1;
                continue;
            }
            open.retain(|(other, _)| *other != id);
            let own = world.egress.closed(id).unwrap();
            while let Some(site) = world.egress.next_with_room() {
                balance(world, &site, &mut open);
            }
            balance(world, &own, &mut open);
        }
        counts
    }

    #[test]
    fn who_has_no_limit_does_not_hold_what_others_wait_for() {
        let mut world = world(3, limits(2, 5), 4);
        let sites: Vec<Arc<str>> = ["smart", "a", "b", "c"].map(Into::into).into();
        for (number, site) in sites.iter().enumerate() {
            let kind = if number == 0 { SiteKind::Smarthost } else { SiteKind::Mx };
            for item in 0..5_000 {
                world.egress.push((site, kind), &world.pool, key(), item, NOW).unwrap();
            }
        }
        let counts = carried(&mut world, &sites, 4_000);
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
        assert!(counts[1].abs_diff(counts[3]) <= 12, "those alike get alike: {counts:?}");
    }

    #[test]
    fn an_idle_connection_makes_room() {
        let mut world = world(3, limits(2, 5), 1);
        world.push(0..1);
        let first = world.open();
        assert_eq!(world.pull(first[0].0), Pull::Deliver(0));
        assert_eq!(world.pull(first[0].0), Pull::Idle);
        let other: Arc<str> = "mx.y.pe".into();
        world.egress.push((&other, SiteKind::Mx), &world.pool, key(), 9, NOW).unwrap();
        assert_eq!(world.egress.balance(&other, NOW), [Action::Wake(first[0].0)]);
        assert_eq!(world.egress.balance(&other, NOW), [], "one is enough");
        assert_eq!(world.pull(first[0].0), Pull::Close);
    }

    #[test]
    fn a_pool_without_sources_keeps_nothing_in_memory() {
        let mut world = world(2, limits(2, 5), 100);
        world.push(0..2);
        world.egress.source_lost("ip-0");
        assert_eq!(world.egress.take_stranded(), []);
        world.push(2..3);
        world.egress.source_lost("ip-1");
        let stranded: Vec<u32> =
            world.egress.take_stranded().into_iter().map(|(_, item)| item).collect();
        assert_eq!(stranded, [0, 1, 2]);
        let refused = world.egress.push((&world.site, SiteKind::Mx), &world.pool, key(), 4, NOW);
        assert_eq!(refused, Err((4, Refused::NoSource)));
        world.egress.look_for_sources(|source| &*source.name == "ip-1");
        world.push(5..6);
        assert_eq!(world.open()[0].1, "ip-1");
    }

    #[test]
    fn a_fault_of_one_source_leaves_the_mail_to_the_others() {
        let mut world = world(2, limits(2, 5), 100);
        world.push(0..1);
        let own_fault = Failure { scope: Scope::Path, ..failure() };
        let first = world.open_one();
        assert!(world.egress.failed_to_open(first, &own_fault, NOW).is_empty());
        world.push(1..2);
        let second = world.open_one();
        let all = world.egress.failed_to_open(second, &own_fault, NOW);
        assert_eq!(all, [0, 1], "no source of the pool can");
        assert!(world.egress.balance(&world.site.clone(), NOW).is_empty());
        world.push(2..3);
        assert!(world.open().is_empty(), "each waits a while");
        let later = NOW.after(DOWN);
        assert_eq!(world.egress.balance(&world.site.clone(), later).len(), 1);
    }

    #[test]
    fn transactions_of_one_delivery_count_each() {
        let mut world = world(1, limits(2, 5), 100);
        world.push(0..9);
        let open = world.open();
        assert_eq!(world.pull(open[0].0), Pull::Deliver(0));
        assert!(world.egress.begin_another(open[0].0));
        assert!(world.egress.begin_another(open[0].0));
        assert!(!world.egress.begin_another(open[0].0), "three is the limit");
        assert_eq!(world.pull(open[0].0), Pull::Close);
    }

    #[test]
    fn a_site_that_cannot_be_reached_gives_everything_back() {
        let mut world = world(1, limits(2, 5), 100);
        world.push(0..3);
        let actions = world.egress.balance(&world.site.clone(), NOW);
        let Action::Open { connection, .. } = actions[0] else { unreachable!() };
        let failed = world.egress.failed_to_open(connection, &failure(), NOW);
        assert_eq!(failed, [0, 1, 2]);
        let site = (&world.site.clone(), SiteKind::Mx);
        let refused = world.egress.push(site, &world.pool, key(), 4, NOW);
        assert_eq!(refused, Err((4, Refused::Unreachable(failure()))));
        let later = NOW.after(DOWN);
        assert_eq!(world.egress.push(site, &world.pool, key(), 4, later), Ok(()));
    }

    #[test]
    fn a_failed_connection_beside_a_good_one_costs_nothing_but_itself() {
        let mut world = world(2, limits(2, 5), 100);
        world.push(0..1);
        let good = world.open();
        assert_eq!(world.pull(good[0].0), Pull::Deliver(0));
        world.push(1..9);
        let actions = world.egress.balance(&world.site.clone(), NOW);
        let Action::Open { connection, .. } = actions[0] else { unreachable!() };
        let failed = world.egress.failed_to_open(connection, &failure(), NOW);
        assert!(failed.is_empty());
        assert_eq!(world.pull(good[0].0), Pull::Deliver(1));
    }

    #[test]
    fn the_backlog_of_a_pool_does_not_keep_another_from_the_site() {
        let pools = ["bulk", "urgent"].map(|name| {
            let sources = vec!["ip-0".into(), "ip-1".into(), "ip-2".into()];
            let (name, standby, rotation) = (name.into(), vec![], Rotation::RoundRobin);
            Arc::new(Pool { name, sources, standby, rotation })
        });
        let mut world = world_of(3, &pools, limits(2, 4), 100);
        world.push(0..1000);
        let open = world.open();
        assert_eq!(open.len(), 4);
        let urgent: Arc<str> = "urgent".into();
        let site = world.site.clone();
        assert!(world.egress.push((&site, SiteKind::Mx), &urgent, key(), 5000, NOW).is_ok());
        assert!(world.open().is_empty(), "the site is full");
        world.egress.closed(open[0].0);
        let next = world.open();
        assert_eq!(world.pull(next[0].0), Pull::Deliver(5000));
    }

    #[test]
    fn one_source_that_fails_does_not_speak_for_those_still_coming_up() {
        let mut world = world(3, limits(2, 5), 100);
        world.push(0..100);
        let ids: Vec<ConnectionId> = world
            .egress
            .balance(&world.site.clone(), NOW)
            .iter()
            .filter_map(|action| match action {
                Action::Open { connection, .. } => Some(*connection),
                Action::Wake(_) => None,
            })
            .collect();
        assert_eq!(ids.len(), 5);
        assert!(world.egress.failed_to_open(ids[0], &failure(), NOW).is_empty());
        world.egress.opened(ids[1]);
        assert_eq!(world.pull(ids[1]), Pull::Deliver(0));
        for id in &ids[2..] {
            assert!(world.egress.failed_to_open(*id, &failure(), NOW).is_empty());
        }
    }

    #[test]
    fn a_rate_spaces_recipients_evenly() {
        let rate = Rate { count: 60, per: Duration::from_mins(1) };
        let mut world = world(1, Limits { rate: Some(rate), ..limits(2, 5) }, 100);
        world.push(0..9);
        let open = world.open();
        assert_eq!(world.pull(open[0].0), Pull::Deliver(0));
        let next = NOW.after(Duration::from_secs(1));
        assert_eq!(world.pull(open[0].0), Pull::Wait(next));
        assert_eq!(world.pull(open[1].0), Pull::Wait(next), "the limit is the path's");
        assert_eq!(world.egress.pull(open[0].0, next, |_| 1), Pull::Deliver(1));
    }

    #[test]
    fn a_quiet_site_is_forgotten() {
        let mut world = world(1, limits(2, 5), 100);
        world.push(0..1);
        let open = world.open();
        assert_eq!(world.pull(open[0].0), Pull::Deliver(0));
        world.egress.closed(open[0].0);
        assert!(world.egress.sites.is_empty());
        assert!(world.egress.connections.is_empty());
    }
}
