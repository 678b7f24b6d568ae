//! The relay from outside: the API at the control socket and on `admin.bind`, health and metrics.
//!
//! Everything acts through [`Control`], which `control` implements: nothing here knows the queue. [`orders`] is how
//! things are changed, also by the web: whoever orders is written into the audit log before, and what came of it after.

mod api;
mod events;
mod explanation;
mod holds;
mod messages;
mod numbers;
mod pages;
mod patient;
mod probe;
mod queue;
mod report;
mod sending;
mod serve;
mod settings;
pub mod sheet;
mod socket;
mod sources;
mod suppression;
mod webhooks;
mod wire;

pub use api::orders;
pub use api::{
    Front, ListQuery, NewToken, Origin, Page, Problem, SummaryPage, TokenOrder, TokenRow,
    UserChange, UserOrder, UserRow, WHO,
};
pub use events::{EventFlow, EventQuery, FollowQuery, Found, MessageQuery, MessageRow, Passed};
pub use explanation::{Explanation, HostRow, LimitRow, SourceNow};
pub use holds::{HoldMade, HoldOrder, HoldRow, MailKind};
pub use messages::{RecipientRow, Story, WaitingRow};
pub use numbers::{NumbersBy, NumbersQuery, NumbersRow, NumbersStep};
pub use pages::gathered;
pub use probe::{ProbeAnswer, ProbeOrder, ProbeRow, ProbeStep};
pub use queue::{
    Acted, Action, GroupBy, GroupRow, Meaning, Order, QueueQuery, QueueSummary, Refused, Row,
    Status,
};
pub use report::{CAUSES, Report, ReportFormat, ReportLanguage, ReportPart, ReportQuery};
pub use sending::{SendOrder, Sent, UndefinedVariable};
pub use serve::Acceptors;
pub use settings::{
    AccountRow, BlocklistRow, LimitRule, ListingRow, PoolRow, ProviderRow, Reloaded, SettingRow,
};
pub use socket::{SOCKET, bind_socket};
pub use sources::{
    AmissRow, CheckRow, ForecastAnswer, ForecastDay, ForecastQuestion, HaltRow, LimitNow, NamesRow,
    PathRow, RefusalRow, ReleaseOrder, Released, SourceAction, SourceAnswer, SourceDone,
    SourceOrder, SourceRow, StandbyRow, SwapAnswer, SwapOrder, SwapPool, WarmUpRow,
};
pub use suppression::{
    ADDRESSES_MAX, SuppressionOrder, SuppressionQuery, SuppressionRemoval, SuppressionRow,
    SuppressionsAdded,
};
pub use webhooks::{ReplayOrder, Replayed, WebhookRow};
pub use wire::{WireLine, WireQuery};

use axum::Router;
use ipnet::IpNet;
use tokio::net::{TcpListener, UnixListener};

use crate::compose::Mistake;
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

    /// Standing holds, oldest first.
    fn standing_holds(&self) -> Vec<HoldRow>;

    /// Holds mail of a kind, what waits and what comes.
    fn stand(&self, order: HoldOrder) -> BoxFuture<'_, Result<HoldMade, ControlError>>;

    /// Ends a standing hold, and releases what it holds.
    fn end_standing(&self, id: String) -> BoxFuture<'_, Result<Acted, ControlError>>;

    /// The sources.
    fn sources(&self) -> BoxFuture<'_, Result<Vec<SourceRow>, ControlError>>;

    /// A source and its paths.
    fn source(&self, name: String) -> BoxFuture<'_, Result<SourceAnswer, ControlError>>;

    /// Each source at each site where something is amiss, or where a server has taught us to send less.
    fn paths_amiss(&self) -> Vec<AmissRow>;

    /// Looks at the names of a source now.
    fn look_at_names(&self, name: String) -> BoxFuture<'_, Result<NamesRow, ControlError>>;

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

    /// Events that are kept.
    fn events(&self, query: EventQuery) -> BoxFuture<'_, Result<Found<Event>, ControlError>>;

    /// Events as they happen.
    fn follow(&self, query: FollowQuery) -> Result<Box<dyn EventFlow>, ControlError>;

    /// Conversations with clients and servers, as they are held.
    fn wire(&self, query: WireQuery) -> Result<Box<dyn EventFlow>, ControlError>;

    /// Messages of which events are kept.
    fn messages(
        &self,
        query: MessageQuery,
    ) -> BoxFuture<'_, Result<Found<MessageRow>, ControlError>>;

    /// What events add up to, by time and name.
    fn numbers(&self, query: NumbersQuery) -> BoxFuture<'_, Result<Vec<NumbersRow>, ControlError>>;

    /// The same for several questions at once, which takes about as long as for one.
    fn numbers_together(
        &self,
        queries: Vec<NumbersQuery>,
    ) -> BoxFuture<'_, Result<Vec<Vec<NumbersRow>>, ControlError>>;

    /// What happened in some days, for people.
    fn report(&self, query: ReportQuery) -> BoxFuture<'_, Result<Report, ControlError>>;

    /// The webhooks.
    fn webhooks(&self) -> Result<Vec<WebhookRow>, ControlError>;

    /// Has a webhook send again.
    fn replay(
        &self,
        name: String,
        order: ReplayOrder,
    ) -> BoxFuture<'_, Result<Replayed, ControlError>>;

    /// The whole story of a message, by Tambo's id or Message-ID.
    fn story(&self, name: String) -> BoxFuture<'_, Result<Story, ControlError>>;

    /// Who waits, in groups.
    fn summary(&self, by: GroupBy) -> BoxFuture<'_, Result<QueueSummary, ControlError>>;

    /// What a reply is about; nothing: it is none.
    fn meaning(&self, reply: &str) -> Option<Meaning>;

    /// Where mail to an address would go now, from a pool.
    fn explain(
        &self,
        recipient: String,
        pool: Option<String>,
    ) -> BoxFuture<'_, Result<Explanation, ControlError>>;

    /// Asks a destination how it answers sources now.
    fn probe(&self, order: ProbeOrder) -> BoxFuture<'_, Result<ProbeAnswer, ControlError>>;

    /// The suppression list, by address.
    fn suppressions(
        &self,
        query: SuppressionQuery,
    ) -> BoxFuture<'_, Result<Page<SuppressionRow>, ControlError>>;

    /// The entries of an address, or of all of a domain.
    fn suppressions_of(
        &self,
        name: String,
    ) -> BoxFuture<'_, Result<Vec<SuppressionRow>, ControlError>>;

    /// Puts addresses on the suppression list.
    fn suppress(
        &self,
        order: SuppressionOrder,
    ) -> BoxFuture<'_, Result<SuppressionsAdded, ControlError>>;

    /// Takes an address off it; `who` orders it. Returns what was removed.
    fn unsuppress(
        &self,
        name: String,
        removal: SuppressionRemoval,
        who: String,
    ) -> BoxFuture<'_, Result<Vec<SuppressionRow>, ControlError>>;

    /// The configuration in force, key by key.
    fn settings(&self) -> Vec<SettingRow>;

    /// Those who submit mail.
    fn accounts(&self) -> Vec<AccountRow>;

    /// The pools.
    fn pools(&self) -> Vec<PoolRow>;

    /// Everyone, and each provider, with what may be asked of them.
    fn providers(&self) -> Vec<ProviderRow>;

    /// The blocklists that are asked.
    fn blocklists(&self) -> Vec<BlocklistRow>;

    /// Reads the configuration file again.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ControlError>>;

    /// Takes responsibility for what is handed in.
    fn send(&self, order: SendOrder) -> BoxFuture<'_, Result<Sent, ControlError>>;

    /// How the relay is.
    fn status(&self) -> Status;

    /// Whether there is an account of this name.
    fn has_account(&self, name: &str) -> bool;
}

/// Answers the command line until it is dropped.
pub async fn serve_socket(socket: UnixListener, front: Front) {
    serve::serve(socket, api::api(&front), None).await;
}

/// What programs ask over the network: the API, health, and `/metrics`, without a token for those networks.
pub fn for_programs(front: &Front, metrics_allow: Vec<IpNet>, process: fn()) -> Router {
    api::api(front).merge(pages::pages(front, metrics_allow, process))
}

/// Answers `admin.bind` until it is dropped; over TLS where there is something that accepts it.
pub async fn serve_network(listener: TcpListener, router: Router, tls: Option<Acceptors>) {
    serve::serve(listener, router, tls).await;
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
    /// What was handed in has mistakes.
    #[error("{} mistakes, the first: {}", .0.len(), .0.first().map_or("", |it| it.detail.as_str()))]
    Mistakes(Vec<Mistake>),
    /// The caller may not do it.
    #[error("{0}")]
    Forbidden(String),
    /// A limit is reached that a later time lifts.
    #[error("{0}")]
    TooMuch(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Refused(String),
    /// The spool does not answer.
    #[error("{0}")]
    Spool(String),
}

#[cfg(test)]
pub(crate) mod tests {
    pub use super::api::tests::Nothing;
}
