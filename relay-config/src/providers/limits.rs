//! What a destination may be asked to take: the limits that hold, each with its origin, and those
//! that one table writes, laid over what is below.

use std::fmt;

use toml::de::DeTable;

use crate::fields::{Fields, Reader};
use crate::origin::{Origin, Setting};
use crate::parse::{count_from, or_none, rate};
use crate::values::Rate;

/// Limits of a destination, at two levels: of one source there (a path), and of all together
/// (the names that end in `total`). They count recipients, but for the messages of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteLimits {
    /// Connections of one source to the site, open at a time.
    pub connections: Setting<u32>,
    /// Connections of all sources to the site, open at a time.
    pub connections_total: Setting<u32>,
    /// Connections that one source may open in a minute; `None`: any number.
    pub connections_per_minute: Setting<Option<u32>>,
    /// Connections that all sources may open in a minute; `None`: any number.
    pub connections_per_minute_total: Setting<Option<u32>>,
    /// Transactions in one connection.
    pub messages_per_connection: Setting<u32>,
    /// RCPT in one transaction; `None`: `delivery.recipients_per_transaction` alone holds, which
    /// is never exceeded.
    pub recipients_per_message: Setting<Option<u32>>,
    /// Recipients one source may send to in a time, spread evenly; `None`: no rate.
    pub rate: Setting<Option<Rate>>,
    /// Recipients all sources together may send to in a time, spread evenly; `None`: no rate.
    pub rate_total: Setting<Option<Rate>>,
    /// Recipients one source may send to in a day; `None`: any number.
    pub per_day: Setting<Option<u32>>,
    /// Recipients all sources together may send to in a day; `None`: any number.
    pub per_day_total: Setting<Option<u32>>,
}

/// One limit, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow<'a> {
    /// Its key in the configuration.
    pub name: &'static str,
    /// What holds.
    pub value: LimitValue,
    /// Who decided it.
    pub origin: &'a Origin,
}

/// The value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitValue {
    /// So many.
    Count(u32),
    /// So many in a time.
    Rate(Rate),
    /// No limit.
    None,
}

/// The limits that one table writes: `None` leaves what is below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WrittenLimits {
    connections: Option<Setting<u32>>,
    connections_total: Option<Setting<u32>>,
    connections_per_minute: Option<Setting<Option<u32>>>,
    connections_per_minute_total: Option<Setting<Option<u32>>>,
    messages_per_connection: Option<Setting<u32>>,
    recipients_per_message: Option<Setting<Option<u32>>>,
    rate: Option<Setting<Option<Rate>>>,
    rate_total: Option<Setting<Option<Rate>>>,
    per_day: Option<Setting<Option<u32>>>,
    per_day_total: Option<Setting<Option<u32>>>,
}

impl SiteLimits {
    /// Each limit in the order of the reference.
    pub fn rows(&self) -> [LimitRow<'_>; 10] {
        fn row<'a, T: Copy + Into<LimitValue>>(
            name: &'static str,
            setting: &'a Setting<T>,
        ) -> LimitRow<'a> {
            LimitRow { name, value: setting.value.into(), origin: &setting.origin }
        }
        [
            row("connections", &self.connections),
            row("connections_total", &self.connections_total),
            row("connections_per_minute", &self.connections_per_minute),
            row("connections_per_minute_total", &self.connections_per_minute_total),
            row("messages_per_connection", &self.messages_per_connection),
            row("recipients_per_message", &self.recipients_per_message),
            row("rate", &self.rate),
            row("rate_total", &self.rate_total),
            row("per_day", &self.per_day),
            row("per_day_total", &self.per_day_total),
        ]
    }
}

impl WrittenLimits {
    /// These where they are written, `below` elsewhere.
    pub fn over(&self, below: &SiteLimits) -> SiteLimits {
        fn pick<T: Clone>(written: Option<&Setting<T>>, below: &Setting<T>) -> Setting<T> {
            written.unwrap_or(below).clone()
        }
        SiteLimits {
            connections: pick(self.connections.as_ref(), &below.connections),
            connections_total: pick(self.connections_total.as_ref(), &below.connections_total),
            connections_per_minute: pick(
                self.connections_per_minute.as_ref(),
                &below.connections_per_minute,
            ),
            connections_per_minute_total: pick(
                self.connections_per_minute_total.as_ref(),
                &below.connections_per_minute_total,
            ),
            messages_per_connection: pick(
                self.messages_per_connection.as_ref(),
                &below.messages_per_connection,
            ),
            recipients_per_message: pick(
                self.recipients_per_message.as_ref(),
                &below.recipients_per_message,
            ),
            rate: pick(self.rate.as_ref(), &below.rate),
            rate_total: pick(self.rate_total.as_ref(), &below.rate_total),
            per_day: pick(self.per_day.as_ref(), &below.per_day),
            per_day_total: pick(self.per_day_total.as_ref(), &below.per_day_total),
        }
    }

    /// The same, as decided by who chose the template that these are.
    pub fn chosen(&self, origin: &Origin) -> Self {
        fn by<T: Copy>(setting: Option<&Setting<T>>, origin: &Origin) -> Option<Setting<T>> {
            setting.map(|setting| Setting { value: setting.value, origin: origin.clone() })
        }
        Self {
            connections: by(self.connections.as_ref(), origin),
            connections_total: by(self.connections_total.as_ref(), origin),
            connections_per_minute: by(self.connections_per_minute.as_ref(), origin),
            connections_per_minute_total: by(self.connections_per_minute_total.as_ref(), origin),
            messages_per_connection: by(self.messages_per_connection.as_ref(), origin),
            recipients_per_message: by(self.recipients_per_message.as_ref(), origin),
            rate: by(self.rate.as_ref(), origin),
            rate_total: by(self.rate_total.as_ref(), origin),
            per_day: by(self.per_day.as_ref(), origin),
            per_day_total: by(self.per_day_total.as_ref(), origin),
        }
    }
}

/// Reads `[delivery.limits]`: what everyone gets who is no known provider.
pub(crate) fn everyones(f: &mut Fields<'_>) -> SiteLimits {
    SiteLimits {
        connections: f.setting_or("connections", "2", CONNECTIONS, count_from(1)),
        connections_total: f.setting_or(
            "connections_total",
            "10",
            CONNECTIONS_TOTAL,
            count_from(1),
        ),
        connections_per_minute: f.setting_or(
            "connections_per_minute",
            NONE,
            PER_MINUTE,
            or_none(count_from(1)),
        ),
        connections_per_minute_total: f.setting_or(
            "connections_per_minute_total",
            NONE,
            PER_MINUTE_TOTAL,
            or_none(count_from(1)),
        ),
        messages_per_connection: f.setting_or(
            "messages_per_connection",
            "20",
            MESSAGES,
            count_from(1),
        ),
        recipients_per_message: f.setting_or(
            "recipients_per_message",
            NONE,
            RECIPIENTS,
            or_none(count_from(1)),
        ),
        rate: f.setting_or("rate", NONE, RATE, or_none(rate)),
        rate_total: f.setting_or("rate_total", NONE, RATE_TOTAL, or_none(rate)),
        per_day: f.setting_or("per_day", NONE, PER_DAY, or_none(count_from(1))),
        per_day_total: f.setting_or("per_day_total", NONE, PER_DAY_TOTAL, or_none(count_from(1))),
    }
}

/// `[delivery.limits]` of a file that does not write it.
pub(super) fn default_limits() -> SiteLimits {
    let mut nothing = Reader::default();
    everyones(&mut Fields::root(&mut nothing, &DeTable::new()))
}

/// Reads `[provider.limits]`: only what is written changes.
pub(crate) fn providers(f: &mut Fields<'_>) -> WrittenLimits {
    WrittenLimits {
        connections: f.setting("connections", "5", CONNECTIONS, count_from(1)),
        connections_total: f.setting("connections_total", "20", CONNECTIONS_TOTAL, count_from(1)),
        connections_per_minute: f.setting(
            "connections_per_minute",
            "30",
            PER_MINUTE,
            or_none(count_from(1)),
        ),
        connections_per_minute_total: f.setting(
            "connections_per_minute_total",
            "60",
            PER_MINUTE_TOTAL,
            or_none(count_from(1)),
        ),
        messages_per_connection: f.setting(
            "messages_per_connection",
            "50",
            MESSAGES,
            count_from(1),
        ),
        recipients_per_message: f.setting(
            "recipients_per_message",
            "100",
            RECIPIENTS,
            or_none(count_from(1)),
        ),
        rate: f.setting("rate", "\"1500/h\"", RATE, or_none(rate)),
        rate_total: f.setting("rate_total", "\"6000/h\"", RATE_TOTAL, or_none(rate)),
        per_day: f.setting("per_day", "20000", PER_DAY, or_none(count_from(1))),
        per_day_total: f.setting("per_day_total", "50000", PER_DAY_TOTAL, or_none(count_from(1))),
    }
}

const NONE: &str = "\"none\"";
const CONNECTIONS: &str = "Connections of one source to one destination.";
const CONNECTIONS_TOTAL: &str = "Connections of all sources to one destination.";
const PER_MINUTE: &str =
    "Connections that one source may open to one destination in a minute; `none`: any number.";
const PER_MINUTE_TOTAL: &str =
    "Connections that all sources may open to one destination in a minute; `none`: any number.";
const MESSAGES: &str = "Messages in one connection.";
const RECIPIENTS: &str = "RCPT in one transaction, never above `delivery.recipients_per_transaction`; `none`: that alone.";
const RATE: &str =
    "Recipients of one source to one destination in a time, spread evenly; `none`: no rate.";
const RATE_TOTAL: &str =
    "Recipients of all sources to one destination in a time, spread evenly; `none`: no rate.";
const PER_DAY: &str = "Recipients of one source to one destination in a day; `none`: any number.";
const PER_DAY_TOTAL: &str =
    "Recipients of all sources to one destination in a day; `none`: any number.";

impl From<u32> for LimitValue {
    fn from(count: u32) -> Self {
        Self::Count(count)
    }
}

impl From<Option<u32>> for LimitValue {
    fn from(count: Option<u32>) -> Self {
        count.map_or(Self::None, Self::Count)
    }
}

impl From<Option<Rate>> for LimitValue {
    fn from(rate: Option<Rate>) -> Self {
        rate.map_or(Self::None, Self::Rate)
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Rate(rate) => rate.fmt(f),
            Self::None => f.write_str("none"),
        }
    }
}
