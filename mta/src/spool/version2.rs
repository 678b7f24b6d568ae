//! Records as version 2 wrote them: before mail could be sent later, made of a template, or held for a time.
//! Read only; never changed.

use bytes::Bytes;
use serde::Deserialize;

use crate::message::{
    Address, Attempt, BodyType, DeliveryId, Id, Lane, Priority, RecipientParameters,
    RecipientState, ReturnContent, ReversePath, Timestamp,
};

/// [`crate::message::Message`] as it was.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names that the records have")]
pub struct Message {
    id: Id,
    sender: ReversePath,
    prefix: Bytes,
    body_size: u64,
    body_chunks: u32,
    leading_dots: bool,
    body_type: BodyType,
    utf8_headers: bool,
    returns: Option<ReturnContent>,
    envelope_id: Option<String>,
    from_domain: Option<String>,
    foreign_signature: bool,
    deliveries: u16,
    listener: String,
    account: String,
    pool: Option<String>,
    tags: Vec<String>,
    priority: Priority,
    message_id: Option<String>,
    signatures: Option<Bytes>,
}

/// [`crate::message::Delivery`] as it was.
#[derive(Debug, Deserialize)]
pub struct Delivery {
    id: DeliveryId,
    domain: String,
    lane: Lane,
    recipients: Vec<Recipient>,
    due: Timestamp,
    attempts: u32,
    last: Option<Attempt>,
    hold: Option<Hold>,
}

#[derive(Debug, Deserialize)]
struct Recipient {
    address: Address,
    parameters: RecipientParameters,
    state: RecipientState,
}

/// [`crate::message::Hold`] as it was in versions 1 and 2: who did it stood before why.
#[derive(Debug, Deserialize)]
pub struct Hold {
    since: Timestamp,
    why: String,
}

impl From<Message> for crate::message::Message {
    fn from(old: Message) -> Self {
        Self {
            id: old.id,
            sender: old.sender,
            prefix: old.prefix,
            body_size: old.body_size,
            body_chunks: old.body_chunks,
            leading_dots: old.leading_dots,
            body_type: old.body_type,
            utf8_headers: old.utf8_headers,
            returns: old.returns,
            envelope_id: old.envelope_id,
            from_domain: old.from_domain,
            foreign_signature: old.foreign_signature,
            deliveries: old.deliveries,
            listener: old.listener,
            account: old.account,
            pool: old.pool,
            tags: old.tags,
            priority: old.priority,
            message_id: old.message_id,
            signatures: old.signatures,
            send_at: None,
            template: None,
        }
    }
}

impl From<Delivery> for crate::message::Delivery {
    fn from(old: Delivery) -> Self {
        let recipient = |old: Recipient| crate::message::Recipient {
            address: old.address,
            parameters: old.parameters,
            state: old.state,
            personal: None,
        };
        Self {
            id: old.id,
            domain: old.domain,
            lane: old.lane,
            recipients: old.recipients.into_iter().map(recipient).collect(),
            due: old.due,
            attempts: old.attempts,
            last: old.last,
            hold: old.hold.map(Into::into),
            pool: None,
        }
    }
}

impl From<Hold> for crate::message::Hold {
    fn from(old: Hold) -> Self {
        Self { since: old.since, who: String::new(), why: old.why, until: None, standing: None }
    }
}
