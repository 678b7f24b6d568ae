//! May this be accepted, as whose, and how: relaying, limits of accounts, headers of ours.
//!
//! Pure: state comes in, answers go out. Nothing here reads a socket or the clock.

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
    ledger: Mutex<Ledger>,
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
            ledger: Mutex::new(Ledger::default()),
        }
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

    /// Whether the account may send one more message now, to one more recipient.
    pub fn check_quota(
        &self,
        grant: &Grant,
        recipients: u32,
        now: Timestamp,
    ) -> Result<(), OverQuota> {
        let Some(account) = &grant.account else { return Ok(()) };
        self.ledger().check(account, recipients, now)
    }

    /// Counts a message that is about to be accepted, if it still fits: sessions that send at the
    /// same time cannot pass a limit together.
    pub fn take_quota(
        &self,
        grant: &Grant,
        recipients: u32,
        now: Timestamp,
    ) -> Result<(), OverQuota> {
        let Some(account) = &grant.account else { return Ok(()) };
        let mut ledger = self.ledger();
        ledger.check(account, recipients, now)?;
        ledger.count(account, recipients, now);
        Ok(())
    }

    /// The message was not accepted after all.
    pub fn return_quota(&self, grant: &Grant, recipients: u32, now: Timestamp) {
        if let Some(account) = &grant.account {
            self.ledger().uncount(account, recipients, now);
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
