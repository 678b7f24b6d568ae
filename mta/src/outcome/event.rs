//! Events of the recipients of a delivery.

use relay_config::responses::Verdict;

use crate::message::{
    Delivery, Event, EventKind, Id, Message, Outcome, RecipientState, Reply, Timestamp,
};
use crate::metrics::Through;
use crate::queue::state::{Changes, Transition};

/// How an attempt was made; empty where none was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Where the mail really goes.
    pub site: Option<String>,
    /// Provider that the site belongs to.
    pub provider: Option<String>,
    /// Host that was spoken to.
    pub mx: Option<String>,
    /// Source that was used.
    pub source: Option<String>,
    /// Pool it stands in.
    pub pool: Option<String>,
    /// Protocol and cipher suite, `none` in clear.
    pub tls: Option<String>,
    /// The server offers DSN (RFC 3461): what senders asked to be told was passed on to it.
    pub dsn: bool,
    /// The connection had carried enough, and another takes more.
    pub spent: bool,
    /// The host carries mail for others: what it says of their domains is hearsay.
    pub smarthost: bool,
    /// How all this is counted, where it is known beforehand.
    pub counted: Option<Through>,
}

/// One event for each recipient that was waiting. `verdicts` are those of the transitions, in their
/// order. `ids` gives out event ids.
pub fn events(
    delivery: &Delivery,
    message: &Message,
    changes: &Changes,
    verdicts: &[Option<Verdict>],
    context: &Context,
    now: Timestamp,
    mut ids: impl FnMut() -> Id,
) -> Vec<Event> {
    let transitions = changes.transitions.iter().enumerate();
    transitions
        .filter_map(|(place, transition)| {
            let recipient = delivery.recipients.get(transition.recipient)?;
            let mut event = Event::of_message(ids(), kind(transition), message);
            event.pool = context.pool.clone().or(event.pool);
            event.recipient = Some(recipient.address.to_string());
            event.site.clone_from(&context.site);
            event.provider.clone_from(&context.provider);
            event.mx.clone_from(&context.mx);
            event.source.clone_from(&context.source);
            event.tls.clone_from(&context.tls);
            event.attempt = Some(delivery.attempts);
            event.size = Some(message.size());
            event.seconds = Some(now.since(message.begins()).as_secs_f64());
            describe(&mut event, transition, changes.next);
            if let Some(Some(verdict)) = verdicts.get(place) {
                event.rule = Some(verdict.rule.to_string());
                event.category = Some(verdict.category.to_string());
            }
            Some(event)
        })
        .collect()
}

fn kind(transition: &Transition) -> EventKind {
    match transition.state {
        RecipientState::Queued => EventKind::Deferred,
        RecipientState::Delivered => EventKind::Delivered,
        RecipientState::Bounced => EventKind::Bounced,
        RecipientState::Expired => EventKind::Expired,
        RecipientState::Suppressed => EventKind::Suppressed,
    }
}

fn describe(event: &mut Event, transition: &Transition, next: Option<Timestamp>) {
    match &transition.outcome {
        Outcome::Delivered(reply) => take_reply(event, reply),
        Outcome::Failed(failure) => {
            take_reply(event, &failure.reply);
            event.detail = Some(failure.cause.clone());
            if transition.state == RecipientState::Queued {
                event.next_attempt = next.map(Timestamp::to_rfc3339);
            }
        }
    }
}

fn take_reply(event: &mut Event, reply: &Reply) {
    event.code = Some(reply.code);
    event.enhanced = reply.enhanced.map(|code| code.to_string());
    event.reply = Some(reply.text.clone());
}
