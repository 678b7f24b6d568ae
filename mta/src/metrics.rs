//! Makes metrics; each is declared in the file that moves it.
//!
//! Names start with `tambo_`, base units, `_total` on counters. A label takes few, known
//! values: nothing that a peer sent ever becomes one (design, invariant 3).

use std::sync::LazyLock;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

static LIMIT_HITS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters("tambo_limit_hits_total", "Times that a limit was reached, by limit", &["limit"])
});

/// Makes metrics known before they are first moved: one that appears later looks to Prometheus as
/// if nothing had been counted before.
pub fn declare(metrics: &[&dyn Declared]) {
    for metric in metrics {
        metric.declare();
    }
}

/// A metric that is made when it is first used.
pub trait Declared {
    /// Makes it.
    fn declare(&self);
}

impl<T> Declared for LazyLock<T> {
    fn declare(&self) {
        LazyLock::force(self);
    }
}

/// Counts that a limit was reached. `limit` is its key in the configuration, or the constant's name.
pub fn limit_hit(limit: &'static str) {
    LIMIT_HITS.with_label_values(&[limit]).inc();
}

/// A counter.
pub fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

/// Counters that differ by labels.
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

/// A value that goes up and down.
pub fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::new(name, help))
}

/// Gauges that differ by labels.
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A distribution.
pub fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

fn registered<M: prometheus::core::Collector + Clone + 'static>(made: prometheus::Result<M>) -> M {
    let metric = made.expect("names, labels and buckets of metrics are constants that are valid");
    prometheus::register(Box::new(metric.clone())).expect("each metric is declared once");
    metric
}
