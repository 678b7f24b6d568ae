//! The relay from outside: the control socket of the command line, health and metrics over HTTP.
//!
//! Everything acts through [`Control`], which `app` implements: nothing here knows the queue.

mod explanation;
mod http;
mod socket;
mod sources;

pub use explanation::{Explanation, HostRow, LimitRow, SourceNow};
pub use http::{api, pages};
pub use socket::{SOCKET, bind_socket};
pub use sources::{
    CheckRow, ForecastAnswer, ForecastDay, ForecastQuestion, HaltRow, LimitNow, PathRow,
    ReleaseOrder, Released, SourceAction, SourceAnswer, SourceDone, SourceOrder, SourceRow,
    StandbyRow, SwapAnswer, SwapOrder, SwapPool, WarmUpRow,
};

use serde::{Deserialize, Serialize};

use crate::message::Event;
use crate::outside::BoxFuture;

/// What can be asked of a running relay.
pub trait Control: Send + Sync {
    /// Brings up to date the gauges that are read when somebody asks, not moved.
    fn measure(&self);

    /// What is in the queue, in order of acceptance.
    fn queue(&self, query: QueueQuery) -> BoxFuture<'_, Result<QueueAnswer, ControlError>>;

    /// Holds, releases, retries, bounces or reroutes.
    fn act(&self, order: Order) -> BoxFuture<'_, Result<Acted, ControlError>>;

    /// The sources.
    fn sources(&self) -> BoxFuture<'_, Result<Vec<SourceRow>, ControlError>>;

    /// A source and its paths.
    fn source(&self, name: String) -> BoxFuture<'_, Result<SourceAnswer, ControlError>>;

    /// Suspends, resumes or drains a source.
    fn act_on_source(
        &self,
        name: String,
        order: SourceOrder,
    ) -> BoxFuture<'_, Result<SourceDone, ControlError>>;

    /// Takes a source out of its pools and a standby in.
    fn swap(
        &self,
        name: String,
        order: SwapOrder,
    ) -> BoxFuture<'_, Result<SwapAnswer, ControlError>>;

    /// What is halted where.
    fn halts(&self) -> BoxFuture<'_, Result<Vec<HaltRow>, ControlError>>;

    /// Has something that is halted go on.
    fn release(&self, order: ReleaseOrder) -> BoxFuture<'_, Result<Released, ControlError>>;

    /// Every path that warms up, of a pool or of all.
    fn warm_up(&self, pool: Option<String>) -> BoxFuture<'_, Result<Vec<WarmUpRow>, ControlError>>;

    /// How many days a mailing takes.
    fn forecast(
        &self,
        question: ForecastQuestion,
    ) -> BoxFuture<'_, Result<ForecastAnswer, ControlError>>;

    /// The events of a message, a recipient, a sender or a tag, oldest first.
    fn trace(&self, question: String) -> BoxFuture<'_, Result<Vec<Event>, ControlError>>;

    /// Where mail to an address would go now, from a pool.
    fn explain(
        &self,
        recipient: String,
        pool: Option<String>,
    ) -> BoxFuture<'_, Result<Explanation, ControlError>>;

    /// How the relay is.
    fn status(&self) -> Status;
}

/// Which deliveries are meant. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueQuery {
    /// Tambo's id or Message-ID of a message.
    pub message: Option<String>,
    /// Domain of the recipients.
    pub domain: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Tag.
    pub tag: Option<String>,
    /// MAIL FROM.
    pub sender: Option<String>,
    /// Only those held (or not).
    pub held: Option<bool>,
    /// Rows at most; 100 when not given.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub from: Option<String>,
}

/// A page of the queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueAnswer {
    /// In order of acceptance.
    pub rows: Vec<Row>,
    /// Where the next page starts.
    pub next: Option<String>,
}

/// A delivery that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// RFC 3339; nothing while held.
    pub next_attempt: Option<String>,
    /// What stood in the way.
    pub last_reply: Option<String>,
    /// Why it is held.
    pub held: Option<String>,
    /// RFC 3339.
    pub accepted: String,
    /// Account.
    pub account: String,
    /// Opaque words of the submitter.
    pub tags: Vec<String>,
    /// Octets.
    pub size: u64,
}

/// What is to be done to deliveries that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What.
    pub action: Action,
    /// To which.
    pub query: QueueQuery,
    /// Why, for those who ask later.
    pub why: String,
}

/// The levers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Deliveries.
    pub done: usize,
    /// Those it could not be done to, and why (at most 100 are named).
    pub refused: Vec<Refused>,
    /// How many it could not be done to.
    pub refused_count: usize,
}

/// A delivery that stayed as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Tambo's id of the message.
    pub message: String,
    /// Why.
    pub why: String,
}

/// How the relay is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Question(String),
    /// The spool does not answer.
    #[error("{0}")]
    Spool(String),
}
