//! Names that programs give to their requests (idempotency keys): a request that comes again within a day is
//! answered as the first time, also when the relay was killed in between, for the name is on disk with what was
//! accepted, or neither is.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::admin::{ControlError, Sent};
use crate::message::{Id, Timestamp};
use crate::metrics::limit_hit;
use crate::queue::Queue;
use crate::spool::{Family, Operation, SpoolError, off_thread};

/// How long a name is remembered.
const KEPT: Duration = Duration::from_hours(24);
/// How often those that are over are removed.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// Names of one account that are remembered: of more, requests are refused rather than accepted without what
/// they ask for. Each takes about 400 octets of disk and none of memory.
const KEYS_MAX: usize = 500_000;
/// Names stand in the state of the spool under this, account, 0 and SHA-256 of the name.
const PREFIX: &[u8] = b"sent/";

/// What is known of the names beside what is on disk.
#[derive(Debug, Default)]
pub struct RequestKeys(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Requests that are being answered.
    busy: HashSet<Vec<u8>>,
    /// Names of each account that are on disk, as of the last sweep and since.
    counts: HashMap<String, usize>,
    swept: Option<Timestamp>,
}

/// A request that has a name. Nobody else answers one of this name meanwhile.
#[derive(Debug)]
pub struct Named {
    key: Vec<u8>,
    account: String,
    keys: Arc<RequestKeys>,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// When.
    time: u64,
    /// SHA-256 of the request.
    digest: [u8; 32],
    /// The first of the ids, which follow one another.
    first: Id,
    /// How many.
    count: usize,
    /// The rest of the answer.
    sent: Sent,
}

impl Answered {
    /// Just now.
    pub fn new(now: Timestamp, digest: [u8; 32], first: Id, count: usize, sent: &Sent) -> Self {
        let sent = Sent { ids: Vec::new(), ..sent.clone() };
        Self { time: now.as_millis(), digest, first, count, sent }
    }

    /// The answer again, to the same request.
    fn again(self, digest: &[u8; 32]) -> Result<Sent, ControlError> {
        if self.digest != *digest {
            return Err(ControlError::Refused(
                "another request had this idempotency key: a key names one request, and this one differs from it"
                    .to_owned(),
            ));
        }
        Ok(Sent { ids: ids(self.first, self.count), replayed: true, ..self.sent })
    }

    fn is_over(&self, now: Timestamp) -> bool {
        Timestamp::from_millis(self.time).after(KEPT) <= now
    }
}

/// Ids that follow one another.
pub fn ids(first: Id, count: usize) -> Vec<String> {
    (0..count as u64).map(|number| first.further(number).to_string()).collect()
}

impl RequestKeys {
    /// Begins a request; an answer that was given before is given again.
    pub async fn begin(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        account: &str,
        name: &str,
        digest: &[u8; 32],
    ) -> Result<Result<Named, Sent>, ControlError> {
        let now = queue.now();
        self.sweep(queue, now).await?;
        let key = key(account, name);
        if !self.known().busy.insert(key.clone()) {
            return Err(ControlError::Refused(
                "a request with this idempotency key is being answered at this moment: ask again"
                    .to_owned(),
            ));
        }
        let named = Named { key, account: account.to_owned(), keys: Arc::clone(self) };
        let found = queue.spool().get(Family::State, &named.key).map_err(spool)?;
        let found = found.and_then(|value| serde_json::from_slice::<Answered>(&value).ok());
        if let Some(answered) = found.filter(|it| !it.is_over(now)) {
            return answered.again(digest).map(Err);
        }
        if self.known().counts.get(account).is_some_and(|count| *count >= KEYS_MAX) {
            limit_hit("idempotency_keys");
            return Err(ControlError::TooMuch(format!(
                "{KEYS_MAX} requests of this account had an idempotency key in 24 hours: no more can be remembered; \
                 name larger requests, or send without a key"
            )));
        }
        Ok(Ok(named))
    }

    /// Removes names that are over, and counts the others.
    async fn sweep(&self, queue: &Arc<Queue>, now: Timestamp) -> Result<(), ControlError> {
        {
            let mut known = self.known();
            if known.swept.is_some_and(|swept| swept.after(SWEEP_EVERY) > now && swept <= now) {
                return Ok(());
            }
            known.swept = Some(now);
        }
        let asked = Arc::clone(queue);
        let looked = off_thread(&*queue.spool(), move || look(&asked, now)).await.flatten();
        let (counts, over) = looked.map_err(spool)?;
        queue.write_state(over).map_err(|error| ControlError::Spool(error.to_string()))?;
        self.known().counts = counts;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Named {
    /// What is written together with what was accepted.
    pub fn answered(&self, answered: &Answered) -> Option<Operation> {
        let value = serde_json::to_vec(answered).ok()?;
        Some(Operation::Put(Family::State, self.key.clone(), value.into()))
    }

    /// It was written.
    pub fn done(self) {
        let account = self.account.clone();
        *self.keys.known().counts.entry(account).or_default() += 1;
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.keys.known().busy.remove(&self.key);
    }
}

fn key(account: &str, name: &str) -> Vec<u8> {
    let name = digest(&SHA256, name.as_bytes());
    [PREFIX, account.as_bytes(), &[0], name.as_ref()].concat()
}

type Looked = (HashMap<String, usize>, Vec<Operation>);

fn look(queue: &Queue, now: Timestamp) -> Result<Looked, SpoolError> {
    let (mut counts, mut over) = (HashMap::<String, usize>::new(), Vec::new());
    let until = [&PREFIX[..PREFIX.len() - 1], b"0"].concat();
    queue.spool().scan(Family::State, PREFIX, &until, &mut |key, value| {
        let kept = serde_json::from_slice::<Answered>(value).is_ok_and(|it| !it.is_over(now));
        if kept {
            let rest = &key[PREFIX.len()..];
            let account = rest.split(|octet| *octet == 0).next().unwrap_or_default();
            *counts.entry(String::from_utf8_lossy(account).into_owned()).or_default() += 1;
        } else {
            over.push(Operation::Delete(Family::State, key.to_vec()));
        }
        ControlFlow::Continue(())
    })?;
    Ok((counts, over))
}

fn spool(error: SpoolError) -> ControlError {
    ControlError::Spool(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::World;

    const FIRST: Id = Id::ZERO;

    #[tokio::test]
    async fn a_name_is_remembered_for_a_day_also_by_the_next_life() {
        let world = World::new();
        let keys = Arc::new(RequestKeys::default());
        let begin = async |keys: &Arc<RequestKeys>, name: &str, digest: u8| {
            keys.begin(&world.queue, "boletin", name, &[digest; 32]).await
        };
        let named = begin(&keys, "a", 1).await.unwrap().unwrap();
        let busy = begin(&keys, "a", 1).await.unwrap_err();
        assert!(matches!(&busy, ControlError::Refused(why) if why.contains("at this moment")));
        drop(named);
        let named = begin(&keys, "a", 1).await.unwrap().unwrap();
        let sent = Sent { recipients: 2, ..Sent::default() };
        let answered = Answered::new(world.queue.now(), [1; 32], FIRST, 2, &sent);
        let operations = named.answered(&answered).into_iter().collect();
        world.queue.commit_state(operations).await.unwrap();
        named.done();

        let next = Arc::new(RequestKeys::default());
        for keys in [&keys, &next] {
            let again = begin(keys, "a", 1).await.unwrap().unwrap_err();
            assert_eq!((again.ids, again.recipients, again.replayed), (ids(FIRST, 2), 2, true));
            let other = begin(keys, "a", 2).await.unwrap_err();
            assert!(matches!(&other, ControlError::Refused(why) if why.contains("differs")));
            assert!(begin(keys, "b", 2).await.unwrap().is_ok());
            let somebody = keys.begin(&world.queue, "otra", "a", &[2; 32]).await;
            assert!(somebody.unwrap().is_ok(), "a name is its account's own");
        }
        assert_eq!(next.known().counts.get("boletin"), Some(&1));
        world.pass(KEPT);
        assert!(begin(&next, "a", 2).await.unwrap().is_ok());
        assert_eq!(next.known().counts.get("boletin"), None, "what is over is removed");
        let spool = world.queue.spool();
        assert_eq!(spool.get(Family::State, &key("boletin", "a")).unwrap(), None);
    }
}
