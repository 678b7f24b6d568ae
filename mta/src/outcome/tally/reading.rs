//! Questions about the sums.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::message::Timestamp;
use crate::metrics::limit_hit;
use crate::spool::{Family, Spool, SpoolError};

use super::page::{By, Grain, Page, decode};
use super::sums::Sums;

/// Rows of one answer: a day by minute of seven providers, a month by hour of fourteen. Whoever wants more asks for less
/// time.
const ROWS_MAX: usize = 10_000;

/// What a row covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of the zone.
    Day,
    /// All that is asked for.
    All,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// From the step that this lies in.
    pub from: Timestamp,
    /// Until this, or the end of the minute or hour that it lies in.
    pub until: Timestamp,
    /// What a row covers.
    pub step: Step,
    /// Rows of each name; `None`: of all together.
    pub by: Option<By>,
    /// Where days turn.
    pub zone: TimeZone,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tallied {
    /// When it begins.
    pub from: Timestamp,
    /// Of whom; empty: of all.
    pub name: String,
    /// The sums.
    pub sums: Sums,
}

/// The answer would have too many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "that is more than {ROWS_MAX} rows: ask for a shorter time, a longer step, or for all together"
)]
pub struct RowsExceeded;

impl Asked {
    fn grain(&self) -> Grain {
        match self.step {
            Step::Minute => Grain::Minute,
            Step::Hour | Step::Day | Step::All => Grain::Hour,
        }
    }

    /// The beginning of the step that a time lies in.
    fn begins(&self, time: Timestamp) -> Timestamp {
        let grain = self.grain();
        let begun = grain.begins(grain.number(time));
        match self.step {
            Step::Day => day(begun, &self.zone).unwrap_or(begun),
            Step::Minute | Step::Hour | Step::All => begun,
        }
    }
}

/// The first moment of the day that a time lies in.
fn day(time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let millis = i64::try_from(time.as_millis()).ok()?;
    let local = zone.to_datetime(jiff::Timestamp::from_millisecond(millis).ok()?);
    let midnight = local.date().to_datetime(Time::midnight());
    let first = zone.to_timestamp(midnight).ok()?.as_millisecond();
    u64::try_from(first).ok().map(Timestamp::from_millis)
}

/// The sums that are asked for, by time and name. Steps in which nothing happened have no row. Blocks.
pub fn tallied(
    spool: &dyn Spool,
    asked: &Asked,
) -> Result<Result<Vec<Tallied>, RowsExceeded>, SpoolError> {
    let all = tallied_together(spool, std::slice::from_ref(asked))?;
    Ok(all.map(|mut all| all.pop().unwrap_or_default()))
}

/// Sums by time and name.
type Rows = BTreeMap<(Timestamp, String), Sums>;

/// The answers to several questions. What is kept is read once for all of them: a page that shows a month by five
/// names takes no longer than one that shows it by one. Blocks.
pub fn tallied_together(
    spool: &dyn Spool,
    asked: &[Asked],
) -> Result<Result<Vec<Vec<Tallied>>, RowsExceeded>, SpoolError> {
    let mut all: Vec<Rows> = asked.iter().map(|_| Rows::new()).collect();
    for grain in [Grain::Minute, Grain::Hour] {
        let together = asked.iter().zip(&mut all).filter(|(asked, _)| asked.grain() == grain);
        let mut together: Vec<_> =
            together.map(|(asked, rows)| (asked, asked.numbers(), rows)).collect();
        let first = together.iter().map(|(_, numbers, _)| numbers.start).min();
        let until = together.iter().map(|(_, numbers, _)| numbers.end).max();
        let (Some(first), Some(until)) = (first, until) else { continue };
        let mut exceeded = false;
        spool.scan(Family::State, &grain.key(first), &grain.key(until), &mut |key, value| {
            let number = key.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
            let page = decode::<Page>(value).unwrap_or_default();
            for (asked, numbers, rows) in &mut together {
                if numbers.contains(&number) {
                    asked.add(number, &page, rows);
                    exceeded |= rows.len() > ROWS_MAX;
                }
            }
            if exceeded { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if exceeded {
            limit_hit("tally_rows");
            return Ok(Err(RowsExceeded));
        }
    }
    let row = |((from, name), sums)| Tallied { from, name, sums };
    Ok(Ok(all.into_iter().map(|rows| rows.into_iter().map(row).collect()).collect()))
}

impl Asked {
    /// The minutes or hours that are read.
    fn numbers(&self) -> Range<u32> {
        let grain = self.grain();
        let until = grain.begins(grain.number(self.until));
        let more = u32::from(until < self.until);
        grain.number(self.begins(self.from))..grain.number(until).saturating_add(more)
    }

    /// Adds what is kept of one of them.
    fn add(&self, number: u32, page: &Page, rows: &mut Rows) {
        let begins = self.grain().begins(number);
        let at = if self.step == Step::All { self.begins(self.from) } else { self.begins(begins) };
        // Each event is under one provider: together they are all.
        let names = page.0.get(&self.by.unwrap_or(By::Provider));
        for (name, sums) in names.into_iter().flatten() {
            let name = if self.by.is_some() { name.clone() } else { String::new() };
            rows.entry((at, name)).or_default().add(sums);
        }
    }
}
