//! Whether the hosts of a site can be reached: connections that come up, those that fail, what that says of the
//! hosts and what of the source.

use std::sync::Arc;
use std::time::Duration;

use crate::message::{Failure, Scope, Timestamp};

use super::books::Egress;
use super::connection::{Connection, ConnectionId, ConnectionState};
use super::health::Why;
use super::line::Line;
use super::path::Path;
use super::site::{HostSet, Site, SitePool};
use super::{Item, blame};

/// After a set of hosts could not be reached at all, what comes due for it is deferred without
/// asking again for this long.
pub(super) const DOWN: Duration = Duration::from_secs(10);
/// After a connection failed while others were open, no more are opened for this long.
const ENOUGH: Duration = Duration::from_secs(30);
/// A host that failed is tried after the others for this long.
const AVOID: Duration = Duration::from_mins(1);

impl<T: Item> Egress<T> {
    /// A connection is up; it pulls next.
    pub fn opened(&mut self, id: ConnectionId, now: Timestamp) {
        self.enter(id, ConnectionState::Busy);
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(site) = self.sites.get_mut(&connection.site) else { return };
        if let Some(hosts) = site.hosts.get_mut(&connection.host_set) {
            hosts.down = None;
        }
        if let Some(path) = site.paths.get_mut(&connection.source) {
            path.silent = 0;
            path.heard = now;
        }
    }

    /// A connection could not be opened to any host. While other connections of its line are up
    /// or coming up, they go on with what waits; otherwise it has failed, and is returned.
    pub fn failed_to_open(
        &mut self,
        id: ConnectionId,
        failure: &Failure,
        now: Timestamp,
    ) -> Vec<T> {
        let Some(connection) = self.remove(id) else { return Vec::new() };
        let Connection { site: name, host_set, pool, source, .. } = &connection;
        let own_fault = failure.scope == Scope::Path;
        let silent = !own_fault && self.is_silent_block(&connection, failure, now);
        let Some(site) = self.sites.get_mut(name) else { return Vec::new() };
        if own_fault && let Some(path) = site.paths.get_mut(source) {
            path.not_before = now.after(DOWN);
        }
        if own_fault || silent || self.is_kept(name, source, now) {
            // It says nothing about the hosts: other sources of the pool may be heard.
            self.redeal(name, pool, source, now);
            let others = self.any_may_go(name, pool, now);
            return if others { Vec::new() } else { self.drain_line(name, pool, host_set) };
        }
        let Some(site) = self.sites.get_mut(name) else { return Vec::new() };
        let lines = |site: &Site<T>| {
            let of_pool = |it: &SitePool<T>| it.lines.get(host_set).map_or(0, Line::connections);
            site.pools.values().map(of_pool).sum::<usize>()
        };
        let own = site.pools.get(pool).and_then(|it| it.lines.get(host_set));
        if own.is_some_and(|line| line.connections() > 0) {
            site.hosts.entry(Arc::clone(host_set)).or_default().no_more_until = now.after(ENOUGH);
            return Vec::new();
        }
        if lines(site) == 0 {
            let hosts = site.hosts.entry(Arc::clone(host_set)).or_default();
            hosts.down = Some((now.after(DOWN), failure.clone()));
        }
        self.drain_line(name, pool, host_set)
    }

    /// Whether a source is kept from the site for long.
    fn is_kept(&self, site: &str, source: &str, now: Timestamp) -> bool {
        let path = self.sites.get(site).and_then(|site| site.paths.get(source));
        path.is_some_and(|path| path.health.is_suspended() || path.not_before > now)
    }

    /// Takes everything out of a line.
    pub(super) fn drain_line(
        &mut self,
        name: &Arc<str>,
        pool: &Arc<str>,
        host_set: &Arc<str>,
    ) -> Vec<T> {
        let Some(site) = self.sites.get_mut(name) else { return Vec::new() };
        let mut items = Vec::new();
        if let Some(pool) = site.pools.get_mut(pool)
            && let Some(line) = pool.lines.get_mut(host_set)
        {
            for (key, item) in line.take_all(|_| true) {
                pool.left(key.1);
                items.push(item);
            }
        }
        site.settle(pool, host_set);
        self.note_waiting(name);
        items
    }

    /// A host failed: it goes behind the others for a while.
    pub fn avoid(&mut self, site: &str, host_set: &Arc<str>, host: &str, now: Timestamp) {
        if let Some(site) = self.sites.get_mut(site) {
            let hosts: &mut HostSet = site.hosts.entry(Arc::clone(host_set)).or_default();
            hosts.avoid.retain(|_, until| *until > now);
            hosts.avoid.insert(host.to_owned(), now.after(AVOID));
        }
    }

    /// Whether a host failed a moment ago.
    pub fn is_avoided(&self, site: &str, host_set: &str, host: &str, now: Timestamp) -> bool {
        let hosts = self.sites.get(site).and_then(|site| site.hosts.get(host_set));
        hosts.and_then(|hosts| hosts.avoid.get(host)).is_some_and(|until| *until > now)
    }

    /// Connections that failed without a word from the peer, one after another, while others are
    /// heard at the same hosts: the source is blocked there in silence.
    fn is_silent_block(
        &mut self,
        connection: &Connection,
        failure: &Failure,
        now: Timestamp,
    ) -> bool {
        if failure.phase.is_some() {
            return false;
        }
        let Some(site) = self.sites.get_mut(&connection.site) else { return false };
        let heard = |(name, path): (&Arc<str>, &Path)| {
            *name != connection.source
                && path.heard > Timestamp::default()
                && now.since(path.heard) < blame::HEARD_WITHIN
        };
        let others_heard = site.paths.iter().any(heard);
        let Some(path) = site.paths.get_mut(&connection.source) else { return false };
        path.silent += 1;
        if !others_heard || path.silent < blame::SILENT_FAILURES {
            return false;
        }
        let why = Why { rule: "silent".to_owned(), said: failure.cause.clone(), at: now };
        self.suspend_silent(connection, why, now);
        true
    }
}
