//! Turns within a site: the highest priority first; within it each lane in turn, so that
//! neither a backlog of a million nor a busy account stands before anybody else's mail.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::message::{Lane, Priority};

/// Whose turn: routing domain and lane.
pub type LaneKey = (Arc<str>, Lane);

/// What waits for a connection, in lanes.
#[derive(Debug)]
pub struct Turns<T> {
    lanes: HashMap<LaneKey, VecDeque<T>>,
    /// Lanes that are not empty, in the order of their turns.
    order: BTreeMap<Reverse<Priority>, VecDeque<LaneKey>>,
    count: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), order: BTreeMap::new(), count: 0 }
    }
}

impl<T> Turns<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The one that is next in turn.
    pub fn front(&self) -> Option<&T> {
        let key = self.order.values().next()?.front()?;
        self.lanes.get(key)?.front()
    }

    /// The priority and lane whose turn is next.
    pub fn head(&self) -> Option<Lane> {
        self.order.values().next().and_then(|turns| turns.front()).map(|key| key.1)
    }

    /// The highest priority that waits.
    pub fn highest(&self) -> Option<Priority> {
        self.order.keys().next().map(|Reverse(priority)| *priority)
    }

    /// Behind the others of its lane.
    pub fn push(&mut self, key: LaneKey, item: T) {
        self.lane(key).push_back(item);
    }

    /// Before the others of its lane: it had its turn and lost it through no fault of its own.
    pub fn push_front(&mut self, key: LaneKey, item: T) {
        self.lane(key).push_front(item);
    }

    /// The next in turn, with its lane.
    pub fn pop(&mut self) -> Option<(LaneKey, T)> {
        let mut first = self.order.first_entry()?;
        let turns = first.get_mut();
        let key = turns.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let item = lane.pop_front()?;
        if lane.is_empty() {
            self.lanes.remove(&key);
            if turns.is_empty() {
                first.remove();
            }
        } else {
            turns.push_back(key.clone());
        }
        self.count -= 1;
        Some((key, item))
    }

    /// Takes out one that `wanted` knows.
    pub fn take(&mut self, key: &LaneKey, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let lane = self.lanes.get_mut(key)?;
        let place = lane.iter().position(wanted)?;
        let item = lane.remove(place);
        if lane.is_empty() {
            self.lanes.remove(key);
            self.leave_order(key);
        }
        self.count -= 1;
        item
    }

    /// Takes out all that `wanted` knows, lane by lane in the order of their turns.
    pub fn take_all(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<(LaneKey, T)> {
        let mut taken = Vec::new();
        let mut emptied = Vec::new();
        for key in self.order.values().flatten() {
            let Some(lane) = self.lanes.get_mut(key) else { continue };
            if !lane.iter().any(&wanted) {
                continue;
            }
            let (wanted, kept): (Vec<T>, Vec<T>) = lane.drain(..).partition(&wanted);
            lane.extend(kept);
            taken.extend(wanted.into_iter().map(|item| (key.clone(), item)));
            if lane.is_empty() {
                emptied.push(key.clone());
            }
        }
        for key in emptied {
            self.lanes.remove(&key);
            self.leave_order(&key);
        }
        self.count -= taken.len();
        taken
    }

    /// Takes out all of them.
    pub fn drain(&mut self) -> Vec<(LaneKey, T)> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    fn lane(&mut self, key: LaneKey) -> &mut VecDeque<T> {
        self.count += 1;
        if !self.lanes.contains_key(&key) {
            self.order.entry(Reverse(key.1.priority)).or_default().push_back(key.clone());
        }
        self.lanes.entry(key).or_default()
    }

    fn leave_order(&mut self, key: &LaneKey) {
        let priority = Reverse(key.1.priority);
        if let Some(turns) = self.order.get_mut(&priority) {
            turns.retain(|turn| turn != key);
            if turns.is_empty() {
                self.order.remove(&priority);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(domain: &str, priority: i8, account: u32) -> LaneKey {
        (domain.into(), Lane { priority: Priority::new(priority), account, tag: 0 })
    }

    fn order(pushed: &[(LaneKey, &'static str)]) -> String {
        let mut turns = Turns::default();
        for (key, item) in pushed {
            turns.push(key.clone(), *item);
        }
        assert_eq!(turns.len(), pushed.len());
        let order: Vec<_> = turns.drain().into_iter().map(|(_, item)| item).collect();
        let order = order.join(" ");
        assert!(turns.is_empty() && turns.lanes.is_empty() && turns.order.is_empty());
        order
    }

    #[test]
    fn lanes_take_turns_and_priorities_go_first() {
        let (a, b) = (key("x.pe", 0, 1), key("x.pe", 0, 2));
        assert_eq!(
            order(&[(a.clone(), "a1"), (a.clone(), "a2"), (a.clone(), "a3"), (b.clone(), "b1")]),
            "a1 b1 a2 a3"
        );
        let urgent = key("y.pe", 5, 1);
        assert_eq!(
            order(&[(a.clone(), "a1"), (urgent.clone(), "u1"), (b, "b1"), (urgent, "u2")]),
            "u1 u2 a1 b1"
        );
    }

    #[test]
    fn one_can_be_taken_out() {
        let a = key("x.pe", 0, 1);
        let mut turns = Turns::default();
        turns.push(a.clone(), 1);
        turns.push(a.clone(), 2);
        assert_eq!(turns.take(&a, |item| *item == 3), None);
        assert_eq!(turns.take(&a, |item| *item == 1), Some(1));
        assert_eq!(turns.take(&a, |item| *item == 2), Some(2));
        assert!(turns.is_empty());
        assert_eq!(turns.pop(), None);
        turns.push(a.clone(), 4);
        turns.push_front(a.clone(), 3);
        for domain in 0..50 {
            turns.push(key(&format!("y{domain}.pe"), 0, 1), 5 + domain);
        }
        let taken: Vec<_> = turns.take_all(|item| *item > 3).into_iter().map(|it| it.1).collect();
        assert_eq!(taken, (4..55).collect::<Vec<_>>(), "in the order of their turns");
        assert_eq!((turns.len(), turns.drain()), (1, vec![(a, 3)]));
    }
}
