//! What is asked about single messages, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::message::Event;

use super::Row;

/// The whole story of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Story {
    /// Tambo's id.
    pub message: String,
    /// Content of Message-ID.
    pub message_id: Option<String>,
    /// MAIL FROM; empty for `<>`.
    pub sender: Option<String>,
    /// When it was accepted (RFC 3339).
    pub accepted: String,
    /// When it was to be sent (RFC 3339); nothing: at once.
    #[serde(default)]
    pub send_at: Option<String>,
    /// Listener that it came in by.
    pub listener: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Opaque words of the submitter.
    pub tags: Vec<String>,
    /// Octets.
    pub size: Option<u64>,
    /// `waiting` while something is left to do, else `ended`.
    pub state: String,
    /// What became of each recipient, of at most a thousand.
    pub recipients: Vec<RecipientRow>,
    /// What is left to do, and what it waits for.
    pub waiting: Vec<WaitingRow>,
    /// What happened, oldest first; of more than a thousand events, the newest.
    pub events: Vec<Event>,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecipientRow {
    /// Address.
    pub address: String,
    /// The type of the last event about it, as `delivered` or `deferred`.
    pub state: String,
    /// When that was (RFC 3339).
    pub since: String,
    /// The reply, or the reason.
    pub reply: Option<String>,
}

/// A delivery that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitingRow {
    /// It.
    #[serde(flatten)]
    pub delivery: Row,
    /// The one thing that it waits for, in a sentence.
    pub waits_for: String,
}
