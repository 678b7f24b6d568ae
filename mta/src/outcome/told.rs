//! What a sender is told of, and what not (RFC 3461 sections 4.1 and 5.2): a recipient that failed,
//! one that is late, one that was handed to a server that tells nothing more.

use crate::message::{
    Address, Delivery, Notify, OriginalRecipient, Outcome, Recipient, RecipientState, Reply,
    Timestamp,
};
use crate::queue::state::{self, Changes};

/// One recipient in a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub recipient: Address,
    /// As the sender first wrote it, when it said so.
    pub original: Option<OriginalRecipient>,
    /// What happened.
    pub what: What,
    /// What was answered, by the server or by us.
    pub reply: Option<Reply>,
    /// Why, in our words.
    pub cause: String,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was refused for good, or given up by an operator.
    Failed,
    /// Its time was over.
    Expired,
    /// Nothing is sent to it: it is on the suppression list.
    Suppressed,
    /// It is still tried, until then.
    Delayed(Timestamp),
    /// It was handed to a server that does not offer DSN: nothing more will be heard of it.
    Relayed,
}

impl What {
    /// Whether it will never be delivered.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Expired | Self::Suppressed)
    }
}

impl Told {
    /// Of what these changes did, that which the sender wants to hear. `passed_on`: the server
    /// offers DSN, so that success is told by whoever delivers it.
    pub fn of_changes(delivery: &Delivery, changes: &Changes, passed_on: bool) -> Vec<Self> {
        let transitions = changes.transitions.iter();
        transitions
            .filter_map(|transition| {
                let recipient = delivery.recipients.get(transition.recipient)?;
                let notify = recipient.parameters.notify;
                let what = match transition.state {
                    RecipientState::Bounced if wants_failure(notify) => What::Failed,
                    RecipientState::Expired if wants_failure(notify) => What::Expired,
                    RecipientState::Suppressed if wants_failure(notify) => What::Suppressed,
                    RecipientState::Delivered if wants_success(notify) && !passed_on => {
                        What::Relayed
                    }
                    _ => return None,
                };
                let (reply, cause) = match &transition.outcome {
                    Outcome::Delivered(reply) => (reply, String::new()),
                    Outcome::Failed(failure) => (&failure.reply, failure.cause.clone()),
                };
                Some(Self::new(recipient, what, Some(reply.clone()), cause))
            })
            .collect()
    }

    /// Those of a delivery that wait still, and whose sender wants to hear that they are late.
    pub fn of_delay(delivery: &Delivery, until: Timestamp) -> Vec<Self> {
        let last = delivery.last.as_ref().map(|attempt| attempt.reply.clone());
        state::waiting(delivery)
            .filter_map(|place| delivery.recipients.get(place))
            .filter(|recipient| wants_delay(recipient.parameters.notify))
            .map(|it| Self::new(it, What::Delayed(until), last.clone(), String::new()))
            .collect()
    }

    fn new(recipient: &Recipient, what: What, reply: Option<Reply>, cause: String) -> Self {
        Self {
            recipient: recipient.address.clone(),
            original: recipient.parameters.original.clone(),
            what,
            reply,
            cause,
        }
    }
}

/// Who says nothing hears of failures …
fn wants_failure(notify: Option<Notify>) -> bool {
    notify.is_none_or(|notify| notify.failure)
}

/// … and of delays, which RFC 3461 section 4.1 leaves to us …
fn wants_delay(notify: Option<Notify>) -> bool {
    notify.is_none_or(|notify| notify.delay)
}

/// … but of success only who asks.
fn wants_success(notify: Option<Notify>) -> bool {
    notify.is_some_and(|notify| notify.success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{
        DeliveryId, EnhancedCode, Failure, Fault, Id, Lane, Priority, RecipientParameters, Retry,
        Scope,
    };
    use crate::queue::state::Transition;

    fn delivery(notify: Option<&str>, state: RecipientState) -> Delivery {
        Delivery {
            id: DeliveryId { message: Id::ZERO, number: 0 },
            domain: "x.pe".to_owned(),
            lane: Lane { priority: Priority::default(), account: 0, tag: 0 },
            recipients: vec![Recipient {
                address: Address::parse("a@x.pe").unwrap(),
                parameters: RecipientParameters {
                    notify: notify.map(|value| Notify::parse(value).unwrap()),
                    original: None,
                },
                state,
                personal: None,
            }],
            due: Timestamp::default(),
            attempts: 1,
            last: None,
            hold: None,
            pool: None,
        }
    }

    fn check(notify: Option<&str>, state: RecipientState, passed_on: bool, expected: Option<What>) {
        let outcome = if state == RecipientState::Delivered {
            Outcome::Delivered(Reply::new(250, EnhancedCode::new(2, 0, 0), "ok"))
        } else {
            Outcome::Failed(Failure {
                scope: Scope::Recipient,
                fault: Fault::Peer,
                retry: Retry::Never,
                reply: Reply::new(550, EnhancedCode::new(5, 1, 1), "no"),
                phase: None,
                cause: "no".to_owned(),
            })
        };
        let transitions = vec![Transition { recipient: 0, state, outcome }];
        let changes = Changes { transitions, next: None };
        let told = Told::of_changes(&delivery(notify, state), &changes, passed_on);
        let what = told.first().map(|told| told.what);
        assert_eq!(what, expected, "{notify:?} {state:?} {passed_on}");
    }

    #[test]
    fn only_what_the_sender_wants_to_hear() {
        use RecipientState::{Bounced, Delivered, Expired, Queued, Suppressed};
        check(None, Bounced, false, Some(What::Failed));
        check(None, Expired, false, Some(What::Expired));
        check(None, Suppressed, false, Some(What::Suppressed));
        check(Some("NEVER"), Suppressed, false, None);
        check(None, Delivered, false, None);
        check(None, Queued, false, None);
        check(Some("NEVER"), Bounced, false, None);
        check(Some("NEVER"), Expired, false, None);
        check(Some("SUCCESS"), Bounced, false, None);
        check(Some("SUCCESS"), Delivered, false, Some(What::Relayed));
        check(Some("SUCCESS"), Delivered, true, None);
        check(Some("FAILURE"), Bounced, true, Some(What::Failed));
        check(Some("DELAY"), Bounced, false, None);
    }

    #[test]
    fn delay_is_told_of_what_waits() {
        use RecipientState::{Delivered, Queued};
        let until = Timestamp::from_millis(9);
        let count = |notify, state| Told::of_delay(&delivery(notify, state), until).len();
        assert_eq!(count(None, Queued), 1);
        assert_eq!(count(Some("DELAY"), Queued), 1);
        assert_eq!(count(Some("FAILURE"), Queued), 0);
        assert_eq!(count(Some("NEVER"), Queued), 0);
        assert_eq!(count(None, Delivered), 0);
    }
}
