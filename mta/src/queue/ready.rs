//! A delivery in memory that may be attempted now.

use std::sync::Arc;

use crate::message::{Delivery, Message, Recipient, Timestamp};

use super::bodies::HeldBody;
use super::state;

/// In memory until it is concluded or given back; never in two hands.
#[derive(Debug)]
pub struct Ready {
    /// What is to be done.
    pub delivery: Delivery,
    /// Of which message.
    pub message: Arc<Message>,
    /// Its octets, when they are still in memory.
    pub body: Option<Arc<HeldBody>>,
    /// Where it stands in the due index on disk; `None`: nowhere, it is held.
    pub listed_due: Option<Timestamp>,
    /// Hosts of its destination that have failed it in this attempt.
    pub hosts_failed: u32,
    /// Taken by a command or by expiry, not handed out by its lane.
    pub(super) claimed: bool,
}

impl Ready {
    /// A delivery as it stands on disk.
    pub fn new(delivery: Delivery, message: Arc<Message>, body: Option<Arc<HeldBody>>) -> Self {
        let listed_due = delivery.hold.is_none().then_some(delivery.due);
        Self { delivery, message, body, listed_due, hosts_failed: 0, claimed: false }
    }

    /// Those that still wait.
    pub fn recipients(&self) -> Vec<&Recipient> {
        state::waiting(&self.delivery)
            .filter_map(|place| self.delivery.recipients.get(place))
            .collect()
    }
}
