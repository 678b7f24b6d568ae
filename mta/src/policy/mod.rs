//! May this be accepted, as whose, and how: relaying, limits of accounts, headers of ours, and who
//! signs it.
//!
//! Pure: state comes in, answers go out. Nothing here reads a socket or the clock.

pub mod dkim;
mod headers;
mod ledger;
mod trace;

pub use headers::{Examined, HeaderFlaw, Headers, examine, is_field};
pub use trace::{Trace, received};

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use relay_config::Config;
use relay_config::config::{Account, DsnPolicy, Listener};

use crate::message::{Address, Timestamp};

use ledger::Ledger;
pub use ledger::OverQuota;

/// What the operator decided about who may send.
#[derive(Debug)]
pub struct Policy {
    /// Our name.
    pub hostname: String,
    /// Where mail for `postmaster` without a domain goes.
    pub postmaster: Address,
    accounts: HashMap<Arc<str>, Arc<Account>>,
    pools: Vec<Arc<str>>,
    ledger: Arc<Mutex<Ledger>>,
}

/// Leave to relay, and on whose account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The account's name, or the listener's for trusted mail that is nobody's.
    pub name: Arc<str>,
    /// The account, when there is one.
    pub account: Option<Arc<Account>>,
    /// `X-Tambo-*` headers are read.
    pub allow_headers: bool,
    /// Pool that account or listener ask for.
    pub pool: Option<Arc<str>>,
}

impl Policy {
    /// From the configuration.
    pub fn new(config: &Config) -> Self {
        let accounts =
            config.accounts.iter().map(|account| (Arc::clone(&account.name), Arc::clone(account)));
        Self {
            hostname: config.server.hostname.clone(),
            postmaster: Address::parse(&config.server.postmaster)
                .expect("the configuration has checked the postmaster's address"),
            accounts: accounts.collect(),
            pools: config.pools.iter().map(|pool| Arc::clone(&pool.name)).collect(),
            ledger: Arc::default(),
        }
    }

    /// From another configuration; what accounts have sent still counts.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        Self { ledger: Arc::clone(&self.ledger), ..Self::new(config) }
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    /// Whether a pool of this name exists.
    pub fn has_pool(&self, pool: &str) -> bool {
        self.pools.iter().any(|known| **known == *pool)
    }

    /// Whose failures are reported where.
    pub fn dsn_of(&self, account: &str) -> DsnPolicy {
        self.accounts.get(account).map_or(DsnPolicy::Sender, |account| account.dsn.clone())
    }

    /// Whether this client may relay: by password, or because the listener trusts its network.
    pub fn grant(
        &self,
        listener: &Listener,
        client: IpAddr,
        login: Option<&Arc<Account>>,
    ) -> Option<Grant> {
        if let Some(account) = login {
            return Some(Grant::of_account(account, listener));
        }
        if !is_trusted(listener, client) {
            return None;
        }
        let client = client.to_canonical();
        let account = self
            .accounts
            .values()
            .flat_map(|account| {
                account.networks.iter().map(move |net| (net.prefix_len(), account, net))
            })
            .filter(|(_, _, network)| network.contains(&client))
            .max_by_key(|(prefix, account, _)| {
                (*prefix, std::cmp::Reverse(Arc::clone(&account.name)))
            });
        Some(match account {
            Some((_, account, _)) => Grant::of_account(account, listener),
            None => Grant {
                name: Arc::clone(&listener.name),
                account: None,
                allow_headers: listener.allow_headers,
                pool: listener.pool.clone(),
            },
        })
    }

    /// What an account may that shows a token; its name stands where that of a listener would.
    pub fn grant_of(&self, account: &str) -> Option<Grant> {
        let account = self.accounts.get(account)?;
        Some(Grant {
            name: Arc::clone(&account.name),
            account: Some(Arc::clone(account)),
            allow_headers: account.allow_headers,
            pool: account.pool.clone(),
        })
    }

    /// Whether the account may send one more message now, to one more recipient.
    pub fn check_quota(
        &self,
        grant: &Grant,
        recipients: u32,
        now: Timestamp,
    ) -> Result<(), OverQuota> {
        let Some(account) = &grant.account else { return Ok(()) };
        self.ledger().check(account, (1, recipients), now)
    }

    /// Counts a message that is about to be accepted, if it still fits: sessions that send at the
    /// same time cannot pass a limit together.
    pub fn take_quota(
        &self,
        grant: &Grant,
        recipients: u32,
        now: Timestamp,
    ) -> Result<(), OverQuota> {
        self.take_quota_of(grant, (1, recipients), now)
    }

    /// The same of several messages, to so many recipients together: all of them fit, or none.
    pub fn take_quota_of(
        &self,
        grant: &Grant,
        load: (u32, u32),
        now: Timestamp,
    ) -> Result<(), OverQuota> {
        let Some(account) = &grant.account else { return Ok(()) };
        let mut ledger = self.ledger();
        ledger.check(account, load, now)?;
        ledger.count(account, load, now);
        Ok(())
    }

    /// The message was not accepted after all.
    pub fn return_quota(&self, grant: &Grant, recipients: u32, now: Timestamp) {
        self.return_quota_of(grant, (1, recipients), now);
    }

    /// Nor were these.
    pub fn return_quota_of(&self, grant: &Grant, load: (u32, u32), now: Timestamp) {
        if let Some(account) = &grant.account {
            self.ledger().uncount(account, load, now);
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant {
    fn of_account(account: &Arc<Account>, listener: &Listener) -> Self {
        Self {
            name: Arc::clone(&account.name),
            account: Some(Arc::clone(account)),
            allow_headers: account.allow_headers,
            pool: account.pool.clone().or_else(|| listener.pool.clone()),
        }
    }

    /// Whether it may use this as MAIL FROM or in From.
    pub fn may_send_as(&self, address: &Address) -> bool {
        let Some(account) = &self.account else { return true };
        account.senders.is_empty()
            || account
                .senders
                .iter()
                .any(|pattern| pattern.matches(address.local_part(), address.domain().as_str()))
    }

    /// Whether the From header must be looked at.
    pub fn binds_senders(&self) -> bool {
        self.account.as_ref().is_some_and(|account| !account.senders.is_empty())
    }
}

/// Whether the listener trusts the client's network. IPv4 in IPv6 clothes counts as IPv4.
pub fn is_trusted(listener: &Listener, client: IpAddr) -> bool {
    let client = client.to_canonical();
    listener.relay_from.iter().any(|network| network.contains(&client))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[server]\nhostname = \"r.x.pe\"\n[[pool]]\nname = \"bulk\"\nsources = [\"s\"]\n\
        [[source]]\nname = \"s\"\naddress = \"127.0.0.1\"\nhelo = \"m.x.pe\"\n\
        [[listener]]\nname = \"relay\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\nallow_headers = true\n\
        relay_from = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
        [[account]]\nname = \"wide\"\nnetworks = [\"10.1.0.0/16\", \"192.168.0.0/16\"]\n\
        [[account]]\nname = \"narrow\"\nnetworks = [\"10.1.2.0/24\"]\npool = \"bulk\"\nsenders = [\"*@x.pe\"]\n";

    #[test]
    fn whose_mail_it_is() {
        let config = relay_config::load(TEXT, "t").unwrap().config;
        let policy = Policy::new(&config);
        let listener = &config.listeners[0];
        let grant = |client: &str, login: Option<&str>| {
            let login = login.and_then(|name| policy.account(name));
            policy.grant(listener, client.parse().unwrap(), login)
        };
        let check = |client: &str, login: Option<&str>, expected: Option<&str>| {
            let found = grant(client, login);
            assert_eq!(found.as_ref().map(|grant| &*grant.name), expected, "{client} {login:?}");
        };
        check("10.9.9.9", None, Some("relay"));
        check("10.1.9.9", None, Some("wide"));
        check("10.1.2.9", None, Some("narrow"));
        check("::ffff:10.1.2.9", None, Some("narrow"));
        check("2001:db8::7", None, Some("relay"));
        check("192.168.1.1", None, None);
        check("203.0.113.7", None, None);
        check("203.0.113.7", Some("wide"), Some("wide"));
        let narrow = grant("10.1.2.9", None).unwrap();
        assert_eq!(narrow.pool.as_deref(), Some("bulk"));
        assert!(!narrow.allow_headers && grant("10.9.9.9", None).unwrap().allow_headers);
        let may = |address: &str| narrow.may_send_as(&Address::parse(address).unwrap());
        assert!(may("ana@X.pe") && !may("ana@y.pe") && !may("ana@a.x.pe"));
    }
}
