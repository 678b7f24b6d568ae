//! Writes events to the event files, from where it left off.
//!
//! The spool holds the events; the files follow about a second behind. Where they have got to is written into the
//! spool after the lines are on disk: after a crash some lines may be written again, each has its id.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::message::Id;
use crate::queue::Queue;
use crate::spool::{Family, Operation};

use super::files::EventFiles;
use super::follow::events_after;

/// Where the files have got to, in the state of the spool.
const CURSOR: &[u8] = b"sink/jsonl";
/// How often old files are looked for.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Events that one look takes.
const BATCH: usize = 5_000;
/// Wait after a disk that did not take them.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// What writes the event files.
pub struct JsonlSink {
    queue: Arc<Queue>,
    files: Mutex<EventFiles>,
    keep: Duration,
    /// One at a time moves the cursor.
    following: tokio::sync::Mutex<()>,
}

impl JsonlSink {
    /// Into these files; events older than `keep` are forgotten.
    pub fn new(queue: Arc<Queue>, files: EventFiles, keep: Duration) -> Self {
        Self { queue, files: Mutex::new(files), keep, following: tokio::sync::Mutex::new(()) }
    }

    /// Writes what can be read, whenever there is more of it, until it is dropped.
    pub async fn run(self: Arc<Self>, mut news: watch::Receiver<Id>) {
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|last| last.elapsed() >= FORGET_EVERY) {
                looked = Some(Instant::now());
                self.keep_house().await;
            }
            let until = *news.borrow_and_update();
            if let Err(error) = self.follow(until).await {
                tracing::warn!(%error, "events cannot be written to their file");
                tokio::time::sleep(AFTER_FAILURE).await;
                news.mark_changed();
            }
            // Files are looked at in between, also while nothing happens.
            let _ = tokio::time::timeout(FORGET_EVERY, news.changed()).await;
        }
    }

    /// Writes what has an id up to `until`.
    pub async fn follow(self: &Arc<Self>, until: Id) -> Result<(), String> {
        let _turn = self.following.lock().await;
        loop {
            let me = Arc::clone(self);
            let written = tokio::task::spawn_blocking(move || me.write(until)).await;
            let (count, last, ended) = written.map_err(|error| error.to_string())??;
            if let Some(last) = last {
                let cursor = Bytes::copy_from_slice(&last.to_bytes());
                let operation = Operation::Put(Family::State, CURSOR.to_vec(), cursor);
                self.queue.write_state(vec![operation]).map_err(|error| error.to_string())?;
                // The next look begins there.
                self.queue.barrier().await.map_err(|error| error.to_string())?;
            }
            if ended {
                self.keep_house().await;
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    /// Compresses what has ended and lets go of what is old, in the spool and in files.
    async fn keep_house(self: &Arc<Self>) {
        let me = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let before = me.queue.now().before(me.keep);
            me.queue.forget_events_before(before).map_err(|error| error.to_string())?;
            let files = me.files.lock().unwrap_or_else(PoisonError::into_inner);
            let told = |error: std::io::Error| format!("{}: {error}", files.folder().display());
            // What is too old need not be compressed, and makes room for it.
            files.forget(before).map_err(told)?;
            files.compress().map_err(told)
        });
        if let Err(error) = done.await.map_err(|error| error.to_string()).flatten() {
            tracing::warn!(%error, "old events stay for now");
        }
    }

    fn write(&self, until: Id) -> Result<(usize, Option<Id>, bool), String> {
        let spool = self.queue.spool();
        let cursor = spool.get(Family::State, CURSOR).map_err(|error| error.to_string())?;
        let last = cursor
            .and_then(|bytes| bytes.as_ref().try_into().ok())
            .map_or(Id::ZERO, Id::from_bytes);
        let lines = events_after(&*spool, last, until, BATCH).map_err(|error| error.to_string())?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = files
            .append(&lines)
            .map_err(|error| format!("{}: {error}", files.folder().display()))?;
        Ok((lines.len(), lines.last().map(|(id, _)| *id), ended))
    }
}
