//! A site as it stands at this moment, for people who ask why their mail waits: each limit with what is
//! used of it, each source with what stands in its way, and the one that would be taken next.

use std::sync::Arc;

use relay_config::config::Source;

use crate::message::{Lane, Priority, Timestamp};

use super::Item;
use super::books::{Egress, limits_of, rules_of};
use super::gate::{Gate, Reason};
use super::health::{Health, Why};
use super::limits::Limits;
use super::path::{Path, Terms};
use super::rotation::{Choice, SOON};
use super::site::{Destination, Site, SitePool};

/// What is known of a site for one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteView {
    /// Limits in force.
    pub limits: Limits,
    /// Connections of all sources, open or coming up.
    pub open: u32,
    /// Deliveries in memory that wait for a connection, of all pools.
    pub waiting: usize,
    /// What keeps all sources away.
    pub obstacles: Vec<Obstacle>,
    /// Each source of the pool.
    pub paths: Vec<PathView>,
    /// The source that would be taken now.
    pub next: Option<Arc<str>>,
}

/// A source at the site.
#[derive(Debug, Clone, PartialEq)]
pub struct PathView {
    /// Which.
    pub source: Arc<Source>,
    /// Its connections to the site.
    pub open: u32,
    /// What stands in its way; nothing: it may go now.
    pub obstacle: Option<Obstacle>,
    /// How it stands there.
    pub health: Health,
    /// What made it so.
    pub why: Option<Why>,
    /// Recipients of this day.
    pub used: u32,
    /// What it may send on this day; `None`: no cap.
    pub cap: Option<u32>,
    /// Connections that it may have: as configured, or fewer.
    pub connections: u32,
    /// Transactions of one connection.
    pub messages: u32,
    /// Recipients an hour that it may send now; `None`: no pace is set.
    pub per_hour: Option<u32>,
}

/// Something that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// This machine does not have the source's address.
    AddressMissing,
    /// The source is stopped, with the word for how.
    Stopped(&'static str),
    /// The source has all its connections to the site.
    Connections(u32),
    /// All sources together have all theirs.
    ConnectionsTotal(u32),
    /// The relay has all of its own.
    ConnectionsOfRelay(usize),
    /// Kept by this until then.
    Kept(Reason, Timestamp),
    /// The site refused one more connection; no more are opened until then.
    NoMore(Timestamp),
    /// The hosts could not be reached; they are asked again then.
    Down(Timestamp, String),
}

impl<T: Item> Egress<T> {
    /// What is known of the destination, for mail of this pool.
    pub fn view(&self, to: &Destination, pool: &str, now: Timestamp) -> SiteView {
        let site = self.sites.get(&to.site);
        let known = site.and_then(|site| site.pools.get(pool));
        let limits = known.map_or_else(
            || limits_of(&self.settings.providers, &to.kind, pool),
            |pool| pool.limits.clone(),
        );
        let rules = rules_of(&self.sources, &to.kind, pool);
        let day = self.sources.day_of(pool, now);
        let terms = Terms { limits: &limits, day, rules: rules.as_ref() };
        let paths: Vec<PathView> = self
            .sources
            .active(pool)
            .iter()
            .filter_map(|name| self.sources.get(name))
            .map(|source| self.path_view(site, source, terms, now))
            .collect();
        let obstacles = self.obstacles(site, to, &limits, day.ends, now);
        SiteView {
            open: site.map_or(0, |site| site.open),
            waiting: site.map_or(0, Site::waiting),
            next: self.next_source(site, pool, terms, now),
            limits,
            obstacles,
            paths,
        }
    }

    fn obstacles(
        &self,
        site: Option<&Site<T>>,
        to: &Destination,
        limits: &Limits,
        ends: Timestamp,
        now: Timestamp,
    ) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        let open = site.map_or(0, |site| site.open);
        let hosts = site.and_then(|site| site.hosts.get(&to.host_set));
        let down = hosts.and_then(|hosts| hosts.down.as_ref());
        if let Some((until, failure)) = down.filter(|(until, _)| *until > now) {
            obstacles.push(Obstacle::Down(*until, failure.cause.clone()));
        }
        if open >= limits.connections_total {
            obstacles.push(Obstacle::ConnectionsTotal(limits.connections_total));
        }
        if let Some(hosts) = hosts.filter(|hosts| hosts.no_more_until > now && open > 0) {
            obstacles.push(Obstacle::NoMore(hosts.no_more_until));
        }
        if self.connections.len() >= self.settings.connections_max {
            obstacles.push(Obstacle::ConnectionsOfRelay(self.settings.connections_max));
        }
        let gate = site.map_or(Gate::OPEN, |site| site.gate(limits, ends, now));
        obstacles.extend(gate.kept(now).map(|(reason, until)| Obstacle::Kept(reason, until)));
        obstacles
    }

    fn path_view(
        &self,
        site: Option<&Site<T>>,
        source: &Arc<Source>,
        terms: Terms<'_>,
        now: Timestamp,
    ) -> PathView {
        let none = Path::default();
        let path = site.and_then(|site| site.paths.get(&source.name)).unwrap_or(&none);
        let connections = path.connections(terms.limits, now);
        let standing = self.sources.standing(&source.name);
        let gate = path.gate(terms, now);
        let obstacle = match standing.map(super::Standing::word) {
            Some("active") if !self.sources.is_usable(&source.name) => {
                Some(Obstacle::AddressMissing)
            }
            Some(word) if word != "active" => Some(Obstacle::Stopped(word)),
            _ if path.open >= connections => Some(Obstacle::Connections(connections)),
            _ => {
                let kept = gate.kept(now).filter(|(_, until)| *until > now.after(SOON));
                let kept = kept.or_else(|| path.opens().kept(now));
                kept.map(|(reason, until)| Obstacle::Kept(reason, until))
            }
        };
        PathView {
            source: Arc::clone(source),
            open: path.open,
            obstacle,
            health: path.health,
            why: path.why.clone(),
            used: path.used_on(terms.day.number),
            cap: path.cap(terms).map(|(cap, _)| cap),
            connections,
            messages: path.messages(terms.limits, now),
            per_hour: path.pace(terms, now).map(|(every, _)| {
                u32::try_from(3_600_000 / every.as_millis().max(1)).unwrap_or(u32::MAX)
            }),
        }
    }

    fn next_source(
        &self,
        site: Option<&Site<T>>,
        pool: &str,
        terms: Terms<'_>,
        now: Timestamp,
    ) -> Option<Arc<str>> {
        let lane = Lane { priority: Priority::default(), account: 0, tag: 0 };
        let nothing = SitePool::<T>::new(terms.limits.clone(), None);
        let empty = Site::<T>::new(super::SiteKind::Mx, terms.limits, Timestamp::default());
        let site = site.unwrap_or(&empty);
        let state = site.pools.get(pool).unwrap_or(&nothing);
        Choice::at(site, state, &self.sources, pool, terms, now).source(lane).ok()
    }
}
