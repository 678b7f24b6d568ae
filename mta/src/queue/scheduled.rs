//! What is to be sent later: it is too old so much time after that, not after its acceptance, which is what ids
//! tell. So an index of its own, in the state of the spool, says when the time of such messages begins; one entry
//! for all that were accepted together.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::message::{Id, Timestamp};
use crate::spool::{Family, Operation, Spool, SpoolError};

use super::keys;

/// Key: this, the time (8 octets), the first id (8). Value: the last id.
const PREFIX: &[u8] = b"queue/scheduled/";

/// Writes that these messages begin at that time.
pub(super) fn put(send_at: Timestamp, first: Id, last: Id) -> Operation {
    let key = [PREFIX, &send_at.as_millis().to_be_bytes(), &first.to_bytes()].concat();
    Operation::Put(Family::State, key, Bytes::copy_from_slice(&last.to_bytes()))
}

/// What is there of messages that began before a time.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// Messages that have not ended, so many at most as were asked for.
    pub(super) ids: Vec<Id>,
    /// Removes entries of which nothing is left.
    pub(super) done: Vec<Operation>,
}

/// Messages that began before this time, oldest first. Blocks.
pub(super) fn begun(
    spool: &dyn Spool,
    before: Timestamp,
    limit: usize,
) -> Result<Begun, SpoolError> {
    let until = [PREFIX, &before.as_millis().to_be_bytes()].concat();
    let mut entries = Vec::new();
    spool.scan(Family::State, PREFIX, &until, &mut |key, last| {
        let first = key.get(PREFIX.len() + 8..).and_then(|id| id.try_into().ok());
        let last = <[u8; 8]>::try_from(last).ok();
        entries.push((key.to_vec(), first.map(Id::from_bytes), last.map(Id::from_bytes)));
        if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut begun = Begun::default();
    for (key, first, last) in entries {
        let (before, room) = (begun.ids.len(), limit.saturating_sub(begun.ids.len()));
        if let (Some(first), Some(last)) = (first, last) {
            begun.ids.extend(messages(spool, first, last, room)?);
        }
        if room == 0 {
            break;
        }
        if begun.ids.len() == before {
            begun.done.push(Operation::Delete(Family::State, key));
        }
    }
    Ok(begun)
}

/// Messages from one id to another that are there, so many at most. Blocks.
pub(super) fn messages(
    spool: &dyn Spool,
    first: Id,
    last: Id,
    limit: usize,
) -> Result<Vec<Id>, SpoolError> {
    let mut ids = Vec::new();
    if limit == 0 {
        return Ok(ids);
    }
    let (from, until) = (first.to_bytes(), last.successor().to_bytes());
    spool.scan(Family::Messages, &from, &until, &mut |key, _| {
        ids.extend(keys::message_of(key));
        if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(ids)
}
