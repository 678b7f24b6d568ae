//! Providers: whose the hosts are that mail goes to, and what each of them may be asked to take.
//!
//! Many domains share the servers of one operator, who counts what we do to all of them together. So
//! limits belong to the operator, who is recognised by the names of MX hosts (all of them: a domain
//! with one host elsewhere stays a site of its own) or, where a person says so, by domain. The table
//! is `data/providers.toml`; `[[provider]]` changes it and adds to it.
//!
//! Pure: it looks up nothing. Mail still goes to each domain's own MX, whatever the provider.

mod builtin;
mod keys;
mod limits;
mod page;
mod resolve;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::origin::Setting;
use crate::values::DomainPattern;

pub(crate) use keys::{ProviderSection, provider};
pub(crate) use limits::everyones;
pub use limits::{LimitRow, LimitValue, SiteLimits};
pub use page::page;
pub(crate) use resolve::resolve;

/// Every provider, in the order in which they are tried, and the limits of everyone else.
#[derive(Debug, Clone, PartialEq)]
pub struct Providers {
    list: Arc<[Arc<Provider>]>,
    everyone: Arc<SiteLimits>,
}

/// An operator of mail servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Stands in events, and in metrics as a label: there are few of them, all known in advance.
    pub name: Arc<str>,
    /// Who it is, for people; of built-in ones only.
    pub title: Option<String>,
    /// Every MX host of a domain must match one of these.
    pub mx: Option<Setting<Vec<DomainPattern>>>,
    /// Domains of recipients that are the provider's whatever their MX.
    pub domains: Option<Setting<Vec<DomainPattern>>>,
    limits: SiteLimits,
    /// What mail of a pool has instead.
    pools: Vec<(Arc<str>, SiteLimits)>,
}

impl Providers {
    /// Whose a domain is: the first provider that names the domain, else the first of whose hosts all
    /// `hosts` are. All names are lower-case A-labels without a final dot. Without hosts (a domain
    /// that has no address, or could not be looked up) only the domain can tell.
    pub fn of_hosts(&self, domain: &str, hosts: &[impl AsRef<str>]) -> Option<&Arc<Provider>> {
        self.of_domain(domain)
            .or_else(|| self.list.iter().find(|provider| provider.has_hosts(hosts)))
    }

    /// The first provider that names the domain.
    pub fn of_domain(&self, domain: &str) -> Option<&Arc<Provider>> {
        self.list.iter().find(|provider| any(provider.domains.as_ref(), domain))
    }

    /// The provider of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.list.iter().find(|provider| &*provider.name == name)
    }

    /// Each of them, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.list.iter()
    }

    /// What mail of a pool may ask of a provider (its name), or of who is none or is no longer one.
    pub fn limits(&self, provider: Option<&str>, pool: &str) -> &SiteLimits {
        let provider = provider.and_then(|name| self.get(name));
        provider.map_or(&self.everyone, |provider| provider.limits(pool))
    }
}

impl Provider {
    /// What mail of this pool may ask of it.
    pub fn limits(&self, pool: &str) -> &SiteLimits {
        let own = self.pools.iter().find(|(name, _)| &**name == pool);
        own.map_or(&self.limits, |(_, limits)| limits)
    }

    /// What mail of every pool may ask that has no limits of its own.
    pub fn common_limits(&self) -> &SiteLimits {
        &self.limits
    }

    /// Pools that have limits of their own.
    pub fn pools(&self) -> impl Iterator<Item = (&Arc<str>, &SiteLimits)> {
        self.pools.iter().map(|(pool, limits)| (pool, limits))
    }

    fn has_hosts(&self, hosts: &[impl AsRef<str>]) -> bool {
        !hosts.is_empty() && hosts.iter().all(|host| any(self.mx.as_ref(), host.as_ref()))
    }
}

fn any(patterns: Option<&Setting<Vec<DomainPattern>>>, domain: &str) -> bool {
    patterns.is_some_and(|them| them.value.iter().any(|pattern| pattern.matches(domain)))
}
