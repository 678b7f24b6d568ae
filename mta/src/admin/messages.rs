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

/// Those that wait, of one site, domain, account, tag or pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupRow {
    /// Which.
    pub group: String,
    /// Deliveries.
    pub deliveries: u64,
    /// Recipients of them that wait.
    pub recipients: u64,
    /// Deliveries that are held.
    pub held: u64,
    /// Deliveries that were attempted before.
    pub deferred: u64,
    /// Octets, as they are sent.
    pub octets: u64,
    /// When the oldest was accepted (RFC 3339).
    pub oldest: Option<String>,
    /// When the next may be attempted (RFC 3339); a time that is over: it stands in line.
    pub next_attempt: Option<String>,
    /// What stood in the way last.
    pub last_reply: Option<String>,
}

/// By what waiting mail is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// Where it really goes.
    #[default]
    Site,
    /// Domain of the recipients, or the smarthost.
    Domain,
    /// Whose it is.
    Account,
    /// Tag: mail with several stands in several.
    Tag,
    /// The pool it asked for.
    Pool,
}

/// All that waits, in groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueSummary {
    /// When it was counted (RFC 3339).
    pub counted_at: String,
    /// Everything.
    pub all: GroupRow,
    /// The groups.
    pub groups: Vec<GroupRow>,
}
