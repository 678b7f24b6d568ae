//! A site that has mail and no way to send it now sleeps: until when.

use crate::message::Timestamp;

use super::Item;
use super::books::Egress;
use super::path::Terms;
use super::rotation::trickle_every;
use super::site::Site;

impl<T: Item> Egress<T> {
    /// The next time at which a connection may be opened that may not be opened now, for mail that waits at
    /// the site; `None`: time alone changes nothing. A connection that ends, or more mail, wakes it too.
    pub fn wakes(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let site = self.sites.get(name)?;
        let pools = site.pools.iter().filter(|(_, state)| !state.order.is_empty());
        let wakes = pools.filter_map(|(pool, _)| self.pool_wakes(site, pool, now));
        wakes.min()
    }

    fn pool_wakes(&self, site: &Site<T>, pool: &str, now: Timestamp) -> Option<Timestamp> {
        let state = site.pools.get(pool)?;
        let limits = &state.limits;
        if site.open >= limits.connections_total {
            return None;
        }
        let day = self.sources.day_of(pool, now);
        let terms = Terms { limits, day, rules: state.rules.as_ref() };
        let whole = site.gate(limits, day.ends, now).and(site.opens());
        let mut times = Vec::new();
        for name in self.sources.usable(pool) {
            let Some(path) = site.paths.get(name) else { continue };
            if path.open < path.connections(limits, now) {
                let gate = path.gate(terms, now).and(path.opens()).and(whole);
                times.push(gate.opens());
                times.push(path.last_used.after(trickle_every(day)));
            }
        }
        times.extend(site.hosts.values().map(|hosts| hosts.no_more_until));
        times.into_iter().filter(|at| *at > now).min()
    }
}
