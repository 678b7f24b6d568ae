//! How events are stored and found: the event itself, and an entry for each term it can be
//! looked up by.
//!
//! Key of an entry: kind of the term (1 octet), first 8 octets of the SHA-256 of its text
//! in lower case, event id (8). Hashes may collide, so who looks up verifies the event. The
//! layout is on disk: it never changes.

use aws_lc_rs::digest;
use bytes::Bytes;

use crate::message::{Event, EventKind, Id};

use super::{Family, Operation};

/// What an event can be looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term<'a> {
    /// Tambo's id of the message.
    Message(Id),
    /// An address it was sent to.
    Recipient(&'a str),
    /// MAIL FROM.
    Sender(&'a str),
    /// Content of the Message-ID header.
    MessageId(&'a str),
    /// A tag.
    Tag(&'a str),
}

impl Term<'_> {
    /// What the keys of its entries start with.
    pub fn prefix(self) -> Vec<u8> {
        let (kind, text) = match self {
            Self::Message(id) => return [&[0], &id.to_bytes()[..]].concat(),
            Self::Recipient(text) => (1, text),
            Self::Sender(text) => (2, text),
            Self::MessageId(text) => (3, text),
            Self::Tag(text) => (4, text),
        };
        let hash = digest::digest(&digest::SHA256, text.to_lowercase().as_bytes());
        [&[kind], hash.as_ref().get(..8).unwrap_or_default()].concat()
    }
}

/// Writes an event and its entries. Each event is found by its message and its recipient;
/// the one that says `accepted` also by sender, Message-ID and tags.
pub fn operations(event: &Event) -> Vec<Operation> {
    let mut operations = Vec::with_capacity(6);
    let text = serde_json::to_vec(event).unwrap_or_default();
    operations.push(Operation::Put(Family::Events, event.id.to_bytes().to_vec(), text.into()));
    for term in terms(event) {
        let key = [&term.prefix()[..], &event.id.to_bytes()].concat();
        operations.push(Operation::Put(Family::EventIndex, key, Bytes::new()));
    }
    operations
}

/// The id of the event that a key of the events or of their index belongs to.
pub fn event_id(family: Family, key: &[u8]) -> Option<[u8; 8]> {
    match family {
        Family::Events | Family::EventIndex => key.last_chunk().copied(),
        _ => None,
    }
}

/// What the event can be looked up by.
pub fn terms(event: &Event) -> Vec<Term<'_>> {
    let mut terms = Vec::with_capacity(5);
    terms.extend(event.message.map(Term::Message));
    terms.extend(event.recipient.as_deref().map(Term::Recipient));
    if matches!(event.kind, EventKind::Accepted | EventKind::Rejected) {
        terms.extend(event.sender.as_deref().map(Term::Sender));
        terms.extend(event.message_id.as_deref().map(Term::MessageId));
        terms.extend(event.tags.iter().map(|tag| Term::Tag(tag)));
    }
    terms
}
