//! Makes metrics; each is declared in the file that moves it, with what it tells.
//!
//! Names start with `tambo_` (those of the process with `process_`, as everywhere), base units,
//! `_total` on counters. A label takes few, known values, each at zero from the start: nothing that a
//! peer sent ever becomes one (design, invariant 3). What is declared is also written down for
//! `docs/reference/metrics.md`, so that the page can't forget one.

mod limits;
mod named;
mod pairs;
mod reference;

pub use named::{Name, NamedCounters, NamedGauges, Names, OTHER, Through, name_after};
pub use pairs::{Pairs, Snapshot};
pub use reference::reference;

use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use named::Named;

/// Series that the page may have at most, whatever is configured and whatever is sent: what a scrape takes and what
/// Prometheus keeps stays small. Each label has a bound, and a test adds them up.
pub const SERIES_MAX: usize = 2_000;

/// What an operator asks, each answered by some of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Does mail come in?
    Intake,
    /// What waits?
    Queue,
    /// Does mail go out?
    Delivery,
    /// Are the sources well?
    Sources,
    /// Over what?
    Connections,
    /// Is the disk well?
    Spool,
    /// What was reached?
    Limits,
    /// How is the process?
    Process,
}

/// A label, and all that it can be.
#[derive(Debug, Clone)]
pub struct Label {
    name: &'static str,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    /// Each value with its meaning.
    Known(Vec<(&'static str, &'static str)>),
    /// One name that this program gives: what it is.
    Given(&'static str),
    /// So many names of the configuration.
    Names(Names),
}

impl Label {
    /// One of these values, each with its meaning.
    pub fn known(name: &'static str, values: &[(&'static str, &'static str)]) -> Self {
        Self { name, values: Values::Known(values.to_vec()) }
    }

    /// Names of the configuration, never ones that came over the network.
    pub fn names(name: &'static str, names: Names) -> Self {
        Self { name, values: Values::Names(names) }
    }

    fn of_names(&self) -> Option<Names> {
        match self.values {
            Values::Names(names) => Some(names),
            Values::Known(_) | Values::Given(_) => None,
        }
    }

    fn known_values(&self) -> Vec<&'static str> {
        match &self.values {
            Values::Known(values) => values.iter().map(|(value, _)| *value).collect(),
            Values::Given(_) | Values::Names(_) => Vec::new(),
        }
    }

    /// One name that this program gives.
    fn given(name: &'static str, what: &'static str) -> Self {
        Self { name, values: Values::Given(what) }
    }
}

/// What the reference says of a metric.
struct Described {
    topic: Topic,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    labels: Vec<Label>,
    /// Upper bounds of a distribution, `+Inf` not counted.
    buckets: usize,
    /// Series at most, where that is less than what the labels would allow.
    series_max: Option<usize>,
}

static DESCRIBED: Mutex<Vec<Described>> = Mutex::new(Vec::new());

static LIMIT_HITS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Times that a limit was reached";
    let limit = Label::known("limit", limits::LIMITS);
    counters(Topic::Limits, "tambo_limit_hits_total", help, vec![limit])
});
static BUILD: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let version = Label::given("version", "the version that runs");
    let help = "Always 1; its label says which version runs";
    let all = registered(IntGaugeVec::new(Opts::new("tambo_build_info", help), &[version.name]));
    describe(Topic::Process, "tambo_build_info", "gauge", help, vec![version], 0);
    all
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    declare(&[&LIMIT_HITS]);
    BUILD.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
}

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

/// Counts that a limit was reached. `limit` is its key in the configuration, or the constant's
/// name; each stands in `limits.rs`.
pub fn limit_hit(limit: &'static str) {
    LIMIT_HITS.count(&[limit]);
}

/// Metrics that differ by labels whose values are known: made at once, found without a hash or an
/// allocation.
pub struct Labelled<M> {
    name: &'static str,
    values: Vec<Vec<&'static str>>,
    /// One for each combination, the last label fastest.
    made: Vec<M>,
}

impl<M: Clone> Labelled<M> {
    fn new(name: &'static str, labels: &[Label], build: impl Fn(&[&str]) -> M) -> Self {
        let values: Vec<Vec<&'static str>> = labels.iter().map(Label::known_values).collect();
        let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
        for values in &values {
            let longer = combinations.iter().flat_map(|before| {
                values.iter().map(|value| [before.as_slice(), &[*value]].concat())
            });
            combinations = longer.collect();
        }
        let made = combinations.iter().map(|values| build(values)).collect();
        Self { name, values, made }
    }

    /// The one with these values, in the order of the labels.
    fn of(&self, wanted: &[&str]) -> Option<&M> {
        let mut place = 0;
        for (values, wanted) in self.values.iter().zip(wanted) {
            let position = values.iter().position(|value| value == wanted);
            let Some(position) = position else {
                debug_assert!(false, "{} has no value {wanted}", self.name);
                tracing::error!(metric = self.name, wanted, "a value that is not declared");
                return None;
            };
            place = place * values.len() + position;
        }
        self.made.get(place)
    }
}

impl Labelled<IntCounter> {
    /// Counts one more.
    pub fn count(&self, values: &[&str]) {
        if let Some(counter) = self.of(values) {
            counter.inc();
        }
    }
}

impl Labelled<IntGauge> {
    /// Each of them, in the order in which the values are declared.
    pub fn set_all(&self, counts: &[u64]) {
        debug_assert_eq!(counts.len(), self.made.len(), "{}", self.name);
        for (gauge, count) in self.made.iter().zip(counts) {
            set(gauge, *count);
        }
    }

    /// Exactly one of the states holds: that one is 1, the others 0.
    pub fn enter(&self, state: &str) {
        for gauge in &self.made {
            gauge.set(0);
        }
        if let Some(gauge) = self.of(&[state]) {
            gauge.set(1);
        }
    }
}

/// A counter.
pub fn counter(topic: Topic, name: &'static str, help: &'static str) -> IntCounter {
    describe(topic, name, "counter", help, Vec::new(), 0);
    registered(IntCounter::new(name, help))
}

/// A counter of what is no whole number, such as seconds.
pub fn float_counter(topic: Topic, name: &'static str, help: &'static str) -> Counter {
    describe(topic, name, "counter", help, Vec::new(), 0);
    registered(Counter::new(name, help))
}

/// Counters that differ by labels of known values.
pub fn counters(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    labels: Vec<Label>,
) -> Labelled<IntCounter> {
    let names: Vec<&str> = labels.iter().map(|label| label.name).collect();
    let all = registered(IntCounterVec::new(Opts::new(name, help), &names));
    let made = Labelled::new(name, &labels, |values| all.with_label_values(values));
    describe(topic, name, "counter", help, labels, 0);
    made
}

/// Counters that differ by names of the configuration, and perhaps by one more label of known values.
pub fn named_counters(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    labels: Vec<Label>,
) -> NamedCounters {
    let (names, all, values) = named(name, help, &labels, IntCounterVec::new);
    describe(topic, name, "counter", help, labels, 0);
    Named::new(names, values, all)
}

/// Gauges of the same kind.
pub fn named_gauges(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    labels: Vec<Label>,
) -> NamedGauges {
    let (names, all, values) = named(name, help, &labels, IntGaugeVec::new);
    describe(topic, name, "gauge", help, labels, 0);
    Named::new(names, values, all)
}

fn named<V: Collector + Clone + 'static>(
    name: &'static str,
    help: &'static str,
    labels: &[Label],
    build: fn(Opts, &[&str]) -> prometheus::Result<V>,
) -> (Names, V, Vec<&'static str>) {
    let label_names: Vec<&str> = labels.iter().map(|label| label.name).collect();
    let all = registered(build(Opts::new(name, help), &label_names));
    let names = labels.first().and_then(Label::of_names);
    let values = labels.get(1).map(Label::known_values).unwrap_or_default();
    (names.expect("the first label is one of names"), all, values)
}

/// Counters by provider and `value`, of which at most `series_max` are shown.
pub fn pairs(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    value: Label,
    series_max: usize,
) -> Pairs {
    let provider = Label::names("provider", Names::Providers);
    let all = registered(IntCounterVec::new(Opts::new(name, help), &[provider.name, value.name]));
    let values = value.known_values();
    describe_at_most(topic, name, "counter", help, vec![provider, value], series_max);
    Pairs::new(values, series_max, all)
}

/// Gauges by two labels that are made anew for each page, at most `series_max`.
pub fn snapshot(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    labels: [Label; 2],
    series_max: usize,
) -> Snapshot {
    let label_names = [labels[0].name, labels[1].name];
    let all = registered(IntGaugeVec::new(Opts::new(name, help), &label_names));
    let names = labels.iter().map(Label::of_names).collect();
    describe_at_most(topic, name, "gauge", help, labels.to_vec(), series_max);
    Snapshot::new(names, series_max, all)
}

/// A value that goes up and down.
pub fn gauge(topic: Topic, name: &'static str, help: &'static str) -> IntGauge {
    describe(topic, name, "gauge", help, Vec::new(), 0);
    registered(IntGauge::new(name, help))
}

/// Gauges that differ by a label of known values.
pub fn gauges(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    label: Label,
) -> Labelled<IntGauge> {
    let all = registered(IntGaugeVec::new(Opts::new(name, help), &[label.name]));
    let labels = vec![label];
    let made = Labelled::new(name, &labels, |values| all.with_label_values(values));
    describe(topic, name, "gauge", help, labels, 0);
    made
}

/// A distribution.
pub fn histogram(
    topic: Topic,
    name: &'static str,
    help: &'static str,
    buckets: &[f64],
) -> Histogram {
    describe(topic, name, "histogram", help, Vec::new(), buckets.len());
    registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

/// Sets a gauge to a count, which may be larger than a gauge holds.
pub fn set(gauge: &IntGauge, count: impl TryInto<i64>) {
    gauge.set(count.try_into().unwrap_or(i64::MAX));
}

/// Bounds for what the network and its servers take, in seconds: from a neighbour to the longest
/// time that RFC 5321 section 4.5.3.2 lets a server have.
pub const NETWORK_SECONDS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];
/// Bounds for what mail takes, in seconds: from at once to the days after which it expires.
pub const QUEUE_SECONDS: [f64; 14] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 259_200.0,
];

fn describe(
    topic: Topic,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    labels: Vec<Label>,
    buckets: usize,
) {
    note(Described { topic, name, kind, help, labels, buckets, series_max: None });
}

fn describe_at_most(
    topic: Topic,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    labels: Vec<Label>,
    series_max: usize,
) {
    let series_max = Some(series_max);
    note(Described { topic, name, kind, help, labels, buckets: 0, series_max });
}

fn note(described: Described) {
    DESCRIBED.lock().unwrap_or_else(PoisonError::into_inner).push(described);
}

fn registered<M: Collector + Clone + 'static>(made: prometheus::Result<M>) -> M {
    let metric = made.expect("names, labels and buckets of metrics are constants that are valid");
    prometheus::register(Box::new(metric.clone())).expect("each metric is declared once");
    metric
}
