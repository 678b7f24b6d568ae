//! What must be looked after once in a while: messages that have ended, that are too old, sites
//! that wait for better days, events that are old.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::message::{Id, Timestamp};
use crate::outcome::Context;
use crate::smtp_out::no_source;

use super::Dispatch;

/// How often what has ended is swept and waiting sites get another look.
const EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is looked for.
const AGE_EVERY: Duration = Duration::from_secs(10);

/// How often the suppression list is looked through for what is over.
const LIST_EVERY: Duration = Duration::from_hours(1);

/// A clock that goes back by more than this was set: servers of time correct less little by little.
const SET_BACK: Duration = Duration::from_secs(5);

/// Sees when the clock is set back.
struct ClockWatch {
    seen: (Instant, Timestamp),
}

impl ClockWatch {
    fn new(now: Timestamp) -> Self {
        Self { seen: (Instant::now(), now) }
    }

    /// By how much it was set back since the last look.
    fn look(&mut self, now: Timestamp) -> Option<Duration> {
        let (then, was) = std::mem::replace(&mut self.seen, (Instant::now(), now));
        let expected = was.after(then.elapsed());
        Some(expected.since(now)).filter(|back| *back > SET_BACK)
    }
}

/// What memory holds for mail that is on its way: nothing, when nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnItsWay {
    /// Connections open or coming up.
    pub connections: usize,
    /// Deliveries that wait for a connection.
    pub waiting: usize,
    /// Domains that are being looked up.
    pub resolving: usize,
    /// Sets of hosts that something goes to.
    pub ways: usize,
    /// Connections that can be woken.
    pub wakers: usize,
    /// Deliveries that the queue has handed out.
    pub deliveries: usize,
    /// Pairs of domain and sender that the queue follows.
    pub lanes: usize,
    /// KiB of bodies that arrive or are kept.
    pub bodies: usize,
}

impl Dispatch {
    /// What memory holds for mail that is on its way.
    pub fn on_its_way(&self) -> OnItsWay {
        let (deliveries, lanes) = self.queue.depth();
        let state = self.state();
        let (connections, waiting) = state.egress.counts();
        OnItsWay {
            connections,
            waiting,
            resolving: state.resolving.len(),
            ways: state.ways.len(),
            wakers: state.wakers.len(),
            deliveries,
            lanes,
            bodies: self.queue.bodies_in_memory(),
        }
    }

    /// Looks after things until it is dropped.
    pub async fn keep_house(self: Arc<Self>) {
        if let Err(error) = self.queue.begin_to_look_for_late() {
            tracing::warn!(%error, "senders are not told of delays yet");
        }
        let started = Instant::now();
        let mut cursor = Id::ZERO;
        let mut aged = Instant::now();
        let (mut listed, mut list_cursor) = (Instant::now(), Vec::new());
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock = ClockWatch::new(self.queue.now());
        loop {
            ticks.tick().await;
            if let Some(back) = clock.look(self.queue.now()) {
                tracing::warn!(
                    "the clock was set back by {} s: mail that waits goes that much later, for its time is a time of day; \
                     `tambo queue retry --all` sends it now",
                    back.as_secs()
                );
            }
            self.queue.sweep_ended().await;
            let stranded = self.state().egress.take_stranded();
            for (pool, waiting) in stranded {
                self.fail(waiting.ready, &no_source(&pool), Context::default()).await;
            }
            let unsaved = self.state().egress.has_unsaved();
            if unsaved {
                self.save_egress().await;
            }
            self.tell_decisions();
            if self.may_start() {
                let waiting = self.state().egress.waiting_sites();
                self.balance_all(&waiting);
            }
            if listed.elapsed() >= LIST_EVERY || !list_cursor.is_empty() {
                listed = Instant::now();
                list_cursor = match self.sweep_suppressions(list_cursor).await {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(%error, "the suppression list keeps what is over for now");
                        Vec::new()
                    }
                };
            }
            if aged.elapsed() >= AGE_EVERY {
                aged = Instant::now();
                self.give_up_old(&mut cursor).await;
                self.tell_of_delays(started.elapsed()).await;
                self.forget_quiet();
                let me = Arc::clone(&self);
                tokio::spawn(async move {
                    me.connector.ask_gateways(&me.config.get().sources).await;
                    if let Err(error) = me.queue.count_held().await {
                        tracing::warn!(%error, "what is held cannot be counted");
                    }
                });
                if let Err(error) = self.queue.look_for_oldest().await {
                    tracing::warn!(%error, "the oldest message cannot be looked for");
                }
            }
        }
    }

    async fn give_up_old(&self, cursor: &mut Id) {
        let mut from = *cursor;
        let mut in_flight = None;
        while self.queue.may_deliver() {
            let aged = match self.queue.take_aged(from).await {
                Ok(aged) => aged,
                Err(error) => {
                    tracing::error!(%error, "messages that are too old cannot be looked for");
                    return;
                }
            };
            for ready in aged.deliveries {
                self.expire(ready).await;
            }
            in_flight = in_flight.or(aged.in_flight);
            match aged.next {
                Some(next) => from = next,
                None => break,
            }
        }
        // What is in flight is looked at again; everything before it has ended.
        *cursor = in_flight.unwrap_or(from);
    }

    fn forget_quiet(&self) {
        let now = self.queue.now();
        let mut state = self.state();
        state.egress.look_for_sources(|source| self.connector.is_present(source));
        state.egress.sweep(now);
        state.egress.review_quarantine(now);
        state.egress.note_counts(now.before(2 * AGE_EVERY));
        state.routes.retain(|_, route| route.until.after(super::STALE_KEPT) > now);
        let state = &mut *state;
        let egress = &state.egress;
        state.ways.retain(|(site, host_set), _| egress.has_line(site, host_set));
    }
}
