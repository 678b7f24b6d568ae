//! Whom nothing is sent to: asked before each attempt, learned from what servers say, ordered by people.

use std::sync::{Arc, LazyLock};

use prometheus::{IntCounter, IntGauge};
use relay_config::responses::{Blame, Phase, Verdict};

use crate::message::{Event, EventKind, Message, Outcome, Recipient};
use crate::metrics::{self, Label, Labelled, Topic};
use crate::outcome::Context;
use crate::queue::Ready;
use crate::queue::state;
use crate::spool::{Operation, event_index, off_thread};
use crate::suppression::{Cause, Entry, Heard, Learned, Subject, Suppressions};

use super::{Dispatch, NotDone};

static LISTED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Addresses and domains on the suppression list";
    metrics::gauge(Topic::Delivery, "tambo_suppressions", help)
});
static CHANGES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Changes of the suppression list";
    let changes = [
        ("reply", "put on it because of what a server said"),
        ("order", "put on it by a person or a program"),
        ("removed", "taken off by a person or a program"),
        ("over", "taken off because its time was over"),
    ];
    let change = Label::known("change", &changes);
    metrics::counters(Topic::Delivery, "tambo_suppression_changes_total", help, vec![change])
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&LISTED, &CHANGES]);
}

/// Recipients of a delivery that are on the list: their places, each with the reason.
pub(super) type ListedRecipients = Vec<(usize, String)>;

impl Dispatch {
    /// Those of a delivery that wait and are on the list; `None`: nobody is.
    pub(super) fn listed_in(&self, ready: &Ready) -> Option<ListedRecipients> {
        if self.suppressions.is_empty() {
            return None;
        }
        let (spool, now) = (self.queue.spool(), self.queue.now());
        let account = &ready.message.account;
        let mut listed = Vec::new();
        for place in state::waiting(&ready.delivery) {
            let Some(recipient) = ready.delivery.recipients.get(place) else { continue };
            match self.suppressions.find(&*spool, &recipient.address, account, now) {
                Ok(Some(entry)) => listed.push((place, entry.sentence())),
                Ok(None) => {}
                // The spool fails as a whole, and the relay with it: this is no time to withhold mail.
                Err(error) => tracing::error!(%error, "the suppression list cannot be read"),
            }
        }
        (!listed.is_empty()).then_some(listed)
    }

    /// Ends those; the others of the delivery go on.
    pub(super) async fn suppress(&self, mut ready: Ready, listed: ListedRecipients) {
        let changes = state::suppressed(&mut ready.delivery, &listed, self.queue.now());
        let verdicts = vec![None; changes.transitions.len()];
        let nothing = (None, Learned::default());
        self.write(ready, &changes, &verdicts, Context::default(), nothing).await;
    }

    /// What replies say of recipients goes to the list.
    pub(super) fn learn(
        &self,
        ready: &Ready,
        outcomes: &[Outcome],
        verdicts: &[Option<Verdict>],
        context: &Context,
    ) -> Learned {
        let rules = self.config.get().suppression.clone();
        let recipients = ready.recipients();
        let mut heard = heard(&recipients, outcomes, verdicts, context);
        heard.retain(|heard| rules.automatic || matches!(heard, Heard::Delivered(_)));
        let learned =
            self.suppressions.hear(&*self.queue.spool(), &heard, &rules, self.queue.now());
        let learned = learned.unwrap_or_else(|error| {
            tracing::error!(%error, "what a server says of a recipient cannot be counted");
            Learned::default()
        });
        for _ in &learned.entries {
            CHANGES.count(&["reply"]);
        }
        learned
    }

    /// Puts entries on the list, all or none: on disk when it returns.
    pub async fn add_suppressions(&self, entries: &[Entry]) -> Result<(), NotDone> {
        let added: Result<Vec<Operation>, _> =
            entries.iter().map(|entry| self.suppressions.add(entry)).collect();
        let mut operations = added.map_err(|full| NotDone::Refused(full.to_string()))?;
        for entry in entries {
            operations.extend(event_index::operations(&self.told_of(entry, None)));
            CHANGES.count(&["order"]);
        }
        self.commit(operations).await
    }

    /// Takes entries off the list, all or none: on disk when it returns.
    pub async fn remove_suppressions(&self, entries: &[Entry], who: &str) -> Result<(), NotDone> {
        let mut operations = Vec::new();
        for entry in entries {
            operations.extend(self.suppressions.remove(entry));
            let mut event = self.about(entry, "removed");
            event.detail = Some(format!("taken off by {who}"));
            operations.extend(event_index::operations(&event));
            CHANGES.count(&["removed"]);
        }
        self.commit(operations).await
    }

    /// The list, for those who read it.
    pub fn suppressions(&self) -> &Suppressions {
        &self.suppressions
    }

    /// Lets go of what is over, from a key on; returns where to look next.
    pub(super) async fn sweep_suppressions(&self, from: Vec<u8>) -> Result<Vec<u8>, String> {
        let (spool, now) = (self.queue.spool(), self.queue.now());
        let me = self.me.upgrade().ok_or("the relay is stopping")?;
        let reader = Arc::clone(&spool);
        let looked = off_thread(&*spool, move || me.suppressions.sweep(&*reader, &from, now)).await;
        let (operations, next) = looked.flatten().map_err(|error| error.to_string())?;
        for _ in &operations {
            CHANGES.count(&["over"]);
        }
        if !operations.is_empty() {
            self.queue.write_state(operations).map_err(|error| error.to_string())?;
        }
        Ok(next.unwrap_or_default())
    }

    /// The event that tells of a new entry. `because` of this message, where a server said so.
    pub(super) fn told_of(&self, entry: &Entry, because: Option<&Message>) -> Event {
        let mut event = self.about(entry, "added");
        if let Some(message) = because {
            let told = Event::of_message(event.id, event.kind, message);
            event = Event { recipient: event.recipient, decision: event.decision, ..told };
        }
        event.rule.clone_from(&entry.rule);
        event.detail = Some(match (&entry.who, entry.cause) {
            (Some(who), _) => format!("{who}: {}", entry.why),
            (None, Cause::Reply) => format!("a server said: {}", entry.why),
            (None, Cause::Order) => entry.why.clone(),
        });
        event
    }

    fn about(&self, entry: &Entry, decision: &str) -> Event {
        let mut event = Event::new(self.queue.next_id(), EventKind::Suppression);
        event.recipient = Some(entry.subject.to_string());
        event.account.clone_from(&entry.account);
        event.decision = Some(decision.to_owned());
        event
    }

    async fn commit(&self, operations: Vec<Operation>) -> Result<(), NotDone> {
        let written = self.queue.commit_state(operations).await;
        written.map_err(|error| NotDone::NotWritten(error.to_string()))
    }

    pub(super) fn measure_suppressions(&self) {
        metrics::set(&LISTED, self.suppressions.len());
    }
}

/// What the outcomes of recipients, in their order, say about them.
fn heard<'a>(
    recipients: &[&'a Recipient],
    outcomes: &'a [Outcome],
    verdicts: &'a [Option<Verdict>],
    context: &Context,
) -> Vec<Heard<'a>> {
    let alone = recipients.len() == 1;
    let mut heard = Vec::with_capacity(outcomes.len());
    for ((recipient, outcome), verdict) in recipients.iter().zip(outcomes).zip(verdicts) {
        let failure = match outcome {
            Outcome::Delivered(_) => {
                heard.push(Heard::Delivered(&recipient.address));
                continue;
            }
            Outcome::Failed(failure) => failure,
        };
        let Some(verdict) = verdict else { continue };
        let Some(action) = verdict.actions.iter().find(|action| action.suppresses()) else {
            continue;
        };
        // After RCPT a reply is about the transaction, not about one of several in it.
        if !alone && failure.phase != Some(Phase::Rcpt) {
            continue;
        }
        let subject = if verdict.scope.contains(&Blame::Recipient) {
            Subject::of(&recipient.address)
        } else if context.provider.is_none() && !context.smarthost {
            Subject::of_domain(recipient.address.domain())
        } else {
            // A provider is there, whatever one of its hosts says; and a smarthost speaks for others.
            continue;
        };
        let (rule, reply) = (&*verdict.rule, &*failure.reply.text);
        heard.push(Heard::Refused { subject, action: *action, rule, reply });
    }
    heard
}

#[cfg(test)]
mod tests {
    use relay_config::responses::Classifier;

    use super::*;
    use crate::message::{
        Address, Failure, Fault, RecipientParameters, RecipientState, Reply, Retry, Scope,
    };
    use crate::outcome;

    fn check(
        to: &[&str],
        (phase, said): (Phase, &str),
        (provider, smarthost): (Option<&str>, bool),
        expected: &[&str],
    ) {
        let recipient = |to: &&str| Recipient {
            address: Address::parse(to).unwrap(),
            parameters: RecipientParameters::default(),
            state: RecipientState::Queued,
            personal: None,
        };
        let recipients: Vec<Recipient> = to.iter().map(recipient).collect();
        let (code, rest) = said.split_once(' ').unwrap();
        let failure = Failure {
            scope: Scope::Recipient,
            fault: Fault::Peer,
            retry: Retry::Never,
            reply: Reply::from_lines(code.parse().unwrap(), std::iter::once(rest)),
            phase: Some(phase),
            cause: String::new(),
        };
        let outcomes = vec![Outcome::Failed(failure); to.len()];
        let verdicts = outcome::verdicts(&Classifier::builtin(), &outcomes, provider);
        let provider = provider.map(str::to_owned);
        let context = Context { provider, smarthost, ..Context::default() };
        let recipients: Vec<&Recipient> = recipients.iter().collect();
        let found: Vec<String> = heard(&recipients, &outcomes, &verdicts, &context)
            .iter()
            .map(|heard| match heard {
                Heard::Refused { subject, .. } => subject.to_string(),
                Heard::Delivered(address) => panic!("{address} was not delivered to"),
            })
            .collect();
        assert_eq!(found, expected, "{said} {phase:?}");
    }

    #[test]
    fn a_reply_is_believed_of_whom_it_can_be_about() {
        let (one, two) = (["Eva@x.pe"], ["eva@x.pe", "leo@x.pe"]);
        let (unknown, no_mail) = ("550 5.1.1 no such user", "556 5.1.10 does not accept mail");
        let nobody = (None, false);
        check(&one, (Phase::Rcpt, unknown), nobody, &["eva@x.pe"]);
        check(&two, (Phase::Rcpt, unknown), nobody, &["eva@x.pe", "leo@x.pe"]);
        check(&one, (Phase::Data, unknown), nobody, &["eva@x.pe"]);
        check(&two, (Phase::Data, unknown), nobody, &[]);
        check(&one, (Phase::Mail, unknown), nobody, &[]);
        check(&one, (Phase::Rcpt, "450 5.1.1 no such user"), nobody, &[]);
        check(&one, (Phase::Rcpt, "550 5.7.1 blocked"), nobody, &[]);
        check(&one, (Phase::Rcpt, no_mail), nobody, &["@x.pe"]);
        check(&one, (Phase::Rcpt, no_mail), (Some("google"), false), &[]);
        check(&one, (Phase::Rcpt, no_mail), (None, true), &[]);
        check(&one, (Phase::Rcpt, unknown), (None, true), &["eva@x.pe"]);
    }
}
