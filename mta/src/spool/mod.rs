//! The store of what was accepted: families of ordered keys, atomic batches, one sync.
//!
//! [`Spool`] is the seam. `rocks` keeps it in RocksDB; `memory` keeps it in memory and can
//! forget what was not synced, as a crash does. Both pass `contract`. Nothing here knows
//! what a message is: `queue` decides which records there are, `record` how they look.

mod committer;
#[cfg(test)]
mod contract;
pub mod event_index;
mod health;
mod memory;
mod pace;
pub mod record;
#[cfg(feature = "rocks")]
mod rocks;
mod version1;
mod version2;
mod version3;

pub use committer::{Committer, SpoolHealth};
pub use health::{Health, measure};
pub use memory::{Keys, MemorySpool};
#[cfg(feature = "rocks")]
pub use rocks::RocksSpool;

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::message::Id;

/// Ordered keys and values of one kind; a column family in RocksDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Message id → [`crate::message::Message`].
    Messages,
    /// Message id and number of the piece → octets. Never rewritten by compaction.
    Bodies,
    /// Message id and number → [`crate::message::Delivery`].
    Deliveries,
    /// Domain, lane, due time, delivery id → nothing: what is due when.
    Due,
    /// Event id → [`crate::message::Event`] as JSON.
    Events,
    /// Hash of a term, event id → nothing.
    EventIndex,
    /// Name → anything small that survives restarts.
    State,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Messages,
        Self::Bodies,
        Self::Deliveries,
        Self::Due,
        Self::Events,
        Self::EventIndex,
        Self::State,
    ];

    /// Name on disk. Never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bodies => "bodies",
            Self::Deliveries => "deliveries",
            Self::Due => "due",
            Self::Events => "events",
            Self::EventIndex => "event_index",
            Self::State => "state",
        }
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets a value.
    Put(Family, Vec<u8>, Bytes),
    /// Removes a key that may have been set more than once.
    Delete(Family, Vec<u8>),
    /// Removes a key that was set exactly once (cheaper: both vanish in the memtable).
    SingleDelete(Family, Vec<u8>),
}

impl Operation {
    /// Octets of key and value.
    pub fn octets(&self) -> usize {
        match self {
            Self::Put(_, key, value) => key.len() + value.len(),
            Self::Delete(_, key) | Self::SingleDelete(_, key) => key.len(),
        }
    }
}

/// Called for each key and value of a scan, in order.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A store. Calls block; none of them is long but `sync` and long scans.
pub trait Spool: Send + Sync + 'static {
    /// Applies all operations or none. Readers see them at once; they are durable after the
    /// next [`Spool::sync`].
    fn write(&self, operations: &[Operation]) -> Result<(), SpoolError>;

    /// Everything written before is on disk when this returns. After an error the store must
    /// not be written again: what the disk holds is unknown.
    fn sync(&self) -> Result<(), SpoolError>;

    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, SpoolError>;

    /// Visits the keys `from <= key < until` in order until told to stop.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError>;

    /// The same backwards, from the key before `until` down to `from`.
    fn scan_back(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError>;

    /// How many keys a family has, as far as it is known without counting; exact while none of them
    /// is set twice.
    fn count_about(&self, family: Family) -> u64;

    /// Octets free on the disk that holds it.
    fn free_space(&self) -> Result<u64, SpoolError>;

    /// Events with an id below this, and what they are found by, may vanish from now on; whole
    /// files of them do so at once. Lasts until the spool is opened again.
    fn forget_events_before(&self, id: Id) -> Result<(), SpoolError>;

    /// Octets that the disk holds, used and free; 0: nobody knows.
    fn disk_size(&self) -> u64 {
        0
    }

    /// How the database is, in its own figures; `None`: it has none.
    fn health(&self) -> Option<Health> {
        None
    }

    /// Whether calls may wait for a disk, so that they are better made off the async threads.
    fn blocks(&self) -> bool {
        true
    }
}

/// Makes the metrics of the spool known.
pub(crate) fn declare_metrics() {
    committer::declare_metrics();
    health::declare_metrics();
}

/// Does work that reads a spool where waiting for a disk holds nobody up. A spool in memory is
/// read on the spot: the simulation depends on no thread.
pub async fn off_thread<T: Send + 'static>(
    spool: &dyn Spool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SpoolError> {
    if !spool.blocks() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| SpoolError::Io(error.to_string()))
}

/// The store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The disk or the database said no.
    #[error("the spool cannot be written or read: {0}")]
    Io(String),
    /// The disk is full.
    #[error("the disk of the spool is full")]
    Full,
    /// A record that cannot be understood.
    #[error("damaged record: {0}")]
    Damaged(String),
}

/// Why a commit did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The store failed now or before; nothing more is written in this run.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The relay is stopping.
    #[error("the relay is stopping")]
    Stopping,
}
