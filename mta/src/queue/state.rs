//! The states of a recipient and what moves it from one to the next. Nobody else does.
//!
//! | from | what happens | to |
//! | --- | --- | --- |
//! | Queued | a peer took responsibility | Delivered |
//! | Queued | refused, and no retry can help | Bounced |
//! | Queued | an operator gives it up | Bounced |
//! | Queued | it is older than `expire_after` | Expired |
//! | Queued | it is on the suppression list | Suppressed |
//! | Queued | anything else | Queued, tried again |

use rand::rngs::StdRng;
use relay_config::responses::Mail;

use crate::message::{
    Attempt, Delivery, EnhancedCode, Failure, Fault, Outcome, RecipientState, Reply, Retry, Scope,
    Timestamp,
};

use super::schedule::{Schedule, hint};

/// What became of a delivery; its caller writes it together with the events that explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// One for each recipient that was waiting.
    pub transitions: Vec<Transition>,
    /// When the rest is tried again; `None`: nothing is left.
    pub next: Option<Timestamp>,
}

/// A recipient that was waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Its place in the delivery.
    pub recipient: usize,
    /// What it is now.
    pub state: RecipientState,
    /// Why.
    pub outcome: Outcome,
}

/// Whom an attempt was made through, for people who ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Through {
    /// Name of the source.
    pub source: Option<String>,
    /// Host that was spoken to.
    pub mx: Option<String>,
    /// The connection had carried enough, and another takes more.
    pub spent: bool,
}

/// An attempt has ended: `outcomes` are those of the waiting recipients, in their order, and `means` what the
/// replies of peers among them mean for the mail. Those beyond were not begun, because the
/// connection had carried all that it may: they go on at once.
pub fn attempted(
    delivery: &mut Delivery,
    outcomes: Vec<Outcome>,
    means: &[Option<Mail>],
    through: Through,
    schedule: &Schedule,
    now: Timestamp,
    random: &mut StdRng,
) -> Changes {
    let not_before = means.iter().filter_map(|it| match it {
        Some(Mail::Retry(after)) => *after,
        _ => None,
    });
    let not_before = not_before.max().map(|after| now.after(after));
    let hint = hint(&outcomes);
    let not_begun = waiting(delivery).count() > outcomes.len();
    let mut means = means.iter().copied().chain(std::iter::repeat(None));
    let mut only_at_once = true;
    let changes = change(delivery, outcomes, |outcome| {
        let means = means.next().flatten();
        let state = match outcome {
            Outcome::Delivered(_) => RecipientState::Delivered,
            Outcome::Failed(failure) => becomes(failure, means),
        };
        only_at_once &= state != RecipientState::Queued || means == Some(Mail::AtOnce);
        state
    });
    let waiting = changes.iter().find(|change| change.state == RecipientState::Queued);
    // So many at a time, said the server: it was no failed attempt, if it took some.
    let progress = through.spent || changes.iter().any(|it| it.state == RecipientState::Delivered);
    let at_once = progress && only_at_once;
    let was_attempt = if waiting.is_some() { !at_once } else { !not_begun };
    if was_attempt {
        delivery.attempts = delivery.attempts.saturating_add(1);
    }
    let next = match waiting {
        Some(_) if at_once => Some(now),
        Some(_) => {
            let next = schedule.next(delivery.attempts, hint, now, random);
            Some(not_before.map_or(next, |earliest| earliest.max(next)))
        }
        None => not_begun.then_some(now),
    };
    if let Some(Transition { outcome: Outcome::Failed(failure), .. }) = waiting {
        delivery.last = Some(Attempt {
            time: now,
            source: through.source,
            mx: through.mx,
            reply: failure.reply.clone(),
        });
    }
    if let Some(next) = next {
        delivery.due = next;
    }
    Changes { transitions: changes, next }
}

/// What a failure makes of a recipient. A peer's reply is read for what it blames: a 5xx that blames the source
/// has not judged the recipient (design, invariant 8); what we say ourselves means what it says.
fn becomes(failure: &Failure, means: Option<Mail>) -> RecipientState {
    let ends = match means.filter(|_| failure.phase.is_some()) {
        Some(mail) => mail == Mail::Fail,
        None => failure.retry == Retry::Never,
    };
    if ends { RecipientState::Bounced } else { RecipientState::Queued }
}

/// Its time is over: what waits is given up. The last reply of a peer says why.
pub fn expired(delivery: &mut Delivery) -> Changes {
    let last = delivery.last.as_ref().map(|attempt| attempt.reply.to_string());
    let cause = last.map_or_else(
        || "it could not be attempted in time".to_owned(),
        |last| format!("time is over; the last answer was: {last}"),
    );
    give_up(delivery, RecipientState::Expired, EnhancedCode::new(5, 4, 7), &cause)
}

/// An operator gives up what waits.
pub fn bounced_by_operator(delivery: &mut Delivery, why: &str) -> Changes {
    // It goes into notices: one line, whatever was typed.
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let cause = format!("removed by the administrator: {why}");
    give_up(delivery, RecipientState::Bounced, EnhancedCode::new(5, 7, 1), &cause)
}

/// Some of those that wait are on the suppression list: their places in the delivery, each with the reason. The
/// others go on at once.
pub fn suppressed(delivery: &mut Delivery, listed: &[(usize, String)], now: Timestamp) -> Changes {
    let mut transitions = Vec::with_capacity(listed.len());
    for (place, why) in listed {
        let Some(recipient) = delivery.recipients.get_mut(*place) else { continue };
        if recipient.state == RecipientState::Queued {
            recipient.state = RecipientState::Suppressed;
            let outcome = Outcome::Failed(given_up(EnhancedCode::new(5, 7, 1), why));
            let (recipient, state) = (*place, RecipientState::Suppressed);
            transitions.push(Transition { recipient, state, outcome });
        }
    }
    let next = waiting(delivery).next().map(|_| now);
    if let Some(next) = next {
        delivery.due = next;
    }
    Changes { transitions, next }
}

fn give_up(
    delivery: &mut Delivery,
    state: RecipientState,
    code: EnhancedCode,
    cause: &str,
) -> Changes {
    let failure = given_up(code, cause);
    let count = waiting(delivery).count();
    let transitions = change(delivery, vec![Outcome::Failed(failure); count], |_| state);
    Changes { transitions, next: None }
}

fn given_up(code: EnhancedCode, cause: &str) -> Failure {
    Failure {
        scope: Scope::Message,
        fault: Fault::Policy,
        retry: Retry::Never,
        reply: Reply::new(550, code, cause),
        phase: None,
        cause: cause.to_owned(),
    }
}

/// Places of the recipients that still wait.
pub fn waiting(delivery: &Delivery) -> impl Iterator<Item = usize> {
    delivery
        .recipients
        .iter()
        .enumerate()
        .filter(|(_, recipient)| recipient.state == RecipientState::Queued)
        .map(|(place, _)| place)
}

fn change(
    delivery: &mut Delivery,
    outcomes: Vec<Outcome>,
    mut becomes: impl FnMut(&Outcome) -> RecipientState,
) -> Vec<Transition> {
    let places: Vec<usize> = waiting(delivery).collect();
    assert!(outcomes.len() <= places.len(), "outcomes are those of recipients that wait");
    let mut transitions = Vec::with_capacity(places.len());
    for (place, outcome) in places.into_iter().zip(outcomes) {
        let state = becomes(&outcome);
        if let Some(recipient) = delivery.recipients.get_mut(place) {
            recipient.state = state;
        }
        transitions.push(Transition { recipient: place, state, outcome });
    }
    transitions
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;

    use super::*;
    use crate::message::{Address, DeliveryId, Id, Lane, Priority, Recipient, RecipientParameters};

    fn delivery(recipients: usize) -> Delivery {
        Delivery {
            id: DeliveryId { message: Id::ZERO, number: 0 },
            domain: "x.pe".to_owned(),
            lane: Lane { priority: Priority::default(), account: 0, tag: 0 },
            recipients: (0..recipients)
                .map(|n| Recipient {
                    address: Address::parse(&format!("r{n}@x.pe")).unwrap(),
                    parameters: RecipientParameters::default(),
                    state: RecipientState::Queued,
                    personal: None,
                })
                .collect(),
            due: Timestamp::default(),
            attempts: 0,
            last: None,
            hold: None,
            pool: None,
        }
    }

    fn failed(retry: Retry) -> Outcome {
        Outcome::Failed(Failure {
            scope: Scope::Recipient,
            fault: Fault::Peer,
            retry,
            reply: Reply::new(450, EnhancedCode::new(4, 2, 1), "later"),
            phase: None,
            cause: "later".to_owned(),
        })
    }

    fn delivered() -> Outcome {
        Outcome::Delivered(Reply::new(250, EnhancedCode::new(2, 0, 0), "ok"))
    }

    fn attempt(delivery: &mut Delivery, outcomes: Vec<Outcome>) -> Changes {
        let schedule = Schedule { delays: vec![Duration::from_mins(5)], jitter: 0.0 };
        let now = Timestamp::from_millis(1000);
        let mut random = StdRng::seed_from_u64(1);
        attempted(delivery, outcomes, &[], Through::default(), &schedule, now, &mut random)
    }

    #[test]
    fn each_recipient_goes_its_own_way() {
        use RecipientState::{Bounced, Delivered, Expired, Queued};
        let mut delivery = delivery(4);
        let outcomes = vec![
            delivered(),
            failed(Retry::Never),
            failed(Retry::Later(None)),
            failed(Retry::NextHost),
        ];
        let changes = attempt(&mut delivery, outcomes);
        let states: Vec<_> = delivery.recipients.iter().map(|r| r.state).collect();
        assert_eq!(states, [Delivered, Bounced, Queued, Queued]);
        assert_eq!(changes.next, Some(Timestamp::from_millis(301_000)));
        assert_eq!(delivery.due, Timestamp::from_millis(301_000));
        assert_eq!(delivery.attempts, 1);

        let changes = attempt(&mut delivery, vec![delivered(), failed(Retry::Later(None))]);
        let places: Vec<_> = changes.transitions.iter().map(|t| t.recipient).collect();
        assert_eq!(places, [2, 3], "those that are final are not attempted again");

        let changes = expired(&mut delivery);
        let states: Vec<_> = delivery.recipients.iter().map(|r| r.state).collect();
        assert_eq!(states, [Delivered, Bounced, Delivered, Expired]);
        assert_eq!(changes.next, None);
        assert_eq!(expired(&mut delivery).transitions, [], "a final state stays");
    }

    #[test]
    fn those_not_begun_go_on_at_once_unless_others_must_wait() {
        let mut fine = delivery(3);
        let changes = attempt(&mut fine, vec![delivered(), failed(Retry::Never)]);
        assert_eq!(changes.next, Some(Timestamp::from_millis(1000)));
        assert_eq!((changes.transitions.len(), fine.attempts), (2, 0));
        assert_eq!(fine.recipients[2].state, RecipientState::Queued);

        let mut deferred = delivery(3);
        let changes = attempt(&mut deferred, vec![delivered(), failed(Retry::Later(None))]);
        assert_eq!(changes.next, Some(Timestamp::from_millis(301_000)));
        assert_eq!(deferred.attempts, 1);
    }

    #[test]
    fn what_a_server_takes_only_so_much_of_goes_on_at_once_if_it_took_some() {
        let schedule = Schedule { delays: vec![Duration::from_mins(5)], jitter: 0.0 };
        let now = Timestamp::from_millis(1000);
        let check = |outcomes: Vec<Outcome>, means: &[Option<Mail>], spent, expected| {
            let mut all = delivery(outcomes.len());
            let through = Through { spent, ..Through::default() };
            let mut random = StdRng::seed_from_u64(1);
            let changes =
                attempted(&mut all, outcomes, means, through, &schedule, now, &mut random);
            let next = changes.next.map(|next| next.since(now));
            assert_eq!((next, all.attempts), expected);
        };
        let later = || failed(Retry::Later(None));
        let schedule = (Some(Duration::from_mins(5)), 1);
        let (at_once, ordinary) = (Some(Mail::AtOnce), Some(Mail::Retry(None)));
        check(vec![delivered(), later()], &[None, at_once], false, (Some(Duration::ZERO), 0));
        check(vec![later()], &[at_once], true, (Some(Duration::ZERO), 0));
        check(vec![later(), later()], &[at_once, at_once], false, schedule);
        check(vec![delivered(), later(), later()], &[None, at_once, ordinary], false, schedule);
        check(vec![delivered(), later(), later()], &[None, at_once, None], false, schedule);
        check(vec![delivered(), failed(Retry::Never)], &[None, None], false, (None, 1));
    }

    #[test]
    fn a_refusal_that_blames_the_source_keeps_the_recipient() {
        use RecipientState::{Bounced, Queued};
        let schedule = Schedule { delays: vec![Duration::from_mins(5)], jitter: 0.0 };
        let mut random = StdRng::seed_from_u64(1);
        let said = |phase| {
            let Outcome::Failed(failure) = failed(Retry::Never) else { unreachable!() };
            Outcome::Failed(Failure { phase, ..failure })
        };
        let peer = Some(relay_config::responses::Phase::Rcpt);
        let mut all = delivery(4);
        let outcomes = vec![said(peer), said(peer), said(None), said(peer)];
        let hour = Duration::from_hours(1);
        let means =
            [Some(Mail::Wait), Some(Mail::Fail), Some(Mail::Wait), Some(Mail::Retry(Some(hour)))];
        let now = Timestamp::from_millis(1000);
        let changes =
            attempted(&mut all, outcomes, &means, Through::default(), &schedule, now, &mut random);
        let states: Vec<_> = all.recipients.iter().map(|r| r.state).collect();
        assert_eq!(states, [Queued, Bounced, Bounced, Queued], "what we say ourselves stands");
        assert_eq!(changes.next, Some(now.after(hour)));
    }

    #[test]
    fn who_is_suppressed_ends_and_the_others_go_on_at_once() {
        use RecipientState::{Queued, Suppressed};
        let mut all = delivery(3);
        let now = Timestamp::from_millis(1000);
        let why = |place| (place, "on the list".to_owned());
        let changes = suppressed(&mut all, &[why(0), why(2)], now);
        let states: Vec<_> = all.recipients.iter().map(|r| r.state).collect();
        assert_eq!(states, [Suppressed, Queued, Suppressed]);
        assert_eq!((changes.transitions.len(), changes.next, all.attempts), (2, Some(now), 0));
        let changes = suppressed(&mut all, &[why(0), why(1)], now);
        assert_eq!(changes.next, None);
        let places: Vec<_> = changes.transitions.iter().map(|it| it.recipient).collect();
        assert_eq!(places, [1], "a final state stays");
    }

    #[test]
    fn nothing_is_tried_again_when_nothing_waits() {
        let mut delivery = delivery(2);
        let changes = attempt(&mut delivery, vec![delivered(), failed(Retry::Never)]);
        assert_eq!(changes.next, None);
    }
}
