//! A swap that an operator asks for: what would happen, and then that it does. Who waits is looked at before
//! anything changes (`vetting.rs`), and the share of a day does not bind whoever knows what he does.

use std::sync::Arc;
use std::time::Duration;

use relay_config::config::Source;

use crate::message::Timestamp;

use super::Item;
use super::books::Egress;
use super::sources::Standing;
use super::swap::Wanted;

/// A pool that a source would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The pool.
    pub pool: Arc<str>,
    /// Standbys that might come, in order; their checks are not made.
    pub candidates: Vec<Arc<Source>>,
    /// Standbys that are stopped, with the word for how.
    pub stopped: Vec<(Arc<str>, &'static str)>,
    /// Deliveries of the pool in memory that wait for a connection.
    pub waiting: usize,
    /// Sources of the pool that may still be swapped today without an operator …
    pub swaps_left: usize,
    /// … and of how many.
    pub swaps_allowed: usize,
}

/// Who comes in a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// The pool.
    pub pool: Arc<str>,
    /// The standby.
    pub standby: Arc<str>,
    /// Why it may: that it passed its checks, or who answers for it.
    pub because: String,
}

impl<T: Item> Egress<T> {
    /// What a swap of a source would be about: the pools that it serves, or those that it has left without
    /// anybody in its place. `with`: this standby, and no other.
    pub fn may_swap(
        &self,
        source: &str,
        with: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Leaving>, String> {
        if self.sources.get(source).is_none() {
            return Err(format!("there is no source {source}"));
        }
        let mut pools = self.sources.pools_of(source);
        if pools.is_empty() {
            pools = self.sources.pools_without(source);
        }
        if pools.is_empty() {
            return Err(format!(
                "{source} is active in no pool, and none lacks a source since it left"
            ));
        }
        let leaving: Vec<Leaving> =
            pools.into_iter().map(|pool| self.leaving(pool, with, now)).collect();
        if let (Some(with), true) = (with, leaving.iter().all(|it| it.candidates.is_empty())) {
            let stopped = leaving.iter().flat_map(|it| &it.stopped).find(|it| *it.0 == *with);
            return Err(match stopped {
                Some((_, how)) => format!("{with} is {how}: `tambo sources resume {with}` first"),
                None => format!("{with} waits as standby for no pool of {source}"),
            });
        }
        Ok(leaving)
    }

    fn leaving(&self, pool: Arc<str>, with: Option<&str>, now: Timestamp) -> Leaving {
        let (mut candidates, mut stopped) = (Vec::new(), Vec::new());
        for name in self.sources.standby(&pool) {
            if with.is_some_and(|with| **name != *with) {
                continue;
            }
            match (self.sources.get(name), self.sources.standing(name)) {
                (Some(source), Some(Standing::Good)) => candidates.push(Arc::clone(source)),
                (_, standing) => {
                    let how = standing.map_or("unknown", Standing::word);
                    stopped.push((Arc::clone(name), how));
                }
            }
        }
        let sites = self.waiting.iter().filter_map(|name| self.sites.get(name));
        let waiting = sites.filter_map(|site| site.pools.get(&pool)).map(|pool| pool.waiting).sum();
        let size = self.sources.pool_config(&pool).map_or(0, |config| config.sources.len());
        Leaving {
            candidates,
            stopped,
            waiting,
            swaps_left: self.swaps_left(&pool, now),
            swaps_allowed: self.settings.swap.most_in_a_day(size),
            pool,
        }
    }

    /// Swaps: the source leaves its pools, and in each of them another comes. Nothing is changed when somebody
    /// else has changed the pools since they were looked at.
    pub fn swap_by_hand(
        &mut self,
        source: &Arc<str>,
        coming: &[Coming],
        why: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let leaving = self.may_swap(source, None, now)?;
        let comes = |it: &Leaving| {
            let of_pool = coming.iter().find(|coming| coming.pool == it.pool);
            of_pool.is_some_and(|coming| {
                it.candidates.iter().any(|candidate| candidate.name == coming.standby)
            })
        };
        if leaving.len() != coming.len() || !leaving.iter().all(comes) {
            return Err("the pools have changed since they were looked at: ask again".to_owned());
        }
        if !self.sources.pools_of(source).is_empty() {
            self.swap_out(source, why, now)?;
        }
        for Coming { pool, standby, because } in coming {
            let wanted =
                Wanted { pool: Arc::clone(pool), left: Arc::clone(source), candidates: Vec::new() };
            self.take_place(&wanted, standby, because);
        }
        Ok(())
    }

    /// How long a source must be clean before it waits as standby again.
    pub fn clean_for(&self) -> Duration {
        self.settings.swap.clean_for
    }
}

#[cfg(test)]
mod tests {
    use relay_config::config::{Pool, Rotation};

    use super::*;
    use crate::egress::SourceLever;
    use crate::egress::Sources;
    use crate::egress::examples::{Mail, pool_of, settings, source};

    const NOW: Timestamp = Timestamp::from_millis(1_764_028_800_000);

    fn egress() -> Egress<Mail> {
        let standby = ["s1", "s2"].map(Into::into).to_vec();
        let pool = Pool { standby, ..pool_of("p", &["a", "b"], Rotation::Adaptive) };
        let other = pool_of("q", &["b"], Rotation::Adaptive);
        let made: Vec<_> = ["a", "b", "s1", "s2"].map(source).into();
        let sources = Sources::new(&made, &[Arc::new(pool), Arc::new(other)], |_| true);
        Egress::new(sources, settings("", 100), NOW)
    }

    fn candidates(leaving: &[Leaving]) -> Vec<String> {
        let of = |it: &Leaving| {
            let names: Vec<&str> = it.candidates.iter().map(|source| &*source.name).collect();
            format!("{}: {}", it.pool, names.join(" "))
        };
        leaving.iter().map(of).collect()
    }

    fn coming(pool: &str, standby: &str) -> Coming {
        Coming { pool: pool.into(), standby: standby.into(), because: "it passed".to_owned() }
    }

    fn members(egress: &Egress<Mail>, pool: &str) -> String {
        let names: Vec<&str> = egress.sources.active(pool).iter().map(|name| &**name).collect();
        names.join(" ")
    }

    #[test]
    fn what_a_swap_is_about() {
        let mut egress = egress();
        let may = |egress: &Egress<Mail>, source: &str, with: Option<&str>| {
            egress.may_swap(source, with, NOW).map(|leaving| candidates(&leaving))
        };
        assert_eq!(may(&egress, "a", None).unwrap(), ["p: s1 s2"]);
        assert_eq!(may(&egress, "a", Some("s2")).unwrap(), ["p: s2"]);
        assert_eq!(may(&egress, "b", None).unwrap(), ["p: s1 s2", "q: "]);
        for (source, with, wrong) in [
            ("c", None, "there is no source c"),
            ("s1", None, "s1 is active in no pool, and none lacks a source since it left"),
            ("a", Some("b"), "b waits as standby for no pool of a"),
        ] {
            assert_eq!(may(&egress, source, with).unwrap_err(), wrong);
        }
        let lever = SourceLever::Suspend { why: "x".to_owned(), until: None };
        egress.pull_source_lever(&"s1".into(), lever, NOW).unwrap();
        assert_eq!(may(&egress, "a", None).unwrap(), ["p: s2"]);
        assert_eq!(
            may(&egress, "a", Some("s1")).unwrap_err(),
            "s1 is suspended: `tambo sources resume s1` first"
        );
        let leaving = egress.may_swap("a", None, NOW).unwrap().remove(0);
        assert_eq!((leaving.swaps_left, leaving.swaps_allowed), (1, 1));
    }

    #[test]
    fn it_is_done_whole_or_not_at_all() {
        let mut egress = egress();
        let a: Arc<str> = "a".into();
        let again = "the pools have changed since they were looked at: ask again";
        for wrong in [&[][..], &[coming("q", "s1")], &[coming("p", "b")]] {
            assert_eq!(egress.swap_by_hand(&a, wrong, "ana: x", NOW).unwrap_err(), again);
        }
        assert_eq!(members(&egress, "p"), "a b");
        assert!(egress.take_decisions().is_empty());
        egress.swap_by_hand(&a, &[coming("p", "s2")], "ana: x", NOW).unwrap();
        assert_eq!(members(&egress, "p"), "b s2");
        assert!(egress.wanted().is_empty(), "nobody else is asked for");
        let told: Vec<String> = egress.take_decisions().into_iter().map(|it| it.text).collect();
        assert_eq!(
            told,
            [
                "a has left its pools: ana: x",
                "s2 takes the place of a in p: it passed, and starts or resumes its own warm-up"
            ]
        );
        assert_eq!(egress.swaps_left("p", NOW), 0, "it counts");
        assert!(egress.may_swap("a", None, NOW).is_err(), "somebody has its place");
    }

    #[test]
    fn who_left_without_anybody_in_its_place_is_replaced_later() {
        let mut egress = egress();
        let a: Arc<str> = "a".into();
        egress.quarantine(&a, "listed", NOW);
        let wanted = egress.wanted().remove(0);
        egress.goes_on_with_fewer(&wanted, "none passed");
        assert_eq!(members(&egress, "p"), "b");
        assert_eq!(candidates(&egress.may_swap("a", None, NOW).unwrap()), ["p: s1 s2"]);
        egress.swap_by_hand(&a, &[coming("p", "s1")], "ana: x", NOW).unwrap();
        assert_eq!(members(&egress, "p"), "b s1");
    }

    #[test]
    fn what_the_relay_itself_wants_for_another_source_stays_wanted() {
        let mut egress = egress();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        egress.swap_out(&b, "x", NOW).unwrap();
        egress.swap_by_hand(&a, &[coming("p", "s1")], "ana: x", NOW).unwrap();
        let wanted = egress.wanted();
        let left: Vec<(&str, &str)> =
            wanted.iter().map(|wanted| (&*wanted.pool, &*wanted.left)).collect();
        assert_eq!(left, [("p", "b"), ("q", "b")]);
        let lever = SourceLever::Drain { why: "x".to_owned() };
        let wrong = egress.pull_source_lever(&a, lever, NOW).unwrap_err();
        assert_eq!(wrong, "a is quarantined: it sends nothing");
        egress.take_decisions();
        let lever = SourceLever::Resume { why: "ana: clean".to_owned() };
        egress.pull_source_lever(&a, lever, NOW).unwrap();
        let told: Vec<String> = egress.take_decisions().into_iter().map(|it| it.text).collect();
        assert_eq!(told, ["a waits as standby again: ana: clean"]);
        assert_eq!(candidates(&egress.may_swap("b", None, NOW).unwrap())[0], "p: s2 a");
    }
}
