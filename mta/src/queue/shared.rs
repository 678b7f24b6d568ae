//! Bodies that several messages share: a template is stored once, under an id of its own that stands before
//! those of its messages, and goes when the last of them has ended.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use bytes::Bytes;

use crate::message::Id;
use crate::spool::{Family, Operation, Spool, SpoolError};

use super::{Queue, keys, scheduled};

/// Key: this and the id. Value: the last id of its messages, and the number of its pieces (4 octets).
const PREFIX: &[u8] = b"queue/template/";

/// A body that is stored once for messages whose ids follow its own.
#[derive(Debug, Clone)]
pub struct SharedBody {
    /// Under which it is stored.
    pub id: Id,
    /// The last of its messages.
    pub last: Id,
    /// Its octets.
    pub octets: Bytes,
}

impl SharedBody {
    /// Pieces in which it is stored.
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.octets.len().div_ceil(super::CHUNK_OCTETS)).unwrap_or(u32::MAX)
    }

    /// What stores it.
    pub(super) fn operations(&self) -> Vec<Operation> {
        let pieces = (0..self.octets.len()).step_by(super::CHUNK_OCTETS).map(|start| {
            self.octets.slice(start..self.octets.len().min(start + super::CHUNK_OCTETS))
        });
        let mut operations: Vec<Operation> = (0..)
            .zip(pieces)
            .map(|(number, piece)| {
                Operation::Put(Family::Bodies, keys::body(self.id, number), piece)
            })
            .collect();
        let value = [&self.last.to_bytes()[..], &self.chunks().to_be_bytes()].concat();
        operations.push(Operation::Put(Family::State, key(self.id), value.into()));
        operations
    }
}

impl Queue {
    /// A message of a template has ended.
    pub(super) fn template_may_have_ended(&self, template: Id) {
        self.templates.lock().unwrap_or_else(PoisonError::into_inner).insert(template);
    }

    /// Removes templates whose last message has ended; what was concluded before can be read.
    pub(super) fn sweep_templates(&self) {
        let looked_at =
            std::mem::take(&mut *self.templates.lock().unwrap_or_else(PoisonError::into_inner));
        for template in looked_at {
            if let Err(error) = self.remove_template_if_ended(template) {
                tracing::warn!(id = %template, %error, "a template that ended is removed later");
                self.template_may_have_ended(template);
            }
        }
    }

    /// Looks at all templates, as a start must: the last life may have ended in between. Blocks.
    pub(super) fn look_for_ended_templates(&self) -> Result<(), SpoolError> {
        for template in templates(&*self.spool)? {
            self.remove_template_if_ended(template)?;
        }
        Ok(())
    }

    fn remove_template_if_ended(&self, template: Id) -> Result<(), SpoolError> {
        let Some(value) = self.spool.get(Family::State, &key(template))? else { return Ok(()) };
        let parts = value.split_first_chunk::<8>();
        let parts = parts.and_then(|(last, chunks)| Some((*last, chunks.try_into().ok()?)));
        let Some((last, chunks)) = parts else {
            return Err(SpoolError::Damaged(format!("the record of the template {template}")));
        };
        let (last, chunks) = (Id::from_bytes(last), u32::from_be_bytes(chunks));
        if !scheduled::messages(&*self.spool, template.successor(), last, 1)?.is_empty() {
            return Ok(());
        }
        let mut operations: Vec<Operation> = (0..chunks)
            .map(|number| Operation::SingleDelete(Family::Bodies, keys::body(template, number)))
            .collect();
        operations.push(Operation::Delete(Family::State, key(template)));
        self.write_state(operations).map_err(|error| SpoolError::Io(error.to_string()))
    }
}

/// The ids under which templates are stored. Blocks.
pub(super) fn templates(spool: &dyn Spool) -> Result<Vec<Id>, SpoolError> {
    let mut ids = Vec::new();
    let until = keys::after_prefix(PREFIX.to_vec());
    spool.scan(Family::State, PREFIX, &until, &mut |key, _| {
        let id = key.get(PREFIX.len()..).and_then(|id| id.try_into().ok());
        ids.extend(id.map(Id::from_bytes));
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}

fn key(template: Id) -> Vec<u8> {
    [PREFIX, &template.to_bytes()].concat()
}
