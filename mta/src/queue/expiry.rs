//! What is too old, and what nothing waits for any more.
//!
//! Ids are accept times, so the oldest messages stand first and a scan from the front meets
//! them before anything young, whatever their state: held, between attempts, or waiting for
//! a site that never gets its turn.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use crate::message::{DeliveryId, Id, Message};
use crate::spool::{Family, SpoolError, record};

use super::{Queue, Ready, accept, keys};

/// Messages that one scan looks at, so that a day's backlog that expires at once is taken in steps.
const SCAN_MAX: usize = 500;

/// What a scan found.
#[derive(Debug, Default)]
pub struct Aged {
    /// Too old; claimed: each must be concluded.
    pub deliveries: Vec<Ready>,
    /// There is more.
    pub more: bool,
}

impl Queue {
    /// Takes what is older than `expire_after` and not being attempted now, from `cursor` on, which is
    /// moved to where the next scan starts. Blocks.
    pub fn take_aged(&self, cursor: &mut Id) -> Result<Aged, SpoolError> {
        let limit = Id::first_at(self.now().before(self.options().expire_after)).to_bytes();
        let mut old = Vec::new();
        self.spool.scan(Family::Messages, &cursor.to_bytes(), &limit, &mut |key, _| {
            old.extend(keys::message_of(key));
            if old.len() < SCAN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut aged = Aged { more: old.len() >= SCAN_MAX, ..Aged::default() };
        let mut next_cursor = None;
        for id in &old {
            let ids = self.deliveries_of(*id)?;
            if ids.is_empty() {
                self.remove_if_ended(*id)?;
            }
            for delivery in ids {
                match self.claim(delivery)? {
                    Some(ready) => aged.deliveries.push(ready),
                    None => next_cursor = next_cursor.or(Some(*id)),
                }
            }
        }
        if let Some(next) = next_cursor.or_else(|| old.last().map(|last| last.successor())) {
            *cursor = next;
        }
        Ok(aged)
    }

    /// Removes messages of several deliveries whose last one has ended. Blocks.
    pub async fn sweep_ended(&self) -> Result<(), SpoolError> {
        let mut ended =
            std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        if ended.is_empty() {
            return Ok(());
        }
        ended.sort_unstable();
        ended.dedup();
        // What was concluded before can be read after this.
        if self.committer.write(Vec::new()).await.is_err() {
            return Ok(());
        }
        for id in ended {
            self.remove_if_ended(id)?;
        }
        Ok(())
    }

    /// Claims a delivery that is not in memory; `None` when it is, or is gone.
    pub(super) fn claim(&self, id: DeliveryId) -> Result<Option<Ready>, SpoolError> {
        if !self.index().claim(id) {
            return Ok(None);
        }
        match self.read_delivery(id) {
            Ok(Some(mut ready)) => {
                ready.claimed = true;
                Ok(Some(ready))
            }
            other => {
                self.index().release_claim(id);
                other
            }
        }
    }

    /// The deliveries that a message still has.
    pub(super) fn deliveries_of(&self, id: Id) -> Result<Vec<DeliveryId>, SpoolError> {
        let (from, until) = keys::of_message(id);
        let mut found = Vec::new();
        self.spool.scan(Family::Deliveries, &from, &until, &mut |key, _| {
            if let Some(number) = key.get(8..10).and_then(|bytes| bytes.try_into().ok()) {
                found.push(DeliveryId { message: id, number: u16::from_be_bytes(number) });
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn remove_if_ended(&self, id: Id) -> Result<(), SpoolError> {
        if !self.deliveries_of(id)?.is_empty() {
            return Ok(());
        }
        let Some(bytes) = self.spool.get(Family::Messages, &keys::message(id))? else {
            return Ok(());
        };
        let message: Message = record::decode(&bytes)?;
        if let Err(error) = self.committer.ride(accept::remove_message(id, message.body_chunks)) {
            tracing::warn!(%id, %error, "a message that ended stays until the next start");
        }
        Ok(())
    }
}
