//! What a stopped spool holds, read record by record: for an administrator whose spool is damaged, or
//! who wants to take the mail somewhere else.
//!
//! Nothing is changed. What cannot be read is told and passed over, also a block of the disk in the
//! middle of a family.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::message::{Delivery, DeliveryId, Id, Message};
use crate::spool::{Family, Spool, SpoolError, record};

use super::{keys, shared, state};

/// Messages that are looked at between two scans.
const BATCH: usize = 500;
/// How often a scan that fails is begun again further on; each step is twice as wide, so that
/// they cover all ids.
const SKIPS_MAX: u32 = 64;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The message, when it is known.
    pub message: Option<Id>,
    /// In words.
    pub what: String,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages that can be read.
    pub messages: u64,
    /// Octets of them.
    pub octets: u64,
    /// Deliveries that wait.
    pub deliveries: u64,
    /// Recipients that wait.
    pub recipients: u64,
    /// Deliveries that are held.
    pub held: u64,
    /// Places in the due index.
    pub due: u64,
    /// Events.
    pub events: u64,
    /// What is not as it should be.
    pub findings: u64,
}

/// A message with all that could be read of it.
#[derive(Debug)]
pub struct Stored {
    /// Its metadata.
    pub message: Message,
    /// What is left to be done.
    pub deliveries: Vec<Delivery>,
    /// Some of its deliveries cannot be read: recipients may be missing.
    pub incomplete: bool,
}

/// Visits each message in order of acceptance. Damage is told to `found`.
pub fn messages(
    spool: &dyn Spool,
    found: &mut dyn FnMut(Finding),
    visit: &mut dyn FnMut(Stored),
) -> Result<(), SpoolError> {
    let mut ids = Vec::new();
    each_id(spool, Family::Messages, found, &mut |id, _| ids.push(id))?;
    for batch in ids.chunks(BATCH) {
        for id in batch {
            match read(spool, *id) {
                Ok(Some((message, deliveries, damage))) => {
                    let incomplete = !damage.is_empty();
                    for what in damage {
                        found(Finding { message: Some(*id), what });
                    }
                    visit(Stored { message, deliveries, incomplete });
                }
                Ok(None) => {}
                Err(error) => found(Finding {
                    message: Some(*id),
                    what: format!("its metadata cannot be read: {error}"),
                }),
            }
        }
    }
    Ok(())
}

/// The octets of a message, without the prefix; `Err`: what is wrong with them, and those that could
/// be read.
pub fn body(spool: &dyn Spool, message: &Message) -> Result<Vec<u8>, (String, Vec<u8>)> {
    let mut octets = Vec::new();
    for number in 0..message.body_chunks {
        match spool.get(Family::Bodies, &keys::body(message.body_id(), number)) {
            Ok(Some(piece)) => octets.extend_from_slice(&piece),
            Ok(None) => return Err((format!("piece {number} of its body is missing"), octets)),
            Err(error) => {
                return Err((
                    format!("piece {number} of its body cannot be read: {error}"),
                    octets,
                ));
            }
        }
    }
    if octets.len() as u64 == message.body_size {
        Ok(octets)
    } else {
        let what = format!("its body has {} octets instead of {}", octets.len(), message.body_size);
        Err((what, octets))
    }
}

/// Compares everything with everything.
pub fn inspect(
    spool: &dyn Spool,
    progress: &mut dyn FnMut(u64),
    told: &mut dyn FnMut(&Finding),
) -> Result<Counts, SpoolError> {
    let mut counts = Counts::default();
    let mut findings = 0;
    let mut found = |finding: Finding| {
        findings += 1;
        told(&finding);
    };
    let mut wanted: BTreeSet<DeliveryId> = BTreeSet::new();
    let mut known: BTreeSet<Id> = BTreeSet::new();
    let mut damage: Vec<Finding> = Vec::new();
    messages(spool, &mut found, &mut |stored| {
        counts.messages += 1;
        counts.octets += stored.message.size();
        known.insert(stored.message.id);
        if let Err((what, _)) = body(spool, &stored.message) {
            damage.push(Finding { message: Some(stored.message.id), what });
        }
        for delivery in &stored.deliveries {
            counts.deliveries += 1;
            counts.recipients += state::waiting(delivery).count() as u64;
            counts.held += u64::from(delivery.hold.is_some());
            if delivery.listed().is_some() {
                wanted.insert(delivery.id);
            }
        }
        if counts.messages.is_multiple_of(10_000) {
            progress(counts.messages);
        }
    })?;
    damage.into_iter().for_each(&mut found);
    known.extend(shared::templates(spool)?);
    orphans(spool, &known, &mut found)?;
    counts.due = due(spool, wanted, &mut found)?;
    counts.events = events(spool, &mut found)?;
    counts.findings = findings;
    Ok(counts)
}

/// Deliveries and bodies of messages that are not there.
fn orphans(
    spool: &dyn Spool,
    known: &BTreeSet<Id>,
    found: &mut dyn FnMut(Finding),
) -> Result<(), SpoolError> {
    for (family, what) in [
        (Family::Deliveries, "a delivery of it is there, and the message is not"),
        (
            Family::Bodies,
            "pieces of its body are there, and the message is not: it never arrived whole, or its metadata is lost",
        ),
    ] {
        let mut lost = BTreeSet::new();
        each_id(spool, family, found, &mut |id, _| {
            if !known.contains(&id) {
                lost.insert(id);
            }
        })?;
        for id in lost {
            found(Finding { message: Some(id), what: what.to_owned() });
        }
    }
    Ok(())
}

fn due(
    spool: &dyn Spool,
    mut wanted: BTreeSet<DeliveryId>,
    found: &mut dyn FnMut(Finding),
) -> Result<u64, SpoolError> {
    let (mut count, mut stray, mut unread) = (0, Vec::new(), 0_u64);
    let scanned = spool.scan(Family::Due, &[], &[u8::MAX; 300], &mut |key, _| {
        count += 1;
        match keys::parse_due(key) {
            Some(entry) if wanted.remove(&entry.id) => {}
            Some(entry) => stray.push(entry.id),
            None => unread += 1,
        }
        ControlFlow::Continue(())
    });
    for id in stray {
        let what = "a place in the due index leads to a delivery that does not wait".to_owned();
        found(Finding { message: Some(id.message), what });
    }
    for id in wanted {
        let what = "a delivery waits and has no place in the due index".to_owned();
        found(Finding { message: Some(id.message), what });
    }
    if unread > 0 {
        found(Finding {
            message: None,
            what: format!("{unread} places in the due index cannot be read"),
        });
    }
    tell_damage("the due index", scanned, found)?;
    Ok(count)
}

fn events(spool: &dyn Spool, found: &mut dyn FnMut(Finding)) -> Result<u64, SpoolError> {
    let (mut count, mut unread) = (0, 0_u64);
    each_id(spool, Family::Events, found, &mut |_, value| {
        count += 1;
        unread += u64::from(serde_json::from_slice::<crate::message::Event>(value).is_err());
    })?;
    if unread > 0 {
        found(Finding { message: None, what: format!("{unread} events cannot be read") });
    }
    Ok(count)
}

fn tell_damage(
    place: &str,
    scanned: Result<(), SpoolError>,
    found: &mut dyn FnMut(Finding),
) -> Result<(), SpoolError> {
    match scanned {
        Err(SpoolError::Damaged(why)) => {
            found(Finding { message: None, what: format!("{place} is damaged: {why}") });
            Ok(())
        }
        other => other,
    }
}

type Parts = (Message, Vec<Delivery>, Vec<String>);

fn read(spool: &dyn Spool, id: Id) -> Result<Option<Parts>, SpoolError> {
    let Some(bytes) = spool.get(Family::Messages, &keys::message(id))? else { return Ok(None) };
    let message: Message = record::decode(&bytes)?;
    let (mut deliveries, mut damage) = (Vec::new(), Vec::new());
    let (from, until) = keys::of_message(id);
    let scanned = spool.scan(Family::Deliveries, &from, &until, &mut |_, value| {
        match record::decode::<Delivery>(value) {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => damage.push(format!("a delivery of it cannot be read: {error}")),
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = scanned {
        damage.push(format!("its deliveries cannot be read: {error}"));
    }
    Ok(Some((message, deliveries, damage)))
}

/// Visits the keys of a family that start with an id. Where the disk is damaged, it goes on
/// further on.
fn each_id(
    spool: &dyn Spool,
    family: Family,
    found: &mut dyn FnMut(Finding),
    visit: &mut dyn FnMut(Id, &[u8]),
) -> Result<(), SpoolError> {
    let mut from = Id::ZERO;
    let mut skips = 0;
    loop {
        let mut last = None;
        let scanned = spool.scan(family, &from.to_bytes(), &[u8::MAX; 16], &mut |key, value| {
            if let Some(id) = keys::message_of(key) {
                last = Some(id);
                visit(id, value);
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Ok(()) => return Ok(()),
            Err(SpoolError::Damaged(why)) => {
                let after = last.unwrap_or(from);
                if skips == 0 || last.is_some() {
                    let name = family.name();
                    let what = format!("the family `{name}` is damaged after {after}: {why}");
                    found(Finding { message: None, what });
                    skips = 0;
                }
                if skips >= SKIPS_MAX {
                    return Ok(());
                }
                from = after.further(1 << skips.min(63));
                skips += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::{Submission, Timestamp, examples};
    use crate::queue::accept::accept;
    use crate::spool::{MemorySpool, Operation};

    fn filled() -> (MemorySpool, Vec<Id>) {
        let spool = MemorySpool::new();
        let mut ids = Vec::new();
        for number in 1..=4_u64 {
            let id = Id::first_at(Timestamp::from_millis(number));
            let submission = examples::submission(id, &["a@x.pe", "b@y.pe"]);
            let now = Timestamp::from_millis(number);
            let mut next = number * 100;
            let accepted =
                accept(Submission { ..submission }, &relay_config::Routes::default(), now, || {
                    next += 1;
                    Id::first_at(Timestamp::from_millis(next))
                });
            spool.write(&accepted.operations).unwrap();
            ids.push(id);
        }
        (spool, ids)
    }

    fn look(spool: &MemorySpool) -> (Counts, Vec<String>) {
        let mut told = Vec::new();
        let counts = inspect(spool, &mut |_| {}, &mut |finding| told.push(finding.what.clone()));
        (counts.unwrap(), told)
    }

    #[test]
    fn a_whole_spool_has_nothing_to_tell() {
        let (spool, _) = filled();
        let (counts, told) = look(&spool);
        assert_eq!(told, Vec::<String>::new());
        assert_eq!((counts.messages, counts.deliveries, counts.recipients), (4, 8, 8));
        assert_eq!((counts.due, counts.events, counts.findings), (8, 8, 0));
    }

    #[test]
    fn whatever_is_wrong_is_told() {
        let (spool, ids) = filled();
        let first = keys::delivery(DeliveryId { message: ids[0], number: 0 });
        let due = spool_keys(&spool, Family::Due);
        spool
            .write(&[
                Operation::Put(Family::Deliveries, first, Bytes::from_static(&[9, 9])),
                Operation::Delete(Family::Messages, keys::message(ids[1])),
                Operation::Delete(Family::Bodies, keys::body(ids[2], 0)),
                Operation::Put(Family::Messages, keys::message(ids[3]), Bytes::from_static(&[2])),
                Operation::Put(Family::Due, vec![1, 2, 3], Bytes::new()),
                Operation::Delete(Family::Due, due[2].clone()),
            ])
            .unwrap();
        let (counts, told) = look(&spool);
        let all = told.join("\n");
        for part in [
            "a delivery of it cannot be read: ",
            "a delivery of it is there, and the message is not",
            "pieces of its body are there, and the message is not",
            "piece 0 of its body is missing",
            "its metadata cannot be read",
            "1 places in the due index cannot be read",
            "leads to a delivery that does not wait",
            "has no place in the due index",
        ] {
            assert!(all.contains(part), "{part} in\n{all}");
        }
        assert_eq!(counts.findings, told.len() as u64);
        assert_eq!(counts.messages, 2);
    }

    fn spool_keys(spool: &MemorySpool, family: Family) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        spool
            .scan(family, &[], &[u8::MAX; 300], &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
        keys
    }
    /// A block of the disk goes bad in the middle: what stands before and after it is read.
    #[cfg(feature = "rocks")]
    #[test]
    fn damage_in_the_middle_costs_the_middle_only() {
        let folder = tempfile::tempdir().unwrap();
        let count = 20_000_u64;
        {
            let spool = crate::spool::RocksSpool::open(folder.path()).unwrap();
            for number in 1..=count {
                let message = Message {
                    id: Id::first_at(Timestamp::from_millis(number)),
                    message_id: Some(format!(
                        "{:x}@x.pe",
                        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    )),
                    body_chunks: 0,
                    body_size: 0,
                    ..examples::message()
                };
                let bytes = record::encode(&message);
                spool
                    .write(&[Operation::Put(Family::Messages, keys::message(message.id), bytes)])
                    .unwrap();
            }
            spool.compact();
        }
        let tables = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path());
        let mut tables: Vec<_> =
            tables.filter(|path| path.extension().is_some_and(|it| it == "sst")).collect();
        tables.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
        let largest = tables.pop().unwrap();
        let mut octets = std::fs::read(&largest).unwrap();
        let middle = octets.len() / 2;
        octets[middle..middle + 5_000].fill(0xaa);
        std::fs::write(&largest, octets).unwrap();
        let spool = crate::spool::RocksSpool::open_to_read(folder.path()).unwrap();
        let (mut seen, mut told) = (0, Vec::new());
        messages(&spool, &mut |finding| told.push(finding.what), &mut |_| seen += 1).unwrap();
        assert!(told[0].contains("the family `messages` is damaged after"), "{told:?}");
        assert!(seen > count * 8 / 10 && seen < count, "{seen}");
    }
}
