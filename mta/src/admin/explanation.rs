//! The answer to "where would mail to this address go now, and what stands in its way".

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{HoldRow, SuppressionRow};

/// Where mail to an address would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Whom it is about.
    pub recipient: String,
    /// In one sentence: what would happen now.
    pub verdict: String,
    /// It would go at once.
    pub goes: bool,
    /// The command that mends it, where one does.
    pub mend: Option<String>,
    /// Entries of the suppression list about it, those for all accounts first: nothing is sent. With `account`, it is
    /// mail of this account alone that is not.
    pub suppressed: Vec<SuppressionRow>,
    /// Standing holds of all mail to it, then those of mail of one account, tag or sender.
    pub holds: Vec<HoldRow>,
    /// The routing domain: the recipient's, or the smarthost that a route names.
    pub routing_domain: String,
    /// `mx` or `smarthost`; nothing when there is no way.
    pub route: Option<String>,
    /// Where the mail really goes.
    pub site: Option<String>,
    /// Whether TLS is spoken: `off`, `opportunistic`, `required`.
    pub tls: Option<String>,
    /// Hosts in order of preference.
    pub hosts: Vec<HostRow>,
    /// The pool.
    pub pool: String,
    /// The source that would be taken now.
    pub source: Option<String>,
    /// Each source of the pool.
    pub sources: Vec<SourceNow>,
    /// Limits of the site.
    pub limits: Vec<LimitRow>,
    /// What keeps all sources away, in words.
    pub obstacles: Vec<String>,
    /// Deliveries to the site that wait in memory for a connection.
    pub waiting: usize,
}

/// A host of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostRow {
    /// Its name.
    pub name: String,
    /// Lower goes first.
    pub preference: u16,
    /// Where it is connected to.
    pub addresses: Vec<String>,
    /// Why it cannot be used, or goes last.
    pub note: Option<String>,
}

/// A source at the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceNow {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its connections to the site.
    pub connections: u32,
    /// What stands in its way, in words.
    pub obstacle: Option<String>,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitRow {
    /// Its name, as in the configuration.
    pub name: String,
    /// Its value; `none` when there is none.
    pub value: String,
    /// What is used of it now, where that can be told.
    pub used: Option<u32>,
}
