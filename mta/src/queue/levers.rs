//! What an operator does by hand to a delivery that waits: hold, release, retry. (Giving one up
//! makes a notice, so that is done where notices are made: claim, change, conclude.)

use crate::message::{DeliveryId, Event, EventKind, Hold};
use crate::spool::{CommitError, Operation, SpoolError, event_index};

use super::{Queue, Ready, accept};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lever {
    /// Not attempted until released.
    Hold {
        /// Who and why.
        why: String,
    },
    /// No longer held; attempted now.
    Release,
    /// Attempted now.
    Retry,
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
            (Lever::Hold { why }, None) => {
                ready.delivery.hold = Some(Hold { since: self.now(), why: why.clone() });
                Some(EventKind::Held)
            }
            (Lever::Hold { .. }, Some(_)) => return self.refuse(&ready, LeverError::AlreadyHeld),
            (Lever::Release, None) => return self.refuse(&ready, LeverError::NotHeld),
            (Lever::Retry, Some(_)) => return self.refuse(&ready, LeverError::AlreadyHeld),
            (Lever::Release, Some(_)) => {
                ready.delivery.hold = None;
                Some(EventKind::Released)
            }
            (Lever::Retry, None) => None,
        };
        if kind != Some(EventKind::Held) {
            ready.delivery.due = self.now();
        }
        let operations = self.rewrite(&ready, kind);
        let committed = self.committer.commit(operations).await;
        let again = ready.delivery.hold.is_none().then_some(ready.delivery.due);
        self.leaves(&ready, again);
        self.wake.notify_one();
        Ok(committed?)
    }

    fn rewrite(&self, ready: &Ready, kind: Option<EventKind>) -> Vec<Operation> {
        let delivery = &ready.delivery;
        let mut operations: Vec<Operation> = super::unlist(ready).into_iter().collect();
        operations.extend(accept::put_delivery(delivery));
        for recipient in kind.iter().flat_map(|_| ready.recipients()) {
            let Some(kind) = kind else { break };
            let mut event = Event::of_message(self.next_id(), kind, &ready.message);
            event.recipient = Some(recipient.address.to_string());
            event.detail = delivery.hold.as_ref().map(|hold| hold.why.clone());
            operations.extend(event_index::operations(&event));
        }
        operations
    }

    fn refuse(&self, ready: &Ready, error: LeverError) -> Result<(), LeverError> {
        self.give_back(ready);
        Err(error)
    }
}
