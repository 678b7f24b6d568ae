//! What `admin` may ask, answered by queue, dispatch and spool.

mod explain;
mod sources;
mod story;

use std::collections::BTreeSet;
use std::sync::Arc;

use relay_config::Config;

use crate::admin::{
    Acted, Action, Control, ControlError, Explanation, ForecastAnswer, ForecastQuestion, GroupBy,
    HaltRow, Order, Page, QueueQuery, QueueSummary, Refused, ReleaseOrder, Released, Row,
    SourceAnswer, SourceDone, SourceOrder, SourceRow, Status, Story, SwapAnswer, SwapOrder,
    WarmUpRow,
};
use crate::current::Current;
use crate::dispatch::Dispatch;
use crate::message::{Address, Delivery, DeliveryId, Event, Id, Message};
use crate::outcome::{self, Question};
use crate::outside::BoxFuture;
use crate::queue::{Lever, LeverError, Queue, QueueRow};
use crate::spool::SpoolHealth;

/// Rows of a page when nobody says.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 5_000;
/// Deliveries that could not be acted upon and are named.
const REFUSED_NAMED_MAX: usize = 100;

/// The relay, for those who watch and steer it.
#[derive(Clone)]
pub struct RelayControl {
    /// Queue.
    pub queue: Arc<Queue>,
    /// Connections.
    pub dispatch: Arc<Dispatch>,
    /// What the operator decided.
    pub config: Arc<Current<Config>>,
}

impl RelayControl {
    async fn page(
        &self,
        query: QueueQuery,
    ) -> Result<(Vec<QueueRow>, Option<DeliveryId>), ControlError> {
        let queue = Arc::clone(&self.queue);
        self.queue.barrier().await.map_err(|error| ControlError::Spool(error.to_string()))?;
        let looked = tokio::task::spawn_blocking(move || page(&queue, &query)).await;
        looked.map_err(|error| ControlError::Spool(error.to_string()))?
    }

    async fn act_on_all(&self, order: Order) -> Result<Acted, ControlError> {
        let mut acted = Acted::default();
        let mut query = QueueQuery { limit: Some(PAGE_MAX), ..order.query };
        loop {
            let (rows, next) = self.page(query.clone()).await?;
            acted.matched += rows.len();
            if order.dry_run {
                let Some(next) = next else { return Ok(acted) };
                query.from = Some(cursor(next));
                continue;
            }
            for row in rows {
                let id = row.delivery.id;
                match self.act_on(order.action, id, &order.who, &order.why).await {
                    Ok(()) => acted.done += 1,
                    Err(error) => {
                        acted.refused_count += 1;
                        if acted.refused.len() < REFUSED_NAMED_MAX {
                            let message = id.message.to_string();
                            acted.refused.push(Refused { message, why: error.to_string() });
                        }
                    }
                }
            }
            let Some(next) = next else { return Ok(acted) };
            query.from = Some(cursor(next));
        }
    }

    async fn act_on(
        &self,
        action: Action,
        id: DeliveryId,
        who: &str,
        why: &str,
    ) -> Result<(), LeverError> {
        match action {
            Action::Hold => {
                let why = format!("{who}: {why}");
                self.queue.pull(id, &Lever::Hold { why }).await
            }
            Action::Release => self.queue.pull(id, &Lever::Release).await,
            Action::Retry => self.queue.pull(id, &Lever::Retry).await,
            Action::Bounce => self.dispatch.bounce(id, why).await,
            Action::Reroute => self.dispatch.reroute(id).await,
        }
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
            Ok(Page { rows, next: next.map(cursor) })
        })
    }

    fn act(&self, order: Order) -> BoxFuture<'_, Result<Acted, ControlError>> {
        let me = self.clone();
        on_its_own(async move { me.act_on_all(order).await })
    }

    fn sources(&self) -> BoxFuture<'_, Result<Vec<SourceRow>, ControlError>> {
        let rows = self.dispatch.sources().iter().map(sources::source_row).collect();
        Box::pin(async move { Ok(rows) })
    }

    fn source(&self, name: String) -> BoxFuture<'_, Result<SourceAnswer, ControlError>> {
        Box::pin(async move { self.source_answer(&name) })
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

    fn story(&self, name: String) -> BoxFuture<'_, Result<Story, ControlError>> {
        Box::pin(async move { self.story_of(&name).await })
    }

    fn summary(&self, by: GroupBy) -> BoxFuture<'_, Result<QueueSummary, ControlError>> {
        Box::pin(async move { self.summary_by(by).await })
    }

    fn explain(
        &self,
        recipient: String,
        pool: Option<String>,
    ) -> BoxFuture<'_, Result<Explanation, ControlError>> {
        Box::pin(async move {
            let address = Address::parse(recipient.trim())
                .map_err(|error| ControlError::Question(format!("{recipient}: {error}")))?;
            if let Some(pool) = &pool
                && !self.config.get().pools.iter().any(|known| *known.name == **pool)
            {
                return Err(ControlError::Question(format!("there is no pool \"{pool}\"")));
            }
            let explained = self.dispatch.explain(&address, pool.as_deref()).await;
            Ok(explain::explanation(&address, &explained))
        })
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

impl RelayControl {
    fn row(&self, row: &QueueRow) -> Row {
        let (delivery, message) = (&row.delivery, &row.message);
        let waiting = delivery
            .recipients
            .iter()
            .filter(|r| r.state == crate::message::RecipientState::Queued);
        let state = match () {
            () if delivery.hold.is_some() => "held",
            () if row.active => "active",
            () if delivery.attempts > 0 => "deferred",
            () => "queued",
        };
        Row {
            message: message.id.to_string(),
            delivery: delivery.id.number,
            message_id: message.message_id.clone(),
            sender: message.sender.to_string(),
            recipients: waiting.map(|recipient| recipient.address.to_string()).collect(),
            domain: delivery.domain.clone(),
            site: self
                .dispatch
                .site_of(&delivery.domain)
                .unwrap_or_else(|| delivery.domain.clone()),
            state: state.to_owned(),
            attempts: delivery.attempts,
            next_attempt: delivery.hold.is_none().then(|| delivery.due.to_rfc3339()),
            last_reply: delivery.last.as_ref().map(|last| last.reply.to_string()),
            held: delivery.hold.as_ref().map(|hold| hold.why.clone()),
            accepted: message.id.time().to_rfc3339(),
            account: message.account.clone(),
            tags: message.tags.clone(),
            size: message.size(),
        }
    }
}

fn page(
    queue: &Queue,
    query: &QueueQuery,
) -> Result<(Vec<QueueRow>, Option<DeliveryId>), ControlError> {
    let spool = |error: crate::spool::SpoolError| ControlError::Spool(error.to_string());
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let wanted = |delivery: &Delivery, message: &Message| wanted(query, delivery, message);
    if let Some(name) = &query.message {
        let mut rows = Vec::new();
        for id in ids_of(queue, name)? {
            rows.extend(queue.of_message(id).map_err(spool)?);
        }
        rows.retain(|row| wanted(&row.delivery, &row.message));
        return Ok((rows, None));
    }
    let from = query.from.as_deref().map(parse_cursor).transpose()?;
    let page = queue.list(from, limit, &wanted).map_err(spool)?;
    Ok((page.rows, page.next))
}

/// The messages that an id or a Message-ID stands for.
fn ids_of(queue: &Queue, name: &str) -> Result<Vec<Id>, ControlError> {
    if let Ok(id) = name.trim().parse::<Id>() {
        return Ok(vec![id]);
    }
    let inside = name.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
    let events = outcome::trace(&*queue.spool(), &Question::MessageId(inside))
        .map_err(|error| ControlError::Spool(error.to_string()))?;
    let ids: BTreeSet<Id> = events.iter().filter_map(|event| event.message).collect();
    Ok(ids.into_iter().collect())
}

fn wanted(query: &QueueQuery, delivery: &Delivery, message: &Message) -> bool {
    let same = |wanted: &Option<String>, found: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
    };
    let to_domain = || {
        let mut domains = delivery.recipients.iter().map(|it| it.address.domain().as_str());
        query
            .domain
            .as_ref()
            .is_some_and(|wanted| domains.any(|it| wanted.eq_ignore_ascii_case(it)))
    };
    (same(&query.domain, &delivery.domain) || to_domain())
        && same(&query.account, &message.account)
        && same(&query.sender, &message.sender.to_string())
        && query.tag.as_ref().is_none_or(|tag| message.tags.contains(tag))
        && query.held.is_none_or(|held| delivery.hold.is_some() == held)
}

/// `01kdyx0g2c001.3`
fn cursor(id: DeliveryId) -> String {
    format!("{}.{}", id.message, id.number)
}

fn parse_cursor(text: &str) -> Result<DeliveryId, ControlError> {
    let parsed = text.split_once('.').and_then(|(message, number)| {
        Some(DeliveryId { message: message.parse().ok()?, number: number.parse().ok()? })
    });
    parsed
        .ok_or_else(|| ControlError::Question("from is not the `next` of a page before".to_owned()))
}
