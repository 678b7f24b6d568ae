//! What waits at a site for one set of hosts, from one pool; and the connections that carry it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::{Lane, Priority};

use super::connection::{ConnectionId, ConnectionState};
use super::turns::{LaneKey, Turns};

/// Connections that may be coming up at a time before a burst is known to need more.
const READY_PER_OPENING: usize = 4;
/// What is dealt to one source opens another connection of it beyond so much for each.
const DEALT_PER_CONNECTION: usize = 20;

/// A line of waiting mail.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// Any source of the pool may carry this.
    shared: Turns<T>,
    /// This belongs to one source: it was dealt to it, or must go again from the same.
    dealt: BTreeMap<Arc<str>, Turns<T>>,
    idle: Vec<(ConnectionId, Arc<str>)>,
    opening: usize,
    busy: usize,
    /// Connections by source, but for those that say goodbye.
    by_source: BTreeMap<Arc<str>, usize>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            shared: Turns::default(),
            dealt: BTreeMap::new(),
            idle: Vec::new(),
            opening: 0,
            busy: 0,
            by_source: BTreeMap::new(),
        }
    }
}

impl<T> Line<T> {
    /// Behind the others of its lane; for one source or for any.
    pub(super) fn push(&mut self, source: Option<&Arc<str>>, key: LaneKey, item: T) {
        self.turns(source).push(key, item);
    }

    /// Before the others of its lane.
    pub(super) fn push_front(&mut self, source: Option<&Arc<str>>, key: LaneKey, item: T) {
        self.turns(source).push_front(key, item);
    }

    fn turns(&mut self, source: Option<&Arc<str>>) -> &mut Turns<T> {
        match source {
            Some(source) => self.dealt.entry(Arc::clone(source)).or_default(),
            None => &mut self.shared,
        }
    }

    /// The next for a connection of this source: the higher priority, and of equal ones its own.
    pub(super) fn pop(&mut self, source: &str) -> Option<(LaneKey, T)> {
        let own = self.dealt.get(source).and_then(Turns::highest);
        if own.is_none() || self.shared.highest() > own {
            return self.shared.pop();
        }
        self.pop_own(source)
    }

    /// The next of what belongs to this source alone.
    pub(super) fn pop_own(&mut self, source: &str) -> Option<(LaneKey, T)> {
        let turns = self.dealt.get_mut(source)?;
        let item = turns.pop();
        if turns.is_empty() {
            self.dealt.remove(source);
        }
        item
    }

    /// The next for a connection of this source, where it stays.
    pub(super) fn front_for(&self, source: &str) -> Option<&T> {
        let own = self.dealt.get(source);
        let own_first = own.and_then(Turns::highest) >= self.shared.highest();
        let own = own.filter(|_| own_first).and_then(Turns::front);
        own.or_else(|| self.shared.front())
    }

    /// The lane of what is next for a connection of this source.
    pub(super) fn head_for(&self, source: &str) -> Option<Lane> {
        let own = self.dealt.get(source).and_then(Turns::head);
        let shared = self.shared.head();
        match (own, shared) {
            (Some(own), Some(shared)) if shared.priority > own.priority => Some(shared),
            (own, shared) => own.or(shared),
        }
    }

    /// Takes out one that `wanted` knows.
    pub(super) fn take(&mut self, key: &LaneKey, wanted: impl Fn(&T) -> bool + Copy) -> Option<T> {
        let mut dealt = self.dealt.values_mut();
        let found = self.shared.take(key, wanted);
        let found = found.or_else(|| dealt.find_map(|turns| turns.take(key, wanted)));
        self.dealt.retain(|_, turns| !turns.is_empty());
        found
    }

    /// Takes out all that `wanted` knows.
    pub(super) fn take_all(&mut self, wanted: impl Fn(&T) -> bool + Copy) -> Vec<(LaneKey, T)> {
        let mut taken = self.shared.take_all(wanted);
        for turns in self.dealt.values_mut() {
            taken.extend(turns.take_all(wanted));
        }
        self.dealt.retain(|_, turns| !turns.is_empty());
        taken
    }

    /// Takes out what belongs to one source.
    pub(super) fn take_dealt(&mut self, source: &str) -> Vec<(LaneKey, T)> {
        self.dealt.remove(source).map_or_else(Vec::new, |mut turns| turns.drain())
    }

    /// Sources that something belongs to.
    pub(super) fn dealt_to(&self) -> impl Iterator<Item = &Arc<str>> {
        self.dealt.keys()
    }

    /// Up or coming up.
    pub(super) fn connections(&self) -> usize {
        self.opening + self.busy + self.idle.len()
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_empty()
            && self.dealt.is_empty()
            && self.connections() == 0
            && self.by_source.is_empty()
    }

    /// A connection is in this state from now on.
    pub(super) fn enter(&mut self, id: ConnectionId, source: &Arc<str>, state: ConnectionState) {
        match state {
            ConnectionState::Opening => self.opening += 1,
            ConnectionState::Busy => self.busy += 1,
            ConnectionState::Idle => self.idle.push((id, Arc::clone(source))),
            ConnectionState::Closing => return,
        }
        *self.by_source.entry(Arc::clone(source)).or_default() += 1;
    }

    /// A connection was in this state.
    pub(super) fn leave(&mut self, id: ConnectionId, source: &str, state: ConnectionState) {
        match state {
            ConnectionState::Opening => self.opening = self.opening.saturating_sub(1),
            ConnectionState::Busy => self.busy = self.busy.saturating_sub(1),
            ConnectionState::Idle => self.idle.retain(|(idle, _)| *idle != id),
            ConnectionState::Closing => return,
        }
        if let Some(count) = self.by_source.get_mut(source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(source);
            }
        }
    }

    /// Idle connections that have something to carry, the ones used last first: they are the
    /// least likely to have been left. `may_take`: whether one of this source may have what any may carry; who
    /// is woken for nothing counts as at work, and the source that should carry it gets no connection.
    pub(super) fn idle_with_work(
        &self,
        may_take: impl Fn(&Arc<str>, Priority) -> bool,
    ) -> Vec<ConnectionId> {
        let mut shared = self.shared.len();
        let priority = self.shared.head().map(|lane| lane.priority).unwrap_or_default();
        let mut wanted = Vec::new();
        for (id, source) in self.idle.iter().rev() {
            if self.dealt.contains_key(source) {
                wanted.push(*id);
            } else if shared > 0 && may_take(source, priority) {
                shared -= 1;
                wanted.push(*id);
            }
        }
        wanted
    }

    /// Whether what any source may carry is more than those that are there, or coming, will soon have carried.
    pub(super) fn shared_wants(&self) -> bool {
        let waiting = self.shared.len();
        waiting > READY_PER_OPENING * self.opening + self.busy.min(waiting)
            || (waiting > 0 && self.opening + self.busy == 0)
    }

    /// Sources that want another connection for what belongs to them.
    pub(super) fn dealt_wants(&self) -> impl Iterator<Item = &Arc<str>> {
        let wants = |source: &Arc<str>, turns: &Turns<T>| {
            let there = self.by_source.get(source).copied().unwrap_or(0);
            turns.len() > DEALT_PER_CONNECTION * there
        };
        self.dealt.iter().filter(move |(source, turns)| wants(source, turns)).map(|it| it.0)
    }

    /// The lane that a new connection would serve first; `None`: no connection is wanted.
    pub(super) fn wants(&self) -> Option<Lane> {
        let dealt = self.dealt_wants().filter_map(|source| self.dealt.get(source)?.head());
        let shared = self.shared_wants().then(|| self.shared.head()).flatten();
        dealt.chain(shared).max_by_key(|lane| lane.priority)
    }
}
