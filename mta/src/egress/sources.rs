//! The sources of this relay, how each stands, and the pools they are active in or wait for.
//!
//! What the configuration says is the base; over it lies what has happened since: sources that left a pool,
//! standbys that took their place. A reload changes the base and keeps what still makes sense of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use relay_config::config::{Pool, Rotation, Source};
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;

use super::calendar::{Calendar, Day};

/// Departures are remembered so long: what counts is a day.
const DEPARTURES_KEPT: Duration = Duration::from_hours(24 * 7);

/// All sources and pools.
#[derive(Debug, Default)]
pub struct Sources {
    sources: BTreeMap<Arc<str>, SourceState>,
    pools: BTreeMap<Arc<str>, PoolState>,
}

#[derive(Debug)]
struct SourceState {
    config: Arc<Source>,
    /// This machine has its address.
    present: bool,
    standing: Standing,
}

#[derive(Debug)]
struct PoolState {
    config: Arc<Pool>,
    calendar: Calendar,
    changes: PoolChanges,
    active: Vec<Arc<str>>,
    standby: Vec<Arc<str>>,
    /// Active ones that may send now: asked for each message, changed seldom.
    usable: Vec<Arc<str>>,
    /// Place whose turn is next.
    turn: usize,
}

/// How a source stands, everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It may send wherever it is active.
    #[default]
    Good,
    /// An operator stopped it.
    Suspended {
        /// Who and why.
        why: String,
        /// Until then; `None`: until resumed.
        until: Option<Timestamp>,
    },
    /// It takes nothing new; what is in use ends.
    Draining {
        /// Who and why.
        why: String,
    },
    /// It is blamed everywhere, and has left its pools.
    Quarantined {
        /// The evidence.
        why: String,
        /// Since when.
        since: Timestamp,
        /// Since when nothing speaks against it.
        clean_since: Option<Timestamp>,
    },
}

impl Standing {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good => "active",
            Self::Suspended { .. } => "suspended",
            Self::Draining { .. } => "draining",
            Self::Quarantined { .. } => "quarantined",
        }
    }
}

/// What has happened to a pool since its configuration was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PoolChanges {
    /// Active ones that have left, and when.
    left: BTreeMap<String, Timestamp>,
    /// Those of them that wait as standby again.
    returned: BTreeSet<String>,
    /// Standbys that are active now.
    joined: BTreeSet<String>,
    /// When sources left, lately.
    departures: Vec<Timestamp>,
}

/// A source as it is listed.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its configuration.
    pub source: Arc<Source>,
    /// Pools it is active in.
    pub active: Vec<Arc<str>>,
    /// Pools it waits for.
    pub standby: Vec<Arc<str>>,
    /// Whether this machine has its address.
    pub present: bool,
    /// How it stands.
    pub standing: Standing,
}

impl Sources {
    /// From the configuration; `present` tells whether this machine has an address.
    pub fn new(
        sources: &[Arc<Source>],
        pools: &[Arc<Pool>],
        present: impl Fn(&Source) -> bool,
    ) -> Self {
        let state = |config: &Arc<Source>| SourceState {
            config: Arc::clone(config),
            present: present(config),
            standing: Standing::default(),
        };
        let sources =
            sources.iter().map(|config| (Arc::clone(&config.name), state(config))).collect();
        let pools = pools.iter().map(|config| (Arc::clone(&config.name), PoolState::new(config)));
        let mut all = Self { sources, pools: pools.collect() };
        all.refresh();
        all
    }

    /// By another configuration: what has happened stays, as far as it still makes sense.
    pub fn reconfigure(
        &mut self,
        sources: &[Arc<Source>],
        pools: &[Arc<Pool>],
        present: impl Fn(&Source) -> bool,
    ) {
        let mut fresh = Self::new(sources, pools, present);
        for (name, state) in &mut fresh.sources {
            if let Some(before) = self.sources.get(name) {
                state.standing = before.standing.clone();
            }
        }
        for (name, pool) in &mut fresh.pools {
            if let Some(before) = self.pools.get(name) {
                pool.turn = before.turn;
                pool.take_changes(before.changes.clone());
            }
        }
        fresh.refresh();
        *self = fresh;
    }

    /// Whether there is such a pool.
    pub fn has_pool(&self, pool: &str) -> bool {
        self.pools.contains_key(pool)
    }

    /// The names of the pools.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pools.keys()
    }

    /// A pool as it is written.
    pub(super) fn pool_config(&self, pool: &str) -> Option<&Arc<Pool>> {
        self.pools.get(pool).map(|pool| &pool.config)
    }

    /// How a pool chooses.
    pub(super) fn rotation(&self, pool: &str) -> Rotation {
        self.pools.get(pool).map_or(Rotation::RoundRobin, |pool| pool.config.rotation)
    }

    /// The day of a pool.
    pub(super) fn day(&mut self, pool: &str, now: Timestamp) -> Day {
        match self.pools.get_mut(pool) {
            Some(pool) => pool.calendar.day(now),
            None => Calendar::new(relay_config::config::SendWindow::ALWAYS).day(now),
        }
    }

    /// The same, without remembering it.
    pub(super) fn day_of(&self, pool: &str, now: Timestamp) -> Day {
        match self.pools.get(pool) {
            Some(pool) => pool.calendar.look_up(now),
            None => Calendar::new(relay_config::config::SendWindow::ALWAYS).look_up(now),
        }
    }

    /// The active sources of a pool, in order.
    pub(super) fn active(&self, pool: &str) -> &[Arc<str>] {
        self.pools.get(pool).map_or(&[], |pool| &pool.active)
    }

    /// Those of them that may send now.
    pub(super) fn usable(&self, pool: &str) -> &[Arc<str>] {
        self.pools.get(pool).map_or(&[], |pool| &pool.usable)
    }

    /// The sources that wait for a pool, in order.
    pub fn standby(&self, pool: &str) -> &[Arc<str>] {
        self.pools.get(pool).map_or(&[], |pool| &pool.standby)
    }

    /// Whether a source may send at all now.
    pub fn is_usable(&self, source: &str) -> bool {
        self.sources.get(source).is_some_and(SourceState::is_usable)
    }

    /// Whether a source is active in a pool and may send.
    pub(super) fn serves(&self, source: &str, pool: &str) -> bool {
        self.usable(pool).iter().any(|name| **name == *source)
    }

    /// Its configuration.
    pub fn get(&self, source: &str) -> Option<&Arc<Source>> {
        self.sources.get(source).map(|state| &state.config)
    }

    /// How a source stands.
    pub fn standing(&self, source: &str) -> Option<&Standing> {
        self.sources.get(source).map(|state| &state.standing)
    }

    /// Every source of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values().map(|state| &state.config)
    }

    /// The next source of the pool, in turn, that `may` be used now.
    pub(super) fn next(
        &mut self,
        pool: &str,
        may: impl Fn(&Arc<str>) -> bool,
    ) -> Option<Arc<Source>> {
        let place = self.turn(pool, may)?;
        let state = self.pools.get_mut(pool)?;
        state.turn = (place + 1) % state.active.len().max(1);
        let name = state.active.get(place)?;
        self.sources.get(name).map(|state| Arc::clone(&state.config))
    }

    /// The source that [`Sources::next`] would give, whose turn it stays.
    pub(super) fn peek(&self, pool: &str, may: impl Fn(&Arc<str>) -> bool) -> Option<Arc<str>> {
        let place = self.turn(pool, may)?;
        self.active(pool).get(place).cloned()
    }

    fn turn(&self, pool: &str, may: impl Fn(&Arc<str>) -> bool) -> Option<usize> {
        let pool = self.pools.get(pool)?;
        let count = pool.active.len();
        let places = (0..count).map(|step| (pool.turn + step) % count);
        let fits = |place: &usize| {
            pool.active.get(*place).is_some_and(|name| self.is_usable(name) && may(name))
        };
        places.into_iter().find(fits)
    }

    /// Whether some source of the pool may send and is `wanted`.
    pub fn any_usable(&self, pool: &str, wanted: impl Fn(&Arc<str>) -> bool) -> bool {
        self.usable(pool).iter().any(wanted)
    }

    /// Pools in which a source is active.
    pub fn pools_of(&self, source: &str) -> Vec<Arc<str>> {
        let active = self.pools.iter().filter(|(_, pool)| has(&pool.active, source));
        active.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Pools that a source waits for as standby.
    pub fn pools_that_wait_for(&self, source: &str) -> Vec<Arc<str>> {
        let standby = self.pools.iter().filter(|(_, pool)| has(&pool.standby, source));
        standby.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Pools that a source has left, and that have had nobody in its place since.
    pub(super) fn pools_without(&self, source: &str) -> Vec<Arc<str>> {
        let without = self.pools.iter().filter(|(_, pool)| {
            pool.changes.left.contains_key(source)
                && !has(&pool.active, source)
                && pool.active.len() < pool.config.sources.len()
        });
        without.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// This machine has lost its address.
    pub fn lost(&mut self, source: &str) {
        if let Some(state) = self.sources.get_mut(source) {
            state.present = false;
        }
        self.refresh();
    }

    /// Looks again for those whose address was missing.
    pub fn look_again(&mut self, present: impl Fn(&Source) -> bool) {
        for state in self.sources.values_mut().filter(|state| !state.present) {
            state.present = present(&state.config);
        }
        self.refresh();
    }

    /// Changes how a source stands. `false`: there is no such source.
    pub(super) fn set_standing(&mut self, source: &str, standing: Standing) -> bool {
        let Some(state) = self.sources.get_mut(source) else { return false };
        state.standing = standing;
        self.refresh();
        true
    }

    /// Suspensions of sources that are over by now.
    pub(super) fn end_suspensions(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        let over = |state: &SourceState| matches!(state.standing, Standing::Suspended { until: Some(until), .. } if until <= now);
        let ended: Vec<Arc<str>> = self
            .sources
            .iter()
            .filter(|(_, state)| over(state))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in &ended {
            self.set_standing(name, Standing::Good);
        }
        ended
    }

    /// A source leaves the pools it is active in. Returns them.
    pub(super) fn leave(&mut self, source: &str, now: Timestamp) -> Vec<Arc<str>> {
        let pools = self.pools_of(source);
        for pool in &pools {
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.leave(source, now);
            }
        }
        self.refresh();
        pools
    }

    /// A standby becomes active. `false`: it does not wait for that pool.
    pub(super) fn join(&mut self, pool: &str, source: &str) -> bool {
        let joined = self.pools.get_mut(pool).is_some_and(|pool| pool.join(source));
        self.refresh();
        joined
    }

    /// A source that had left its pools waits for them again.
    pub(super) fn return_as_standby(&mut self, source: &str) -> Vec<Arc<str>> {
        let mut pools = Vec::new();
        for (name, pool) in &mut self.pools {
            if pool.changes.left.contains_key(source) {
                pool.changes.returned.insert(source.to_owned());
                pool.settle();
                pools.push(Arc::clone(name));
            }
        }
        self.refresh();
        pools
    }

    /// Sources that left a pool within a time before `now`.
    pub(super) fn left_within(&self, pool: &str, within: Duration, now: Timestamp) -> usize {
        let Some(pool) = self.pools.get(pool) else { return 0 };
        pool.changes.departures.iter().filter(|at| now.since(**at) < within).count()
    }

    /// Each source with its pools and how it stands.
    pub fn list(&self) -> Vec<Listed> {
        let row = |state: &SourceState| Listed {
            source: Arc::clone(&state.config),
            active: self.pools_of(&state.config.name),
            standby: self.pools_that_wait_for(&state.config.name),
            present: state.present,
            standing: state.standing.clone(),
        };
        self.sources.values().map(row).collect()
    }

    /// Places of pools that a source has left and none has taken, with who left.
    pub(super) fn vacancies(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let mut vacancies = Vec::new();
        for (name, pool) in &self.pools {
            let PoolChanges { left, joined, .. } = &pool.changes;
            let mut gone: Vec<(&String, &Timestamp)> = left.iter().collect();
            gone.sort_by_key(|(_, at)| **at);
            let vacant = gone.iter().skip(joined.len());
            vacancies.extend(vacant.map(|(left, _)| (Arc::clone(name), left.as_str().into())));
        }
        vacancies
    }

    /// What must be kept of a pool.
    pub(super) fn pool_changes(&self, pool: &str) -> Option<&PoolChanges> {
        self.pools.get(pool).map(|pool| &pool.changes)
    }

    /// What was kept of a pool.
    pub(super) fn restore_pool(&mut self, pool: &str, changes: PoolChanges) {
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.take_changes(changes);
        }
        self.refresh();
    }

    /// Who may send has changed.
    fn refresh(&mut self) {
        let sources = &self.sources;
        let usable = |name: &&Arc<str>| sources.get(*name).is_some_and(SourceState::is_usable);
        for pool in self.pools.values_mut() {
            pool.usable = pool.active.iter().filter(usable).cloned().collect();
        }
    }
}

impl SourceState {
    fn is_usable(&self) -> bool {
        self.present && self.standing == Standing::Good
    }
}

impl PoolState {
    fn new(config: &Arc<Pool>) -> Self {
        Self {
            calendar: Calendar::new(config.send_window.clone()),
            changes: PoolChanges::default(),
            active: config.sources.clone(),
            standby: config.standby.clone(),
            usable: Vec::new(),
            turn: 0,
            config: Arc::clone(config),
        }
    }

    /// Changes of before, without those that the configuration has overtaken.
    fn take_changes(&mut self, mut changes: PoolChanges) {
        let config = Arc::clone(&self.config);
        changes.joined.retain(|name| has(&config.standby, name));
        changes.left.retain(|name, _| has(&config.sources, name) || has(&config.standby, name));
        changes.returned.retain(|name| changes.left.contains_key(name));
        self.changes = changes;
        self.settle();
    }

    fn settle(&mut self) {
        let PoolChanges { left, returned, joined, .. } = &self.changes;
        let config = &self.config;
        let stays = |name: &&Arc<str>| !left.contains_key(&***name);
        let joins = |name: &&Arc<str>| joined.contains(&***name);
        let active = config.sources.iter().filter(stays);
        let comes = config.sources.iter().chain(&config.standby).filter(joins);
        self.active = active.chain(comes).cloned().collect();
        let waits = config.standby.iter().filter(|name| stays(name) && !joins(name));
        let back = config.sources.iter().chain(&config.standby);
        let back = back.filter(|name| returned.contains(&***name) && !joins(name));
        self.standby = waits.chain(back).cloned().collect();
    }

    fn leave(&mut self, source: &str, now: Timestamp) {
        self.changes.joined.remove(source);
        self.changes.returned.remove(source);
        self.changes.left.insert(source.to_owned(), now);
        self.changes.departures.retain(|at| now.since(*at) < DEPARTURES_KEPT);
        self.changes.departures.push(now);
        self.settle();
    }

    fn join(&mut self, source: &str) -> bool {
        if !has(&self.standby, source) {
            return false;
        }
        if has(&self.config.sources, source) {
            self.changes.left.remove(source);
        } else {
            self.changes.left.remove(source);
            self.changes.joined.insert(source.to_owned());
        }
        self.changes.returned.remove(source);
        self.settle();
        true
    }
}

fn has(list: &[Arc<str>], name: &str) -> bool {
    list.iter().any(|it| **it == *name)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{pool_of, source};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn sources(names: &[&str], present: &[&str]) -> Sources {
        let made: Vec<_> = ["s1", "s2"].iter().chain(names).map(source).collect();
        let pool = Pool {
            standby: vec!["s1".into(), "s2".into()],
            ..pool_of("p", names, Rotation::RoundRobin)
        };
        Sources::new(&made, &[Arc::new(pool)], |source| {
            present.contains(&&*source.name) || source.name.starts_with('s')
        })
    }

    fn turns(sources: &mut Sources, count: usize, may: impl Fn(&Arc<str>) -> bool) -> String {
        (0..count)
            .map(|_| sources.next("p", &may).map_or("-".to_owned(), |s| s.name.to_string()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn members(sources: &Sources) -> (String, String) {
        let names =
            |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        (names(sources.active("p")), names(sources.standby("p")))
    }

    #[test]
    fn each_in_turn_but_for_those_that_may_not() {
        let mut all = sources(&["a", "b", "c"], &["a", "b", "c"]);
        assert_eq!(turns(&mut all, 4, |_| true), "a b c a");
        assert_eq!(turns(&mut all, 2, |name| &**name != "b"), "c a");
        assert_eq!(turns(&mut all, 1, |_| false), "-");
        assert_eq!(turns(&mut all, 1, |_| true), "b", "a turn that nobody took is not lost");
        let mut missing = sources(&["a", "b", "c"], &["b"]);
        assert_eq!(turns(&mut missing, 2, |_| true), "b b");
        assert!(all.next("q", |_| true).is_none());
        assert!(missing.any_usable("p", |_| true) && !missing.any_usable("p", |it| &**it == "a"));
        missing.lost("b");
        assert!(!missing.any_usable("p", |_| true) && !missing.any_usable("q", |_| true));
    }

    #[test]
    fn a_source_leaves_a_standby_takes_its_place_and_it_comes_back_to_wait() {
        let mut all = sources(&["a", "b"], &["a", "b"]);
        assert_eq!(all.leave("a", NOW).len(), 1);
        assert_eq!(members(&all), ("b".to_owned(), "s1 s2".to_owned()));
        assert!(all.join("p", "s1") && !all.join("p", "s1") && !all.join("p", "x"));
        assert_eq!(members(&all), ("b s1".to_owned(), "s2".to_owned()));
        assert_eq!(all.left_within("p", Duration::from_hours(24), NOW), 1);
        all.return_as_standby("a");
        assert_eq!(members(&all), ("b s1".to_owned(), "s2 a".to_owned()));
        all.leave("s1", NOW);
        assert!(all.join("p", "a"));
        assert_eq!(members(&all), ("a b".to_owned(), "s2".to_owned()), "its old place");
    }

    #[test]
    fn a_reload_keeps_what_still_makes_sense() {
        let mut all = sources(&["a", "b", "c"], &["a", "b", "c"]);
        all.leave("a", NOW);
        all.join("p", "s1");
        all.set_standing("b", Standing::Draining { why: "moved".to_owned() });
        let made: Vec<_> = ["a", "b", "s1", "s2"].map(source).into();
        let pool =
            Pool { standby: vec!["s1".into()], ..pool_of("p", &["b", "s2"], Rotation::RoundRobin) };
        all.reconfigure(&made, &[Arc::new(pool)], |_| true);
        assert_eq!(members(&all), ("b s2 s1".to_owned(), String::new()));
        assert_eq!((all.is_usable("b"), all.is_usable("s2")), (false, true));
    }
}
