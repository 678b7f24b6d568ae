//! A destination is asked how it answers, and what it answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whom to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeOrder {
    /// A domain; or an address, which the server is asked to take (RCPT). No mail is sent.
    pub to: String,
    /// From this source, whatever its state. When not given: from each that is active in the pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// The pool; when not given `delivery.pool`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// The sender that the server is told (MAIL); when not given `postmaster@` and the name of the relay.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<String>,
}

/// What a destination answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbeAnswer {
    /// Domain that is routed.
    pub routing_domain: String,
    /// `mx` or `smarthost`.
    pub route: String,
    /// Where the mail really goes.
    pub site: String,
    /// Provider that the site belongs to.
    pub provider: Option<String>,
    /// Hosts, with their preference, in the order in which they are tried.
    pub hosts: Vec<String>,
    /// `off`, `opportunistic` or `required`.
    pub tls: String,
    /// Each source that asked.
    pub sources: Vec<ProbeRow>,
}

/// What it answered one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbeRow {
    /// The source.
    pub source: String,
    /// Its address.
    pub address: String,
    /// Everything went well.
    pub good: bool,
    /// Host that was spoken to.
    pub host: Option<String>,
    /// Protocol and cipher suite; nothing: in clear.
    pub tls: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
    /// What went wrong.
    pub cause: Option<String>,
    /// The reply, where the server gave one.
    pub reply: Option<String>,
    /// Rule that knows the reply.
    pub rule: Option<String>,
    /// What the reply is about.
    pub category: Option<String>,
    /// What was done and said, in order.
    pub steps: Vec<ProbeStep>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbeStep {
    /// Seconds since it began.
    pub after: f64,
    /// `done`; or what was `sent` or `heard`.
    pub kind: String,
    /// It.
    pub text: String,
}
