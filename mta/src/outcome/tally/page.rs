//! What is kept of a stretch of time, and where.
//!
//! | key (family state) | what |
//! | --- | --- |
//! | `tally/h/`, hours since 1970 (4 octets) | sums of an hour, by each of [`By`] |
//! | `tally/m/`, minutes since 1970 (4) | sums of a minute, by provider |
//! | `tally/t/`, days since 1970 in UTC (4) | tags that have sums of their own that day |
//! | `tally/cursor` | the last event that is added up |
//!
//! A value is an octet of version, then postcard. The layout is on disk: [`By`] grows at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;
use crate::spool::{Family, Operation, Spool, SpoolError};

use super::sums::Sums;

/// Of those that have no name of their own.
pub const OTHER: &str = "other";
/// Of what names none.
pub const NONE: &str = "none";

/// Names of each kind that an hour has sums for; the rest is added up together. A relay has tens of providers, sources,
/// pools and categories; accounts are written into the configuration by hand; and domains count only where mail came back.
const NAMES_MAX: usize = 250;
/// Tags of a day with sums of their own, the first that come. A tag is a campaign; whoever writes a tag for each message
/// fills a page of 30 KiB with them, not the disk.
const TAGS_MAX: usize = 200;

const VERSION: u8 = 1;
const HOURS: &[u8] = b"tally/h/";
const MINUTES: &[u8] = b"tally/m/";
const TAGS: &[u8] = b"tally/t/";

/// What events are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    /// Whose the destination is.
    Provider,
    /// The source that was used.
    Source,
    /// The pool.
    Pool,
    /// Whose the mail is.
    Account,
    /// What the reply of a deferral, bounce or expiry was about.
    Category,
    /// Tag: mail with several stands in several.
    Tag,
    /// Domain of a recipient that was bounced or expired.
    Domain,
}

/// How long the stretches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
}

impl Grain {
    /// Milliseconds.
    pub(super) const fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }

    /// How long they are kept: minutes are for looking at what goes on, hours for telling what went on in a year.
    pub const fn kept(self) -> Duration {
        match self {
            Self::Minute => Duration::from_hours(48),
            Self::Hour => Duration::from_hours(400 * 24),
        }
    }

    /// The number of the stretch that a time lies in.
    pub(super) fn number(self, time: Timestamp) -> u32 {
        u32::try_from(time.as_millis() / self.millis()).unwrap_or(u32::MAX)
    }

    /// When it begins.
    pub(super) fn begins(self, number: u32) -> Timestamp {
        Timestamp::from_millis(u64::from(number) * self.millis())
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Minute => MINUTES,
            Self::Hour => HOURS,
        }
    }

    pub(super) fn key(self, number: u32) -> Vec<u8> {
        [self.prefix(), &number.to_be_bytes()].concat()
    }
}

/// Sums of a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page(pub(super) BTreeMap<By, BTreeMap<String, Sums>>);

impl Page {
    /// The sums of a name.
    pub(super) fn of(&mut self, by: By, name: &str) -> &mut Sums {
        let names = self.0.entry(by).or_default();
        if !names.contains_key(name) {
            names.insert(name.to_owned(), Sums::default());
        }
        names.entry(name.to_owned()).or_default()
    }

    /// Adds another to it, as far as there is room for names. `tags` are those with sums of their own.
    pub(super) fn add(&mut self, other: &Self, tags: &Tags) {
        for (by, names) in &other.0 {
            for (name, sums) in names {
                let has_room = match by {
                    By::Tag => tags.0.contains(name) || name == NONE,
                    _ => self.0.get(by).is_none_or(|known| {
                        known.len() < NAMES_MAX || known.contains_key(name) || name == NONE
                    }),
                };
                if !has_room && name != OTHER {
                    limit_hit("tally_names");
                }
                self.of(*by, if has_room { name } else { OTHER }).add(sums);
            }
        }
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        self.0.get(&By::Tag).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }
}

/// Tags of a day that have sums of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tags(pub(super) BTreeSet<String>);

impl Tags {
    /// Gives these sums of their own while there is room; returns whether any is new.
    pub(super) fn welcome<'a>(&mut self, tags: impl Iterator<Item = &'a str>) -> bool {
        let before = self.0.len();
        for tag in tags.filter(|tag| *tag != NONE && *tag != OTHER) {
            if self.0.len() < TAGS_MAX && !self.0.contains(tag) {
                self.0.insert(tag.to_owned());
            }
        }
        self.0.len() > before
    }
}

/// The day of an hour, in UTC: that on which tags are counted.
pub(super) fn tags_key(hour: u32) -> Vec<u8> {
    [TAGS, &(hour / 24).to_be_bytes()].concat()
}

/// What is kept under a key. What cannot be read is nothing: sums are not worth a relay that does not go on.
pub(super) fn read<T: DeserializeOwned + Default>(
    spool: &dyn Spool,
    key: &[u8],
) -> Result<T, SpoolError> {
    Ok(spool.get(Family::State, key)?.and_then(|octets| decode(&octets)).unwrap_or_default())
}

pub(super) fn decode<T: DeserializeOwned>(octets: &[u8]) -> Option<T> {
    match octets.split_first() {
        Some((&VERSION, rest)) => match postcard::from_bytes(rest) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(%error, "sums of events cannot be read");
                None
            }
        },
        _ => None,
    }
}

/// Keeps a value under a key.
pub(super) fn put(key: Vec<u8>, value: &impl Serialize) -> Operation {
    let octets = postcard::to_extend(value, vec![VERSION]).unwrap_or_default();
    Operation::Put(Family::State, key, Bytes::from(octets))
}

/// Removes what is older than it is kept.
pub(super) fn forget(spool: &dyn Spool, now: Timestamp) -> Result<Vec<Operation>, SpoolError> {
    let day = Grain::Hour.number(now) / 24;
    let old = [Grain::Minute, Grain::Hour].map(|grain| {
        let first = grain.number(now.before(grain.kept()));
        (grain.prefix(), first)
    });
    let mut operations = Vec::new();
    // Events are added up in their order; those of yesterday may still come.
    for (prefix, first) in old.into_iter().chain([(TAGS, day.saturating_sub(1))]) {
        let until = [prefix, &first.to_be_bytes()].concat();
        spool.scan(Family::State, prefix, &until, &mut |key, _| {
            operations.push(Operation::Delete(Family::State, key.to_vec()));
            std::ops::ControlFlow::Continue(())
        })?;
    }
    Ok(operations)
}
