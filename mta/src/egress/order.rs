//! Which line of a site gets the next connection: the highest priority first; within it the lanes (account
//! and tag) take turns, so that a campaign to five thousand tenants of one provider does not stand before ten
//! messages of somebody else; within a lane the line that has waited longest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::message::{Lane, Priority};

/// Lines that want a connection. A line stands under the lane whose mail is at its head.
#[derive(Debug, Default)]
pub(super) struct Order {
    lanes: BTreeMap<Turn, BTreeSet<(u64, Arc<str>)>>,
    turns: HashMap<Lane, Turn>,
    under: HashMap<Arc<str>, (Lane, u64)>,
    next_place: u64,
}

/// When a lane has its turn: by priority, then by how often it was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    priority: Reverse<Priority>,
    served: u64,
    lane: Lane,
}

impl Order {
    /// A line wants a connection for mail of this lane, or none.
    pub(super) fn set(&mut self, name: &Arc<str>, wants: Option<Lane>) {
        let before = self.under.get(name).map(|(lane, _)| *lane);
        if before == wants {
            return;
        }
        if let Some((known, place)) = self.under.remove(name) {
            self.leave(name, known, place);
        }
        if let Some(wants) = wants {
            self.enter(name, wants);
        }
    }

    /// Its lane was given a connection: the others go before it.
    pub(super) fn served(&mut self, name: &Arc<str>) {
        let Some((lane, place)) = self.under.get(name).copied() else { return };
        let Some(turn) = self.turns.get(&lane).copied() else { return };
        let Some(mut lines) = self.lanes.remove(&turn) else { return };
        // Behind the other lines of its lane.
        lines.remove(&(place, Arc::clone(name)));
        let behind = self.take_place();
        lines.insert((behind, Arc::clone(name)));
        self.under.insert(Arc::clone(name), (lane, behind));
        let turn = Turn { served: turn.served + 1, ..turn };
        self.turns.insert(lane, turn);
        self.lanes.insert(turn, lines);
    }

    /// The lines in the order of their turns.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lanes.values().flatten().map(|(_, line)| line)
    }

    /// The highest priority that wants a connection.
    pub(super) fn highest(&self) -> Option<Priority> {
        self.lanes.keys().next().map(|turn| turn.priority.0)
    }

    /// Whether no line wants one.
    pub(super) fn is_empty(&self) -> bool {
        self.under.is_empty()
    }

    fn enter(&mut self, name: &Arc<str>, lane: Lane) {
        let priority = Reverse(lane.priority);
        // Who comes back does not claim the turns that it missed.
        let least = self.lanes.keys().find(|turn| turn.priority == priority);
        let served = least.map_or(0, |turn| turn.served);
        let turn = *self.turns.entry(lane).or_insert(Turn { priority, served, lane });
        let place = self.take_place();
        self.lanes.entry(turn).or_default().insert((place, Arc::clone(name)));
        self.under.insert(Arc::clone(name), (lane, place));
    }

    fn leave(&mut self, name: &Arc<str>, lane: Lane, place: u64) {
        let Some(turn) = self.turns.get(&lane).copied() else { return };
        let Some(lines) = self.lanes.get_mut(&turn) else { return };
        lines.remove(&(place, Arc::clone(name)));
        if lines.is_empty() {
            self.lanes.remove(&turn);
            self.turns.remove(&lane);
        }
    }

    fn take_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(priority: i8, account: u32) -> Lane {
        Lane { priority: Priority::new(priority), account, tag: 0 }
    }

    fn first(order: &Order) -> String {
        order.iter().next().map_or_else(|| "-".to_owned(), ToString::to_string)
    }

    #[test]
    fn lanes_take_turns_whatever_the_number_of_their_lines() {
        let mut order = Order::default();
        for n in 0..100 {
            order.set(&format!("a{n}").into(), Some(lane(0, 1)));
        }
        order.set(&"b0".into(), Some(lane(0, 2)));
        order.set(&"b1".into(), Some(lane(0, 2)));
        let mut given = Vec::new();
        for _ in 0..4 {
            let line: Arc<str> = first(&order).into();
            order.served(&line);
            order.set(&line, None);
            given.push(line.to_string());
        }
        assert_eq!(given, ["a0", "b0", "a1", "b1"]);
        order.set(&"u".into(), Some(lane(5, 1)));
        assert_eq!((first(&order).as_str(), order.highest()), ("u", Some(Priority::new(5))));
    }

    #[test]
    fn nothing_stays_of_what_has_left() {
        let mut order = Order::default();
        order.set(&"a".into(), Some(lane(0, 1)));
        order.served(&"a".into());
        order.set(&"a".into(), Some(lane(0, 2)));
        order.set(&"a".into(), None);
        assert!(order.is_empty() && order.lanes.is_empty() && order.turns.is_empty());
    }
}
