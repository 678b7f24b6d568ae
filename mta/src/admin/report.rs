//! What events of a day or a month add up to, for people: asked for, and put into words.

mod causes;
mod paper;
mod words;

pub use causes::CAUSES;
pub use paper::ReportFormat;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{NumbersBy, NumbersRow};

/// Which report is meant. One of `day`, `month`, and `from` with `to` says which time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// A day: `2026-11-24`, `today` or `yesterday`.
    pub day: Option<String>,
    /// A month: `2026-11`, `this` or `last`.
    pub month: Option<String>,
    /// The first day of a longer time: `2026-11-01`.
    pub from: Option<String>,
    /// Its last day; today when not given.
    pub to: Option<String>,
    /// By what it is divided, with commas between: `provider`, `source`, `pool`, `account`, `tag`, `category`. When not
    /// given: by all of these but the pool.
    pub by: Option<String>,
    /// The time zone in which days turn, as `America/Lima`; when not given that of `[reports]`.
    pub zone: Option<String>,
    /// What it is written in; when not given as `[reports]` says.
    pub language: Option<ReportLanguage>,
    /// What it is; when not given, what the header `Accept` asks for first, else `json`.
    pub format: Option<ReportFormat>,
}

/// What a report is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportLanguage {
    /// Spanish.
    #[default]
    Es,
    /// English.
    En,
}

/// What happened in some days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Name of the relay.
    pub relay: String,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// The time zone in which they turn.
    pub zone: String,
    /// What it is written in, where it is written.
    pub language: ReportLanguage,
    /// When it was made (RFC 3339): later events are not in it.
    pub made: String,
    /// Everything.
    pub all: NumbersRow,
    /// Each day on which something happened; of a single day, each hour.
    pub times: Vec<NumbersRow>,
    /// The same divided.
    pub parts: Vec<ReportPart>,
}

/// All of a report, divided by something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportPart {
    /// By what.
    pub by: NumbersBy,
    /// The most mail first.
    pub rows: Vec<NumbersRow>,
}

impl Report {
    /// Whether it is about one day, told hour by hour.
    pub fn is_of_a_day(&self) -> bool {
        self.from == self.to
    }
}

impl NumbersRow {
    /// Of the recipients that have ended, the share that was delivered; `None`: none has ended.
    pub fn delivered_share(&self) -> Option<f64> {
        let ended = self.delivered + self.bounced + self.expired + self.suppressed;
        (ended > 0).then(|| self.delivered as f64 / ended as f64)
    }
}
