//! The sources of this relay and the pools they stand in; whose turn it is in a pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay_config::config::{Pool, Source};

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
}

#[derive(Debug)]
struct PoolState {
    active: Vec<Arc<str>>,
    /// Place whose turn is next.
    turn: usize,
}

impl Sources {
    /// From the configuration; `present` tells whether this machine has an address.
    pub fn new(
        sources: &[Arc<Source>],
        pools: &[Arc<Pool>],
        present: impl Fn(&Source) -> bool,
    ) -> Self {
        let sources = sources
            .iter()
            .map(|config| {
                let state = SourceState { config: Arc::clone(config), present: present(config) };
                (Arc::clone(&config.name), state)
            })
            .collect();
        let pools = pools
            .iter()
            .map(|pool| {
                (Arc::clone(&pool.name), PoolState { active: pool.sources.clone(), turn: 0 })
            })
            .collect();
        Self { sources, pools }
    }

    /// Whether there is such a pool.
    pub fn has_pool(&self, pool: &str) -> bool {
        self.pools.contains_key(pool)
    }

    /// The next source of the pool, in turn, that `may` be used now.
    pub fn next(&mut self, pool: &str, may: impl Fn(&Arc<str>) -> bool) -> Option<Arc<Source>> {
        let pool = self.pools.get_mut(pool)?;
        for step in 0..pool.active.len() {
            let place = (pool.turn + step) % pool.active.len();
            let Some(name) = pool.active.get(place) else { continue };
            let Some(state) = self.sources.get(name) else { continue };
            if state.present && may(name) {
                pool.turn = (place + 1) % pool.active.len();
                return Some(Arc::clone(&state.config));
            }
        }
        None
    }

    /// The source that [`Sources::next`] would give, whose turn it stays.
    pub fn peek(&self, pool: &str, may: impl Fn(&Arc<str>) -> bool) -> Option<Arc<str>> {
        let pool = self.pools.get(pool)?;
        let count = pool.active.len();
        let turns = (0..count).filter_map(|step| pool.active.get((pool.turn + step) % count));
        let present = |name: &&Arc<str>| self.sources.get(*name).is_some_and(|it| it.present);
        turns.filter(present).find(|name| may(name)).cloned()
    }

    /// The active sources of a pool, in order, and whether this machine has their addresses.
    pub fn of_pool(&self, pool: &str) -> impl Iterator<Item = (Arc<Source>, bool)> {
        let active = self.pools.get(pool).into_iter().flat_map(|pool| &pool.active);
        let states = active.filter_map(|name| self.sources.get(name));
        states.map(|state| (Arc::clone(&state.config), state.present))
    }

    /// Whether some source of the pool has its address on this machine and is `wanted`.
    pub fn any_present(&self, pool: &str, wanted: impl Fn(&Arc<str>) -> bool) -> bool {
        let present = |name: &Arc<str>| self.sources.get(name).is_some_and(|state| state.present);
        let pool = self.pools.get(pool);
        pool.is_some_and(|pool| pool.active.iter().any(|name| present(name) && wanted(name)))
    }

    /// This machine has lost its address.
    pub fn lost(&mut self, source: &str) {
        if let Some(state) = self.sources.get_mut(source) {
            state.present = false;
        }
    }

    /// Looks again for those whose address was missing.
    pub fn look_again(&mut self, present: impl Fn(&Source) -> bool) {
        for state in self.sources.values_mut().filter(|state| !state.present) {
            state.present = present(&state.config);
        }
    }

    /// Each source with the pools it is active in and whether this machine has its address.
    pub fn list(&self) -> Vec<(Arc<Source>, Vec<Arc<str>>, bool)> {
        self.sources
            .values()
            .map(|state| {
                let pools = self
                    .pools
                    .iter()
                    .filter(|(_, pool)| pool.active.contains(&state.config.name))
                    .map(|(name, _)| Arc::clone(name))
                    .collect();
                (Arc::clone(&state.config), pools, state.present)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::config::Rotation;

    fn sources(names: &[&str], present: &[&str]) -> Sources {
        let made: Vec<_> = names
            .iter()
            .map(|name| {
                Arc::new(Source {
                    name: (*name).into(),
                    address: "127.0.0.1".parse().unwrap(),
                    public: "127.0.0.1".parse().unwrap(),
                    helo: (*name).to_owned(),
                })
            })
            .collect();
        let pool = Pool {
            name: "p".into(),
            sources: names.iter().map(|name| (*name).into()).collect(),
            standby: vec![],
            rotation: Rotation::RoundRobin,
        };
        Sources::new(&made, &[Arc::new(pool)], |source| present.contains(&&*source.name))
    }

    fn turns(sources: &mut Sources, count: usize, may: impl Fn(&Arc<str>) -> bool) -> String {
        (0..count)
            .map(|_| sources.next("p", &may).map_or("-".to_owned(), |s| s.name.to_string()))
            .collect::<Vec<_>>()
            .join(" ")
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
        assert!(missing.any_present("p", |_| true) && !missing.any_present("p", |it| &**it == "a"));
        missing.lost("b");
        assert!(!missing.any_present("p", |_| true) && !missing.any_present("q", |_| true));
    }
}
