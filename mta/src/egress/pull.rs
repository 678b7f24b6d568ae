//! What a connection does next.

use std::sync::Arc;

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::Item;
use super::books::Egress;
use super::connection::{Connection, ConnectionId, ConnectionState, Pull};
use super::path::Terms;
use super::push::SOON_ENOUGH;
use super::rotation::Choice;

/// Transactions after which a connection makes room for mail that has none to get.
const YIELD_AFTER: u32 = 20;

impl<T: Item> Egress<T> {
    /// The next thing for a connection to do.
    pub fn pull(&mut self, id: ConnectionId, now: Timestamp) -> Pull<T> {
        let Some(connection) = self.connections.get(&id).cloned() else { return Pull::Close };
        if !self.sources.serves(&connection.source, &connection.pool) {
            return Pull::Close;
        }
        self.advance(&connection.site, &connection.pool, now);
        if let Some(stop) = self.kept(&connection, now) {
            return stop;
        }
        let Some(most) = self.reserve(&connection, now) else { return Pull::Save };
        match self.pop(&connection, most, now) {
            Some((item, recipients)) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.transactions += 1;
                }
                self.enter(id, ConnectionState::Busy);
                self.note_waiting(&connection.site);
                let per_message =
                    self.pool_limits(&connection).and_then(|it| it.recipients_per_message);
                Pull::Deliver { item, recipients, per_message }
            }
            None => self.nothing_to_do(id, &connection),
        }
    }

    fn pool_limits(&self, connection: &Connection) -> Option<&super::limits::Limits> {
        let site = self.sites.get(&connection.site)?;
        site.pools.get(&connection.pool).map(|pool| &pool.limits)
    }

    /// What keeps the connection from carrying anything now.
    fn kept(&mut self, connection: &Connection, now: Timestamp) -> Option<Pull<T>> {
        let day = self.sources.day(&connection.pool, now);
        let Some(site) = self.sites.get_mut(&connection.site) else { return Some(Pull::Close) };
        let Some(pool) = site.pools.get(&connection.pool) else { return Some(Pull::Close) };
        let terms = Terms { limits: &pool.limits, day, rules: pool.rules.as_ref() };
        let Some(path) = site.paths.get(&connection.source) else { return Some(Pull::Close) };
        if connection.transactions >= path.messages(terms.limits, now) {
            return Some(Pull::Close);
        }
        let worked = connection.transactions >= YIELD_AFTER;
        let own = pool
            .lines
            .get(&connection.host_set)
            .and_then(|line| line.head_for(&connection.source))
            .map(|lane| lane.priority);
        let starving = site.starving.is_some_and(|other| match own {
            Some(own) => other > own || (other == own && worked),
            None => true,
        });
        if starving {
            site.starving = None;
            return Some(Pull::Close);
        }
        if self.room.is_wanted() && worked {
            return Some(Pull::Close);
        }
        let gate = path.gate(terms, now).and(site.gate(terms.limits, day.ends, now));
        if gate.is_open(now) {
            return None;
        }
        limit_hit("rate");
        if gate.opens() > now.after(SOON_ENOUGH) {
            let (site, pool) = (Arc::clone(&connection.site), Arc::clone(&connection.pool));
            self.redeal(&site, &pool, &connection.source, now);
            return Some(Pull::Close);
        }
        Some(Pull::Wait(gate.opens()))
    }

    /// Recipients that may go at once: what is left of the caps that is on disk as used. `None`: it must be
    /// saved first.
    fn reserve(&mut self, connection: &Connection, now: Timestamp) -> Option<u32> {
        let day = self.sources.day(&connection.pool, now);
        let Some(site) = self.sites.get_mut(&connection.site) else { return Some(0) };
        let Some(pool) = site.pools.get(&connection.pool) else { return Some(0) };
        let line = pool.lines.get(&connection.host_set);
        let next = line.and_then(|line| line.front_for(&connection.source));
        let wanted = next.map_or(0, Item::recipients);
        let terms = Terms { limits: &pool.limits, day, rules: pool.rules.as_ref() };
        let total = terms.limits.per_day_total;
        let Some(path) = site.paths.get_mut(&connection.source) else { return Some(0) };
        let mut most = u32::MAX;
        let mut save = false;
        if let Some((cap, _)) = path.cap(terms) {
            let asked = path.budget.ask(cap, wanted);
            let enough = wanted.min(path.budget.left(cap));
            let at_hand = path.budget.at_hand(cap);
            if asked || at_hand < enough {
                self.remembered.unsaved(&connection.site, &connection.source);
            }
            save |= at_hand < enough;
            most = most.min(at_hand);
        }
        if let Some(cap) = total {
            let asked = site.budget.ask(cap, wanted);
            let enough = wanted.min(site.budget.left(cap));
            let at_hand = site.budget.at_hand(cap);
            if asked || at_hand < enough {
                self.remembered.unsaved_site(&connection.site);
            }
            save |= at_hand < enough;
            most = most.min(at_hand);
        }
        (!save).then_some(most)
    }

    /// Takes the next delivery out of the line, and charges it.
    fn pop(&mut self, connection: &Connection, most: u32, now: Timestamp) -> Option<(T, u32)> {
        let day = self.sources.day(&connection.pool, now);
        let site = self.sites.get_mut(&connection.site)?;
        let pool = site.pools.get(&connection.pool)?;
        let line = pool.lines.get(&connection.host_set)?;
        let terms = Terms { limits: &pool.limits, day, rules: pool.rules.as_ref() };
        let head = line.head_for(&connection.source)?;
        let choice = Choice::at(site, pool, &self.sources, &connection.pool, terms, now);
        let may_take = choice.may_take(&connection.source, head.priority);
        let pool = site.pools.get_mut(&connection.pool)?;
        let line = pool.lines.get_mut(&connection.host_set)?;
        let (key, item) = if may_take {
            line.pop(&connection.source)?
        } else {
            line.pop_own(&connection.source)?
        };
        pool.left(key.1);
        let recipients = item.recipients().max(1).min(most);
        let terms = Terms { limits: &pool.limits, day, rules: pool.rules.as_ref() };
        if let Some(path) = site.paths.get_mut(&connection.source) {
            path.carries(recipients, terms, now);
        }
        let limits = pool.limits.clone();
        site.carries(recipients, &limits, now);
        site.settle(&connection.pool, &connection.host_set);
        Some((item, recipients))
    }

    fn nothing_to_do(&mut self, id: ConnectionId, connection: &Connection) -> Pull<T> {
        if self.room.is_wanted() || self.others_want_its_place(connection) {
            return Pull::Close;
        }
        self.enter(id, ConnectionState::Idle);
        Pull::Idle
    }

    /// Whether the site has no connection left for a line that wants one.
    fn others_want_its_place(&self, connection: &Connection) -> bool {
        let Some(site) = self.sites.get(&connection.site) else { return true };
        let Some(pool) = site.pools.get(&connection.pool) else { return true };
        let full = site.open >= pool.limits.connections_total
            || site
                .paths
                .get(&connection.source)
                .is_some_and(|it| it.open >= pool.limits.connections);
        full && site.pools.values().any(|pool| !pool.order.is_empty())
    }
}
