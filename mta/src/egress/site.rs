//! One site: its limits, its pools with what waits in them, its paths.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::message::{Failure, Timestamp};

use super::connection::{ConnectionId, ConnectionState};
use super::limits::{Limits, Spacing};
use super::turns::Turns;

/// Connections that may be coming up at a time before a burst is known to need more.
const READY_PER_OPENING: usize = 4;

/// A destination.
#[derive(Debug)]
pub(super) struct Site<T> {
    pub(super) limits: Limits,
    pub(super) pools: BTreeMap<Arc<str>, PoolTurns<T>>,
    pub(super) paths: HashMap<Arc<str>, Path>,
    pub(super) open: u32,
    pub(super) no_more_until: Timestamp,
    pub(super) down: Option<(Timestamp, Failure)>,
    pub(super) avoid: BTreeMap<String, Timestamp>,
}

/// What waits for the sources of one pool.
#[derive(Debug)]
pub(super) struct PoolTurns<T> {
    pub(super) turns: Turns<T>,
    pub(super) idle: Vec<ConnectionId>,
    pub(super) opening: usize,
    pub(super) busy: usize,
}

/// A source at the site.
#[derive(Debug, Default)]
pub(super) struct Path {
    pub(super) open: u32,
    pub(super) spacing: Spacing,
    /// It could not be used, through a fault of its own: no connection before this.
    pub(super) not_before: Timestamp,
}

impl<T> Site<T> {
    pub(super) fn pool(&mut self, name: &Arc<str>) -> &mut PoolTurns<T> {
        self.pools.entry(Arc::clone(name)).or_default()
    }
}

impl<T> PoolTurns<T> {
    /// Up or coming up.
    pub(super) fn connections(&self) -> usize {
        self.opening + self.busy + self.idle.len()
    }

    /// A connection is in this state from now on.
    pub(super) fn enter(&mut self, id: ConnectionId, state: ConnectionState) {
        match state {
            ConnectionState::Opening => self.opening += 1,
            ConnectionState::Busy => self.busy += 1,
            ConnectionState::Idle => self.idle.push(id),
            ConnectionState::Closing => {}
        }
    }

    /// A connection was in this state.
    pub(super) fn leave(&mut self, id: ConnectionId, state: ConnectionState) {
        match state {
            ConnectionState::Opening => self.opening = self.opening.saturating_sub(1),
            ConnectionState::Busy => self.busy = self.busy.saturating_sub(1),
            ConnectionState::Idle => self.idle.retain(|idle| *idle != id),
            ConnectionState::Closing => {}
        }
    }

    /// What waits is more than those that are there, or coming, will soon have carried.
    pub(super) fn wants_more(&self) -> bool {
        let waiting = self.turns.len();
        waiting > READY_PER_OPENING * self.opening + self.busy.min(waiting)
            || (waiting > 0 && self.opening + self.busy == 0)
    }
}

impl<T> Default for PoolTurns<T> {
    fn default() -> Self {
        Self { turns: Turns::default(), idle: Vec::new(), opening: 0, busy: 0 }
    }
}
