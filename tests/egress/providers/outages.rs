//! Times in which a provider is in trouble of its own, whoever sends.

use std::time::Duration;

use mta::message::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;

/// Days for which outages are drawn.
const DAYS: u64 = 60;

/// How it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No answer at all.
    Silent,
    /// Connections are refused, those that are open break.
    Down,
    /// The banner says to come later.
    Busy,
    /// Messages cannot be stored.
    Failing,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// When it begins.
    pub from: Timestamp,
    /// When it is over.
    pub until: Timestamp,
    /// How it shows.
    pub trouble: Trouble,
}

/// Up to `most` outages of up to `longest` somewhere in the time after `start`.
pub fn draw(random: &mut StdRng, start: Timestamp, most: u32, longest: Duration) -> Vec<Outage> {
    let count = random.random_range(0..=most);
    let mut outage = || {
        let from = start.after(Duration::from_mins(random.random_range(0..DAYS * 24 * 60)));
        let lasts = random.random_range(2..=longest.as_secs() / 60);
        let kinds = [Trouble::Silent, Trouble::Down, Trouble::Busy, Trouble::Failing];
        let trouble = kinds[random.random_range(0..kinds.len())];
        Outage { from, until: from.after(Duration::from_mins(lasts)), trouble }
    };
    (0..count).map(|_| outage()).collect()
}

/// What is the matter now.
pub fn trouble(outages: &[Outage], now: Timestamp) -> Option<Trouble> {
    let running = outages.iter().find(|outage| outage.from <= now && now < outage.until);
    running.map(|outage| outage.trouble)
}
