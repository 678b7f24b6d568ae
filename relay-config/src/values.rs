//! Small values that people write in their own notation: sizes, durations, rates, patterns.

use std::fmt;
use std::time::Duration;

/// A number of octets, written `50MiB`, `512KiB`, `1GiB` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// So many in a time, written `1500/h`, `60/m`, `5/s`, `10000/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// Mail addresses that a person names: `*`, `*@example.pe`, `*@*.example.pe`, `x@example.pe`.
///
/// Domains are compared as lower-case A-labels (RFC 5890), local parts to the letter
/// but for the case of ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AddressPattern {
    /// `None`: any local part.
    local: Option<String>,
    domain: DomainPattern,
}

/// Domains that a person names: `*`, `example.pe`, `*.example.pe` (any depth, not the domain itself).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DomainPattern {
    /// Every domain.
    Any,
    /// This one.
    Exact(String),
    /// Those that end in a dot and this.
    Below(String),
}

impl AddressPattern {
    /// Whether the address is meant. `domain` is a lower-case A-label.
    pub fn matches(&self, local_part: &str, domain: &str) -> bool {
        self.domain.matches(domain)
            && self.local.as_ref().is_none_or(|local| local.eq_ignore_ascii_case(local_part))
    }
}

impl DomainPattern {
    /// Whether the domain (a lower-case A-label) is meant.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == domain,
            Self::Below(parent) => domain
                .strip_suffix(parent.as_str())
                .is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.')),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
