//! Writes events to `events/YYYY-MM-DD.jsonl`, one JSON object a line, from where it left off.
//!
//! The spool holds the events; the files follow about a second behind, so that events that
//! were given their id but not yet handed to the committer are not passed over. After a crash
//! some lines may be written again: each has its id.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::message::{Id, Timestamp};
use crate::queue::Queue;
use crate::spool::{Family, Operation};

/// Where the files have got to, in the state of the spool.
const CURSOR: &[u8] = b"sink/jsonl";
/// How far behind the files are.
const LAG: Duration = Duration::from_secs(1);
/// How often is looked for new events.
const EVERY: Duration = Duration::from_millis(500);
/// How often old days are looked for.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Events that one look takes.
const BATCH: usize = 5_000;

/// The event files.
pub struct JsonlSink {
    queue: Arc<Queue>,
    folder: PathBuf,
    keep: Duration,
    /// One at a time moves the cursor.
    following: tokio::sync::Mutex<()>,
}

impl JsonlSink {
    /// In this folder, which is made when it is not there; events older than `keep` are forgotten.
    pub fn new(queue: Arc<Queue>, folder: PathBuf, keep: Duration) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { queue, folder, keep, following: tokio::sync::Mutex::new(()) })
    }

    /// Writes until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut forgotten: Option<Instant> = None;
        loop {
            if forgotten.is_none_or(|last| last.elapsed() >= FORGET_EVERY) {
                forgotten = Some(Instant::now());
                let me = Arc::clone(&self);
                let done = tokio::task::spawn_blocking(move || me.forget()).await;
                if let Err(error) = done.map_err(|error| error.to_string()).flatten() {
                    tracing::warn!(%error, "old events stay for now");
                }
            }
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
        let _turn = self.following.lock().await;
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

    /// Lets go of whole days that are older than `keep`, in the spool and in files.
    fn forget(&self) -> Result<(), String> {
        let before = self.queue.now().before(self.keep);
        self.queue.forget_events_before(before).map_err(|error| error.to_string())?;
        let first = day_of(Id::first_at(before));
        for entry in std::fs::read_dir(&self.folder).map_err(|error| error.to_string())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let day = name.strip_suffix(".jsonl").filter(|day| is_day(day));
            if day.is_some_and(|day| day < first.as_str()) {
                std::fs::remove_file(entry.path()).map_err(|error| format!("{name}: {error}"))?;
            }
        }
        Ok(())
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
        let mut file: File = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        if file.metadata()?.len() == 0 {
            // A new file is there after a crash only when its folder is on disk, too.
            File::open(&self.folder)?.sync_all()?;
        }
        cut_torn_line(&mut file)?;
        let mut text = Vec::new();
        for (_, line) in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        file.write_all(&text)?;
        // The cursor moves on after this: what it has passed must be on disk.
        file.sync_data()
    }
}

/// Cuts off what a crash, or a disk that was full, left of a line: it is written again, whole.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let read = usize::try_from(end - from).map_or(block.len(), |size| size.min(block.len()));
        let tail = &mut block[..read];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(tail)?;
        if let Some(place) = memchr::memrchr(b'\n', tail) {
            end = from + place as u64 + 1;
            break;
        }
        end = from;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(())
}

fn day_of(id: Id) -> String {
    let time: Timestamp = id.time();
    time.to_rfc3339().chars().take(10).collect()
}

/// `2026-11-24`, and nothing that somebody else put there.
fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_cut_off_and_whole_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day");
        let long = "x".repeat(10_000);
        let cases = [
            ("", ""),
            ("torn", ""),
            ("a\nb\n", "a\nb\n"),
            ("a\nb\ntor", "a\nb\n"),
            (&format!("a\n{long}"), "a\n"),
            (&format!("{long}\n{long}"), &format!("{long}\n")),
        ];
        for (before, after) in cases {
            std::fs::write(&path, before).unwrap();
            let mut file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
            cut_torn_line(&mut file).unwrap();
            assert!(std::fs::read_to_string(&path).unwrap() == after, "{}", before.len());
        }
    }
}
