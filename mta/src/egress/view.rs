//! A site as it stands at this moment, for people who ask why their mail waits: each limit with what is
//! used of it, each source with what stands in its way, and the one that would be taken next.

use std::sync::Arc;

use relay_config::config::Source;

use crate::message::Timestamp;

use super::limits::Limits;
use super::sites::{Egress, SOON, SiteKind};

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
}

/// Something that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// This machine does not have the source's address.
    AddressMissing,
    /// The source has all its connections to the site.
    Connections(u32),
    /// All sources together have all theirs.
    ConnectionsTotal(u32),
    /// The relay has all of its own.
    ConnectionsOfRelay(usize),
    /// The source could not be used a moment ago; it rests until then.
    Rests(Timestamp),
    /// Its rate lets the next one go then.
    Rate(Timestamp),
    /// The site refused one more connection; no more are opened until then.
    NoMore(Timestamp),
    /// The site could not be reached; it is asked again then.
    Down(Timestamp, String),
}

impl<T> Egress<T> {
    /// What is known of the site, for mail of this pool.
    pub fn view(&self, name: &str, kind: SiteKind, pool: &str, now: Timestamp) -> SiteView {
        let site = self.sites.get(name);
        let limits = match (site, kind) {
            (Some(site), _) => site.limits.clone(),
            (None, SiteKind::Mx) => self.mx_limits.clone(),
            (None, SiteKind::Smarthost) => Limits::NONE,
        };
        let open = site.map_or(0, |site| site.open);
        let mut obstacles = Vec::new();
        if let Some((until, failure)) =
            site.and_then(|site| site.down.as_ref()).filter(|(until, _)| *until > now)
        {
            obstacles.push(Obstacle::Down(*until, failure.cause.clone()));
        }
        if open >= limits.connections_total {
            obstacles.push(Obstacle::ConnectionsTotal(limits.connections_total));
        }
        if let Some(site) = site.filter(|site| site.no_more_until > now && site.open > 0) {
            obstacles.push(Obstacle::NoMore(site.no_more_until));
        }
        if self.connections.len() >= self.connections_max {
            obstacles.push(Obstacle::ConnectionsOfRelay(self.connections_max));
        }
        let paths = self.sources.of_pool(pool);
        let paths: Vec<PathView> = paths
            .map(|(source, present)| {
                let path = site.and_then(|site| site.paths.get(&source.name));
                let open = path.map_or(0, |path| path.open);
                let obstacle = match path {
                    _ if !present => Some(Obstacle::AddressMissing),
                    Some(path) if path.not_before > now => Some(Obstacle::Rests(path.not_before)),
                    Some(_) if open >= limits.connections => {
                        Some(Obstacle::Connections(limits.connections))
                    }
                    Some(path)
                        if limits.rate.is_some() && path.spacing.next() > now.after(SOON) =>
                    {
                        Some(Obstacle::Rate(path.spacing.next()))
                    }
                    _ => None,
                };
                PathView { source, open, obstacle }
            })
            .collect();
        let may = |name: &Arc<str>| {
            paths.iter().any(|path| path.source.name == *name && path.obstacle.is_none())
        };
        let next = self.sources.peek(pool, may);
        let waiting = site.map_or(0, |site| site.pools.values().map(|it| it.turns.len()).sum());
        SiteView { limits, open, waiting, obstacles, paths, next }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay_config::config::{Pool, Rotation};
    use relay_config::values::Rate;

    use super::super::connection::Action;
    use super::super::sources::Sources;
    use super::*;
    use crate::message::{Lane, Priority};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn egress(limits: Limits) -> Egress<u32> {
        let source = |name: &str| {
            Arc::new(Source {
                name: name.into(),
                address: "127.0.0.1".parse().unwrap(),
                public: "127.0.0.1".parse().unwrap(),
                helo: name.to_owned(),
            })
        };
        let names = ["a", "b", "gone"];
        let pool = Pool {
            name: "p".into(),
            sources: names.map(Into::into).to_vec(),
            standby: vec![],
            rotation: Rotation::RoundRobin,
        };
        let sources =
            Sources::new(&names.map(source), &[Arc::new(pool)], |source| &*source.name != "gone");
        Egress::new(sources, limits, 10)
    }

    #[test]
    fn each_source_tells_what_stands_in_its_way() {
        let rate = Some(Rate { count: 1, per: Duration::from_mins(1) });
        let limits =
            Limits { connections: 1, connections_total: 2, messages_per_connection: 5, rate };
        let mut egress = egress(limits);
        let (site, pool): (Arc<str>, Arc<str>) = ("mx.x.pe".into(), "p".into());
        let look = |egress: &Egress<u32>| {
            let view = egress.view(&site, SiteKind::Mx, &pool, NOW);
            let obstacles = view.paths.iter().map(|path| path.obstacle.clone()).collect::<Vec<_>>();
            (view.next.as_deref().map(str::to_owned), obstacles, view.obstacles, view.open)
        };
        let missing = Some(Obstacle::AddressMissing);
        assert_eq!(
            look(&egress),
            (Some("a".to_owned()), vec![None, None, missing.clone()], vec![], 0)
        );

        let lane = Lane { priority: Priority::default(), account: 0, tag: 0 };
        let key = ("x.pe".into(), lane);
        egress.push((&site, SiteKind::Mx), &pool, key, 1, NOW).unwrap();
        let actions = egress.balance(&site, NOW);
        let [Action::Open { connection, .. }] = actions[..] else { panic!("{actions:?}") };
        egress.opened(connection);
        egress.pull(connection, NOW, |_| 1);
        let spaced = Obstacle::Connections(1);
        assert_eq!(
            look(&egress),
            (Some("b".to_owned()), vec![Some(spaced), None, missing.clone()], vec![], 1)
        );
        egress.closed(connection);
        let next = NOW.after(Duration::from_mins(1));
        let (_, obstacles, _, open) = look(&egress);
        assert_eq!((obstacles, open), (vec![Some(Obstacle::Rate(next)), None, missing], 0));
    }
}
