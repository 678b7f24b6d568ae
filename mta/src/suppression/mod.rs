//! Whom nothing is sent to: those of whom servers said that they are not there, and those of whom a person
//! says so.
//!
//! The list is on disk. Memory holds a hash of each of its keys, so that an address that is not on it costs no
//! read; one that may be is read. It decides nothing about mail: `dispatch` asks before each attempt.

mod entry;
mod hits;

pub use entry::{Cause, Entry, Subject, SubjectError};
pub use hits::{Heard, Hits};

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relay_config::config::SuppressionRules;

use crate::message::{Address, Timestamp};
use crate::metrics::limit_hit;
use crate::spool::{Family, Operation, Spool, SpoolError};

use entry::{key, keys};

/// Entries at most: twenty times the officials of a large state. A hash of each is in memory (about 18 MB of them).
pub const ENTRIES_MAX: usize = 1_000_000;
/// Addresses whose replies are counted, at most; beyond, those that come are not counted.
const COUNTED_MAX: usize = 1_000_000;
/// A count to which nothing was added for so long is forgotten: what was said of a mailbox a season ago says
/// nothing of it now.
const COUNT_KEPT: Duration = Duration::from_hours(24 * 90);
/// Records that one look for what is over reads before it lets others read.
const LOOK_MAX: usize = 10_000;

/// The list of those nothing is sent to.
pub struct Suppressions {
    known: Mutex<Known>,
}

/// Hashes of what is on disk.
#[derive(Default)]
struct Known {
    hasher: RandomState,
    entries: HashSet<u64>,
    counted: HashSet<u64>,
}

impl Known {
    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }
}

/// The list is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the suppression list holds {ENTRIES_MAX} entries, as many as it may: remove those that are of no use"
)]
pub struct ListFull;

/// What follows from replies about recipients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// To be written together with what became of the recipients.
    pub operations: Vec<Operation>,
    /// Who is on the list from now on.
    pub entries: Vec<Entry>,
}

impl Suppressions {
    /// The list as it was left. Blocks.
    pub fn open(spool: &dyn Spool) -> Result<Self, SpoolError> {
        let mut known = Known::default();
        let (from, until) = keys();
        spool.scan(Family::State, &from, &until, &mut |key, _| {
            let hash = known.hash(key);
            known.entries.insert(hash);
            ControlFlow::Continue(())
        })?;
        let (from, until) = hits::keys();
        spool.scan(Family::State, &from, &until, &mut |key, _| {
            let hash = known.hash(key);
            known.counted.insert(hash);
            ControlFlow::Continue(())
        })?;
        Ok(Self { known: Mutex::new(known) })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.known().entries.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry for which nothing of this account is sent to an address now. An entry of the account goes
    /// before one of all, one of the address before one of its domain.
    pub fn find(
        &self,
        spool: &dyn Spool,
        address: &Address,
        account: &str,
        now: Timestamp,
    ) -> Result<Option<Entry>, SpoolError> {
        if self.is_empty() {
            return Ok(None);
        }
        let subjects = [Subject::of(address), Subject::of_domain(address.domain())];
        for subject in &subjects {
            for account in [Some(account), None] {
                let key = key(subject, account);
                let found = if self.may_hold(&key) { read(spool, &key)? } else { None };
                if let Some(entry) = found.filter(|entry| !entry.is_over(now)) {
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }

    /// Every entry of a subject: of all accounts and of each. Blocks.
    pub fn of(&self, spool: &dyn Spool, subject: &Subject) -> Result<Vec<Entry>, SpoolError> {
        let from = key(subject, None);
        let (found, _) = scan(spool, &from, ENTRIES_MAX, &|entry| entry.subject == *subject, true)?;
        Ok(found)
    }

    /// Entries from the key `from` on (that of a page before; empty: the first) that `wanted` takes, and where the next page
    /// begins. Blocks.
    pub fn page(
        &self,
        spool: &dyn Spool,
        from: &[u8],
        limit: usize,
        wanted: &dyn Fn(&Entry) -> bool,
    ) -> Result<(Vec<Entry>, Option<Vec<u8>>), SpoolError> {
        scan(spool, from, limit, wanted, false)
    }

    /// Puts an entry on the list; one of the same subject and account is replaced. Returns what is to be written.
    pub fn add(&self, entry: &Entry) -> Result<Operation, ListFull> {
        let key = key(&entry.subject, entry.account.as_deref());
        let mut known = self.known();
        let hash = known.hash(&key);
        if known.entries.len() >= ENTRIES_MAX && !known.entries.contains(&hash) {
            limit_hit("suppressions");
            return Err(ListFull);
        }
        known.entries.insert(hash);
        Ok(Operation::Put(Family::State, key, entry.to_bytes()))
    }

    /// Takes an entry off the list, with what was counted of its subject. Returns what is to be written.
    pub fn remove(&self, entry: &Entry) -> Vec<Operation> {
        let key = key(&entry.subject, entry.account.as_deref());
        let mut known = self.known();
        let hash = known.hash(&key);
        known.entries.remove(&hash);
        let mut operations = vec![Operation::Delete(Family::State, key)];
        operations.extend(forget_hits(&mut known, &entry.subject));
        operations
    }

    /// What servers said of recipients: counts it, and puts those on the list of whom enough was said.
    pub fn hear(
        &self,
        spool: &dyn Spool,
        heard: &[Heard<'_>],
        rules: &SuppressionRules,
        now: Timestamp,
    ) -> Result<Learned, SpoolError> {
        let mut learned = Learned::default();
        for heard in heard {
            let (subject, mut hits) = match heard {
                Heard::Delivered(address) => {
                    // Most are never counted: it costs them nothing but this look.
                    let mut known = self.known();
                    if !known.counted.is_empty() {
                        let subject = Subject::of(address);
                        learned.operations.extend(forget_hits(&mut known, &subject));
                    }
                    continue;
                }
                Heard::Refused { subject, .. } => {
                    let counted = self.is_counted(&hits::key(subject));
                    let hits = if counted { read_hits(spool, subject)? } else { None };
                    (subject, hits.unwrap_or_default())
                }
            };
            let Some(entry) = hits.hear(heard, rules, now) else {
                learned.operations.extend(self.count(subject, &hits));
                continue;
            };
            learned.operations.extend(forget_hits(&mut self.known(), subject));
            match self.add(&entry) {
                Ok(operation) => {
                    learned.operations.push(operation);
                    learned.entries.push(entry);
                }
                Err(full) => tracing::error!(subject = %subject, "{full}"),
            }
        }
        Ok(learned)
    }

    /// What is over, from a key on (`from` empty: the first): what is to be written, and where to look next. Blocks.
    pub fn sweep(
        &self,
        spool: &dyn Spool,
        from: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<Operation>, Option<Vec<u8>>), SpoolError> {
        let (first, _) = hits::keys();
        let (_, end) = keys();
        let from = if from.is_empty() { &first[..] } else { from };
        let (mut over, mut next, mut seen) = (Vec::new(), None, 0);
        spool.scan(Family::State, from, &end, &mut |key, value| {
            if seen == LOOK_MAX {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            seen += 1;
            let is_over = match Entry::of(key, value) {
                Some(entry) => entry.is_over(now),
                None => Hits::of(key, value).is_some_and(|hits| hits.is_old(now, COUNT_KEPT)),
            };
            if is_over {
                over.push(key.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        let mut known = self.known();
        let operations = over.into_iter().map(|key| {
            let hash = known.hash(&key);
            known.entries.remove(&hash);
            known.counted.remove(&hash);
            Operation::Delete(Family::State, key)
        });
        Ok((operations.collect(), next))
    }

    fn count(&self, subject: &Subject, hits: &Hits) -> Option<Operation> {
        let key = hits::key(subject);
        let mut known = self.known();
        let hash = known.hash(&key);
        if known.counted.len() >= COUNTED_MAX && !known.counted.contains(&hash) {
            limit_hit("suppression_counts");
            return None;
        }
        known.counted.insert(hash);
        Some(Operation::Put(Family::State, key, hits.to_bytes()))
    }

    fn may_hold(&self, key: &[u8]) -> bool {
        let known = self.known();
        known.entries.contains(&known.hash(key))
    }

    fn is_counted(&self, key: &[u8]) -> bool {
        let known = self.known();
        known.counted.contains(&known.hash(key))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(spool: &dyn Spool, key: &[u8]) -> Result<Option<Entry>, SpoolError> {
    let value = spool.get(Family::State, key)?;
    Ok(value.and_then(|value| Entry::of(key, &value)))
}

fn forget_hits(known: &mut Known, subject: &Subject) -> Option<Operation> {
    let key = hits::key(subject);
    let hash = known.hash(&key);
    known.counted.remove(&hash).then(|| Operation::Delete(Family::State, key))
}

fn read_hits(spool: &dyn Spool, subject: &Subject) -> Result<Option<Hits>, SpoolError> {
    let key = hits::key(subject);
    let value = spool.get(Family::State, &key)?;
    Ok(value.and_then(|value| Hits::of(&key, &value)))
}

/// Entries that are wanted, and the key at which the next page begins. `only_these`: the first that is not wanted
/// ends it.
fn scan(
    spool: &dyn Spool,
    from: &[u8],
    limit: usize,
    wanted: &dyn Fn(&Entry) -> bool,
    only_these: bool,
) -> Result<(Vec<Entry>, Option<Vec<u8>>), SpoolError> {
    let (first, end) = keys();
    let from = if from.is_empty() { &first[..] } else { from };
    let (mut found, mut next) = (Vec::new(), None);
    spool.scan(Family::State, from, &end, &mut |key, value| {
        let Some(entry) = Entry::of(key, value) else { return ControlFlow::Continue(()) };
        if !wanted(&entry) {
            return if only_these { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        if found.len() >= limit {
            next = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        found.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok((found, next))
}

#[cfg(test)]
mod tests;
