//! The relay from outside: the API at the control socket and on `admin.bind`, health and metrics.
//!
//! Everything acts through [`Control`], which `control` implements: nothing here knows the queue.

mod api;
mod explanation;
mod messages;
mod pages;
mod queue;
mod serve;
mod socket;
mod sources;

pub use api::{Front, ListQuery, NewToken, Page, Problem, TokenOrder, TokenRow, WHO};
pub use explanation::{Explanation, HostRow, LimitRow, SourceNow};
pub use messages::{RecipientRow, Story, WaitingRow};
pub use queue::{
    Acted, Action, GroupBy, GroupRow, Order, QueueQuery, QueueSummary, Refused, Row, Status,
};
pub use socket::{SOCKET, bind_socket};
pub use sources::{
    CheckRow, ForecastAnswer, ForecastDay, ForecastQuestion, HaltRow, LimitNow, PathRow,
    ReleaseOrder, Released, SourceAction, SourceAnswer, SourceDone, SourceOrder, SourceRow,
    StandbyRow, SwapAnswer, SwapOrder, SwapPool, WarmUpRow,
};

use ipnet::IpNet;
use tokio::net::{TcpListener, UnixListener};

use crate::message::Event;
use crate::outside::BoxFuture;

/// What can be asked of a running relay.
pub trait Control: Send + Sync {
    /// Brings up to date the gauges that are read when somebody asks, not moved.
    fn measure(&self);

    /// What is in the queue, in order of acceptance.
    fn queue(&self, query: QueueQuery) -> BoxFuture<'_, Result<Page<Row>, ControlError>>;

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

    /// The whole story of a message, by Tambo's id or Message-ID.
    fn story(&self, name: String) -> BoxFuture<'_, Result<Story, ControlError>>;

    /// Who waits, in groups.
    fn summary(&self, by: GroupBy) -> BoxFuture<'_, Result<QueueSummary, ControlError>>;

    /// Where mail to an address would go now, from a pool.
    fn explain(
        &self,
        recipient: String,
        pool: Option<String>,
    ) -> BoxFuture<'_, Result<Explanation, ControlError>>;

    /// How the relay is.
    fn status(&self) -> Status;

    /// Whether there is an account of this name.
    fn has_account(&self, name: &str) -> bool;
}

/// Answers the command line until it is dropped.
pub async fn serve_socket(socket: UnixListener, front: Front) {
    serve::serve(socket, api::api(&front)).await;
}

/// Answers `admin.bind` until it is dropped; `/metrics` without a token to those networks.
pub async fn serve_network(
    listener: TcpListener,
    front: Front,
    metrics_allow: Vec<IpNet>,
    process: fn(),
) {
    let router = api::api(&front).merge(pages::pages(&front, metrics_allow, process));
    serve::serve(listener, router).await;
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Question(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Refused(String),
    /// The spool does not answer.
    #[error("{0}")]
    Spool(String),
}
