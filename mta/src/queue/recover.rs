//! What a crash leaves behind: the highest id that was given out, and pieces of bodies whose
//! message was never accepted.

use std::collections::HashSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::message::Id;
use crate::spool::{Family, Operation, Spool, SpoolError};

use super::{Queue, keys, shared};

/// Below this id no piece without a message is left (in the state of the spool).
const SWEPT: &[u8] = b"recover/swept";
/// Removals handed to the committer at a time.
const BATCH: usize = 500;

/// The highest id that the spool has seen: new ones must be higher.
pub(super) fn highest_id(spool: &dyn Spool) -> Result<Option<Id>, SpoolError> {
    let mut highest = None;
    for family in [Family::Messages, Family::Bodies, Family::Events] {
        spool.scan_back(family, &[], &[u8::MAX; 16], &mut |key, _| {
            let id = key.get(..8).and_then(|id| id.try_into().ok()).map(Id::from_bytes);
            highest = highest.max(id);
            ControlFlow::Break(())
        })?;
    }
    Ok(highest)
}

impl Queue {
    /// Removes pieces of bodies without a message that stand at or below `highest`, the highest
    /// id at start (what is above may be arriving now). Blocks. Returns how many.
    pub fn sweep_orphans(&self, highest: Id) -> Result<usize, SpoolError> {
        let spool = self.spool();
        self.look_for_ended_templates()?;
        let templates: HashSet<Id> = shared::templates(&*spool)?.into_iter().collect();
        let swept = spool.get(Family::State, SWEPT)?;
        let swept =
            swept.and_then(|id| id.as_ref().try_into().ok()).map_or(Id::ZERO, Id::from_bytes);
        let until = highest.successor();
        let mut removed = 0;
        let mut from = keys::body(swept, 0);
        loop {
            let mut found = None;
            spool.scan(Family::Bodies, &from, &until.to_bytes(), &mut |key, _| {
                found = keys::message_of(key);
                ControlFlow::Break(())
            })?;
            let Some(id) = found else { break };
            if !templates.contains(&id)
                && spool.get(Family::Messages, &keys::message(id))?.is_none()
            {
                removed += self.remove_pieces(id)?;
            }
            from = keys::body(id.successor(), 0);
        }
        let mark = Bytes::copy_from_slice(&highest.to_bytes());
        let done = Operation::Put(Family::State, SWEPT.to_vec(), mark);
        self.ride(vec![done])?;
        Ok(removed)
    }

    fn remove_pieces(&self, id: Id) -> Result<usize, SpoolError> {
        let mut pieces = Vec::new();
        let (from, until) = (keys::body(id, 0), keys::body(id.successor(), 0));
        self.spool().scan(Family::Bodies, &from, &until, &mut |key, _| {
            pieces.push(Operation::SingleDelete(Family::Bodies, key.to_vec()));
            ControlFlow::Continue(())
        })?;
        let count = pieces.len();
        while !pieces.is_empty() {
            let rest = pieces.split_off(pieces.len().min(BATCH));
            self.ride(pieces)?;
            pieces = rest;
        }
        Ok(count)
    }

    fn ride(&self, operations: Vec<Operation>) -> Result<(), SpoolError> {
        self.write_state(operations).map_err(|error| SpoolError::Io(error.to_string()))
    }
}
