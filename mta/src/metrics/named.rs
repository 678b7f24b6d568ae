//! Labels whose values are names that the operator wrote, or that this program knows: listeners, providers,
//! sources, pools, blocklists. Each kind has room for so many names; what is beyond them, and what has no
//! name, is `other`. So the number of series is bounded whatever is configured and whatever is sent.
//!
//! A name is looked up once for a connection or a line ([`Names::find`]) and is a number from then on: to count a
//! message takes neither a hash nor an allocation. A name keeps its number for as long as the configuration has it.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use relay_config::Config;

/// What stands for all names that have no series of their own.
pub const OTHER: &str = "other";

/// What names are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `[[listener]]`.
    Listeners,
    /// Providers of the built-in table and of `[[provider]]`.
    Providers,
    /// `[[source]]`.
    Sources,
    /// `[[pool]]`.
    Pools,
    /// `[[blocklist]]`.
    Blocklists,
    /// `[[webhook]]`.
    Webhooks,
}

/// A name of one kind; that of the rest by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub(super) u8);

/// Through what mail goes, for counters: found once for a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Through {
    /// The provider of its site.
    pub provider: Name,
    /// The source.
    pub source: Name,
    /// The pool.
    pub pool: Name,
}

impl Through {
    /// Finds the names; `None`: there is none.
    pub fn find(provider: Option<&str>, source: Option<&str>, pool: Option<&str>) -> Self {
        let find =
            |names: Names, name: Option<&str>| name.map_or(Name::default(), |it| names.find(it));
        Self {
            provider: find(Names::Providers, provider),
            source: find(Names::Sources, source),
            pool: find(Names::Pools, pool),
        }
    }
}

/// Names by their number; that of the rest is the first.
pub(super) type Table = Vec<Option<Arc<str>>>;

/// What follows the names when they change: metrics that differ by them.
pub(super) trait Follows: Send + Sync {
    fn follow(&self, names: Names, table: &Table);
}

static TABLES: LazyLock<RwLock<[Table; 6]>> =
    LazyLock::new(|| RwLock::new(Names::ALL.map(Names::empty)));
static FOLLOWERS: Mutex<Vec<Arc<dyn Follows>>> = Mutex::new(Vec::new());

impl Names {
    const ALL: [Self; 6] = [
        Self::Listeners,
        Self::Providers,
        Self::Sources,
        Self::Pools,
        Self::Blocklists,
        Self::Webhooks,
    ];

    /// Names that have series of their own. Together the metrics must keep below `SERIES_MAX`; each kind has
    /// room for what a large institution has.
    pub(super) const fn max(self) -> usize {
        match self {
            // 25, 465, 587, and some for networks that are treated otherwise.
            Self::Listeners => 8,
            // The built-in table has twenty.
            Self::Providers => 26,
            // Eighteen addresses and what stands by.
            Self::Sources => 32,
            Self::Pools => 11,
            // The built-in table has twelve.
            Self::Blocklists => 20,
            // The platform, a ticket system, a monitor.
            Self::Webhooks => 8,
        }
    }

    /// Series of a metric that differs by them.
    pub const fn series_max(self) -> usize {
        self.max() + 1
    }

    /// Whether there is a rest from the start: mail that goes to nobody known, or from no source. (A listener or a
    /// list always has a name; there is a rest when there are too many.)
    const fn has_rest(self) -> bool {
        matches!(self, Self::Providers | Self::Sources | Self::Pools)
    }

    /// What they are, for the reference.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Listeners => "the `name` of a `[[listener]]`",
            Self::Providers => {
                "the name of a provider, or `other`: everybody else, and what has no destination yet"
            }
            Self::Sources => "the `name` of a `[[source]]`, or `other`: none",
            Self::Pools => "the `name` of a `[[pool]]`, or `other`: none",
            Self::Blocklists => "the name of a `[[blocklist]]`",
            Self::Webhooks => "the `name` of a `[[webhook]]`",
        }
    }

    pub(super) fn empty(self) -> Table {
        let mut table = vec![None; self.max() + 1];
        if self.has_rest() {
            table[0] = Some(OTHER.into());
        }
        table
    }

    /// The number of a name.
    pub fn find(self, name: &str) -> Name {
        let tables = TABLES.read().unwrap_or_else(PoisonError::into_inner);
        let table = &tables[self as usize];
        let place = table.iter().position(|known| known.as_deref() == Some(name));
        Name(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0))
    }

    /// Takes the first names that there is room for. Those that had a number keep it.
    fn take<'a>(self, table: &mut Table, wanted: impl Iterator<Item = &'a Arc<str>>) {
        let mut wanted: Vec<&Arc<str>> = wanted.filter(|name| &***name != OTHER).collect();
        let more = wanted.len() > self.max();
        wanted.truncate(self.max());
        for place in table.iter_mut().skip(1) {
            if place.as_ref().is_some_and(|name| !wanted.contains(&name)) {
                *place = None;
            }
        }
        for name in wanted {
            let known = table.iter().flatten().any(|known| known == name);
            if !known && let Some(free) = table.iter_mut().skip(1).find(|place| place.is_none()) {
                *free = Some(Arc::clone(name));
            }
        }
        table[0] = (more || self.has_rest()).then(|| OTHER.into());
    }
}

/// From now on these names have series: at the start and at a reload. The series of names that are gone go with them.
pub fn name_after(config: &Config) {
    let known =
        |it: &&Arc<relay_config::providers::Provider>| it.mx.is_some() || it.domains.is_some();
    let mut tables = TABLES.write().unwrap_or_else(PoisonError::into_inner);
    for (names, table) in Names::ALL.into_iter().zip(tables.iter_mut()) {
        match names {
            Names::Listeners => names.take(table, config.listeners.iter().map(|it| &it.name)),
            Names::Providers => {
                names.take(table, config.providers.iter().filter(known).map(|it| &it.name));
            }
            Names::Sources => names.take(table, config.sources.iter().map(|it| &it.name)),
            Names::Pools => names.take(table, config.pools.iter().map(|it| &it.name)),
            Names::Blocklists => names.take(table, config.blocklists.iter().map(|it| &it.name)),
            Names::Webhooks => names.take(table, config.webhooks.iter().map(|it| &it.name)),
        }
    }
    let followers = FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner);
    for follower in followers.iter() {
        for (names, table) in Names::ALL.into_iter().zip(tables.iter()) {
            follower.follow(names, table);
        }
    }
}

/// From now on it follows the names of that kind.
pub(super) fn follow(names: Names, follower: Arc<dyn Follows>) {
    let tables = TABLES.read().unwrap_or_else(PoisonError::into_inner);
    follower.follow(names, &tables[names as usize]);
    FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner).push(follower);
}

/// What makes the metrics of one name: counters or gauges.
pub trait Made: Send + Sync + 'static {
    /// One of them.
    type One: Send + Sync;
    /// Makes it.
    fn make(&self, labels: &[&str]) -> Self::One;
    /// It is not shown any more.
    fn remove(&self, labels: &[&str]);
}

impl Made for IntCounterVec {
    type One = IntCounter;

    fn make(&self, labels: &[&str]) -> IntCounter {
        self.with_label_values(labels)
    }

    fn remove(&self, labels: &[&str]) {
        let _ = self.remove_label_values(labels);
    }
}

impl Made for IntGaugeVec {
    type One = IntGauge;

    fn make(&self, labels: &[&str]) -> IntGauge {
        self.with_label_values(labels)
    }

    fn remove(&self, labels: &[&str]) {
        let _ = self.remove_label_values(labels);
    }
}

/// Metrics that differ by a name, and perhaps by one more label of known values.
pub struct Named<V: Made> {
    inner: Arc<Inner<V>>,
}

/// Counters that differ by a name.
pub type NamedCounters = Named<IntCounterVec>;
/// Gauges that differ by a name.
pub type NamedGauges = Named<IntGaugeVec>;

struct Inner<V: Made> {
    names: Names,
    values: Vec<&'static str>,
    all: V,
    /// By name, then by value.
    made: RwLock<Vec<Row<V::One>>>,
}

/// The metrics of one name.
struct Row<M> {
    name: Option<Arc<str>>,
    made: Vec<M>,
}

impl<V: Made> Named<V> {
    /// Of these names, and these values of a second label (none: there is no second).
    pub(super) fn new(names: Names, values: Vec<&'static str>, all: V) -> Self {
        let row = || Row { name: None, made: Vec::new() };
        let made = RwLock::new(std::iter::repeat_with(row).take(names.max() + 1).collect());
        let inner = Arc::new(Inner { names, values, all, made });
        follow(names, Arc::clone(&inner) as Arc<dyn Follows>);
        Self { inner }
    }

    /// The one of a name and of the value at this place. `None`: the configuration has just lost that name.
    fn of<R>(&self, name: Name, place: usize, use_it: impl FnOnce(&V::One) -> R) -> Option<R> {
        let made = self.inner.made.read().unwrap_or_else(PoisonError::into_inner);
        made.get(usize::from(name.0))?.made.get(place).map(use_it)
    }

    /// Where a value of the second label stands.
    fn place(&self, value: &str) -> usize {
        let place = self.inner.values.iter().position(|known| *known == value);
        debug_assert!(place.is_some(), "{value} is not declared");
        place.unwrap_or(usize::MAX)
    }
}

impl<V: Made> Follows for Inner<V> {
    fn follow(&self, names: Names, table: &Table) {
        if names != self.names {
            return;
        }
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        let gone = made.iter_mut().zip(table).filter(|(row, name)| row.name != **name);
        let gone: Vec<&mut Row<V::One>> = gone.map(|(row, _)| row).collect();
        for row in gone {
            if let Some(name) = row.name.take() {
                self.remove(&name);
            }
            row.made.clear();
        }
        for (row, name) in made.iter_mut().zip(table) {
            if let (None, Some(name)) = (&row.name, name) {
                row.made = self.make(name);
                row.name = Some(Arc::clone(name));
            }
        }
    }
}

impl<V: Made> Inner<V> {
    fn make(&self, name: &str) -> Vec<V::One> {
        if self.values.is_empty() {
            return vec![self.all.make(&[name])];
        }
        self.values.iter().map(|value| self.all.make(&[name, value])).collect()
    }

    fn remove(&self, name: &str) {
        if self.values.is_empty() {
            self.all.remove(&[name]);
        }
        for value in &self.values {
            self.all.remove(&[name, value]);
        }
    }
}

impl NamedCounters {
    /// Counts one more.
    pub fn count(&self, name: Name) {
        self.of(name, 0, IntCounter::inc);
    }

    /// Counts so many more.
    pub fn count_all(&self, name: Name, count: u64) {
        self.of(name, 0, |counter| counter.inc_by(count));
    }

    /// Counts one more with this value of the second label.
    pub fn count_as(&self, name: Name, value: &str) {
        self.of(name, self.place(value), IntCounter::inc);
    }
}

impl NamedGauges {
    /// One more, or one less.
    pub fn add(&self, name: Name, count: i64) {
        self.of(name, 0, |gauge| gauge.add(count));
    }

    /// What it is now.
    pub fn set(&self, name: Name, value: u64) {
        self.of(name, 0, |gauge| gauge.set(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// All of them anew: what names share is added up, what has no row is 0. Each row has a name and a count for
    /// each value of the second label, in their order.
    pub fn set_all<'a, const N: usize>(
        &self,
        rows: impl IntoIterator<Item = (Option<&'a str>, [u64; N])>,
    ) {
        let mut sums = vec![[0u64; N]; self.inner.names.max() + 1];
        for (name, counts) in rows {
            let name = name.map_or(Name::default(), |name| self.inner.names.find(name));
            if let Some(sum) = sums.get_mut(usize::from(name.0)) {
                for (sum, count) in sum.iter_mut().zip(counts) {
                    *sum = sum.saturating_add(count);
                }
            }
        }
        let made = self.inner.made.read().unwrap_or_else(PoisonError::into_inner);
        for (row, sums) in made.iter().zip(sums) {
            for (gauge, sum) in row.made.iter().zip(sums) {
                gauge.set(i64::try_from(sum).unwrap_or(i64::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<Arc<str>> {
        text.split_whitespace().map(Arc::from).collect()
    }

    #[test]
    fn a_name_keeps_its_number_and_what_is_too_much_has_none() {
        let mut table = Names::Pools.empty();
        let found = |table: &Table, name: &str| {
            table.iter().position(|known| known.as_deref() == Some(name))
        };
        Names::Pools.take(&mut table, names("a b c").iter());
        assert_eq!(
            ["other", "a", "b", "c", "d"].map(|name| found(&table, name)),
            [Some(0), Some(1), Some(2), Some(3), None]
        );
        Names::Pools.take(&mut table, names("c x a").iter());
        assert_eq!(
            ["a", "b", "c", "x"].map(|name| found(&table, name)),
            [Some(1), None, Some(3), Some(2)]
        );
        let many: Vec<Arc<str>> = (0..100).map(|n| n.to_string().into()).collect();
        Names::Pools.take(&mut table, many.iter());
        assert_eq!(table.iter().flatten().count(), Names::Pools.series_max());
        assert_eq!((found(&table, "10").is_some(), found(&table, "11")), (true, None));
        // A pool that is named like the rest is counted with it.
        Names::Pools.take(&mut table, names("other").iter());
        assert_eq!(table.iter().flatten().count(), 1);
    }

    #[test]
    fn a_listener_has_no_rest_until_there_are_too_many() {
        let mut table = Names::Listeners.empty();
        Names::Listeners.take(&mut table, names("smtp").iter());
        assert_eq!(table.iter().flatten().count(), 1);
        let many: Vec<Arc<str>> = (0..100).map(|n| n.to_string().into()).collect();
        Names::Listeners.take(&mut table, many.iter());
        assert_eq!(table[0].as_deref(), Some(OTHER));
    }
}
