//! Limits of a site, and the clock that spaces recipients of a path.

use std::time::Duration;

use relay_config::config::SiteLimits;
use relay_config::values::Rate;

use crate::message::Timestamp;

/// What a site may be asked to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one source.
    pub connections: u32,
    /// Connections of all sources.
    pub connections_total: u32,
    /// Transactions in one connection.
    pub messages_per_connection: u32,
    /// Recipients of one path in a time, spread evenly.
    pub rate: Option<Rate>,
}

impl From<&SiteLimits> for Limits {
    fn from(limits: &SiteLimits) -> Self {
        Self {
            connections: limits.connections.value.max(1),
            connections_total: limits.connections_total.value.max(1),
            messages_per_connection: limits.messages_per_connection.value.max(1),
            rate: limits.rate.value,
        }
    }
}

impl Limits {
    /// A smarthost has no built-in limit: only that of the whole relay holds.
    pub const NONE: Self = Self {
        connections: u32::MAX,
        connections_total: u32::MAX,
        messages_per_connection: u32::MAX,
        rate: None,
    };
}

/// Spaces recipients evenly: no burst, and none saved up while nothing was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spacing {
    next: Timestamp,
}

impl Spacing {
    /// When the next may go.
    pub fn next(self) -> Timestamp {
        self.next
    }

    /// So many recipients go now.
    pub fn take(&mut self, rate: Rate, recipients: usize, now: Timestamp) {
        let count = u32::try_from(recipients).unwrap_or(u32::MAX);
        let each = rate.per / rate.count.max(1);
        self.next =
            self.next.max(now).after(each.saturating_mul(count).max(Duration::from_millis(1)));
    }
}
