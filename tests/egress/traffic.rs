//! The mail of a public institution: much in office hours, little at night, to a few large
//! providers and many small servers.

use std::time::Duration;

use mta::message::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::providers::{LARGE, SENDING_DOMAINS, Sender};

/// Small servers that are written to.
pub const SMALL: usize = 200;
/// Messages a day.
pub const A_DAY: u32 = 100_000;
/// Per mille of the mail that goes to each of the large providers; the rest goes to small ones.
const MIX: [u32; LARGE.len()] = [450, 180, 120, 80];
/// Share of a day's mail in each hour, in thousandths: an office at five hours west of UTC.
const HOURS: [u32; 24] =
    [18, 9, 7, 7, 7, 5, 5, 5, 5, 7, 9, 15, 25, 75, 110, 115, 105, 95, 70, 85, 100, 80, 26, 15];
/// Of all messages, per mille: to several recipients of one domain.
const SEVERAL: u32 = 40;
/// Of all messages, per mille: somebody waits for them.
const URGENT: u32 = 10;

/// A message to recipients at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// Number of the provider.
    pub place: u16,
    /// Whom it is from.
    pub sender: Sender,
    /// Account (and tag) that submitted it.
    pub account: u8,
    /// It goes before others.
    pub urgent: bool,
    /// The first recipient; further ones follow in number.
    pub first: u64,
    /// Recipients that wait, one bit each.
    pub waiting: u8,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// The source of its last attempt, which was refused.
    pub last_source: Option<u8>,
    /// It must go again from there.
    pub same_source: bool,
    /// It must not go from there again.
    pub other_source: bool,
    /// It was given back once because the connection ended.
    pub given_back: bool,
}

impl Letter {
    /// Recipients that wait.
    pub fn count(&self) -> usize {
        self.waiting.count_ones() as usize
    }
}

/// Where mail comes from.
#[derive(Debug)]
pub struct Traffic {
    random: StdRng,
    next: Timestamp,
    number: u64,
    a_day: u32,
}

impl Traffic {
    /// The traffic of a seed, of so many messages a day.
    pub fn new(seed: u64, start: Timestamp, a_day: u32) -> Self {
        Self { random: StdRng::seed_from_u64(seed.rotate_left(32)), next: start, number: 0, a_day }
    }

    /// When the next message comes.
    pub fn next_at(&self) -> Timestamp {
        self.next
    }

    /// The message that comes now.
    pub fn take(&mut self) -> Letter {
        let accepted = self.next;
        let hour = usize::try_from(accepted.as_millis() / 3_600_000 % 24).unwrap_or(0);
        let thousandths: u32 = HOURS.iter().sum();
        let an_hour = f64::from(self.a_day) * f64::from(HOURS[hour]) / f64::from(thousandths);
        // Exponential gaps: nobody sends by the clock.
        let gap = -(1.0 - self.random.random::<f64>()).ln() * 3600.0 / an_hour;
        self.next = accepted.after(Duration::from_secs_f64(gap.clamp(0.001, 3600.0)));
        self.number += 8;
        let several = self.random.random_range(0..1000) < SEVERAL;
        let recipients = if several { self.random.random_range(2..=5) } else { 1 };
        // The first account sends most; each has domains that it prefers.
        let account: u8 = [0, 0, 0, 1, 1, 2][self.random.random_range(0..6)];
        let domain =
            (usize::from(account) + self.random.random_range(0..3)) % SENDING_DOMAINS.len();
        Letter {
            place: self.place(),
            sender: Sender { domain, local: self.random.random_range(0..2000) },
            account,
            urgent: self.random.random_range(0..1000) < URGENT,
            first: self.number,
            waiting: (1u8 << recipients) - 1,
            accepted,
            attempts: 0,
            last_source: None,
            same_source: false,
            other_source: false,
            given_back: false,
        }
    }

    fn place(&mut self) -> u16 {
        let mut drawn = self.random.random_range(0..1000);
        for (place, share) in (0..).zip(MIX) {
            if drawn < share {
                return place;
            }
            drawn -= share;
        }
        // Some small ones get far more than others.
        let (a, b) = (self.random.random_range(0..SMALL), self.random.random_range(0..SMALL));
        u16::try_from(LARGE.len() + a.min(b)).unwrap_or(u16::MAX)
    }
}

/// Share of all mail that goes to a place, on average.
pub fn share_of(place: usize) -> f64 {
    let rest = 1000 - MIX.iter().sum::<u32>();
    match MIX.get(place) {
        Some(share) => f64::from(*share) / 1000.0,
        None => f64::from(rest) / 1000.0 / SMALL as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_messages_and_its_hours() {
        let start = Timestamp::from_millis(0);
        let mut traffic = Traffic::new(1, start, A_DAY);
        let (mut all, mut noon, mut google, mut several) = (0_u32, 0_u32, 0_u32, 0_u32);
        while traffic.next_at() < start.after(Duration::from_hours(24)) {
            let letter = traffic.take();
            all += 1;
            let hour = letter.accepted.as_millis() / 3_600_000;
            noon += u32::from((13..21).contains(&hour));
            google += u32::from(letter.place == 0);
            several += u32::from(letter.count() > 1);
        }
        assert!((98_000..102_000).contains(&all), "{all}");
        assert!((73_000..78_000).contains(&noon), "{noon}");
        assert!((44_000..46_000).contains(&google), "{google}");
        assert!((3_600..4_400).contains(&several), "{several}");
        let shares: f64 = (0..LARGE.len() + SMALL).map(share_of).sum();
        assert!((shares - 1.0).abs() < 1e-9);
    }
}
