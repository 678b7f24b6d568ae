//! The figures of the queue. What is counted is counted where it happens, once for a message; depths
//! are read when somebody asks. Nothing is scanned for them: how much waits on disk is what the
//! database estimates, and the oldest message is looked for every ten seconds by one seek.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};
use tokio::time::Instant;

use crate::message::{Delivery, Id, Message, Timestamp};
use crate::metrics::{self, Label, Labelled, Topic};
use crate::spool::{Family, SpoolError, SpoolHealth, off_thread, record};

use super::{Queue, keys};

/// Ids are given when a message begins, and stored when it has arrived: so much later one may be
/// found before the oldest. Few take longer, and those only make the figure too small.
const ARRIVAL_MAX: Duration = Duration::from_hours(1);
/// What is held is counted again after so many times as long as it took.
const COUNT_TIMES: u32 = 20;

static ACCEPTED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Messages that became durable";
    metrics::counter(Topic::Intake, "tambo_messages_accepted_total", help)
});
static RECIPIENTS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Recipients of the messages that became durable";
    metrics::counter(Topic::Intake, "tambo_recipients_accepted_total", help)
});
static SIZE: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = [
        1024.0,
        4096.0,
        16_384.0,
        65_536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
        16_777_216.0,
        67_108_864.0,
    ];
    let help = "Sizes of the messages that became durable";
    metrics::histogram(Topic::Intake, "tambo_message_size_bytes", help, &buckets)
});
static ACCEPT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
    let help = "From the end of a message until it was durable: what a client waits for `250`";
    metrics::histogram(Topic::Intake, "tambo_accept_seconds", help, &buckets)
});
static MESSAGES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Messages of which anything is left to do, about";
    metrics::gauge(Topic::Queue, "tambo_queue_messages", help)
});
static DELIVERIES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Deliveries (a message to one domain or smarthost) that wait or are being made, held ones aside, \
                about";
    metrics::gauge(Topic::Queue, "tambo_queue_deliveries", help)
});
static IN_MEMORY: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Deliveries in memory: they wait for a connection or are being made";
    metrics::gauge(Topic::Queue, "tambo_deliveries_in_memory", help)
});
static LANES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help =
        "Lanes (domain, priority, account and tag) that have mail and are followed in memory";
    metrics::gauge(Topic::Queue, "tambo_lanes", help)
});
static OLDEST: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Age of the oldest message, also a held one, seen every 10 s; 0 when there is none";
    metrics::gauge(Topic::Queue, "tambo_queue_oldest_seconds", help)
});
static HELD: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Deliveries that are held by people, also by standing holds; counted every 10 s while any are, every few \
                minutes where that takes long";
    metrics::gauge(Topic::Queue, "tambo_queue_held", help)
});
static STATE: LazyLock<Labelled<IntGauge>> = LazyLock::new(|| {
    let help = "1 for the state that the spool is in";
    let states = [
        ("good", "it is written"),
        ("low_disk", "below `min_free_space`: nothing is accepted or delivered"),
        ("failed", "a write or sync failed: only a restart helps"),
    ];
    metrics::gauges(Topic::Spool, "tambo_spool_state", help, Label::known("state", &states))
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&ACCEPTED, &RECIPIENTS, &SIZE, &ACCEPT_SECONDS]);
    metrics::declare(&[&MESSAGES, &DELIVERIES, &IN_MEMORY, &LANES, &OLDEST, &HELD, &STATE]);
}

/// A message of a client became durable in this time.
pub(super) fn durable(took: Duration) {
    ACCEPT_SECONDS.observe(took.as_secs_f64());
}

/// A message was accepted.
pub(super) fn accepted(message: &Message, deliveries: &[Delivery]) {
    ACCEPTED.inc();
    let recipients: usize = deliveries.iter().map(|delivery| delivery.recipients.len()).sum();
    RECIPIENTS.inc_by(recipients as u64);
    SIZE.observe(message.size() as f64);
}

/// The oldest message, as it was last seen. Times in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    /// When it was accepted; 0: there is none.
    accepted: AtomicU64,
    /// Nothing is left that was accepted before.
    nothing_before: AtomicU64,
}

/// What is held, as it was last counted. While nothing is, and nobody has held anything since, nobody counts.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Deliveries that were held since the start, and as many as there were when it was last counted.
    holds: AtomicU64,
    seen: AtomicU64,
    /// How many were held then. Nothing: it was not counted yet.
    count: Mutex<Option<u64>>,
    /// Until when that is fresh. Whoever counts has it.
    fresh: tokio::sync::Mutex<Option<Instant>>,
}

impl Held {
    /// One more is held.
    pub(super) fn more(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> Option<u64> {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Counts what is held, if that can have changed and the last count is old: counting takes a twentieth of a core at most.
    pub async fn count_held(&self) -> Result<(), SpoolError> {
        let held = &self.held;
        let holds = held.holds.load(Ordering::Relaxed);
        if held.count() == Some(0) && holds == held.seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Somebody counts already: no second one does.
        let Ok(mut fresh) = held.fresh.try_lock() else { return Ok(()) };
        if fresh.is_some_and(|fresh| Instant::now() < fresh) {
            return Ok(());
        }
        let (spool, begun) = (Arc::clone(&self.spool), Instant::now());
        let counted = off_thread(&*self.spool, move || {
            let mut count = 0;
            spool.scan(Family::Deliveries, &[], &[u8::MAX; 11], &mut |_, value| {
                let delivery = record::decode::<Delivery>(value);
                count += u64::from(delivery.is_ok_and(|delivery| delivery.hold.is_some()));
                ControlFlow::Continue(())
            })?;
            Ok::<u64, SpoolError>(count)
        });
        let counted = counted.await.flatten()?;
        *fresh = Some(Instant::now() + begun.elapsed() * COUNT_TIMES);
        held.seen.store(holds, Ordering::Relaxed);
        *held.count.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
        Ok(())
    }

    /// Brings the gauges of this file up to date.
    pub fn measure(&self) {
        crate::spool::measure(&*self.spool);
        let (in_memory, lanes) = self.depth();
        metrics::set(&IN_MEMORY, in_memory);
        metrics::set(&LANES, lanes);
        metrics::set(&MESSAGES, self.spool.count_about(Family::Messages));
        metrics::set(&DELIVERIES, self.spool.count_about(Family::Due));
        let age = match self.oldest.accepted.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            accepted => self.now().since(Timestamp::from_millis(accepted)),
        };
        metrics::set(&OLDEST, age.as_secs());
        metrics::set(&HELD, self.held.count().unwrap_or(0));
        STATE.enter(match &*self.committer.health().borrow() {
            SpoolHealth::Good => "good",
            SpoolHealth::LowDisk => "low_disk",
            SpoolHealth::Failed(_) => "failed",
        });
    }

    /// Deliveries on disk that wait until they are due, when so many are in memory; about, and held ones aside.
    pub fn on_disk(&self, in_memory: usize) -> usize {
        let due = usize::try_from(self.spool.count_about(Family::Due)).unwrap_or(usize::MAX);
        due.saturating_sub(in_memory)
    }

    /// Looks for the oldest message. It starts shortly before where the oldest was: nothing
    /// older is left, and what was removed is not walked over again.
    pub async fn look_for_oldest(&self) -> Result<(), SpoolError> {
        let now = self.now();
        let place = Timestamp::from_millis(self.oldest.nothing_before.load(Ordering::Relaxed));
        let from = Id::first_at(place.before(ARRIVAL_MAX)).to_bytes();
        let spool = Arc::clone(&self.spool);
        let found = off_thread(&*self.spool, move || {
            let mut found = None;
            spool.scan(Family::Messages, &from, &[u8::MAX; 9], &mut |key, _| {
                found = keys::message_of(key);
                ControlFlow::Break(())
            })?;
            Ok(found)
        });
        let found: Option<Id> = found.await.flatten()?;
        let accepted = found.map(|id| id.time().as_millis());
        self.oldest.accepted.store(accepted.unwrap_or(0), Ordering::Relaxed);
        self.oldest.nothing_before.store(accepted.unwrap_or(now.as_millis()), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lever;
    use super::super::tests::World;
    use super::*;
    use crate::message::DeliveryId;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_counted_while_anything_is() {
        let world = World::new();
        let queue = &world.queue;
        let counted = async || {
            tokio::time::advance(Duration::from_secs(10)).await;
            queue.count_held().await.unwrap();
            queue.held.count()
        };
        world.accept("a@x.pe").await;
        let ready = DeliveryId { message: world.accept("b@y.pe").await, number: 0 };
        assert_eq!(counted().await, Some(0));
        let (who, why) = ("ana".to_owned(), "wait".to_owned());
        let lever = Lever::Hold { who, why, until: None, standing: None };
        queue.pull(ready, &lever).await.unwrap();
        assert_eq!(counted().await, Some(1));
        queue.pull(ready, &Lever::Release).await.unwrap();
        assert_eq!(counted().await, Some(0));
    }
}
