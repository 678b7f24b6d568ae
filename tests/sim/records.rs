//! What the relay writes down, batch by batch: the state of a recipient and the event that explains it are one
//! batch (design, invariant 2), and each final event has its reason.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use bytes::Bytes;
use mta::message::{Delivery, Event, EventKind, Id, Message, RecipientState};
use mta::queue::keys;
use mta::spool::{Family, Keys, Operation, record};

use super::books::{Books, Obligation, Recipient, SOON};
use super::plan::EXPIRE_AFTER;
use super::world::World;

/// What one batch changes.
#[derive(Default)]
struct Batch {
    /// Deliveries as they are after it; `None`: gone.
    deliveries: BTreeMap<Vec<u8>, Option<Delivery>>,
    /// Keys that are set once and removed once, as they are after it.
    once: BTreeMap<(Family, Vec<u8>), bool>,
    /// Recipients that have ended in it.
    ended: BTreeMap<Recipient, u32>,
    /// Recipients that are new in it.
    begun: BTreeMap<Recipient, u32>,
    events: Vec<Event>,
}

impl Books {
    /// A batch is written.
    pub fn written(&mut self, world: &World, before: &Keys, operations: &[Operation]) {
        if world.is_dark() {
            return;
        }
        let mut batch = Batch::default();
        for operation in operations {
            note(world, operation);
            match operation {
                Operation::Put(Family::Events, _, value) => {
                    batch.events.push(serde_json::from_slice(value).unwrap());
                }
                Operation::Put(Family::Deliveries, key, value) => {
                    let after: Delivery = record::decode(value).unwrap();
                    batch.moves(before, key, Some(after));
                }
                Operation::Delete(Family::Deliveries, key) => batch.moves(before, key, None),
                Operation::Put(family @ (Family::Due | Family::Bodies), key, _) => {
                    if batch.once(before, *family, key, true) {
                        self.violated(format!("a key of {family:?} is set twice: {key:x?}"));
                    }
                }
                Operation::SingleDelete(family, key) => {
                    if !batch.once(before, *family, key, false) {
                        self.violated(format!("no key of {family:?} to remove: {key:x?}"));
                    }
                }
                Operation::Put(..) | Operation::Delete(..) => {}
            }
        }
        let events = std::mem::take(&mut batch.events);
        for event in &events {
            self.event(world, event, before, &mut batch);
        }
        for event in events.into_iter().filter(|event| event.kind == EventKind::Deferred) {
            let recipient = event.recipient.unwrap_or_default();
            self.wishes.remove(&(event.sender.unwrap_or_default(), recipient));
        }
        let unexplained = batch.begun.iter().chain(&batch.ended).find(|(_, count)| **count > 0);
        if let Some((recipient, _)) = unexplained {
            self.violated(format!("{recipient:?} changes without an event in the same batch"));
        }
    }

    fn event(&mut self, world: &World, event: &Event, before: &Keys, batch: &mut Batch) {
        let (Some(id), Some(recipient)) = (event.message, event.recipient.clone()) else { return };
        let key = (id, recipient);
        match event.kind {
            EventKind::Accepted => {
                take(&mut batch.begun, &key);
                let obligation = Obligation { since: world.now(), ends: 0 };
                self.obligations.insert(key, obligation);
            }
            EventKind::Deferred => self.deferred(world, event, &key, before, batch),
            EventKind::Delivered
            | EventKind::Bounced
            | EventKind::Expired
            | EventKind::Suppressed => {
                if !take(&mut batch.ended, &key) {
                    self.violated(format!("{:?} of {key:?} changes no state", event.kind));
                }
                self.final_event(world, event, key);
            }
            _ => {}
        }
    }

    fn deferred(
        &mut self,
        world: &World,
        event: &Event,
        (id, recipient): &Recipient,
        before: &Keys,
        batch: &Batch,
    ) {
        let place = |delivery: &&Delivery| {
            delivery.id.message == *id
                && delivery.recipients.iter().any(|it| it.address.to_string() == *recipient)
        };
        let Some(delivery) = batch.deliveries.values().flatten().find(place) else {
            let gone = before.is_empty();
            return self.violated(format!("{recipient} of {id} is deferred and not kept ({gone})"));
        };
        let due = delivery.due;
        let pair = (event.sender.clone().unwrap_or_default(), recipient.clone());
        // "So many at a time" is no failed attempt.
        if event.enhanced.as_deref() != Some("4.5.3") {
            let attempt = event.attempt.unwrap_or(1);
            let wall = world.wall_before(SOON);
            let earliest = wall.after(self.wait_of(world, &pair, delivery, attempt));
            if due < earliest {
                let early = earliest.since(due);
                self.violated(format!(
                    "{recipient} of {id} is to be tried again {early:?} before schedule and server allow, \
                     after attempt {attempt}: {:?}",
                    event.reply
                ));
            }
        }
        if !pair.0.is_empty() {
            self.not_before.insert(pair, due);
        }
    }

    /// How long a recipient must be left alone: as the schedule says, or as servers said of it, or of others
    /// of its delivery.
    fn wait_of(
        &self,
        world: &World,
        pair: &(String, String),
        delivery: &Delivery,
        attempt: u32,
    ) -> Duration {
        let wish = self.wishes.get(pair).filter(|(_, certain)| *certain);
        let wish = wish.map_or(Duration::ZERO, |(seconds, _)| Duration::from_secs(*seconds));
        let any = delivery.recipients.iter().any(|recipient| {
            let other = (pair.0.clone(), recipient.address.to_string());
            self.wishes.contains_key(&other)
        });
        let scheduled = if any { Duration::ZERO } else { world.plan.retry_min(attempt) };
        wish.max(scheduled)
    }

    fn final_event(&mut self, world: &World, event: &Event, key: Recipient) {
        let Some(obligation) = self.obligations.get_mut(&key) else {
            return self.violated(format!("{key:?} ends and was never accepted"));
        };
        obligation.ends += 1;
        let Obligation { since, ends } = *obligation;
        let (id, recipient) = &key;
        if ends > 1 {
            self.violated(format!("{recipient} of {id} ends {ends} times"));
        }
        let pair = (event.sender.clone().unwrap_or_default(), recipient.clone());
        self.not_before.remove(&pair);
        match event.kind {
            EventKind::Delivered if !self.copies.contains_key(&key) => {
                self.violated(format!("{recipient} of {id} is said to be delivered and was not"));
            }
            EventKind::Bounced => {
                let domain = recipient.rsplit('@').next().unwrap_or_default();
                let not_found = self.not_found.get(domain).is_some_and(|at| *at >= since);
                if !not_found && !self.refused.contains(&pair) {
                    let reply = &event.reply;
                    self.violated(format!("{recipient} of {id} bounces without reason: {reply:?}"));
                }
            }
            EventKind::Suppressed => {
                let mut refused = self.refused.iter();
                if !refused.any(|(_, refused)| refused.eq_ignore_ascii_case(recipient)) {
                    let why = &event.detail;
                    self.violated(format!(
                        "{recipient} of {id} is suppressed without reason: {why:?}"
                    ));
                }
            }
            EventKind::Expired => {
                if world.wall() < id.time().after(EXPIRE_AFTER) {
                    self.violated(format!("{recipient} of {id} expires before its time"));
                }
                if let Some(late) = self.could_have_been_delivered(world, recipient, since) {
                    let reply = &event.reply;
                    self.violated(format!(
                        "{recipient} of {id} expires, and could have been delivered {late:?} ago: {reply:?}"
                    ));
                }
            }
            _ => {}
        }
    }

    /// A relay starts on what a disk holds: what is not there, it cannot know.
    pub fn survived(&mut self, keys: &Keys) {
        let known = std::mem::take(&mut self.obligations);
        self.not_before.clear();
        let mut due = 0;
        for ((family, key), value) in keys {
            match family {
                Family::Events => {
                    let event: Event = serde_json::from_slice(value).unwrap();
                    self.remember(&event, &known);
                }
                Family::Deliveries => {
                    let delivery: Delivery = record::decode(value).unwrap();
                    let entry =
                        keys::due(&delivery.domain, delivery.lane, delivery.due, delivery.id);
                    let message = keys.get(&(Family::Messages, keys::message(delivery.id.message)));
                    let listed = keys.contains_key(&(Family::Due, entry));
                    let (Some(message), true) = (message, listed) else {
                        self.violated(format!("{key:x?} is without its message or due entry"));
                        continue;
                    };
                    due += 1;
                    let message: Message = record::decode(message).unwrap();
                    self.wait(&delivery, &message);
                }
                _ => {}
            }
        }
        let entries = keys.keys().filter(|(family, _)| *family == Family::Due).count();
        if entries != due {
            self.violated(format!("{entries} due entries for {due} deliveries"));
        }
        self.check_acknowledged();
    }

    fn remember(&mut self, event: &Event, known: &BTreeMap<Recipient, Obligation>) {
        let (Some(id), Some(recipient)) = (event.message, event.recipient.clone()) else { return };
        let key = (id, recipient);
        match event.kind {
            EventKind::Accepted => {
                let since = known.get(&key).map(|it| it.since).unwrap_or_default();
                self.obligations.insert(key, Obligation { since, ends: 0 });
            }
            EventKind::Delivered
            | EventKind::Bounced
            | EventKind::Expired
            | EventKind::Suppressed => {
                if let Some(obligation) = self.obligations.get_mut(&key) {
                    obligation.ends += 1;
                }
            }
            _ => {}
        }
    }

    fn wait(&mut self, delivery: &Delivery, message: &Message) {
        let sender = message.sender.to_string();
        if sender.is_empty() {
            return;
        }
        for recipient in &delivery.recipients {
            if recipient.state == RecipientState::Queued {
                let pair = (sender.clone(), recipient.address.to_string());
                self.not_before.insert(pair, delivery.due);
            }
        }
    }
}

impl Batch {
    /// A delivery is written, or removed.
    fn moves(&mut self, before: &Keys, key: &[u8], after: Option<Delivery>) {
        let stored = || {
            let value: Option<&Bytes> = before.get(&(Family::Deliveries, key.to_vec()));
            value.map(|value| record::decode::<Delivery>(value).unwrap())
        };
        let known = self.deliveries.get(key).cloned().unwrap_or_else(stored);
        let states = |delivery: &Option<Delivery>| -> BTreeMap<Recipient, RecipientState> {
            let of =
                |it: &mta::message::Recipient, id: Id| ((id, it.address.to_string()), it.state);
            let recipients = delivery
                .iter()
                .flat_map(|it| it.recipients.iter().map(|recipient| of(recipient, it.id.message)));
            recipients.collect()
        };
        let (was, is) = (states(&known), states(&after));
        for (recipient, state) in &is {
            if *state == RecipientState::Queued && !was.contains_key(recipient) {
                *self.begun.entry(recipient.clone()).or_default() += 1;
            }
        }
        for (recipient, state) in was {
            let now = is.get(&recipient);
            if state == RecipientState::Queued && now != Some(&RecipientState::Queued) {
                *self.ended.entry(recipient).or_default() += 1;
            }
        }
        self.deliveries.insert(key.to_vec(), after);
    }

    /// Sets or removes a key; returns whether it was there.
    fn once(&mut self, before: &Keys, family: Family, key: &[u8], set: bool) -> bool {
        let place = (family, key.to_vec());
        let known = before.contains_key(&place);
        self.once.insert(place, set).unwrap_or(known)
    }
}

/// Takes one off a count; whether there was one.
fn take(counts: &mut BTreeMap<Recipient, u32>, key: &Recipient) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

fn note(world: &World, operation: &Operation) {
    let digest = |value: &[u8]| {
        let mut hasher = DefaultHasher::new();
        hasher.write(value);
        hasher.finish()
    };
    match operation {
        Operation::Put(Family::Events, _, value) => {
            world.note(format_args!("{}", String::from_utf8_lossy(value)));
        }
        Operation::Put(family, key, value) => {
            let (length, digest) = (value.len(), digest(value));
            world.note(format_args!("put {family:?} {key:x?} {length} {digest:x}"));
        }
        Operation::Delete(family, key) | Operation::SingleDelete(family, key) => {
            world.note(format_args!("remove {family:?} {key:x?}"));
        }
    }
}
