//! What mail needs of the DNS.

use std::net::{IpAddr, Ipv4Addr};
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

    /// A records as they are now, never from a cache of ours: what a blocklist says of a name.
    fn listing<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<Ipv4Addr>>, DnsError>> {
        not_known(name)
    }

    /// TXT records as they are now, the strings of each joined (RFC 7208 section 3.3).
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer<Vec<String>>, DnsError>> {
        not_known(name)
    }

    /// Names of an address (PTR) as they are now.
    fn pointers(&self, address: IpAddr) -> BoxFuture<'_, Result<Answer<Vec<String>>, DnsError>> {
        not_known(&address.to_string())
    }
}

/// A DNS that knows no such records says nothing about any name.
fn not_known<'a, T>(name: &str) -> BoxFuture<'a, Result<Answer<T>, DnsError>> {
    let why = format!("such records of {name} cannot be asked for here");
    Box::pin(async move { Err(DnsError::Unavailable(why)) })
}

/// The name under which the PTR records of an address are: IPv4 by octets (RFC 1035 section 3.5), IPv6 by
/// nibbles (RFC 3596 section 2.5).
pub fn pointer_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => format!("{}.in-addr.arpa", reversed(address)),
        IpAddr::V6(_) => format!("{}.ip6.arpa", reversed(address)),
    }
}

/// An address as labels, the last part first: IPv4 by octets, IPv6 by nibbles.
pub fn reversed(address: IpAddr) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(address) => address.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let nibbles = octets.iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    labels.join(".")
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
