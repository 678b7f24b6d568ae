//! What is late, so that its sender can be told once: a message passes the age of `late_after` when
//! the scan in id order meets it, and the place that the scan has got to is stored with the notices.
//!
//! Whatever its state: held, between attempts, or waiting for a site that never gets its turn.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::message::{Delivery, Id, Message, Submission};
use crate::spool::{CommitError, Family, Operation, Spool, SpoolError, off_thread, record};

use super::{Body, Queue, expiry, keys};

/// Messages that one scan looks at.
const SCAN_MAX: usize = 500;
/// How far the scan has got, in the state of the spool: the first id that it has not seen.
const CURSOR: &[u8] = b"queue/late";

/// What a scan found.
#[derive(Debug)]
pub struct Late {
    /// Messages that have become late, with the deliveries that they still have.
    pub messages: Vec<(Message, Vec<Delivery>)>,
    /// Goes back into [`Queue::tell_late`].
    pub seen: Id,
    /// There is more.
    pub more: bool,
}

impl Queue {
    /// The relay has started. Who has never looked does not tell of what was there before.
    pub fn begin_to_look_for_late(&self) -> Result<(), CommitError> {
        let Some(late_after) = self.options().late_after else { return Ok(()) };
        match self.spool.get(Family::State, CURSOR) {
            Ok(None) => self.tell_late(Vec::new(), Id::first_at(self.now().before(late_after))),
            Ok(Some(_)) => Ok(()),
            Err(error) => Err(CommitError::Spool(error)),
        }
    }

    /// What has become late since the last look. `None`: nobody is told, or nothing is new. The first
    /// look of all finds nothing, and remembers where the next begins.
    pub async fn take_late(&self) -> Result<Option<Late>, SpoolError> {
        let Some(late_after) = self.options().late_after else { return Ok(None) };
        // What was told or concluded a moment ago is seen as such: the writes ride.
        let written = self.committer.write(Vec::new()).await;
        written.map_err(|error| SpoolError::Io(error.to_string()))?;
        let limit = Id::first_at(self.now().before(late_after));
        let spool = self.spool();
        off_thread(&*self.spool, move || look(&*spool, limit)).await?
    }

    /// Sends the notices and remembers that they were sent, in one batch.
    pub fn tell_late(&self, notices: Vec<Submission>, seen: Id) -> Result<(), CommitError> {
        let cursor = Bytes::copy_from_slice(&seen.to_bytes());
        let mut operations = vec![Operation::Put(Family::State, CURSOR.to_vec(), cursor)];
        let along: Vec<_> =
            notices.into_iter().map(|notice| self.along(notice, &mut operations)).collect();
        self.committer.ride(operations)?;
        for (claim, accepted) in along {
            claim.offer(accepted, Body::OnItsWay);
        }
        Ok(())
    }
}

fn look(spool: &dyn Spool, limit: Id) -> Result<Option<Late>, SpoolError> {
    let cursor = spool.get(Family::State, CURSOR)?;
    let cursor = cursor.and_then(|bytes| bytes.as_ref().try_into().ok()).map(Id::from_bytes);
    // Who has never looked does not tell of what was there before.
    let Some(from) = cursor else {
        return Ok(Some(Late { messages: Vec::new(), seen: limit, more: false }));
    };
    if from >= limit {
        return Ok(None);
    }
    let mut ids = Vec::new();
    spool.scan(Family::Messages, &from.to_bytes(), &limit.to_bytes(), &mut |key, _| {
        ids.extend(keys::message_of(key));
        if ids.len() < SCAN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let more = ids.len() >= SCAN_MAX;
    let seen = if more { ids.last().map_or(limit, |last| last.successor()) } else { limit };
    let mut messages = Vec::new();
    for id in ids {
        match read(spool, id) {
            // What was to be sent later is late so much later, and only its failure is told.
            Ok(found) => {
                messages.extend(found.filter(|(message, _)| message.send_at.is_none()));
            }
            // Set aside, and told of, where it is to be delivered.
            Err(SpoolError::Damaged(why)) => tracing::warn!(%id, why, "late, and cannot be read"),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Late { messages, seen, more }))
}

fn read(spool: &dyn Spool, id: Id) -> Result<Option<(Message, Vec<Delivery>)>, SpoolError> {
    let mut deliveries = Vec::new();
    for delivery in expiry::deliveries_of(spool, id)? {
        if let Some(bytes) = spool.get(Family::Deliveries, &keys::delivery(delivery))? {
            deliveries.push(record::decode(&bytes)?);
        }
    }
    if deliveries.is_empty() {
        return Ok(None);
    }
    let Some(bytes) = spool.get(Family::Messages, &keys::message(id))? else { return Ok(None) };
    Ok(Some((record::decode(&bytes)?, deliveries)))
}
