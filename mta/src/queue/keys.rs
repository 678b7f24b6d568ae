//! Keys of the queue's records. All numbers are big-endian, so that keys sort as they count.
//!
//! | family | key |
//! | --- | --- |
//! | messages | message id |
//! | bodies | message id, number of the piece (4 octets) |
//! | deliveries | message id, number of the delivery (2 octets) |
//! | due | domain, 0, lane (6 octets), due time (8), message id (8), number (2) |
//!
//! A domain has no octet 0 (RFC 5321), so no domain's keys stand among another's. The priority
//! is stored inverted: a higher one sorts first.

use std::sync::Arc;

use crate::message::{DeliveryId, Id, Lane, Priority, Timestamp};

const LANE_LENGTH: usize = 6;
const DUE_TAIL_LENGTH: usize = 8 + 8 + 2;

/// One entry of the due index, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEntry {
    /// Routing domain.
    pub domain: Arc<str>,
    /// Whose turn it shares.
    pub lane: Lane,
    /// When.
    pub due: Timestamp,
    /// What.
    pub id: DeliveryId,
}

/// Key of a message.
pub fn message(id: Id) -> Vec<u8> {
    id.to_bytes().to_vec()
}

/// The message that a key of a message, a body or a delivery belongs to.
pub fn message_of(key: &[u8]) -> Option<Id> {
    key.first_chunk().map(|bytes| Id::from_bytes(*bytes))
}

/// Key of a piece of a body.
pub fn body(id: Id, piece: u32) -> Vec<u8> {
    [&id.to_bytes()[..], &piece.to_be_bytes()].concat()
}

/// Key of a delivery.
pub fn delivery(id: DeliveryId) -> Vec<u8> {
    [&id.message.to_bytes()[..], &id.number.to_be_bytes()].concat()
}

/// The keys of a message's deliveries (or pieces of body): from here to there.
pub fn of_message(id: Id) -> (Vec<u8>, Vec<u8>) {
    (id.to_bytes().to_vec(), id.successor().to_bytes().to_vec())
}

/// Key of an entry of the due index.
pub fn due(domain: &str, lane: Lane, due: Timestamp, id: DeliveryId) -> Vec<u8> {
    let mut key = lane_prefix(domain, lane);
    key.extend_from_slice(&due.as_millis().to_be_bytes());
    key.extend_from_slice(&id.message.to_bytes());
    key.extend_from_slice(&id.number.to_be_bytes());
    key
}

/// What the due entries of a lane start with.
pub fn lane_prefix(domain: &str, lane: Lane) -> Vec<u8> {
    let mut key = Vec::with_capacity(domain.len() + 1 + LANE_LENGTH + DUE_TAIL_LENGTH);
    key.extend_from_slice(domain.as_bytes());
    key.push(0);
    key.push(inverted(lane.priority));
    key.extend_from_slice(&lane.account.to_be_bytes());
    key.push(lane.tag);
    key
}

/// The first key after all that start with `prefix`.
pub fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return prefix;
        }
    }
    vec![u8::MAX]
}

/// Reads a key of the due index; `None` when it is damaged.
pub fn parse_due(key: &[u8]) -> Option<DueEntry> {
    let zero = memchr::memchr(0, key)?;
    let domain = std::str::from_utf8(&key[..zero]).ok()?;
    let (lane, rest) = key[zero + 1..].split_first_chunk::<LANE_LENGTH>()?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let (message, rest) = rest.split_first_chunk::<8>()?;
    let number = <[u8; 2]>::try_from(rest).ok()?;
    Some(DueEntry {
        domain: domain.into(),
        lane: Lane {
            priority: Priority::new(9 - i8::try_from(lane[0]).ok()?),
            account: u32::from_be_bytes([lane[1], lane[2], lane[3], lane[4]]),
            tag: lane[5],
        },
        due: Timestamp::from_millis(u64::from_be_bytes(*due)),
        id: DeliveryId { message: Id::from_bytes(*message), number: u16::from_be_bytes(number) },
    })
}

fn inverted(priority: Priority) -> u8 {
    u8::try_from(9 - priority.value()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(priority: i8) -> Lane {
        Lane { priority: Priority::new(priority), account: 7, tag: 3 }
    }

    fn id(message: u64, number: u16) -> DeliveryId {
        DeliveryId { message: Id::first_at(Timestamp::from_millis(message)), number }
    }

    #[test]
    fn due_keys_are_read_back() {
        for priority in [-9, 0, 9] {
            let entry = DueEntry {
                domain: "example.pe".into(),
                lane: lane(priority),
                due: Timestamp::from_millis(77),
                id: id(5, 2),
            };
            let key = due("example.pe", entry.lane, entry.due, entry.id);
            assert_eq!(parse_due(&key), Some(entry));
            assert_eq!(parse_due(&key[..key.len() - 1]), None);
        }
    }

    #[test]
    fn due_keys_sort_by_domain_priority_time_and_id() {
        let at = Timestamp::from_millis;
        let sorted = [
            due("a.pe", lane(9), at(9), id(1, 0)),
            due("a.pe", lane(0), at(1), id(1, 0)),
            due("a.pe", lane(0), at(1), id(1, 1)),
            due("a.pe", lane(0), at(1), id(2, 0)),
            due("a.pe", lane(0), at(300), id(1, 0)),
            due("a.pe", lane(-9), at(0), id(1, 0)),
            due("a.pe.x", lane(9), at(0), id(1, 0)),
            due("b.pe", lane(9), at(0), id(1, 0)),
        ];
        assert!(sorted.is_sorted());
        let end = after_prefix(lane_prefix("a.pe", lane(0)));
        assert!(sorted[4] < end && end <= sorted[5]);
    }
}
