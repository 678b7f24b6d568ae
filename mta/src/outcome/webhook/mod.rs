//! Posts events to web servers: `[[webhook]]`.
//!
//! Each webhook has a place among the events, kept in the spool, and one request under way at a time: a batch of events in
//! their order, signed. What the server has taken moves the place on; whatever else it says, the same events are sent
//! again later. So each event is taken at least once, in order. Webhooks read from the spool like any other
//! reader: mail never waits for them, and what a server does not take in time (`max_age`) is passed over, counted and told.

mod batch;
mod http;
mod place;
mod runner;

pub use http::{HttpCourier, Refusal};
pub use runner::Report;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_config::webhooks::Webhook;
use tokio::task::JoinHandle;

use crate::message::{Id, Timestamp};
use crate::outcome::Horizon;
use crate::outside::BoxFuture;
use crate::queue::Queue;

use place::Place;
use runner::{Runner, Status};

pub(crate) use runner::declare_metrics;

/// Takes a request to a server.
pub trait Courier: Send + Sync {
    /// Posts a body; `Ok` when the server took it.
    fn post<'a>(
        &'a self,
        webhook: &'a Webhook,
        body: Vec<u8>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// What all webhooks need.
#[derive(Clone)]
pub(super) struct World {
    pub(super) queue: Arc<Queue>,
    pub(super) horizon: Arc<Horizon>,
    pub(super) courier: Arc<dyn Courier>,
}

/// The webhooks that run.
pub struct Webhooks {
    world: World,
    seed: u64,
    running: Mutex<BTreeMap<Arc<str>, Running>>,
    /// One at a time starts and stops them.
    changing: tokio::sync::Mutex<()>,
}

struct Running {
    webhook: Arc<Webhook>,
    status: Arc<Mutex<Status>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Webhooks {
    /// None yet.
    pub fn new(
        queue: Arc<Queue>,
        horizon: Arc<Horizon>,
        courier: Arc<dyn Courier>,
        seed: u64,
    ) -> Self {
        let world = World { queue, horizon, courier };
        Self { world, seed, running: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// From now on these run; one that has not changed goes on with what it does. Called on a runtime.
    pub fn set(&self, webhooks: &[Arc<Webhook>]) {
        let mut running = self.running();
        running.retain(|_, known| webhooks.contains(&known.webhook));
        for webhook in webhooks {
            if !running.contains_key(&webhook.name) {
                running.insert(Arc::clone(&webhook.name), self.start(webhook));
            }
        }
    }

    /// How each is.
    pub fn reports(&self) -> Vec<Report> {
        let now = self.world.queue.now();
        let running = self.running();
        let each = running.values();
        each.map(|it| {
            it.status.lock().unwrap_or_else(PoisonError::into_inner).report(&it.webhook, now)
        })
        .collect()
    }

    /// Has one send again what came after this event, whatever its age. `None`: there is no such webhook.
    pub async fn replay(&self, name: &str, after: Id) -> Option<Result<(), String>> {
        let _turn = self.changing.lock().await;
        let mut stopped = self.running().remove(name)?;
        // What it has under way must not move the place afterwards.
        stopped.task.abort();
        let _ = (&mut stopped.task).await;
        let place = Place { after, replayed_at: Some(self.world.queue.now()) };
        let written = self.world.queue.commit_state(vec![place.operation(name)]).await;
        let webhook = Arc::clone(&stopped.webhook);
        let started = self.start(&webhook);
        // A reload may have started it meanwhile: then there is one already.
        self.running().entry(Arc::clone(&webhook.name)).or_insert(started);
        Some(written.map_err(|error| error.to_string()))
    }

    fn start(&self, webhook: &Arc<Webhook>) -> Running {
        let status = Arc::new(Mutex::new(Status::default()));
        let runner =
            Runner::new(self.world.clone(), Arc::clone(webhook), Arc::clone(&status), self.seed);
        let task = tokio::spawn(runner.run());
        Running { webhook: Arc::clone(webhook), status, task }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
