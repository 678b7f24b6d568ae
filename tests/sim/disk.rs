//! A disk that forgets what was not synced, fills up and fails. Every batch that is written to it is shown to the
//! books.
//!
//! It lives longer than the relay. What survives a crash is what was synced, and as many of the batches after
//! that, in order, as chance has it: a log that was not synced may have reached the disk all the same.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mta::message::Id;
use mta::spool::{Family, Keys, MemorySpool, Operation, Spool, SpoolError, Visit};

use super::world::World;

/// The disk.
pub struct Disk {
    world: Arc<World>,
    spool: MemorySpool,
    power: Mutex<Power>,
}

#[derive(Default)]
struct Power {
    /// Writes, or syncs, that are left until the power goes off.
    writes_left: Option<u32>,
    syncs_left: Option<u32>,
    off: bool,
    /// Writes fail: the books must not hear of them.
    fails_write: bool,
}

impl Disk {
    /// An empty one.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, spool: MemorySpool::new(), power: Mutex::default() }
    }

    /// The power goes off after so many more writes, before they are synced.
    pub fn crash_after_writes(&self, count: u32) {
        self.power.lock().unwrap().writes_left = Some(count);
    }

    /// The power goes off after so many more syncs, before anybody hears of the last.
    pub fn crash_after_syncs(&self, count: u32) {
        self.power.lock().unwrap().syncs_left = Some(count);
    }

    /// From now on syncs fail.
    pub fn fail_sync(&self) {
        self.spool.fail_sync(true);
    }

    /// From now on writes fail.
    pub fn fail_write(&self) {
        self.power.lock().unwrap().fails_write = true;
    }

    /// There is little room, or enough.
    pub fn set_low(&self, low: bool) {
        self.spool.set_free_space(if low { 1 } else { u64::MAX });
    }

    /// The machine starts again. `keeps` chooses how many of so many batches that were not synced are there
    /// all the same. Returns how many are lost.
    pub fn power_on(&self, keeps: impl FnOnce(usize) -> usize) -> usize {
        *self.power.lock().unwrap() = Power::default();
        self.spool.fail_sync(false);
        self.spool.crash_keeping(keeps)
    }

    /// What the disk holds.
    pub fn keys(&self) -> Keys {
        self.spool.look(|visible, _| visible.clone())
    }

    /// Keys of a family.
    pub fn count(&self, family: Family) -> usize {
        usize::try_from(self.spool.count_about(family)).unwrap()
    }

    /// Whether a message's acceptance has been synced.
    pub fn is_accepted_for_good(&self, id: Id) -> bool {
        let needle = format!("\"{id}\"");
        self.spool.look(|_, durable| {
            let events = durable.iter().rev().filter(|((family, _), _)| *family == Family::Events);
            let mut texts = events.map(|(_, value)| String::from_utf8_lossy(value));
            texts.any(|text| text.contains(&needle) && text.contains("\"type\":\"accepted\""))
        })
    }

    /// One of those that are left has happened.
    fn spend(&self, left: impl FnOnce(&mut Power) -> &mut Option<u32>) {
        let mut power = self.power.lock().unwrap();
        if let Some(left) = left(&mut power) {
            *left -= 1;
            if *left == 0 {
                power.off = true;
                self.world.power_off();
            }
        }
    }

    fn is_off(&self) -> bool {
        self.power.lock().unwrap().off
    }
}

impl Spool for Disk {
    fn blocks(&self) -> bool {
        false
    }

    fn write(&self, operations: &[Operation]) -> Result<(), SpoolError> {
        if self.is_off() {
            return Ok(());
        }
        if self.power.lock().unwrap().fails_write {
            return Err(SpoolError::Full);
        }
        self.spool.look(|before, _| self.world.books().written(&self.world, before, operations));
        self.spool.write(operations)?;
        self.spend(|power| &mut power.writes_left);
        Ok(())
    }

    fn sync(&self) -> Result<(), SpoolError> {
        if self.is_off() {
            return Ok(());
        }
        self.spool.sync()?;
        self.world.note(format_args!("synced"));
        self.spend(|power| &mut power.syncs_left);
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, SpoolError> {
        self.spool.get(family, key)
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        self.spool.scan(family, from, until, visit)
    }

    fn scan_back(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        self.spool.scan_back(family, from, until, visit)
    }

    /// The books look at all events at the end.
    fn forget_events_before(&self, _id: Id) -> Result<(), SpoolError> {
        Ok(())
    }

    fn count_about(&self, family: Family) -> u64 {
        self.spool.count_about(family)
    }

    fn free_space(&self) -> Result<u64, SpoolError> {
        self.spool.free_space()
    }
}
