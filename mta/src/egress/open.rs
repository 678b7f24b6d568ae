//! Which connections to wake or to open.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::Item;
use super::books::Egress;
use super::connection::{Action, Connection, ConnectionId, ConnectionState};
use super::path::Terms;
use super::rotation::{Blocked, Choice, SOON};
use super::site::Site;

/// Lines that are looked at for one that can have a connection.
const LINES_TRIED: usize = 32;

impl<T: Item> Egress<T> {
    /// Which connections to wake or open, now that something changed at the site.
    pub fn balance(&mut self, name: &Arc<str>, now: Timestamp) -> Vec<Action> {
        let pools: Vec<Arc<str>> = match self.sites.get(name) {
            Some(site) => site.pools.keys().cloned().collect(),
            None => return Vec::new(),
        };
        for pool in &pools {
            self.advance(name, pool, now);
        }
        let mut actions = self.wake_idle(name, now);
        // Pools that can have none.
        let mut spent: Vec<Arc<str>> = Vec::new();
        let mut starving = None;
        while let Some(pool) = self.next_pool(name, &spent) {
            if self.connections.len() >= self.settings.connections_max {
                limit_hit("delivery.connections");
                actions.extend(self.wait_for_room(name));
                break;
            }
            match self.open(name, &pool, now) {
                Ok(action) => actions.push(action),
                Err(blocked) => {
                    if blocked == Blocked::Connections {
                        starving = starving.max(self.starving(name, &pool));
                    }
                    spent.push(pool);
                    continue;
                }
            }
            if self.room.is_wanted() {
                // Others wait for theirs: one each, in turn.
                actions.extend(self.wait_for_room(name));
                break;
            }
        }
        if let Some(site) = self.sites.get_mut(name) {
            site.starving = starving;
        }
        if starving.is_some() {
            actions.extend(self.wake_to_close(name));
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

    /// An idle connection of another line gives up its place at the site.
    fn wake_to_close(&mut self, name: &str) -> Option<Action> {
        let idle = *self.sites.get(name)?.idle.first()?;
        self.enter(idle, ConnectionState::Busy);
        Some(Action::Wake(idle))
    }

    fn wake_idle(&mut self, name: &str, now: Timestamp) -> Vec<Action> {
        let Some(site) = self.sites.get(name) else { return Vec::new() };
        let mut wanted: Vec<ConnectionId> = Vec::new();
        let mut seen: Vec<(&Arc<str>, &Arc<str>)> = Vec::new();
        for id in &site.idle {
            let Some(connection) = self.connections.get(id) else { continue };
            let line = (&connection.pool, &connection.host_set);
            if seen.contains(&line) {
                continue;
            }
            seen.push(line);
            let Some(pool) = site.pools.get(line.0) else { continue };
            let Some(waiting) = pool.lines.get(line.1) else { continue };
            let day = self.sources.day(line.0, now);
            let terms = Terms { limits: &pool.limits, day, rules: pool.rules.as_ref() };
            let choice = Choice::at(site, pool, &self.sources, line.0, terms, now);
            wanted.extend(
                waiting.idle_with_work(|source, priority| choice.may_take(source, priority)),
            );
        }
        for idle in &wanted {
            self.enter(*idle, ConnectionState::Busy);
        }
        wanted.into_iter().map(Action::Wake).collect()
    }

    /// The pool whose turn it is: the highest priority, then the fewest connections, so that one pool's backlog
    /// does not keep another's mail from the site.
    fn next_pool(&self, name: &str, spent: &[Arc<str>]) -> Option<Arc<str>> {
        let site = self.sites.get(name)?;
        let wanting = site
            .pools
            .iter()
            .filter(|(pool, state)| !state.order.is_empty() && !spent.contains(pool));
        let (pool, _) =
            wanting.min_by_key(|(_, state)| (Reverse(state.order.highest()), state.at_work))?;
        Some(Arc::clone(pool))
    }

    /// The priority of a line of the pool that has no connection at all.
    fn starving(&self, name: &str, pool: &str) -> Option<crate::message::Priority> {
        let pool = self.sites.get(name)?.pools.get(pool)?;
        let mut lines = pool.order.iter().take(LINES_TRIED);
        lines.find_map(|host_set| {
            let line = pool.lines.get(host_set).filter(|line| line.connections() == 0)?;
            line.wants().map(|lane| lane.priority)
        })
    }

    fn open(
        &mut self,
        name: &Arc<str>,
        pool: &Arc<str>,
        now: Timestamp,
    ) -> Result<Action, Blocked> {
        let day = self.sources.day(pool, now);
        let site = self.sites.get(name).ok_or(Blocked::Time)?;
        let state = site.pools.get(pool).ok_or(Blocked::Time)?;
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        if site.open >= terms.limits.connections_total {
            limit_hit("connections_total");
            return Err(Blocked::Connections);
        }
        let gate = site.gate(terms.limits, day.ends, now);
        if gate.opens() > now.after(SOON) || !site.opens().is_open(now) {
            return Err(Blocked::Time);
        }
        let choice = Choice::at(site, state, &self.sources, pool, terms, now);
        let mut blocked = Blocked::Time;
        let mut found = None;
        for host_set in state.order.iter().take(LINES_TRIED) {
            match choose(site, &choice, host_set, now) {
                Ok(source) => {
                    found = Some((Arc::clone(host_set), source));
                    break;
                }
                Err(Blocked::Connections) => blocked = Blocked::Connections,
                Err(Blocked::Time) => {}
            }
        }
        let Some((host_set, source)) = found else {
            if blocked == Blocked::Connections {
                limit_hit("connections");
            }
            return Err(blocked);
        };
        self.opening(name, pool, host_set, &source, now).ok_or(Blocked::Time)
    }

    /// Enters a connection into the books.
    fn opening(
        &mut self,
        name: &Arc<str>,
        pool: &Arc<str>,
        host_set: Arc<str>,
        source: &Arc<str>,
        now: Timestamp,
    ) -> Option<Action> {
        let config = Arc::clone(self.sources.get(source)?);
        // Whose turn it was has had it.
        self.sources.next(pool, |name| name == source);
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let site = self.sites.get_mut(name)?;
        let state = site.pools.get_mut(pool)?;
        let limits = state.limits.clone();
        state.order.served(&host_set);
        state.moves(&host_set, id, source, (None, Some(ConnectionState::Opening)));
        site.paths.entry(Arc::clone(source)).or_default().opening(&limits, now);
        site.opening(&limits, now);
        site.settle(pool, &host_set);
        let connection = Connection {
            site: Arc::clone(name),
            host_set: Arc::clone(&host_set),
            pool: Arc::clone(pool),
            source: Arc::clone(source),
            state: ConnectionState::Opening,
            transactions: 0,
        };
        self.connections.insert(id, connection);
        Some(Action::Open { connection: id, site: Arc::clone(name), host_set, source: config })
    }
}

/// The source for a new connection of a line.
fn choose<T>(
    site: &Site<T>,
    choice: &Choice<'_>,
    host_set: &Arc<str>,
    now: Timestamp,
) -> Result<Arc<str>, Blocked> {
    let pool = site.pools.get(choice.pool_name).ok_or(Blocked::Time)?;
    let line = pool.lines.get(host_set).ok_or(Blocked::Time)?;
    if let Some(hosts) = site.hosts.get(host_set)
        && hosts.no_more_until > now
        && line.connections() > 0
    {
        return Err(Blocked::Time);
    }
    let mut blocked = Blocked::Time;
    for source in line.dealt_wants() {
        match choice.can_open(source) {
            Ok(()) => return Ok(Arc::clone(source)),
            Err(Blocked::Connections) => blocked = Blocked::Connections,
            Err(Blocked::Time) => {}
        }
    }
    if line.shared_wants()
        && let Some(lane) = line.wants()
    {
        return choice.source(lane);
    }
    Err(blocked)
}
