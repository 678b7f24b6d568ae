//! A disk that forgets what was not synced, fills up and fails. Every batch that is written to it is shown to the
//! books.
//!
//! It lives longer than the relay. What survives a crash is what was synced, and as many of the batches after
//! that, in order, as chance has it: a log that was not synced may have reached the disk all the same.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mta::message::Id;
use mta::spool::{Family, Operation, Spool, SpoolError, Visit};

use super::world::World;

/// All keys and values.
pub type Keys = BTreeMap<(Family, Vec<u8>), Bytes>;

/// The disk.
pub struct Disk {
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    visible: Keys,
    durable: Keys,
    /// Batches that no sync has covered.
    pending: Vec<Vec<Operation>>,
    /// Writes, or syncs, that are left until the power goes off.
    writes_left: Option<u32>,
    syncs_left: Option<u32>,
    /// The power is off.
    off: bool,
    fails_sync: bool,
    fails_write: bool,
    low: bool,
}

impl Disk {
    /// An empty one.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, state: Mutex::default() }
    }

    /// The power goes off after so many more writes, before they are synced.
    pub fn crash_after_writes(&self, count: u32) {
        self.state.lock().unwrap().writes_left = Some(count);
    }

    /// The power goes off after so many more syncs, before anybody hears of the last.
    pub fn crash_after_syncs(&self, count: u32) {
        self.state.lock().unwrap().syncs_left = Some(count);
    }

    /// From now on syncs fail.
    pub fn fail_sync(&self) {
        self.state.lock().unwrap().fails_sync = true;
    }

    /// From now on writes fail.
    pub fn fail_write(&self) {
        self.state.lock().unwrap().fails_write = true;
    }

    /// There is little room, or enough.
    pub fn set_low(&self, low: bool) {
        self.state.lock().unwrap().low = low;
    }

    /// The machine starts again. `keeps` chooses how many of so many batches that were not synced are there
    /// all the same.
    pub fn power_on(&self, keeps: impl FnOnce(usize) -> usize) -> usize {
        let mut state = self.state.lock().unwrap();
        let kept = keeps(state.pending.len()).min(state.pending.len());
        let pending = std::mem::take(&mut state.pending);
        let lost = pending.len() - kept;
        for operation in pending.iter().take(kept).flatten() {
            apply(&mut state.durable, operation);
        }
        let durable = std::mem::take(&mut state.durable);
        let low = state.low;
        *state = State { visible: durable.clone(), durable, low, ..State::default() };
        lost
    }

    /// What the disk holds.
    pub fn keys(&self) -> Keys {
        self.state.lock().unwrap().visible.clone()
    }

    /// Keys of a family.
    pub fn count(&self, family: Family) -> usize {
        self.state.lock().unwrap().visible.range(all_of(family)).count()
    }

    /// Whether a message's acceptance has been synced.
    pub fn is_accepted_for_good(&self, id: Id) -> bool {
        let state = self.state.lock().unwrap();
        let needle = format!("\"{id}\"");
        let events = state.durable.range(all_of(Family::Events)).rev();
        let mut texts = events.map(|(_, value)| String::from_utf8_lossy(value));
        texts.any(|text| text.contains(&needle) && text.contains("\"type\":\"accepted\""))
    }
}

/// All keys of a family: none is as long as the last.
fn all_of(family: Family) -> Range<(Family, Vec<u8>)> {
    (family, Vec::new())..(family, vec![u8::MAX; 310])
}

impl Spool for Disk {
    fn blocks(&self) -> bool {
        false
    }

    fn write(&self, operations: &[Operation]) -> Result<(), SpoolError> {
        let mut state = self.state.lock().unwrap();
        if state.off {
            return Ok(());
        }
        if state.fails_write {
            return Err(SpoolError::Full);
        }
        self.world.books().written(&self.world, &state.visible, operations);
        for operation in operations {
            apply(&mut state.visible, operation);
        }
        state.pending.push(operations.to_vec());
        if let Some(left) = &mut state.writes_left {
            *left -= 1;
            if *left == 0 {
                state.off = true;
                self.world.power_off();
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), SpoolError> {
        let mut state = self.state.lock().unwrap();
        if state.off {
            return Ok(());
        }
        if state.fails_sync {
            return Err(SpoolError::Io("sync failed".to_owned()));
        }
        for operation in std::mem::take(&mut state.pending).iter().flatten() {
            apply(&mut state.durable, operation);
        }
        self.world.note(format_args!("synced"));
        if let Some(left) = &mut state.syncs_left {
            *left -= 1;
            if *left == 0 {
                state.off = true;
                self.world.power_off();
            }
        }
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, SpoolError> {
        Ok(self.state.lock().unwrap().visible.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        let state = self.state.lock().unwrap();
        if from < until {
            let range = (family, from.to_vec())..(family, until.to_vec());
            visit_all(state.visible.range(range), visit);
        }
        Ok(())
    }

    fn scan_back(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        let state = self.state.lock().unwrap();
        if from < until {
            let range = (family, from.to_vec())..(family, until.to_vec());
            visit_all(state.visible.range(range).rev(), visit);
        }
        Ok(())
    }

    fn forget_events_before(&self, _id: Id) -> Result<(), SpoolError> {
        Ok(())
    }

    fn count_about(&self, family: Family) -> u64 {
        self.count(family) as u64
    }

    fn free_space(&self) -> Result<u64, SpoolError> {
        Ok(if self.state.lock().unwrap().low { 1 } else { u64::MAX })
    }
}

fn visit_all<'a>(
    keys: impl Iterator<Item = (&'a (Family, Vec<u8>), &'a Bytes)>,
    visit: &mut Visit<'_>,
) {
    for ((_, key), value) in keys {
        if let ControlFlow::Break(()) = visit(key, value) {
            return;
        }
    }
}

fn apply(keys: &mut Keys, operation: &Operation) {
    match operation {
        Operation::Put(family, key, value) => {
            keys.insert((*family, key.clone()), value.clone());
        }
        Operation::Delete(family, key) | Operation::SingleDelete(family, key) => {
            keys.remove(&(*family, key.clone()));
        }
    }
}
