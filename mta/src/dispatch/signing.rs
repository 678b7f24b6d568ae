//! Signs messages (DKIM): once each, before the first attempt, on threads that may be busy.
//!
//! What was made is shared by the deliveries of a message that are in memory and written into its
//! record with the first delivery that is put back to disk (`queue/ready.rs`). After a crash, or when
//! it has been forgotten here, a message is signed again: both signatures are good.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use crate::message::{Failure, Id, Message};
use crate::queue::{Ready, Signatures};
use crate::smtp_out::unsigned;
use crate::spool::off_thread;

use super::Dispatch;

/// Messages of several deliveries whose signatures are at hand, about 1 KiB each: as many as may be
/// going out at a time (`delivery.connections` is 2000 by default).
const SHARED_MAX: usize = 2_000;

type Shared = Arc<OnceCell<Arc<Signatures>>>;

/// What has been signed of late, and who may sign.
pub(super) struct Signed {
    shared: Mutex<Recent>,
    /// One for each processor: more at a time would only hold up one another.
    turns: Semaphore,
}

#[derive(Default)]
struct Recent {
    cells: HashMap<Id, Shared>,
    /// Oldest first.
    order: VecDeque<Id>,
}

impl Default for Signed {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { shared: Mutex::default(), turns: Semaphore::new(processors) }
    }
}

impl Dispatch {
    /// DKIM-Signature fields for a delivery; made if its message has none yet. `None`: nobody here
    /// signs for its domain.
    pub(super) async fn signatures(
        &self,
        ready: &mut Ready,
        body: &[Bytes],
    ) -> Result<Option<Bytes>, Failure> {
        if let Some(known) = ready.signatures() {
            return Ok(Some(known));
        }
        if !self.is_signed(ready) {
            return Ok(None);
        }
        let message = Arc::clone(&ready.message);
        let cell = self.signed.cell(&message);
        let sign = async || {
            let (_, added) = message.split_prefix();
            let pieces = std::iter::once(added).chain(body.iter().cloned()).collect();
            let made = self.sign(&message, pieces).await?;
            Ok(Arc::new(Signatures::new(made.unwrap_or_default())))
        };
        let made = cell.get_or_try_init(sign).await?;
        ready.signatures = Some(Arc::clone(made));
        Ok(ready.signatures())
    }

    /// Whether somebody here signs for the message; one that goes without is counted once.
    pub(super) fn is_signed(&self, ready: &Ready) -> bool {
        let delivery = &ready.delivery;
        let first = delivery.id.number == 0 && delivery.attempts == 0 && ready.hosts_failed == 0;
        self.signing.get().signs(ready.message.from_domain.as_deref(), first)
    }

    /// DKIM-Signature fields over these octets, which are sent below the Received field: those of the
    /// message as it was accepted, or as it was encoded anew for one server.
    pub(super) async fn sign(
        &self,
        message: &Message,
        pieces: Vec<Bytes>,
    ) -> Result<Option<Bytes>, Failure> {
        let Some(from_domain) = message.from_domain.clone() else { return Ok(None) };
        let (signing, now) = (self.signing.get(), self.queue.now());
        let _turn = self.signed.turns.acquire().await;
        let work = move || signing.sign(&from_domain, &pieces, now).map_err(|e| e.to_string());
        let done = off_thread(&*self.queue.spool(), work).await;
        done.map_err(|error| error.to_string()).flatten().map_err(|why| {
            tracing::error!(message = %message.id, why, "a message cannot be signed; it waits");
            unsigned(why)
        })
    }
}

impl Signed {
    /// Where the signatures of a message are, or will be.
    fn cell(&self, message: &Message) -> Shared {
        if message.deliveries < 2 {
            return Shared::default();
        }
        let mut recent = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recent.cells.get(&message.id) {
            return Arc::clone(known);
        }
        if recent.order.len() >= SHARED_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.cells.remove(&oldest);
        }
        let cell = Shared::default();
        recent.order.push_back(message.id);
        recent.cells.insert(message.id, Arc::clone(&cell));
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Timestamp, examples};

    #[test]
    fn deliveries_of_a_message_share_and_old_ones_are_forgotten() {
        let signed = Signed::default();
        let message = |number: u64, deliveries| {
            let id = Id::first_at(Timestamp::from_millis(number));
            Message { id, deliveries, ..examples::message() }
        };
        let first = signed.cell(&message(1, 2));
        assert!(Arc::ptr_eq(&first, &signed.cell(&message(1, 2))));
        assert!(!Arc::ptr_eq(&first, &signed.cell(&message(2, 2))));
        for number in 3..10_000 {
            signed.cell(&message(number, 2));
        }
        assert!(!Arc::ptr_eq(&first, &signed.cell(&message(1, 2))));
        let recent = signed.shared.lock().unwrap();
        assert_eq!((recent.cells.len(), recent.order.len()), (SHARED_MAX, SHARED_MAX));
        drop(recent);
        let alone = message(20_000, 1);
        assert!(!Arc::ptr_eq(&signed.cell(&alone), &signed.cell(&alone)));
    }
}
