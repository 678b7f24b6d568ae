//! Adds events up, by minute and by hour, so that nobody needs to count a month of them.
//!
//! A reader of events like the others, with a place of its own among them. The sums and the place are written in one
//! batch, and events up to the horizon are on disk: each is counted once, whatever crashes. What the sums are of is in
//! [`page`]; `reading` answers questions. Mail never waits for it.

mod adding;
mod page;
mod reading;
mod sums;

pub use page::{By, Grain, NONE, OTHER};
pub use reading::{Asked, RowsExceeded, Step, Tallied, tallied, tallied_together};
pub use sums::Sums;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use relay_config::Config;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::current::Current;
use crate::message::{Id, Timestamp};
use crate::queue::Queue;
use crate::spool::{Family, Operation, Spool, SpoolError, off_thread};

use super::follow::events_after;
use adding::Delta;

const CURSOR: &[u8] = b"tally/cursor";
/// Events that one look takes.
const BATCH: usize = 5_000;
/// Looks are so far apart: a page is written anew for each.
const PACE: Duration = Duration::from_secs(1);
/// How often old sums are looked for.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Wait after a spool that did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// What adds events up.
pub struct Tallies {
    queue: Arc<Queue>,
    config: Arc<Current<Config>>,
    /// One at a time moves the cursor.
    following: tokio::sync::Mutex<()>,
}

/// What one look came to.
struct Looked {
    count: usize,
    operations: Vec<Operation>,
}

impl Tallies {
    /// Of the events of this queue.
    pub fn new(queue: Arc<Queue>, config: Arc<Current<Config>>) -> Self {
        Self { queue, config, following: tokio::sync::Mutex::new(()) }
    }

    /// Adds up what can be read, whenever there is more of it, until it is dropped.
    pub async fn run(self: Arc<Self>, mut news: watch::Receiver<Id>) {
        let mut forgot: Option<Instant> = None;
        loop {
            let until = *news.borrow_and_update();
            let mut done = self.follow(until).await;
            if done.is_ok() && forgot.is_none_or(|last| last.elapsed() >= FORGET_EVERY) {
                forgot = Some(Instant::now());
                done = self.forget().await;
            }
            if let Err(error) = done {
                tracing::warn!(%error, "events cannot be added up");
                sleep(AFTER_FAILURE).await;
                news.mark_changed();
            }
            sleep(PACE).await;
            let _ = tokio::time::timeout(FORGET_EVERY, news.changed()).await;
        }
    }

    /// Adds up what has an id up to `until`.
    pub async fn follow(&self, until: Id) -> Result<(), String> {
        let _turn = self.following.lock().await;
        loop {
            let (spool, now) = (self.queue.spool(), self.queue.now());
            let pool = self.config.get().delivery.pool.to_string();
            let look = move || look(&*spool, until, now, &pool);
            let looked = off_thread(&*self.queue.spool(), look).await.flatten();
            let Looked { count, operations } = looked.map_err(|error| error.to_string())?;
            self.write(operations).await?;
            if count < BATCH {
                return Ok(());
            }
        }
    }

    async fn forget(&self) -> Result<(), String> {
        let (spool, now) = (self.queue.spool(), self.queue.now());
        let old = off_thread(&*self.queue.spool(), move || page::forget(&*spool, now)).await;
        self.write(old.flatten().map_err(|error| error.to_string())?).await
    }

    /// In one batch, readable when it returns: the next look begins there.
    async fn write(&self, operations: Vec<Operation>) -> Result<(), String> {
        if operations.is_empty() {
            return Ok(());
        }
        self.queue.write_state(operations).map_err(|error| error.to_string())?;
        self.queue.barrier().await.map_err(|error| error.to_string())
    }
}

/// Adds up the next events; says what to write. A relay that is older than this begins with the oldest event that it
/// keeps.
fn look(spool: &dyn Spool, until: Id, now: Timestamp, pool: &str) -> Result<Looked, SpoolError> {
    let cursor = spool.get(Family::State, CURSOR)?;
    let after = cursor.and_then(|octets| octets.as_ref().try_into().ok());
    let events = events_after(spool, after.map_or(Id::ZERO, Id::from_bytes), until, BATCH)?;
    let Some((last, _)) = events.last() else {
        return Ok(Looked { count: 0, operations: Vec::new() });
    };
    let mut delta = Delta::default();
    for (id, line) in &events {
        delta.add(*id, line, pool, now);
    }
    let mut operations = delta.operations(spool)?;
    let place = Bytes::copy_from_slice(&last.to_bytes());
    operations.push(Operation::Put(Family::State, CURSOR.to_vec(), place));
    Ok(Looked { count: events.len(), operations })
}

#[cfg(test)]
mod tests;
