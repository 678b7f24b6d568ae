//! One webhook: gathers, posts, waits, from its place on.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay_config::webhooks::Webhook;
use tokio::time::{Instant, sleep, timeout_at};

use crate::message::{Event, EventKind, Id, Timestamp};
use crate::metrics::{self, Label, Name, NamedCounters, NamedGauges, Names, Topic, limit_hit};
use crate::outcome::filter::{Field, Filter};
use crate::outcome::follow::events_after;
use crate::spool::{SpoolError, off_thread};

use super::batch::{Batch, pause};
use super::place::Place;
use super::{Refusal, World};

/// Events of one reading.
const READ: usize = 2_000;
/// Wait after a spool that did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

fn label() -> Vec<Label> {
    vec![Label::names("webhook", Names::Webhooks)]
}

static TAKEN: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "Events that the servers of webhooks took";
    metrics::named_counters(Topic::Delivery, "tambo_webhook_events_total", help, label())
});
static FAILURES: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "Requests of webhooks that failed; they are sent again";
    metrics::named_counters(Topic::Delivery, "tambo_webhook_failures_total", help, label())
});
static PASSED_OVER: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "Events that a webhook passed over because its server did not take them in time";
    metrics::named_counters(Topic::Delivery, "tambo_webhook_passed_over_total", help, label())
});
static BEHIND: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Age of the oldest event that a webhook has ready and its server has not taken";
    metrics::named_gauges(Topic::Delivery, "tambo_webhook_behind_seconds", help, label())
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&TAKEN, &FAILURES, &PASSED_OVER, &BEHIND]);
}

/// How a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// It.
    pub webhook: Arc<Webhook>,
    /// The last event that was taken or passed.
    pub place: Option<Id>,
    /// How long the oldest event has waited that is ready and not taken.
    pub behind: Duration,
    /// Events taken since it was started.
    pub taken: u64,
    /// Events passed over since then.
    pub passed_over: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Why the last request failed.
    pub last_error: Option<String>,
    /// When a request was last taken.
    pub last_taken: Option<Timestamp>,
    /// When it is tried again.
    pub next_attempt: Option<Timestamp>,
}

/// What is known of a webhook since it was started.
#[derive(Debug, Default)]
pub(super) struct Status {
    place: Option<Id>,
    oldest: Option<Timestamp>,
    taken: u64,
    passed_over: u64,
    failures: u32,
    last_error: Option<String>,
    last_taken: Option<Timestamp>,
    next_attempt: Option<Timestamp>,
}

impl Status {
    pub(super) fn report(&self, webhook: &Arc<Webhook>, now: Timestamp) -> Report {
        Report {
            webhook: Arc::clone(webhook),
            place: self.place,
            behind: self.oldest.map(|oldest| now.since(oldest)).unwrap_or_default(),
            taken: self.taken,
            passed_over: self.passed_over,
            failures: self.failures,
            last_error: self.last_error.clone(),
            last_taken: self.last_taken,
            next_attempt: self.next_attempt,
        }
    }
}

/// A webhook that runs.
pub(super) struct Runner {
    world: World,
    webhook: Arc<Webhook>,
    filter: Arc<Filter>,
    status: Arc<Mutex<Status>>,
    random: StdRng,
    /// Events of a request: fewer once a server has said that it was too large.
    size: usize,
}

impl Runner {
    pub(super) fn new(
        world: World,
        webhook: Arc<Webhook>,
        status: Arc<Mutex<Status>>,
        seed: u64,
    ) -> Self {
        let filter = Arc::new(filter(&webhook));
        let size = usize::try_from(webhook.batch).unwrap_or(usize::MAX);
        let random = StdRng::seed_from_u64(seed);
        Self { world, webhook, filter, status, random, size }
    }

    /// Until it is dropped.
    pub(super) async fn run(mut self) {
        let webhook = Arc::clone(&self.webhook);
        BEHIND.set(self.name(), 0);
        loop {
            if let Err(error) = self.follow().await {
                tracing::warn!(webhook = &*webhook.name, %error, "events cannot be read for a webhook");
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    async fn follow(&mut self) -> Result<(), SpoolError> {
        let mut place = self.begin()?;
        loop {
            let batch = self.gather(place).await?;
            self.pass_over(&batch);
            if !batch.lines.is_empty() {
                let now = self.world.queue.now();
                let posted = self.world.courier.post(&self.webhook, batch.body(), now).await;
                if let Err(refusal) = posted {
                    sleep(self.was_refused(refusal, &batch)).await;
                    continue;
                }
                self.was_taken(&batch);
            }
            if let Some(end) = batch.end {
                place.after = end;
                self.keep(place)?;
            }
        }
    }

    /// Where it was, or from now on.
    fn begin(&self) -> Result<Place, SpoolError> {
        let spool = self.world.queue.spool();
        let kept = Place::read(&*spool, &self.webhook.name)?;
        let begun = || Place { after: self.world.horizon.now(), replayed_at: None };
        let place = kept.unwrap_or_else(begun);
        self.keep(place)?;
        Ok(place)
    }

    fn keep(&self, place: Place) -> Result<(), SpoolError> {
        let kept = self.world.queue.write_state(vec![place.operation(&self.webhook.name)]);
        kept.map_err(|error| SpoolError::Io(error.to_string()))?;
        self.status().place = Some(place.after);
        Ok(())
    }

    /// The next events that are meant: as many as one request carries, or those of the time that it waits.
    /// Nothing but a new place, when many are passed that are not meant.
    async fn gather(&self, place: Place) -> Result<Batch, SpoolError> {
        let mut news = self.world.horizon.follow();
        let mut batch = Batch::default();
        let mut until = None;
        loop {
            let horizon = *news.borrow_and_update();
            let from = batch.end.unwrap_or(place.after);
            if from < horizon {
                self.read(&mut batch, place, horizon).await?;
                let passed = batch.end != Some(horizon) && batch.lines.is_empty();
                if passed || batch.passed_over > 0 || batch.lines.len() >= self.size {
                    return Ok(batch);
                }
            }
            if batch.end.is_some_and(|end| end < horizon) {
                continue;
            }
            if batch.lines.is_empty() {
                let _ = news.changed().await;
                continue;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + self.webhook.wait);
            if timeout_at(until, news.changed()).await.is_err() {
                return Ok(batch);
            }
        }
    }

    /// Adds what the next reading finds.
    async fn read(&self, batch: &mut Batch, place: Place, horizon: Id) -> Result<(), SpoolError> {
        let from = batch.end.unwrap_or(place.after);
        let (queue, filter) = (Arc::clone(&self.world.queue), Arc::clone(&self.filter));
        let (room, first) = (self.size - batch.lines.len(), batch.lines.is_empty());
        let now = self.world.queue.now();
        let max_age = self.webhook.max_age;
        let too_old = move |event: &Event| {
            let since = place.replayed_at.unwrap_or_default().max(event.id.time());
            now.since(since) > max_age
        };
        let read = move || -> Result<Batch, SpoolError> {
            let found = events_after(&*queue.spool(), from, horizon, READ)?;
            let all = found.len() < READ;
            let mut more = Batch::default();
            for (id, line) in found {
                if more.lines.len() >= room {
                    return Ok(more);
                }
                let event = serde_json::from_slice::<Event>(&line).ok();
                match event.filter(|event| filter.takes(event)) {
                    Some(event) if first && more.lines.is_empty() && too_old(&event) => {
                        more.passed_over += 1;
                    }
                    // What was passed over is written down before anything is sent: it is counted once.
                    Some(_) if more.passed_over > 0 => return Ok(more),
                    Some(_) => {
                        more.oldest = more.oldest.or(Some(id.time()));
                        more.lines.push(line);
                    }
                    None => {}
                }
                more.end = Some(id);
            }
            if all {
                more.end = Some(horizon);
            }
            Ok(more)
        };
        let more = off_thread(&*self.world.queue.spool(), read).await.flatten()?;
        batch.lines.extend(more.lines);
        batch.end = more.end.or(batch.end);
        batch.oldest = batch.oldest.or(more.oldest);
        batch.passed_over += more.passed_over;
        Ok(())
    }

    fn pass_over(&self, batch: &Batch) {
        self.status().oldest = batch.oldest;
        self.show_age(batch.oldest);
        if batch.passed_over == 0 {
            return;
        }
        limit_hit("webhook.max_age");
        PASSED_OVER.count_all(self.name(), batch.passed_over);
        self.status().passed_over += batch.passed_over;
        tracing::warn!(
            webhook = &*self.webhook.name,
            count = batch.passed_over,
            "events are passed over: the server did not take them within `max_age`; \
             `tambo webhooks replay` sends them again"
        );
    }

    fn was_taken(&self, batch: &Batch) {
        let name = &*self.webhook.name;
        TAKEN.count_all(self.name(), batch.lines.len() as u64);
        self.show_age(None);
        let mut status = self.status();
        status.oldest = None;
        status.taken += batch.lines.len() as u64;
        status.last_taken = Some(self.world.queue.now());
        status.next_attempt = None;
        if status.failures > 0 {
            tracing::info!(webhook = name, "the server takes events again");
        }
        status.failures = 0;
    }

    /// Returns how long to wait.
    fn was_refused(&mut self, refusal: Refusal, batch: &Batch) -> Duration {
        let webhook = Arc::clone(&self.webhook);
        let name = &*webhook.name;
        FAILURES.count(self.name());
        let random = self.random.random::<f64>();
        let failures = self.status().failures.saturating_add(1);
        let mut wait = pause(failures, random, refusal.retry_after);
        if refusal.too_large && batch.lines.len() > 1 {
            self.size = batch.lines.len() / 2;
            wait = pause(1, random, None);
        }
        if failures.is_power_of_two() {
            tracing::warn!(
                webhook = name, url = %webhook.url, failures, why = refusal.why,
                "the server did not take events; they are sent again"
            );
        }
        let mut status = self.status();
        status.failures = failures;
        status.last_error = Some(refusal.why);
        status.next_attempt = Some(self.world.queue.now().after(wait));
        wait
    }

    fn show_age(&self, oldest: Option<Timestamp>) {
        let age = oldest.map(|oldest| self.world.queue.now().since(oldest)).unwrap_or_default();
        BEHIND.set(self.name(), age.as_secs());
    }

    /// Its name in metrics.
    fn name(&self) -> Name {
        Names::Webhooks.find(&self.webhook.name)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn filter(webhook: &Webhook) -> Filter {
    let kinds = webhook.types.iter().filter_map(|word| EventKind::named(word)).collect();
    let all = [(Field::Tag, &webhook.tags), (Field::Account, &webhook.accounts)];
    let written = all.into_iter().filter(|(_, values)| !values.is_empty());
    let fields = written.map(|(field, values)| (field, values.clone())).collect();
    Filter { kinds, fields, ..Filter::default() }
}
