//! Bodies in memory, bounded: those that arrive, and those kept for their first attempt.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::{Id, Message};
use crate::metrics::{self, Topic};
use crate::spool::{Family, Operation, SpoolError, off_thread};

use super::{Queue, Refusal, keys};

/// Permits count pieces of this many octets: a semaphore holds fewer permits than memory octets.
const UNIT_OCTETS: u64 = 1024;
/// A client may wait this long for room before it is told to come back.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);

static HELD: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Octets of bodies in memory for delivery";
    metrics::gauge(Topic::Queue, "tambo_body_cache_bytes", help)
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&HELD]);
}

/// The two bounds.
#[derive(Debug)]
pub(super) struct Bodies {
    arriving: Arc<Semaphore>,
    arriving_units: u32,
    /// Kept for a first attempt, which may be long in coming …
    held: Arc<Semaphore>,
    /// … and read back for an attempt that is being made: those never wait for the others.
    read: Arc<Semaphore>,
    /// Of each.
    held_units: u32,
}

/// Room for octets that arrive; given back when dropped.
#[derive(Debug)]
pub struct BodyPermit {
    _permit: OwnedSemaphorePermit,
}

/// A body in memory.
#[derive(Debug)]
pub struct HeldBody {
    /// The octets.
    pub pieces: Vec<Bytes>,
    octets: i64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        HELD.sub(self.octets);
    }
}

impl Bodies {
    pub(super) fn new(arriving_octets: u64, held_octets: u64) -> Self {
        let (arriving_units, held_units) = (units(arriving_octets), units(held_octets / 2));
        Self {
            arriving: Arc::new(Semaphore::new(arriving_units as usize)),
            arriving_units,
            held: Arc::new(Semaphore::new(held_units as usize)),
            read: Arc::new(Semaphore::new(held_units as usize)),
            held_units,
        }
    }

    /// Keeps a body when there is room.
    pub(super) fn hold(&self, pieces: Vec<Bytes>) -> Option<Arc<HeldBody>> {
        let octets = octets(&pieces);
        let wanted = units(octets).min(self.held_units);
        if let Ok(permit) = Arc::clone(&self.held).try_acquire_many_owned(wanted) {
            Some(Arc::new(HeldBody::new(pieces, octets, permit)))
        } else {
            metrics::limit_hit("body_cache_max");
            None
        }
    }
}

impl HeldBody {
    fn new(pieces: Vec<Bytes>, octets: u64, permit: OwnedSemaphorePermit) -> Self {
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        HELD.add(octets);
        Self { pieces, octets, _permit: permit }
    }
}

impl Queue {
    /// KiB of bodies that arrive, wait for their first attempt or were read back, as far as they are
    /// bounded.
    pub fn bodies_in_memory(&self) -> usize {
        let Bodies { arriving, arriving_units, held, read, held_units } = &self.bodies;
        let free =
            arriving.available_permits() + held.available_permits() + read.available_permits();
        (*arriving_units as usize + 2 * *held_units as usize).saturating_sub(free)
    }

    /// Room for octets of a body that arrives: waits (so that reading pauses), then refuses.
    pub async fn reserve(&self, octets: u64) -> Result<BodyPermit, Refusal> {
        let wanted = units(octets).min(self.bodies.arriving_units);
        let room = Arc::clone(&self.bodies.arriving).acquire_many_owned(wanted);
        if let Ok(Ok(permit)) = tokio::time::timeout(ROOM_TIMEOUT, room).await {
            Ok(BodyPermit { _permit: permit })
        } else {
            metrics::limit_hit("bodies_in_flight_max");
            Err(Refusal::BodiesInFlight)
        }
    }

    /// Writes a piece of a large body as it arrives, without waiting for the disk. It exists once
    /// the message is accepted; before, a crash removes it.
    pub async fn write_chunk(&self, id: Id, number: u32, chunk: Bytes) -> Result<(), Refusal> {
        self.is_accepting()?;
        let operation = Operation::Put(Family::Bodies, keys::body(id, number), chunk);
        self.committer.write(vec![operation]).await.map_err(|_| Refusal::Unavailable)
    }

    /// Removes the pieces of a body that will not be accepted.
    pub fn discard(&self, id: Id, chunks: u32) {
        let operations = (0..chunks)
            .map(|number| Operation::SingleDelete(Family::Bodies, keys::body(id, number)))
            .collect();
        if let Err(error) = self.committer.ride(operations) {
            tracing::warn!(%id, %error, "pieces of an unfinished message stay until the next start");
        }
    }

    /// The body of a message, from memory or from disk; waits for room in memory.
    pub async fn body(
        &self,
        message: &Message,
        held: Option<Arc<HeldBody>>,
    ) -> Result<Arc<HeldBody>, SpoolError> {
        if let Some(held) = held {
            return Ok(held);
        }
        let wanted = units(message.body_size).min(self.bodies.held_units);
        let permit = Arc::clone(&self.bodies.read)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| SpoolError::Io("the relay is stopping".to_owned()))?;
        let (spool, id, chunks) = (Arc::clone(&self.spool), message.body_id(), message.body_chunks);
        let read = move || {
            let mut pieces = Vec::new();
            for number in 0..chunks {
                let piece = spool.get(Family::Bodies, &keys::body(id, number))?;
                pieces.push(piece.ok_or_else(|| {
                    SpoolError::Damaged(format!("piece {number} of the body of {id} is missing"))
                })?);
            }
            Ok(pieces)
        };
        let pieces: Vec<Bytes> = off_thread(&*self.spool, read).await??;
        if octets(&pieces) != message.body_size {
            return Err(SpoolError::Damaged(format!("the body of {id} is not whole")));
        }
        Ok(Arc::new(HeldBody::new(pieces, message.body_size, permit)))
    }
}

fn octets(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

fn units(octets: u64) -> u32 {
    u32::try_from(octets.div_ceil(UNIT_OCTETS)).unwrap_or(u32::MAX)
}
