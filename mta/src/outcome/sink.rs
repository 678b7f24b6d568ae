//! Writes events to `events/YYYY-MM-DD.jsonl`, one JSON object a line, from where it left off.
//!
//! The spool holds the events; the files follow about a second behind, so that events that
//! were given their id but not yet handed to the committer are not passed over. After a crash
//! some lines may be written again: each has its id.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::message::{Id, Timestamp};
use crate::queue::Queue;
use crate::spool::{Family, Operation};

/// Where the files have got to, in the state of the spool.
const CURSOR: &[u8] = b"sink/jsonl";
/// How far behind the files are.
const LAG: Duration = Duration::from_secs(1);
/// How often is looked for new events.
const EVERY: Duration = Duration::from_millis(500);
/// Events that one look takes.
const BATCH: usize = 5_000;

/// The event files.
pub struct JsonlSink {
    queue: Arc<Queue>,
    folder: PathBuf,
}

impl JsonlSink {
    /// In this folder, which is made when it is not there.
    pub fn new(queue: Arc<Queue>, folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { queue, folder })
    }

    /// Writes until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            match self.follow(LAG).await {
                Ok(BATCH) => {}
                Ok(_) => tokio::time::sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(%error, folder = %self.folder.display(), "events cannot be written to their file");
                    tokio::time::sleep(Duration::from_secs(10)).await;
                }
            }
        }
    }

    /// Writes what is older than `lag`; returns how many.
    pub async fn follow(self: &Arc<Self>, lag: Duration) -> Result<usize, String> {
        let until = Id::first_at(self.queue.now().before(lag));
        self.queue.barrier().await.map_err(|error| error.to_string())?;
        let me = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || me.write(until)).await;
        let (count, last) = written.map_err(|error| error.to_string())??;
        if let Some(last) = last {
            let cursor = Bytes::copy_from_slice(&last.to_bytes());
            let operation = Operation::Put(Family::State, CURSOR.to_vec(), cursor);
            self.queue.write_state(vec![operation]).map_err(|error| error.to_string())?;
        }
        Ok(count)
    }

    fn write(&self, until: Id) -> Result<(usize, Option<Id>), String> {
        let spool = self.queue.spool();
        let cursor = spool.get(Family::State, CURSOR).map_err(|error| error.to_string())?;
        let last = cursor
            .and_then(|bytes| bytes.as_ref().try_into().ok())
            .map_or(Id::ZERO, Id::from_bytes);
        let mut lines: Vec<(Id, Bytes)> = Vec::new();
        let from = last.successor().to_bytes();
        spool
            .scan(Family::Events, &from, &until.to_bytes(), &mut |key, value| {
                if let Ok(id) = key.try_into() {
                    lines.push((Id::from_bytes(id), Bytes::copy_from_slice(value)));
                }
                if lines.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(|error| error.to_string())?;
        for day in lines.chunk_by(|(a, _), (b, _)| day_of(*a) == day_of(*b)) {
            self.append(day).map_err(|error| error.to_string())?;
        }
        Ok((lines.len(), lines.last().map(|(id, _)| *id)))
    }

    fn append(&self, lines: &[(Id, Bytes)]) -> io::Result<()> {
        let Some((first, _)) = lines.first() else { return Ok(()) };
        let path = self.folder.join(format!("{}.jsonl", day_of(*first)));
        let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
        let mut text = Vec::new();
        for (_, line) in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        file.write_all(&text)
    }
}

fn day_of(id: Id) -> String {
    let time: Timestamp = id.time();
    time.to_rfc3339().chars().take(10).collect()
}
