//! What is too old, and what nothing waits for any more.
//!
//! Ids are accept times, so the oldest messages stand first and a scan from the front meets
//! them before anything young, whatever their state: held, between attempts, or waiting for
//! a site that never gets its turn. What was to be sent later is found by an index of its own
//! (`scheduled.rs`).

use std::ops::ControlFlow;
use std::sync::PoisonError;

use crate::message::{DeliveryId, Id, Message, Timestamp};
use crate::spool::{Family, Operation, Spool, SpoolError, off_thread, record};

use super::load::DAMAGED;
use super::{Queue, Ready, accept, keys, scheduled};

/// Messages that one scan looks at, so that a day's backlog that expires at once is taken in steps.
const SCAN_MAX: usize = 500;

/// What a scan found.
#[derive(Debug, Default)]
pub struct Aged {
    /// Too old: each must be concluded.
    pub deliveries: Vec<Ready>,
    /// Where the next scan starts; `None`: that was all.
    pub next: Option<Id>,
    /// The first message that is being delivered at this moment, or that the disk did not give, and
    /// is looked at again later.
    pub in_flight: Option<Id>,
    found: Vec<DeliveryId>,
    ended: Vec<Id>,
    done: Vec<Operation>,
}

impl Aged {
    fn look_again_at(&mut self, id: DeliveryId) {
        self.in_flight = self.in_flight.or(Some(id.message));
    }
}

impl Queue {
    /// Takes what is older than `expire_after`, from `from` on, out of everybody's hands: what
    /// waits on disk, is held, or waits in memory for a connection. What is being delivered at
    /// this moment is left alone.
    pub async fn take_aged(&self, from: Id) -> Result<Aged, SpoolError> {
        let limit = self.now().before(self.options().expire_after);
        let spool = self.spool();
        let mut aged = off_thread(&*self.spool, move || look(&*spool, from, limit)).await??;
        let mut claimed = Vec::new();
        for id in std::mem::take(&mut aged.found) {
            if self.index().claim(id) {
                claimed.push(id);
            } else if let Some(ready) = self.recall(id) {
                aged.deliveries.push(ready);
            } else {
                aged.look_again_at(id);
            }
        }
        // What was concluded before it was claimed is seen as such after this.
        let barrier = self.committer.write(Vec::new()).await;
        for id in claimed {
            if barrier.is_err() {
                self.index().misplaced(id);
                aged.look_again_at(id);
                continue;
            }
            match self.read_claimed(id) {
                Ok(ready) => aged.deliveries.extend(ready),
                Err(SpoolError::Damaged(_)) => {}
                Err(_) => aged.look_again_at(id),
            }
        }
        if !aged.done.is_empty()
            && let Err(error) = self.committer.ride(std::mem::take(&mut aged.done))
        {
            tracing::warn!(%error, "what is over stays listed among what is to be sent later");
        }
        for id in std::mem::take(&mut aged.ended) {
            if self.remove_if_ended(id).is_err() {
                aged.in_flight = aged.in_flight.or(Some(id));
            }
        }
        Ok(aged)
    }

    /// Takes back what waits for a connection. The record on disk may be behind; it is read for its
    /// lane only.
    fn recall(&self, id: DeliveryId) -> Option<Ready> {
        match self.read_delivery(id) {
            Ok(known) => self.outlet()?.recall(&known?.delivery),
            Err(error) => {
                tracing::error!(message = %id.message, %error, "too old, and cannot be read");
                None
            }
        }
    }

    /// Removes messages of several deliveries whose last one has ended. Blocks.
    pub async fn sweep_ended(&self) {
        let mut ended =
            std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner).len();
        if ended.is_empty() && templates == 0 {
            return;
        }
        ended.sort_unstable();
        ended.dedup();
        // What was concluded before can be read after this.
        if self.committer.write(Vec::new()).await.is_err() {
            return;
        }
        self.sweep_templates();
        for id in ended {
            if self.remove_if_ended(id).is_err() {
                self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            }
        }
    }

    /// The deliveries that a message still has.
    pub(super) fn deliveries_of(&self, id: Id) -> Result<Vec<DeliveryId>, SpoolError> {
        deliveries_of(&*self.spool, id)
    }

    /// An error: it must be looked at again. A record that is damaged stays where it is.
    fn remove_if_ended(&self, id: Id) -> Result<(), SpoolError> {
        match self.try_remove_if_ended(id) {
            Err(SpoolError::Damaged(why)) => {
                DAMAGED.inc();
                tracing::error!(%id, why, "a message that ended cannot be read; set aside");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%id, %error, "a message that ended is removed later");
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn try_remove_if_ended(&self, id: Id) -> Result<(), SpoolError> {
        if !self.deliveries_of(id)?.is_empty() {
            return Ok(());
        }
        let Some(bytes) = self.spool.get(Family::Messages, &keys::message(id))? else {
            return Ok(());
        };
        let message: Message = record::decode(&bytes)?;
        if let Some(template) = message.template {
            self.template_may_have_ended(template);
        }
        if let Err(error) = self.committer.ride(accept::remove_message(&message)) {
            tracing::warn!(%id, %error, "a message that ended stays until the next start");
        }
        Ok(())
    }
}

/// Deliveries of messages from `from` on that began before `limit`, and messages without any.
fn look(spool: &dyn Spool, from: Id, limit: Timestamp) -> Result<Aged, SpoolError> {
    let (mut old, mut last, mut seen) = (Vec::new(), None, 0);
    let until = Id::first_at(limit).to_bytes();
    spool.scan(Family::Messages, &from.to_bytes(), &until, &mut |key, value| {
        last = keys::message_of(key);
        seen += 1;
        // What was to be sent later is too old so much later.
        if !record::decode::<Message>(value).is_ok_and(|message| message.send_at.is_some()) {
            old.extend(last);
        }
        if seen < SCAN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut aged = Aged::default();
    if seen >= SCAN_MAX {
        aged.next = last.map(Id::successor);
    } else {
        let begun = scheduled::begun(spool, limit, SCAN_MAX)?;
        old.extend(begun.ids);
        aged.done = begun.done;
    }
    for id in old {
        let deliveries = deliveries_of(spool, id)?;
        if deliveries.is_empty() {
            aged.ended.push(id);
        }
        aged.found.extend(deliveries);
    }
    Ok(aged)
}

pub(super) fn deliveries_of(spool: &dyn Spool, id: Id) -> Result<Vec<DeliveryId>, SpoolError> {
    let (from, until) = keys::of_message(id);
    let mut found = Vec::new();
    spool.scan(Family::Deliveries, &from, &until, &mut |key, _| {
        if let Some(number) = key.get(8..10).and_then(|bytes| bytes.try_into().ok()) {
            found.push(DeliveryId { message: id, number: u16::from_be_bytes(number) });
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
