//! How a source stands at a site, and how it comes back: from a suspension by single probes, then with a
//! share of its rate, then with all of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Timestamp;

/// Probes that must be taken, one after another, before a suspended path is given a share.
const PROBES: u8 = 3;
/// Time between two probes.
pub(super) const PROBE_EVERY: Duration = Duration::from_mins(5);
/// Time between two recipients of a path that was told to slow down.
pub(super) const SLOW_EVERY: Duration = Duration::from_mins(1);
/// Share of its rate that a path gets back after its probes, in percent.
pub(super) const SHARE_PERCENT: u32 = 10;

/// How a path stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Within its limits.
    #[default]
    Active,
    /// One connection and about one message a minute.
    Slowed {
        /// Until then.
        until: Timestamp,
    },
    /// Nothing goes.
    Suspended {
        /// Until then; `None`: until an operator resumes it.
        until: Option<Timestamp>,
        /// Other sources take its mail.
        moves: bool,
    },
    /// One message at a time, until enough of them were taken.
    Probing {
        /// So many were.
        taken: u8,
    },
}

/// What made a path what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The rule that knew the reply, or a word of ours.
    pub rule: String,
    /// What the peer said, or what was seen.
    pub said: String,
    /// When.
    pub at: Timestamp,
}

/// Time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nothing changed.
    Nothing,
    /// It is no longer slowed.
    Quickens,
    /// Its suspension is over: it is probed.
    Probes,
}

impl Health {
    /// What it is at this time.
    pub(super) fn advance(&mut self, now: Timestamp) -> Passed {
        match *self {
            Self::Slowed { until } if until <= now => {
                *self = Self::Active;
                Passed::Quickens
            }
            Self::Suspended { until: Some(until), .. } if until <= now => {
                *self = Self::Probing { taken: 0 };
                Passed::Probes
            }
            _ => Passed::Nothing,
        }
    }

    /// A peer took a message. `true`: it was the last probe that was wanted.
    pub(super) fn taken(&mut self) -> bool {
        let Self::Probing { taken } = self else { return false };
        *taken += 1;
        if *taken < PROBES {
            return false;
        }
        *self = Self::Active;
        true
    }

    /// It is slowed at least until then; what is suspended stays so.
    pub(super) fn slow(&mut self, until: Timestamp) {
        match *self {
            Self::Suspended { .. } => {}
            Self::Slowed { until: before } => *self = Self::Slowed { until: before.max(until) },
            Self::Active | Self::Probing { .. } => *self = Self::Slowed { until },
        }
    }

    /// It is suspended at least until then (`None`: until an operator resumes it).
    pub(super) fn suspend(&mut self, until: Option<Timestamp>, moves: bool) {
        *self = match *self {
            Self::Suspended { until: before, moves: already } => {
                let until = before.and_then(|before| until.map(|until| until.max(before)));
                Self::Suspended { until, moves: moves || already }
            }
            _ => Self::Suspended { until, moves },
        };
    }

    /// Whether its share is kept from the site: the others may not take what it would have carried.
    pub(super) fn keeps_its_share(&self) -> bool {
        matches!(self, Self::Slowed { .. } | Self::Suspended { moves: false, .. })
    }

    /// Whether nothing goes.
    pub(super) fn is_suspended(&self) -> bool {
        matches!(self, Self::Suspended { .. })
    }

    /// Until when it is what it is.
    pub fn until(&self) -> Timestamp {
        match *self {
            Self::Slowed { until } => until,
            Self::Suspended { until, .. } => until.unwrap_or(Timestamp::MAX),
            Self::Active | Self::Probing { .. } => Timestamp::default(),
        }
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Slowed { .. } => "slowed",
            Self::Suspended { .. } => "suspended",
            Self::Probing { .. } => "probing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_suspended_path_comes_back_by_probes() {
        let hour = NOW.after(Duration::from_hours(1));
        let mut health = Health::default();
        health.suspend(Some(hour), false);
        assert!(health.keeps_its_share());
        health.slow(NOW.after(Duration::from_hours(9)));
        assert_eq!(health.word(), "suspended");
        assert_eq!(health.advance(NOW), Passed::Nothing);
        assert_eq!(health.advance(hour), Passed::Probes);
        assert_eq!([health.taken(), health.taken(), health.taken()], [false, false, true]);
        assert_eq!((health, health.taken()), (Health::Active, false));
    }

    #[test]
    fn what_holds_longer_holds() {
        let [hour, day] = [1, 24].map(|hours| NOW.after(Duration::from_hours(hours)));
        let mut health = Health::default();
        health.suspend(Some(day), false);
        health.suspend(Some(hour), true);
        assert_eq!(health, Health::Suspended { until: Some(day), moves: true });
        assert!(!health.keeps_its_share());
        health.suspend(None, false);
        health.suspend(Some(day), false);
        assert_eq!(health, Health::Suspended { until: None, moves: true });
        assert_eq!(health.advance(Timestamp::MAX), Passed::Nothing);
        let mut slow = Health::Slowed { until: day };
        slow.slow(hour);
        assert_eq!(slow, Health::Slowed { until: day });
        assert_eq!(slow.advance(day), Passed::Quickens);
    }
}
