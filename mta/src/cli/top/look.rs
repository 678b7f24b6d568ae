//! What is looked at: a few questions over the API, and how fast the answers change.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use tokio::time::Instant;

use crate::admin::{
    HaltRow, NumbersRow, Page, QueueSummary, SourceRow, Status, SummaryPage, WarmUpRow,
};

use crate::message::Timestamp;

use super::super::client::Caller;

/// Looks over which a rate is the average. Numbers come by the second; fewer jump.
const LOOKS: usize = 10;
/// Minutes that are drawn.
const MINUTES: u64 = 60;

/// What was seen.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Seen {
    /// Name of the relay.
    pub relay: String,
    pub status: Status,
    pub queue: QueueSummary,
    pub sources: Vec<SourceRow>,
    pub halts: Vec<HaltRow>,
    pub warm_up: Vec<WarmUpRow>,
    /// Recipients a second, of all.
    pub rate: Rate,
    /// The same by provider, with what was counted in the last hour.
    pub providers: Vec<ProviderSeen>,
    /// Delivered in each minute of the last hour, the oldest first.
    pub minutes: Vec<u64>,
}

/// A provider.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ProviderSeen {
    pub name: String,
    /// Delivered in a second.
    pub delivered_per_second: f64,
    pub delivered: u64,
    pub deferred: u64,
    pub bounced: u64,
}

/// Recipients a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Rate {
    pub accepted: f64,
    pub delivered: f64,
    pub deferred: f64,
    pub bounced: f64,
}

/// Counts of one name in one minute.
type Counts = [u64; 4];
type Minutes = BTreeMap<(String, String), Counts>;

/// Who looks.
pub(super) struct Looker {
    caller: Caller,
    before: Minutes,
    /// When, and what had been added by then for each name, of the last looks.
    added: VecDeque<(Instant, BTreeMap<String, Counts>)>,
}

impl Looker {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller, before: Minutes::new(), added: VecDeque::new() }
    }

    pub(super) async fn look(&mut self) -> Result<Seen, String> {
        let caller = &self.caller;
        let (status, numbers, queue, sources, halts, warm_up) = tokio::try_join!(
            caller.get::<Status>("/api/v1/status"),
            caller.get::<Vec<NumbersRow>>("/api/v1/numbers?step=minute&by=provider&from=1h"),
            caller.get::<SummaryPage>("/api/v1/queue/summary?by=site&sort=-recipients&limit=50"),
            caller.get::<Page<SourceRow>>("/api/v1/sources?limit=1000"),
            caller.get::<Page<HaltRow>>("/api/v1/halts?limit=1000"),
            caller.get::<Page<WarmUpRow>>("/api/v1/warm-up?limit=1000"),
        )?;
        let rates = self.rates(&numbers);
        let mut providers: BTreeMap<String, ProviderSeen> = BTreeMap::new();
        let mut minutes: BTreeMap<u64, u64> = BTreeMap::new();
        for row in &numbers {
            let minute = Timestamp::parse(&row.from).unwrap_or_default().as_millis() / 60_000;
            *minutes.entry(minute).or_default() += row.delivered;
            let seen = providers.entry(row.name.clone()).or_default();
            seen.delivered += row.delivered;
            seen.deferred += row.deferred;
            seen.bounced += row.bounced + row.expired;
        }
        let mut rate = Rate::default();
        for [accepted, delivered, deferred, bounced] in rates.values() {
            rate.accepted += accepted;
            rate.delivered += delivered;
            rate.deferred += deferred;
            rate.bounced += bounced;
        }
        let mut providers: Vec<ProviderSeen> = providers
            .into_iter()
            .map(|(name, seen)| {
                let delivered_per_second = rates.get(&name).map_or(0.0, |rate| rate[1]);
                ProviderSeen { name, delivered_per_second, ..seen }
            })
            .filter(|seen| seen.delivered + seen.deferred + seen.bounced > 0)
            .collect();
        providers.sort_by_key(|seen| std::cmp::Reverse(seen.delivered + seen.bounced));
        let SummaryPage { counted_at, all, rows: groups, .. } = queue;
        Ok(Seen {
            relay: self.caller.relay().to_owned(),
            status,
            queue: QueueSummary { counted_at, all, groups },
            sources: sources.rows,
            halts: halts.rows,
            warm_up: warm_up.rows,
            rate,
            providers,
            minutes: without_gaps(&minutes),
        })
    }

    /// Recipients a second of each name, over the last looks; of the first look, over the last minute.
    fn rates(&mut self, numbers: &[NumbersRow]) -> BTreeMap<String, [f64; 4]> {
        let counts = |row: &NumbersRow| {
            [row.accepted, row.delivered, row.deferred, row.bounced + row.expired]
        };
        let now: Minutes =
            numbers.iter().map(|row| ((row.from.clone(), row.name.clone()), counts(row))).collect();
        let first = self.added.is_empty();
        let mut more: BTreeMap<String, Counts> = BTreeMap::new();
        for ((minute, name), counts) in &now {
            let known = self.before.get(&(minute.clone(), name.clone())).copied();
            let sums = more.entry(name.clone()).or_default();
            for (place, sum) in sums.iter_mut().enumerate() {
                *sum += counts[place].saturating_sub(known.unwrap_or_default()[place]);
            }
        }
        self.before = now;
        let at = Instant::now();
        if first {
            // What came before it was started is not of this second.
            self.added.push_back((at, BTreeMap::new()));
            return last_minute(numbers, counts);
        }
        self.added.push_back((at, more));
        while self.added.len() > LOOKS + 1 {
            self.added.pop_front();
        }
        let seconds = self.added.front().map_or(0.0, |(begun, _)| (at - *begun).as_secs_f64());
        let mut rates: BTreeMap<String, [f64; 4]> = BTreeMap::new();
        for (name, counts) in self.added.iter().skip(1).flat_map(|(_, more)| more) {
            let rate = rates.entry(name.clone()).or_default();
            for (sum, count) in rate.iter_mut().zip(counts) {
                *sum += *count as f64 / seconds.max(0.1);
            }
        }
        rates
    }
}

/// Minutes in which nothing happened have no row.
fn without_gaps(minutes: &BTreeMap<u64, u64>) -> Vec<u64> {
    let Some((last, _)) = minutes.last_key_value() else { return Vec::new() };
    let first = last.saturating_sub(MINUTES - 1);
    (first..=*last).map(|minute| minutes.get(&minute).copied().unwrap_or(0)).collect()
}

/// Rates of the last minute that has ended, or of the one that goes on.
fn last_minute(
    numbers: &[NumbersRow],
    counts: impl Fn(&NumbersRow) -> Counts,
) -> BTreeMap<String, [f64; 4]> {
    let mut minutes: Vec<&str> = numbers.iter().map(|row| row.from.as_str()).collect();
    minutes.dedup();
    let Some(minute) = minutes.iter().rev().nth(1).or(minutes.last()) else {
        return BTreeMap::new();
    };
    let rows = numbers.iter().filter(|row| row.from == *minute);
    rows.map(|row| (row.name.clone(), counts(row).map(|count| count as f64 / 60.0))).collect()
}
