//! The queue: from the moment a message is accepted until nothing of it is left to do.
//!
//! [`Queue`] joins the pure parts (what is written, states, what is due) with the spool. It
//! does not know how mail is delivered: what may be attempted now goes to the [`Outlet`].

mod accept;
mod batch;
mod bodies;
mod census;
pub mod due;
mod expiry;
mod figures;
pub mod inspect;
pub mod keys;
mod late;
mod levers;
mod list;
mod load;
mod ready;
mod recover;
mod reroute;
pub mod schedule;
mod scheduled;
mod shared;
mod standing;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use accept::CHUNK_OCTETS;
pub use batch::Batch;
pub use bodies::{BodyPermit, HeldBody};
pub use census::{Census, Group};
pub use expiry::Aged;
pub use late::Late;
pub use levers::{Lever, LeverError};
pub use list::{May, QueuePage, QueueRow};
pub use ready::{Ready, Signatures};
pub use shared::SharedBody;
pub use standing::{Kind, NotMade, Place, STANDING_HOLDS_MAX, StandingHold, Takes, pool};

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use relay_config::Routes;
use tokio::sync::Notify;

use crate::current::Current;
use crate::message::{Delivery, Event, Id, IdGenerator, Message, Submission, Timestamp};
use crate::metrics;
use crate::outside::WallClock;
use crate::spool::{
    CommitError, Committer, Family, Operation, Spool, SpoolError, SpoolHealth, event_index,
};

use accept::Accepted;
use bodies::Bodies;
use due::{DueIndex, Placed};
use keys::DueEntry;
use schedule::Schedule;
use state::Changes;

/// Makes the metrics of the queue known.
pub(crate) fn declare_metrics() {
    figures::declare_metrics();
    bodies::declare_metrics();
    load::declare_metrics();
}

/// Where deliveries go that may be attempted now.
pub trait Outlet: Send + Sync {
    /// Takes them; must not block.
    fn ready(&self, deliveries: Vec<Ready>);

    /// Gives one back that has not been started.
    fn recall(&self, delivery: &Delivery) -> Option<Ready>;
}

/// What the operator decides of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Delays between attempts.
    pub schedule: Schedule,
    /// Which mail goes to smarthosts.
    pub routes: Routes,
    /// Age at which what still waits is given up.
    pub expire_after: Duration,
    /// Age at which senders are told that what waits is late; `None`: they are not.
    pub late_after: Option<Duration>,
    /// Deliveries that memory holds.
    pub ready_deliveries: usize,
    /// (domain, lane) pairs that memory follows.
    pub lanes: usize,
    /// Octets of bodies that may be arriving at a time.
    pub bodies_in_flight_max: u64,
    /// Octets of bodies kept in memory for delivery.
    pub body_cache_max: u64,
}

/// Why a message is not taken; the client should try again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The disk is almost full (452 4.3.1).
    #[error("the disk is almost full")]
    Full,
    /// Too many octets are arriving at once (452 4.3.1).
    #[error("too many messages are arriving at once")]
    BodiesInFlight,
    /// The spool failed (451 4.3.0).
    #[error("the spool does not work")]
    Unavailable,
    /// The relay is stopping (421 4.3.2).
    #[error("the relay is stopping")]
    Stopping,
}

/// The queue of this relay.
pub struct Queue {
    spool: Arc<dyn Spool>,
    committer: Committer,
    clock: Arc<dyn WallClock>,
    ids: IdGenerator,
    options: RwLock<Arc<Options>>,
    index: Mutex<DueIndex>,
    bodies: Bodies,
    outlet: OnceLock<Weak<dyn Outlet>>,
    stopping: AtomicBool,
    /// Something changed that the loader must look at.
    pub(crate) wake: Notify,
    /// Messages of several deliveries, one of which has ended.
    ended: Mutex<Vec<Id>>,
    /// Templates, a message of which has ended.
    templates: Mutex<BTreeSet<Id>>,
    /// One at a time divides deliveries anew.
    dividing: tokio::sync::Mutex<()>,
    /// The oldest message, as it was last seen.
    oldest: figures::Oldest,
    /// What is held, as it was last counted.
    held: figures::Held,
    /// Who waits, as it was last counted.
    counted: Arc<census::Counted>,
    /// What is held of what comes.
    standing: Current<[StandingHold]>,
    /// One at a time changes that.
    standing_turn: tokio::sync::Mutex<()>,
    /// Nothing is set aside while one of them begins to end.
    standing_gate: Mutex<()>,
}

impl Queue {
    /// The queue as this spool has it; ids continue above the highest that it has seen, which
    /// [`Queue::last_id`] tells. Blocks.
    pub fn open(
        spool: Arc<dyn Spool>,
        committer: Committer,
        clock: Arc<dyn WallClock>,
        options: Options,
    ) -> Result<Self, SpoolError> {
        let highest = recover::highest_id(&*spool)?;
        let standing = standing::read(&*spool)?;
        Ok(Self {
            spool,
            committer,
            clock,
            ids: IdGenerator::above(highest),
            index: Mutex::new(DueIndex::new(options.ready_deliveries, options.lanes)),
            bodies: Bodies::new(options.bodies_in_flight_max, options.body_cache_max),
            options: RwLock::new(Arc::new(options)),
            outlet: OnceLock::new(),
            stopping: AtomicBool::new(false),
            wake: Notify::new(),
            ended: Mutex::new(Vec::new()),
            templates: Mutex::default(),
            dividing: tokio::sync::Mutex::new(()),
            oldest: figures::Oldest::default(),
            counted: Arc::default(),
            held: figures::Held::default(),
            standing: Current::new(standing),
            standing_turn: tokio::sync::Mutex::new(()),
            standing_gate: Mutex::new(()),
        })
    }

    /// Says where deliveries go, for as long as that is there. Once.
    pub fn set_outlet(&self, outlet: &Arc<dyn Outlet>) {
        // Whoever takes deliveries holds the queue; the two would keep one another alive for ever.
        let first = self.outlet.set(Arc::downgrade(outlet)).is_ok();
        assert!(first, "a queue has one outlet");
    }

    /// The next id, of a message or an event.
    pub fn next_id(&self) -> Id {
        self.ids.next(self.clock.now())
    }

    /// The last id that was given out, of a message or an event.
    pub fn last_id(&self) -> Id {
        self.ids.last()
    }

    /// What the operator decided.
    pub fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes new options. Bounds of bodies stay as they were at start.
    pub fn set_options(&self, options: Options) {
        self.index().set_limits(options.ready_deliveries, options.lanes);
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    /// From now on nothing is accepted.
    pub fn stop_accepting(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether mail is taken at all now.
    pub fn is_accepting(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Refusal::Stopping);
        }
        match &*self.committer.health().borrow() {
            SpoolHealth::Good => Ok(()),
            SpoolHealth::LowDisk => {
                metrics::limit_hit("min_free_space");
                Err(Refusal::Full)
            }
            SpoolHealth::Failed(_) => Err(Refusal::Unavailable),
        }
    }

    /// Whether deliveries may start: not when their outcome could not be written.
    pub fn may_deliver(&self) -> bool {
        matches!(*self.committer.health().borrow(), SpoolHealth::Good)
    }

    /// Takes responsibility for a message: it is durable when this returns `Ok`. It may wait so long for others to
    /// share a sync with.
    pub async fn accept(&self, submission: Submission, patience: Duration) -> Result<(), Refusal> {
        let submissions = vec![submission];
        self.accept_all(Batch { submissions, patience, ..Batch::default() }).await
    }

    /// Puts a delivery back to disk until then: nothing was attempted. Durable within 10 ms.
    pub fn postpone(
        &self,
        mut ready: Ready,
        until: Timestamp,
        events: &[Event],
    ) -> Result<(), CommitError> {
        let mut operations: Vec<Operation> = unlist(&ready).into_iter().collect();
        ready.delivery.due = until;
        operations.extend(accept::put_delivery(&ready.delivery));
        operations.extend(ready.keep_signatures());
        for event in events {
            operations.extend(event_index::operations(event));
        }
        self.committer.ride(operations)?;
        self.leaves(&ready, Some(until));
        Ok(())
    }

    /// Writes what became of a delivery, with the events that explain it, a notice to its sender and what
    /// others changed because of it, and lets go of it. Durable within 10 ms.
    pub fn conclude(
        &self,
        ready: Ready,
        changes: &Changes,
        events: &[Event],
        notice: Option<Submission>,
        along: Vec<Operation>,
    ) -> Result<(), CommitError> {
        let delivery = &ready.delivery;
        let mut operations = along;
        operations.reserve(4 + 4 * events.len());
        operations.extend(unlist(&ready));
        let ended = changes.next.is_none();
        if ended {
            let key = keys::delivery(delivery.id);
            operations.push(Operation::Delete(Family::Deliveries, key));
            if ready.message.deliveries == 1 {
                operations.extend(accept::remove_message(&ready.message));
            }
        } else {
            operations.extend(accept::put_delivery(delivery));
            operations.extend(ready.keep_signatures());
        }
        for event in events {
            operations.extend(event_index::operations(event));
        }
        let notice = notice.map(|submission| self.along(submission, &mut operations));
        self.committer.ride(operations)?;
        if let Some(template) = ready.message.template.filter(|_| ended) {
            self.template_may_have_ended(template);
        }
        if ended && ready.message.deliveries > 1 {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(ready.message.id);
        }
        let again = changes.next.and_then(|_| delivery.listed());
        self.leaves(&ready, again);
        if let Some((claim, accepted)) = notice {
            claim.offer(accepted, Body::OnItsWay);
        }
        Ok(())
    }

    /// Lets a message of ours ride with other operations; to be offered when they were handed in.
    fn along(
        &self,
        submission: Submission,
        operations: &mut Vec<Operation>,
    ) -> (Claim<'_>, Accepted) {
        let now = self.clock.now();
        let routes = self.options().routes.clone();
        let mut accepted = accept::accept(submission, &routes, now, || self.ids.next(now));
        operations.append(&mut accepted.operations);
        (Claim::new(self, accepted.entries().collect()), accepted)
    }

    /// Writes events that change nothing else.
    pub fn record(&self, events: &[Event]) -> Result<(), CommitError> {
        self.committer.ride(events.iter().flat_map(event_index::operations).collect())
    }

    /// Writes what others keep in [`crate::spool::Family::State`].
    pub fn write_state(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.committer.ride(operations)
    }

    /// The same; on disk when it returns.
    pub async fn commit_state(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.committer.commit(operations).await
    }

    /// Events that were recorded before this time need not be kept any longer. Blocks.
    pub fn forget_events_before(&self, time: Timestamp) -> Result<(), SpoolError> {
        self.spool.forget_events_before(Id::first_at(time))
    }

    /// Everything that was handed in before can be read when this returns.
    pub async fn barrier(&self) -> Result<(), CommitError> {
        self.committer.write(Vec::new()).await
    }

    /// How the spool is; changes are seen by whoever holds this.
    pub fn health(&self) -> tokio::sync::watch::Receiver<SpoolHealth> {
        self.committer.health()
    }

    /// Gives a delivery back unchanged: it is due as before.
    pub fn give_back(&self, ready: &Ready) {
        self.leaves(ready, ready.listed_due);
    }

    /// Deliveries in memory, and lanes followed.
    pub fn depth(&self) -> (usize, usize) {
        let index = self.index();
        (index.active_count(), index.lane_count())
    }

    /// The clock of the queue.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn leaves(&self, ready: &Ready, again: Option<Timestamp>) {
        let domain: Arc<str> = ready.delivery.domain.as_str().into();
        let mut index = self.index();
        let before = index.next_wake();
        let (lane, id) = (ready.delivery.lane, ready.delivery.id);
        if ready.claimed {
            index.release_claim(id);
            if let Some(due) = again {
                index.waits(&DueEntry { domain, lane, due, id });
            }
        } else {
            index.leaves(&domain, lane, id, again);
        }
        let after = index.next_wake();
        drop(index);
        if after != before {
            self.wake.notify_one();
        }
    }

    fn index(&self) -> MutexGuard<'_, DueIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_out(&self, deliveries: Vec<Ready>) {
        if deliveries.is_empty() {
            return;
        }
        if let Some(outlet) = self.outlet() {
            outlet.ready(deliveries);
        }
    }

    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        self.outlet.get()?.upgrade()
    }
}

/// Takes a delivery out of the due index on disk, where it stands in it.
fn unlist(ready: &Ready) -> Option<Operation> {
    let delivery = &ready.delivery;
    let key = keys::due(&delivery.domain, delivery.lane, ready.listed_due?, delivery.id);
    Some(Operation::SingleDelete(Family::Due, key))
}

/// Where the body of a message is that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    OnDisk,
    /// Handed to the committer.
    OnItsWay,
}

/// Deliveries that are being written. Dropped before they are offered (the session went away
/// while its message was being synced), they are left to be found on disk.
struct Claim<'a> {
    queue: &'a Queue,
    entries: Vec<DueEntry>,
}

impl<'a> Claim<'a> {
    fn new(queue: &'a Queue, entries: Vec<DueEntry>) -> Self {
        let mut index = queue.index();
        for entry in &entries {
            index.claim(entry.id);
        }
        drop(index);
        Self { queue, entries }
    }

    /// A message has been accepted.
    fn offer(self, accepted: Accepted, written: Body) {
        figures::accepted(&accepted.message, &accepted.deliveries);
        let body = accepted.body.and_then(|pieces| self.queue.bodies.hold(pieces));
        self.place(accepted.message, accepted.deliveries, body, written);
    }

    /// Deliveries that have been written find their place, in memory or on disk.
    fn place(
        mut self,
        message: Arc<Message>,
        deliveries: Vec<Delivery>,
        body: Option<Arc<HeldBody>>,
        written: Body,
    ) {
        if body.is_none() && written == Body::OnItsWay {
            // Nobody could read it yet: it is left to be found on disk.
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let now = self.queue.clock.now();
        let mut ready = Vec::with_capacity(entries.len());
        let mut index = self.queue.index();
        let offered = deliveries.into_iter().filter(|delivery| delivery.listed().is_some());
        for (entry, delivery) in entries.iter().zip(offered) {
            if delivery.hold.is_some() {
                // The loader ends a hold.
                index.release_claim(entry.id);
                index.waits(entry);
            } else if index.offer(entry, now) == Placed::Memory {
                ready.push(Ready::new(delivery, Arc::clone(&message), body.clone()));
            }
        }
        drop(index);
        if ready.len() < entries.len() {
            self.queue.wake.notify_one();
        }
        self.queue.send_out(ready);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let mut index = self.queue.index();
        for entry in &self.entries {
            index.release_claim(entry.id);
            index.waits(entry);
        }
        drop(index);
        self.queue.wake.notify_one();
    }
}
