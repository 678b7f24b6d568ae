//! A connection in the books of egress, and what it is told to do.

use std::sync::Arc;

use relay_config::config::Source;

use crate::message::Timestamp;

/// Names a connection in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) site: Arc<str>,
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

/// What is to be done to connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open one; answer with [`Egress::opened`] or [`Egress::failed_to_open`].
    Open {
        /// Its name.
        connection: ConnectionId,
        /// Where to.
        site: Arc<str>,
        /// From where.
        source: Arc<Source>,
    },
    /// It is idle and there is something to pull.
    Wake(ConnectionId),
}

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// Deliver this.
    Deliver(T),
    /// Nothing to do: keep the connection open until woken or idle for too long.
    Idle,
    /// Its path may go again then.
    Wait(Timestamp),
    /// It has carried all that it may.
    Close,
}
