//! What events add up to.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which sums are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct NumbersQuery {
    /// From the step that this lies in: RFC 3339, a day (`2026-11-24`) or time of day (`2026-11-24T08:00`) of the zone,
    /// or how long ago (`2h`, `7d`). When not given: an hour, a day or thirty days ago, by the step.
    pub from: Option<String>,
    /// Until then: written like `from`; now when not given.
    pub to: Option<String>,
    /// What a row covers: `hour` when not given. Minutes are kept for two days, hours for 400.
    pub step: Option<NumbersStep>,
    /// Rows of each name: `none` when not given. Minutes are known by provider only.
    pub by: Option<NumbersBy>,
    /// The time zone in which days turn and times are told, as `America/Lima`: `UTC` when not given.
    pub zone: Option<String>,
}

/// What a row of sums covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NumbersStep {
    /// A minute.
    Minute,
    /// An hour.
    #[default]
    Hour,
    /// A day of the zone.
    Day,
    /// All of the time that is asked for.
    All,
}

/// By what events are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NumbersBy {
    /// All together.
    #[default]
    None,
    /// Whose the destination is.
    Provider,
    /// The source that was used.
    Source,
    /// The pool.
    Pool,
    /// Whose the mail is.
    Account,
    /// What the reply of a deferral, bounce or expiry was about; nothing else is in these rows.
    Category,
    /// Tag: mail with several stands in several.
    Tag,
    /// Domain of the recipients; only what was bounced or expired is in these rows.
    Domain,
}

/// Sums of one name in one step of time. Recipients are counted, each attempt once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NumbersRow {
    /// When the step begins (RFC 3339, in the zone).
    pub from: String,
    /// Of whom: `other` of those who have no name of their own, `none` of what names nobody (who accepts mail knows no
    /// provider and no source yet). Empty when all are together.
    pub name: String,
    /// Recipients that we took responsibility for.
    pub accepted: u64,
    /// Recipients that a peer took responsibility for.
    pub delivered: u64,
    /// Attempts that are made again.
    pub deferred: u64,
    /// Recipients refused for good, or removed by an operator.
    pub bounced: u64,
    /// Recipients whose time was over.
    pub expired: u64,
    /// Recipients not sent to because of the suppression list.
    pub suppressed: u64,
    /// Complaints.
    pub complaints: u64,
    /// Octets of what was delivered.
    pub octets: u64,
    /// Seconds from acceptance within which half of it was delivered, about.
    pub median_seconds: Option<f64>,
    /// The same for 95 of 100.
    pub p95_seconds: Option<f64>,
}
