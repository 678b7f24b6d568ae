//! The book of what was changed, by whom and from where: `data_dir/audit.jsonl`.
//!
//! Each line carries the hash of the line before, so that nobody can change, remove or put in a line without
//! all that follow giving it away; `tambo audit verify` reads the book through. A line is on disk before
//! what it tells of is done, and a second one says what came of it. The book only grows: a line has a few
//! hundred octets, and an institution writes some dozens a day. What nobody can see from the book alone is
//! that its end was cut off; each entry is therefore told to the log, too, with its number and hash.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Its name in `data_dir`.
pub const FILE: &str = "audit.jsonl";
/// Octets of an entry's order that are kept: an order is a few names and a reason. What is longer is told by its
/// size and hash.
const ORDER_MAX: usize = 16 * 1024;
/// What the first line names as the hash before it.
const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Where the hash of a line stands in it: after everything that it is of.
const HASH_FIELD: &str = ",\"hash\":\"";
/// Octets read at a time from the end.
const BLOCK: u64 = 64 * 1024;

/// A line, before it has its place.
#[derive(Debug, Clone)]
pub struct Draft {
    /// RFC 3339.
    pub time: String,
    /// Name of the token or of the person.
    pub who: String,
    /// An address, or `socket`.
    pub from: String,
    /// What is done: method and path of a request, or a word.
    pub what: String,
    /// What was ordered, or what came of it. Without secrets: that is up to whoever writes it.
    pub order: Value,
    /// The entry whose outcome this is.
    pub of: Option<u64>,
}

/// A line of the book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Counts from 1.
    pub number: u64,
    /// RFC 3339.
    pub time: String,
    /// Name of the token or of the person.
    pub who: String,
    /// Where the order came from: an address, or `socket`.
    pub from: String,
    /// What was done: method and path of the request, or `outcome`.
    pub what: String,
    /// The entry whose outcome this is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of: Option<u64>,
    /// What was ordered, or what came of it.
    #[schema(value_type = Option<Object>)]
    pub order: Value,
    /// Hash of the line before.
    pub previous: String,
    /// SHA-256 of this line up to here, in hexadecimal. Empty while it is computed.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub hash: String,
}

/// What reading the book through found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Whole entries.
    pub entries: u64,
    /// The hash of the last one.
    pub last_hash: String,
    /// The first thing that is wrong.
    pub flaw: Option<String>,
}

/// The book.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    end: Mutex<End>,
}

#[derive(Debug)]
struct End {
    file: File,
    number: u64,
    hash: String,
    /// Octets of whole lines: what a failed write left after them is cut off before the next.
    length: u64,
}

impl AuditLog {
    /// Opens the book in `data_dir`, or begins it. A line that a crash tore is cut off: what it told of was not
    /// done. A book whose last line cannot be trusted is set aside and told of; mail does not wait for it.
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        let path = data_dir.join(FILE);
        let place = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut end = End::open(&path).map_err(place)?;
        if let Err(flaw) = &end {
            let aside = set_aside(&path).map_err(place)?;
            tracing::error!(
                "{}: the last line {flaw}; the book is set aside as {}, and a new one begins",
                path.display(),
                aside.display()
            );
            end = End::open(&path).map_err(place)?;
        }
        File::open(data_dir).and_then(|folder| folder.sync_all()).map_err(place)?;
        Ok(Self { path, end: Mutex::new(end?) })
    }

    /// Writes a line; it is on disk when this returns. Blocks.
    pub fn append(&self, draft: Draft) -> Result<u64, String> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entry = AuditEntry {
            number: end.number + 1,
            time: draft.time,
            who: draft.who,
            from: draft.from,
            what: draft.what,
            of: draft.of,
            order: bounded(draft.order),
            previous: end.hash.clone(),
            hash: String::new(),
        };
        let line = sealed(&mut entry)?;
        let written = end.file.write_all(&line).and_then(|()| end.file.sync_data());
        if let Err(error) = written {
            // What is there of it must not stand before the next line.
            let _ = end.file.set_len(end.length);
            return Err(format!("the audit log cannot be written: {error}"));
        }
        end.length += line.len() as u64;
        end.number = entry.number;
        end.hash.clone_from(&entry.hash);
        tracing::info!(
            number = entry.number, who = %entry.who, from = %entry.from, what = %entry.what, hash = %entry.hash,
            "audit"
        );
        Ok(entry.number)
    }

    /// Entries before this number, newest first. Blocks.
    pub fn page(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, String> {
        let length = self.end.lock().unwrap_or_else(PoisonError::into_inner).length;
        let place = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut file = File::open(&self.path).map_err(place)?;
        let (mut found, mut until, mut rest) = (Vec::new(), length, Vec::new());
        while until > 0 && found.len() < limit {
            let from = until.saturating_sub(BLOCK);
            let mut block = read_at(&mut file, from, until).map_err(place)?;
            block.append(&mut rest);
            let whole = if from == 0 {
                0
            } else {
                memchr::memchr(b'\n', &block).map_or(block.len(), |it| it + 1)
            };
            for line in
                block[whole..].split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty())
            {
                let Ok(entry) = serde_json::from_slice::<AuditEntry>(line) else { continue };
                if before.is_none_or(|before| entry.number < before) && found.len() < limit {
                    found.push(entry);
                }
            }
            block.truncate(whole);
            (rest, until) = (block, from);
        }
        Ok(found)
    }
}

impl End {
    /// The end of a book, which is begun where there is none; `Err` in it: what is wrong with the last line.
    fn open(path: &Path) -> std::io::Result<Result<Self, String>> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).mode(0o600).open(path)?;
        let (last, length) = last_line(&mut file)?;
        let (number, hash) = match last.map(|line| check(&line, None)) {
            None => (0, NOTHING_BEFORE.to_owned()),
            Some(Ok(entry)) => (entry.number, entry.hash),
            Some(Err(flaw)) => return Ok(Err(flaw)),
        };
        file.set_len(length)?;
        Ok(Ok(Self { file, number, hash, length }))
    }
}

/// Gives a book another name, which none has.
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let aside = path.with_extension(format!("jsonl.damaged-{number}"));
        if !aside.exists() {
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// Reads a book through, from the first line to the last.
pub fn verify(path: &Path) -> Result<AuditReport, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut report = AuditReport { entries: 0, last_hash: NOTHING_BEFORE.to_owned(), flaw: None };
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| format!("{}: {error}", path.display()))?;
        match check(&line, Some((report.entries, &report.last_hash))) {
            Ok(entry) => {
                report.entries = entry.number;
                report.last_hash = entry.hash;
            }
            Err(flaw) => {
                report.flaw = Some(format!("line {}: it {flaw}", report.entries + 1));
                break;
            }
        }
    }
    Ok(report)
}

/// Reads a line and compares it with its hash and, when it is known, with the line before.
fn check(line: &[u8], before: Option<(u64, &str)>) -> Result<AuditEntry, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is no text".to_owned())?;
    let entry: AuditEntry =
        serde_json::from_str(text).map_err(|error| format!("cannot be read: {error}"))?;
    let of = text.rfind(HASH_FIELD).and_then(|end| text.get(..end));
    if of.map(hash_of) != Some(entry.hash.clone()) {
        return Err("was changed: its hash does not fit what it says".to_owned());
    }
    let Some((number, hash)) = before else { return Ok(entry) };
    if entry.number != number + 1 {
        return Err(format!(
            "has the number {} instead of {}: something was removed or put in",
            entry.number,
            number + 1
        ));
    }
    if entry.previous != hash {
        return Err("does not follow the line before it: that one was replaced".to_owned());
    }
    Ok(entry)
}

/// The line with its hash and its end.
fn sealed(entry: &mut AuditEntry) -> Result<Vec<u8>, String> {
    let open = serde_json::to_string(entry).map_err(|error| error.to_string())?;
    let open = open.strip_suffix('}').unwrap_or(&open);
    entry.hash = hash_of(open);
    Ok(format!("{open}{HASH_FIELD}{}\"}}\n", entry.hash).into_bytes())
}

fn bounded(order: Value) -> Value {
    let text = order.to_string();
    if text.len() <= ORDER_MAX {
        return order;
    }
    serde_json::json!({ "too_long_octets": text.len(), "sha256": hash_of(&text) })
}

fn hash_of(text: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(text.as_bytes());
    hexadecimal(context.finish().as_ref())
}

/// Two digits for each octet.
pub(super) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The last whole line, and the octets of all whole lines.
fn last_line(file: &mut File) -> std::io::Result<(Option<Vec<u8>>, u64)> {
    let length = file.metadata()?.len();
    let (mut from, mut tail) = (length, Vec::new());
    loop {
        let whole = memchr::memrchr(b'\n', &tail);
        let begins = whole.and_then(|end| memchr::memrchr(b'\n', &tail[..end]));
        if let (Some(end), true) = (whole, begins.is_some() || from == 0) {
            let begins = begins.map_or(0, |it| it + 1);
            return Ok((Some(tail[begins..end].to_vec()), from + end as u64 + 1));
        }
        if from == 0 {
            return Ok((None, 0));
        }
        let until = from;
        from = until.saturating_sub(BLOCK);
        let mut block = read_at(file, from, until)?;
        block.append(&mut tail);
        tail = block;
    }
}

fn read_at(file: &mut File, from: u64, until: u64) -> std::io::Result<Vec<u8>> {
    let mut octets = vec![0; usize::try_from(until - from).unwrap_or(0)];
    file.seek(SeekFrom::Start(from))?;
    file.read_exact(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(what: &str) -> Draft {
        Draft {
            time: "2026-11-25T10:00:00Z".to_owned(),
            who: "ana".to_owned(),
            from: "socket".to_owned(),
            what: what.to_owned(),
            order: serde_json::json!({ "why": "a \"hash\":\" in the middle", "n": 1.5 }),
            of: None,
        }
    }

    fn book(entries: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        for number in 1..=entries {
            assert_eq!(log.append(draft(&format!("act {number}"))), Ok(number));
        }
        folder
    }

    fn flaw(folder: &tempfile::TempDir) -> Option<String> {
        verify(&folder.path().join(FILE)).unwrap().flaw
    }

    #[test]
    fn a_book_goes_on_where_it_ended_and_holds_together() {
        let folder = book(3);
        let log = AuditLog::open(folder.path()).unwrap();
        assert_eq!(log.append(draft("act 4")), Ok(4));
        let report = verify(&folder.path().join(FILE)).unwrap();
        assert_eq!((report.entries, report.flaw), (4, None));
        let page = log.page(None, 2).unwrap();
        assert_eq!(page.iter().map(|it| it.number).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(page[0].hash, report.last_hash);
        let page = log.page(Some(3), 10).unwrap();
        assert_eq!(page.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn pages_are_cut_at_lines_wherever_blocks_end() {
        let folder = book(0);
        let log = AuditLog::open(folder.path()).unwrap();
        for number in 1..=400 {
            let entry =
                Draft { order: Value::String("x".repeat(number * 7 % 900)), ..draft("act") };
            log.append(entry).unwrap();
        }
        let numbers: Vec<u64> = log.page(None, 1_000).unwrap().iter().map(|it| it.number).collect();
        assert_eq!(numbers, (1..=400).rev().collect::<Vec<u64>>());
    }

    #[test]
    fn whoever_changes_a_line_is_given_away() {
        type Edit = fn(Vec<String>) -> Vec<String>;
        let edits: [(&str, Edit, &str); 5] = [
            (
                "a word",
                |mut it| {
                    it[1] = it[1].replace("act 2", "act 9");
                    it
                },
                "line 2: it was changed",
            ),
            (
                "a line less",
                |mut it| {
                    it.remove(1);
                    it
                },
                "line 2: it has the number 3 instead of 2",
            ),
            (
                "two lines swapped",
                |mut it| {
                    it.swap(1, 2);
                    it
                },
                "line 2: it has the number 3",
            ),
            (
                "no line",
                |mut it| {
                    it[1] = String::new();
                    it
                },
                "line 2: it cannot be read",
            ),
            (
                "a line made anew",
                |mut it| {
                    let mut entry: AuditEntry = serde_json::from_str(&it[1]).unwrap();
                    entry.who = "nobody".to_owned();
                    entry.hash = String::new();
                    it[1] =
                        String::from_utf8(sealed(&mut entry).unwrap()).unwrap().trim().to_owned();
                    it
                },
                "line 3: it does not follow the line before it",
            ),
        ];
        for (name, edit, expected) in edits {
            let folder = book(4);
            let path = folder.path().join(FILE);
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = edit(text.lines().map(str::to_owned).collect());
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
            let found = flaw(&folder).unwrap_or_default();
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_book_that_cannot_be_trusted_is_set_aside() {
        let folder = book(2);
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let torn = [&whole[..], b"{\"number\":3,\"ti"].concat();
        std::fs::write(&path, torn).unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        assert_eq!(log.append(draft("act 3")), Ok(3));
        assert_eq!(flaw(&folder), None);
        let changed = String::from_utf8(whole).unwrap().replace("act 2", "act 5");
        for number in 1..=2 {
            std::fs::write(&path, &changed).unwrap();
            let log = AuditLog::open(folder.path()).unwrap();
            assert_eq!(log.append(draft("act 1")), Ok(1), "a new book begins");
            let aside = folder.path().join(format!("audit.jsonl.damaged-{number}"));
            assert_eq!(
                std::fs::read_to_string(aside).unwrap(),
                changed,
                "and the old one is there"
            );
        }
        assert_eq!(flaw(&folder), None);
    }

    #[test]
    fn an_order_that_is_too_long_is_told_by_its_hash() {
        let folder = book(0);
        let log = AuditLog::open(folder.path()).unwrap();
        log.append(Draft { order: Value::String("x".repeat(20_000)), ..draft("act") }).unwrap();
        assert_eq!(log.page(None, 1).unwrap()[0].order["too_long_octets"], 20_002);
    }
}
