//! Group commit: many callers hand in operations, one sync makes them all durable.
//!
//! This first form writes and syncs on the caller's task; it is what the simulation uses.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Operation, Spool, SpoolError};

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

/// Whether the spool can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolHealth {
    /// Yes.
    Good,
    /// Only outcomes: the disk is below `min_free_space`.
    LowDisk,
    /// No: a write or sync failed. The relay must be started afresh.
    Failed(String),
}

/// The one way to write to the spool.
#[derive(Clone)]
pub struct Committer {
    spool: Arc<dyn Spool>,
    health: Arc<watch::Sender<SpoolHealth>>,
}

impl Committer {
    /// Writes and syncs on the calling task.
    pub fn inline(spool: Arc<dyn Spool>) -> Self {
        Self { spool, health: Arc::new(watch::Sender::new(SpoolHealth::Good)) }
    }

    /// How the spool is; changes are seen by whoever holds this.
    pub fn health(&self) -> watch::Receiver<SpoolHealth> {
        self.health.subscribe()
    }

    /// Durable when it returns.
    pub async fn commit(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.spool.write(&operations)?;
        self.spool.sync()?;
        Ok(())
    }

    /// Written (and seen by readers) soon and in order with other calls, durable with the next
    /// sync, at most 10 ms later. For outcomes, whose loss means a second delivery, not a lost one.
    pub fn ride(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.spool.write(&operations)?;
        self.spool.sync()?;
        Ok(())
    }

    /// Written, not synced: durable with whatever is committed next. For pieces of large bodies.
    pub async fn write(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.spool.write(&operations)?;
        Ok(())
    }
}
