//! What is known of a message beside its body.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Id, Priority, ReturnContent, ReversePath, Timestamp};

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
    /// The header section has letters beyond ASCII and the client said SMTPUTF8 (RFC 6531): the next
    /// hop must offer it. Addresses are looked at for each delivery.
    pub utf8_headers: bool,
    /// What of it comes back when it fails (RFC 3461 section 4.3); `None`: not said.
    pub returns: Option<ReturnContent>,
    /// The sender's name for it (ENVID, RFC 3461 section 4.4), decoded.
    pub envelope_id: Option<String>,
    /// Domain of the first mailbox in From, which chooses the DKIM keys.
    pub from_domain: Option<String>,
    /// It came with a DKIM-Signature of somebody else, which a change of the body would break.
    pub foreign_signature: bool,
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
    /// DKIM-Signature fields of ours, CRLF each: made before the first attempt, kept for those
    /// that follow.
    pub signatures: Option<Bytes>,
    /// Not attempted before; its time to be delivered counts from here. `None`: at once.
    pub send_at: Option<Timestamp>,
    /// Its body is a template, shared by messages that were accepted together: the id under which it is stored.
    /// `body_size` and `body_chunks` are those of the template.
    pub template: Option<Id>,
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
    /// When its time begins: what is too old, or late, is so much older than this.
    pub fn begins(&self) -> Timestamp {
        self.send_at.unwrap_or(self.id.time())
    }

    /// The id under which its body is stored.
    pub fn body_id(&self) -> Id {
        self.template.unwrap_or(self.id)
    }

    /// Octets that go over the wire before dot-stuffing; of a template, those of the template.
    pub fn size(&self) -> u64 {
        self.body_size + self.prefix.len() as u64
    }

    /// The prefix as the Received field and the fields that were missing, which belong to what the
    /// sender wrote.
    pub fn split_prefix(&self) -> (Bytes, Bytes) {
        let mut end = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.prefix[end..]) {
            end += length + 1;
            if !matches!(self.prefix.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        (self.prefix.slice(..end), self.prefix.slice(end..))
    }
}
