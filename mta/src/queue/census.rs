//! Who waits, counted: by domain, account, tag and pool, in one walk over what is on disk.
//!
//! The queue keeps no such counts while mail flows: each would be one more thing to write and to bound for every
//! message, and people look now and then. A walk reads deliveries and messages side by side, in the order in which they
//! lie on disk. Whoever asks is given the last count while it is fresh enough: the longer a walk takes the longer
//! it stays so, and looking never takes more than a twentieth of a core.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Delivery, Id, Message, Timestamp};
use crate::spool::{Family, Spool, SpoolError, record};

use super::{Queue, keys, state};

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
        group(&mut self.pools, message.pool.as_deref().unwrap_or_default())
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
    last: tokio::sync::Mutex<Option<(Arc<Census>, Instant)>>,
}

impl Queue {
    /// Who waits, as it was a moment ago: at most a second, or twenty times as long as the counting took.
    pub async fn census(&self) -> Result<Arc<Census>, SpoolError> {
        // Whoever asks meanwhile waits for the same count.
        let mut last = self.counted.last.lock().await;
        if let Some((census, until)) = &*last
            && Instant::now() < *until
        {
            return Ok(Arc::clone(census));
        }
        let barrier = self.barrier().await;
        barrier.map_err(|error| SpoolError::Io(error.to_string()))?;
        let (spool, now, begun) = (self.spool(), self.now(), Instant::now());
        let census = crate::spool::off_thread(&*self.spool, move || take(&*spool, now)).await??;
        let fresh = (begun.elapsed() * FRESH_TIMES).max(FRESH_MIN);
        let census = Arc::new(census);
        *last = Some((Arc::clone(&census), Instant::now() + fresh));
        Ok(census)
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
        tokio::time::advance(FRESH_MIN).await;
        let later = world.queue.census().await.unwrap();
        assert_eq!(later.domains["y.pe"].deliveries, 2);
        let mut sum = Group::default();
        for group in later.domains.values() {
            sum.add(group);
        }
        assert_eq!(sum, later.all);
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
