//! What `admin` may ask, answered by queue, dispatch and spool.

mod events;
mod explain;
mod flow;
mod holds;
mod keys;
mod numbers;
mod probe;
mod queue;
mod report;
mod sending;
mod settings;
mod sources;
mod story;
mod suppressions;
mod webhooks;
mod window;
mod wire;

use std::sync::Arc;

use relay_config::Config;
use tokio::sync::mpsc;

use crate::admin::{
    AccountRow, Acted, AmissRow, BlocklistRow, Control, ControlError, EventFlow, EventQuery,
    Explanation, FollowQuery, ForecastAnswer, ForecastQuestion, Found, GroupBy, HaltRow, HoldMade,
    HoldOrder, HoldRow, Meaning, MessageQuery, MessageRow, NamesRow, NumbersQuery, NumbersRow,
    Order, Page, PoolRow, ProbeAnswer, ProbeOrder, ProviderRow, QueueQuery, QueueSummary,
    ReleaseOrder, Released, Reloaded, ReplayOrder, Replayed, Report, ReportQuery, Row, SendOrder,
    Sent, SettingRow, SourceAnswer, SourceDone, SourceOrder, SourceRow, Status, Story,
    SuppressionOrder, SuppressionQuery, SuppressionRemoval, SuppressionRow, SuppressionsAdded,
    SwapAnswer, SwapOrder, WarmUpRow, WebhookRow, WireQuery,
};
use crate::current::Current;
use crate::dispatch::Dispatch;
use crate::message::Event;
use crate::outcome::webhook::Webhooks;
use crate::outcome::{self, Question};
use crate::outside::BoxFuture;
use crate::queue::Queue;
use crate::spool::SpoolHealth;

pub use flow::Streams;
pub use keys::RequestKeys;
pub use settings::ReloadOrder;

/// The relay, for those who watch and steer it.
#[derive(Clone)]
pub struct RelayControl {
    /// Queue.
    pub queue: Arc<Queue>,
    /// Connections.
    pub dispatch: Arc<Dispatch>,
    /// What the operator decided.
    pub config: Arc<Current<Config>>,
    /// Whom to ask for a reload.
    pub reloads: mpsc::Sender<ReloadOrder>,
    /// Who follows events.
    pub streams: Streams,
    /// Who is posted events to.
    pub webhooks: Arc<Webhooks>,
    /// Names of requests to send.
    pub keys: Arc<RequestKeys>,
    /// One at a time is probed.
    probing: Arc<tokio::sync::Mutex<()>>,
}

impl RelayControl {
    /// Over these, with the end at which reloads are asked for.
    pub fn new(
        queue: &Arc<Queue>,
        dispatch: &Arc<Dispatch>,
        config: &Arc<Current<Config>>,
        (streams, webhooks): (Streams, Arc<Webhooks>),
    ) -> (Self, mpsc::Receiver<ReloadOrder>) {
        let (queue, dispatch, config) =
            (Arc::clone(queue), Arc::clone(dispatch), Arc::clone(config));
        let (reloads, asked) = settings::reloads();
        let keys = Arc::default();
        let probing = Arc::default();
        (Self { queue, dispatch, config, reloads, streams, webhooks, keys, probing }, asked)
    }
}

impl Control for RelayControl {
    fn measure(&self) {
        self.queue.measure();
        self.dispatch.measure();
    }

    fn queue(&self, query: QueueQuery) -> BoxFuture<'_, Result<Page<Row>, ControlError>> {
        Box::pin(async move {
            let (rows, next) = self.page(query).await?;
            let rows = rows.iter().map(|row| self.row(row)).collect();
            Ok(Page { rows, next: next.map(queue::cursor) })
        })
    }

    fn act(&self, order: Order) -> BoxFuture<'_, Result<Acted, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.act_on_all(order).await })
    }

    fn standing_holds(&self) -> Vec<HoldRow> {
        self.hold_rows()
    }

    fn stand(&self, order: HoldOrder) -> BoxFuture<'_, Result<HoldMade, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.hold_kind(order).await })
    }

    fn end_standing(&self, id: String) -> BoxFuture<'_, Result<Acted, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.end_hold_of(&id).await })
    }

    fn sources(&self) -> BoxFuture<'_, Result<Vec<SourceRow>, ControlError>> {
        let rows = self.source_rows();
        Box::pin(async move { Ok(rows) })
    }

    fn source(&self, name: String) -> BoxFuture<'_, Result<SourceAnswer, ControlError>> {
        Box::pin(async move { self.source_answer(&name) })
    }

    fn paths_amiss(&self) -> Vec<AmissRow> {
        self.amiss_rows()
    }

    fn look_at_names(&self, name: String) -> BoxFuture<'_, Result<NamesRow, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.names_now(&name).await })
    }

    fn act_on_source(
        &self,
        name: String,
        order: SourceOrder,
    ) -> BoxFuture<'_, Result<SourceDone, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.order_source(&name, order).await })
    }

    fn swap(
        &self,
        name: String,
        order: SwapOrder,
    ) -> BoxFuture<'_, Result<SwapAnswer, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.order_swap(&name, order).await })
    }

    fn halts(&self) -> BoxFuture<'_, Result<Vec<HaltRow>, ControlError>> {
        Box::pin(async move { Ok(self.halt_rows()) })
    }

    fn release(&self, order: ReleaseOrder) -> BoxFuture<'_, Result<Released, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.release_halt(order).await })
    }

    fn warm_up(&self, pool: Option<String>) -> BoxFuture<'_, Result<Vec<WarmUpRow>, ControlError>> {
        Box::pin(async move { self.warm_up_rows(pool.as_deref()) })
    }

    fn forecast(
        &self,
        question: ForecastQuestion,
    ) -> BoxFuture<'_, Result<ForecastAnswer, ControlError>> {
        Box::pin(async move { self.forecast_answer(&question) })
    }

    fn trace(&self, question: String) -> BoxFuture<'_, Result<Vec<Event>, ControlError>> {
        Box::pin(async move {
            self.queue.barrier().await.map_err(|error| ControlError::Spool(error.to_string()))?;
            let spool = self.queue.spool();
            let looked = tokio::task::spawn_blocking(move || {
                for question in Question::parse(&question) {
                    let events = outcome::trace(&*spool, &question)?;
                    if !events.is_empty() {
                        return Ok(events);
                    }
                }
                Ok(Vec::new())
            });
            let events = looked.await.map_err(|error| ControlError::Spool(error.to_string()))?;
            events.map_err(|error: crate::spool::SpoolError| ControlError::Spool(error.to_string()))
        })
    }

    fn events(&self, query: EventQuery) -> BoxFuture<'_, Result<Found<Event>, ControlError>> {
        Box::pin(async move { self.found_events(query).await })
    }

    fn follow(&self, query: FollowQuery) -> Result<Box<dyn EventFlow>, ControlError> {
        self.flow(&query)
    }

    fn wire(&self, query: WireQuery) -> Result<Box<dyn EventFlow>, ControlError> {
        self.conversations(query)
    }

    fn messages(
        &self,
        query: MessageQuery,
    ) -> BoxFuture<'_, Result<Found<MessageRow>, ControlError>> {
        Box::pin(async move { self.found_messages(query).await })
    }

    fn numbers(&self, query: NumbersQuery) -> BoxFuture<'_, Result<Vec<NumbersRow>, ControlError>> {
        Box::pin(async move { self.number_rows(&query).await })
    }

    fn numbers_together(
        &self,
        queries: Vec<NumbersQuery>,
    ) -> BoxFuture<'_, Result<Vec<Vec<NumbersRow>>, ControlError>> {
        Box::pin(async move { self.number_rows_together(&queries).await })
    }

    fn report(&self, query: ReportQuery) -> BoxFuture<'_, Result<Report, ControlError>> {
        Box::pin(async move { self.report_of(&query).await })
    }

    fn webhooks(&self) -> Result<Vec<WebhookRow>, ControlError> {
        Ok(self.webhook_rows())
    }

    fn replay(
        &self,
        name: String,
        order: ReplayOrder,
    ) -> BoxFuture<'_, Result<Replayed, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.replay_from(&name, &order).await })
    }

    fn story(&self, name: String) -> BoxFuture<'_, Result<Story, ControlError>> {
        Box::pin(async move { self.story_of(&name).await })
    }

    fn meaning(&self, reply: &str) -> Option<Meaning> {
        let verdict = self.dispatch.meaning_of(reply)?;
        Some(Meaning { category: verdict.category.word(), rule: verdict.rule.to_string() })
    }

    fn summary(&self, by: GroupBy) -> BoxFuture<'_, Result<QueueSummary, ControlError>> {
        Box::pin(async move { self.summary_by(by).await })
    }

    fn explain(
        &self,
        recipient: String,
        pool: Option<String>,
    ) -> BoxFuture<'_, Result<Explanation, ControlError>> {
        Box::pin(async move { self.explanation_of(&recipient, pool.as_deref()).await })
    }

    fn probe(&self, order: ProbeOrder) -> BoxFuture<'_, Result<ProbeAnswer, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.probe_of(order).await })
    }

    fn suppressions(
        &self,
        query: SuppressionQuery,
    ) -> BoxFuture<'_, Result<Page<SuppressionRow>, ControlError>> {
        Box::pin(self.suppression_page(query))
    }

    fn suppressions_of(
        &self,
        name: String,
    ) -> BoxFuture<'_, Result<Vec<SuppressionRow>, ControlError>> {
        Box::pin(async move { self.suppression_rows(&name).await })
    }

    fn suppress(
        &self,
        order: SuppressionOrder,
    ) -> BoxFuture<'_, Result<SuppressionsAdded, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.add_suppressions(order).await })
    }

    fn unsuppress(
        &self,
        name: String,
        removal: SuppressionRemoval,
        who: String,
    ) -> BoxFuture<'_, Result<Vec<SuppressionRow>, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.remove_suppressions(&name, removal, &who).await })
    }

    fn settings(&self) -> Vec<SettingRow> {
        self.setting_rows()
    }

    fn accounts(&self) -> Vec<AccountRow> {
        self.account_rows()
    }

    fn pools(&self) -> Vec<PoolRow> {
        self.pool_rows()
    }

    fn providers(&self) -> Vec<ProviderRow> {
        self.provider_rows()
    }

    fn blocklists(&self) -> Vec<BlocklistRow> {
        self.blocklist_rows()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.ask_for_reload().await })
    }

    fn send(&self, order: SendOrder) -> BoxFuture<'_, Result<Sent, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.send_letter(order).await })
    }

    fn status(&self) -> Status {
        let failed = match &*self.queue.health().borrow() {
            SpoolHealth::Failed(why) => Some(why.clone()),
            SpoolHealth::Good | SpoolHealth::LowDisk => None,
        };
        let refusing = self.queue.is_accepting().err().map(|refusal| refusal.to_string());
        let (connections, _) = self.dispatch.counts();
        Status { refusing, failed, connections, ready: self.queue.depth().0 }
    }

    fn has_account(&self, name: &str) -> bool {
        self.config.get().accounts.iter().any(|account| *account.name == *name)
    }
}

/// On a task of its own: who asks may go away in the middle, and what was taken out of the queue's hands, or
/// changed and not written yet, must not be left so.
fn on_its_own<T: Send + 'static>(
    work: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, ControlError>> {
    let done = tokio::spawn(work);
    Box::pin(async move { done.await.map_err(|error| ControlError::Spool(error.to_string()))? })
}
