//! Standing holds: mail of a kind is held, what waits and what comes, until released or until a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Acted;

/// Which mail: what is named must all be so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MailKind {
    /// The site that it goes to: a provider, or a site as `GET /api/v1/queue/summary?by=site` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Domain of a recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// MAIL FROM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Pool that it leaves by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Mail of a kind is to be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldOrder {
    /// Which mail.
    pub kind: MailKind,
    /// A kind that names nothing means all mail. Without this it is a mistake.
    #[serde(default)]
    pub all: bool,
    /// Nothing is held: `acted.matched` says how many deliveries that wait it would be.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for those who ask later.
    pub why: String,
    /// When it ends by itself (RFC 3339); nothing: when it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// After how many seconds it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub for_seconds: Option<u64>,
    /// Who orders it: whoever asks is put in.
    #[serde(skip)]
    pub who: String,
}

/// A standing hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldRow {
    /// Its name.
    pub id: String,
    /// Which mail.
    pub kind: MailKind,
    /// Since when (RFC 3339).
    pub since: String,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
    /// When it ends by itself (RFC 3339).
    pub until: Option<String>,
    /// It has ended, and what it held is being released.
    pub ending: bool,
}

/// What came of an order to hold mail of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldMade {
    /// The standing hold; nothing: it was a dry run.
    pub hold: Option<HoldRow>,
    /// What was done to that which waited. What is being delivered at this moment is not held, unless it has to wait.
    pub acted: Acted,
}
