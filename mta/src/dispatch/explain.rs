//! Where mail to somebody would go at this moment, and what stands in its way. Looks, and changes nothing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::egress::SiteView;
use crate::message::{Address, Failure};
use crate::smtp_out::Route;

use super::{Dispatch, destination};

/// What was found.
#[derive(Debug)]
pub struct Explained {
    /// The routing domain of the address.
    pub routing_domain: String,
    /// The pool that was asked for, or else the default.
    pub pool: Arc<str>,
    /// The way, or why there is none.
    pub route: Result<Found, Failure>,
}

/// A way, and how it looks there.
#[derive(Debug)]
pub struct Found {
    /// As it was looked up now.
    pub route: Route,
    /// Each host with its addresses, or why it has none that may be used; and whether it is tried
    /// after the others because it failed a moment ago.
    pub hosts: Vec<(String, Result<Vec<IpAddr>, Failure>, bool)>,
    /// The site.
    pub view: SiteView,
}

impl Dispatch {
    /// Explains where mail to an address would go now from a pool (the default one, when none is named
    /// or there is none of that name).
    pub async fn explain(&self, address: &Address, pool: Option<&str>) -> Explained {
        let options = self.queue.options();
        let domain = address.domain().as_str();
        let routing_domain = options.routes.routing_domain(address.local_part(), domain).to_owned();
        let pool: Arc<str> = match pool {
            Some(pool) if self.state().egress.has_pool(pool) => pool.into(),
            _ => Arc::clone(&self.connector.delivery.get().pool),
        };
        let now = self.queue.now();
        let route = match self.resolver.get().route(&routing_domain, now).await {
            Ok(route) => Ok(self.look_around(route, &pool).await),
            Err(failure) => Err(failure),
        };
        Explained { routing_domain, pool, route }
    }

    async fn look_around(&self, route: Route, pool: &str) -> Found {
        let now = self.queue.now();
        let to = destination(&route);
        let view = self.state().egress.view(&to, pool, now);
        let mut hosts = Vec::with_capacity(route.hosts.len());
        // Through the eyes of the source that would go, or of any.
        let next = view.paths.iter().find(|path| Some(&path.source.name) == view.next.as_ref());
        if let Some(path) = next.or(view.paths.first()) {
            for host in &route.hosts {
                let found = self.connector.addresses(host, &route, &path.source).await;
                let avoided =
                    self.state().egress.is_avoided(&to.site, &to.host_set, &host.name, now);
                hosts.push((host.name.clone(), found, avoided));
            }
        }
        Found { route, hosts, view }
    }
}
