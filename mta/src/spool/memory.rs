//! A spool in memory, for tests and simulation. It remembers which writes were synced, so that
//! [`MemorySpool::crash`] can drop the others.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::message::Id;

use super::event_index::event_id;
use super::{Family, Operation, Spool, SpoolError, Visit};

/// All keys and values.
pub type Keys = BTreeMap<(Family, Vec<u8>), Bytes>;

/// Keys in memory.
#[derive(Debug, Default)]
pub struct MemorySpool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    visible: Keys,
    durable: Keys,
    /// Batches that no sync has covered.
    pending: Vec<Vec<Operation>>,
    fail_sync: bool,
    fail_write: bool,
    fail_get: Option<Family>,
    free_space: Option<u64>,
    syncs: u64,
}

impl MemorySpool {
    /// An empty spool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes off: what was not synced is gone.
    pub fn crash(&self) {
        self.crash_keeping(|_| 0);
    }

    /// The same, but a log that was not synced may have reached the disk all the same: `keeps` chooses how many
    /// of so many batches are there, in order. Returns how many are not.
    pub fn crash_keeping(&self, keeps: impl FnOnce(usize) -> usize) -> usize {
        let mut state = self.lock();
        let pending = std::mem::take(&mut state.pending);
        let kept = keeps(pending.len()).min(pending.len());
        for operation in pending.iter().take(kept).flatten() {
            apply(&mut state.durable, operation);
        }
        state.visible = state.durable.clone();
        pending.len() - kept
    }

    /// Looks at what is readable, and at what is durable.
    pub fn look<R>(&self, look: impl FnOnce(&Keys, &Keys) -> R) -> R {
        let state = self.lock();
        look(&state.visible, &state.durable)
    }

    /// From now on syncs fail (or work again).
    pub fn fail_sync(&self, fail: bool) {
        self.lock().fail_sync = fail;
    }

    /// From now on writes fail as on a full disk (or work again).
    pub fn fail_write(&self, fail: bool) {
        self.lock().fail_write = fail;
    }

    /// From now on records of this family cannot be read (or all can).
    pub fn fail_get(&self, family: Option<Family>) {
        self.lock().fail_get = family;
    }

    /// What [`Spool::free_space`] tells.
    pub fn set_free_space(&self, bytes: u64) {
        self.lock().free_space = Some(bytes);
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, family: Family, from: &[u8], until: &[u8]) -> Vec<(Vec<u8>, Bytes)> {
        let state = self.lock();
        if from >= until {
            return Vec::new();
        }
        let from = Bound::Included((family, from.to_vec()));
        let until = Bound::Excluded((family, until.to_vec()));
        state
            .visible
            .range((from, until))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Spool for MemorySpool {
    fn blocks(&self) -> bool {
        false
    }

    fn write(&self, operations: &[Operation]) -> Result<(), SpoolError> {
        let mut state = self.lock();
        if state.fail_write {
            return Err(SpoolError::Full);
        }
        for operation in operations {
            apply(&mut state.visible, operation);
        }
        state.pending.push(operations.to_vec());
        Ok(())
    }

    fn sync(&self) -> Result<(), SpoolError> {
        let mut state = self.lock();
        if state.fail_sync {
            return Err(SpoolError::Io("sync failed".to_owned()));
        }
        state.syncs += 1;
        for operation in std::mem::take(&mut state.pending).iter().flatten() {
            apply(&mut state.durable, operation);
        }
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, SpoolError> {
        let state = self.lock();
        if state.fail_get == Some(family) {
            return Err(SpoolError::Io("read failed".to_owned()));
        }
        Ok(state.visible.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        visit_all(self.range(family, from, until).into_iter(), visit);
        Ok(())
    }

    fn scan_back(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        visit_all(self.range(family, from, until).into_iter().rev(), visit);
        Ok(())
    }

    fn forget_events_before(&self, id: Id) -> Result<(), SpoolError> {
        let mut state = self.lock();
        let State { visible, durable, .. } = &mut *state;
        for keys in [visible, durable] {
            keys.retain(|(family, key), _| {
                event_id(*family, key).is_none_or(|event| event >= id.to_bytes())
            });
        }
        Ok(())
    }

    fn count_about(&self, family: Family) -> u64 {
        self.lock().visible.keys().filter(|(of, _)| *of == family).count() as u64
    }

    fn free_space(&self) -> Result<u64, SpoolError> {
        Ok(self.lock().free_space.unwrap_or(u64::MAX))
    }
}

fn visit_all(keys: impl Iterator<Item = (Vec<u8>, Bytes)>, visit: &mut Visit<'_>) {
    for (key, value) in keys {
        if let ControlFlow::Break(()) = visit(&key, &value) {
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
