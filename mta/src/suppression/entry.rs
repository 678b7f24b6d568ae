//! An entry of the list, its subject and its key.
//!
//! Key in the State family: `suppression/entry/`, the subject in lower case, an octet 0, and the account if it is of one
//! account only. The value is JSON. Both are on disk: fields are added, never renamed.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Address, AddressError, Domain, Timestamp};

const PREFIX: &[u8] = b"suppression/entry/";
const END: &[u8] = b"suppression/entry0";

/// Whom an entry is about: an address, or (`@example.pe`) all of a domain, but not of those below it.
///
/// Addresses that differ in nothing but large and small letters are the same one here: no provider tells them
/// apart, though RFC 5321 (section 2.4) would let it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

/// Why a text is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It is no address.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// The domain is missing.
    #[error("write an address, or @example.pe for all of a domain")]
    Empty,
}

impl Subject {
    /// From what a person wrote: `ana@example.pe` or `@example.pe`.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap_or(text);
        match text.strip_prefix('@') {
            _ if text.is_empty() => Err(SubjectError::Empty),
            Some("") => Err(SubjectError::Empty),
            Some(domain) => Ok(Self::of_domain(&Domain::parse(domain)?)),
            None => Ok(Self::of(&Address::parse(text)?)),
        }
    }

    /// An address.
    pub fn of(address: &Address) -> Self {
        Self(address.to_string().to_lowercase())
    }

    /// All of a domain.
    pub fn of_domain(domain: &Domain) -> Self {
        Self(format!("@{}", domain.as_str()))
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is about all of a domain.
    pub fn is_domain(&self) -> bool {
        self.0.starts_with('@')
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How somebody came onto the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A person, or a program that acts for one, said so.
    Order,
    /// A server said that nobody is there.
    Reply,
}

/// Somebody nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub subject: Subject,
    /// Only mail of this account; `None`: of all.
    pub account: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until it is removed.
    pub until: Option<Timestamp>,
    /// How it came.
    pub cause: Cause,
    /// Who ordered it; `None`: nobody did.
    pub who: Option<String>,
    /// The reason that was given, or the reply.
    pub why: String,
    /// The rule that read the reply.
    pub rule: Option<String>,
}

/// What stands in the value of a key.
#[derive(Serialize, Deserialize)]
struct Record {
    since: u64,
    until: Option<u64>,
    cause: Cause,
    who: Option<String>,
    why: String,
    rule: Option<String>,
}

impl Entry {
    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Why nothing is sent, for the sender: who ordered it is nobody's business outside.
    pub fn sentence(&self) -> String {
        let whom = if self.subject.is_domain() { "the domain" } else { "the address" };
        let since = self.since.to_rfc3339();
        let day = since.get(..10).unwrap_or(&since);
        format!("{whom} is on the suppression list since {day}: {}", self.why)
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let record = Record {
            since: self.since.as_millis(),
            until: self.until.map(Timestamp::as_millis),
            cause: self.cause,
            who: self.who.clone(),
            why: self.why.clone(),
            rule: self.rule.clone(),
        };
        serde_json::to_vec(&record).unwrap_or_default().into()
    }

    /// Reads one; `None`: the key is another's, or the record is damaged.
    pub(super) fn of(key: &[u8], value: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(PREFIX)?;
        let zero = memchr::memchr(0, rest)?;
        let subject = Subject(std::str::from_utf8(&rest[..zero]).ok()?.to_owned());
        let account = std::str::from_utf8(&rest[zero + 1..]).ok()?;
        let record: Record = serde_json::from_slice(value).ok()?;
        Some(Self {
            subject,
            account: (!account.is_empty()).then(|| account.to_owned()),
            since: Timestamp::from_millis(record.since),
            until: record.until.map(Timestamp::from_millis),
            cause: record.cause,
            who: record.who,
            why: record.why,
            rule: record.rule,
        })
    }
}

/// Where an entry is kept.
pub(super) fn key(subject: &Subject, account: Option<&str>) -> Vec<u8> {
    [PREFIX, subject.as_str().as_bytes(), &[0], account.unwrap_or_default().as_bytes()].concat()
}

/// All of their keys: from here to there.
pub(super) fn keys() -> (Vec<u8>, Vec<u8>) {
    (PREFIX.to_vec(), END.to_vec())
}
