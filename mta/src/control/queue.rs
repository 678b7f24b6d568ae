//! The queue, as it is asked for and acted upon from outside.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::admin::{Acted, Action, ControlError, Order, QueueQuery, Refused, Row};
use crate::message::{Delivery, DeliveryId, Hold, Id, Message, Timestamp};
use crate::outcome::{self, Question};
use crate::queue::{Kind, Lever, LeverError, May, Place, Queue, QueueRow};

use super::RelayControl;

/// Rows of a page when nobody says.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 5_000;
/// Deliveries that an order acts upon at a time: each waits for a sync that it shares with the others.
const AT_ONCE: usize = 64;
/// Deliveries that could not be acted upon and are named.
const REFUSED_NAMED_MAX: usize = 100;

impl RelayControl {
    pub(super) async fn page(
        &self,
        query: QueueQuery,
    ) -> Result<(Vec<QueueRow>, Option<DeliveryId>), ControlError> {
        let me = self.clone();
        self.queue.barrier().await.map_err(|error| ControlError::Spool(error.to_string()))?;
        let looked = tokio::task::spawn_blocking(move || me.read_page(&query)).await;
        looked.map_err(|error| ControlError::Spool(error.to_string()))?
    }

    pub(super) async fn act_on_all(&self, order: Order) -> Result<Acted, ControlError> {
        let ends = order.until.is_some() || order.for_seconds.is_some();
        if order.action != Action::Hold && ends {
            return Err(question("`until` and `for_seconds` belong to the action hold"));
        }
        if (order.action == Action::Move) != order.pool.is_some() {
            let why = "`pool` says where the action move moves to, and belongs to no other";
            return Err(question(why));
        }
        let until = self.end(order.until.as_deref(), order.for_seconds)?;
        if let Some(pool) = &order.pool {
            self.known_pool(pool)?;
        }
        if order.dry_run {
            return self.count(order.query).await;
        }
        let (query, who, why) = (order.query, order.who, order.why);
        let dispatch = &self.dispatch;
        let lever = match order.action {
            Action::Hold => Lever::Hold { who, why, until, standing: None },
            Action::Release => Lever::Release,
            Action::Retry => Lever::Retry,
            Action::Move => {
                let pool = order.pool.unwrap_or_default();
                Lever::Move { pool, why: format!("{who}: {why}") }
            }
            Action::Bounce => return self.on_all(query, |id| dispatch.bounce(id, &why)).await,
            Action::Reroute => return self.on_all(query, |id| dispatch.reroute(id)).await,
        };
        self.pull_on_all(query, &lever).await
    }

    /// Pulls a lever at every delivery that is meant.
    pub(super) async fn pull_on_all(
        &self,
        query: QueueQuery,
        lever: &Lever,
    ) -> Result<Acted, ControlError> {
        self.on_all(query, |id| self.queue.pull(id, lever)).await
    }

    /// How many deliveries are meant.
    pub(super) async fn count(&self, query: QueueQuery) -> Result<Acted, ControlError> {
        let mut acted = Acted::default();
        if let Some(matched) = self.counted_before(&query) {
            return Ok(Acted { matched, ..acted });
        }
        let mut query = QueueQuery { limit: Some(PAGE_MAX), ..query };
        loop {
            let (rows, next) = self.page(query.clone()).await?;
            acted.matched += rows.len();
            let Some(next) = next else { return Ok(acted) };
            query.from = Some(cursor(next));
        }
    }

    /// Does something to every delivery that is meant, to many at a time: they share syncs.
    async fn on_all<Doing>(
        &self,
        query: QueueQuery,
        act: impl Fn(DeliveryId) -> Doing + Sync,
    ) -> Result<Acted, ControlError>
    where
        Doing: Future<Output = Result<(), LeverError>> + Send,
    {
        let mut acted = Acted::default();
        let mut query = QueueQuery { limit: Some(PAGE_MAX), ..query };
        loop {
            let (rows, next) = self.page(query.clone()).await?;
            acted.matched += rows.len();
            let mut doing = FuturesUnordered::new();
            for row in rows {
                let id = row.delivery.id;
                let done = act(id);
                doing.push(async move { (id, done.await) });
                if doing.len() >= AT_ONCE {
                    acted.note(doing.next().await);
                }
            }
            while let Some(done) = doing.next().await {
                acted.note(Some(done));
            }
            let Some(next) = next else { break };
            query.from = Some(cursor(next));
        }
        self.queue.count_anew();
        Ok(acted)
    }

    /// When a hold that is ordered ends by itself.
    pub(super) fn end(
        &self,
        until: Option<&str>,
        for_seconds: Option<u64>,
    ) -> Result<Option<Timestamp>, ControlError> {
        let now = self.queue.now();
        let until = match (until, for_seconds) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(question("a hold ends at `until`, or after `for_seconds`: say one"));
            }
            (Some(until), None) => Timestamp::parse_rfc3339(until).ok_or_else(|| {
                question("`until` is a time as in 2026-11-24T13:05:00-05:00 (RFC 3339)")
            })?,
            (None, Some(seconds)) => now.after(Duration::from_secs(seconds)),
        };
        if until <= now {
            return Err(question("the hold would end before it begins: `until` is over"));
        }
        Ok(Some(until))
    }

    /// Blocks.
    fn read_page(
        &self,
        query: &QueueQuery,
    ) -> Result<(Vec<QueueRow>, Option<DeliveryId>), ControlError> {
        let spool = |error: crate::spool::SpoolError| ControlError::Spool(error.to_string());
        let limit = query.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(question(&format!("`limit` is between 1 and {PAGE_MAX}")));
        }
        let wanted = Wanted::new(query)?;
        let is_wanted =
            |delivery: &Delivery, message: &Message| self.is_wanted(&wanted, delivery, message);
        if let Some(name) = &query.message {
            let mut rows = Vec::new();
            for id in ids_of(&self.queue, name)? {
                rows.extend(self.queue.of_message(id).map_err(spool)?);
            }
            rows.retain(|row| is_wanted(&row.delivery, &row.message));
            return Ok((rows, None));
        }
        let from = query.from.as_deref().map(parse_cursor).transpose()?;
        let may = May {
            domain: &|domain| wanted.kind.may_go_to(domain),
            delivery: &|delivery| {
                wanted.held.is_none_or(|held| delivery.hold.is_some() == held)
                    && wanted.kind.may_take(delivery)
            },
        };
        let page = self.queue.list_of(from, limit, &may, &is_wanted).map_err(spool)?;
        Ok((page.rows, page.next))
    }

    fn is_wanted(&self, wanted: &Wanted, delivery: &Delivery, message: &Message) -> bool {
        let held_by = delivery.hold.as_ref().and_then(|hold| hold.standing);
        if wanted.held.is_some_and(|held| delivery.hold.is_some() != held)
            || wanted.standing.is_some_and(|id| held_by != Some(id))
        {
            return false;
        }
        // Where it goes is asked for only where it is named.
        let site = wanted.kind.site.is_some().then(|| self.site_of(delivery));
        let pool = wanted.kind.pool.is_some().then(|| self.pool_of(delivery, message));
        let place = Place { site: &site.unwrap_or_default(), pool: &pool.unwrap_or_default() };
        wanted.kind.takes(delivery, message, &place)
    }

    /// Where a delivery really goes, as far as it is known.
    fn site_of(&self, delivery: &Delivery) -> String {
        self.dispatch.site_of(&delivery.domain).unwrap_or_else(|| delivery.domain.clone())
    }

    /// The pool that a delivery leaves by.
    fn pool_of(&self, delivery: &Delivery, message: &Message) -> String {
        let config = self.config.get();
        let named = crate::queue::pool(delivery, message);
        let known = named.filter(|name| config.pools.iter().any(|pool| *pool.name == **name));
        known.unwrap_or(&config.delivery.pool).to_owned()
    }

    pub(super) fn row(&self, row: &QueueRow) -> Row {
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
        let meaning = delivery.last.as_ref().map(|last| self.dispatch.meaning(last));
        Row {
            message: message.id.to_string(),
            delivery: delivery.id.number,
            message_id: message.message_id.clone(),
            sender: message.sender.to_string(),
            recipients: waiting.map(|recipient| recipient.address.to_string()).collect(),
            domain: delivery.domain.clone(),
            site: self.site_of(delivery),
            pool: self.pool_of(delivery, message),
            state: state.to_owned(),
            attempts: delivery.attempts,
            next_attempt: delivery.listed().map(Timestamp::to_rfc3339),
            last_reply: delivery.last.as_ref().map(|last| last.reply.to_string()),
            last_category: meaning.as_ref().map(|it| it.category.word().to_owned()),
            last_rule: meaning.map(|it| it.rule.to_string()),
            held: delivery.hold.as_ref().map(Hold::words),
            standing: delivery
                .hold
                .as_ref()
                .and_then(|hold| hold.standing)
                .map(|id| id.to_string()),
            held_until: delivery
                .hold
                .as_ref()
                .and_then(|hold| hold.until)
                .map(Timestamp::to_rfc3339),
            send_at: message.send_at.map(Timestamp::to_rfc3339),
            accepted: message.id.time().to_rfc3339(),
            account: message.account.clone(),
            tags: message.tags.clone(),
            size: message.size(),
        }
    }
}

impl Acted {
    /// What came of one.
    fn note(&mut self, done: Option<(DeliveryId, Result<(), LeverError>)>) {
        match done {
            None => {}
            Some((_, Ok(()))) => self.done += 1,
            Some((id, Err(error))) => {
                self.refused_count += 1;
                if self.refused.len() < REFUSED_NAMED_MAX {
                    let message = id.message.to_string();
                    self.refused.push(Refused { message, why: error.to_string() });
                }
            }
        }
    }
}

/// The messages that an id or a Message-ID stands for.
pub(super) fn ids_of(queue: &Queue, name: &str) -> Result<Vec<Id>, ControlError> {
    if let Ok(id) = name.trim().parse::<Id>() {
        return Ok(vec![id]);
    }
    let inside = name.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
    let events = outcome::trace(&*queue.spool(), &Question::MessageId(inside))
        .map_err(|error| ControlError::Spool(error.to_string()))?;
    let ids: BTreeSet<Id> = events.iter().filter_map(|event| event.message).collect();
    Ok(ids.into_iter().collect())
}

/// What a person named, as the queue knows it.
struct Wanted {
    kind: Kind,
    held: Option<bool>,
    standing: Option<Id>,
}

impl Wanted {
    fn new(query: &QueueQuery) -> Result<Self, ControlError> {
        let QueueQuery { site, domain, account, tag, sender, pool, .. } = query.clone();
        let standing = query.standing.as_deref().map(|name| {
            name.trim().parse().map_err(|_| question("`standing` is the name of a standing hold"))
        });
        let kind = Kind { site, domain, account, tag, sender, pool };
        Ok(Self { kind, held: query.held, standing: standing.transpose()? })
    }
}

fn question(why: &str) -> ControlError {
    ControlError::Question(why.to_owned())
}

/// `01kdyx0g2c001.3`
pub(super) fn cursor(id: DeliveryId) -> String {
    format!("{}.{}", id.message, id.number)
}

fn parse_cursor(text: &str) -> Result<DeliveryId, ControlError> {
    let parsed = text.split_once('.').and_then(|(message, number)| {
        Some(DeliveryId { message: message.parse().ok()?, number: number.parse().ok()? })
    });
    parsed
        .ok_or_else(|| ControlError::Question("from is not the `next` of a page before".to_owned()))
}
