//! The queue on a spool in memory, with an outlet that only writes down.

mod holds;
mod later;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::message::{DeliveryId, ReversePath, examples};
use crate::spool::{Family, MemorySpool, SpoolError};

pub struct Clock(AtomicU64);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
pub struct Hand(Mutex<Vec<Ready>>);

impl Outlet for Hand {
    fn ready(&self, deliveries: Vec<Ready>) {
        self.0.lock().unwrap().extend(deliveries);
    }

    fn recall(&self, delivery: &Delivery) -> Option<Ready> {
        let mut hand = self.0.lock().unwrap();
        let place = hand.iter().position(|ready| ready.delivery.id == delivery.id)?;
        Some(hand.remove(place))
    }
}

pub struct World {
    spool: Arc<MemorySpool>,
    pub clock: Arc<Clock>,
    pub queue: Arc<Queue>,
    hand: Arc<Hand>,
}

impl World {
    fn on(spool: Arc<MemorySpool>, clock: Arc<Clock>) -> Self {
        let committer = Committer::inline(Arc::clone(&spool) as Arc<dyn Spool>);
        Self::with(spool, clock, committer)
    }

    fn with(spool: Arc<MemorySpool>, clock: Arc<Clock>, committer: Committer) -> Self {
        let shared = Arc::clone(&spool) as Arc<dyn Spool>;
        let options = Options {
            schedule: Schedule { delays: vec![Duration::from_mins(5)], jitter: 0.0 },
            expire_after: Duration::from_hours(1),
            routes: Routes::default(),
            late_after: Some(Duration::from_mins(20)),
            ready_deliveries: 1000,
            lanes: 1000,
            bodies_in_flight_max: 1 << 20,
            body_cache_max: 1 << 20,
        };
        let wall = Arc::clone(&clock) as Arc<dyn WallClock>;
        let queue = Arc::new(Queue::open(shared, committer, wall, options).unwrap());
        let hand = Arc::new(Hand::default());
        queue.set_outlet(&(Arc::clone(&hand) as Arc<dyn Outlet>));
        Self { spool, clock, queue, hand }
    }

    pub fn new() -> Self {
        let clock = Clock(AtomicU64::new(1_795_525_500_000));
        Self::on(Arc::new(MemorySpool::new()), Arc::new(clock))
    }

    /// The power goes off, and the relay starts again.
    fn again(self) -> Self {
        self.spool.crash();
        Self::on(self.spool, self.clock)
    }

    pub async fn accept(&self, to: &str) -> Id {
        let submission = self.submission(to);
        let id = submission.id;
        self.queue.accept(submission, Duration::ZERO).await.unwrap();
        id
    }

    fn submission(&self, to: &str) -> Submission {
        let sender = ReversePath::NULL;
        Submission { sender, ..examples::submission(self.queue.next_id(), &[to]) }
    }

    /// What the loader hands out in a second.
    async fn load(&self) -> Vec<Id> {
        self.queue.seed().unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.queue.run_loader()).await;
        let mut ids: Vec<Id> =
            self.hand.0.lock().unwrap().iter().map(|ready| ready.message.id).collect();
        ids.sort_unstable();
        ids
    }

    fn count(&self, family: Family) -> usize {
        let mut count = 0;
        self.spool
            .scan(family, &[], &[u8::MAX; 300], &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        count
    }

    pub fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_set_aside_and_the_rest_flows() {
    let world = World::new();
    let mut ids = Vec::new();
    for to in ["a@x.pe", "b@x.pe", "c@y.pe"] {
        ids.push(world.accept(to).await);
    }
    let key = keys::delivery(DeliveryId { message: ids[1], number: 0 });
    let torn = Operation::Put(Family::Deliveries, key, Bytes::from_static(b"\x01torn"));
    world.spool.write(&[torn]).unwrap();
    world.spool.sync().unwrap();
    let world = world.again();
    assert_eq!(world.load().await, [ids[0], ids[2]]);
    // Nor does it stop what is too old.
    world.pass(Duration::from_hours(2));
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    assert_eq!(aged.deliveries.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_message_that_was_never_accepted_go() {
    let world = World::new();
    let accepted = world.accept("a@x.pe").await;
    let unfinished = world.queue.next_id();
    for number in 0..3 {
        world.queue.write_chunk(unfinished, number, Bytes::from_static(b"piece")).await.unwrap();
    }
    world.spool.sync().unwrap();
    assert_eq!(world.count(Family::Bodies), 4);
    let world = world.again();
    let highest = world.queue.last_id();
    assert!(highest >= unfinished, "an id is never given out twice");
    assert_eq!(world.queue.sweep_orphans(highest), Ok(3));
    assert_eq!(world.count(Family::Bodies), 1);
    assert_eq!(world.queue.sweep_orphans(highest), Ok(0));
    assert_eq!(world.load().await, [accepted]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_expires_and_what_has_ended_does_not() {
    let world = World::new();
    let waits = world.accept("a@x.pe").await;
    let ended = world.accept("b@x.pe").await;
    let ready = {
        let mut hand = world.hand.0.lock().unwrap();
        hand.pop().unwrap()
    };
    assert_eq!(ready.message.id, ended);
    world
        .queue
        .conclude(ready, &Changes { transitions: vec![], next: None }, &[], None, vec![])
        .unwrap();
    world.pass(Duration::from_hours(2));
    let young = world.accept("c@x.pe").await;
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    let taken: Vec<Id> = aged.deliveries.iter().map(|ready| ready.message.id).collect();
    assert_eq!(taken, [waits]);
    for ready in aged.deliveries {
        world
            .queue
            .conclude(ready, &Changes { transitions: vec![], next: None }, &[], None, vec![])
            .unwrap();
    }
    assert!(aged.next.is_none() && aged.in_flight.is_none());
    let left: Vec<Id> = world.hand.0.lock().unwrap().iter().map(|ready| ready.message.id).collect();
    assert_eq!(left, [young]);
    // What is in flight is left alone, and looked at again.
    let flying = world.hand.0.lock().unwrap().pop().unwrap();
    world.pass(Duration::from_hours(2));
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    assert_eq!(aged.in_flight, Some(flying.message.id));
}

#[tokio::test(start_paused = true)]
async fn octets_that_arrive_are_bounded_first_by_waiting_then_by_a_refusal() {
    let world = World::new();
    let first = world.queue.reserve(1 << 20).await.unwrap();
    let started = Instant::now();
    assert_eq!(world.queue.reserve(1024).await.err(), Some(Refusal::BodiesInFlight));
    assert!(started.elapsed() >= Duration::from_secs(30), "reading pauses first");
    let queue = Arc::clone(&world.queue);
    let waiting = tokio::spawn(async move { queue.reserve(1024).await.is_ok() });
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(first);
    assert!(waiting.await.unwrap(), "room that comes free is taken");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_for_a_while_loses_nothing_on_the_way() {
    let world = World::new();
    let first = world.accept("a@x.pe").await;
    let second = world.accept("b@x.pe").await;
    // Neither is in memory: they wait on disk, behind what their lane has read.
    for ready in std::mem::take(&mut *world.hand.0.lock().unwrap()) {
        world.queue.give_back(&ready);
    }
    world.spool.fail_get(Some(Family::Deliveries));
    let id = DeliveryId { message: first, number: 0 };
    assert!(matches!(world.queue.take(id).await, Err(LeverError::Spool(_))));
    world.pass(Duration::from_hours(2));
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    assert!(aged.deliveries.is_empty());
    assert_eq!(aged.in_flight, Some(first), "they are looked at again");
    assert_eq!(world.queue.depth().0, 0, "nothing stays claimed");
    world.spool.fail_get(None);
    let _ = tokio::time::timeout(Duration::from_secs(30), world.queue.run_loader()).await;
    let found: Vec<Id> =
        world.hand.0.lock().unwrap().iter().map(|ready| ready.message.id).collect();
    assert_eq!(found, [first, second], "and found without a restart");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_among_what_is_too_old_costs_nobody_else() {
    let world = World::new();
    let mut ids = Vec::new();
    for to in ["a@x.pe", "b@x.pe", "c@y.pe"] {
        ids.push(world.accept(to).await);
    }
    let torn = |id| {
        let key = keys::delivery(DeliveryId { message: id, number: 0 });
        Operation::Put(Family::Deliveries, key, Bytes::from_static(b"\x01torn"))
    };
    // The first waits for a connection, the second on disk.
    let back = world.hand.0.lock().unwrap().remove(1);
    world.queue.give_back(&back);
    world.spool.write(&[torn(ids[0]), torn(ids[1])]).unwrap();
    world.pass(Duration::from_hours(2));
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    let taken: Vec<Id> = aged.deliveries.iter().map(|ready| ready.message.id).collect();
    assert_eq!(taken, [ids[2]]);
    assert_eq!(world.queue.depth().0, 2, "the first still waits for its connection");
}

#[tokio::test(start_paused = true)]
async fn a_notice_without_room_in_memory_is_left_to_be_found_on_disk() {
    let world = World::new();
    world.accept("a@x.pe").await;
    let ready = world.hand.0.lock().unwrap().pop().unwrap();
    let mut full = Vec::new();
    while let Some(held) = world.queue.bodies.hold(vec![Bytes::from(vec![0; 1024])]) {
        full.push(held);
    }
    let submission = world.submission("b@y.pe");
    let notice = submission.id;
    let changes = Changes { transitions: vec![], next: None };
    world.queue.conclude(ready, &changes, &[], Some(submission), vec![]).unwrap();
    assert!(world.hand.0.lock().unwrap().is_empty(), "its body could not be read yet");
    let _ = tokio::time::timeout(Duration::from_secs(1), world.queue.run_loader()).await;
    assert_eq!(world.hand.0.lock().unwrap()[0].message.id, notice);
}

#[tokio::test(start_paused = true)]
async fn what_a_scan_passed_while_it_was_claimed_is_found_when_it_could_not_be_read() {
    let world = World::new();
    let first = world.accept("a@x.pe").await;
    let second = world.accept("b@x.pe").await;
    for ready in std::mem::take(&mut *world.hand.0.lock().unwrap()) {
        world.queue.give_back(&ready);
    }
    let id = DeliveryId { message: first, number: 0 };
    assert!(world.queue.index().claim(id));
    let load = async || {
        let _ = tokio::time::timeout(Duration::from_secs(2), world.queue.run_loader()).await;
        let hand = world.hand.0.lock().unwrap();
        hand.iter().map(|ready| ready.message.id).collect::<Vec<Id>>()
    };
    assert_eq!(load().await, [second], "the claimed one is passed");
    world.queue.let_go_unread(id, &SpoolError::Io("the disk is away".to_owned()));
    assert_eq!(load().await, [second, first]);
}

/// Writes ride on a later sync here, as they do in a relay.
#[tokio::test]
async fn who_is_late_is_told_once_however_many_are() {
    let spool = Arc::new(MemorySpool::new());
    let clock = Arc::new(Clock(AtomicU64::new(1_795_525_500_000)));
    let (committer, _thread) = Committer::start(Arc::clone(&spool) as Arc<dyn Spool>, 0).unwrap();
    let world = World::with(spool, Arc::clone(&clock), committer);
    let first = world.queue.take_late().await.unwrap().unwrap();
    assert!(first.messages.is_empty(), "who has never looked starts here");
    world.queue.tell_late(Vec::new(), first.seen).unwrap();
    for _ in 0..1_200 {
        world.accept("a@x.pe").await;
    }
    clock.0.fetch_add(21 * 60 * 1000, Ordering::Relaxed);
    let mut told = Vec::new();
    while let Some(late) = world.queue.take_late().await.unwrap() {
        told.extend(late.messages.iter().map(|(message, _)| message.id));
        world.queue.tell_late(Vec::new(), late.seen).unwrap();
    }
    assert_eq!(told.len(), 1_200);
    told.dedup();
    assert_eq!(told.len(), 1_200);
}
