//! Metrics by two labels of which few pairs ever occur. All of them would be thousands of series, so only those are
//! shown that there are, and only so many.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::named::{Follows, Name, Names, OTHER, Table, follow};

/// Counters of pairs of a provider and one of many values, few of which ever occur. One that appears with its first
/// count looks to Prometheus as if nothing had happened: so it is shown at zero first, and with its count the next
/// time that the page is read. Beyond `max` pairs the provider is `other`, whose values are there from the start.
pub struct Pairs {
    inner: Arc<PairsInner>,
}

struct PairsInner {
    values: Vec<&'static str>,
    max: usize,
    all: IntCounterVec,
    /// What was counted and is not shown yet: by name, then by value.
    counted: Vec<AtomicU64>,
    shown: Mutex<Shown>,
}

struct Shown {
    table: Table,
    /// By name, then by value.
    made: Vec<Option<IntCounter>>,
}

impl Pairs {
    /// At most so many pairs, those of `other` among them.
    pub(super) fn new(values: Vec<&'static str>, max: usize, all: IntCounterVec) -> Self {
        let cells = (Names::Providers.max() + 1) * values.len();
        let counted = std::iter::repeat_with(Default::default).take(cells).collect();
        let shown = Shown { table: Names::Providers.empty(), made: vec![None; cells] };
        let inner = Arc::new(PairsInner { values, max, all, counted, shown: Mutex::new(shown) });
        follow(Names::Providers, Arc::clone(&inner) as Arc<dyn Follows>);
        Self { inner }
    }

    /// Counts one more.
    pub fn count(&self, name: Name, value: &str) {
        let inner = &self.inner;
        let place = inner.values.iter().position(|known| *known == value);
        debug_assert!(place.is_some(), "{value} is not declared");
        let Some(place) = place else { return };
        if let Some(cell) = inner.counted.get(usize::from(name.0) * inner.values.len() + place) {
            cell.fetch_add(1, Relaxed);
        }
    }

    /// Brings what is shown up to date: before the page is read.
    pub fn measure(&self) {
        let inner = &self.inner;
        let width = inner.values.len();
        let mut shown = inner.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = inner.max.saturating_sub(shown.made.iter().flatten().count());
        for (place, cell) in inner.counted.iter().enumerate() {
            if cell.load(Relaxed) == 0 {
                continue;
            }
            let (name, value) = (place / width, place % width);
            let known = shown.table.get(name).cloned().flatten();
            match (shown.made[place].clone(), known) {
                (Some(counter), _) => counter.inc_by(cell.swap(0, Relaxed)),
                (None, Some(known)) if room > 0 => {
                    room -= 1;
                    let labels = [&*known, inner.values[value]];
                    shown.made[place] = Some(inner.all.with_label_values(&labels));
                }
                (None, _) => {
                    if let Some(rest) = &shown.made[value] {
                        rest.inc_by(cell.swap(0, Relaxed));
                    }
                }
            }
        }
    }
}

impl Follows for PairsInner {
    fn follow(&self, names: Names, table: &Table) {
        if names != Names::Providers {
            return;
        }
        let width = self.values.len();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, name) in table.iter().enumerate() {
            let before = std::mem::replace(&mut shown.table[number], name.clone());
            if before == *name {
                continue;
            }
            for (value, word) in self.values.iter().enumerate() {
                let place = number * width + value;
                self.counted[place].store(0, Relaxed);
                if let (Some(_), Some(before)) = (shown.made[place].take(), &before) {
                    let _ = self.all.remove_label_values(&[&**before, word]);
                }
            }
        }
        for (value, word) in self.values.iter().enumerate() {
            if shown.made[value].is_none() {
                shown.made[value] = Some(self.all.with_label_values(&[OTHER, word]));
            }
        }
    }
}

/// Gauges that are made anew each time the page is read, by two labels at most: what is so now, and nothing else.
pub struct Snapshot {
    names: Vec<Option<Names>>,
    max: usize,
    all: IntGaugeVec,
}

impl Snapshot {
    /// At most so many series. A label is a kind of names, or (`None`) a known word.
    pub(super) fn new(names: Vec<Option<Names>>, max: usize, all: IntGaugeVec) -> Self {
        Self { names, max, all }
    }

    /// These and no others, as far as there is room; the rest is added up as `other`.
    pub fn set_all<'a>(&self, rows: impl IntoIterator<Item = ([&'a str; 2], u64)>) {
        self.all.reset();
        let mut shown: Vec<[&str; 2]> = Vec::new();
        for (labels, count) in rows {
            let mut labels = labels;
            for (label, names) in labels.iter_mut().zip(&self.names) {
                if names.is_some_and(|names| names.find(label) == Name::default()) {
                    *label = OTHER;
                }
            }
            if !shown.contains(&labels) {
                // One place is kept for the rest.
                if shown.len() + 1 >= self.max {
                    for (label, names) in labels.iter_mut().zip(&self.names) {
                        if names.is_some() {
                            *label = OTHER;
                        }
                    }
                }
                if !shown.contains(&labels) {
                    shown.push(labels);
                }
            }
            let gauge: IntGauge = self.all.with_label_values(&labels);
            gauge.add(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
