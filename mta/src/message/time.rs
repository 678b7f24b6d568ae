//! Wall-clock time, to the millisecond: what is stored, compared with due times and shown.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that can be told: "never".
    pub const MAX: Self = Self(u64::MAX);

    /// From milliseconds since 1970-01-01 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time that passed since `earlier`; zero when it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This much later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This much earlier, at least zero.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// From RFC 3339: `2026-11-24T13:05:00-05:00`. What is before 1970 is nothing.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.trim().parse().ok()?;
        u64::try_from(time.as_millisecond()).ok().map(Self)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-24T13:05:00.123Z`.
    pub fn to_rfc3339(self) -> String {
        format!("{:.3}", self.to_jiff())
    }

    /// From RFC 3339, or a day (`2026-11-24`) whose first moment in UTC is meant.
    pub fn parse(text: &str) -> Option<Self> {
        let midnight = format!("{text}T00:00:00Z");
        let parsed: jiff::Timestamp = text.parse().or_else(|_| midnight.parse()).ok()?;
        u64::try_from(parsed.as_millisecond()).ok().map(Self)
    }

    /// RFC 5322 section 3.3 in UTC: `Tue, 24 Nov 2026 13:05:00 +0000`.
    pub fn to_rfc5322(self) -> String {
        self.to_jiff().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    fn to_jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations() {
        let time = Timestamp::from_millis(1_795_525_500_123);
        assert_eq!(time.to_rfc3339(), "2026-11-24T13:05:00.123Z");
        assert_eq!(time.to_rfc5322(), "Tue, 24 Nov 2026 13:05:00 +0000");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-24T13:05:00.123Z"), Some(time));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-24T08:05:00.123-05:00"), Some(time));
        for wrong in ["", "tomorrow", "2026-11-24", "2026-11-24T13:05:00", "1950-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse_rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_people_write_is_read() {
        for (text, expected) in [
            ("2026-11-24T13:05:00.123Z", Some("2026-11-24T13:05:00.123Z")),
            ("2026-11-24T08:05:00-05:00", Some("2026-11-24T13:05:00.000Z")),
            ("2026-11-24", Some("2026-11-24T00:00:00.000Z")),
            ("1969-11-24", None),
            ("24/11/2026", None),
            ("", None),
        ] {
            let read = Timestamp::parse(text).map(Timestamp::to_rfc3339);
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.after(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::default().since(Timestamp::from_millis(5)), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(5).before(Duration::from_secs(1)), Timestamp::default());
    }
}
