//! The paths of a source, for people: how each stands, what made it so, what was learned there, and how far its
//! warm-up is. Those of sites that have been silent since the start are shown as they were remembered.
//! Looks, and changes nothing.

use std::sync::Arc;

use relay_config::config::Source;
use relay_config::routes::is_smarthost;

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::Item;
use super::books::{Egress, limits_of, rules_of};
use super::calendar::Day;
use super::gate::Reason;
use super::health::{Health, Why};
use super::limits::Limits;
use super::path::{Path, Terms};
use super::site::SiteKind;
use super::warm_up::{HeldBy, Rules, WarmUp};

/// Paths of one answer: more than a person reads, few enough to be put together between two messages.
const PATHS_TOLD_MAX: usize = 10_000;

/// A source at a site, as mail of one pool meets it.
#[derive(Debug, Clone, PartialEq)]
pub struct PathState {
    /// The source.
    pub source: Arc<Source>,
    /// The site.
    pub site: Arc<str>,
    /// What bounds the site.
    pub kind: SiteKind,
    /// The pool whose limits and warm-up are told; `None`: the source is in no pool.
    pub pool: Option<Arc<str>>,
    /// Connections, open or coming up.
    pub open: u32,
    /// How it stands.
    pub health: Health,
    /// What made it so, be it over or not.
    pub why: Option<Why>,
    /// What keeps the next recipient at this moment, and until when.
    pub kept: Option<(Reason, Timestamp)>,
    /// Recipients of this day.
    pub used: u32,
    /// What it may send on this day; `None`: no cap.
    pub cap: Option<u32>,
    /// How warm it is; `None`: it is warm, or is not warmed up.
    pub warming: Option<Warming>,
    /// Connections that it may have now: as configured, or fewer.
    pub connections: u32,
    /// Transactions of one connection now.
    pub messages: u32,
    /// Recipients an hour now; `None`: no pace is set.
    pub per_hour: Option<u32>,
    /// What is configured.
    pub limits: Limits,
    /// When it last carried anything; `None`: not since it is remembered.
    pub last_used: Option<Timestamp>,
}

/// A path that warms up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warming {
    /// The day of its schedule, from 1.
    pub day: u16,
    /// Days of the schedule.
    pub days: u16,
    /// Recipients that were accepted on this day.
    pub accepted: u32,
    /// Recipients that must be, for the day to count.
    pub enough: u32,
    /// What keeps it on this day.
    pub held: Option<HeldBy>,
    /// When it is warm if every day counts from now on, in days since 1970-01-01.
    pub warm_on: i32,
}

impl Warming {
    pub(super) fn of(state: &WarmUp, rules: &Rules, today: i32) -> Option<Self> {
        Some(Self {
            day: state.day(rules)?,
            days: rules.days(),
            accepted: state.counts().accepted,
            enough: state.enough(rules)?,
            held: state.held_by(rules),
            warm_on: state.warm_on(rules, today),
        })
    }
}

impl<T: Item> Egress<T> {
    /// The paths that are in use or remembered, of all sources that are `wanted`, in order of sites: at most
    /// [`PATHS_TOLD_MAX`], those of providers before others.
    pub fn paths(&self, wanted: impl Fn(&str) -> bool + Copy, now: Timestamp) -> Vec<PathState> {
        self.told(wanted, |_| true, now)
    }

    /// Those that warm up, or would.
    pub fn paths_warming(&self, now: Timestamp) -> Vec<PathState> {
        self.told(|_| true, |path| path.warm_up.is_some(), now)
    }

    /// Those that are not as they should be, or where a server has taught us to send less. What is well, which nearly
    /// all are, costs a glance.
    pub fn paths_amiss(&self, now: Timestamp) -> Vec<PathState> {
        let well = |path: &Path| {
            path.health == Health::Active && path.learned == super::learned::Learned::default()
        };
        self.told(|_| true, |path| !well(path), now)
    }

    fn told(
        &self,
        wanted: impl Fn(&str) -> bool + Copy,
        meant: impl Fn(&Path) -> bool + Copy,
        now: Timestamp,
    ) -> Vec<PathState> {
        let every = || self.every_path(wanted, meant);
        let of_providers = every().filter(|(_, kind, ..)| kind.provider().is_some());
        let others = every().filter(|(_, kind, ..)| kind.provider().is_none());
        let mut states = Vec::new();
        for (site, kind, source, path) in of_providers.chain(others) {
            let Some(config) = self.sources.get(source) else { continue };
            if states.len() >= PATHS_TOLD_MAX {
                limit_hit("told_paths");
                break;
            }
            for pool in self.pools_at(site, source) {
                states.push(self.path_state(site, &kind, config, pool, &path, now));
            }
        }
        states.sort_by(|one, other| {
            let key = |it: &PathState| (Arc::clone(&it.site), Arc::clone(&it.source.name));
            key(one).cmp(&key(other)).then_with(|| one.pool.cmp(&other.pool))
        });
        states
    }

    fn every_path(
        &self,
        wanted: impl Fn(&str) -> bool + Copy,
        meant: impl Fn(&Path) -> bool + Copy,
    ) -> impl Iterator<Item = (&Arc<str>, SiteKind, &Arc<str>, Path)> {
        let known = self.sites.iter().flat_map(move |(name, site)| {
            let paths = site.paths.iter();
            let paths = paths.filter(move |(source, path)| wanted(source) && meant(path));
            paths.map(move |(source, path)| (name, site.kind.clone(), source, path.clone()))
        });
        let remembered = self.remembered.paths().filter(move |(_, source, _)| wanted(source));
        known.chain(remembered.filter_map(move |(name, source, record)| {
            let path = Path::restored(record.clone(), &Limits::NONE, Timestamp::default());
            meant(&path).then(|| (name, self.kind_of_name(name), source, path))
        }))
    }

    /// What bounds a site, as far as its name tells.
    pub(super) fn kind_of_name(&self, site: &str) -> SiteKind {
        match self.settings.providers.get(site) {
            Some(provider) => SiteKind::Provider(Arc::clone(&provider.name)),
            None if is_smarthost(site) => SiteKind::Smarthost,
            None => SiteKind::Mx,
        }
    }

    /// Whether something is known of a site of this name: it is a provider's, or has been sent to.
    pub fn kind_of_known(&self, site: &str) -> Option<SiteKind> {
        if let Some(known) = self.sites.get(site) {
            return Some(known.kind.clone());
        }
        let known = self.settings.providers.get(site).is_some() || self.remembered.has_site(site);
        known.then(|| self.kind_of_name(site))
    }

    /// The pools by which a source is seen at a site: those whose mail goes there, or else all that it serves
    /// or waits for, or none.
    pub(super) fn pools_at(&self, site: &str, source: &str) -> Vec<Option<Arc<str>>> {
        let mut pools = self.sources.pools_of(source);
        if pools.is_empty() {
            pools = self.sources.pools_that_wait_for(source);
        }
        if let Some(site) = self.sites.get(site)
            && pools.iter().any(|pool| site.pools.contains_key(pool))
        {
            pools.retain(|pool| site.pools.contains_key(pool));
        }
        if pools.is_empty() { vec![None] } else { pools.into_iter().map(Some).collect() }
    }

    fn path_state(
        &self,
        site: &Arc<str>,
        kind: &SiteKind,
        source: &Arc<Source>,
        pool: Option<Arc<str>>,
        path: &Path,
        now: Timestamp,
    ) -> PathState {
        let name = pool.as_deref().unwrap_or_default();
        let limits = limits_of(&self.settings.providers, kind, name);
        let rules = rules_of(&self.sources, kind, name);
        let day = self.sources.day_of(name, now);
        let terms = Terms { limits: &limits, day, rules: rules.as_ref() };
        let mut path = path.clone();
        path.advance(terms, now);
        PathState {
            source: Arc::clone(source),
            site: Arc::clone(site),
            kind: kind.clone(),
            pool,
            open: path.open,
            health: path.health,
            why: path.why.clone(),
            kept: path.gate(terms, now).kept(now),
            used: path.used_on(day.number),
            cap: path.cap(terms).map(|(cap, _)| cap),
            warming: warming(&path, rules.as_ref(), day),
            connections: path.connections(&limits, now),
            messages: path.messages(&limits, now),
            per_hour: path.pace(terms, now).map(|(every, _)| {
                u32::try_from(3_600_000 / every.as_millis().max(1)).unwrap_or(u32::MAX)
            }),
            last_used: Some(path.last_used).filter(|at| *at > Timestamp::default()),
            limits,
        }
    }
}

fn warming(path: &Path, rules: Option<&Rules>, day: Day) -> Option<Warming> {
    Warming::of(path.warm_up.as_ref()?, rules?, day.number)
}
