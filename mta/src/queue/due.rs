//! What is due when: the part of the due index that memory holds. Pure.
//!
//! The index itself is on disk (domain, lane, due time, id). Here is one entry for each
//! (domain, lane) that waits, with the earliest due time on disk, and the set of
//! deliveries that are in memory now. When a lane comes due, [`DueIndex::take_loads`] says
//! what to read; new mail for a lane that has nothing due on disk skips the reading.
//!
//! **Why it cannot deliver twice.** Outcomes are written a moment after they happen, so a scan
//! may still see the entry of a delivery that has just ended. While any scan runs, the ids
//! that leave memory are remembered and what the scan brings is checked against them; a
//! scan starts only after everything handed to the committer before it can be read.
//!
//! **Why it does not drown in tombstones.** A lane remembers where its last scan ended and the next
//! one starts there; an insertion below lowers the mark.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::message::{DeliveryId, Lane, Timestamp};
use crate::metrics::limit_hit;
use crate::queue::keys::DueEntry;

/// Deliveries of one lane that are read at a time: enough to keep connections busy while
/// the next read runs, few enough that a hundred lanes fit in memory.
const WINDOW: usize = 128;
/// Deliveries of a lane that go to memory as they are accepted: one sender's burst to a slow
/// destination may not fill the memory that all others share.
const FRESH_MAX: u32 = 2_000;
/// A lane with fewer than this in memory reads on.
const WINDOW_LOW: u32 = 32;

type Place = (Arc<str>, Lane);

/// The lanes that wait, and what is in memory of them.
#[derive(Debug)]
pub struct DueIndex {
    lanes: BTreeMap<Place, LaneState>,
    /// Lanes with something on disk, by its due time, but for those that are being read.
    timers: BTreeSet<(Timestamp, Place)>,
    /// Deliveries in memory: ready, in flight, or claimed by an operator's command.
    active: HashSet<DeliveryId>,
    /// Those that left memory while a scan ran.
    left_during_loads: HashSet<DeliveryId>,
    loads_running: u32,
    ready_max: usize,
    lanes_max: usize,
    /// Some lane found no room: it must be found again by a scan of the index.
    incomplete: bool,
    /// Something on disk may stand below the mark of its lane: the index is scanned again at once.
    misplaced: bool,
}

#[derive(Debug, Default)]
struct LaneState {
    /// Earliest due time on disk of what is not in memory; `None`: nothing there.
    next_due: Option<Timestamp>,
    /// Everything due on disk before this is in memory or gone.
    read_until: Option<(Timestamp, DeliveryId)>,
    in_memory: u32,
    /// A scan runs for it.
    loading: bool,
    /// The first that was added while the scan ran.
    added: Option<(Timestamp, DeliveryId)>,
    /// Due, but enough of it is in memory: it has no timer until some of that has left.
    parked: bool,
}

/// A window to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Whose.
    pub domain: Arc<str>,
    /// Whose.
    pub lane: Lane,
    /// Where the scan starts.
    pub from: (Timestamp, DeliveryId),
    /// Nothing that is due later.
    pub until: Timestamp,
    /// At most so many.
    pub limit: usize,
}

/// What a scan for a [`Load`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In order; at most `limit`.
    pub entries: Vec<DueEntry>,
    /// Due time of the entry after the last of them, whether due or not.
    pub next_due: Option<Timestamp>,
}

/// Where a delivery waits from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// In memory: hand it on.
    Memory,
    /// On disk: its lane will come due.
    Disk,
}

const START: (Timestamp, DeliveryId) =
    (Timestamp::from_millis(0), DeliveryId { message: crate::message::Id::ZERO, number: 0 });

impl DueIndex {
    /// Empty; holds at most so many deliveries and lanes.
    pub fn new(ready_max: usize, lanes_max: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            timers: BTreeSet::new(),
            active: HashSet::new(),
            left_during_loads: HashSet::new(),
            loads_running: 0,
            ready_max,
            lanes_max,
            incomplete: false,
            misplaced: false,
        }
    }

    /// Changes the limits.
    pub fn set_limits(&mut self, ready_max: usize, lanes_max: usize) {
        self.ready_max = ready_max;
        self.lanes_max = lanes_max;
    }

    /// A claimed delivery has been written. It goes to memory when it is due, unless others of
    /// its lane stand before it on disk, or memory is full. (It is claimed before it is written,
    /// or a scan could take it, and end it, before it is offered.)
    pub fn offer(&mut self, entry: &DueEntry, now: Timestamp) -> Placed {
        let room = self.active.len() <= self.ready_max;
        if !room {
            limit_hit("ready_deliveries");
        }
        let place = (Arc::clone(&entry.domain), entry.lane);
        if let Some(lane) = self.lane(&place) {
            let others_first = lane.loading || lane.next_due.is_some_and(|due| due <= now);
            let room = room && lane.in_memory < FRESH_MAX;
            if room && !others_first && entry.due <= now {
                lane.in_memory += 1;
                self.active.insert(entry.id);
                return Placed::Memory;
            }
        }
        self.release_claim(entry.id);
        self.waits(entry);
        Placed::Disk
    }

    /// A delivery that is not in memory waits on disk.
    pub fn waits(&mut self, entry: &DueEntry) {
        let place = (Arc::clone(&entry.domain), entry.lane);
        let Some(lane) = self.lane(&place) else { return };
        let mark = (entry.due, entry.id);
        if lane.loading {
            lane.added = Some(lane.added.map_or(mark, |added| added.min(mark)));
        }
        if lane.read_until.is_some_and(|until| mark < until) {
            lane.read_until = Some(mark);
        }
        if lane.next_due.is_none_or(|due| entry.due < due) {
            let before = lane.next_due.replace(entry.due);
            if !lane.loading && !lane.parked {
                if let Some(before) = before {
                    self.timers.remove(&(before, place.clone()));
                }
                self.timers.insert((entry.due, place));
            }
        }
    }

    /// A delivery leaves memory: it is done, held, or waits until `again` on disk.
    pub fn leaves(
        &mut self,
        domain: &Arc<str>,
        lane: Lane,
        id: DeliveryId,
        again: Option<Timestamp>,
    ) {
        if !self.active.remove(&id) {
            return;
        }
        if self.loads_running > 0 {
            self.left_during_loads.insert(id);
        }
        let place = (Arc::clone(domain), lane);
        if let Some(state) = self.lanes.get_mut(&place) {
            state.in_memory = state.in_memory.saturating_sub(1);
            if state.parked && state.in_memory <= WINDOW_LOW {
                state.parked = false;
                if let Some(due) = state.next_due {
                    self.timers.insert((due, place.clone()));
                }
            }
        }
        if let Some(due) = again {
            self.waits(&DueEntry { domain: Arc::clone(domain), lane, due, id });
        }
        self.forget_if_empty(&place);
    }

    /// Takes a delivery out of everybody's hands, for an operator's command or expiry. `false` when
    /// it is in memory already.
    pub fn claim(&mut self, id: DeliveryId) -> bool {
        self.active.insert(id)
    }

    /// Gives a claimed delivery back.
    pub fn release_claim(&mut self, id: DeliveryId) {
        self.active.remove(&id);
        if self.loads_running > 0 {
            self.left_during_loads.insert(id);
        }
    }

    /// A claimed delivery could not be read, so it is not known where it waits on disk: scans
    /// may have passed it while it was claimed. All lanes are read again from their first entry.
    pub fn misplaced(&mut self, id: DeliveryId) {
        self.release_claim(id);
        self.misplaced = true;
    }

    /// Whether a delivery is in memory.
    pub fn is_active(&self, id: DeliveryId) -> bool {
        self.active.contains(&id)
    }

    /// Deliveries in memory.
    pub fn active_count(&self) -> usize {
        self.active.len()
    }

    /// Lanes that memory follows.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// When [`DueIndex::take_loads`] will next have something; `None`: when something is added.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Windows to read now, at most `count` of them. Each must be answered by [`DueIndex::loaded`].
    pub fn take_loads(&mut self, now: Timestamp, count: usize) -> Vec<Load> {
        let mut loads = Vec::new();
        let window = self.window();
        while loads.len() < count
            && self.active.len() + (loads.len() + 1) * window <= self.ready_max
        {
            let Some((due, place)) = self.timers.first().cloned() else { break };
            if due > now {
                break;
            }
            self.timers.remove(&(due, place.clone()));
            let Some(lane) = self.lanes.get_mut(&place) else { continue };
            if lane.in_memory > WINDOW_LOW {
                lane.parked = true;
                continue;
            }
            lane.loading = true;
            lane.next_due = None;
            lane.added = None;
            loads.push(Load {
                from: lane.read_until.unwrap_or(START),
                domain: place.0,
                lane: place.1,
                until: now,
                limit: window,
            });
        }
        self.loads_running += u32::try_from(loads.len()).unwrap_or(u32::MAX);
        loads
    }

    /// Whether reading waits only for deliveries in memory to leave.
    pub fn is_full(&self) -> bool {
        self.active.len() + self.window() > self.ready_max
    }

    fn window(&self) -> usize {
        WINDOW.min(self.ready_max)
    }

    /// A scan has ended. Returns what is in memory from now on.
    pub fn loaded(&mut self, load: &Load, found: Found) -> Vec<DueEntry> {
        let place = (Arc::clone(&load.domain), load.lane);
        let mut taken = Vec::with_capacity(found.entries.len());
        let mark = found.entries.last().map(|last| (last.due, last.id));
        for entry in found.entries {
            if !self.left_during_loads.contains(&entry.id) && self.active.insert(entry.id) {
                taken.push(entry);
            }
        }
        self.end_load();
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.loading = false;
            lane.in_memory += u32::try_from(taken.len()).unwrap_or(u32::MAX);
            lane.next_due = match (lane.next_due, found.next_due) {
                (Some(added), Some(seen)) => Some(added.min(seen)),
                (added, seen) => added.or(seen),
            };
            let read_until = mark.unwrap_or((load.until, START.1));
            lane.read_until = Some(lane.added.take().map_or(read_until, |it| it.min(read_until)));
            if let Some(due) = lane.next_due {
                self.timers.insert((due, place.clone()));
            }
        }
        self.forget_if_empty(&place);
        taken
    }

    /// A scan failed: its lane is tried again at `again`.
    pub fn load_failed(&mut self, load: &Load, again: Timestamp) {
        self.end_load();
        let place = (Arc::clone(&load.domain), load.lane);
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.loading = false;
            let due = lane.next_due.map_or(again, |due| due.min(again));
            lane.next_due = Some(due);
            self.timers.insert((due, place));
        }
    }

    /// Whether the index must be read from prefix to prefix: lanes were left out for want of room
    /// and there is room again, or something was misplaced. Asking resets it.
    pub fn take_reseed(&mut self) -> bool {
        let room = self.incomplete && self.lanes.len() < self.lanes_max - self.lanes_max / 10;
        let wanted = room || self.misplaced;
        if wanted {
            self.incomplete = false;
            self.misplaced = false;
        }
        wanted
    }

    /// The index must be read again: reading it failed.
    pub fn reseed_failed(&mut self) {
        self.misplaced = true;
    }

    fn end_load(&mut self) {
        self.loads_running = self.loads_running.saturating_sub(1);
        if self.loads_running == 0 {
            self.left_during_loads.clear();
        }
    }

    fn lane(&mut self, place: &Place) -> Option<&mut LaneState> {
        if !self.lanes.contains_key(place) {
            if self.lanes.len() >= self.lanes_max {
                limit_hit("lanes");
                self.incomplete = true;
                return None;
            }
            self.lanes.insert(place.clone(), LaneState::default());
        }
        self.lanes.get_mut(place)
    }

    fn forget_if_empty(&mut self, place: &Place) {
        let empty = self
            .lanes
            .get(place)
            .is_some_and(|lane| lane.in_memory == 0 && lane.next_due.is_none() && !lane.loading);
        if empty {
            self.lanes.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Id, Priority};

    fn entry(domain: &str, due: u64, number: u64) -> DueEntry {
        DueEntry {
            domain: domain.into(),
            lane: Lane { priority: Priority::default(), account: 0, tag: 0 },
            due: at(due),
            id: DeliveryId { message: Id::first_at(at(number)), number: 0 },
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn offer(index: &mut DueIndex, entry: &DueEntry, now: u64) -> Placed {
        assert!(index.claim(entry.id));
        index.offer(entry, at(now))
    }

    /// Answers a load from `disk`, which holds all entries that are not done.
    fn answer(index: &mut DueIndex, load: &Load, disk: &[DueEntry]) -> Vec<DueEntry> {
        let mut rest =
            disk.iter().filter(|e| e.domain == load.domain && (e.due, e.id) >= load.from);
        let mut found = Found::default();
        for entry in rest.by_ref() {
            if entry.due > load.until || found.entries.len() == load.limit {
                found.next_due = Some(entry.due);
                break;
            }
            found.entries.push(entry.clone());
        }
        index.loaded(load, found)
    }

    #[test]
    fn new_mail_skips_the_disk_only_when_nothing_stands_before_it() {
        let mut index = DueIndex::new(1000, 10);
        assert_eq!(offer(&mut index, &entry("a.pe", 5, 1), 5), Placed::Memory);
        index.waits(&entry("b.pe", 3, 2));
        assert_eq!(offer(&mut index, &entry("b.pe", 5, 3), 5), Placed::Disk);
        index.waits(&entry("c.pe", 300, 4));
        assert_eq!(offer(&mut index, &entry("c.pe", 5, 5), 5), Placed::Memory);
    }

    #[test]
    fn what_is_due_is_read_once_and_what_waits_is_not_read() {
        let mut index = DueIndex::new(1000, 10);
        let disk = [entry("a.pe", 10, 1), entry("a.pe", 11, 2), entry("a.pe", 50, 3)];
        index.waits(&disk[0]);
        assert_eq!(index.next_wake(), Some(at(10)));
        assert_eq!(index.take_loads(at(9), 8), []);
        let loads = index.take_loads(at(20), 8);
        assert_eq!(loads.len(), 1);
        assert_eq!(index.take_loads(at(20), 8), [], "one scan of a lane at a time");
        assert_eq!(answer(&mut index, &loads[0], &disk), disk[..2]);
        assert_eq!(index.next_wake(), Some(at(50)));
        // Still in memory when the lane is read again.
        let loads = index.take_loads(at(60), 8);
        assert_eq!(loads[0].from, (at(11), disk[1].id), "starts where the last one ended");
        assert_eq!(answer(&mut index, &loads[0], &disk), disk[2..]);
    }

    #[test]
    fn an_outcome_that_the_scan_could_not_see_yet_is_not_delivered_twice() {
        let mut index = DueIndex::new(1000, 10);
        let disk = [entry("a.pe", 10, 1), entry("a.pe", 10, 2)];
        index.waits(&disk[0]);
        let loads = index.take_loads(at(10), 8);
        answer(&mut index, &loads[0], &disk[..1]);
        index.waits(&disk[1]);
        let loads = index.take_loads(at(10), 8);
        let lane = disk[0].lane;
        index.leaves(&disk[0].domain, lane, disk[0].id, None);
        // The scan still sees the first.
        assert_eq!(answer(&mut index, &loads[0], &disk), disk[1..]);
    }

    #[test]
    fn an_insertion_below_the_mark_is_found_also_while_a_scan_runs() {
        let mut index = DueIndex::new(1000, 10);
        let first = entry("a.pe", 10, 5);
        index.waits(&first);
        let loads = index.take_loads(at(20), 8);
        let below = entry("a.pe", 10, 1);
        index.waits(&below);
        assert_eq!(
            answer(&mut index, &loads[0], std::slice::from_ref(&first)),
            std::slice::from_ref(&first)
        );
        let loads = index.take_loads(at(20), 8);
        assert_eq!(
            answer(&mut index, &loads[0], &[below.clone(), first.clone()]),
            std::slice::from_ref(&below)
        );
        let lower = entry("a.pe", 2, 9);
        index.waits(&lower);
        let loads = index.take_loads(at(20), 8);
        assert_eq!(answer(&mut index, &loads[0], &[lower.clone(), below, first]), [lower]);
    }

    #[test]
    fn a_backlog_is_read_in_windows() {
        let mut index = DueIndex::new(10_000, 10);
        let disk: Vec<_> = (0..1000).map(|n| entry("a.pe", n, n)).collect();
        index.waits(&disk[0]);
        let mut delivered = Vec::new();
        let mut memory: Vec<DueEntry> = Vec::new();
        while delivered.len() < disk.len() {
            for load in index.take_loads(at(5000), 8) {
                let gone = delivered.len();
                memory.extend(answer(&mut index, &load, &disk[gone..]));
            }
            assert!(memory.len() <= WINDOW + 33, "{}", memory.len());
            let next = memory.remove(0);
            index.leaves(&next.domain, next.lane, next.id, None);
            delivered.push(next);
        }
        assert_eq!(delivered, disk);
        assert_eq!(index.lane_count(), 0);
        assert_eq!(index.next_wake(), None);
    }

    #[test]
    fn memory_is_bounded_by_deliveries_and_by_lanes() {
        let mut index = DueIndex::new(2, 2);
        assert_eq!(offer(&mut index, &entry("a.pe", 1, 1), 1), Placed::Memory);
        assert_eq!(offer(&mut index, &entry("a.pe", 1, 2), 1), Placed::Memory);
        assert_eq!(offer(&mut index, &entry("a.pe", 1, 3), 1), Placed::Disk);
        assert_eq!(index.active_count(), 2);
        index.waits(&entry("b.pe", 1, 4));
        index.waits(&entry("c.pe", 1, 5));
        assert_eq!(index.lane_count(), 2);
        assert!(!index.take_reseed(), "no room yet");
        let lane = entry("a.pe", 1, 1).lane;
        index.leaves(&"a.pe".into(), lane, entry("a.pe", 1, 1).id, None);
        index.leaves(&"a.pe".into(), lane, entry("a.pe", 1, 2).id, None);
        assert_eq!(index.lane_count(), 2, "one of them has something on disk");
        let loads = index.take_loads(at(1), 8);
        assert_eq!(loads.iter().map(|load| load.limit).collect::<Vec<_>>(), [2]);
    }
}
