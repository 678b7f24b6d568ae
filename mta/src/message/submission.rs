//! A message on its way into the queue: from an SMTP session, the API, or a notice of ours.

use std::net::IpAddr;

use bytes::Bytes;

use super::{
    Address, BodyType, Id, Personal, Priority, RecipientParameters, ReturnContent, ReversePath,
    Timestamp,
};

/// What the policy has passed and the queue is asked to take responsibility for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// From [`crate::queue::Queue::next_id`].
    pub id: Id,
    /// MAIL FROM.
    pub sender: ReversePath,
    /// At least one; the same address twice is delivered once, as the first asks.
    pub recipients: Vec<(Address, RecipientParameters)>,
    /// Header lines of ours, CRLF each, that go out before the body.
    pub prefix: Bytes,
    /// The message as received, dots unstuffed, lines ending in CRLF, the last one too.
    pub body: SubmittedBody,
    /// Some line of the body starts with a dot.
    pub leading_dots: bool,
    /// What the body needs of a transport.
    pub body_type: BodyType,
    /// The header section needs SMTPUTF8.
    pub utf8_headers: bool,
    /// RET; `None`: not said.
    pub returns: Option<ReturnContent>,
    /// ENVID, decoded.
    pub envelope_id: Option<String>,
    /// Domain of the first mailbox in From.
    pub from_domain: Option<String>,
    /// It came with a DKIM-Signature of somebody else.
    pub foreign_signature: bool,
    /// Name of the listener; `notice` for our own.
    pub listener: String,
    /// Who sent it; `None` for our own.
    pub client: Option<IpAddr>,
    /// Name of the account.
    pub account: String,
    /// Pool asked for by account, listener or header.
    pub pool: Option<String>,
    /// Opaque words that travel into events.
    pub tags: Vec<String>,
    /// Its turn within a site.
    pub priority: Priority,
    /// Content of Message-ID without angle brackets, at most 250 octets of it.
    pub message_id: Option<String>,
    /// Not to be attempted before; `None`: at once.
    pub send_at: Option<Timestamp>,
    /// What a template needs to become the message of its one recipient.
    pub personal: Option<Personal>,
}

/// Where the octets are.
#[derive(Debug, Clone)]
pub enum SubmittedBody {
    /// In memory, in pieces of any size; at most 256 KiB together.
    Whole(Vec<Bytes>),
    /// Already given to [`crate::queue::Queue::write_chunk`] under the same id.
    Stored {
        /// Pieces written, numbered from 0.
        chunks: u32,
        /// Octets in them.
        size: u64,
    },
    /// Made of a template when it is sent.
    Template {
        /// The id under which the template is stored.
        id: Id,
        /// Pieces of it.
        chunks: u32,
        /// Octets of it.
        size: u64,
    },
}

impl SubmittedBody {
    /// Octets.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
            Self::Stored { size, .. } | Self::Template { size, .. } => *size,
        }
    }

    /// Pieces that were written before the message exists.
    pub fn chunks(&self) -> u32 {
        match self {
            Self::Whole(_) | Self::Template { .. } => 0,
            Self::Stored { chunks, .. } => *chunks,
        }
    }
}
