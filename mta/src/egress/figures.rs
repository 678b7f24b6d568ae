//! How sites, paths, sources and pools stand, counted for metrics: one walk over what is in the books, when somebody
//! asks. Whatever there is much of is added up as it is seen, so that ten thousand sites take milliseconds.
//! Looks, and changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::message::Timestamp;

use super::Item;
use super::books::{Egress, limits_of};
use super::calendar::Day;
use super::health::Health;
use super::limits::Limits;
use super::site::{NameHasher, Site, SiteKind};
use super::sources::Listed;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sites in the books.
    pub sites: usize,
    /// Sending domains and campaigns that wait at a site.
    pub halts: usize,
    /// Connections of the relay, at most.
    pub connections_max: usize,
    /// By provider, each that is known of; `None`: all other sites.
    pub providers: BTreeMap<Option<Arc<str>>, AtProvider>,
    /// By source, each of the configuration.
    pub sources: BTreeMap<Arc<str>, OfSource>,
    /// Each pool: sources that may send now, and standbys that could take a place.
    pub pools: Vec<(Arc<str>, usize, usize)>,
}

/// All sites of a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AtProvider {
    /// Connections, open or coming up.
    pub open: u64,
    /// Connections that the sites in use may have; a smarthost, which has no limit, is left out.
    pub open_max: u64,
    /// Deliveries in memory that wait for a connection.
    pub waiting: u64,
    /// Paths by how they stand, in the order of [`HEALTH`].
    pub paths: [u64; 4],
}

/// A source at all sites.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfSource {
    /// Paths that are not active, by how they stand, in the order of [`HEALTH`] from the second on.
    pub paths: [u64; 3],
    /// Paths that warm up …
    pub warming: u64,
    /// … and those of them that are kept on their day.
    pub held: u64,
    /// What it may send today where it warms up, and what it has sent of it; by provider.
    pub warm_up: BTreeMap<Option<Arc<str>>, (u64, u64)>,
}

/// How paths stand, in the order in which they are counted.
pub const HEALTH: [&str; 4] = ["active", "slowed", "suspended", "probing"];

impl Listed {
    /// In one word: how it stands, or what it lacks.
    pub fn state(&self) -> &'static str {
        match self.standing.word() {
            "active" if !self.present && self.source.via.is_some() => "unreachable",
            "active" if !self.present => "missing",
            "active" if self.active.is_empty() && !self.standby.is_empty() => "standby",
            word => word,
        }
    }
}

impl<T: Item> Egress<T> {
    /// Counts everything.
    pub fn figures(&self, now: Timestamp) -> Figures {
        let mut figures = Figures {
            sites: self.sites.len(),
            halts: self.halts.iter().filter(|(_, halt)| halt.holds(now)).count(),
            connections_max: self.settings.connections_max,
            ..Figures::default()
        };
        figures.providers.insert(None, AtProvider::default());
        for provider in self.settings.providers.iter() {
            figures.providers.insert(Some(Arc::clone(&provider.name)), AtProvider::default());
        }
        let days: HashMap<&str, Day> =
            self.sources.pools().map(|pool| (&**pool, self.sources.day_of(pool, now))).collect();
        let mut sources: BySource<'_> =
            self.sources.all().map(|source| (&source.name, OfSource::default())).collect();
        for site in self.sites.values() {
            let provider = site.kind.provider();
            if let Some(sum) = figures.providers.get_mut(&provider.cloned()) {
                self.add_site(sum, site, &mut sources, now);
            }
            self.add_warm_up(site, &days, &mut sources);
        }
        for (site, source, record) in self.remembered.paths() {
            let place = place(record.health(), now);
            if place > 0 {
                let provider = self.kind_of_name(site).provider().cloned();
                if let Some(sum) = figures.providers.get_mut(&provider) {
                    sum.paths[place] += 1;
                }
                if let Some(of) = sources.get_mut(source) {
                    of.paths[place - 1] += 1;
                }
            }
        }
        self.bound_what_is_silent(&mut figures);
        figures.sources = sources.into_iter().map(|(name, of)| (Arc::clone(name), of)).collect();
        figures.pools = self.sources.pools().map(|pool| self.places_of(pool)).collect();
        figures
    }

    fn add_site(
        &self,
        sum: &mut AtProvider,
        site: &Site<T>,
        sources: &mut BySource<'_>,
        now: Timestamp,
    ) {
        sum.open += u64::from(site.open);
        sum.waiting += site.waiting() as u64;
        if site.kind != SiteKind::Smarthost {
            let most = |(name, pool): (&Arc<str>, &super::site::SitePool<T>)| {
                self.most(&pool.limits, self.sources.usable(name).len())
            };
            sum.open_max += site.pools.iter().map(most).max().unwrap_or(0);
        }
        for (name, path) in &site.paths {
            let place = place(path.health, now);
            sum.paths[place] += 1;
            // Nearly all are active: those are not looked up.
            if place > 0
                && let Some(of) = sources.get_mut(name)
            {
                of.paths[place - 1] += 1;
            }
        }
    }

    fn add_warm_up(&self, site: &Site<T>, days: &HashMap<&str, Day>, sources: &mut BySource<'_>) {
        let mut seen: Vec<&Arc<str>> = Vec::new();
        let warming =
            site.pools.iter().filter_map(|(name, pool)| Some((name, pool.rules.as_ref()?)));
        for (name, rules) in warming {
            let Some(day) = days.get(&**name).copied() else { continue };
            for source in self.sources.active(name) {
                let Some(path) = site.paths.get(source) else { continue };
                let Some(warm_up) = &path.warm_up else { continue };
                let Some(cap) = warm_up.cap(rules) else { continue };
                // Of two pools that warm up a source here, the first tells.
                if site.pools.len() > 1 {
                    if seen.contains(&source) {
                        continue;
                    }
                    seen.push(source);
                }
                let Some(of) = sources.get_mut(source) else { continue };
                of.warming += 1;
                of.held += u64::from(warm_up.held_by(rules).is_some());
                let provider = site.kind.provider().cloned();
                let sum = of.warm_up.entry(provider).or_default();
                sum.0 += u64::from(cap);
                sum.1 += u64::from(path.used_on(day.number));
            }
        }
    }

    /// A provider whose sites nothing goes to has its limit all the same.
    fn bound_what_is_silent(&self, figures: &mut Figures) {
        let pool = self.sources.pools().next();
        let sources = pool.map_or(0, |pool| self.sources.usable(pool).len());
        for (provider, sum) in &mut figures.providers {
            if let (Some(provider), 0) = (provider, sum.open_max) {
                let kind = SiteKind::Provider(Arc::clone(provider));
                let name = pool.map_or("", |pool| &**pool);
                let limits = limits_of(&self.settings.providers, &kind, name);
                sum.open_max = self.most(&limits, sources);
            }
        }
    }

    /// Connections that so many sources may have at a site.
    fn most(&self, limits: &Limits, sources: usize) -> u64 {
        let each = u64::from(limits.connections).saturating_mul(sources as u64);
        let relay = self.settings.connections_max as u64;
        u64::from(limits.connections_total).min(each).min(relay)
    }

    fn places_of(&self, pool: &Arc<str>) -> (Arc<str>, usize, usize) {
        let standby = self.sources.standby(pool).iter();
        let able = standby.filter(|name| self.sources.is_usable(name)).count();
        (Arc::clone(pool), self.sources.usable(pool).len(), able)
    }
}

/// Sources, found for every path.
type BySource<'a> = HashMap<&'a Arc<str>, OfSource, BuildHasherDefault<NameHasher>>;

/// Where this health is counted, at this time.
fn place(mut health: Health, now: Timestamp) -> usize {
    health.advance(now);
    match health {
        Health::Active => 0,
        Health::Slowed { .. } => 1,
        Health::Suspended { .. } => 2,
        Health::Probing { .. } => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::examples::{Mail, pool_of, settings, source};
    use super::super::{Destination, Sources};
    use super::*;
    use crate::message::{Lane, Priority};
    use relay_config::config::{Pool, Rotation, Warmth};

    const NOW: Timestamp = Timestamp::from_millis(1_764_028_800_000);

    fn egress(sources: usize, pool: Pool) -> Egress<Mail> {
        let made: Vec<_> = (0..sources).map(|n| source(format!("ip-{n}"))).collect();
        let sources = Sources::new(&made, &[Arc::new(pool)], |_| true);
        Egress::new(sources, settings("", 5_000), NOW.before(Duration::from_hours(24)))
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("ip-{n}")).collect()
    }

    fn push(egress: &mut Egress<Mail>, site: &str, kind: SiteKind) {
        let to = Destination { site: site.into(), host_set: site.into(), kind };
        let lane = Lane { priority: Priority::default(), account: 1, tag: 0 };
        egress.push(&to, &"p".into(), (site.into(), lane), Mail::new(1), NOW).unwrap();
    }

    #[test]
    fn what_is_known_is_counted_by_provider_source_and_pool() {
        let mut pool = pool_of("p", &names(3), Rotation::Adaptive);
        pool.standby = vec!["ip-2".into()];
        pool.sources.truncate(2);
        let mut egress = egress(3, pool);
        push(&mut egress, "google", SiteKind::Provider("google".into()));
        push(&mut egress, "mx.x.pe", SiteKind::Mx);
        push(&mut egress, "mx.y.pe", SiteKind::Mx);
        let opened = egress.balance(&"google".into(), NOW).len() as u64;
        let site = egress.sites.get_mut("mx.x.pe").unwrap();
        site.paths.get_mut("ip-1").unwrap().health =
            Health::Suspended { until: Some(NOW.after(Duration::from_secs(1))), moves: false };
        let figures = egress.figures(NOW);
        let google = figures.providers[&Some("google".into())];
        assert_eq!((figures.sites, google.open, google.paths), (3, opened, [2, 0, 0, 0]));
        let other = figures.providers[&None];
        assert_eq!((other.open, other.waiting, other.paths), (0, 2, [3, 0, 1, 0]));
        assert_eq!(figures.sources["ip-1"].paths, [0, 1, 0]);
        assert_eq!(figures.sources["ip-2"].paths, [0; 3]);
        assert_eq!(figures.pools, [("p".into(), 2, 1)]);
        let later = egress.figures(NOW.after(Duration::from_secs(2)));
        assert_eq!(later.providers[&None].paths, [3, 0, 0, 1], "its suspension is over");
        let silent = figures.providers[&Some("yahoo".into())];
        assert!(silent.open == 0 && silent.open_max > 0, "{silent:?}");
        egress.sources.lost("ip-2");
        assert_eq!(egress.figures(NOW).pools, [("p".into(), 2, 0)], "it could not take a place");
    }

    #[test]
    fn caps_of_what_warms_up_are_added_up_by_source_and_provider() {
        let text = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\n\
                    tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"ip-0\"\naddress = \"127.0.0.1\"\n\
                    helo = \"m.x.pe\"\n[[pool]]\nname = \"p\"\nsources = [\"ip-0\"]\nwarm_up = true\n";
        let config = relay_config::load(text, "t").unwrap().config;
        assert_eq!(config.sources[0].warmth, Warmth::Cold);
        let sources = Sources::new(&config.sources, &config.pools, |_| true);
        let mut egress = Egress::new(sources, settings("", 100), NOW);
        push(&mut egress, "google", SiteKind::Provider("google".into()));
        push(&mut egress, "mx.x.pe", SiteKind::Mx);
        push(&mut egress, "mx.y.pe", SiteKind::Mx);
        let figures = egress.figures(NOW);
        let of = &figures.sources["ip-0"];
        let (google, other) = (of.warm_up[&Some("google".into())], of.warm_up[&None]);
        assert!(google.0 > 0 && other.0 > 0 && other.0 % 2 == 0, "{of:?}");
        assert_eq!((google.1, other.1), (0, 0));
    }

    #[test]
    fn each_health_is_counted_under_its_word() {
        let until = NOW.after(Duration::from_hours(1));
        for health in [
            Health::Active,
            Health::Slowed { until },
            Health::Suspended { until: None, moves: true },
            Health::Probing { taken: 1 },
        ] {
            assert_eq!(HEALTH[place(health, NOW)], health.word());
        }
    }

    #[test]
    fn ten_thousand_sites_are_counted_at_once() {
        let mut pool = pool_of("p", &names(18), Rotation::Adaptive);
        pool.standby = Vec::new();
        let mut egress = egress(18, pool);
        for number in 0..10_000 {
            push(&mut egress, &format!("mx.{number}.pe"), SiteKind::Mx);
        }
        let begun = tokio::time::Instant::now();
        let figures = egress.figures(NOW);
        let took = begun.elapsed();
        tell_it(&format!("10,000 sites with 18 sources are counted in {took:?}"));
        assert_eq!(figures.providers[&None].paths, [180_000, 0, 0, 0]);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[expect(
        clippy::print_stdout,
        reason = "a measurement is told to who asks for it (--nocapture)"
    )]
    fn tell_it(text: &str) {
        println!("{text}");
    }
}
