//! Standing holds.

use super::*;
use crate::message::EventKind;

const MINUTE: Duration = Duration::from_mins(1);

fn place() -> Place<'static> {
    Place { site: "x.pe", pool: "bulk" }
}

fn tagged(tag: &str) -> Kind {
    Kind { tag: Some(tag.to_owned()), ..Kind::default() }
}

fn ana() -> (String, String) {
    ("ana".to_owned(), "the list is wrong".to_owned())
}

impl World {
    /// Accepts a message with this tag, and takes it as dispatch does.
    async fn arrives(&self, tag: &str) -> Ready {
        let tags = vec![tag.to_owned()];
        let submission = Submission { tags, ..self.submission("a@x.pe") };
        self.queue.accept(submission, Duration::ZERO).await.unwrap();
        self.hand.0.lock().unwrap().pop().unwrap()
    }

    /// What comes is set aside if a standing hold says so.
    fn goes_or_is_held(&self, ready: Ready) -> bool {
        match self.queue.held_by(&ready, &place()) {
            None => {
                self.queue.give_back(&ready);
                true
            }
            Some(hold) => {
                self.queue.set_aside(ready, hold).unwrap();
                false
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_held_until_the_standing_hold_is_ended() {
    let world = World::new();
    let hold = world.queue.stand(tagged("red"), ana(), None).await.unwrap();
    let red = world.arrives("red").await;
    let id = red.delivery.id;
    assert!(!world.goes_or_is_held(red));
    let blue = world.arrives("blue").await;
    assert!(world.goes_or_is_held(blue));
    world.queue.barrier().await.unwrap();
    assert_eq!(world.events(EventKind::Held), 1);

    let world = world.again();
    assert_eq!(world.queue.standing_holds(), std::slice::from_ref(&hold));
    assert_eq!(world.count(Family::Due), 1, "what is held stands nowhere");
    let refused = world.queue.pull(id, &Lever::Release).await;
    assert_eq!(refused, Err(LeverError::Standing(hold.id)));

    assert_eq!(world.queue.begin_to_end_standing(hold.id).await, Ok(true));
    let world = world.again();
    assert!(world.queue.standing_holds()[0].ending, "the end is gone on with after a restart");
    let red = world.arrives("red").await;
    assert!(world.goes_or_is_held(red), "it takes nothing more");
    let other = Lever::EndStanding(Id::ZERO);
    assert_eq!(world.queue.pull(id, &other).await, Err(LeverError::NotHeld));
    world.queue.pull(id, &Lever::EndStanding(hold.id)).await.unwrap();
    world.queue.forget_standing(hold.id).await.unwrap();
    assert_eq!(world.events(EventKind::Released), 1);
    let world = world.again();
    assert_eq!(world.queue.standing_holds(), []);
    assert_eq!(world.load().await.len(), 3);
    assert_eq!(world.queue.begin_to_end_standing(hold.id).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_standing_hold_with_an_end_lets_go_by_itself() {
    let world = World::new();
    let until = world.queue.now().after(10 * MINUTE);
    world.queue.stand(tagged("red"), ana(), Some(until)).await.unwrap();
    let red = world.arrives("red").await;
    assert!(!world.goes_or_is_held(red));
    assert_eq!(world.load().await, []);
    world.pass(10 * MINUTE);
    assert_eq!(world.load().await.len(), 1);
    let red = world.hand.0.lock().unwrap().pop().unwrap();
    assert!(world.goes_or_is_held(red), "its time is over");
    assert_eq!(world.queue.standing_holds(), []);
    world.queue.stand(tagged("blue"), ana(), None).await.unwrap();
    assert_eq!(world.keys("queue/hold/"), 1, "what is over is forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_would_be_set_aside_when_the_hold_ends_goes() {
    let world = World::new();
    let hold = world.queue.stand(tagged("red"), ana(), None).await.unwrap();
    let red = world.arrives("red").await;
    let mark = world.queue.held_by(&red, &place()).unwrap();
    world.queue.begin_to_end_standing(hold.id).await.unwrap();
    world.queue.set_aside(red, mark).unwrap();
    world.queue.barrier().await.unwrap();
    assert_eq!((world.events(EventKind::Held), world.load().await.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn there_are_not_too_many() {
    let world = World::new();
    for _ in 0..STANDING_HOLDS_MAX {
        world.queue.stand(tagged("red"), ana(), None).await.unwrap();
    }
    let refused = world.queue.stand(tagged("red"), ana(), None).await;
    assert!(matches!(refused, Err(NotMade::TooMany)));
}

#[tokio::test(start_paused = true)]
async fn all_that_is_named_must_be_so() {
    let world = World::new();
    let ready = world.arrives("red").await;
    let check = |kind: Kind, expected: bool| {
        assert_eq!(kind.takes(&ready.delivery, &ready.message, &place()), expected, "{kind:?}");
        assert!(!expected || kind.may_go_to(&ready.delivery.domain), "{kind:?}");
    };
    let some = |text: &str| Some(text.to_owned());
    let account = ready.message.account.clone();
    check(Kind::default(), true);
    check(Kind { site: some("X.pe"), ..Kind::default() }, true);
    check(Kind { site: some("google"), ..Kind::default() }, false);
    check(Kind { domain: some("x.PE"), ..Kind::default() }, true);
    check(Kind { domain: some("pe"), ..Kind::default() }, false);
    let to = |domain: &str| Kind { domain: some(domain), ..Kind::default() };
    assert!(!to("y.pe").may_go_to("x.pe"), "its message is not read");
    // A smarthost is no domain of recipients, and what is written with its own letters has another name on disk.
    assert!(to("y.pe").may_go_to("smart.pe:25") && to("ñandú.pe").may_go_to("xn--and-6ma2c.pe"));
    check(Kind { pool: some("bulk"), ..Kind::default() }, true);
    check(Kind { pool: some("other"), ..Kind::default() }, false);
    check(Kind { account: some(&account), ..Kind::default() }, true);
    check(Kind { account: some("other"), ..Kind::default() }, false);
    check(Kind { sender: some(""), ..Kind::default() }, true);
    check(Kind { sender: some("ana@x.pe"), ..Kind::default() }, false);
    check(Kind { site: some("x.pe"), ..tagged("red") }, true);
    check(Kind { site: some("x.pe"), ..tagged("blue") }, false);
    check(Kind { site: some("y.pe"), ..tagged("red") }, false);
}

#[tokio::test(start_paused = true)]
async fn what_is_moved_goes_from_the_other_pool_also_after_a_restart() {
    let world = World::new();
    let ready = world.arrives("red").await;
    let id = ready.delivery.id;
    world.queue.postpone(ready, world.queue.now().after(30 * MINUTE), &[]).unwrap();
    let to_bulk = Lever::Move { pool: "bulk".to_owned(), why: "ana: tired".to_owned() };
    world.queue.pull(id, &to_bulk).await.unwrap();
    assert_eq!(world.queue.pull(id, &to_bulk).await, Err(LeverError::InPool));
    let world = world.again();
    assert_eq!(world.load().await, [id.message], "it goes at once");
    assert_eq!(world.hand.0.lock().unwrap()[0].pool(), Some("bulk"));
    assert_eq!(world.events(EventKind::Rerouted), 1);
    let census = world.queue.census().await.unwrap();
    assert_eq!(census.pools["bulk"].deliveries, 1);
}
