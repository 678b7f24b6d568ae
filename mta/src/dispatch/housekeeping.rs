//! What must be looked after once in a while: messages that have ended, that are too old, sites
//! that wait for better days, events that are old.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::message::Id;
use crate::spool::off_thread;

use super::Dispatch;

/// How often what has ended is swept and waiting sites get another look.
const EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is looked for.
const AGE_EVERY: Duration = Duration::from_secs(10);

impl Dispatch {
    /// Looks after things until it is dropped.
    pub async fn keep_house(self: Arc<Self>) {
        let mut cursor = Id::ZERO;
        let mut aged = Instant::now();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.queue.sweep_ended().await {
                tracing::warn!(%error, "messages that have ended are swept later");
            }
            if self.may_start() {
                let waiting = self.state().egress.waiting_sites();
                self.balance_all(&waiting);
            }
            if aged.elapsed() >= AGE_EVERY {
                aged = Instant::now();
                self.give_up_old(&mut cursor).await;
                self.forget_quiet();
            }
        }
    }

    async fn give_up_old(&self, cursor: &mut Id) {
        loop {
            if !self.queue.may_deliver() {
                return;
            }
            let (queue, mut from) = (Arc::clone(&self.queue), *cursor);
            let spool = self.queue.spool();
            let found = off_thread(&*spool, move || {
                let aged = queue.take_aged(&mut from);
                (aged, from)
            });
            let Ok((aged, next)) = found.await else { return };
            *cursor = next;
            match aged {
                Ok(aged) => {
                    for ready in aged.deliveries {
                        self.expire(ready).await;
                    }
                    if !aged.more {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "messages that are too old cannot be looked for");
                    return;
                }
            }
        }
    }

    fn forget_quiet(&self) {
        let now = self.queue.now();
        let mut state = self.state();
        state.egress.sweep(now);
        state.routes.retain(|_, route| route.until > now);
        let state = &mut *state;
        let egress = &state.egress;
        state.sites.retain(|site, _| egress.has_site(site));
    }
}
