//! Puts outcomes into the queue with the events that explain them and the notice to the sender.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus::{Histogram, IntCounter};
use relay_config::config::DsnPolicy;
use relay_config::responses::{Category, Mail, Verdict};

use crate::egress::{Reason, Waits};
use crate::message::{
    Address, Delivery, Event, EventKind, Failure, Message, Outcome, Recipient, Submission,
    Timestamp,
};
use crate::metrics::{self, Label, Labelled, NamedCounters, Names, Pairs, Topic, limit_hit};
use crate::outcome::{self, Context, Notice, Told, What};
use crate::policy::Policy;
use crate::queue::state::{self, Changes, Through};
use crate::queue::{HeldBody, LeverError, Ready};
use crate::smtp_out::Route;
use crate::suppression::Learned;

use super::{Dispatch, destination};

static OUTCOMES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Outcomes of recipients; those that are deferred are counted at each attempt";
    metrics::counters(Topic::Delivery, "tambo_outcomes_total", help, vec![outcomes()])
});
static PROVIDER_OUTCOMES: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "Outcomes of recipients, by the provider that their mail goes to";
    let labels = vec![Label::names("provider", Names::Providers), outcomes()];
    metrics::named_counters(Topic::Delivery, "tambo_provider_outcomes_total", help, labels)
});
static SOURCE_OUTCOMES: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "Outcomes of recipients, by the source of the attempt";
    let labels = vec![Label::names("source", Names::Sources), outcomes()];
    metrics::named_counters(Topic::Delivery, "tambo_source_outcomes_total", help, labels)
});
static POOL_OUTCOMES: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "Outcomes of recipients, by the pool of the attempt";
    let labels = vec![Label::names("pool", Names::Pools), outcomes()];
    metrics::named_counters(Topic::Delivery, "tambo_pool_outcomes_total", help, labels)
});
/// Pairs of provider and category that are shown at most: those of `other`, and about ten for each provider that
/// anybody sends much to.
const PROVIDER_FAILURES_MAX: usize = 240;
pub(super) static PROVIDER_FAILURES: LazyLock<Pairs> = LazyLock::new(|| {
    let help = "Outcomes of recipients that were not delivered, by provider and by what stood in the way; \
                a pair has a series once there was one";
    let name = "tambo_provider_failures_total";
    metrics::pairs(Topic::Delivery, name, help, categories(), PROVIDER_FAILURES_MAX)
});
static FAILURES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Outcomes of recipients that were not delivered, by what stood in the way";
    metrics::counters(Topic::Delivery, "tambo_failures_total", help, vec![categories()])
});
static DELIVERED_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "From acceptance to delivery, for each recipient";
    let name = "tambo_delivered_seconds";
    metrics::histogram(Topic::Delivery, name, help, &metrics::QUEUE_SECONDS)
});
static NOTICES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Notices to senders that were written";
    let kinds = [
        ("failure", "of what failed or expired, and perhaps of more"),
        ("delay", "of what is late"),
        ("success", "of what was handed to a server that tells nothing more"),
    ];
    let kind = Label::known("kind", &kinds);
    metrics::counters(Topic::Delivery, "tambo_notices_total", help, vec![kind])
});

static WAITING: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Deliveries put back to disk because a limit of ours kept them";
    let others = [
        ("backlog", "others of its kind stand before it"),
        ("halted", "its sending domain or campaign is halted there"),
    ];
    let reason = Label::known("reason", &[&Reason::WORDS[..], &others[..]].concat());
    metrics::counters(Topic::Delivery, "tambo_postponed_total", help, vec![reason])
});

fn outcomes() -> Label {
    let outcomes = [
        ("delivered", "a server took responsibility"),
        ("deferred", "not now; it is tried again"),
        ("bounced", "refused for good, or given up by an operator"),
        ("expired", "still waiting when its time was over"),
        ("suppressed", "not sent: on the suppression list"),
    ];
    Label::known("outcome", &outcomes)
}

fn categories() -> Label {
    let categories: Vec<_> =
        Category::WORDS.iter().map(|(word, it)| (*word, it.meaning())).collect();
    Label::known("category", &categories)
}

/// Shows what was counted since the page was last read.
pub(super) fn measure() {
    PROVIDER_FAILURES.measure();
}

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&PROVIDER_OUTCOMES, &SOURCE_OUTCOMES, &POOL_OUTCOMES, &PROVIDER_FAILURES]);
    metrics::declare(&[&OUTCOMES, &FAILURES, &DELIVERED_SECONDS, &NOTICES, &WAITING]);
}

impl Dispatch {
    /// Who may send, and whose failures are reported where.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.get()
    }

    /// An attempt has ended.
    pub(super) async fn conclude(
        &self,
        mut ready: Ready,
        outcomes: Vec<Outcome>,
        verdicts: Vec<Option<Verdict>>,
        context: Context,
        body: Option<&[Bytes]>,
    ) {
        let now = self.queue.now();
        let learned = self.learn(&ready, &outcomes, &verdicts, &context);
        let means: Vec<Option<Mail>> =
            verdicts.iter().map(|it| it.as_ref().map(|verdict| verdict.mail)).collect();
        let through = Through {
            source: context.source.clone(),
            mx: context.mx.clone(),
            spent: context.spent,
        };
        let changes = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let schedule = &self.queue.options().schedule;
            let delivery = &mut ready.delivery;
            state::attempted(delivery, outcomes, &means, through, schedule, now, &mut random)
        };
        self.write(ready, &changes, &verdicts, context, (body, learned)).await;
    }

    /// An attempt failed for all recipients alike.
    pub(super) async fn fail(&self, ready: Ready, failure: &Failure, mut context: Context) {
        let outcomes = vec![Outcome::Failed(failure.clone()); ready.recipients().len()];
        context.tls = None;
        let provider = context.provider.as_deref();
        let verdict = outcome::verdict(&self.classifier.get(), failure, provider);
        let verdicts = vec![Some(verdict); outcomes.len()];
        self.conclude(ready, outcomes, verdicts, context, None).await;
    }

    /// Its time is over.
    pub(super) async fn expire(&self, mut ready: Ready) {
        let changes = state::expired(&mut ready.delivery);
        self.give_up(ready, &changes).await;
    }

    /// An operator gives a delivery up.
    pub async fn bounce(
        &self,
        id: crate::message::DeliveryId,
        why: &str,
    ) -> Result<(), LeverError> {
        let mut ready = self.queue.take(id).await?;
        let changes = state::bounced_by_operator(&mut ready.delivery, why);
        self.give_up(ready, &changes).await;
        Ok(self.queue.barrier().await?)
    }

    async fn give_up(&self, ready: Ready, changes: &Changes) {
        let outcomes = changes.transitions.iter().map(|transition| &transition.outcome);
        let verdicts = outcome::verdicts(&self.classifier.get(), outcomes, None);
        let nothing = (None, Learned::default());
        self.write(ready, changes, &verdicts, Context::default(), nothing).await;
    }

    /// Something of ours keeps a delivery: it waits on disk, and is told the first time, with the time at which
    /// it is likely to go. When that is too late for it, the operator hears of it at once.
    pub(super) fn postpone(&self, ready: Ready, waits: &Waits, route: Option<&Route>) {
        let delivery = &ready.delivery;
        let fresh = delivery.attempts == 0 && delivery.due <= ready.message.begins().after(FRESH);
        let events = if fresh { self.told_to_wait(&ready, waits, route) } else { Vec::new() };
        WAITING.count(&[waits.why.word()]);
        let message = ready.message.id;
        if let Err(error) = self.queue.postpone(ready, waits.until, &events) {
            tracing::error!(%message, %error, "what waits could not be written; it is looked at again");
        }
    }

    fn told_to_wait(&self, ready: &Ready, waits: &Waits, route: Option<&Route>) -> Vec<Event> {
        let mut expected = None;
        if let Some(route) = route {
            let now = self.queue.now();
            let mut state = self.state();
            let (to, pool) = (destination(route), self.pool_of(&state, ready));
            expected = state.egress.expected(&to, &pool, now);
            let expires = ready.message.begins().after(self.queue.options().expire_after);
            if let Some(expected) = expected {
                state.egress.alert_of_delay(&to, &pool, (expected, expires), now);
            }
        }
        let recipients = ready.recipients().into_iter();
        let event = |recipient: &Recipient| {
            let id = self.queue.next_id();
            let mut event = Event::of_message(id, EventKind::Waiting, &ready.message);
            event.recipient = Some(recipient.address.to_string());
            event.site = route.map(|route| route.site.to_string());
            event.provider = route.and_then(|it| it.provider.as_ref()).map(ToString::to_string);
            event.detail = Some(waits.why.sentence());
            event.next_attempt = Some(waits.until.to_rfc3339());
            event.expected = expected.map(Timestamp::to_rfc3339);
            event
        };
        recipients.map(event).collect()
    }

    pub(super) async fn write(
        &self,
        ready: Ready,
        changes: &Changes,
        verdicts: &[Option<Verdict>],
        mut context: Context,
        (body, learned): (Option<&[Bytes]>, Learned),
    ) {
        let now = self.queue.now();
        if context.source.is_some() {
            context.pool = Some(self.pool_of(&self.state(), &ready).to_string());
        }
        let notice = self.notice(&ready, changes, &context, body).await;
        let ids = || self.queue.next_id();
        let (delivery, message) = (&ready.delivery, &ready.message);
        let mut events = outcome::events(delivery, message, changes, verdicts, &context, now, ids);
        let (provider, source) = (context.provider.as_deref(), context.source.as_deref());
        let through = context
            .counted
            .unwrap_or_else(|| metrics::Through::find(provider, source, context.pool.as_deref()));
        for verdict in verdicts.iter().flatten() {
            FAILURES.count(&[verdict.category.word()]);
            PROVIDER_FAILURES.count(through.provider, verdict.category.word());
        }
        for event in &events {
            let label = count(event, through);
            tracing::info!(
                message = %ready.message.id,
                recipient = event.recipient.as_deref().unwrap_or(""),
                outcome = label,
                mx = event.mx.as_deref().unwrap_or(""),
                source = event.source.as_deref().unwrap_or(""),
                code = event.code.unwrap_or(0),
                rule = event.rule.as_deref().unwrap_or(""),
                reply = event.reply.as_deref().unwrap_or(""),
            );
        }
        let message = ready.message.id;
        // What egress decided because of it is on disk with it, or not at all.
        let mut along = self.egress_changes();
        along.extend(learned.operations);
        events
            .extend(learned.entries.iter().map(|entry| self.told_of(entry, Some(&ready.message))));
        if let Err(error) = self.queue.conclude(ready, changes, &events, notice, along) {
            tracing::error!(%message, %error, "an outcome could not be written; it will be attempted again");
        }
    }

    /// The notice that sender and account want, if any: never about a notice.
    async fn notice(
        &self,
        ready: &Ready,
        changes: &Changes,
        context: &Context,
        body: Option<&[Bytes]>,
    ) -> Option<Submission> {
        let told = Told::of_changes(&ready.delivery, changes, context.dsn);
        let to = self.told_to(&ready.message, &told)?;
        let returned = if let Some(body) = body {
            outcome::returned(&ready.message, &told, body)
        } else {
            let recipient = ready.delivery.recipients.first();
            self.returned(&ready.message, ready.body.clone(), recipient, &told).await
        };
        Some(self.write_notice(to, &ready.message, &told, returned, context.mx.as_deref()))
    }

    /// Tells senders of what is late; not before the relay has been `up` long enough to have tried what
    /// waited while it was stopped.
    pub(super) async fn tell_of_delays(&self, up: Duration) {
        let late_after = self.queue.options().late_after;
        if late_after.is_none_or(|late_after| up < late_after.min(FIRST_TRIES)) {
            return;
        }
        loop {
            let late = match self.queue.take_late().await {
                Ok(Some(late)) => late,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "what is late cannot be looked for");
                    return;
                }
            };
            let mut notices = Vec::new();
            for (message, deliveries) in &late.messages {
                notices.extend(self.delay_notice(message, deliveries).await);
            }
            if let Err(error) = self.queue.tell_late(notices, late.seen) {
                tracing::warn!(%error, "senders are told of delays later");
                return;
            }
            if !late.more {
                return;
            }
        }
    }

    /// One notice about all that is late of a message.
    async fn delay_notice(&self, message: &Message, deliveries: &[Delivery]) -> Option<Submission> {
        let until = message.begins().after(self.queue.options().expire_after);
        let told: Vec<Told> =
            deliveries.iter().flat_map(|delivery| Told::of_delay(delivery, until)).collect();
        let to = self.told_to(message, &told)?;
        let now = self.queue.now();
        if until <= now {
            // It is about to expire, which is told.
            return None;
        }
        if !self.delays.lock().unwrap_or_else(PoisonError::into_inner).take(&to, now) {
            limit_hit("delay_notices");
            return None;
        }
        let last = deliveries.iter().find_map(|delivery| delivery.last.as_ref());
        let mx =
            if deliveries.len() == 1 { last.and_then(|last| last.mx.as_deref()) } else { None };
        let recipient = deliveries.first().and_then(|delivery| delivery.recipients.first());
        let returned = self.returned(message, None, recipient, &told).await;
        Some(self.write_notice(to, message, &told, returned, mx))
    }

    /// Who is told these news of a message.
    fn told_to(&self, message: &Message, told: &[Told]) -> Option<Address> {
        let sender = message.sender.0.as_ref()?;
        if told.is_empty() {
            return None;
        }
        match self.policy.get().dsn_of(&message.account) {
            DsnPolicy::Off => None,
            DsnPolicy::Sender => Some(sender.clone()),
            DsnPolicy::To(mailbox) => Address::parse(&mailbox).ok(),
        }
    }

    async fn returned(
        &self,
        message: &Message,
        held: Option<Arc<HeldBody>>,
        recipient: Option<&Recipient>,
        told: &[Told],
    ) -> Vec<u8> {
        match self.body_of(message, held, recipient).await {
            Ok(body) => outcome::returned(message, told, &body.pieces),
            Err(failure) => {
                let why = failure.cause;
                tracing::warn!(why, "a notice goes without what it should give back");
                outcome::returned(message, told, &[])
            }
        }
    }

    fn write_notice(
        &self,
        to: Address,
        message: &Message,
        told: &[Told],
        returned: Vec<u8>,
        mx: Option<&str>,
    ) -> Submission {
        NOTICES.count(&[kind_of(told)]);
        let (id, now) = (self.queue.next_id(), self.queue.now());
        let policy = self.policy.get();
        let hostname = policy.hostname.as_str();
        outcome::notice(Notice { id, to, message, told, returned, hostname, mx }, now)
    }
}

/// Counts an outcome; returns its word.
fn count(event: &Event, through: metrics::Through) -> &'static str {
    let outcome = match event.kind {
        EventKind::Delivered => "delivered",
        EventKind::Bounced => "bounced",
        EventKind::Expired => "expired",
        EventKind::Suppressed => "suppressed",
        _ => "deferred",
    };
    OUTCOMES.count(&[outcome]);
    PROVIDER_OUTCOMES.count_as(through.provider, outcome);
    SOURCE_OUTCOMES.count_as(through.source, outcome);
    POOL_OUTCOMES.count_as(through.pool, outcome);
    if let (EventKind::Delivered, Some(seconds)) = (event.kind, event.seconds) {
        DELIVERED_SECONDS.observe(seconds);
    }
    outcome
}

/// The kind of a notice: a failure is the news, whatever else it tells.
fn kind_of(told: &[Told]) -> &'static str {
    let is = |it: &Told| it.what.is_failure();
    match told.first().map(|first| first.what) {
        _ if told.iter().any(is) => "failure",
        Some(What::Delayed(_)) => "delay",
        _ => "success",
    }
}

/// A delivery that is due so soon after its acceptance has not been put back before.
const FRESH: Duration = Duration::from_secs(1);
/// What waited while the relay was stopped gets so long after its start before anybody is told that it
/// is late.
const FIRST_TRIES: Duration = Duration::from_mins(10);
/// Notices of delay that one mailbox gets in an hour. A campaign that waits is one piece of news,
/// not fifty thousand; failures are told one by one all the same, for each is final.
const DELAY_NOTICES_PER_HOUR: u32 = 20;
/// Mailboxes that are counted; of more, none is told in this hour.
const MAILBOXES_MAX: usize = 10_000;

/// How many notices of delay each mailbox got in this hour.
#[derive(Debug, Default)]
pub(super) struct Delays {
    hour: u64,
    told: HashMap<Address, u32>,
}

impl Delays {
    /// Counts one more for a mailbox, if it may have one.
    fn take(&mut self, to: &Address, now: Timestamp) -> bool {
        let hour = now.as_millis() / 3_600_000;
        if hour != self.hour {
            *self = Self { hour, told: HashMap::new() };
        }
        if self.told.len() >= MAILBOXES_MAX && !self.told.contains_key(to) {
            return false;
        }
        let told = self.told.entry(to.clone()).or_default();
        *told += 1;
        *told <= DELAY_NOTICES_PER_HOUR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_not_flooded_with_delays() {
        let mut delays = Delays::default();
        let [ana, eva] = ["ana@x.pe", "eva@x.pe"].map(|text| Address::parse(text).unwrap());
        let at = Timestamp::from_millis;
        let given = (0..100).filter(|_| delays.take(&ana, at(5))).count();
        assert_eq!(given, 20);
        assert!(delays.take(&eva, at(5)));
        assert!(delays.take(&ana, at(3_600_005)));
    }
}
