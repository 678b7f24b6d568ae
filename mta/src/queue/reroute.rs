//! Deliveries whose recipients do not share a routing domain any more, because the routes have
//! changed since they were accepted: they are divided anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::{
    Delivery, DeliveryId, Event, EventKind, Message, Recipient, RecipientState, Timestamp,
};
use crate::spool::{Family, Operation, SpoolError, event_index, record};

use super::accept::{self, Accepted};
use super::{Body, LeverError, Queue, Ready, expiry, keys};

impl Queue {
    /// Whether the recipients that wait still share the routing domain of their delivery.
    pub fn is_routed(&self, delivery: &Delivery) -> bool {
        let options = self.options();
        if options.routes.is_empty() && !relay_config::routes::is_smarthost(&delivery.domain) {
            return true;
        }
        let mut waiting =
            delivery.recipients.iter().filter(|it| it.state == RecipientState::Queued);
        waiting.all(|recipient| self.routing_domain(recipient) == delivery.domain)
    }

    /// Divides a delivery by the routes of now. What comes of it is due at once, unless it is held;
    /// durable when it returns. Returns the routing domains.
    pub async fn divide(&self, ready: Ready) -> Result<Vec<String>, LeverError> {
        let ready = Returned { queue: self, ready: Some(ready) };
        // One at a time gives out numbers of deliveries.
        let _turn = self.dividing.lock().await;
        self.committer.write(Vec::new()).await?;
        let (mut message, first) = self.next_number(&ready)?;
        let now = self.now();
        let deliveries = self.divided(&ready, first, now);
        let last = deliveries.last().map_or(first, |delivery| delivery.id.number);
        message.deliveries = last.checked_add(1).ok_or(LeverError::TooManyDeliveries)?;
        let domains: Vec<String> = deliveries.iter().map(|it| it.domain.clone()).collect();
        let mut operations = removal(&ready);
        operations.extend(deliveries.iter().flat_map(accept::put_delivery));
        let key = keys::message(message.id);
        operations.push(Operation::Put(Family::Messages, key, record::encode(&message)));
        operations.extend(self.rerouted_events(&ready, &deliveries));
        let body = ready.ready.as_ref().and_then(|ready| ready.body.clone());
        let accepted =
            Accepted { message: Arc::new(message), deliveries, body: None, operations: Vec::new() };
        let entries = accepted
            .deliveries
            .iter()
            .filter(|it| it.listed().is_some())
            .map(accept::entry)
            .collect();
        let claim = super::Claim::new(self, entries);
        self.committer.commit(operations).await?;
        if let Some(ready) = ready.into_inner() {
            self.leaves(&ready, None);
        }
        claim.place(accepted.message, accepted.deliveries, body, Body::OnDisk);
        Ok(domains)
    }

    fn routing_domain(&self, recipient: &Recipient) -> String {
        let options = self.options();
        let address = &recipient.address;
        options.routes.routing_domain(address.local_part(), address.domain().as_str()).to_owned()
    }

    /// The message as it is on disk, and the first number that none of its deliveries has.
    fn next_number(&self, ready: &Returned<'_>) -> Result<(Message, u16), LeverError> {
        let id = ready.delivery().map(|delivery| delivery.id).ok_or(LeverError::Gone)?;
        let bytes = self.spool.get(Family::Messages, &keys::message(id.message))?;
        let bytes =
            bytes.ok_or_else(|| SpoolError::Damaged("the message is missing".to_owned()))?;
        let message: Message = record::decode(&bytes)?;
        let known = expiry::deliveries_of(&*self.spool, id.message)?;
        let highest = known.iter().map(|delivery| delivery.number).max().unwrap_or(id.number);
        let next = highest.checked_add(1).ok_or(LeverError::TooManyDeliveries)?;
        let first = next.max(message.deliveries);
        Ok((message, first))
    }

    fn divided(&self, ready: &Returned<'_>, first: u16, now: Timestamp) -> Vec<Delivery> {
        let Some(delivery) = ready.delivery() else { return Vec::new() };
        let mut groups: BTreeMap<String, Vec<Recipient>> = BTreeMap::new();
        let waiting = delivery.recipients.iter().filter(|it| it.state == RecipientState::Queued);
        for recipient in waiting {
            groups.entry(self.routing_domain(recipient)).or_default().push(recipient.clone());
        }
        let numbered = (first..=u16::MAX).zip(groups);
        let divided = numbered.map(|(number, (domain, recipients))| Delivery {
            id: DeliveryId { message: delivery.id.message, number },
            domain,
            recipients,
            due: now,
            ..delivery.clone()
        });
        divided.collect()
    }

    fn rerouted_events(&self, ready: &Returned<'_>, deliveries: &[Delivery]) -> Vec<Operation> {
        let Some(ready) = &ready.ready else { return Vec::new() };
        let mut operations = Vec::new();
        for delivery in deliveries {
            for recipient in &delivery.recipients {
                let id = self.next_id();
                let mut event = Event::of_message(id, EventKind::Rerouted, &ready.message);
                event.recipient = Some(recipient.address.to_string());
                event.site = Some(delivery.domain.clone());
                event.detail = Some(format!(
                    "the routes have changed: it went by {}, and goes by {} now",
                    ready.delivery.domain, delivery.domain
                ));
                operations.extend(event_index::operations(&event));
            }
        }
        operations
    }
}

/// What takes the undivided delivery away.
fn removal(ready: &Returned<'_>) -> Vec<Operation> {
    let Some(ready) = &ready.ready else { return Vec::new() };
    let delivery = &ready.delivery;
    let mut operations = vec![Operation::Delete(Family::Deliveries, keys::delivery(delivery.id))];
    if let Some(due) = ready.listed_due {
        let key = keys::due(&delivery.domain, delivery.lane, due, delivery.id);
        operations.push(Operation::SingleDelete(Family::Due, key));
    }
    operations
}

/// Given back to the queue unless it was divided.
struct Returned<'a> {
    queue: &'a Queue,
    ready: Option<Ready>,
}

impl Returned<'_> {
    fn delivery(&self) -> Option<&Delivery> {
        self.ready.as_ref().map(|ready| &ready.delivery)
    }

    fn into_inner(mut self) -> Option<Ready> {
        self.ready.take()
    }
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if let Some(ready) = &self.ready {
            self.queue.give_back(ready);
        }
    }
}
