//! What is asked about the suppression list, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Addresses that one order puts on the list: what fits well into the body of a request.
pub const ADDRESSES_MAX: usize = 5_000;

/// Which entries are meant. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SuppressionQuery {
    /// Domain of the addresses; also the entry of all of it.
    pub domain: Option<String>,
    /// Entries of this account only.
    pub account: Option<String>,
    /// `reply` or `order`.
    pub cause: Option<String>,
    /// Rows at most: 100 when not given, 1,000 at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub from: Option<String>,
}

/// Somebody nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuppressionRow {
    /// An address, or `@example.pe` for all of a domain.
    pub address: String,
    /// Only mail of this account; nothing: of all.
    pub account: Option<String>,
    /// Since when (RFC 3339).
    pub since: String,
    /// Until when (RFC 3339); nothing: until it is removed.
    pub until: Option<String>,
    /// `reply`: a server said that nobody is there. `order`: a person or a program put it on the list.
    pub cause: String,
    /// Who put it there.
    pub who: Option<String>,
    /// The reason that was given, or what the server said.
    pub why: String,
    /// The rule that read what the server said.
    pub rule: Option<String>,
}

/// Who gets no more mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuppressionOrder {
    /// Addresses, or `@example.pe` for all of a domain; 1 to 5,000. With one that cannot be, none is taken.
    pub addresses: Vec<String>,
    /// Only mail of this account.
    #[serde(default)]
    pub account: Option<String>,
    /// For so long; without it, until it is removed.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Why. It stands in the list, in the events and in notices to senders.
    pub why: String,
    /// Who orders it: whoever asks is put in.
    #[serde(skip)]
    pub who: String,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuppressionsAdded {
    /// Entries that were made.
    pub added: usize,
    /// Entries that were there, and say now what was ordered.
    pub replaced: usize,
}

/// Which entry of an address is taken off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SuppressionRemoval {
    /// Only the one of this account; without it, all of the address.
    pub account: Option<String>,
}
