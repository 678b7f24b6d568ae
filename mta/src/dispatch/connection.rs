//! The life of one connection: open, pull, deliver, report, pull again, close.

use std::sync::{Arc, LazyLock};

use prometheus::Histogram;
use relay_config::config::Source;
use relay_config::responses::{Action, Verdict};
use tokio::sync::Notify;

use crate::egress::{ConnectionId, Pull};
use crate::message::{Failure, Outcome, Retry, Scope};
use crate::metrics::{self, Through, Topic};
use crate::outcome::{self, Context};
use crate::queue::Ready;
use crate::smtp_out::{Connection, Content, Route, not_begun};
use crate::wire::Tap;

use super::content::{Body, in_seven_bit};
use super::hearing::Way;
use super::item::Waiting;
use super::{Dispatch, destination, lane_key};

static FIRST_ATTEMPT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "From acceptance to the first transaction with a server: what the queue adds";
    let name = "tambo_first_attempt_seconds";
    metrics::histogram(Topic::Queue, name, help, &metrics::QUEUE_SECONDS)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&FIRST_ATTEMPT_SECONDS]);
}

/// The place of a connection in the books: given back when it ends, however it ends.
struct Books {
    dispatch: Arc<Dispatch>,
    id: ConnectionId,
}

impl Drop for Books {
    fn drop(&mut self) {
        {
            let mut state = self.dispatch.state();
            state.wakers.remove(&self.id);
            let own = state.egress.closed(self.id, self.dispatch.queue.now());
            while let Some(site) = state.egress.next_with_room() {
                self.dispatch.balance(&mut state, &site);
            }
            if let Some(own) = own {
                self.dispatch.balance(&mut state, &own);
            }
        }
        self.dispatch.ended.notify_waiters();
    }
}

/// What a connection has at hand.
struct Link {
    id: ConnectionId,
    route: Arc<Route>,
    source: Arc<Source>,
    connection: Connection,
    /// Messages that it has carried …
    carried: u32,
    /// … in so many transactions.
    transactions: u32,
    /// The server takes nothing in clear, as this is.
    too_clear: bool,
    /// How what it carries is counted.
    counted: Through,
    /// Who watches it.
    tap: Tap,
}

impl Link {
    /// It has carried what the server said that it takes over one connection (RFC 9422), or will take nothing.
    fn is_spent(&self) -> bool {
        let most = self.connection.capabilities.transactions_max;
        self.too_clear || most.is_some_and(|most| self.transactions >= most)
    }

    /// The server has said that it takes no more over this connection, which has carried other mail. (One that
    /// says so of the first says it of any: that is a failed attempt.)
    fn is_worn(&self, verdicts: &[Option<Verdict>]) -> bool {
        self.carried > 1 && asks_for(verdicts, Action::Reconnect)
    }
}

impl Dispatch {
    pub(super) async fn connection(
        self: Arc<Self>,
        id: ConnectionId,
        route: Arc<Route>,
        source: Arc<Source>,
        waker: Arc<Notify>,
    ) {
        let guard = Books { dispatch: Arc::clone(&self), id };
        let avoided: Vec<String> = {
            let (state, now) = (self.state(), self.queue.now());
            let names = route.hosts.iter().map(|host| host.name.clone());
            names
                .filter(|host| state.egress.is_avoided(&route.site, &route.host_set, host, now))
                .collect()
        };
        let seed = self.random_seed();
        let (tap, ear) = self.tapped(&route, &source);
        let opened = self.connector.open(&route, &source, seed, &avoided, ear.as_ref()).await;
        let connection = match opened {
            Ok(connection) => connection,
            Err(failure) => return self.not_opened(id, &route, &source, &failure).await,
        };
        let pool = {
            let mut state = self.state();
            state.egress.opened(id, self.queue.now());
            state.egress.pool_of(id)
        };
        let counted = Through::find(route.provider.as_deref(), Some(&source.name), pool.as_deref());
        let mut link = Link {
            id,
            route,
            source,
            connection,
            carried: 0,
            transactions: 0,
            too_clear: false,
            counted,
            tap,
        };
        let usable = self.work(&mut link, &waker).await;
        // The server counts the connection until it is closed, so it leaves our books after that;
        // what waits need not wait for goodbyes.
        {
            let mut state = self.state();
            state.egress.closing(id);
            let site = Arc::clone(&link.route.site);
            self.balance(&mut state, &site);
        }
        if usable {
            link.connection.quit().await;
        }
        drop(guard);
    }

    /// A connection could not be opened.
    async fn not_opened(
        &self,
        id: ConnectionId,
        route: &Route,
        source: &Source,
        failure: &Failure,
    ) {
        // Its address or its gateway is gone: the source's fault, not the site's, and the others go on.
        let lost = failure.scope == Scope::Path && !self.connector.is_present(source);
        // Asked for by itself: what is heard takes the state, too.
        let pool = self.state().egress.pool_of(id);
        if let Some(pool) = pool.filter(|_| failure.phase.is_some()) {
            let verdict =
                outcome::verdict(&self.classifier.get(), failure, route.provider.as_deref());
            let way = Way { route, source: &source.name, pool: &pool, transactions: 0 };
            self.hear_greeting(&way, &verdict, &failure.reply);
        }
        let failed = {
            let mut state = self.state();
            let now = self.queue.now();
            if lost {
                tracing::error!(source = %source.name, cause = %failure.cause, "a source cannot be used");
                state.egress.source_lost(&source.name, now);
            }
            let failed = state.egress.failed_to_open(id, failure, now);
            // Another source of the pool may go on at once.
            self.balance(&mut state, &route.site);
            failed
        };
        self.tell_decisions();
        for Waiting { ready, .. } in failed {
            let source = Some(source.name.to_string());
            self.fail(ready, failure, Context { source, ..Context::at(route) }).await;
        }
    }

    /// Pulls and delivers until there is nothing more to do or the connection breaks (`false`).
    async fn work(&self, link: &mut Link, waker: &Notify) -> bool {
        loop {
            let now = self.queue.now();
            let idle_timeout = self.connector.delivery.get().idle_timeout;
            let pulled = if self.may_start() && !link.is_spent() {
                self.state().egress.pull(link.id, now)
            } else {
                Pull::Close
            };
            match pulled {
                Pull::Close => return true,
                // The routes have changed while it waited here.
                Pull::Deliver { item, .. } if !self.queue.is_routed(&item.ready.delivery) => {
                    self.divide(item.ready).await;
                }
                Pull::Deliver { item, recipients, per_message } => {
                    // Somebody may have come onto the list while it waited here.
                    if let Some(listed) = self.listed_in(&item.ready) {
                        self.suppress(item.ready, listed).await;
                        continue;
                    }
                    let way = (&*link.route, &*link.source);
                    self.tap_again(&mut link.tap, &mut link.connection, way);
                    if !self.deliver(link, item.ready, (recipients, per_message)).await {
                        return false;
                    }
                }
                Pull::Save => {
                    if !self.save_egress().await {
                        return true;
                    }
                }
                Pull::Idle => {
                    tokio::select! {
                        biased;
                        () = waker.notified() => {}
                        () = link.connection.watch(idle_timeout) => return true,
                    }
                }
                Pull::Wait(until) => {
                    let wait = until.since(now);
                    if wait > idle_timeout {
                        return true;
                    }
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(wait) => {}
                        () = waker.notified() => {}
                        () = link.connection.watch(wait * 2) => return true,
                    }
                }
            }
        }
    }

    /// One delivery over this connection, to so many of its recipients and so many in one
    /// transaction; false: the connection is of no more use.
    async fn deliver(
        &self,
        link: &mut Link,
        mut ready: Ready,
        (most, per_message): (u32, Option<u32>),
    ) -> bool {
        let mut context = Context {
            mx: Some(link.connection.host.clone()),
            source: Some(link.source.name.to_string()),
            tls: Some(link.connection.tls.clone().unwrap_or_else(|| "none".to_owned())),
            dsn: link.connection.capabilities.dsn,
            counted: Some(link.counted),
            ..Context::at(&link.route)
        };
        let eight_bit = link.connection.capabilities.eight_bit;
        let (body, octets) = match self.signed(&mut ready, eight_bit).await {
            Ok(signed) => signed,
            Err(failure) => {
                self.fail(ready, &failure, context).await;
                return true;
            }
        };
        if ready.delivery.attempts == 0 && ready.hosts_failed == 0 {
            let waited = self.queue.now().since(ready.message.begins());
            FIRST_ATTEMPT_SECONDS.observe(waited.as_secs_f64());
        }
        let mut recipients = ready.recipients();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        recipients.truncate(most);
        let count = recipients.len();
        let batch = self.recipients_at_a_time(link, per_message);
        let mut outcomes = Vec::with_capacity(recipients.len());
        let mut usable = true;
        for (number, batch) in recipients.chunks(batch).enumerate() {
            let more = number == 0 || (!link.is_spent() && self.begin_another(link.id));
            if !usable || !more {
                break;
            }
            link.transactions += 1;
            let transacted = link.connection.deliver(&ready.message, &octets, batch).await;
            outcomes.extend(transacted.outcomes);
            usable = transacted.usable;
        }
        link.carried += 1;
        if !usable && outcomes.len() < count {
            // What was not begun shares the fate of what broke, or is told that it was not begun.
            let failure = broken(&outcomes).cloned().unwrap_or_else(not_begun);
            outcomes.resize(count, Outcome::Failed(failure));
        }
        let provider = link.route.provider.as_deref();
        let verdicts = outcome::verdicts(&self.classifier.get(), &outcomes, provider);
        let pool = self.pool_of(&self.state(), &ready);
        let (source, transactions) = (&link.source.name, link.transactions);
        let way = Way { route: &link.route, source, pool: &pool, transactions };
        context.spent = link.is_worn(&verdicts);
        link.too_clear = link.connection.tls.is_none() && asks_for(&verdicts, Action::RequireTls);
        if link.too_clear {
            self.connector.tls.remember_wanted(&link.connection.host, self.queue.now());
        }
        self.hear(&ready, &way, &outcomes, &verdicts);
        if broken(&outcomes).is_some()
            && let Some(again) = Self::elsewhere(link, &mut ready, &outcomes)
        {
            let (mut state, now) = (self.state(), self.queue.now());
            let to = destination(&link.route);
            if again == Again::OtherHost {
                state.egress.avoid(&to.site, &to.host_set, &link.connection.host, now);
            }
            let key = lane_key(&ready.delivery);
            let waiting = Waiting::new(ready, &self.classifier.get());
            state.egress.push_back(&to, &pool, key, waiting, now);
            return usable;
        }
        self.conclude(ready, outcomes, verdicts, context, Some(&body.pieces)).await;
        usable
    }

    /// Recipients of one transaction: by what we, the provider's limits and the server say.
    fn recipients_at_a_time(&self, link: &Link, per_message: Option<u32>) -> usize {
        let most = self.connector.delivery.get().recipients_per_transaction;
        let most = most.min(per_message.unwrap_or(u32::MAX));
        let offered = link.connection.capabilities.recipients_max.unwrap_or(usize::MAX);
        usize::try_from(most).unwrap_or(usize::MAX).min(offered)
    }

    fn begin_another(&self, id: ConnectionId) -> bool {
        self.state().egress.begin_another(id, self.queue.now())
    }

    /// The octets of a message, signed, for a server that takes 8-bit text or does not; and its body by
    /// itself.
    async fn signed(&self, ready: &mut Ready, eight_bit: bool) -> Result<(Body, Content), Failure> {
        let recipient = ready.delivery.recipients.first();
        let body = self.body_of(&ready.message, ready.body.clone(), recipient).await?;
        let content = match in_seven_bit(&ready.message, &body.pieces, eight_bit)? {
            None => {
                let signatures = self.signatures(ready, &body.pieces).await?;
                Content::new(&ready.message, signatures, &body.pieces)
            }
            // What was signed before is not what is sent: this is signed by itself, each time.
            Some(rest) => {
                let signatures = if self.is_signed(ready) {
                    self.sign(&ready.message, vec![rest.clone()]).await?
                } else {
                    None
                };
                Content::converted(&ready.message, signatures, rest)
            }
        };
        Ok((body, content))
    }

    /// Whether the delivery goes on at once: at another host, or over a new connection where
    /// the server had left an old one.
    fn elsewhere(link: &Link, ready: &mut Ready, outcomes: &[Outcome]) -> Option<Again> {
        let untouched = outcomes.iter().all(|outcome| {
            matches!(outcome, Outcome::Failed(Failure { retry: Retry::NextHost, .. }))
        });
        let left = link.carried > 1;
        let hosts = u32::try_from(link.route.hosts.len()).unwrap_or(u32::MAX);
        if !untouched || ready.hosts_failed + 1 >= hosts + u32::from(left) {
            return None;
        }
        ready.hosts_failed += 1;
        Some(if left { Again::NewConnection } else { Again::OtherHost })
    }
}

fn asks_for(verdicts: &[Option<Verdict>], action: Action) -> bool {
    verdicts.iter().flatten().any(|verdict| verdict.actions.contains(&action))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    OtherHost,
    NewConnection,
}

/// The failure that ended the connection, if one did.
fn broken(outcomes: &[Outcome]) -> Option<&Failure> {
    outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::Failed(failure) if failure.scope == Scope::Session => Some(failure),
        _ => None,
    })
}
