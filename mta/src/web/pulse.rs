//! The figures of this moment: read from the metrics of the relay every few seconds, once for all pages that show them.
//!
//! An hour of them is kept, a sample each ten seconds, from the start of the relay on: what is older is told by what is
//! stored. While nobody looks, nothing is read in between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::MetricFamily;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{Control, gathered};

/// Between two readings while somebody looks.
const EVERY: Duration = Duration::from_secs(2);
/// Between two samples that are kept.
const KEPT_EVERY: Duration = Duration::from_secs(10);
/// Samples that are kept: an hour of them.
const KEPT: usize = 361;
/// Over this time the rate of this moment is counted.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Readings that are kept for it.
const RECENT: usize = 8;

/// What has been counted since the relay was started, and what is so now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sample {
    /// Recipients that were accepted.
    pub accepted: u64,
    /// Recipients that servers took.
    pub delivered: u64,
    /// Attempts that were put off.
    pub deferred: u64,
    /// Recipients that were refused for good, or whose time was over.
    pub bounced: u64,
    /// Deliveries that wait or are being made.
    pub waiting: u64,
    /// Seconds since the oldest message was accepted.
    pub oldest: u64,
    /// Connections to servers.
    pub connections: u64,
}

/// The figures of a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    /// What is so now.
    pub now: Sample,
    /// Recipients accepted, delivered, put off and refused in a second.
    pub rates: [f64; 4],
    /// Delivered, put off and refused in each of the last sixty minutes, the oldest first; fewer after a start.
    pub minutes: Vec<[u64; 3]>,
}

impl Figures {
    /// Recipients delivered in the last hour, as far as it is known.
    pub(super) fn delivered_in_hour(&self) -> u64 {
        self.minutes.iter().map(|minute| minute[0]).sum()
    }
}

/// Reads them and tells those who look.
pub(super) struct Pulse {
    control: Arc<dyn Control>,
    told: watch::Sender<Arc<Figures>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    recent: VecDeque<(Instant, Sample)>,
    kept: VecDeque<(Instant, Sample)>,
}

impl Pulse {
    /// Nothing is known yet.
    pub(super) fn new(control: Arc<dyn Control>) -> Self {
        Self { control, told: watch::Sender::new(Arc::default()), seen: Mutex::default() }
    }

    /// The figures of this moment.
    pub(super) async fn figures(&self) -> Arc<Figures> {
        let fresh = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.recent.back().is_some_and(|(at, _)| at.elapsed() < EVERY * 2)
        };
        if !fresh {
            self.read().await;
        }
        Arc::clone(&self.told.borrow())
    }

    /// Those that follow.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Figures>> {
        self.told.subscribe()
    }

    /// Goes on for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.read().await;
            let pause = if self.told.receiver_count() > 0 { EVERY } else { KEPT_EVERY };
            tokio::time::sleep(pause).await;
        }
    }

    async fn read(&self) {
        let families = gathered(&*self.control).await;
        let sample = sample(&families);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = seen.add(sample, Instant::now());
        self.told.send_replace(Arc::new(figures));
    }
}

impl Seen {
    fn add(&mut self, sample: Sample, now: Instant) -> Figures {
        let kept = self.kept.back().is_none_or(|(at, _)| now.duration_since(*at) >= KEPT_EVERY);
        push(&mut self.recent, (now, sample), RECENT);
        if kept {
            push(&mut self.kept, (now, sample), KEPT);
        }
        let before = self
            .recent
            .iter()
            .rev()
            .find(|(at, _)| now.duration_since(*at) >= RATE_OVER)
            .or(self.recent.front())
            .copied()
            .unwrap_or((now, sample));
        Figures { now: sample, rates: rates(before, (now, sample)), minutes: self.minutes(now) }
    }

    /// What was counted in each minute before now.
    fn minutes(&self, now: Instant) -> Vec<[u64; 3]> {
        let minute = Duration::from_mins(1);
        let mut minutes = vec![[0; 3]; 60];
        for (before, after) in self.kept.iter().zip(self.kept.iter().skip(1)) {
            let age = now.duration_since(after.0).as_secs() / minute.as_secs();
            let Some(place) = usize::try_from(age).ok().and_then(|age| 59_usize.checked_sub(age))
            else {
                continue;
            };
            if let Some(counts) = minutes.get_mut(place) {
                counts[0] += after.1.delivered.saturating_sub(before.1.delivered);
                counts[1] += after.1.deferred.saturating_sub(before.1.deferred);
                counts[2] += after.1.bounced.saturating_sub(before.1.bounced);
            }
        }
        minutes
    }
}

fn push<T>(queue: &mut VecDeque<T>, value: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(value);
}

fn rates(before: (Instant, Sample), after: (Instant, Sample)) -> [f64; 4] {
    let seconds = after.0.duration_since(before.0).as_secs_f64();
    let rate = |before: u64, after: u64| {
        if seconds > 0.0 { after.saturating_sub(before) as f64 / seconds } else { 0.0 }
    };
    [
        rate(before.1.accepted, after.1.accepted),
        rate(before.1.delivered, after.1.delivered),
        rate(before.1.deferred, after.1.deferred),
        rate(before.1.bounced, after.1.bounced),
    ]
}

/// What the metrics say.
fn sample(families: &[MetricFamily]) -> Sample {
    let mut sample = Sample::default();
    for family in families {
        let first = || family.get_metric().first();
        let gauge = || first().map_or(0, |it| whole(it.get_gauge().get_value()));
        match family.name() {
            "tambo_recipients_accepted_total" => {
                sample.accepted = first().map_or(0, |it| whole(it.get_counter().get_value()));
            }
            "tambo_outcomes_total" => {
                for metric in family.get_metric() {
                    let count = whole(metric.get_counter().get_value());
                    match metric.get_label().first().map(prometheus::proto::LabelPair::value) {
                        Some("delivered") => sample.delivered = count,
                        Some("deferred") => sample.deferred = count,
                        Some("bounced" | "expired") => sample.bounced += count,
                        _ => {}
                    }
                }
            }
            "tambo_queue_deliveries" => sample.waiting = gauge(),
            "tambo_queue_oldest_seconds" => sample.oldest = gauge(),
            "tambo_connections" => sample.connections = gauge(),
            _ => {}
        }
    }
    sample
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, never negative"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "nothing is exactly nothing")]
    fn rates_are_those_of_the_last_seconds_and_minutes_those_of_the_hour() {
        let mut seen = Seen::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let delivered = |delivered| Sample { delivered, ..Sample::default() };
        assert_eq!(seen.add(delivered(1_000), at(0)).rates[1], 0.0, "nothing is known yet");
        for step in 1..=60 {
            seen.add(delivered(1_000 + step * 20), at(step * 2));
        }
        let figures = seen.add(delivered(2_220), at(122));
        assert!((figures.rates[1] - 10.0).abs() < 1e-9, "{figures:?}");
        assert_eq!(figures.delivered_in_hour(), 1_200);
        assert_eq!(figures.minutes[59][0] + figures.minutes[58][0] + figures.minutes[57][0], 1_200);
        let figures = seen.add(delivered(2_220), at(142));
        assert_eq!(figures.rates[1], 0.0, "it is over");
        let figures = seen.add(delivered(0), at(160));
        assert_eq!(figures.rates[1], 0.0, "never negative");
        let figures = seen.add(delivered(0), at(2 * 3_600));
        assert_eq!(figures.delivered_in_hour(), 0);
    }
}
