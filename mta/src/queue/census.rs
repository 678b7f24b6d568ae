//! Who waits, counted: by domain, account, tag and pool, in one walk over what is on disk.
//!
//! The queue keeps no such counts while mail flows: each would be one more thing to write and to bound for every
//! message, and people look now and then: over a million deliveries it takes some seconds. A walk reads deliveries and messages side by side, in the order in which they
//! lie on disk. Whoever asks is given the last count while it is fresh enough: the longer a walk takes the longer
//! it stays so, and looking never takes more than a twentieth of a core.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::message::{Delivery, Id, Message, Timestamp};
use crate::spool::{Family, Spool, SpoolError, record};

use super::{Queue, keys, standing, state};

/// Groups of each kind that are told apart; the rest is counted together.
const GROUPS_MAX: usize = 10_000;
/// The name of the rest.
const REST: &str = "(others)";
/// Deliveries that are read before their messages are.
const BATCH: usize = 5_000;
/// A count is fresh for so long at least …
const FRESH_MIN: Duration = Duration::from_secs(1);
/// … and for so many times as long as it took.
const FRESH_TIMES: u32 = 20;
/// A count that takes no longer is waited for: half of what a page may take.
const WAITED_FOR: Duration = Duration::from_millis(25);
/// A queue that was no deeper is counted while one waits, however busy the machine was the last time.
const DEEP: u64 = 10_000;
/// Unasked, it is counted this often at most: a minute old is recent for people …
const UNASKED_MIN: Duration = Duration::from_mins(1);
/// … and so that it takes a hundredth of a core.
const UNASKED_TIMES: u32 = 100;

/// What waits of one domain, account, tag or pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Deliveries that have not ended.
    pub deliveries: u64,
    /// Recipients of them that wait.
    pub recipients: u64,
    /// Deliveries that are held.
    pub held: u64,
    /// Deliveries that were attempted before.
    pub deferred: u64,
    /// Octets of their messages, as they are sent.
    pub octets: u64,
    /// When the oldest was accepted.
    pub oldest: Option<Timestamp>,
    /// When the next may be attempted.
    pub next: Option<Timestamp>,
    /// When the last attempt ended, and what stood in the way.
    pub last: Option<(Timestamp, String)>,
}

/// All that waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// When the walk began.
    pub at: Timestamp,
    /// Everything.
    pub all: Group,
    /// By routing domain.
    pub domains: HashMap<String, Group>,
    /// By account.
    pub accounts: HashMap<String, Group>,
    /// By tag: a message with several stands in several.
    pub tags: HashMap<String, Group>,
    /// By the pool that was asked for; empty: nobody asked for one.
    pub pools: HashMap<String, Group>,
}

impl Group {
    fn count(&mut self, delivery: &Delivery, message: &Message) {
        self.deliveries += 1;
        self.recipients += state::waiting(delivery).count() as u64;
        self.octets += message.size();
        self.deferred += u64::from(delivery.attempts > 0);
        let accepted = message.id.time();
        self.oldest = Some(self.oldest.map_or(accepted, |oldest| oldest.min(accepted)));
        if delivery.hold.is_some() {
            self.held += 1;
        } else {
            self.next = Some(self.next.map_or(delivery.due, |next| next.min(delivery.due)));
        }
        if let Some(attempt) = &delivery.last
            && self.last.as_ref().is_none_or(|(time, _)| *time < attempt.time)
        {
            self.last = Some((attempt.time, attempt.reply.to_string()));
        }
    }

    /// Adds what waits of another.
    pub fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.recipients += other.recipients;
        self.held += other.held;
        self.deferred += other.deferred;
        self.octets += other.octets;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
        self.next = self.next.into_iter().chain(other.next).min();
        if other.last.as_ref().map(|it| it.0) > self.last.as_ref().map(|it| it.0) {
            self.last.clone_from(&other.last);
        }
    }
}

impl Census {
    fn count(&mut self, delivery: &Delivery, message: &Message) {
        self.all.count(delivery, message);
        group(&mut self.domains, &delivery.domain).count(delivery, message);
        group(&mut self.accounts, &message.account).count(delivery, message);
        group(&mut self.pools, standing::pool(delivery, message).unwrap_or_default())
            .count(delivery, message);
        for tag in &message.tags {
            group(&mut self.tags, tag).count(delivery, message);
        }
    }
}

fn group<'a>(groups: &'a mut HashMap<String, Group>, name: &str) -> &'a mut Group {
    if !groups.contains_key(name) {
        let name = if groups.len() < GROUPS_MAX { name } else { REST };
        return groups.entry(name.to_owned()).or_default();
    }
    groups.entry(name.to_owned()).or_default()
}

/// Walks over everything. Blocks.
fn take(spool: &dyn Spool, now: Timestamp) -> Result<Census, SpoolError> {
    let mut census = Census { at: now, ..Census::default() };
    let mut from = Vec::new();
    loop {
        let mut batch: Vec<Delivery> = Vec::with_capacity(BATCH);
        spool.scan(Family::Deliveries, &from, &[u8::MAX; 11], &mut |_, value| {
            batch.extend(record::decode::<Delivery>(value));
            if batch.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(census) };
        let (first, until) = (keys::message(first.id.message), keys::of_message(last.id.message).1);
        from = [&keys::delivery(last.id)[..], &[0]].concat();
        let mut messages: HashMap<Id, Message> = HashMap::with_capacity(BATCH);
        spool.scan(Family::Messages, &first, &until, &mut |_, value| {
            if let Ok(message) = record::decode::<Message>(value) {
                messages.insert(message.id, message);
            }
            ControlFlow::Continue(())
        })?;
        for delivery in &batch {
            if let Some(message) = messages.get(&delivery.id.message) {
                census.count(delivery, message);
            }
        }
    }
}

/// The last count.
#[derive(Debug, Default)]
pub(super) struct Counted {
    last: Mutex<Option<Last>>,
    /// How often it was asked for a count anew: one that began before is no such count.
    anew: AtomicU64,
    /// Who walks has it, one at a time.
    walking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Last {
    census: Arc<Census>,
    took: Duration,
    until: Instant,
}

impl Last {
    /// Nobody should wait for another count.
    fn is_slow(&self) -> bool {
        self.took > WAITED_FOR && self.census.all.deliveries >= DEEP
    }
}

impl Counted {
    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<Arc<Census>> {
        let last = self.last();
        let fresh = last.as_ref().filter(|last| Instant::now() < last.until)?;
        Some(Arc::clone(&fresh.census))
    }

    /// Walks, and keeps what came of it. The turn ends with it.
    async fn walk(
        &self,
        spool: Arc<dyn Spool>,
        now: Timestamp,
        _turn: OwnedMutexGuard<()>,
    ) -> Result<Arc<Census>, SpoolError> {
        let (begun, anew) = (Instant::now(), self.anew.load(Ordering::Relaxed));
        let walked = Arc::clone(&spool);
        let census = crate::spool::off_thread(&*spool, move || take(&*walked, now)).await??;
        let (census, took) = (Arc::new(census), begun.elapsed());
        if anew == self.anew.load(Ordering::Relaxed) {
            let until = Instant::now() + (took * FRESH_TIMES).max(FRESH_MIN);
            *self.last() = Some(Last { census: Arc::clone(&census), took, until });
        }
        Ok(census)
    }
}

impl Queue {
    /// Somebody has changed what waits, and will look at what came of it: it is counted anew.
    pub fn count_anew(&self) {
        self.counted.anew.fetch_add(1, Ordering::Relaxed);
        *self.counted.last() = None;
    }

    /// Who waits, as it was a moment ago: at most a second, or twenty times as long as the counting took. Where counting
    /// takes long, nobody waits for it: whoever comes then is given the last count, and the next one begins.
    pub async fn census(&self) -> Result<Arc<Census>, SpoolError> {
        let counted = &self.counted;
        if let Some(census) = counted.fresh() {
            return Ok(census);
        }
        let slow = counted.last().clone().filter(Last::is_slow);
        if let Some(last) = slow {
            if let Ok(turn) = Arc::clone(&counted.walking).try_lock_owned() {
                let (counted, spool, now) = (Arc::clone(counted), self.spool(), self.now());
                tokio::spawn(async move {
                    if let Err(error) = counted.walk(spool, now, turn).await {
                        tracing::warn!(%error, "what waits cannot be counted");
                    }
                });
            }
            return Ok(last.census);
        }
        let turn = Arc::clone(&counted.walking).lock_owned().await;
        // Whoever asks meanwhile waits for the same count.
        if let Some(census) = counted.fresh() {
            return Ok(census);
        }
        let barrier = self.barrier().await;
        barrier.map_err(|error| SpoolError::Io(error.to_string()))?;
        counted.walk(self.spool(), self.now(), turn).await
    }

    /// The last count, where counting takes so long that nobody should wait for another.
    pub fn slow_census(&self) -> Option<Arc<Census>> {
        let last = self.counted.last();
        last.as_ref().filter(|last| last.is_slow()).map(|last| Arc::clone(&last.census))
    }

    /// Counts now and then, for ever, so that there is a count for whoever looks first.
    pub async fn keep_counting(&self) {
        loop {
            let begun = Instant::now();
            if let Err(error) = self.census().await {
                tracing::warn!(%error, "what waits cannot be counted");
            }
            let took = self.counted.last().as_ref().map_or(begun.elapsed(), |last| last.took);
            // A shallow queue is counted as it is when somebody looks.
            let _ = self.counted.last().take_if(|last| !last.is_slow());
            tokio::time::sleep((took * UNASKED_TIMES).max(UNASKED_MIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::World;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_counted_by_what_it_is() {
        let world = World::new();
        world.accept("a@x.pe").await;
        world.accept("b@X.pe").await;
        world.accept("c@y.pe").await;
        let census = world.queue.census().await.unwrap();
        assert_eq!((census.all.deliveries, census.all.recipients), (3, 3));
        let mut domains: Vec<(&str, u64)> =
            census.domains.iter().map(|(name, group)| (name.as_str(), group.deliveries)).collect();
        domains.sort_unstable();
        assert_eq!(domains, [("x.pe", 2), ("y.pe", 1)]);
        assert_eq!(census.accounts.values().map(|group| group.deliveries).sum::<u64>(), 3);
        assert_eq!(census.all.oldest, census.domains["x.pe"].oldest);
        assert!(census.all.next.is_some() && census.all.octets > 0);

        world.accept("d@y.pe").await;
        let again = world.queue.census().await.unwrap();
        assert!(Arc::ptr_eq(&census, &again), "it is fresh");
        world.queue.count_anew();
        assert_eq!(world.queue.census().await.unwrap().all.deliveries, 4, "somebody looks");
        tokio::time::advance(FRESH_MIN).await;
        let later = world.queue.census().await.unwrap();
        assert_eq!(later.domains["y.pe"].deliveries, 2);
        let mut sum = Group::default();
        for group in later.domains.values() {
            sum.add(group);
        }
        assert_eq!(sum, later.all);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_count_that_takes_long() {
        let world = World::new();
        world.accept("a@x.pe").await;
        let mut first = world.queue.census().await.unwrap();
        if let Some(last) = &mut *world.queue.counted.last() {
            let mut deep = Census::clone(&first);
            deep.all.deliveries = DEEP;
            first = Arc::new(deep);
            last.census = Arc::clone(&first);
            last.took = WAITED_FOR * 2;
            last.until = Instant::now();
        }
        world.accept("b@x.pe").await;
        let stale = world.queue.census().await.unwrap();
        assert!(Arc::ptr_eq(&first, &stale), "the last one is there at once");
        let turn = world.queue.counted.walking.lock().await;
        assert_eq!(world.queue.census().await.unwrap().all.deliveries, 2, "the next one has begun");
        drop(turn);
        // What was changed is seen, however long it takes.
        world.accept("c@x.pe").await;
        world.queue.count_anew();
        assert_eq!(world.queue.census().await.unwrap().all.deliveries, 3);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let mut groups = HashMap::new();
        for number in 0..GROUPS_MAX + 7 {
            group(&mut groups, &number.to_string()).deliveries += 1;
        }
        group(&mut groups, "3").deliveries += 1;
        assert_eq!((groups.len(), groups[REST].deliveries), (GROUPS_MAX + 1, 7));
        assert_eq!(groups["3"].deliveries, 2);
    }
}
