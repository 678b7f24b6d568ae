//! What is in the queue, for people and programs that ask.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::{Delivery, DeliveryId, Id, Message};
use crate::spool::{Family, SpoolError, record};

use super::{Queue, keys};

/// Deliveries that one question may look at, however few of them match.
const SCAN_MAX: usize = 20_000;

/// A delivery that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRow {
    /// It.
    pub delivery: Delivery,
    /// Its message.
    pub message: Arc<Message>,
    /// It is ready or in flight.
    pub active: bool,
}

impl QueueRow {
    /// The pool that it asks for.
    pub fn pool(&self) -> Option<&str> {
        super::standing::pool(&self.delivery, &self.message)
    }
}

/// A page of the queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueuePage {
    /// In order of acceptance.
    pub rows: Vec<QueueRow>,
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<DeliveryId>,
}

/// Which deliveries may be wanted, as can be told from part of what is stored: most are passed over, and what of
/// them is not read costs nothing.
pub struct May<'a> {
    /// By the routing domain.
    pub domain: &'a dyn Fn(&str) -> bool,
    /// By the delivery, without its message.
    pub delivery: &'a dyn Fn(&Delivery) -> bool,
}

impl Queue {
    /// Deliveries from `from` on that `wanted` accepts. Blocks.
    pub fn list(
        &self,
        from: Option<DeliveryId>,
        limit: usize,
        wanted: &dyn Fn(&Delivery, &Message) -> bool,
    ) -> Result<QueuePage, SpoolError> {
        self.list_of(from, limit, &May { domain: &|_| true, delivery: &|_| true }, wanted)
    }

    /// The same of those alone that `may` lets pass: of the others no more is read than that takes. Blocks.
    pub fn list_of(
        &self,
        from: Option<DeliveryId>,
        limit: usize,
        may: &May<'_>,
        wanted: &dyn Fn(&Delivery, &Message) -> bool,
    ) -> Result<QueuePage, SpoolError> {
        let from = from.map_or_else(Vec::new, keys::delivery);
        let (mut seen, mut next, mut records) = (0, None, Vec::new());
        let mut message: Option<Arc<Message>> = None;
        self.spool.scan(Family::Deliveries, &from, &[u8::MAX; 11], &mut |key, value| {
            seen += 1;
            let Ok((id, domain)) = record::opening_of_delivery(value) else {
                return ControlFlow::Continue(());
            };
            if seen > SCAN_MAX || records.len() >= limit {
                next = Some(id);
                return ControlFlow::Break(());
            }
            if !(may.domain)(domain) {
                return ControlFlow::Continue(());
            }
            let Some(delivery) = record::decode(value).ok().filter(|it| (may.delivery)(it)) else {
                return ControlFlow::Continue(());
            };
            let known = message.take().filter(|known| known.id == delivery.id.message);
            message = known.or_else(|| self.message(delivery.id.message).ok().flatten());
            if let (Some(message), Some(_)) = (&message, keys::message_of(key))
                && wanted(&delivery, message)
            {
                records.push((delivery, Arc::clone(message)));
            }
            ControlFlow::Continue(())
        })?;
        let index = self.index();
        let rows = records
            .into_iter()
            .map(|(delivery, message)| {
                let active = index.is_active(delivery.id);
                QueueRow { delivery, message, active }
            })
            .collect();
        Ok(QueuePage { rows, next })
    }

    /// What is left to do of one message. Blocks.
    pub fn of_message(&self, id: Id) -> Result<Vec<QueueRow>, SpoolError> {
        let mut rows = Vec::new();
        for delivery in self.deliveries_of(id)? {
            if let Some(ready) = self.read_delivery(delivery)? {
                let active = self.index().is_active(delivery);
                rows.push(QueueRow { delivery: ready.delivery, message: ready.message, active });
            }
        }
        Ok(rows)
    }

    /// Whether something of a message is left to do. Blocks.
    pub fn is_waiting(&self, id: Id) -> Result<bool, SpoolError> {
        Ok(!self.deliveries_of(id)?.is_empty())
    }

    /// A message that has not ended. Blocks.
    pub fn message(&self, id: Id) -> Result<Option<Arc<Message>>, SpoolError> {
        let bytes = self.spool.get(Family::Messages, &keys::message(id))?;
        bytes.map(|bytes| record::decode(&bytes).map(Arc::new)).transpose()
    }

    /// The spool, for those who read events. Nobody but the queue writes.
    pub fn spool(&self) -> Arc<dyn crate::spool::Spool> {
        Arc::clone(&self.spool)
    }
}
