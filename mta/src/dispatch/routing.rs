//! The way of each domain: looked up, remembered, and what becomes of mail that finds none or another.

use std::sync::Arc;
use std::time::Duration;

use crate::egress::Waits;
use crate::message::{DeliveryId, Failure, Fault, Hold, Retry};
use crate::metrics::limit_hit;
use crate::outcome::Context;
use crate::queue::{Lever, LeverError, Ready};
use crate::smtp_out::Route;

use super::{Dispatch, destination};

/// A route that could not be looked up again is used once more for this long.
const STALE_AGAIN: Duration = Duration::from_mins(5);
/// Routes remembered; what is beyond is looked up again (the DNS client has its own cache).
const ROUTES_MAX: usize = 50_000;

/// A delivery that cannot wait in memory for its destination.
pub(super) enum NoPlace {
    /// It has failed, for now.
    Fails(Ready, Failure),
    /// Something of ours keeps it.
    Waits(Ready, Waits),
    /// A standing hold keeps it.
    Held(Ready, Hold),
}

impl Context {
    /// At the site of a route.
    pub(super) fn at(route: &Route) -> Self {
        Self {
            site: Some(route.site.to_string()),
            provider: route.provider.as_ref().map(ToString::to_string),
            smarthost: route.smarthost,
            ..Self::default()
        }
    }
}

impl Dispatch {
    /// Looks a domain up, then gives everything that waited for it its place, or the reason why not.
    pub(super) async fn look_up(self: Arc<Self>, name: Arc<str>) {
        let found = {
            let _turn = self.lookups.acquire().await;
            self.resolver.get().route(&name, self.queue.now()).await
        };
        let found = match found {
            Ok(route) => Ok(Arc::new(route)),
            // While the DNS is silent the last known way stays.
            Err(failure) => self.last_known(&name, &failure).ok_or(failure),
        };
        let failed: Vec<(Ready, Failure)> = match found {
            Ok(route) => {
                let without = self.place(&name, &route);
                self.find_no_place(without, Some(&route)).await;
                return;
            }
            Err(failure) => {
                let waiting = self.state().resolving.remove(&name).unwrap_or_default();
                waiting.into_iter().map(|ready| (ready, failure.clone())).collect()
            }
        };
        for (ready, failure) in failed {
            let context = Context { site: Some(name.to_string()), ..Context::default() };
            self.fail(ready, &failure, context).await;
        }
    }

    /// The way that was known before, when the DNS gives no answer for now.
    fn last_known(&self, name: &str, failure: &Failure) -> Option<Arc<Route>> {
        if failure.fault != Fault::Dns || failure.retry == Retry::Never {
            return None;
        }
        let known = self.state().routes.get(name).cloned()?;
        let until = self.queue.now().after(STALE_AGAIN);
        tracing::warn!(domain = name, cause = %failure.cause, "the last known mail servers are used");
        Some(Arc::new(Route { until, ..(*known).clone() }))
    }

    fn place(&self, name: &Arc<str>, route: &Arc<Route>) -> Vec<NoPlace> {
        let now = self.queue.now();
        let mut state = self.state();
        let waiting = state.resolving.remove(name).unwrap_or_default();
        if state.routes.len() >= ROUTES_MAX {
            state.routes.retain(|_, route| route.until > now);
            if state.routes.len() >= ROUTES_MAX {
                limit_hit("routes");
                state.routes.clear();
            }
        }
        let before = state.routes.insert(Arc::clone(name), Arc::clone(route));
        if let Some(before) = before.filter(|before| before.is_replaced_by(route)) {
            state.egress.inherit(&before.site, &destination(route), now);
        }
        let mut without = Vec::new();
        for ready in waiting {
            without.extend(self.push(&mut state, route, ready, now).err().map(|item| *item));
        }
        self.balance(&mut state, &route.site);
        without
    }

    /// Deliveries that cannot wait in memory for their destination.
    pub(super) async fn find_no_place(&self, without: Vec<NoPlace>, route: Option<&Route>) {
        for item in without {
            match item {
                NoPlace::Fails(ready, failure) => {
                    let context = route.map_or_else(Context::default, Context::at);
                    self.fail(ready, &failure, context).await;
                }
                NoPlace::Waits(ready, waits) => self.postpone(ready, &waits, route),
                NoPlace::Held(ready, hold) => {
                    if let Err(error) = self.queue.set_aside(ready, hold) {
                        tracing::error!(%error, "a hold cannot be written");
                    }
                }
            }
        }
    }

    /// An operator has a delivery's route looked up again: it goes by that at once, unless it is
    /// held.
    pub async fn reroute(&self, id: DeliveryId) -> Result<(), LeverError> {
        let ready = self.queue.take(id).await?;
        self.state().routes.remove(ready.delivery.domain.as_str());
        if self.queue.is_routed(&ready.delivery) {
            let held = ready.delivery.hold.is_some();
            self.queue.give_back(&ready);
            return if held { Ok(()) } else { self.queue.pull(id, &Lever::Retry).await };
        }
        self.queue.divide(ready).await.map(|_| ())
    }

    /// The routes have changed since it was accepted: it goes by those of now.
    pub(super) async fn divide(&self, ready: Ready) {
        let message = ready.message.id;
        match self.queue.divide(ready).await {
            Ok(domains) => tracing::info!(%message, to = domains.join(", "), "rerouted"),
            Err(error) => tracing::error!(%message, %error, "cannot be rerouted"),
        }
    }
}
