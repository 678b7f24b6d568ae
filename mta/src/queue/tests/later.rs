//! What waits for its time: mail to be sent later, holds that end by themselves; and templates, which stay as long
//! as one of their messages does.

use super::*;
use crate::message::{Event, EventKind, Personal};
use crate::queue::state;

const MINUTE: Duration = Duration::from_mins(1);

impl World {
    pub(super) fn events(&self, kind: EventKind) -> usize {
        let mut count = 0;
        self.spool
            .scan(Family::Events, &[], &[u8::MAX; 16], &mut |_, value| {
                let event: Event = serde_json::from_slice(value).unwrap();
                count += usize::from(event.kind == kind);
                ControlFlow::Continue(())
            })
            .unwrap();
        count
    }

    /// Gives up all that is in the hand.
    fn end_all(&self) {
        for mut ready in std::mem::take(&mut *self.hand.0.lock().unwrap()) {
            let changes = state::bounced_by_operator(&mut ready.delivery, "enough");
            self.queue.conclude(ready, &changes, &[], None, vec![]).unwrap();
        }
    }

    pub(super) fn keys(&self, start: &str) -> usize {
        let until = keys::after_prefix(start.as_bytes().to_vec());
        let mut count = 0;
        self.spool
            .scan(Family::State, start.as_bytes(), &until, &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        count
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_later_begins_then_and_is_too_old_later() {
    let world = World::new();
    let send_at = world.queue.now().after(120 * MINUTE);
    let later = Submission { send_at: Some(send_at), ..world.submission("a@x.pe") };
    let id = later.id;
    world.queue.accept(later, Duration::ZERO).await.unwrap();
    let at_once = world.accept("b@x.pe").await;
    let world = world.again();
    assert_eq!(world.load().await, [at_once]);
    world.end_all();
    // Older than `expire_after`, and not even begun.
    world.pass(90 * MINUTE);
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    assert_eq!(aged.deliveries.len(), 0);
    let late = world.queue.take_late().await.unwrap();
    assert!(late.is_none_or(|late| late.messages.is_empty()), "it is not late");
    world.pass(Duration::from_millis(29 * 60_000 + 58_900));
    assert_eq!(world.load().await, []);
    world.pass(Duration::from_millis(1_100));
    assert_eq!(world.load().await, [id]);
    {
        let hand = world.hand.0.lock().unwrap();
        assert_eq!((hand[0].delivery.due, hand[0].message.begins()), (send_at, send_at));
    }
    world.pass(59 * MINUTE);
    assert_eq!(world.queue.take_aged(Id::ZERO).await.unwrap().deliveries.len(), 0);
    assert_eq!(world.keys("queue/scheduled/"), 1);
    world.pass(2 * MINUTE);
    let aged = world.queue.take_aged(Id::ZERO).await.unwrap();
    assert_eq!(aged.deliveries.len(), 1);
    world.hand.0.lock().unwrap().extend(aged.deliveries);
    world.end_all();
    world.queue.take_aged(Id::ZERO).await.unwrap();
    assert_eq!((world.keys("queue/scheduled/"), world.count(Family::Messages)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_by_itself_also_after_a_restart() {
    let world = World::new();
    let id = DeliveryId { message: world.accept("a@x.pe").await, number: 0 };
    let until = Some(world.queue.now().after(30 * MINUTE));
    let hold =
        Lever::Hold { who: "ana".to_owned(), why: "espera".to_owned(), until, standing: None };
    world.queue.pull(id, &hold).await.unwrap();
    assert_eq!(world.count(Family::Due), 1);
    let world = world.again();
    assert_eq!(world.load().await, []);
    let rows = world.queue.of_message(id.message).unwrap();
    let words = rows[0].delivery.hold.as_ref().map(crate::message::Hold::words);
    assert_eq!(words.as_deref(), Some("ana: espera"));
    world.pass(30 * MINUTE);
    assert_eq!(world.load().await, [id.message]);
    assert_eq!(world.events(EventKind::Released), 1);
    let rows = world.queue.of_message(id.message).unwrap();
    assert_eq!((rows[0].delivery.hold.clone(), Some(rows[0].delivery.due)), (None, until));
    world.end_all();
    world.queue.barrier().await.unwrap();
    assert_eq!((world.count(Family::Due), world.count(Family::Messages)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hold_for_a_time_can_be_released_before() {
    let world = World::new();
    let id = DeliveryId { message: world.accept("a@x.pe").await, number: 0 };
    let until = Some(world.queue.now().after(30 * MINUTE));
    let hold =
        Lever::Hold { who: "ana".to_owned(), why: "espera".to_owned(), until, standing: None };
    world.queue.pull(id, &hold).await.unwrap();
    assert_eq!(world.queue.pull(id, &hold).await, Err(LeverError::AlreadyHeld));
    world.queue.pull(id, &Lever::Release).await.unwrap();
    assert_eq!((world.load().await, world.count(Family::Due)), (vec![id.message], 1));
    world.pass(31 * MINUTE);
    assert_eq!(world.events(EventKind::Released), 1, "it is released once");
}

/// Three messages of one template.
async fn accept_three(world: &World) -> SharedBody {
    let first = world.queue.next_ids(4);
    let octets = Bytes::from(vec![7; CHUNK_OCTETS + 1]);
    let shared = SharedBody { id: first, last: first.further(3), octets };
    let (chunks, size) = (shared.chunks(), shared.octets.len() as u64);
    let one = |number: u64| Submission {
        id: first.further(number),
        body: crate::message::SubmittedBody::Template { id: first, chunks, size },
        personal: Some(Personal { name: None, substitutions: format!("{{\"n\":{number}}}") }),
        ..world.submission(&format!("u{number}@x.pe"))
    };
    let submissions = (1..=3).map(one).collect();
    let batch = Batch { submissions, shared: Some(shared.clone()), ..Batch::default() };
    world.queue.accept_all(batch).await.unwrap();
    shared
}

#[tokio::test(start_paused = true)]
async fn a_template_is_stored_once_and_goes_with_its_last_message() {
    let world = World::new();
    let shared = accept_three(&world).await;
    assert_eq!((world.count(Family::Bodies), world.count(Family::Messages)), (2, 3));
    let world = world.again();
    world.queue.sweep_orphans(shared.last).unwrap();
    assert_eq!(world.count(Family::Bodies), 2, "it is nobody's orphan");
    assert_eq!(world.load().await.len(), 3);
    let last = world.hand.0.lock().unwrap().pop().unwrap();
    let body = world.queue.body(&last.message, None).await.unwrap();
    assert_eq!(body.pieces.concat(), shared.octets);
    assert!(last.delivery.recipients[0].personal.as_ref().unwrap().substitutions.contains("\"n\""));
    world.end_all();
    world.queue.sweep_ended().await;
    assert_eq!((world.count(Family::Bodies), world.count(Family::Messages)), (2, 1));
    world.hand.0.lock().unwrap().push(last);
    world.end_all();
    world.queue.sweep_ended().await;
    world.queue.barrier().await.unwrap();
    assert_eq!((world.count(Family::Bodies), world.keys("queue/template/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_template_that_ended_with_the_last_life_goes_at_the_next_start() {
    let world = World::new();
    let shared = accept_three(&world).await;
    world.load().await;
    world.end_all();
    world.queue.barrier().await.unwrap();
    world.spool.sync().unwrap();
    let world = world.again();
    assert_eq!((world.count(Family::Bodies), world.count(Family::Messages)), (2, 0));
    world.queue.sweep_orphans(shared.last).unwrap();
    assert_eq!((world.count(Family::Bodies), world.keys("queue/template/")), (0, 0));
}
