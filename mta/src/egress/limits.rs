//! Limits of a site as one pool's mail meets them, and the clock that spaces recipients and connections.

use std::time::Duration;

use relay_config::config::SiteLimits;
use relay_config::values::Rate;

use crate::message::Timestamp;

/// What a site may be asked to take. Each limit is there twice: for one source, and for all of them
/// together (18 sources with 5 connections each are 90 connections at one small server).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one source.
    pub connections: u32,
    /// Connections of all sources.
    pub connections_total: u32,
    /// Connections that one source may open in a minute; `None`: any number.
    pub connections_per_minute: Option<u32>,
    /// Connections that all sources may open in a minute; `None`: any number.
    pub connections_per_minute_total: Option<u32>,
    /// Transactions in one connection.
    pub messages_per_connection: u32,
    /// RCPT in one transaction; `None`: no limit of the site.
    pub recipients_per_message: Option<u32>,
    /// Recipients of one source in a time, spread evenly.
    pub rate: Option<Rate>,
    /// Recipients of all sources in a time, spread evenly.
    pub rate_total: Option<Rate>,
    /// Recipients of one source in a day.
    pub per_day: Option<u32>,
    /// Recipients of all sources in a day.
    pub per_day_total: Option<u32>,
}

impl From<&SiteLimits> for Limits {
    fn from(limits: &SiteLimits) -> Self {
        Self {
            connections: limits.connections.value.max(1),
            connections_total: limits.connections_total.value.max(1),
            connections_per_minute: limits.connections_per_minute.value,
            connections_per_minute_total: limits.connections_per_minute_total.value,
            messages_per_connection: limits.messages_per_connection.value.max(1),
            recipients_per_message: limits.recipients_per_message.value,
            rate: limits.rate.value,
            rate_total: limits.rate_total.value,
            per_day: limits.per_day.value,
            per_day_total: limits.per_day_total.value,
        }
    }
}

impl Limits {
    /// A smarthost has no built-in limit: only that of the whole relay holds.
    pub const NONE: Self = Self {
        connections: u32::MAX,
        connections_total: u32::MAX,
        connections_per_minute: None,
        connections_per_minute_total: None,
        messages_per_connection: u32::MAX,
        recipients_per_message: None,
        rate: None,
        rate_total: None,
        per_day: None,
        per_day_total: None,
    };
}

/// Time between two at this rate.
pub(super) fn interval(rate: Rate) -> Duration {
    (rate.per / rate.count.max(1)).max(Duration::from_millis(1))
}

/// Time between two of so many a minute.
pub(super) fn minutely(count: Option<u32>) -> Option<Duration> {
    count.map(|count| interval(Rate { count, per: Duration::from_mins(1) }))
}

/// Spaces evenly: no burst, and none saved up while nothing was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spacing {
    next: Timestamp,
}

impl Spacing {
    /// Nothing goes before then.
    pub fn from(next: Timestamp) -> Self {
        Self { next }
    }

    /// When the next may go.
    pub fn next(self) -> Timestamp {
        self.next
    }

    /// So many go now, each `every` after the one before.
    pub fn take(&mut self, every: Duration, count: u32, now: Timestamp) {
        self.next = self.next.max(now).after(every.saturating_mul(count));
    }
}
