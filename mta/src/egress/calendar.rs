//! The day of a pool: when it turns, and the hours over which its mail is spread.

use relay_config::config::{SendDay, SendWindow};

use crate::message::Timestamp;

/// A day as a pool counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    /// Days since 1970-01-01 of the local date.
    pub(super) number: i32,
    /// Capped mail goes from here …
    pub(super) opens: Timestamp,
    /// … to here.
    pub(super) closes: Timestamp,
    /// The next day begins.
    pub(super) ends: Timestamp,
}

/// The day of a window, worked out once a day: time zones are not free.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    window: SendWindow,
    known: Option<SendDay>,
}

impl Calendar {
    pub(super) fn new(window: SendWindow) -> Self {
        Self { window, known: None }
    }

    /// The day that `now` is in.
    pub(super) fn day(&mut self, now: Timestamp) -> Day {
        let millis = now.as_millis();
        let day = match self.known.take() {
            Some(day) if day.contains(millis) => day,
            _ => self.window.day_of(millis),
        };
        (&*self.known.insert(day)).into()
    }

    /// The same, without remembering it.
    pub(super) fn look_up(&self, now: Timestamp) -> Day {
        match &self.known {
            Some(day) if day.contains(now.as_millis()) => day.into(),
            _ => (&self.window.day_of(now.as_millis())).into(),
        }
    }
}

impl From<&SendDay> for Day {
    fn from(day: &SendDay) -> Self {
        let at = Timestamp::from_millis;
        Self {
            number: day.number,
            opens: at(day.opens_millis),
            closes: at(day.closes_millis),
            ends: at(day.ends_millis),
        }
    }
}
