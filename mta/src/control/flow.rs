//! Events as they happen, for those who follow them.
//!
//! Each reader has its own place and reads from the spool when it has room for more: nobody waits for a slow one, and
//! memory holds one reading of each. It sleeps while there is nothing new.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::admin::{ControlError, EventFlow, FollowQuery, Passed};
use crate::message::{Event, Id, Timestamp};
use crate::metrics::limit_hit;
use crate::outcome::{Filter, Horizon, events_after};
use crate::outside::BoxFuture;
use crate::queue::Queue;
use crate::spool::{SpoolError, off_thread};

use super::RelayControl;
use super::events::{cursor, kinds};

/// Readers at a time: each wakes with every event, and reads all of them again.
const STREAMS_MAX: usize = 64;
/// Events of one reading: some 300 KB.
const BATCH: usize = 500;

/// Who follows events.
#[derive(Clone)]
pub struct Streams {
    horizon: Arc<Horizon>,
    room: Arc<Semaphore>,
}

impl Streams {
    /// Nobody yet; up to this horizon.
    pub fn new(horizon: Arc<Horizon>) -> Self {
        Self { horizon, room: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl RelayControl {
    /// Follows events from a place on: after an event, since a time, or from now.
    pub(super) fn flow(&self, query: &FollowQuery) -> Result<Box<dyn EventFlow>, ControlError> {
        let mut search =
            self.search(query.fields(), (query.since.as_deref(), query.until.as_deref()))?;
        search.filter.kinds = kinds(query.kind.as_deref())?;
        let from = query.from.as_deref().map(cursor).transpose()?;
        let Ok(permit) = Arc::clone(&self.streams.room).try_acquire_owned() else {
            limit_hit("event_streams");
            return Err(ControlError::Spool(format!(
                "{STREAMS_MAX} streams of events are open, which is all that may be: close one"
            )));
        };
        let news = self.streams.horizon.follow();
        let since = search.filter.since.map(just_before);
        let place = from.or(since).unwrap_or_else(|| self.streams.horizon.now());
        Ok(Box::new(Flow {
            queue: Arc::clone(&self.queue),
            filter: Arc::new(search.filter),
            news,
            place,
            _permit: permit,
        }))
    }
}

/// The place from which everything of this time follows.
pub(super) fn just_before(time: Timestamp) -> Id {
    Id::first_at(time.before(Duration::from_millis(1)))
}

/// A reader and its place.
struct Flow {
    queue: Arc<Queue>,
    filter: Arc<Filter>,
    news: watch::Receiver<Id>,
    /// The last event that it has passed.
    place: Id,
    _permit: OwnedSemaphorePermit,
}

impl EventFlow for Flow {
    fn next(&mut self, patience: Duration) -> BoxFuture<'_, Result<Passed, ControlError>> {
        Box::pin(self.read_on(Instant::now() + patience))
    }
}

impl Flow {
    async fn read_on(&mut self, until: Instant) -> Result<Passed, ControlError> {
        loop {
            let horizon = *self.news.borrow_and_update();
            let mut events = Vec::new();
            if self.place < horizon {
                events = self.read_to(horizon).await?;
            }
            let waited = self.place >= horizon;
            if !events.is_empty() || Instant::now() >= until {
                return Ok(Passed { events, place: self.place.to_string() });
            }
            if waited && let Ok(changed) = timeout_at(until, self.news.changed()).await {
                changed.map_err(|_| ControlError::Spool("the relay is stopping".to_owned()))?;
            }
        }
    }

    /// What is meant of the next reading; the place moves on.
    async fn read_to(&mut self, horizon: Id) -> Result<Vec<(String, String)>, ControlError> {
        let (queue, filter, place) =
            (Arc::clone(&self.queue), Arc::clone(&self.filter), self.place);
        let read = move || -> Result<(Vec<(String, String)>, Id), SpoolError> {
            let lines = events_after(&*queue.spool(), place, horizon, BATCH)?;
            let last = match lines.last() {
                Some((id, _)) if lines.len() == BATCH => *id,
                _ => horizon,
            };
            let meant = lines.into_iter().filter_map(|(id, line)| {
                let event: Event = serde_json::from_slice(&line).ok()?;
                let line = filter.takes(&event).then(|| String::from_utf8(line.to_vec()).ok())?;
                Some((id.to_string(), line?))
            });
            Ok((meant.collect(), last))
        };
        let read = off_thread(&*self.queue.spool(), read).await.flatten();
        let (events, last) =
            read.map_err(|error: SpoolError| ControlError::Spool(error.to_string()))?;
        self.place = last;
        Ok(events)
    }
}
