//! Figures: what one run took, and what several runs say together.

use std::collections::BTreeMap;

use serde::Serialize;

/// What one run took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measured {
    /// How many were sent.
    pub messages: usize,
    /// Until the last message was acknowledged.
    pub accepted_secs: f64,
    /// Until the last message was at the sink.
    pub through_secs: f64,
    /// CPU time of the contender's processes, user and system.
    pub cpu_secs: f64,
    /// Most memory that the contender's processes held, by `VmHWM`.
    pub peak_mib: f64,
    /// What this scenario alone asks.
    #[serde(flatten)]
    pub more: BTreeMap<&'static str, f64>,
}

impl Measured {
    /// Messages acknowledged a second.
    pub fn accepted_rate(&self) -> f64 {
        self.messages as f64 / self.accepted_secs
    }

    /// Messages a second that went all the way.
    pub fn through_rate(&self) -> f64 {
        self.messages as f64 / self.through_secs
    }

    /// CPU seconds of a thousand messages.
    pub fn cpu_per_thousand(&self) -> f64 {
        self.cpu_secs * 1000.0 / self.messages as f64
    }

    /// One of the figures that this scenario alone asks; 0 when it is not there.
    pub fn figure(&self, name: &str) -> f64 {
        self.more.get(name).copied().unwrap_or(0.0)
    }
}

/// Least, middle, most of a figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The median.
    pub middle: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these figures; zeros when there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
        let count = sorted.len();
        let middle = f64::midpoint(at(count.saturating_sub(1) / 2), at(count / 2));
        Self { least: at(0), middle, most: at(count.saturating_sub(1)) }
    }
}

/// The figure that so many of a hundred do not exceed (nearest rank); 0 when there are none.
pub fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = |figures: &[f64]| {
            let spread = Spread::of(figures.iter().copied());
            (spread.least, spread.middle, spread.most)
        };
        assert_eq!(spread(&[]), (0.0, 0.0, 0.0));
        assert_eq!(spread(&[7.0]), (7.0, 7.0, 7.0));
        assert_eq!(spread(&[9.0, 1.0, 4.0]), (1.0, 4.0, 9.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), (1.0, 3.0, 9.0));
    }

    #[test]
    fn a_percentile_is_a_figure_that_was_there() {
        let figures: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&figures, 50).to_bits(), 100.0_f64.to_bits());
        assert_eq!(percentile(&figures, 99).to_bits(), 198.0_f64.to_bits());
        assert_eq!(percentile(&figures, 100).to_bits(), 200.0_f64.to_bits());
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50).to_bits(), 2.0_f64.to_bits());
        assert_eq!(percentile(&[3.0], 99).to_bits(), 3.0_f64.to_bits());
        assert_eq!(percentile(&[], 99).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn rates_are_of_the_messages_sent() {
        let run = Measured {
            messages: 2000,
            accepted_secs: 1.0,
            through_secs: 4.0,
            cpu_secs: 3.0,
            ..Measured::default()
        };
        assert_eq!(run.accepted_rate().to_bits(), 2000.0_f64.to_bits());
        assert_eq!(run.through_rate().to_bits(), 500.0_f64.to_bits());
        assert_eq!(run.cpu_per_thousand().to_bits(), 1.5_f64.to_bits());
    }
}
