//! The event files: `events/2026-11-24.0001.jsonl`, one JSON object a line.
//!
//! Each day begins a file, and so does a file that has grown to its size. The last is written; those before it
//! have ended and are compressed into `2026-11-24.0001.jsonl.zst`. Names sort by time. The oldest go when they are
//! too old, or when all together are too large.
//!
//! A crash between any two steps loses no line: a compressed file gets its name when it is whole and synced, what
//! it was made of goes after that, and nobody writes again into a file whose number has been compressed.

use std::cmp::Ordering;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::message::{Id, Timestamp};
use crate::metrics::limit_hit;

/// Lines of JSON become a tenth at this level, at some 300 MB a second; higher ones cost much more than they gain.
const LEVEL: i32 = 3;
/// Ends of names.
const PLAIN: &str = ".jsonl";
const COMPRESSED: &str = ".jsonl.zst";
/// A compressed file that is not whole yet.
const UNFINISHED: &str = ".jsonl.zst.tmp";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets after which a file ends.
    pub file_size: u64,
    /// Octets of all files.
    pub max_size: u64,
}

/// The folder of event files.
pub struct EventFiles {
    folder: PathBuf,
    limits: Limits,
    /// The file that is written, once it is known.
    active: Option<Name>,
    /// Called between two steps; tests let a crash come there.
    between: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
}

/// Which file: of which day, and the how many-eth of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    day: String,
    number: u32,
}

/// A file that is there.
#[derive(Debug)]
struct Found {
    name: Name,
    path: PathBuf,
    compressed: bool,
    size: u64,
}

impl EventFiles {
    /// In this folder, which is made when it is not there.
    pub fn open(folder: PathBuf, limits: Limits) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, limits, active: None, between: Box::new(|| Ok(())) })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes lines, which are on disk when this returns. Says whether a file has ended with that.
    pub fn append(&mut self, lines: &[(Id, Bytes)]) -> io::Result<bool> {
        let mut ended = false;
        for lines in lines.chunk_by(|(a, _), (b, _)| day_of(a.time()) == day_of(b.time())) {
            let Some((first, _)) = lines.first() else { continue };
            let name = self.name_for(&day_of(first.time()))?;
            self.write(&name, lines)?;
            ended |= self.active.as_ref() != Some(&name);
            self.active = Some(name);
        }
        Ok(ended)
    }

    /// Compresses the files that have ended.
    pub fn compress(&self) -> io::Result<()> {
        let found = self.list()?;
        let Some(newest) = found.last().map(|last| last.name.clone()) else { return Ok(()) };
        for file in found.iter().filter(|file| !file.compressed) {
            let whole = self.folder.join(file.name.text(COMPRESSED));
            let done = whole.exists();
            if !done && file.name == newest {
                continue;
            }
            if !done {
                self.compress_one(&file.path, &whole, &file.name)?;
                (self.between)()?;
            }
            std::fs::remove_file(&file.path)?;
            (self.between)()?;
        }
        Ok(())
    }

    /// Removes files of days before this time, then the oldest until the rest has room.
    pub fn forget(&self, before: Timestamp) -> io::Result<()> {
        let first = day_of(before);
        let (old, mut kept): (Vec<Found>, Vec<Found>) =
            self.list()?.into_iter().partition(|file| file.name.day < first);
        for file in old {
            std::fs::remove_file(&file.path)?;
        }
        let mut sum: u64 = kept.iter().map(|file| file.size).sum();
        // The last one is being written.
        kept.pop();
        for file in kept {
            if sum <= self.limits.max_size {
                break;
            }
            limit_hit("events.max_size");
            tracing::warn!(
                file = %file.path.display(),
                "the event files are larger than `events.max_size`: the oldest is removed"
            );
            std::fs::remove_file(&file.path)?;
            sum -= file.size;
        }
        Ok(())
    }

    /// The file that lines of this day go into.
    fn name_for(&self, day: &str) -> io::Result<Name> {
        let (name, full) = match &self.active {
            Some(active) if active.day == day => {
                let size = std::fs::metadata(self.folder.join(active.text(PLAIN)));
                let full = size.is_ok_and(|size| size.len() >= self.limits.file_size);
                (active.clone(), full)
            }
            _ => {
                let newest = self.list()?.into_iter().rfind(|file| file.name.day == day);
                let Some(newest) = newest else {
                    return Ok(Name { day: day.to_owned(), number: 1 });
                };
                let full = newest.compressed || newest.size >= self.limits.file_size;
                (newest.name, full)
            }
        };
        let number = name.number + u32::from(full);
        Ok(Name { number, ..name })
    }

    fn write(&self, name: &Name, lines: &[(Id, Bytes)]) -> io::Result<()> {
        let path = self.folder.join(name.text(PLAIN));
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        if file.metadata()?.len() == 0 {
            // A new file is there after a crash only when its folder is on disk, too.
            File::open(&self.folder)?.sync_all()?;
        }
        (self.between)()?;
        cut_torn_line(&mut file)?;
        let mut text = Vec::new();
        for (_, line) in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        file.write_all(&text)?;
        (self.between)()?;
        // The cursor moves on after this: what it has passed must be on disk.
        file.sync_data()
    }

    fn compress_one(&self, plain: &Path, whole: &Path, name: &Name) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(plain)?;
        // Its lines stand in the next file, if a crash had torn the last.
        cut_torn_line(&mut file)?;
        file.rewind()?;
        let unfinished = self.folder.join(name.text(UNFINISHED));
        let made = File::create(&unfinished).and_then(|target| squeeze(&mut file, target));
        let made = made.inspect_err(|_| {
            // A full disk needs the room.
            let _ = std::fs::remove_file(&unfinished);
        })?;
        (self.between)()?;
        made.sync_all()?;
        (self.between)()?;
        std::fs::rename(&unfinished, whole)?;
        (self.between)()?;
        File::open(&self.folder)?.sync_all()
    }

    /// All files in order of time; where one is there twice, compressed and not, the compressed one comes last.
    /// What others put there is not seen.
    fn list(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let text = entry.file_name().to_string_lossy().into_owned();
            let (stem, compressed) = match text.strip_suffix(COMPRESSED) {
                Some(stem) => (stem, true),
                None => (text.strip_suffix(PLAIN).unwrap_or_default(), false),
            };
            let Some(name) = Name::parse(stem) else { continue };
            let size = entry.metadata()?.len();
            found.push(Found { name, path: entry.path(), compressed, size });
        }
        found.sort_by(|a, b| match a.name.cmp(&b.name) {
            Ordering::Equal => a.compressed.cmp(&b.compressed),
            order => order,
        });
        Ok(found)
    }
}

impl Name {
    fn text(&self, end: &str) -> String {
        match self.number {
            // As files were called before they had numbers.
            0 => format!("{}{end}", self.day),
            number => format!("{}.{number:04}{end}", self.day),
        }
    }

    /// `2026-11-24.0001`, and nothing that somebody else put there.
    fn parse(stem: &str) -> Option<Self> {
        let (day, number) = match stem.split_once('.') {
            Some((day, number)) => (day, number.parse().ok().filter(|number| *number > 0)?),
            None => (stem, 0),
        };
        let name = Self { day: day.to_owned(), number };
        (is_day(day) && name.text("") == stem).then_some(name)
    }
}

/// Compresses all of it, with a checksum; returns what was written to, not synced yet.
fn squeeze(plain: &mut File, target: File) -> io::Result<File> {
    let mut encoder = zstd::Encoder::new(target, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(plain, &mut encoder)?;
    encoder.finish()
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

fn day_of(time: Timestamp) -> String {
    time.to_rfc3339().chars().take(10).collect()
}

fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// 2026-11-24 23:59:59.990
    const EVENING: u64 = 1_795_564_799_990;
    const SMALL: Limits = Limits { file_size: 300, max_size: u64::MAX };

    fn line(number: u64) -> (Id, Bytes) {
        let id = Id::first_at(Timestamp::from_millis(EVENING + number));
        let filler = "x".repeat(30);
        (id, format!("{{\"id\":\"{id}\",\"filler\":\"{filler}\"}}").into())
    }

    fn lines(numbers: std::ops::Range<u64>) -> Vec<(Id, Bytes)> {
        numbers.map(line).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// How often each line stands in the files. A line that is not whole, or a compressed file that is not,
    /// fails.
    fn read(folder: &Path) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for name in names(folder) {
            let octets = std::fs::read(folder.join(&name)).unwrap();
            let text = match () {
                () if name.ends_with(UNFINISHED) => continue,
                () if name.ends_with(COMPRESSED) => zstd::decode_all(&*octets).unwrap(),
                () => octets,
            };
            for line in String::from_utf8(text).unwrap().lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                *found.entry(value["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        found
    }

    #[test]
    fn files_end_with_the_day_and_at_their_size_and_are_compressed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.jsonl"), "mine").unwrap();
        let mut files = EventFiles::open(folder.path().to_owned(), SMALL).unwrap();
        for from in 0..20 {
            files.append(&lines(from..from + 1)).unwrap();
        }
        files.compress().unwrap();
        let expected = [
            "2026-11-24.0001.jsonl.zst",
            "2026-11-24.0002.jsonl.zst",
            "2026-11-25.0001.jsonl.zst",
            "2026-11-25.0002.jsonl",
            "notes.jsonl",
        ];
        assert_eq!(names(folder.path()), expected);
        std::fs::remove_file(folder.path().join("notes.jsonl")).unwrap();
        let found = read(folder.path());
        assert!(found.len() == 20 && found.values().all(|count| *count == 1), "{found:?}");
        // Started again, it goes on in the last; what comes late gets a file of its own.
        let mut files = EventFiles::open(folder.path().to_owned(), SMALL).unwrap();
        assert!(!files.append(&lines(20..21)).unwrap() || read(folder.path()).len() == 21);
        files.append(&lines(3..5)).unwrap();
        assert!(names(folder.path()).contains(&"2026-11-24.0003.jsonl".to_owned()));
    }

    #[test]
    fn the_oldest_files_go_when_they_are_old_and_when_all_are_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { file_size: 300, max_size: 1_500 };
        let mut files = EventFiles::open(folder.path().to_owned(), limits).unwrap();
        let day = 24 * 3_600_000;
        for from in [0, day, 2 * day, 2 * day + 5] {
            files.append(&lines(from..from + 5)).unwrap();
        }
        let before = |millis| Timestamp::from_millis(EVENING + millis);
        files.forget(before(0)).unwrap();
        let all = [
            "2026-11-24.0001.jsonl",
            "2026-11-25.0001.jsonl",
            "2026-11-26.0001.jsonl",
            "2026-11-26.0002.jsonl",
        ];
        assert_eq!(names(folder.path()), all);
        files.forget(before(day)).unwrap();
        assert_eq!(names(folder.path()), all[1..]);
        files.limits.max_size = 700;
        files.forget(before(day)).unwrap();
        assert_eq!(names(folder.path()), all[2..]);
        files.limits.max_size = 1;
        files.forget(before(day)).unwrap();
        assert_eq!(names(folder.path()), all[3..], "what is written stays");
    }

    /// What a power failure leaves: half of what was not synced.
    fn mutilate(folder: &Path) {
        for name in names(folder).iter().filter(|name| name.ends_with(UNFINISHED)) {
            let file = OpenOptions::new().write(true).open(folder.join(name)).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
        let last = names(folder).into_iter().rfind(|name| name.ends_with(PLAIN));
        if let Some(last) = last {
            let mut file = OpenOptions::new().append(true).open(folder.join(last)).unwrap();
            file.write_all(b"{\"id\":\"torn").unwrap();
        }
    }

    /// Writes 20 lines over two days, as the sink does: the cursor moves on when they are on disk. The crash comes
    /// at the `crash`-th step. Returns how many steps there were.
    fn with_crash_at(folder: &Path, crash: usize) -> usize {
        let steps = Arc::new(AtomicUsize::new(0));
        let open = || {
            let mut files = EventFiles::open(folder.to_owned(), SMALL).unwrap();
            let steps = Arc::clone(&steps);
            files.between = Box::new(move || match steps.fetch_add(1, Relaxed) {
                step if step == crash => Err(io::Error::other("crash")),
                _ => Ok(()),
            });
            files
        };
        let mut files = open();
        let mut cursor = 0;
        while cursor < 20 {
            let written = files.append(&lines(cursor..cursor + 2));
            let done = written.and_then(|ended| {
                cursor += 2;
                if ended { files.compress() } else { Ok(()) }
            });
            if done.is_err() {
                mutilate(folder);
                files = open();
                // As at every start.
                files.compress().unwrap();
            }
        }
        files.compress().unwrap();
        steps.load(Relaxed)
    }

    #[test]
    fn a_crash_between_any_two_steps_loses_no_line() {
        let mut steps = 1;
        let mut crash = 0;
        while crash < steps {
            let folder = tempfile::tempdir().unwrap();
            steps = with_crash_at(folder.path(), crash);
            let found = read(folder.path());
            assert_eq!(found.len(), 20, "crash at {crash}");
            assert!(found.values().all(|count| *count <= 2), "crash at {crash}: {found:?}");
            let left = names(folder.path());
            let plain = left.iter().filter(|name| name.ends_with(PLAIN)).count();
            assert_eq!(plain, 1, "crash at {crash}: {left:?}");
            assert!(!left.iter().any(|name| name.ends_with(UNFINISHED)), "crash at {crash}");
            crash += 1;
        }
        assert!(steps > 30, "{steps}");
    }

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

    #[test]
    fn names_are_those_of_event_files_only() {
        for (stem, number) in
            [("2026-11-24", 0), ("2026-11-24.0001", 1), ("2026-11-24.12345", 12_345)]
        {
            let name = Name::parse(stem).unwrap();
            assert_eq!((name.number, name.text("")), (number, stem.to_owned()));
        }
        for stem in
            ["", "2026-11-24.", "2026-11-24.1", "2026-11-24.0000", "2026-11-24.+001", "x.0001"]
        {
            assert_eq!(Name::parse(stem), None, "{stem}");
        }
    }
}
