//! A delivery: one message to the recipients that share a routing domain.
//! It is the unit that is scheduled, stored and attempted.

use serde::{Deserialize, Serialize};

use super::{Address, Id, Notify, OriginalRecipient, Reply, Timestamp};

/// Names a delivery: its message and its place among the message's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId {
    /// The message.
    pub message: Id,
    /// 0 for the first routing domain of the message, 1 for the next …
    pub number: u16,
}

/// Higher goes first within a site (RFC 6710: -9 to 9).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Priority(i8);

impl Priority {
    /// Clamped to -9 … 9.
    pub fn new(value: i8) -> Self {
        Self(value.clamp(-9, 9))
    }

    /// -9 … 9
    pub fn value(self) -> i8 {
        self.0
    }
}

/// Who takes turns within a routing domain: priority, account, and a sixteenth of the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Higher priorities go first.
    pub priority: Priority,
    /// Hash of the account's name.
    pub account: u32,
    /// Hash of the first tag modulo 16.
    pub tag: u8,
}

/// Everything that is kept of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name.
    pub id: DeliveryId,
    /// The routing domain: the recipients' domain as lower-case A-label (or `[literal]`), or the
    /// smarthost that a route names, as `host:port…`.
    pub domain: String,
    /// Whose turn it shares.
    pub lane: Lane,
    /// Those of the message that share the domain, and what became of each.
    pub recipients: Vec<Recipient>,
    /// When it may be attempted next.
    pub due: Timestamp,
    /// Attempts that ended.
    pub attempts: u32,
    /// What came of the last attempt, while anything is left to do.
    pub last: Option<Attempt>,
    /// Not attempted while held.
    pub hold: Option<Hold>,
    /// Pool that an operator moved it to; `None`: that of its message.
    pub pool: Option<String>,
}

/// One recipient of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Where to.
    pub address: Address,
    /// What the sender asked for with it.
    pub parameters: RecipientParameters,
    /// What became of it.
    pub state: RecipientState,
    /// What a template needs to become its message.
    pub personal: Option<Personal>,
}

/// What is said of a recipient for its message to be made of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Personal {
    /// Its name, for To.
    pub name: Option<String>,
    /// Values of variables: a JSON object, as text.
    pub substitutions: String,
}

/// Parameters of RCPT (RFC 3461 sections 4.1 and 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecipientParameters {
    /// When the sender wants to hear of it; `None`: not said.
    pub notify: Option<Notify>,
    /// Its address as the sender first wrote it.
    pub original: Option<OriginalRecipient>,
}

/// A recipient is in exactly one state (design, invariant 2); `queue/state.rs` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecipientState {
    /// To be attempted when due.
    Queued,
    /// A peer took responsibility.
    Delivered,
    /// Refused for good, or removed by the operator.
    Bounced,
    /// Still waiting when its time was over.
    Expired,
    /// Not sent: it is on the suppression list.
    Suppressed,
}

/// The last attempt, for people who ask why a message waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it ended.
    pub time: Timestamp,
    /// Name of the source that was used.
    pub source: Option<String>,
    /// Host that was spoken to.
    pub mx: Option<String>,
    /// What stood in the way.
    pub reply: Reply,
}

/// Set aside by a person until released, or until its time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Since when.
    pub since: Timestamp,
    /// Who did it; empty in records that did not tell it apart.
    pub who: String,
    /// Why.
    pub why: String,
    /// It ends by itself; `None`: somebody must release it.
    pub until: Option<Timestamp>,
    /// The standing hold that it is part of, and ends with.
    pub standing: Option<Id>,
}

impl Hold {
    /// `ana: the list is wrong`
    pub fn words(&self) -> String {
        if self.who.is_empty() { self.why.clone() } else { format!("{}: {}", self.who, self.why) }
    }
}

impl Delivery {
    /// Where it stands in the due index; `None`: nowhere, it is held until somebody releases it.
    pub fn listed(&self) -> Option<Timestamp> {
        self.hold.as_ref().map_or(Some(self.due), |hold| hold.until)
    }
}
