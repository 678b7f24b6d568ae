//! A connection in the books of egress, and what it is told to do.

use std::sync::Arc;

use relay_config::config::Source;

use crate::message::Timestamp;

/// Names a connection in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) site: Arc<str>,
    pub(super) host_set: Arc<str>,
    pub(super) pool: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) state: ConnectionState,
    pub(super) transactions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    Opening,
    Busy,
    Idle,
    /// Says goodbye: the server still counts it, nothing can be expected of it.
    Closing,
}

impl ConnectionState {
    pub(super) fn is_at_work(self) -> bool {
        matches!(self, Self::Opening | Self::Busy)
    }
}

/// What is to be done to connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open one; answer with [`super::Egress::opened`] or [`super::Egress::failed_to_open`].
    Open {
        /// Its name.
        connection: ConnectionId,
        /// Whose limits hold.
        site: Arc<str>,
        /// Where to.
        host_set: Arc<str>,
        /// From where.
        source: Arc<Source>,
    },
    /// It is idle and there is something to pull, or another line needs its place.
    Wake(ConnectionId),
}

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// Deliver this.
    Deliver {
        /// What was waiting.
        item: T,
        /// So many of its recipients, the first ones; the others wait.
        recipients: u32,
        /// RCPT in one transaction at most; `None`: no limit of the site.
        per_message: Option<u32>,
    },
    /// Nothing to do: keep the connection open until woken or idle for too long.
    Idle,
    /// Its path may go again then.
    Wait(Timestamp),
    /// What it may send must be on disk first: save what [`super::Egress::to_save`] gives, then pull again.
    Save,
    /// It has carried all that it may, or others need its place.
    Close,
}
