//! Reads from the spool what has come due, and at start what waits at all.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prometheus::IntCounter;

use crate::message::{Delivery, DeliveryId, Message, Timestamp};
use crate::metrics::{self, Topic};
use crate::spool::{Family, Spool, SpoolError, off_thread, record};

use super::due::{Found, Load};
use super::keys::{self, DueEntry};
use super::{Queue, Ready};

/// Lanes that are read at the same time.
const LOADS_AT_ONCE: usize = 4;
/// A lane whose reading failed is tried again after this.
const FAILED_AGAIN: Duration = Duration::from_secs(10);

pub(super) static DAMAGED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Records of the spool that could not be read and were set aside";
    metrics::counter(Topic::Spool, "tambo_spool_damaged_total", help)
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&DAMAGED]);
}

impl Queue {
    /// Finds each lane on disk and when it is due, seeking from one to the next: the time it
    /// takes grows with domains and accounts, not with messages.
    pub fn seed(&self) -> Result<usize, SpoolError> {
        let mut from = Vec::new();
        let mut lanes = 0;
        loop {
            let mut first = None;
            self.spool.scan(Family::Due, &from, &[u8::MAX; 300], &mut |key, _| {
                first = Some(key.to_vec());
                ControlFlow::Break(())
            })?;
            let Some(key) = first else { return Ok(lanes) };
            from = if let Some(entry) = keys::parse_due(&key) {
                self.index().waits(&entry);
                lanes += 1;
                keys::after_prefix(keys::lane_prefix(&entry.domain, entry.lane))
            } else {
                DAMAGED.inc();
                tracing::error!("an entry of the due index cannot be read and is passed over");
                [&key[..], &[0]].concat()
            };
        }
    }

    /// Hands out what comes due, until the relay stops. Never returns.
    pub async fn run_loader(&self) {
        loop {
            let now = self.now();
            let reseed = self.index().take_reseed();
            if reseed {
                self.reseed().await;
            }
            let loads = if self.may_deliver() {
                self.index().take_loads(now, LOADS_AT_ONCE)
            } else {
                Vec::new()
            };
            if loads.is_empty() {
                self.wait_for_due(now).await;
                continue;
            }
            for load in loads {
                self.load(load).await;
            }
        }
    }

    async fn wait_for_due(&self, now: Timestamp) {
        let next = {
            let index = self.index();
            if index.is_full() { None } else { index.next_wake() }
        };
        // A second at most, so that a clock that was set is noticed, and a disk that is well again.
        let wait = next
            .map_or(Duration::from_secs(1), |due| due.since(now))
            .clamp(Duration::from_millis(1), Duration::from_secs(1));
        let _ = tokio::time::timeout(wait, self.wake.notified()).await;
    }

    async fn reseed(&self) {
        if let Err(error) = self.seed() {
            tracing::error!(%error, "the due index cannot be read");
            self.index().reseed_failed();
            tokio::time::sleep(FAILED_AGAIN).await;
        }
    }

    async fn load(&self, load: Load) {
        // Everything that was handed to the committer before is seen by the scan.
        let barrier = self.committer.write(Vec::new()).await;
        let (spool, wanted) = (Arc::clone(&self.spool), load.clone());
        let scanned = match barrier {
            Ok(()) => off_thread(&*self.spool, move || scan(&*spool, &wanted))
                .await
                .flatten()
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match scanned {
            Ok(found) => {
                let entries = self.index().loaded(&load, found);
                let spool = Arc::clone(&self.spool);
                let read = off_thread(&*self.spool, move || read(&*spool, entries)).await;
                let mut found = read.unwrap_or_default();
                found.ready.iter_mut().for_each(|ready| self.end_hold(ready));
                for entry in found.damaged {
                    DAMAGED.inc();
                    tracing::error!(message = %entry.id.message, "cannot be read; set aside");
                    self.index().leaves(&entry.domain, entry.lane, entry.id, None);
                }
                let again = self.now().after(FAILED_AGAIN);
                for entry in found.unread {
                    tracing::error!(message = %entry.id.message, "could not be read; read again");
                    self.index().leaves(&entry.domain, entry.lane, entry.id, Some(again));
                }
                self.send_out(found.ready);
            }
            Err(error) => {
                tracing::error!(%error, domain = %load.domain, "the due index cannot be read");
                self.index().load_failed(&load, self.now().after(FAILED_AGAIN));
            }
        }
    }

    /// Reads a delivery that was claimed. One that cannot be read, or is gone, is let go of.
    pub(super) fn read_claimed(&self, id: DeliveryId) -> Result<Option<Ready>, SpoolError> {
        match self.read_delivery(id) {
            Ok(Some(mut ready)) => {
                ready.claimed = true;
                Ok(Some(ready))
            }
            Ok(None) => {
                self.index().release_claim(id);
                Ok(None)
            }
            Err(error) => {
                self.let_go_unread(id, &error);
                Err(error)
            }
        }
    }

    /// A claimed delivery could not be read: one that is damaged stays set aside, one that the disk
    /// did not give is looked for again.
    pub(super) fn let_go_unread(&self, id: DeliveryId, error: &SpoolError) {
        tracing::error!(message = %id.message, %error, "a delivery cannot be read");
        if matches!(error, SpoolError::Damaged(_)) {
            DAMAGED.inc();
            self.index().release_claim(id);
        } else {
            self.index().misplaced(id);
            self.wake.notify_one();
        }
    }

    /// Reads a delivery and its message.
    pub(super) fn read_delivery(&self, id: DeliveryId) -> Result<Option<Ready>, SpoolError> {
        read_one(&*self.spool, id)
    }
}

fn scan(spool: &dyn Spool, load: &Load) -> Result<Found, SpoolError> {
    let prefix = keys::lane_prefix(&load.domain, load.lane);
    let from = keys::due(&load.domain, load.lane, load.from.0, load.from.1);
    let mut found = Found::default();
    spool.scan(Family::Due, &from, &keys::after_prefix(prefix), &mut |key, _| {
        let Some(entry) = keys::parse_due(key) else { return ControlFlow::Continue(()) };
        if entry.due > load.until || found.entries.len() >= load.limit {
            found.next_due = Some(entry.due);
            return ControlFlow::Break(());
        }
        found.entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// What came of reading entries of the due index.
#[derive(Default)]
struct ReadEntries {
    ready: Vec<Ready>,
    /// Their records cannot be understood.
    damaged: Vec<DueEntry>,
    /// The disk did not answer: they are read again.
    unread: Vec<DueEntry>,
}

fn read(spool: &dyn Spool, entries: Vec<DueEntry>) -> ReadEntries {
    let mut found = ReadEntries::default();
    for entry in entries {
        match read_one(spool, entry.id) {
            Ok(Some(mut ready)) if ready.delivery.listed().is_some() => {
                ready.listed_due = Some(entry.due);
                found.ready.push(ready);
            }
            Ok(_) | Err(SpoolError::Damaged(_)) => found.damaged.push(entry),
            Err(_) => found.unread.push(entry),
        }
    }
    found
}

fn read_one(spool: &dyn Spool, id: DeliveryId) -> Result<Option<Ready>, SpoolError> {
    let Some(bytes) = spool.get(Family::Deliveries, &keys::delivery(id))? else { return Ok(None) };
    let delivery: Delivery = record::decode(&bytes)?;
    let Some(bytes) = spool.get(Family::Messages, &keys::message(id.message))? else {
        return Err(SpoolError::Damaged(format!(
            "message {} of a delivery is missing",
            id.message
        )));
    };
    let message: Message = record::decode(&bytes)?;
    Ok(Some(Ready::new(delivery, Arc::new(message), None)))
}
