//! What is asked about the queue, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which deliveries are meant. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct QueueQuery {
    /// Tambo's id or Message-ID of a message.
    pub message: Option<String>,
    /// Domain of the recipients.
    pub domain: Option<String>,
    /// Where it really goes, as `GET /api/v1/queue/summary?by=site` names it.
    pub site: Option<String>,
    /// Pool that it leaves by.
    pub pool: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Tag.
    pub tag: Option<String>,
    /// MAIL FROM.
    pub sender: Option<String>,
    /// Only those held (or not).
    pub held: Option<bool>,
    /// Only those that this standing hold keeps.
    pub standing: Option<String>,
    /// Rows at most; 100 when not given.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub from: Option<String>,
}

impl QueueQuery {
    /// It leaves nothing out.
    pub fn means_everything(&self) -> bool {
        let paging = Self { limit: self.limit, from: self.from.clone(), ..Self::default() };
        *self == paging
    }
}

/// A delivery that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// Tambo's id of the message.
    pub message: String,
    /// Its place among the deliveries of the message.
    pub delivery: u16,
    /// Content of Message-ID.
    pub message_id: Option<String>,
    /// MAIL FROM; empty for `<>`.
    pub sender: String,
    /// Those that still wait.
    pub recipients: Vec<String>,
    /// Domain of the recipients.
    pub domain: String,
    /// Where the mail really goes, as far as it is known.
    pub site: String,
    /// `active`, `queued`, `deferred` or `held`.
    pub state: String,
    /// Attempts that ended.
    pub attempts: u32,
    /// RFC 3339; nothing while held for good.
    pub next_attempt: Option<String>,
    /// What stood in the way.
    pub last_reply: Option<String>,
    /// What that is about, as events name it.
    #[serde(default)]
    pub last_category: Option<String>,
    /// The rule for replies that says so.
    #[serde(default)]
    pub last_rule: Option<String>,
    /// Who holds it, and why.
    pub held: Option<String>,
    /// The standing hold that keeps it.
    #[serde(default)]
    pub standing: Option<String>,
    /// Pool that it leaves by.
    #[serde(default)]
    pub pool: String,
    /// When its hold ends by itself (RFC 3339).
    #[serde(default)]
    pub held_until: Option<String>,
    /// When it was to be sent (RFC 3339); nothing: at once.
    #[serde(default)]
    pub send_at: Option<String>,
    /// RFC 3339.
    pub accepted: String,
    /// Account.
    pub account: String,
    /// Opaque words of the submitter.
    pub tags: Vec<String>,
    /// Octets.
    pub size: u64,
}

/// What a reply is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The category, as events name it.
    pub category: &'static str,
    /// The rule for replies that says so.
    pub rule: String,
}

/// What is to be done to deliveries that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub action: Action,
    /// To which.
    pub query: QueueQuery,
    /// A query that names nothing means everything. Without this it is a mistake.
    #[serde(default)]
    pub all: bool,
    /// Nothing is done: `matched` says how many it would be done to.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for those who ask later. Of what is given up, the sender is told.
    pub why: String,
    /// When a hold ends by itself (RFC 3339); nothing: when it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// After how many seconds a hold ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub for_seconds: Option<u64>,
    /// The pool from which what is moved goes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Who orders it: whoever asks is put in.
    #[serde(skip)]
    pub who: String,
}

/// The levers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Attempt now.
    Retry,
    /// Not until released.
    Hold,
    /// No longer held; attempt now.
    Release,
    /// Give up and tell the sender.
    Bounce,
    /// Look the route up again and attempt now.
    Reroute,
    /// Go from another pool, now.
    Move,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acted {
    /// Deliveries that were meant.
    pub matched: usize,
    /// Those it was done to.
    pub done: usize,
    /// Those it could not be done to, and why (at most 100 are named).
    pub refused: Vec<Refused>,
    /// How many it could not be done to.
    pub refused_count: usize,
}

/// A delivery that stayed as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// Tambo's id of the message.
    pub message: String,
    /// Why.
    pub why: String,
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

/// How the relay is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Why mail is not taken now; `None`: it is.
    pub refusing: Option<String>,
    /// Why the relay must be started afresh; `None`: it is well.
    pub failed: Option<String>,
    /// Connections to servers.
    pub connections: usize,
    /// Deliveries in memory.
    pub ready: usize,
}
