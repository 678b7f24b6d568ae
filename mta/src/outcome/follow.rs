//! Reads events in order, from where a reader has got to.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::message::Id;
use crate::spool::{Family, Spool, SpoolError};

/// Events after `after`, up to `until`, as they are stored; at most so many. Blocks.
pub fn events_after(
    spool: &dyn Spool,
    after: Id,
    until: Id,
    count_max: usize,
) -> Result<Vec<(Id, Bytes)>, SpoolError> {
    let mut found = Vec::new();
    let (from, until) = (after.successor().to_bytes(), until.successor().to_bytes());
    spool.scan(Family::Events, &from, &until, &mut |key, value| {
        if let Ok(id) = key.try_into() {
            found.push((Id::from_bytes(id), Bytes::copy_from_slice(value)));
        }
        if found.len() < count_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}
