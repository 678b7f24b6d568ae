//! Sites, their connections, and what waits for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use relay_config::config::Source;

use crate::message::{Failure, Timestamp};
use crate::metrics::limit_hit;

use super::limits::{Limits, Spacing};
use super::sources::Sources;
use super::turns::{LaneKey, Turns};

/// After a site could not be reached at all, what comes due for it is deferred without asking
/// again for this long.
const DOWN: Duration = Duration::from_secs(10);
/// After a connection failed while others were open, no more are opened for this long.
const ENOUGH: Duration = Duration::from_secs(30);
/// Connections that may be coming up at a time before a burst is known to need more.
const READY_PER_OPENING: usize = 4;
/// A host that failed is tried after the others for this long.
const AVOID: Duration = Duration::from_mins(1);

/// Names a connection in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// What bounds a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// MX hosts of others: polite limits.
    Mx,
    /// A server that takes our mail for others: no limit but the relay's.
    Smarthost,
}

/// What is to be done to connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open one; answer with [`Egress::opened`] or [`Egress::failed_to_open`].
    Open {
        /// Its name.
        connection: ConnectionId,
        /// Where to.
        site: Arc<str>,
        /// From where.
        source: Arc<Source>,
    },
    /// It is idle and there is something to pull.
    Wake(ConnectionId),
}

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// Deliver this.
    Deliver(T),
    /// Nothing to do: keep the connection open until woken or idle for too long.
    Idle,
    /// Its path may go again then.
    Wait(Timestamp),
    /// It has carried all that it may.
    Close,
}

/// What became of an attempt to connect.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<T> {
    /// Other connections are up: they go on.
    OthersGoOn,
    /// Nothing reaches the site: all that waited for it has failed.
    SiteDown(Vec<T>),
}

/// Everything that may go out now.
#[derive(Debug)]
pub struct Egress<T> {
    sources: Sources,
    sites: BTreeMap<Arc<str>, Site<T>>,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    connections_max: usize,
    mx_limits: Limits,
    /// Sites that wanted a connection when the relay had no more to give.
    starved: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Site<T> {
    limits: Limits,
    pools: BTreeMap<Arc<str>, PoolTurns<T>>,
    paths: HashMap<Arc<str>, Path>,
    open: u32,
    no_more_until: Timestamp,
    down: Option<(Timestamp, Failure)>,
    avoid: BTreeMap<String, Timestamp>,
}

#[derive(Debug)]
struct PoolTurns<T> {
    turns: Turns<T>,
    idle: Vec<ConnectionId>,
    opening: usize,
    busy: usize,
}

#[derive(Debug, Default)]
struct Path {
    open: u32,
    spacing: Spacing,
}

#[derive(Debug)]
struct Connection {
    site: Arc<str>,
    pool: Arc<str>,
    source: Arc<str>,
    state: ConnectionState,
    transactions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    Opening,
    Busy,
    Idle,
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
            starved: Vec::new(),
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

    /// A delivery waits for the site. Gives it back with the reason when the site cannot be reached.
    pub fn push(
        &mut self,
        site: (&Arc<str>, SiteKind),
        pool: &Arc<str>,
        key: LaneKey,
        item: T,
        now: Timestamp,
    ) -> Result<(), (T, Failure)> {
        let state = self.site(site.0, site.1);
        match &state.down {
            Some((until, failure)) if *until > now => return Err((item, failure.clone())),
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

    /// Which connections to wake or open, now that something changed at the site.
    pub fn balance(&mut self, name: &Arc<str>, now: Timestamp) -> Vec<Action> {
        let Some(site) = self.sites.get_mut(name) else { return Vec::new() };
        let mut actions = Vec::new();
        for (pool_name, pool) in &mut site.pools {
            let mut waiting = pool.turns.len();
            while waiting > 0
                && let Some(idle) = pool.idle.pop()
            {
                if let Some(connection) = self.connections.get_mut(&idle) {
                    connection.state = ConnectionState::Busy;
                    pool.busy += 1;
                    waiting -= 1;
                    actions.push(Action::Wake(idle));
                }
            }
            while waiting > READY_PER_OPENING * pool.opening + pool.busy.min(waiting)
                || (waiting > 0 && pool.opening + pool.busy == 0)
            {
                if site.open >= site.limits.connections_total {
                    limit_hit("connections_total");
                    break;
                }
                if site.no_more_until > now && site.open > 0 {
                    break;
                }
                if self.connections.len() >= self.connections_max {
                    limit_hit("delivery.connections");
                    if !self.starved.contains(name) {
                        self.starved.push(Arc::clone(name));
                    }
                    break;
                }
                let (paths, limit) = (&site.paths, site.limits.connections);
                let may =
                    |source: &Arc<str>| paths.get(source).is_none_or(|path| path.open < limit);
                let Some(source) = self.sources.next(pool_name, may) else {
                    limit_hit("connections");
                    break;
                };
                let id = ConnectionId(self.next_connection);
                self.next_connection += 1;
                site.paths.entry(Arc::clone(&source.name)).or_default().open += 1;
                site.open += 1;
                pool.opening += 1;
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
                actions.push(Action::Open { connection: id, site: Arc::clone(name), source });
            }
        }
        actions
    }

    /// A connection is up; it pulls next.
    pub fn opened(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.state = ConnectionState::Busy;
        if let Some(site) = self.sites.get_mut(&connection.site) {
            site.down = None;
            let pool = site.pool(&connection.pool);
            pool.opening = pool.opening.saturating_sub(1);
            pool.busy += 1;
        }
    }

    /// A connection could not be opened to any host.
    pub fn failed_to_open(
        &mut self,
        id: ConnectionId,
        failure: &Failure,
        now: Timestamp,
    ) -> Opened<T> {
        let Some(connection) = self.remove(id) else { return Opened::OthersGoOn };
        let Some(site) = self.sites.get_mut(&connection.site) else { return Opened::OthersGoOn };
        if site.pools.values().any(|pool| pool.busy + pool.idle.len() > 0) {
            site.no_more_until = now.after(ENOUGH);
            return Opened::OthersGoOn;
        }
        site.down = Some((now.after(DOWN), failure.clone()));
        let failed = site.pools.values_mut().flat_map(|pool| pool.turns.drain()).collect();
        Opened::SiteDown(failed)
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
        if connection.transactions >= site.limits.messages_per_connection {
            return Pull::Close;
        }
        let path = site.paths.entry(Arc::clone(&connection.source)).or_default();
        if site.limits.rate.is_some() && path.spacing.next() > now {
            return Pull::Wait(path.spacing.next());
        }
        let pool = site.pools.entry(Arc::clone(&connection.pool)).or_default();
        let Some(item) = pool.turns.pop() else {
            if connection.state == ConnectionState::Busy {
                pool.busy = pool.busy.saturating_sub(1);
                pool.idle.push(id);
                connection.state = ConnectionState::Idle;
            }
            return Pull::Idle;
        };
        if connection.state == ConnectionState::Idle {
            pool.idle.retain(|idle| *idle != id);
            pool.busy += 1;
            connection.state = ConnectionState::Busy;
        }
        if let Some(rate) = site.limits.rate {
            path.spacing.take(rate, recipients(&item), now);
        }
        connection.transactions += 1;
        Pull::Deliver(item)
    }

    /// A connection has ended. Returns the sites that may want another one.
    pub fn closed(&mut self, id: ConnectionId) -> Vec<Arc<str>> {
        let mut wanting = std::mem::take(&mut self.starved);
        if let Some(connection) = self.remove(id) {
            wanting.push(Arc::clone(&connection.site));
            self.forget_if_empty(&connection.site);
        }
        wanting
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
            let pool = site.pool(&connection.pool);
            match connection.state {
                ConnectionState::Opening => pool.opening = pool.opening.saturating_sub(1),
                ConnectionState::Busy => pool.busy = pool.busy.saturating_sub(1),
                ConnectionState::Idle => pool.idle.retain(|idle| *idle != id),
            }
        }
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

impl<T> Site<T> {
    fn pool(&mut self, name: &Arc<str>) -> &mut PoolTurns<T> {
        self.pools.entry(Arc::clone(name)).or_default()
    }
}

impl<T> Default for PoolTurns<T> {
    fn default() -> Self {
        Self { turns: Turns::default(), idle: Vec::new(), opening: 0, busy: 0 }
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
        let pool = Pool {
            name: "p".into(),
            sources: sources.iter().map(|s| Arc::clone(&s.name)).collect(),
            standby: vec![],
            rotation: Rotation::RoundRobin,
        };
        let sources = Sources::new(&sources, &[Arc::new(pool)], |_| true);
        World {
            egress: Egress::new(sources, limits, connections_max),
            site: "mx.x.pe".into(),
            pool: "p".into(),
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
            cause: "refused".to_owned(),
        }
    }

    impl World {
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
        let wanting = world.egress.closed(first[0].0);
        assert!(wanting.contains(&other));
        assert_eq!(world.egress.balance(&other, NOW).len(), 1);
    }

    #[test]
    fn a_site_that_cannot_be_reached_gives_everything_back() {
        let mut world = world(1, limits(2, 5), 100);
        world.push(0..3);
        let actions = world.egress.balance(&world.site.clone(), NOW);
        let Action::Open { connection, .. } = actions[0] else { unreachable!() };
        let opened = world.egress.failed_to_open(connection, &failure(), NOW);
        assert_eq!(opened, Opened::SiteDown(vec![0, 1, 2]));
        let site = (&world.site.clone(), SiteKind::Mx);
        let refused = world.egress.push(site, &world.pool, key(), 4, NOW);
        assert_eq!(refused, Err((4, failure())));
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
        let opened = world.egress.failed_to_open(connection, &failure(), NOW);
        assert_eq!(opened, Opened::OthersGoOn);
        assert_eq!(world.pull(good[0].0), Pull::Deliver(1));
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
