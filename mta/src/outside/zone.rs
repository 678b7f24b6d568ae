//! A DNS for tests: a zone as text, a record a line, as the tests with a real server write it.
//!
//! `name MX preference host`, `name A address`, `name AAAA address`, `name PTR host`, `name TXT words`
//! (which count as one string), `name SERVFAIL`. Other names do not exist.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Duration;

use super::dns::pointer_name;
use super::{Answer, BoxFuture, DnsError, MailDns, Mx};

/// The records, and what was asked.
pub(crate) struct Zone {
    records: Mutex<Vec<(String, String, String)>>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    pub(crate) fn new(text: &str) -> Self {
        let zone = Self { records: Mutex::default(), asked: Mutex::default() };
        zone.set(text);
        zone
    }

    /// Replaces all of it.
    pub(crate) fn set(&self, text: &str) {
        let record = |line: &str| {
            let mut parts = line.splitn(3, ' ').map(str::to_owned);
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or_default())
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        *self.records.lock().unwrap() = lines.map(record).collect();
    }

    /// What was asked, in order: `A name`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn find<T>(
        &self,
        name: &str,
        kinds: &[&str],
        read: impl Fn(&str) -> T,
    ) -> Result<Answer<Vec<T>>, DnsError> {
        self.asked.lock().unwrap().push(format!("{} {name}", kinds[0]));
        let records = self.records.lock().unwrap();
        let own: Vec<_> = records.iter().filter(|(owner, ..)| owner == name).collect();
        if own.is_empty() {
            return Err(DnsError::NoSuchName);
        }
        if own.iter().any(|(_, kind, _)| kind == "SERVFAIL") {
            return Err(DnsError::Unavailable("SERVFAIL".to_owned()));
        }
        let found = own.iter().filter(|(_, kind, _)| kinds.contains(&kind.as_str()));
        let records: Vec<T> = found.map(|(.., value)| read(value)).collect();
        if records.is_empty() {
            return Err(DnsError::NoRecords);
        }
        Ok(Answer { records, ttl: Duration::from_mins(1), authentic: false })
    }
}

impl MailDns for Zone {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>> {
        let found = self.find(domain, &["MX"], |value| {
            let (preference, host) = value.split_once(' ').unwrap();
            Mx { preference: preference.parse().unwrap(), host: host.to_owned() }
        });
        Box::pin(async { found })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>> {
        let found = self.find(host, &["A", "AAAA"], |value| value.parse().unwrap());
        Box::pin(async { found })
    }

    fn listing<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<Ipv4Addr>>, DnsError>> {
        let found = self.find(name, &["A"], |value| value.parse().unwrap());
        Box::pin(async { found })
    }

    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer<Vec<String>>, DnsError>> {
        let found = self.find(name, &["TXT"], str::to_owned);
        Box::pin(async { found })
    }

    fn pointers(&self, address: IpAddr) -> BoxFuture<'_, Result<Answer<Vec<String>>, DnsError>> {
        let found = self.find(&pointer_name(address), &["PTR"], str::to_owned);
        Box::pin(async { found })
    }
}
