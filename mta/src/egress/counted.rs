//! What is counted of blame before anything is done about it: shares of replies, domains that agree, blocks that
//! come again, sites that blocked a source. Bounded; what is done is decided in `blame.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use relay_config::responses::Percent;

use crate::message::Timestamp;
use crate::metrics::limit_hit;

/// A block that comes again within this time is repeated.
const REPEATED_WITHIN: Duration = Duration::from_hours(24 * 7);
/// Replies that a share is made of at least: one in three is no pattern.
const SHARE_OF_AT_LEAST: u32 = 50;
/// Replies that blame, before any share of them does anything.
const SHARE_BLAMED_AT_LEAST: u32 = 3;
/// Shares are of about so many last replies.
const SHARE_OF_LAST: u32 = 1_000;
/// Things that are counted, of each kind; of more, none is counted until the next sweep.
const COUNTED_MAX: usize = 20_000;
/// An alert about the same rule and site is not repeated within this time.
const ALERT_EVERY: Duration = Duration::from_hours(1);

/// What is counted before anything is done.
#[derive(Debug, Default)]
pub(super) struct Blames {
    shares: HashMap<(Arc<str>, String, String), Share>,
    /// Recipient domains that blamed a sending domain.
    domains: HashMap<(Arc<str>, String, String), BTreeSet<String>>,
    /// When a rule last suspended a path.
    repeated: HashMap<(Arc<str>, Arc<str>, String), Timestamp>,
    /// Sites that blocked a source, lately.
    pub(super) sites: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Timestamp>>,
    alerts: HashMap<(String, Arc<str>), Timestamp>,
    /// Sources that the blocklists should be asked about at once.
    pub(super) to_check: BTreeSet<Arc<str>>,
    /// Sources that an acting list names.
    pub(super) listed: BTreeSet<Arc<str>>,
    /// Pools that want a standby, for the source that left.
    pub(super) wanted: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    all: u32,
    blamed: u32,
}

impl Share {
    pub(super) fn count(&mut self, all: u32, blamed: u32) {
        self.all += all;
        self.blamed += blamed;
        if self.all > SHARE_OF_LAST {
            self.all /= 2;
            self.blamed /= 2;
        }
    }

    fn is_above(self, percent: Percent) -> bool {
        self.all >= SHARE_OF_AT_LEAST
            && self.blamed >= SHARE_BLAMED_AT_LEAST
            && self.blamed * 100 > self.all * u32::from(percent.0)
    }
}

impl Blames {
    /// Counts a reply toward a share, and tells whether it is above what a rule bears.
    pub(super) fn is_above(
        &mut self,
        key: (Arc<str>, String, String),
        above: Option<Percent>,
        n: u32,
    ) -> bool {
        let Some(percent) = above else { return true };
        let Some(share) = self.share(key) else { return false };
        share.count(0, n);
        share.is_above(percent)
    }

    pub(super) fn share(&mut self, key: (Arc<str>, String, String)) -> Option<&mut Share> {
        if self.shares.len() >= COUNTED_MAX && !self.shares.contains_key(&key) {
            limit_hit("blame_counts");
            return None;
        }
        Some(self.shares.entry(key).or_default())
    }

    /// Whether so many recipient domains have said so of a sending domain.
    pub(super) fn said_by(
        &mut self,
        key: (Arc<str>, String, String),
        domain: &str,
        wanted: u32,
    ) -> bool {
        if wanted <= 1 {
            return true;
        }
        if self.domains.len() >= COUNTED_MAX && !self.domains.contains_key(&key) {
            limit_hit("blame_counts");
            return false;
        }
        let domains = self.domains.entry(key).or_default();
        domains.insert(domain.to_owned());
        domains.len() >= usize::try_from(wanted).unwrap_or(usize::MAX)
    }

    /// Whether the same has suspended the path within a week; remembers that it does so now.
    pub(super) fn is_repeated(
        &mut self,
        key: (Arc<str>, Arc<str>, String),
        now: Timestamp,
    ) -> bool {
        if self.repeated.len() >= COUNTED_MAX {
            limit_hit("blame_counts");
            self.repeated.clear();
        }
        let before = self.repeated.insert(key, now);
        before.is_some_and(|before| now.since(before) < REPEATED_WITHIN)
    }

    /// A site has blocked a source. Returns how many have within this time.
    pub(super) fn blocked(
        &mut self,
        source: &Arc<str>,
        site: &Arc<str>,
        within: Duration,
        now: Timestamp,
    ) -> usize {
        let sites = self.sites.entry(Arc::clone(source)).or_default();
        sites.retain(|_, at| now.since(*at) < within);
        if sites.len() < COUNTED_MAX {
            sites.insert(Arc::clone(site), now);
        }
        sites.len()
    }

    /// Sites that have blocked a source, lately.
    pub(super) fn blocking(&self, source: &str) -> impl Iterator<Item = &Arc<str>> {
        self.sites.get(source).into_iter().flat_map(BTreeMap::keys)
    }

    /// When a site last blocked a source.
    pub(super) fn last_block(&self, source: &str) -> Option<Timestamp> {
        self.sites.get(source).and_then(|sites| sites.values().max().copied())
    }

    /// What speaks against a source is forgotten.
    pub(super) fn forgive(&mut self, source: &str) {
        self.sites.remove(source);
    }

    pub(super) fn may_alert(&mut self, rule: &str, site: &Arc<str>, now: Timestamp) -> bool {
        let key = (rule.to_owned(), Arc::clone(site));
        let lately = self.alerts.get(&key).is_some_and(|at| now.since(*at) < ALERT_EVERY);
        if !lately && self.alerts.len() < COUNTED_MAX {
            self.alerts.insert(key, now);
        }
        !lately
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.alerts.retain(|_, at| now.since(*at) < ALERT_EVERY);
        self.repeated.retain(|_, at| now.since(*at) < REPEATED_WITHIN);
        if self.shares.len() > COUNTED_MAX / 2 {
            self.shares.clear();
        }
        if self.domains.len() > COUNTED_MAX / 2 {
            self.domains.clear();
        }
    }
}
