//! What mail needs of the DNS.

use std::net::IpAddr;
use std::time::Duration;

use super::BoxFuture;

/// Looks names up. Names are lower-case A-labels without the final dot.
pub trait MailDns: Send + Sync {
    /// MX records; CNAMEs are followed. An existing name without MX is [`DnsError::NoRecords`].
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>>;

    /// A and AAAA records together; CNAMEs are followed.
    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>>;
}

/// Records and how far they may be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub records: T,
    /// How long it may be remembered.
    pub ttl: Duration,
    /// Whether DNSSEC vouched for it (the AD bit of a validating resolver).
    pub authentic: bool,
}

/// One MX record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower goes first.
    pub preference: u16,
    /// Host name, lower case, without the final dot; empty for the null MX (RFC 7505).
    pub host: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// NXDOMAIN: the name does not exist.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name exists and has no such records.
    #[error("the name has no such records")]
    NoRecords,
    /// Nobody answered, or SERVFAIL, REFUSED …: says nothing about the name.
    #[error("the DNS does not answer: {0}")]
    Unavailable(String),
}
