//! Puts outcomes into the queue with the events that explain them and the notice to the sender.

use std::sync::PoisonError;

use bytes::Bytes;
use relay_config::config::DsnPolicy;

use crate::message::{Address, Failure, Outcome, Submission};
use crate::outcome::{self, Context, Failed};
use crate::queue::state::{self, Changes, Through};
use crate::queue::{LeverError, Ready};

use super::{Dispatch, OUTCOMES};

impl Dispatch {
    /// An attempt has ended.
    pub(super) async fn conclude(
        &self,
        mut ready: Ready,
        outcomes: Vec<Outcome>,
        context: Context,
        body: Option<&[Bytes]>,
    ) {
        let now = self.queue.now();
        let through = Through { source: context.source.clone(), mx: context.mx.clone() };
        let changes = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let schedule = &self.queue.options().schedule;
            state::attempted(&mut ready.delivery, outcomes, through, schedule, now, &mut random)
        };
        self.write(ready, &changes, context, body).await;
    }

    /// An attempt failed for all recipients alike.
    pub(super) async fn fail(&self, ready: Ready, failure: &Failure, mut context: Context) {
        let outcomes = vec![Outcome::Failed(failure.clone()); ready.recipients().len()];
        context.tls = None;
        self.conclude(ready, outcomes, context, None).await;
    }

    /// Its time is over.
    pub(super) async fn expire(&self, mut ready: Ready) {
        let changes = state::expired(&mut ready.delivery);
        self.write(ready, &changes, Context::default(), None).await;
    }

    /// An operator gives a delivery up.
    pub async fn bounce(
        &self,
        id: crate::message::DeliveryId,
        why: &str,
    ) -> Result<(), LeverError> {
        let mut ready = self.queue.take(id).await?;
        let changes = state::bounced_by_operator(&mut ready.delivery, why);
        self.write(ready, &changes, Context::default(), None).await;
        Ok(self.queue.barrier().await?)
    }

    async fn write(
        &self,
        ready: Ready,
        changes: &Changes,
        mut context: Context,
        body: Option<&[Bytes]>,
    ) {
        let now = self.queue.now();
        if context.source.is_some() {
            context.pool = Some(self.pool_of(&self.state(), &ready).to_string());
        }
        let notice = self.notice(&ready, changes, context.mx.as_deref(), body).await;
        let ids = || self.queue.next_id();
        let events = outcome::events(&ready.delivery, &ready.message, changes, &context, now, ids);
        for event in &events {
            let label = format!("{:?}", event.kind).to_lowercase();
            OUTCOMES.with_label_values(&[label.as_str()]).inc();
            tracing::info!(
                message = %ready.message.id,
                recipient = event.recipient.as_deref().unwrap_or(""),
                outcome = label,
                mx = event.mx.as_deref().unwrap_or(""),
                source = event.source.as_deref().unwrap_or(""),
                code = event.code.unwrap_or(0),
                reply = event.reply.as_deref().unwrap_or(""),
            );
        }
        let message = ready.message.id;
        if let Err(error) = self.queue.conclude(ready, changes, &events, notice) {
            tracing::error!(%message, %error, "an outcome could not be written; it will be attempted again");
        }
    }

    /// The notice that the account wants, if any: never about a notice.
    async fn notice(
        &self,
        ready: &Ready,
        changes: &Changes,
        mx: Option<&str>,
        body: Option<&[Bytes]>,
    ) -> Option<Submission> {
        let failed = Failed::of(&ready.delivery, changes);
        let sender = ready.message.sender.0.as_ref()?;
        if failed.is_empty() {
            return None;
        }
        let to = match self.policy.get().dsn_of(&ready.message.account) {
            DsnPolicy::Off => return None,
            DsnPolicy::Sender => sender.clone(),
            DsnPolicy::To(mailbox) => Address::parse(&mailbox).ok()?,
        };
        let headers = if let Some(body) = body {
            outcome::original_headers(&ready.message, body)
        } else {
            let body = self.queue.body(&ready.message, ready.body.clone()).await;
            let none = |error| {
                tracing::warn!(%error, "a notice goes without the headers of its message");
                outcome::original_headers(&ready.message, &[])
            };
            body.map_or_else(none, |body| outcome::original_headers(&ready.message, &body.pieces))
        };
        let (id, now) = (self.queue.next_id(), self.queue.now());
        let policy = self.policy.get();
        let names = (policy.hostname.as_str(), mx);
        Some(outcome::notice((id, to), &ready.message, &failed, &headers, names, now))
    }
}
