//! Webhooks against a server that takes, refuses, or stays away, with a paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use relay_config::webhooks::WebUrl;
use tokio::time::sleep;

use super::*;
use crate::message::{Event, EventKind};
use crate::queue::tests::World as Relay;

/// A server that refuses as long as it is told to.
#[derive(Default)]
struct Server {
    refuses: AtomicUsize,
    largest: AtomicUsize,
    asked: AtomicUsize,
    taken: Mutex<Vec<Vec<String>>>,
}

impl Server {
    fn refuse(&self, count: usize) {
        self.refuses.store(count, Ordering::Relaxed);
    }

    fn batches(&self) -> Vec<usize> {
        self.taken.lock().unwrap().iter().map(Vec::len).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.taken.lock().unwrap().concat()
    }
}

impl Courier for Server {
    fn post<'a>(
        &'a self,
        _webhook: &'a Webhook,
        body: Vec<u8>,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let events: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
            let largest = self.largest.load(Ordering::Relaxed);
            if largest > 0 && events.len() > largest {
                return Err(Refusal { too_large: true, ..Refusal::default() });
            }
            let left = self.refuses.load(Ordering::Relaxed);
            if left > 0 {
                self.refuses.store(left - 1, Ordering::Relaxed);
                return Err(Refusal { why: "it answered 500".to_owned(), ..Refusal::default() });
            }
            let ids = events.iter().map(|event| event["id"].as_str().unwrap().to_owned());
            self.taken.lock().unwrap().push(ids.collect());
            Ok(())
        })
    }
}

fn webhook(types: &[&str]) -> Arc<Webhook> {
    Arc::new(Webhook {
        name: "crm".into(),
        url: WebUrl::parse("http://crm.example/").unwrap(),
        secret_file: "/none".into(),
        place: relay_config::config::Place { file: "t".into(), line: 1, column: 1 },
        types: types.iter().map(|word| (*word).to_owned()).collect(),
        tags: Vec::new(),
        accounts: Vec::new(),
        batch: 10,
        wait: Duration::from_secs(1),
        timeout: Duration::from_secs(10),
        max_age: Duration::from_hours(1),
    })
}

struct Test {
    relay: Relay,
    server: Arc<Server>,
    webhooks: Webhooks,
}

impl Test {
    fn new() -> Self {
        let relay = Relay::new();
        let horizon = Arc::new(Horizon::new(Arc::clone(&relay.queue)));
        tokio::spawn(Arc::clone(&horizon).run());
        let server = Arc::new(Server::default());
        let courier = Arc::clone(&server) as Arc<dyn Courier>;
        let webhooks = Webhooks::new(Arc::clone(&relay.queue), horizon, courier, 1);
        Self { relay, server, webhooks }
    }

    /// Records so many events; returns their ids.
    fn record(&self, kind: EventKind, count: usize) -> Vec<String> {
        let events: Vec<Event> =
            (0..count).map(|_| Event::new(self.relay.queue.next_id(), kind)).collect();
        self.relay.queue.record(&events).unwrap();
        events.iter().map(|event| event.id.to_string()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn events_go_in_batches_in_order_and_again_until_they_are_taken() {
    let test = Test::new();
    test.record(EventKind::Bounced, 3);
    sleep(Duration::from_secs(5)).await;
    test.webhooks.set(&[webhook(&["bounced"])]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(test.server.batches(), [0_usize; 0], "a new webhook begins now");
    let mut expected = test.record(EventKind::Bounced, 12);
    test.record(EventKind::Delivered, 5);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(test.server.batches(), [10, 2]);
    test.server.refuse(3);
    expected.extend(test.record(EventKind::Bounced, 4));
    sleep(Duration::from_secs(5)).await;
    let report = &test.webhooks.reports()[0];
    assert!(report.failures > 0 && report.next_attempt.is_some());
    assert_eq!(report.last_error.as_deref(), Some("it answered 500"));
    expected.extend(test.record(EventKind::Bounced, 1));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(test.server.ids(), expected);
    let report = &test.webhooks.reports()[0];
    assert_eq!((report.taken, report.failures, report.passed_over), (17, 0, 0));
    assert_eq!(report.behind, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_outlives_a_restart_and_can_be_set_back() {
    let test = Test::new();
    test.webhooks.set(&[webhook(&[])]);
    sleep(Duration::from_secs(2)).await;
    let first = test.record(EventKind::Bounced, 2);
    sleep(Duration::from_secs(10)).await;
    test.webhooks.set(&[]);
    assert!(test.webhooks.reports().is_empty());
    let second = test.record(EventKind::Bounced, 2);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(test.server.ids(), first);
    test.webhooks.set(&[webhook(&[])]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(test.server.ids(), [first.clone(), second.clone()].concat());
    // Too old by now, but somebody wants them.
    test.relay.pass(Duration::from_hours(5));
    let after: Id = first[0].parse().unwrap();
    assert_eq!(test.webhooks.replay("crm", after).await, Some(Ok(())));
    assert_eq!(test.webhooks.replay("other", after).await, None);
    sleep(Duration::from_secs(10)).await;
    let again = [&first[1..], &second].concat();
    assert_eq!(test.server.ids(), [first, second, again].concat());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_passed_over_and_a_server_may_want_less() {
    let test = Test::new();
    test.webhooks.set(&[webhook(&[])]);
    sleep(Duration::from_secs(2)).await;
    test.server.refuse(1_000_000);
    test.record(EventKind::Bounced, 5);
    sleep(Duration::from_mins(10)).await;
    let asked = test.server.asked.load(Ordering::Relaxed);
    assert!((8..=14).contains(&asked), "it is not asked all the time: {asked}");
    assert!(test.webhooks.reports()[0].behind == Duration::ZERO);
    test.relay.pass(Duration::from_hours(2));
    assert!(test.webhooks.reports()[0].behind >= Duration::from_hours(2));
    test.server.refuse(0);
    test.server.largest.store(2, Ordering::Relaxed);
    let expected = test.record(EventKind::Bounced, 9);
    sleep(Duration::from_mins(20)).await;
    assert_eq!(test.webhooks.reports()[0].passed_over, 5);
    assert_eq!(test.server.ids(), expected);
    assert!(test.server.batches().iter().all(|count| *count <= 2));
}
