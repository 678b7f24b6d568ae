//! What is asked about webhooks, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A webhook and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookRow {
    /// Its name.
    pub name: String,
    /// Where it posts to, without the query.
    pub url: String,
    /// `well`, or `failing`: the last request was not taken.
    pub state: String,
    /// The last event that was taken or passed.
    pub place: Option<String>,
    /// How long the oldest event has waited that is ready and not taken.
    pub behind_seconds: u64,
    /// Events taken since the relay or the webhook was started.
    pub taken: u64,
    /// Events passed over since then, because the server did not take them within `max_age`.
    pub passed_over: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Why a request last failed.
    pub last_error: Option<String>,
    /// When a request was last taken (RFC 3339).
    pub last_taken: Option<String>,
    /// When it is tried again (RFC 3339).
    pub next_attempt: Option<String>,
}

/// From where on events are sent again: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayOrder {
    /// Id of an event: those after it.
    #[serde(default)]
    pub from: Option<String>,
    /// RFC 3339, a day (`2026-11-24`), or how long ago (`2h`, `7d`): those since then.
    #[serde(default)]
    pub since: Option<String>,
    /// For those who ask later.
    pub why: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// The webhook.
    pub webhook: String,
    /// Events after this id are sent again.
    pub place: String,
}
