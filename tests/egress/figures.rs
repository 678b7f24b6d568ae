//! What came of it, day by day, and as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use mta::message::Timestamp;

use crate::providers::Internet;
use crate::simulation::DAY;

/// One day. Recipients, not messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Day {
    /// Accepted from clients.
    pub accepted: u64,
    /// Taken by servers.
    pub sent: u64,
    /// Attempts that came to nothing, for now.
    pub deferred: u64,
    /// Refused for good.
    pub failed: u64,
    /// Given up for their age.
    pub expired: u64,
    /// Messages that waited when it ended.
    pub waiting: u64,
    /// Sources replaced since the beginning.
    pub swaps: u32,
}

/// All days.
#[derive(Debug)]
pub struct Figures {
    start: Timestamp,
    /// Each day from the first.
    pub days: Vec<Day>,
    /// Seconds from acceptance to delivery, of each recipient.
    seconds: Vec<u32>,
    /// Recipients that a crash made get a message twice.
    pub twice: u64,
    /// Recipients that were accepted for each place, and those of them that its server took.
    pub places: BTreeMap<u16, (u64, u64)>,
    /// How often an operator released or resumed something.
    pub acts: usize,
    /// How often a message was put back because of a limit of ours.
    pub postponed: u64,
    /// Recipients that wait at the end.
    pub waiting_recipients: u64,
}

impl Figures {
    /// Nothing has happened yet.
    pub fn new(start: Timestamp) -> Self {
        let days = vec![Day::default()];
        Self {
            start,
            days,
            seconds: Vec::new(),
            twice: 0,
            places: BTreeMap::new(),
            acts: 0,
            postponed: 0,
            waiting_recipients: 0,
        }
    }

    fn day(&mut self, now: Timestamp) -> &mut Day {
        let day = day_of(self.start, now);
        if self.days.len() <= day {
            self.days.resize(day + 1, Day::default());
        }
        &mut self.days[day]
    }

    /// Recipients of an accepted message.
    pub fn accepted(&mut self, place: u16, recipients: usize, now: Timestamp) {
        self.places.entry(place).or_default().0 += recipients as u64;
        self.day(now).accepted += recipients as u64;
    }

    /// Recipients that were taken, so long after their message was accepted.
    pub fn sent(&mut self, place: u16, recipients: usize, after: Duration, now: Timestamp) {
        self.places.entry(place).or_default().1 += recipients as u64;
        self.day(now).sent += recipients as u64;
        let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
        self.seconds.extend(std::iter::repeat_n(seconds, recipients));
    }

    /// Recipients that were not taken for now.
    pub fn deferred(&mut self, recipients: usize, now: Timestamp) {
        self.day(now).deferred += recipients as u64;
    }

    /// Recipients that were refused for good.
    pub fn failed(&mut self, recipients: usize, now: Timestamp) {
        self.day(now).failed += recipients as u64;
    }

    /// Recipients whose time was over.
    pub fn expired(&mut self, recipients: usize, now: Timestamp) {
        self.day(now).expired += recipients as u64;
    }

    /// A day has ended, with so many messages left and so many sources replaced since the beginning.
    pub fn midnight(&mut self, waiting: usize, swaps: u32, now: Timestamp) {
        let day = self.day(now.before(Duration::from_secs(1)));
        day.waiting = waiting as u64;
        day.swaps = swaps;
    }

    /// All days together.
    pub fn total(&self) -> Day {
        self.days.iter().fold(Day::default(), |total, day| Day {
            accepted: total.accepted + day.accepted,
            sent: total.sent + day.sent,
            deferred: total.deferred + day.deferred,
            failed: total.failed + day.failed,
            expired: total.expired + day.expired,
            waiting: day.waiting,
            swaps: day.swaps,
        })
    }

    /// Times to deliver: so many per cent of what was delivered took this long at most.
    pub fn percentiles<const N: usize>(&mut self, percents: [usize; N]) -> [Duration; N] {
        self.seconds.sort_unstable();
        let count = self.seconds.len();
        percents.map(|percent| {
            let place = (count * percent / 100).min(count.saturating_sub(1));
            Duration::from_secs(self.seconds.get(place).copied().unwrap_or(0).into())
        })
    }
}

/// Which day it is, from 0.
fn day_of(start: Timestamp, now: Timestamp) -> usize {
    usize::try_from(now.since(start).as_secs() / DAY.as_secs()).unwrap_or(usize::MAX)
}

/// Blocks of addresses that began on each day, at whomever, and listings.
pub fn blocks(internet: &Internet, start: Timestamp, days: usize) -> Vec<u32> {
    let mut count = vec![0; days];
    let providers = internet.providers.iter().flat_map(|provider| provider.addresses.values());
    let blocks = providers.flat_map(|address| &address.standing.blocks).map(|block| block.from);
    for from in blocks.chain(internet.list.listings.iter().map(|listing| listing.from)) {
        if let Some(day) = count.get_mut(day_of(start, from)) {
            *day += 1;
        }
    }
    count
}

/// One policy in the table.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What came of it.
    pub figures: Figures,
    /// Blocks that began on each day.
    pub blocks: Vec<u32>,
}

/// Day by day, the policies side by side, and what it all came to.
pub fn table(columns: &mut [Column]) -> String {
    let mut text = String::from("    ");
    for column in &*columns {
        let _ = write!(text, " | {:^44}", column.name);
    }
    text.push_str("\n day");
    for _ in &*columns {
        let _ = write!(
            text,
            " | {:>8} {:>9} {:>7} {:>7} {:>9}",
            "sent", "deferred", "blocked", "swapped", "waiting"
        );
    }
    let days = columns.iter().map(|column| column.blocks.len()).max().unwrap_or(0);
    for day in 0..days {
        let _ = write!(text, "\n{:>4}", day + 1);
        for column in &*columns {
            let row = column.figures.days.get(day).copied().unwrap_or_default();
            let before = day.checked_sub(1).and_then(|day| column.figures.days.get(day));
            let swapped = row.swaps - before.map_or(0, |before| before.swaps);
            let blocked = column.blocks.get(day).copied().unwrap_or(0);
            let _ = write!(
                text,
                " | {:>8} {:>9} {:>7} {:>7} {:>9}",
                row.sent, row.deferred, blocked, swapped, row.waiting
            );
        }
    }
    text.push('\n');
    for column in columns {
        let total = column.figures.total();
        let [median, nine, most] = column.figures.percentiles([50, 90, 99]).map(hours);
        let blocks: u32 = column.blocks.iter().sum();
        let _ = writeln!(
            text,
            "{}: {} accepted, {} sent ({} of them twice, after a crash), {} refused, {} expired, {} wait; \
             {blocks} blocks, {} swaps, {} times an operator; \
             to deliver: median {median}, p90 {nine}, p99 {most}",
            column.name,
            total.accepted,
            total.sent,
            column.figures.twice,
            total.failed,
            total.expired,
            column.figures.waiting_recipients,
            total.swaps,
            column.figures.acts,
        );
    }
    text
}

fn hours(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}
