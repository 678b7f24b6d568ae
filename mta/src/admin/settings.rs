//! What is told of the configuration, and what came of reading it again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key of the configuration and what holds for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingRow {
    /// Its table: `server`, `listener`, `account` …
    pub section: String,
    /// Which of several tables of that name, from 1, as they stand in the file.
    pub number: usize,
    /// The key.
    pub key: String,
    /// As TOML. Nothing: it is not written, which the reference of the configuration explains. Secrets are not shown.
    pub value: Option<String>,
    /// `default`, or the file and line where it was decided.
    pub origin: String,
}

/// One who submits mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// It can show a password.
    pub has_password: bool,
    /// Networks whose mail is its.
    pub networks: Vec<String>,
    /// What it may use as MAIL FROM and From.
    pub senders: Vec<String>,
    /// Pool of its mail, when it has one of its own.
    pub pool: Option<String>,
    /// Tokens that send as this account.
    pub tokens: Vec<String>,
}

/// A reload that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Changes that wait for a restart, each in a sentence.
    pub waits_for_restart: Vec<String>,
    /// What will surprise, though it is allowed.
    pub warnings: Vec<String>,
}

/// A group of sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// Sources that the configuration gives it, in the order written; how each is now, `/api/v1/sources` tells.
    pub sources: Vec<String>,
    /// Sources that wait to replace one.
    pub standby: Vec<String>,
    /// `adaptive` or `round-robin`.
    pub rotation: String,
    /// The schedule by which cold sources are warmed up; nothing: they are not.
    pub warm_up: Option<String>,
    /// The hours over which a day's mail is spread, and in which time zone the day turns.
    pub send_window: String,
    /// Mail that names no pool goes from it.
    pub is_default: bool,
}

/// Who takes the mail of many domains, and what may be asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderRow {
    /// Its name; `other` for everyone who is no known provider.
    pub name: String,
    /// What people call it.
    pub title: Option<String>,
    /// MX hosts that tell it.
    pub mx: Vec<String>,
    /// Domains that tell it.
    pub domains: Vec<String>,
    /// What holds for mail of the default pool, one entry for each limit. What servers have taught the relay to be less,
    /// `/api/v1/sources/{name}` tells.
    pub limits: Vec<LimitRule>,
}

/// A limit of a provider, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitRule {
    /// Its key in the configuration.
    pub name: String,
    /// As it is written there; `none`: there is none.
    pub value: String,
    /// Who decided it: `default`, `built-in`, a template, or file and line.
    pub origin: String,
}

/// A blocklist that is asked about our addresses and domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlocklistRow {
    /// Its name.
    pub name: String,
    /// Why it is ignored; nothing: it works.
    pub ignored: Option<String>,
    /// Addresses and domains of ours that it lists, confirmed.
    pub listed: Vec<ListingRow>,
}

/// An address or domain of ours that is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListingRow {
    /// Which.
    pub subject: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// What the list's answer means.
    pub meanings: Vec<String>,
    /// What the list says of it.
    pub text: Option<String>,
    /// What it leads to: `act`, `warn` or `inform`.
    pub action: String,
    /// Page where to ask to be taken out.
    pub delisting: Option<String>,
}
