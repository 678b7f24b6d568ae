//! Sums of events that are made up, on a spool in memory.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::message::{Event, EventKind};
use crate::queue::tests::World;
use crate::spool::{MemorySpool, event_index};

/// 2026-11-24, midnight in UTC.
const DAY: u64 = 1_795_478_400_000;
const HOUR: u64 = 3_600_000;

fn at(hours: u64) -> Timestamp {
    Timestamp::from_millis(DAY + hours * HOUR)
}

fn event(time: Timestamp, number: u64, kind: EventKind) -> Event {
    Event::new(Id::first_at(time).further(number), kind)
}

struct Book {
    spool: Arc<MemorySpool>,
    now: Timestamp,
}

impl Book {
    fn of(events: &[Event], now: Timestamp) -> Self {
        let book = Self { spool: Arc::new(MemorySpool::new()), now };
        book.keep(events);
        book.follow();
        book
    }

    fn keep(&self, events: &[Event]) {
        let operations: Vec<_> = events.iter().flat_map(event_index::operations).collect();
        self.spool.write(&operations).unwrap();
    }

    fn follow(&self) {
        loop {
            let looked = look(&*self.spool, Id::MAX, self.now, "bulk").unwrap();
            self.spool.write(&looked.operations).unwrap();
            if looked.count < BATCH {
                return;
            }
        }
    }

    fn asked(&self, step: Step, by: Option<By>, zone: &str) -> Vec<Tallied> {
        let zone = TimeZone::get(zone).unwrap();
        let asked = Asked { from: at(0), until: self.now, step, by, zone };
        tallied(&*self.spool, &asked).unwrap().unwrap()
    }

    /// Name and one of the sums.
    fn all(&self, by: By, of: fn(&Sums) -> u64) -> Vec<(String, u64)> {
        let rows = self.asked(Step::All, Some(by), "UTC").into_iter();
        rows.map(|row| (row.name, of(&row.sums))).filter(|(_, count)| *count > 0).collect()
    }
}

fn named(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn every_event_is_under_each_name_that_it_has() {
    let text = |text: &str| Some(text.to_owned());
    let mut accepted = event(at(1), 1, EventKind::Accepted);
    accepted.account = text("boletin");
    accepted.tags = vec!["a".to_owned(), "b".to_owned()];
    let mut delivered = accepted.clone();
    delivered.kind = EventKind::Delivered;
    delivered.id = Id::first_at(at(1)).further(2);
    (delivered.provider, delivered.source) = (text("google"), text("ip-01"));
    (delivered.site, delivered.pool) = (text("google"), text("slow"));
    (delivered.size, delivered.seconds) = (Some(500), Some(4.0));
    let mut bounced = delivered.clone();
    bounced.kind = EventKind::Bounced;
    bounced.id = Id::first_at(at(2)).further(3);
    (bounced.provider, bounced.category) = (None, text("recipient"));
    bounced.recipient = text("ana@Correo.PE");
    let mut suppressed = event(at(2), 4, EventKind::Suppressed);
    suppressed.site = None;
    let relay = event(at(2), 5, EventKind::Relay);
    let book = Book::of(&[accepted, delivered, bounced, suppressed, relay], at(3));
    let delivered: fn(&Sums) -> u64 = |sums| sums.delivered;
    let bounced: fn(&Sums) -> u64 = |sums| sums.bounced;
    let accepted: fn(&Sums) -> u64 = |sums| sums.accepted;
    assert_eq!(book.all(By::Provider, delivered), named(&[("google", 1)]));
    assert_eq!(book.all(By::Provider, |sums| sums.octets), named(&[("google", 500)]));
    assert_eq!(book.all(By::Provider, bounced), named(&[("other", 1)]));
    assert_eq!(book.all(By::Provider, |sums| sums.suppressed), named(&[("none", 1)]));
    assert_eq!(book.all(By::Provider, accepted), named(&[("none", 1)]));
    assert_eq!(book.all(By::Source, delivered), named(&[("ip-01", 1)]));
    assert_eq!(book.all(By::Pool, delivered), named(&[("slow", 1)]));
    assert_eq!(book.all(By::Pool, accepted), named(&[("bulk", 1)]));
    assert_eq!(book.all(By::Account, accepted), named(&[("boletin", 1)]));
    assert_eq!(book.all(By::Category, bounced), named(&[("recipient", 1)]));
    assert_eq!(book.all(By::Category, delivered), []);
    assert_eq!(book.all(By::Domain, bounced), named(&[("correo.pe", 1)]));
    assert_eq!(book.all(By::Domain, delivered), [], "of what came back only");
    assert_eq!(book.all(By::Tag, delivered), named(&[("a", 1), ("b", 1)]));
    assert_eq!(book.all(By::Tag, |sums| sums.suppressed), named(&[("none", 1)]));
    let rows = book.asked(Step::Hour, None, "UTC");
    let told: Vec<_> = rows.iter().map(|row| (row.from, row.sums.bounced)).collect();
    assert_eq!(told, [(at(1), 0), (at(2), 1)]);
    assert_eq!(rows[0].sums.within(0.5), Some(3.5));
    assert_eq!(book.asked(Step::Minute, Some(By::Provider), "UTC").len(), 4);
}

#[test]
fn a_day_turns_where_the_reader_is() {
    // 19:00 of the 23rd, then 0:00, 18:59 and 19:00 of the 24th in Lima.
    let times = [at(0), at(5), at(23), at(24)];
    let events: Vec<Event> =
        (0..).zip(times).map(|(n, time)| event(time, n, EventKind::Accepted)).collect();
    let book = Book::of(&events, at(30));
    let days = |zone: &str| {
        let rows = book.asked(Step::Day, None, zone).into_iter();
        rows.map(|row| (row.from, row.sums.accepted)).collect::<Vec<_>>()
    };
    assert_eq!(days("UTC"), [(at(0), 3), (at(24), 1)]);
    let before = Timestamp::from_millis(DAY - 19 * HOUR);
    assert_eq!(days("America/Lima"), [(before, 1), (at(5), 3)]);
}

#[test]
fn names_beyond_the_bound_are_added_up_together() {
    let mut events = Vec::new();
    for number in 0..600 {
        // A day has twenty-four hours to name tags in.
        let mut event = event(at(number / 300), number, EventKind::Accepted);
        event.account = Some(format!("a{number:03}"));
        event.tags = vec![format!("t{number:03}")];
        events.push(event);
    }
    let mut next_day = event(at(24), 1_000, EventKind::Accepted);
    next_day.tags = vec!["t999".to_owned()];
    events.push(next_day);
    let book = Book::of(&events, at(25));
    let accepted: fn(&Sums) -> u64 = |sums| sums.accepted;
    let accounts = book.all(By::Account, accepted);
    // 250 in each of two hours, and the one of the next day that has none.
    assert_eq!(accounts.len(), 502);
    assert!(accounts.contains(&("other".to_owned(), 100)), "{accounts:?}");
    let tags = book.all(By::Tag, accepted);
    assert_eq!(tags.len(), 202);
    assert!(tags.contains(&("other".to_owned(), 400)) && tags.contains(&("t999".to_owned(), 1)));
    assert_eq!(accounts.iter().map(|(_, count)| count).sum::<u64>(), 601);
}

#[test]
fn what_is_old_is_forgotten_and_not_added() {
    let old = event(at(0), 1, EventKind::Accepted);
    let book = Book::of(std::slice::from_ref(&old), at(1));
    assert_eq!(book.asked(Step::Minute, None, "UTC").len(), 1);
    let keys = |now: Timestamp| {
        let old = page::forget(&*book.spool, now).unwrap();
        old.len()
    };
    assert_eq!(keys(at(48)), 0);
    assert_eq!(keys(at(49)), 1, "the minute");
    assert_eq!(keys(at(400 * 24)), 1);
    assert_eq!(keys(at(400 * 24 + 1)), 2, "the hour too");
    // Found long afterwards, it is an hour, no minute.
    let late = Book::of(&[old], at(72));
    assert_eq!(late.asked(Step::Minute, None, "UTC"), []);
    assert_eq!(late.asked(Step::Hour, None, "UTC").len(), 1);
}

#[test]
fn too_many_rows_are_refused() {
    let events: Vec<Event> = (0..12_000)
        .map(|number| {
            let mut event = event(at(number / 100), number, EventKind::Accepted);
            event.account = Some(format!("a{number}"));
            event
        })
        .collect();
    let book = Book::of(&events, at(130));
    let zone = TimeZone::UTC;
    let by = Some(By::Account);
    let asked = Asked { from: at(0), until: book.now, step: Step::Hour, by, zone };
    assert_eq!(tallied(&*book.spool, &asked).unwrap(), Err(RowsExceeded));
    let fewer = Asked { until: at(90), ..asked };
    assert_eq!(tallied(&*book.spool, &fewer).unwrap().unwrap().len(), 9_000);
}

#[test]
fn several_questions_are_answered_as_each_alone_would_be() {
    let events: Vec<Event> = (0..300)
        .map(|number| {
            let mut event = event(at(number / 10), number, EventKind::Delivered);
            event.provider = Some(format!("p{}", number % 3));
            event.source = Some(format!("ip-{}", number % 4));
            event
        })
        .collect();
    let book = Book::of(&events, at(31));
    let asked = |from, until, step, by| Asked { from, until, step, by, zone: TimeZone::UTC };
    let questions = [
        asked(at(0), book.now, Step::All, None),
        asked(at(20), book.now, Step::Hour, Some(By::Source)),
        asked(at(5), at(12), Step::Day, Some(By::Provider)),
        asked(at(30), book.now, Step::Minute, None),
    ];
    let together = tallied_together(&*book.spool, &questions).unwrap().unwrap();
    for (question, rows) in questions.iter().zip(&together) {
        assert_eq!(rows, &tallied(&*book.spool, question).unwrap().unwrap(), "{question:?}");
    }
    let sums: Vec<u64> =
        together.iter().map(|rows| rows.iter().map(|row| row.sums.delivered).sum()).collect();
    assert_eq!(sums[..3], [300, 100, 120], "a day begins at its first hour");
}

/// Sums and place are one batch: whatever of the log a crash leaves, each event is counted once.
#[test]
fn a_crash_counts_nothing_twice_and_loses_nothing() {
    for kept in 0..4 {
        let events: Vec<Event> =
            (0..30).map(|number| event(at(1), number, EventKind::Delivered)).collect();
        let book = Book::of(&[], at(2));
        for some in events.chunks(10) {
            book.keep(some);
            book.spool.sync().unwrap();
            let looked = look(&*book.spool, Id::MAX, book.now, "bulk").unwrap();
            book.spool.write(&looked.operations).unwrap();
            book.spool.crash_keeping(|pending| kept.min(pending));
        }
        book.follow();
        book.follow();
        let rows = book.asked(Step::All, None, "UTC");
        assert_eq!(rows.iter().map(|row| row.sums.delivered).collect::<Vec<_>>(), [30]);
    }
}

#[tokio::test(start_paused = true)]
async fn it_follows_what_happens() {
    let world = World::new();
    let text = "[server]\nhostname = \"relay.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\n\
        tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"a\"\naddress = \"127.0.0.1\"\n\
        helo = \"m01.x.pe\"\n";
    let config = Arc::new(Current::new(relay_config::load(text, "x.toml").unwrap().config));
    let tallies = Arc::new(Tallies::new(Arc::clone(&world.queue), config));
    let id = world.accept("ana@x.pe").await;
    tallies.follow(Id::MAX).await.unwrap();
    tallies.follow(Id::MAX).await.unwrap();
    let (from, until) = (id.time(), id.time().after(Duration::from_secs(1)));
    let asked = Asked { from, until, step: Step::All, by: Some(By::Pool), zone: TimeZone::UTC };
    let rows = tallied(&*world.queue.spool(), &asked).unwrap().unwrap();
    assert_eq!((rows.len(), rows[0].sums.accepted), (1, 1), "{rows:?}");
}
