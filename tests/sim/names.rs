//! Names: what a domain's mail servers are, and what the DNS says instead.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mta::outside::{Answer, BoxFuture, DnsError, MailDns, Mx};

use super::faults::DnsFault;
use super::world::World;

/// How long an answer may be remembered.
const TTL: Duration = Duration::from_mins(3);
/// Until the resolver gives up.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The DNS.
pub struct SimDns(pub Arc<World>);

impl SimDns {
    async fn find_mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
        let world = &self.0;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let plan = world.plan.domains.get(domain).ok_or(DnsError::NoSuchName)?;
        let now = world.now();
        let fault = plan.dns.iter().find(|(from, until, _)| (*from..*until).contains(&now));
        match fault.map(|(_, _, fault)| *fault) {
            Some(DnsFault::ServerFailure) => {
                world.fault("SERVFAIL");
                return Err(DnsError::Unavailable("SERVFAIL".to_owned()));
            }
            Some(DnsFault::Timeout) => {
                world.fault("DNS timeout");
                tokio::time::sleep(TIMEOUT).await;
                return Err(DnsError::Unavailable("timeout".to_owned()));
            }
            Some(DnsFault::NoSuchName) => {
                world.fault("NXDOMAIN");
                world.books().not_found(now, domain);
                return Err(DnsError::NoSuchName);
            }
            None => {}
        }
        let current = plan.exchanges.iter().enumerate().rfind(|(_, (from, _))| *from <= now);
        let (number, (_, hosts)) = current.ok_or(DnsError::NoSuchName)?;
        if number > 0 {
            world.fault("changed MX");
        }
        let mx = |(place, host): (usize, &usize)| {
            let preference = 10 * u16::try_from(place).unwrap();
            Mx { preference, host: world.plan.hosts[*host].name.clone() }
        };
        Ok(hosts.iter().enumerate().map(mx).collect())
    }
}

fn answer<T>(records: Vec<T>) -> Answer<Vec<T>> {
    Answer { records, ttl: TTL, authentic: false }
}

impl MailDns for SimDns {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>> {
        Box::pin(async move { self.find_mx(domain).await.map(answer) })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>> {
        Box::pin(async move {
            let found = self.0.plan.hosts.iter().find(|it| it.name == host);
            found.map(|host| answer(vec![host.address])).ok_or(DnsError::NoSuchName)
        })
    }
}
