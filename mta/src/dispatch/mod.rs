//! The loop that joins queue, egress and `smtp_out`: what is due gets a route, a turn, a source
//! and a connection; what comes back is written with its events and a notice to the sender.
//!
//! One task for each open connection, which pulls its next delivery when it has finished one;
//! one for each domain that is being looked up. Everything else happens under one short lock.

pub mod blocklists;
mod connection;
mod content;
mod explain;
mod figures;
mod hearing;
mod housekeeping;
mod item;
mod levers;
mod names;
mod probe;
mod refusals;
mod report;
mod routing;
mod setup;
mod signing;
mod suppressing;
mod swaps;
pub mod vetting;
mod wire;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay_config::Config;
use relay_config::responses::{Classifier, Phase, Spoken, Verdict};
use tokio::sync::{Notify, Semaphore};

use crate::current::Current;
use crate::egress::{Action, ConnectionId, Egress, LaneKey, Listed, Refused};
use crate::message::{Attempt, Delivery, Timestamp};
use crate::outcome;
use crate::policy::Policy;
use crate::policy::dkim::Signing;
use crate::queue::{Outlet, Place, Queue, Ready};
use crate::smtp_out::{Connector, Resolver, Route, no_source};
use crate::suppression::Suppressions;
use crate::wire::Watches;

use blocklists::Blocklists;
use item::Waiting;
use routing::NoPlace;
use setup::{destination, egress, settings};

pub use explain::{Explained, Found};
pub use housekeeping::OnItsWay;
pub use levers::{Looked, NotDone, PoolSwap, Swap, SwapOrder, is_halted_as};
pub use names::Named;
pub use probe::{Asked, Probed, What};
pub use refusals::Refusal;

/// Domains that are looked up at a time.
const LOOKUPS_MAX: usize = 200;
/// A route is remembered for so long beyond its time, for when the DNS is silent.
const STALE_KEPT: Duration = Duration::from_hours(24);

/// Makes the metrics of deliveries known.
pub(crate) fn declare_metrics() {
    figures::declare_metrics();
    connection::declare_metrics();
    hearing::declare_metrics();
    suppressing::declare_metrics();
    report::declare_metrics();
    crate::policy::dkim::declare_metrics();
}

/// What delivers.
pub struct Dispatch {
    me: Weak<Self>,
    pub(crate) queue: Arc<Queue>,
    resolver: Current<Resolver>,
    connector: Connector,
    policy: Current<Policy>,
    classifier: Current<Classifier>,
    state: Mutex<State>,
    random: Mutex<StdRng>,
    delays: Mutex<report::Delays>,
    lookups: Semaphore,
    config: Current<Config>,
    blocklists: Blocklists,
    signing: Current<Signing>,
    signed: signing::Signed,
    suppressions: Suppressions,
    names: names::Names,
    refusals: refusals::Refusals,
    watches: Arc<Watches>,
    stopping: AtomicBool,
    /// A connection has ended.
    ended: Notify,
}

struct State {
    egress: Egress<Waiting>,
    routes: HashMap<Arc<str>, Arc<Route>>,
    /// Domains that are being looked up, and what waits for it.
    resolving: HashMap<Arc<str>, Vec<Ready>>,
    /// The way to each set of hosts of a site that has something to do.
    ways: HashMap<(Arc<str>, Arc<str>), Arc<Route>>,
    wakers: HashMap<ConnectionId, Arc<Notify>>,
}

/// What a dispatch is made of.
pub struct Parts {
    /// Where deliveries come from and outcomes go.
    pub queue: Arc<Queue>,
    /// Routes.
    pub resolver: Resolver,
    /// Connections.
    pub connector: Connector,
    /// Whose failures are reported where; our name.
    pub policy: Arc<Policy>,
    /// What peers mean when they refuse.
    pub classifier: Arc<Classifier>,
    /// What holds now.
    pub config: Arc<Config>,
    /// Who signs.
    pub signing: Signing,
    /// Whom nothing is sent to.
    pub suppressions: Suppressions,
    /// For jitter and the order of equal hosts.
    pub seed: u64,
}

impl Dispatch {
    /// Takes what the queue hands out from now on.
    pub fn start(parts: Parts) -> Arc<Self> {
        let egress = egress(&parts);
        let (dns, clock) = (Arc::clone(&parts.connector.dns), Arc::clone(&parts.connector.clock));
        let watches = Watches::new(Arc::clone(&clock));
        let remembered = swaps::remembered(&*parts.queue.spool());
        let blocklists = Blocklists::new(remembered, dns, clock);
        let config = Current::new(parts.config);
        let dispatch = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            queue: parts.queue,
            resolver: Current::new(parts.resolver),
            connector: parts.connector,
            policy: Current::new(parts.policy),
            classifier: Current::new(parts.classifier),
            state: Mutex::new(State {
                egress,
                routes: HashMap::new(),
                resolving: HashMap::new(),
                ways: HashMap::new(),
                wakers: HashMap::new(),
            }),
            random: Mutex::new(StdRng::seed_from_u64(parts.seed)),
            delays: Mutex::default(),
            lookups: Semaphore::new(LOOKUPS_MAX),
            config,
            blocklists,
            signing: Current::new(parts.signing),
            signed: signing::Signed::default(),
            suppressions: parts.suppressions,
            names: names::Names::default(),
            refusals: refusals::Refusals::default(),
            watches,
            stopping: AtomicBool::new(false),
            ended: Notify::new(),
        });
        for finding in dispatch.blocklists.configure(&dispatch.config.get()) {
            dispatch.found(finding);
        }
        dispatch.queue.set_outlet(&(Arc::clone(&dispatch) as Arc<dyn Outlet>));
        dispatch
    }

    /// Goes on by another configuration: what is in flight ends as it began, what waits is
    /// routed afresh at its next attempt.
    pub fn reload(&self, config: &Arc<Config>, policy: Arc<Policy>, signing: Signing) {
        let present = |source: &relay_config::config::Source| self.connector.is_present(source);
        let delivery = &config.delivery;
        self.resolver.set(self.resolver.get().reloaded(Arc::clone(config)));
        self.policy.set(policy);
        self.classifier.set(Arc::clone(&config.responses));
        self.signing.set(signing);
        self.connector.delivery.set(delivery.clone());
        self.config.set(Arc::clone(config));
        let mut state = self.state();
        let (sources, pools) = (&config.sources, &config.pools);
        state.egress.reconfigure(sources, pools, present, settings(config), self.queue.now());
        state.routes.clear();
        drop(state);
        for finding in self.blocklists.configure(config) {
            self.found(finding);
        }
    }

    /// No delivery is started any more; returns when those in flight have ended.
    pub async fn drain(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for waker in self.state().wakers.values() {
            waker.notify_one();
        }
        loop {
            let ended = self.ended.notified();
            if self.state().egress.counts().0 == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Each source with its pools and how it stands.
    pub fn sources(&self) -> Vec<Listed> {
        self.state().egress.sources().list()
    }

    /// What the reply to an attempt is about.
    pub fn meaning(&self, attempt: &Attempt) -> Verdict {
        outcome::verdict_of_attempt(&self.classifier.get(), attempt)
    }

    /// The same of a reply as it is written: `550 5.1.1 No such user`.
    pub fn meaning_of(&self, reply: &str) -> Option<Verdict> {
        let spoken = Spoken::parse(reply).ok()?;
        Some(self.classifier.get().classify(&spoken.said(Some(Phase::Rcpt), None)))
    }

    /// Where mail for a domain goes, as far as it is known.
    pub fn site_of(&self, domain: &str) -> Option<String> {
        self.state().routes.get(domain).map(|route| route.site.to_string())
    }

    fn may_start(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed) && self.queue.may_deliver()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random_seed(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// The pool of a message: its own while there is one of that name, else the default.
    fn pool_of(&self, state: &State, ready: &Ready) -> Arc<str> {
        match ready.pool() {
            Some(pool) if state.egress.has_pool(pool) => pool.into(),
            _ => Arc::clone(&self.connector.delivery.get().pool),
        }
    }

    /// Gives a delivery its place at the site of its route.
    fn push(
        &self,
        state: &mut State,
        route: &Arc<Route>,
        ready: Ready,
        now: Timestamp,
    ) -> Result<(), Box<NoPlace>> {
        let pool = self.pool_of(state, &ready);
        let to = destination(route);
        let place = Place { site: &to.site, pool: &pool };
        if let Some(hold) = self.queue.held_by(&ready, &place) {
            return Err(Box::new(NoPlace::Held(ready, hold)));
        }
        let way = (Arc::clone(&to.site), Arc::clone(&to.host_set));
        state.ways.insert(way, Arc::clone(route));
        let key = lane_key(&ready.delivery);
        let waiting = Waiting::new(ready, &self.classifier.get());
        let pushed = state.egress.push(&to, &pool, key, waiting, now);
        pushed.map_err(|(Waiting { ready, .. }, refused)| {
            Box::new(match refused {
                Refused::Unreachable(failure) => NoPlace::Fails(ready, failure),
                Refused::NoSource => NoPlace::Fails(ready, no_source(&pool)),
                Refused::Waits(waits) => NoPlace::Waits(ready, waits),
            })
        })
    }

    /// Wakes and opens connections, as egress says.
    fn balance(&self, state: &mut State, site: &Arc<str>) {
        if !self.may_start() {
            return;
        }
        let Some(me) = self.me.upgrade() else { return };
        for action in state.egress.balance(site, self.queue.now()) {
            match action {
                Action::Wake(id) => {
                    if let Some(waker) = state.wakers.get(&id) {
                        waker.notify_one();
                    }
                }
                Action::Open { connection, site, host_set, source } => {
                    let way = (site, host_set);
                    let Some(route) = state.ways.get(&way).cloned() else {
                        state.egress.closed(connection, self.queue.now());
                        continue;
                    };
                    let waker = Arc::new(Notify::new());
                    state.wakers.insert(connection, Arc::clone(&waker));
                    let me = Arc::clone(&me);
                    tokio::spawn(
                        async move { me.connection(connection, route, source, waker).await },
                    );
                }
            }
        }
    }

    /// All sites that were waiting for room, or for better days.
    fn balance_all(&self, sites: &[Arc<str>]) {
        let mut state = self.state();
        for site in sites {
            self.balance(&mut state, site);
        }
    }
}

impl Outlet for Dispatch {
    fn ready(&self, deliveries: Vec<Ready>) {
        let now = self.queue.now();
        let Some(me) = self.me.upgrade() else { return };
        let mut without = Vec::new();
        let mut touched: Vec<Arc<str>> = Vec::new();
        let mut state = self.state();
        for ready in deliveries {
            if let Some(listed) = self.listed_in(&ready) {
                let me = Arc::clone(&me);
                tokio::spawn(async move { me.suppress(ready, listed).await });
                continue;
            }
            if !self.queue.is_routed(&ready.delivery) {
                let me = Arc::clone(&me);
                tokio::spawn(async move { me.divide(ready).await });
                continue;
            }
            let domain: Arc<str> = ready.delivery.domain.as_str().into();
            let known = state.routes.get(&domain).filter(|route| route.until > now).cloned();
            if let Some(route) = known {
                if !touched.contains(&route.site) {
                    touched.push(Arc::clone(&route.site));
                }
                let pushed = self.push(&mut state, &route, ready, now);
                without.extend(pushed.err().map(|item| (*item, route)));
                continue;
            }
            let waiting = state.resolving.entry(Arc::clone(&domain)).or_default();
            waiting.push(ready);
            if waiting.len() == 1 {
                let me = Arc::clone(&me);
                tokio::spawn(async move { me.look_up(domain).await });
            }
        }
        for site in touched {
            self.balance(&mut state, &site);
        }
        drop(state);
        if !without.is_empty() {
            tokio::spawn(async move {
                for (item, route) in without {
                    me.find_no_place(vec![item], Some(&route)).await;
                }
            });
        }
    }

    fn recall(&self, delivery: &Delivery) -> Option<Ready> {
        let mut state = self.state();
        let wanted = |ready: &Ready| ready.delivery.id == delivery.id;
        if let Some(waiting) = state.resolving.get_mut(delivery.domain.as_str())
            && let Some(place) = waiting.iter().position(wanted)
        {
            return Some(waiting.remove(place));
        }
        let taken = state.egress.take(&lane_key(delivery), |it: &Waiting| wanted(&it.ready));
        taken.map(|waiting| waiting.ready)
    }
}

fn lane_key(delivery: &Delivery) -> LaneKey {
    (delivery.domain.as_str().into(), delivery.lane)
}
