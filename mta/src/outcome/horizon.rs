//! How far events can be read without passing one over.
//!
//! An event has its id a moment before it is handed to the committer, so the newest events that can be read say
//! nothing of those just before them. What was given out a second ago has been handed in since: whoever follows
//! events by a cursor reads up to there. It has been synced, too: nobody is told what a crash undoes. Time is measured
//! by a clock that nobody sets back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::message::Id;
use crate::queue::Queue;
use crate::spool::CommitError;

/// How far readers are behind.
const LAG: Duration = Duration::from_secs(1);
/// How often is looked for new ids. Nobody is woken while there are none.
const EVERY: Duration = Duration::from_millis(250);

/// The last id up to which every event can be read.
pub struct Horizon {
    queue: Arc<Queue>,
    until: watch::Sender<Id>,
}

impl Horizon {
    /// Of the events of this queue.
    pub fn new(queue: Arc<Queue>) -> Self {
        // What was in the spool before the relay was started can be read.
        let until = watch::Sender::new(queue.last_id());
        Self { queue, until }
    }

    /// Moves on until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut ripening = Ripening::default();
        loop {
            let ripe = ripening.look(Instant::now(), self.queue.last_id());
            // A spool that has failed ends the relay.
            if let Some(id) = ripe.filter(|id| *id > self.now())
                && self.queue.commit_state(Vec::new()).await.is_ok()
            {
                self.until.send_if_modified(|until| {
                    let further = *until < id;
                    *until = id.max(*until);
                    further
                });
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Tells whenever there is more to read.
    pub fn follow(&self) -> watch::Receiver<Id> {
        self.until.subscribe()
    }

    /// Where it is now.
    pub fn now(&self) -> Id {
        *self.until.borrow()
    }

    /// Everything that has been handed in, for when nobody hands in any more.
    pub async fn end(&self) -> Result<Id, CommitError> {
        let last = self.queue.last_id();
        self.queue.commit_state(Vec::new()).await?;
        Ok(last)
    }
}

/// Ids that were given out too short a time ago.
#[derive(Debug, Default)]
struct Ripening {
    seen: VecDeque<(Instant, Id)>,
}

impl Ripening {
    /// Notes the last id of now; returns the last that is old enough, where that has moved on.
    fn look(&mut self, now: Instant, last: Id) -> Option<Id> {
        if self.seen.back().is_none_or(|(_, id)| *id < last) {
            self.seen.push_back((now, last));
        }
        let mut ripe = None;
        // The newest stays, so that it is not noted again while nothing comes.
        while let [(at, id), ..] = self.seen.make_contiguous()
            && now.duration_since(*at) >= LAG
        {
            ripe = Some(*id);
            if self.seen.len() == 1 {
                break;
            }
            self.seen.pop_front();
        }
        ripe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::World;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_a_second_old_is_read_and_nobody_wakes_for_nothing() {
        let world = World::new();
        let horizon = Arc::new(Horizon::new(Arc::clone(&world.queue)));
        tokio::spawn(Arc::clone(&horizon).run());
        let mut news = horizon.follow();
        let first = world.queue.next_id();
        let begun = Instant::now();
        news.changed().await.unwrap();
        assert_eq!(*news.borrow_and_update(), first);
        assert!((LAG..LAG * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let nothing = tokio::time::timeout(Duration::from_mins(1), news.changed()).await;
        assert!(nothing.is_err());
        let second = world.queue.next_id();
        tokio::time::sleep(LAG / 2).await;
        let third = world.queue.next_id();
        news.changed().await.unwrap();
        assert_eq!(*news.borrow_and_update(), second);
        news.changed().await.unwrap();
        assert_eq!(*news.borrow_and_update(), third);
        let fourth = world.queue.next_id();
        assert_eq!(horizon.end().await.unwrap(), fourth);
    }
}
