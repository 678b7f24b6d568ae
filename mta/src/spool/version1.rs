//! Records as version 1 wrote them: before senders could ask for notices (RFC 3461), and before
//! SMTPUTF8 and DKIM. Read only; never changed.

use bytes::Bytes;
use serde::Deserialize;

use crate::message::{
    Address, Attempt, BodyType, DeliveryId, Id, Lane, Priority, RecipientParameters,
    RecipientState, ReversePath, Timestamp,
};

use super::version2::Hold;

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
    deliveries: u16,
    listener: String,
    account: String,
    pool: Option<String>,
    tags: Vec<String>,
    priority: Priority,
    message_id: Option<String>,
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
    state: RecipientState,
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
            utf8_headers: false,
            returns: None,
            envelope_id: None,
            from_domain: None,
            // Not known: what may be signed is not changed.
            foreign_signature: true,
            deliveries: old.deliveries,
            listener: old.listener,
            account: old.account,
            pool: old.pool,
            tags: old.tags,
            priority: old.priority,
            message_id: old.message_id,
            signatures: None,
            send_at: None,
            template: None,
        }
    }
}

impl From<Delivery> for crate::message::Delivery {
    fn from(old: Delivery) -> Self {
        let recipient = |old: Recipient| crate::message::Recipient {
            address: old.address,
            parameters: RecipientParameters::default(),
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
