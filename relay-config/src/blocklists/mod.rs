//! Blocklists: who is asked about our addresses and domains, and what the answers mean.
//!
//! A list is a zone of the DNS (RFC 5782): a name below it has an address when its subject is listed,
//! and the address says why. Only answers that are known are listings. Everything else, such as a
//! refusal or an answer that means "you ask too much", says nothing about the subject: a list that
//! breaks must not take our sources from us.
//!
//! What is known of lists is `data/blocklists.toml`; none of them is asked unless a `[[blocklist]]` says
//! so. Pure: it asks nobody. The key that a zone is open to stays in its file until a question is put.

mod builtin;
mod keys;
mod page;
mod reading;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Place;

pub(crate) use keys::{BlocklistSection, blocklist, resolve};
pub use page::page;
pub use reading::{Listing, Reading};

/// What stands in a zone for its secret key.
pub const KEY: &str = "{key}";

/// `[[blocklist]]`: a list that is asked about us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocklist {
    /// Stands in events, metrics and commands: the zone without its key, or what the operator says.
    pub name: Arc<str>,
    /// Lower-case A-labels without a final dot; begins with [`KEY`] when there is a key.
    pub zone: String,
    /// Where the key is, when the zone has one.
    pub key: Option<KeyFile>,
    /// What it lists.
    pub of: ListOf,
    /// Whether it is asked about IPv6 addresses, too.
    pub ipv6: bool,
    /// How often it is asked about each subject.
    pub every: Duration,
    /// A second answer that says the same, this much later at least, before anything is done.
    pub confirm_after: Duration,
    /// The last octet of an answer is a sum of codes, each one bit.
    pub bitmask: bool,
    /// Answers that are listings, in the order in which they are looked at.
    pub codes: Vec<Code>,
    /// What it always lists (RFC 5782 section 5): an IPv4 address, or a domain; `None`: nothing.
    pub test: Option<String>,
    /// Page where people ask to be taken out.
    pub delisting: Option<String>,
}

/// A file whose first line is the key of a zone: one label of the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Where `key_file` stands in the configuration.
    pub place: Place,
}

/// What a list knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOf {
    /// Addresses that mail comes from.
    Addresses,
    /// Domains that stand in it.
    Domains,
}

/// Answers of a list that mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The first of them. Where answers are sums: the bit.
    pub first: Ipv4Addr,
    /// The last of them.
    pub last: Ipv4Addr,
    /// What it says, for people.
    pub meaning: Arc<str>,
    /// What is done.
    pub action: ListAction,
}

/// What a listing leads to; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListAction {
    /// It is recorded.
    Inform,
    /// The operator is told.
    Warn,
    /// A source is quarantined and replaced. A domain is no reason to replace a source: the operator is told.
    Act,
}

/// Words of `action`, in the configuration and in the table.
pub(crate) const ACTIONS: [(&str, ListAction); 3] =
    [("act", ListAction::Act), ("warn", ListAction::Warn), ("inform", ListAction::Inform)];

/// Words of `of`.
pub(crate) const KINDS: [(&str, ListOf); 2] =
    [("addresses", ListOf::Addresses), ("domains", ListOf::Domains)];

impl ListAction {
    /// As written in the configuration.
    pub fn word(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(word, _)| word)
    }
}

impl ListOf {
    /// As written in the configuration.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", self.last) }
    }
}
