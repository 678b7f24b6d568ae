//! What is written when a message is accepted. Pure: a submission in, operations out.

use std::sync::Arc;

use bytes::Bytes;
use relay_config::Routes;

use crate::message::{
    Delivery, DeliveryId, Event, EventKind, Id, Lane, Message, Priority, Recipient, RecipientState,
    Submission, SubmittedBody, Timestamp,
};
use crate::spool::{Family, Operation, event_index, record};

use super::keys::{self, DueEntry};

/// Pieces in which a body is stored.
pub const CHUNK_OCTETS: usize = 256 * 1024;

/// A message that is about to be written.
#[derive(Debug)]
pub struct Accepted {
    /// Everything of it but body and deliveries.
    pub message: Arc<Message>,
    /// One for each routing domain.
    pub deliveries: Vec<Delivery>,
    /// The body, when it came in one piece of memory.
    pub body: Option<Vec<Bytes>>,
    /// What makes it durable, events included.
    pub operations: Vec<Operation>,
}

impl Accepted {
    /// Places in the due index.
    pub fn entries(&self) -> impl Iterator<Item = DueEntry> + '_ {
        self.deliveries.iter().map(entry)
    }
}

/// The place of a delivery in the due index.
pub fn entry(delivery: &Delivery) -> DueEntry {
    DueEntry {
        domain: delivery.domain.as_str().into(),
        lane: delivery.lane,
        due: delivery.listed().unwrap_or(delivery.due),
        id: delivery.id,
    }
}

/// Splits a submission by routing domain and says what to write. `events` gives out event ids.
pub fn accept(
    submission: Submission,
    routes: &Routes,
    now: Timestamp,
    mut event_ids: impl FnMut() -> Id,
) -> Accepted {
    let deliveries = split(&submission, routes, now);
    let size = submission.body.size() + submission.prefix.len() as u64;
    let mut operations = Vec::with_capacity(3 + 3 * deliveries.len());
    let (body, body_chunks) = match &submission.body {
        SubmittedBody::Whole(pieces) => {
            let chunks = join(pieces);
            let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            for (number, chunk) in (0..).zip(chunks) {
                let key = keys::body(submission.id, number);
                operations.push(Operation::Put(Family::Bodies, key, chunk));
            }
            (Some(pieces.clone()), count)
        }
        SubmittedBody::Stored { chunks, .. } | SubmittedBody::Template { chunks, .. } => {
            (None, *chunks)
        }
    };
    let template = match submission.body {
        SubmittedBody::Template { id, .. } => Some(id),
        _ => None,
    };
    for delivery in &deliveries {
        operations.extend(put_delivery(delivery));
        for recipient in &delivery.recipients {
            let event = accepted_event(event_ids(), &submission, recipient, size);
            operations.extend(event_index::operations(&event));
        }
    }
    let message = Message {
        id: submission.id,
        sender: submission.sender,
        prefix: submission.prefix,
        body_size: submission.body.size(),
        body_chunks,
        leading_dots: submission.leading_dots,
        body_type: submission.body_type,
        utf8_headers: submission.utf8_headers,
        returns: submission.returns,
        envelope_id: submission.envelope_id,
        from_domain: submission.from_domain,
        foreign_signature: submission.foreign_signature,
        deliveries: u16::try_from(deliveries.len()).unwrap_or(u16::MAX),
        listener: submission.listener,
        account: submission.account,
        pool: submission.pool,
        tags: submission.tags,
        priority: submission.priority,
        message_id: submission.message_id,
        signatures: None,
        send_at: submission.send_at,
        template,
    };
    operations.push(put_message(&message));
    Accepted { message: Arc::new(message), deliveries, body, operations }
}

/// Writes a delivery and, unless it is held for good, its place in the due index.
pub fn put_delivery(delivery: &Delivery) -> Vec<Operation> {
    let mut operations = vec![put_record(delivery)];
    if let Some(due) = delivery.listed() {
        let key = keys::due(&delivery.domain, delivery.lane, due, delivery.id);
        operations.push(Operation::Put(Family::Due, key, Bytes::new()));
    }
    operations
}

/// Writes a delivery whose place in the due index is as it was.
pub fn put_record(delivery: &Delivery) -> Operation {
    Operation::Put(Family::Deliveries, keys::delivery(delivery.id), record::encode(delivery))
}

/// Writes what is kept of a message beside body and deliveries.
pub fn put_message(message: &Message) -> Operation {
    Operation::Put(Family::Messages, keys::message(message.id), record::encode(message))
}

/// Removes a message that nothing waits for any more. A body that it shares stays for the others.
pub fn remove_message(message: &Message) -> Vec<Operation> {
    let mut operations = vec![Operation::Delete(Family::Messages, keys::message(message.id))];
    let chunks = if message.template.is_some() { 0 } else { message.body_chunks };
    operations.extend(
        (0..chunks)
            .map(|number| Operation::SingleDelete(Family::Bodies, keys::body(message.id, number))),
    );
    operations
}

fn split(submission: &Submission, routes: &Routes, now: Timestamp) -> Vec<Delivery> {
    let lane = lane(&submission.account, &submission.tags, submission.priority);
    let mut deliveries: Vec<Delivery> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut places = std::collections::HashMap::new();
    for (address, parameters) in &submission.recipients {
        if !seen.insert(address) {
            continue;
        }
        let domain = routes.routing_domain(address.local_part(), address.domain().as_str());
        let recipient = Recipient {
            address: address.clone(),
            parameters: parameters.clone(),
            state: RecipientState::Queued,
            personal: submission.personal.clone(),
        };
        let place = *places.entry(domain).or_insert_with(|| {
            let number = u16::try_from(deliveries.len()).unwrap_or(u16::MAX);
            deliveries.push(Delivery {
                id: DeliveryId { message: submission.id, number },
                domain: domain.to_owned(),
                lane,
                recipients: Vec::new(),
                due: submission.send_at.unwrap_or(now),
                attempts: 0,
                last: None,
                hold: None,
                pool: None,
            });
            deliveries.len() - 1
        });
        if let Some(delivery) = deliveries.get_mut(place) {
            delivery.recipients.push(recipient);
        }
    }
    deliveries
}

/// The lane of mail of this account with these tags.
pub fn lane(account: &str, tags: &[String], priority: Priority) -> Lane {
    let tag = tags.first().map_or(0, |tag| u8::try_from(hash(tag) % 16).unwrap_or(0));
    Lane { priority, account: hash(account), tag }
}

/// FNV-1a of 32 bits: stored in keys, so it may never change.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// One piece is stored as it is; several small ones are joined up to [`CHUNK_OCTETS`].
fn join(pieces: &[Bytes]) -> Vec<Bytes> {
    match pieces {
        [one] if one.len() <= CHUNK_OCTETS => vec![one.clone()],
        _ => {
            let whole: Vec<u8> = pieces.concat();
            let whole = Bytes::from(whole);
            (0..whole.len())
                .step_by(CHUNK_OCTETS)
                .map(|start| whole.slice(start..whole.len().min(start + CHUNK_OCTETS)))
                .collect()
        }
    }
}

fn accepted_event(id: Id, submission: &Submission, recipient: &Recipient, size: u64) -> Event {
    let mut event = Event::new(id, EventKind::Accepted);
    event.message = Some(submission.id);
    event.message_id.clone_from(&submission.message_id);
    event.listener = Some(submission.listener.clone());
    event.client = submission.client;
    event.account = Some(submission.account.clone());
    event.pool.clone_from(&submission.pool);
    event.tags.clone_from(&submission.tags);
    event.sender = Some(submission.sender.to_string());
    event.recipient = Some(recipient.address.to_string());
    event.size = Some(size);
    event.next_attempt = submission.send_at.map(Timestamp::to_rfc3339);
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::examples;

    fn submission(recipients: &[&str], body: SubmittedBody) -> Submission {
        let id = Id::first_at(Timestamp::from_millis(5));
        let account = "boletin".to_owned();
        let tags = vec!["a".to_owned()];
        Submission { body, account, tags, ..examples::submission(id, recipients) }
    }

    fn accepted(submission: Submission) -> Accepted {
        let mut next = 100;
        accept(submission, &Routes::default(), Timestamp::from_millis(9), || {
            next += 1;
            Id::first_at(Timestamp::from_millis(next))
        })
    }

    fn keys_in(accepted: &Accepted, family: Family) -> usize {
        let of_family = |o: &&Operation| matches!(o, Operation::Put(f, ..) if *f == family);
        accepted.operations.iter().filter(of_family).count()
    }

    #[test]
    fn one_delivery_for_each_domain_and_one_body() {
        let body = SubmittedBody::Whole(vec![Bytes::from_static(b"hello\r\n")]);
        let to = ["a@b.pe", "c@B.pe", "a@d.pe", "a@b.pe"];
        let accepted = accepted(submission(&to, body));
        let split: Vec<_> = accepted
            .deliveries
            .iter()
            .map(|d| (d.id.number, d.domain.as_str(), d.recipients.len()))
            .collect();
        assert_eq!(split, [(0, "b.pe", 2), (1, "d.pe", 1)]);
        assert_eq!(accepted.message.deliveries, 2);
        assert_eq!(accepted.message.size(), 13 + 7);
        assert_eq!(keys_in(&accepted, Family::Bodies), 1);
        assert_eq!(keys_in(&accepted, Family::Due), 2);
        assert_eq!(keys_in(&accepted, Family::Events), 3, "one for each recipient");
    }

    #[test]
    fn a_body_in_many_pieces_is_joined_and_cut_at_the_chunk_size() {
        let pieces = vec![Bytes::from(vec![b'x'; 200 * 1024]); 3];
        let accepted = accepted(submission(&["a@b.pe"], SubmittedBody::Whole(pieces)));
        assert_eq!(accepted.message.body_chunks, 3);
        assert_eq!(keys_in(&accepted, Family::Bodies), 3);
        assert_eq!(accepted.message.body_size, 600 * 1024);
    }

    #[test]
    fn the_hash_in_keys_never_changes() {
        assert_eq!(hash(""), 0x811c_9dc5);
        assert_eq!(hash("foobar"), 0xbf9c_f968);
    }
}
