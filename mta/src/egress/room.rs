//! The connections of the whole relay are shared: who waits for one, and who could give one up.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use super::connection::ConnectionId;

/// Sites that wait for a connection when the relay has no more to give, first come first served.
#[derive(Debug, Default)]
pub(super) struct Room {
    queue: VecDeque<Arc<str>>,
    queued: HashSet<Arc<str>>,
    /// Connections that are kept open for mail that may come: the first to go.
    idle: BTreeSet<ConnectionId>,
}

impl Room {
    /// Whether somebody waits.
    pub(super) fn is_wanted(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The site waits for its turn. Returns an idle connection that should make room for it,
    /// unless it waits already.
    pub(super) fn wait(&mut self, site: &Arc<str>) -> Option<ConnectionId> {
        if !self.queued.insert(Arc::clone(site)) {
            return None;
        }
        self.queue.push_back(Arc::clone(site));
        self.idle.first().copied()
    }

    /// The site whose turn it is.
    pub(super) fn next(&mut self) -> Option<Arc<str>> {
        let site = self.queue.pop_front()?;
        self.queued.remove(&site);
        Some(site)
    }

    /// The connection has nothing to do, or has something again.
    pub(super) fn set_idle(&mut self, connection: ConnectionId, idle: bool) {
        if idle {
            self.idle.insert(connection);
        } else {
            self.idle.remove(&connection);
        }
    }
}
