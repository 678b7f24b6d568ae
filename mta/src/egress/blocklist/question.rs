//! What is asked, under which name, and what comes back.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use relay_config::Blocklist;
use relay_config::blocklists::{KEY, ListOf};
use serde::{Deserialize, Serialize};

use crate::outside::dns::reversed;

/// Octets of a name of the DNS, without its final dot (RFC 1035 section 2.3.4).
const NAME_OCTETS_MAX: usize = 253;
/// Octets of a label, as long as a key may be.
const LABEL_OCTETS_MAX: usize = 63;

/// Whom a list is asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// An address that mail comes from, as the world sees it.
    Address(IpAddr),
    /// A domain that mail comes from, a lower-case A-label.
    Domain(Arc<str>),
}

/// A question to a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The list.
    pub list: Arc<Blocklist>,
    /// What it is asked.
    pub about: About,
}

/// What a list is asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// One of ours.
    Subject(Subject),
    /// What it must list, if it works (RFC 5782 section 5).
    MustList,
    /// What it must not list, if it works.
    MustNotList,
}

/// What a list said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These A records; none, when the name does not exist.
    Records {
        /// The addresses.
        addresses: Vec<Ipv4Addr>,
        /// A TXT record that says why, if there is one.
        text: Option<String>,
    },
    /// It did not answer, or refused; the reason, for people, without the key.
    Unavailable(String),
}

impl Question {
    /// The name to look up. Where the zone has a key (one label), it is needed; the name is secret then.
    pub fn name(&self, key: Option<&str>) -> String {
        let zone = match key {
            Some(key) => self.list.zone.replacen(KEY, key, 1),
            None => self.list.zone.clone(),
        };
        format!("{}.{zone}", self.labels())
    }

    /// Whether a TXT record may say more: tests are not explained.
    pub fn wants_text(&self) -> bool {
        matches!(self.about, About::Subject(_))
    }

    fn labels(&self) -> String {
        match &self.about {
            About::Subject(subject) => subject.labels(),
            // RFC 5782 section 5.
            About::MustNotList if self.list.of == ListOf::Domains => "invalid".to_owned(),
            About::MustNotList => reversed(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            About::MustList => {
                let test = self.list.test.as_deref().unwrap_or_default();
                test.parse().map_or_else(|_| test.to_owned(), reversed)
            }
        }
    }
}

impl Subject {
    /// Whether this list can be asked about it.
    pub(super) fn fits(&self, list: &Blocklist) -> bool {
        let kind = match self {
            Self::Address(address) => {
                list.of == ListOf::Addresses && (list.ipv6 || address.is_ipv4())
            }
            Self::Domain(_) => list.of == ListOf::Domains,
        };
        let zone = list.zone.len() + if list.key.is_some() { LABEL_OCTETS_MAX } else { 0 };
        kind && self.labels().len() + 1 + zone <= NAME_OCTETS_MAX
    }

    /// IPv4 by octets, IPv6 by nibbles (RFC 5782 sections 2.1 and 2.4).
    fn labels(&self) -> String {
        match self {
            Self::Address(address) => reversed(*address),
            Self::Domain(domain) => domain.to_string(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}
