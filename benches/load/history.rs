//! Thirty days that a relay may have behind it: events of messages that were accepted, put off, delivered and refused, hour
//! by hour, written through the queue as the relay writes them, with ids of their time. What adds events up has added
//! them up when it returns, as at a relay that ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mta::current::Current;
use mta::message::{Event, EventKind, Timestamp};
use mta::outcome::tally::Tallies;
use mta::outside::WallClock;
use mta::outside::real::SystemClock;
use mta::queue::Queue;
use relay_config::Config;

/// Whose mail it was, with how many of a hundred messages go there.
const PROVIDERS: [(&str, usize); 6] = [
    ("google", 50),
    ("outlook-consumer", 25),
    ("yahoo", 8),
    ("office365", 7),
    ("apple", 2),
    ("", 8),
];
/// Sources that sent it.
pub const SOURCES: usize = 18;
/// Campaigns that it was of, a day each.
const CAMPAIGNS: u64 = 30;
/// Events of a message: accepted, put off now and then, and its end; in thirds.
const EVENTS_OF_SEVEN: usize = 15;

/// A clock that can be set; until it is, and when it is set to nothing, it goes with the world.
#[derive(Default)]
pub struct SetClock(AtomicU64);

impl SetClock {
    /// It stands at this time.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::Relaxed);
    }

    /// It goes.
    pub fn go(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl WallClock for SetClock {
    fn now(&self) -> Timestamp {
        match self.0.load(Ordering::Relaxed) {
            0 => SystemClock.now(),
            set => Timestamp::from_millis(set),
        }
    }
}

/// About so many events, over so many days until now.
pub async fn write(queue: &Queue, clock: &SetClock, events: usize, days: u64) {
    let end = SystemClock.now();
    let hours = days * 24;
    let messages = events * 7 / EVENTS_OF_SEVEN / usize::try_from(hours).unwrap();
    let mut number = 0;
    for hour in 0..hours {
        let begins = end.before(Duration::from_hours(hours - hour));
        for message in 0..messages {
            let millis = 3_600_000 * message / messages;
            let at = begins.after(Duration::from_millis(u64::try_from(millis).unwrap()));
            clock.set(at);
            number += 1;
            queue.record(&of_message(queue, number, hour / 24)).unwrap();
        }
        queue.barrier().await.unwrap();
    }
    clock.go();
}

/// All events up to now are added up.
pub async fn add_up(queue: &Arc<Queue>, config: Config) {
    let tallies = Tallies::new(Arc::clone(queue), Arc::new(Current::new(config)));
    tallies.follow(queue.next_id()).await.unwrap();
}

/// One of seven is put off once, one of fifty is refused, the others are delivered.
fn of_message(queue: &Queue, number: usize, day: u64) -> Vec<Event> {
    let id = queue.next_id();
    let provider = provider(number * 37 % 100);
    let domain = if provider.is_empty() { "small.example" } else { "large.example" };
    let event = |kind: EventKind| {
        let mut event =
            Event::new(if kind == EventKind::Accepted { id } else { queue.next_id() }, kind);
        event.message = Some(id);
        event.message_id = Some(format!("h{number}@client.example"));
        event.listener = Some("relay".to_owned());
        event.account = Some("relay".to_owned());
        event.tags = vec![format!("campaign-{}", day % CAMPAIGNS)];
        event.sender = Some("load@client.example".to_owned());
        event.recipient = Some(format!("h{number}@{domain}"));
        event
    };
    let attempt = |kind: EventKind, code: u16, reply: &str| {
        let mut event = event(kind);
        event.pool = Some("bulk".to_owned());
        event.source = Some(source(number % SOURCES));
        event.site = Some(if provider.is_empty() { domain } else { provider }.to_owned());
        event.provider = (!provider.is_empty()).then(|| provider.to_owned());
        event.mx = Some(format!("mx.{domain}"));
        event.code = Some(code);
        event.reply = Some(reply.to_owned());
        event.size = Some(2_048);
        event.seconds = Some(2.0);
        event
    };
    let mut events = vec![event(EventKind::Accepted)];
    if number.is_multiple_of(7) {
        let mut event = attempt(EventKind::Deferred, 450, "4.7.1 Greylisted, please try again");
        event.category = Some("greylist".to_owned());
        events.push(event);
    }
    if number.is_multiple_of(50) {
        let mut event = attempt(EventKind::Bounced, 550, "5.1.1 No such user here");
        event.category = Some("bad-mailbox".to_owned());
        event.rule = Some("D10".to_owned());
        events.push(event);
    } else {
        events.push(attempt(EventKind::Delivered, 250, "2.0.0 Ok"));
    }
    events
}

/// The name of a source by its number.
pub fn source(number: usize) -> String {
    format!("ip-{:02}", number + 1)
}

fn provider(percent: usize) -> &'static str {
    let mut below = 0;
    for (name, share) in PROVIDERS {
        below += share;
        if percent < below {
            return name;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_their_shares() {
        let google = (0..100).filter(|percent| provider(*percent) == "google").count();
        assert_eq!((google, provider(99)), (50, ""));
        assert_eq!(PROVIDERS.iter().map(|it| it.1).sum::<usize>(), 100);
    }
}
