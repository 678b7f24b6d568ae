//! A delivery in memory that may be attempted now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::message::{Delivery, Message, Recipient, Timestamp};
use crate::spool::Operation;

use super::bodies::HeldBody;
use super::{accept, state};

/// DKIM-Signature fields of a message, shared by its deliveries in memory.
#[derive(Debug)]
pub struct Signatures {
    fields: Bytes,
    /// They are in the message's record.
    kept: AtomicBool,
}

impl Signatures {
    /// Just made.
    pub fn new(fields: Bytes) -> Self {
        Self { fields, kept: AtomicBool::new(false) }
    }
}

/// In memory until it is concluded or given back; never in two hands.
#[derive(Debug)]
pub struct Ready {
    /// What is to be done.
    pub delivery: Delivery,
    /// Of which message.
    pub message: Arc<Message>,
    /// Its octets, when they are still in memory.
    pub body: Option<Arc<HeldBody>>,
    /// Where it stands in the due index on disk; `None`: nowhere, it is held for good.
    pub listed_due: Option<Timestamp>,
    /// Hosts of its destination that have failed it in this attempt.
    pub hosts_failed: u32,
    /// What was signed in this life of the relay.
    pub signatures: Option<Arc<Signatures>>,
    /// Taken by a command or by expiry, not handed out by its lane.
    pub(super) claimed: bool,
}

impl Ready {
    /// A delivery as it stands on disk.
    pub fn new(delivery: Delivery, message: Arc<Message>, body: Option<Arc<HeldBody>>) -> Self {
        let listed_due = delivery.listed();
        Self {
            delivery,
            message,
            body,
            listed_due,
            hosts_failed: 0,
            signatures: None,
            claimed: false,
        }
    }

    /// DKIM-Signature fields of ours, when the message has been signed.
    pub fn signatures(&self) -> Option<Bytes> {
        let made = self.signatures.as_ref().map(|signatures| signatures.fields.clone());
        made.or_else(|| self.message.signatures.clone())
    }

    /// Writes signatures that were made in this life into the message's record, once: the next
    /// attempt finds them there. Only while this delivery is kept, for so is its message.
    pub(super) fn keep_signatures(&self) -> Option<Operation> {
        let made = self.signatures.as_ref()?;
        if made.kept.swap(true, Ordering::Relaxed) {
            return None;
        }
        let signatures = Some(made.fields.clone());
        Some(accept::put_message(&Message { signatures, ..(*self.message).clone() }))
    }

    /// Those that still wait.
    pub fn recipients(&self) -> Vec<&Recipient> {
        state::waiting(&self.delivery)
            .filter_map(|place| self.delivery.recipients.get(place))
            .collect()
    }
}
