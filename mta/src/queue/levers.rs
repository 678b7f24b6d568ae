//! What an operator does by hand to a delivery that waits: hold, release, retry. (Giving one up
//! makes a notice, so that is done where notices are made: claim, change, conclude.)

use crate::message::{DeliveryId, Event, EventKind, Hold, Id, Timestamp};
use crate::spool::{CommitError, Operation, SpoolError, event_index};

use super::{Queue, Ready, accept};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lever {
    /// Not attempted until released.
    Hold {
        /// Who.
        who: String,
        /// Why.
        why: String,
        /// It ends by itself.
        until: Option<Timestamp>,
        /// The standing hold that it is part of.
        standing: Option<Id>,
    },
    /// No longer held; attempted now.
    Release,
    /// No longer held by this standing hold; attempted now.
    EndStanding(Id),
    /// Attempted now.
    Retry,
    /// Attempted now, from another pool; what is held is moved and stays held.
    Move {
        /// To which.
        pool: String,
        /// `ana: the pool is tired`
        why: String,
    },
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeverError {
    /// It is being delivered at this moment.
    #[error("it is being delivered at this moment: look again in a minute")]
    InFlight,
    /// It has ended.
    #[error("it is not in the queue any more")]
    Gone,
    /// Nothing to release.
    #[error("it is not held")]
    NotHeld,
    /// It would be held again at once.
    #[error("the standing hold {0} keeps it: end that (`tambo queue release --standing {0}`)")]
    Standing(Id),
    /// It goes from there already.
    #[error("it goes from this pool already")]
    InPool,
    /// It was held before.
    #[error("it is held already")]
    AlreadyHeld,
    /// It would have more deliveries than can be counted.
    #[error("the message has been divided too often")]
    TooManyDeliveries,
    /// The spool said no.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The spool said no.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Queue {
    /// Takes a delivery out of everybody's hands. It must be concluded or given back.
    pub async fn take(&self, id: DeliveryId) -> Result<Ready, LeverError> {
        let claimed = self.index().claim(id);
        if !claimed {
            let known = self.read_delivery(id)?.ok_or(LeverError::Gone)?;
            let recalled = self.outlet().and_then(|outlet| outlet.recall(&known.delivery));
            return recalled.ok_or(LeverError::InFlight);
        }
        // What was concluded a moment ago must be seen as such.
        if let Err(error) = self.committer.write(Vec::new()).await {
            self.index().misplaced(id);
            return Err(error.into());
        }
        self.read_claimed(id)?.ok_or(LeverError::Gone)
    }

    /// Holds, releases or retries one delivery; durable when it returns.
    pub async fn pull(&self, id: DeliveryId, lever: &Lever) -> Result<(), LeverError> {
        let mut ready = self.take(id).await?;
        let kind = match (lever, &ready.delivery.hold) {
            (Lever::Hold { who, why, until, standing }, None) => {
                let (since, who, why) = (self.now(), who.clone(), why.clone());
                let (until, standing) = (*until, *standing);
                ready.delivery.hold = Some(Hold { since, who, why, until, standing });
                Some(EventKind::Held)
            }
            (Lever::Hold { .. }, Some(_)) => return self.refuse(&ready, LeverError::AlreadyHeld),
            (Lever::Release | Lever::EndStanding(_), None) => {
                return self.refuse(&ready, LeverError::NotHeld);
            }
            (Lever::Retry, Some(_)) => return self.refuse(&ready, LeverError::AlreadyHeld),
            (Lever::Release, Some(hold)) => {
                if let Some(id) = hold.standing.filter(|id| self.stands(*id)) {
                    return self.refuse(&ready, LeverError::Standing(id));
                }
                ready.delivery.hold = None;
                Some(EventKind::Released)
            }
            (Lever::EndStanding(id), Some(hold)) => {
                if hold.standing != Some(*id) {
                    return self.refuse(&ready, LeverError::NotHeld);
                }
                ready.delivery.hold = None;
                Some(EventKind::Released)
            }
            (Lever::Retry, None) => None,
            (Lever::Move { pool, .. }, _) => {
                if ready.pool() == Some(pool) {
                    return self.refuse(&ready, LeverError::InPool);
                }
                ready.delivery.pool = Some(pool.clone());
                Some(EventKind::Rerouted)
            }
        };
        if ready.delivery.hold.is_none() {
            ready.delivery.due = self.now();
        }
        let moved = match lever {
            Lever::Move { pool, why } => Some(format!("moved to pool {pool} by {why}")),
            _ => None,
        };
        if kind == Some(EventKind::Held) {
            self.held.more();
        }
        let operations = self.rewrite(&ready, kind, moved);
        let committed = self.committer.commit(operations).await;
        let again = ready.delivery.listed();
        self.leaves(&ready, again);
        self.wake.notify_one();
        Ok(committed?)
    }

    /// Writes a delivery as it is now, with what is told of it: `detail`, or else who holds it.
    pub(super) fn rewrite(
        &self,
        ready: &Ready,
        kind: Option<EventKind>,
        detail: Option<String>,
    ) -> Vec<Operation> {
        let delivery = &ready.delivery;
        let mut operations: Vec<Operation> = super::unlist(ready).into_iter().collect();
        operations.extend(accept::put_delivery(delivery));
        let detail = detail.or_else(|| delivery.hold.as_ref().map(held));
        operations
            .extend(kind.into_iter().flat_map(|kind| self.told(ready, kind, detail.as_deref())));
        operations
    }

    /// An event for each recipient that waits.
    fn told(&self, ready: &Ready, kind: EventKind, detail: Option<&str>) -> Vec<Operation> {
        let mut operations = Vec::new();
        for recipient in ready.recipients() {
            let mut event = Event::of_message(self.next_id(), kind, &ready.message);
            event.recipient = Some(recipient.address.to_string());
            event.detail = detail.map(ToOwned::to_owned);
            event.pool = ready.pool().map(ToOwned::to_owned);
            operations.extend(event_index::operations(&event));
        }
        operations
    }

    /// A delivery was read whose hold ends by itself, and its time is over: it stands in the due index where the
    /// hold ends, and goes on from there.
    pub(super) fn end_hold(&self, ready: &mut Ready) {
        let Some(hold) = ready.delivery.hold.take() else { return };
        ready.delivery.due = hold.until.unwrap_or(ready.delivery.due);
        let detail = format!("the time of the hold is over ({})", hold.words());
        let mut operations = vec![accept::put_record(&ready.delivery)];
        operations.extend(self.told(ready, EventKind::Released, Some(&detail)));
        if let Err(error) = self.committer.ride(operations) {
            tracing::warn!(message = %ready.message.id, %error, "the end of a hold could not be written");
        }
    }

    fn refuse(&self, ready: &Ready, error: LeverError) -> Result<(), LeverError> {
        self.give_back(ready);
        Err(error)
    }
}

/// `ana: the list is wrong (until 2026-11-24T13:05:00.000Z)`
fn held(hold: &Hold) -> String {
    match hold.until.map(Timestamp::to_rfc3339) {
        None => hold.words(),
        Some(until) => format!("{} (until {until})", hold.words()),
    }
}
