//! When something may go, and what keeps it until then.

use crate::message::Timestamp;

/// What keeps mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The source could not be used a moment ago.
    Rests,
    /// The rate of the source, or what the peer taught us of it.
    Rate,
    /// The rate of all sources together.
    RateTotal,
    /// Connections are opened one after another.
    ConnectionsPerMinute,
    /// The peer told the source to slow down.
    Slowed,
    /// The peer refused the source.
    Suspended,
    /// The source comes back, a probe at a time.
    Probing,
    /// The cap of the day is spread over the window.
    Spread,
    /// The cap of a source that warms up is used.
    WarmUpSpent(u32),
    /// What a source may send in a day is used.
    DaySpent(u32),
    /// What all sources may send in a day is used.
    DayTotalSpent(u32),
    /// The sending window of the pool is closed.
    Window,
}

impl Reason {
    /// In one word each, with what it means: for metrics.
    pub const WORDS: [(&'static str, &'static str); 12] = [
        ("rests", "the source could not be used a moment ago"),
        ("rate", "the rate of the source is used"),
        ("rate-total", "the rate of all sources together is used"),
        ("connections-per-minute", "connections are opened one after another"),
        ("slowed", "the server asked the source for less"),
        ("suspended", "the server refused the source"),
        ("probing", "the source comes back after a suspension"),
        ("spread", "the cap of the source is spread over the day"),
        ("warm-up", "the source warms up, and its cap of today is used"),
        ("per-day", "what one source may send in a day is used"),
        ("per-day-total", "what all sources may send in a day is used"),
        ("window", "the sending window of the pool is closed"),
    ];

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rests => "rests",
            Self::Rate => "rate",
            Self::RateTotal => "rate-total",
            Self::ConnectionsPerMinute => "connections-per-minute",
            Self::Slowed => "slowed",
            Self::Suspended => "suspended",
            Self::Probing => "probing",
            Self::Spread => "spread",
            Self::WarmUpSpent(_) => "warm-up",
            Self::DaySpent(_) => "per-day",
            Self::DayTotalSpent(_) => "per-day-total",
            Self::Window => "window",
        }
    }

    /// For people.
    pub fn sentence(self) -> String {
        match self {
            Self::Rests => "the source could not be used and rests".to_owned(),
            Self::Rate => "the rate of the source is used".to_owned(),
            Self::RateTotal => "the rate of all sources together is used".to_owned(),
            Self::ConnectionsPerMinute => "connections are opened one after another".to_owned(),
            Self::Slowed => "the server asked the source for less".to_owned(),
            Self::Suspended => "the server refused the source, which is suspended there".to_owned(),
            Self::Probing => {
                "the source comes back after a suspension, by single messages".to_owned()
            }
            Self::Spread => "the cap of the source is spread evenly over the day".to_owned(),
            Self::WarmUpSpent(cap) => {
                format!("the source warms up, and its cap of {cap} recipients is used for today")
            }
            Self::DaySpent(cap) => {
                format!("the {cap} recipients that one source may send there in a day are used")
            }
            Self::DayTotalSpent(cap) => {
                format!("the {cap} recipients that all sources may send there in a day are used")
            }
            Self::Window => "the sending window of the pool is closed".to_owned(),
        }
    }
}

/// A moment, and what keeps mail until then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gate {
    until: Timestamp,
    reason: Option<Reason>,
}

impl Gate {
    /// Nothing keeps it.
    pub(super) const OPEN: Self = Self { until: Timestamp::from_millis(0), reason: None };

    /// Kept until then, for this.
    pub(super) fn until(until: Timestamp, reason: Reason) -> Self {
        Self { until, reason: Some(reason) }
    }

    /// The later of two.
    pub(super) fn and(self, other: Self) -> Self {
        if other.until > self.until { other } else { self }
    }

    /// When it opens.
    pub(super) fn opens(self) -> Timestamp {
        self.until
    }

    /// Whether it is open.
    pub(super) fn is_open(self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// What keeps mail now, and until when.
    pub(super) fn kept(self, now: Timestamp) -> Option<(Reason, Timestamp)> {
        self.reason.filter(|_| self.until > now).map(|reason| (reason, self.until))
    }
}
