//! Records as version 3 wrote them: before mail of a kind could be held as it comes, or moved to another pool.
//! Messages are as they were. Read only; never changed.

use serde::Deserialize;

use crate::message::{Attempt, DeliveryId, Lane, Recipient, Timestamp};

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

/// [`crate::message::Hold`] as it was.
#[derive(Debug, Deserialize)]
struct Hold {
    since: Timestamp,
    who: String,
    why: String,
    until: Option<Timestamp>,
}

impl From<Delivery> for crate::message::Delivery {
    fn from(old: Delivery) -> Self {
        Self {
            id: old.id,
            domain: old.domain,
            lane: old.lane,
            recipients: old.recipients,
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
        Self { since: old.since, who: old.who, why: old.why, until: old.until, standing: None }
    }
}
