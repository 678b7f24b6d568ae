//! What is known of a message beside its body.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Id, Priority, ReversePath};

/// Everything that is kept of a message but its body and its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its name; holds the accept time.
    pub id: Id,
    /// MAIL FROM.
    pub sender: ReversePath,
    /// Header lines added by us (Received, and Date and Message-ID when missing), CRLF each.
    /// They go out before the body.
    pub prefix: Bytes,
    /// Octets of the body as stored, without the prefix.
    pub body_size: u64,
    /// Pieces in which the body is stored.
    pub body_chunks: u32,
    /// Some line of the body starts with a dot, so DATA must stuff it (RFC 5321 4.5.2).
    pub leading_dots: bool,
    /// What the body needs of a transport.
    pub body_type: BodyType,
    /// Deliveries it was split into, one for each routing domain.
    pub deliveries: u16,
    /// Name of the listener it came in by.
    pub listener: String,
    /// Name of the account it belongs to.
    pub account: String,
    /// Pool that account, listener or header asked for; looked up when a delivery starts.
    pub pool: Option<String>,
    /// Opaque words that travel into events.
    pub tags: Vec<String>,
    /// Its turn within a site.
    pub priority: Priority,
    /// Content of Message-ID without angle brackets, at most 250 octets of it.
    pub message_id: Option<String>,
}

/// What a body contains (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BodyType {
    /// Octets up to 127.
    #[default]
    SevenBit,
    /// Others too: the next hop must offer 8BITMIME.
    EightBit,
}

impl Message {
    /// Octets that go over the wire before dot-stuffing.
    pub fn size(&self) -> u64 {
        self.body_size + self.prefix.len() as u64
    }
}
