//! How records look on disk: one octet of version, then the value as postcard writes it.
//!
//! A later version that changes a structure keeps the old one under its number and turns it
//! into the new one here; spools that each version wrote are kept under `tests/fixtures`.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{Delivery, DeliveryId, Message};

use super::{SpoolError, version1, version2, version3};

/// The version that is written.
const VERSION: u8 = 4;

/// What is stored as a record.
pub trait Record: Serialize + DeserializeOwned {
    /// What version 1 wrote in its place.
    type First: DeserializeOwned + Into<Self>;
    /// What version 2 wrote.
    type Second: DeserializeOwned + Into<Self>;
    /// What version 3 wrote.
    type Third: DeserializeOwned + Into<Self>;
}

impl Record for Message {
    type First = version1::Message;
    type Second = version2::Message;
    type Third = Self;
}

impl Record for Delivery {
    type First = version1::Delivery;
    type Second = version2::Delivery;
    type Third = version3::Delivery;
}

/// A value as stored.
pub fn encode<T: Record>(value: &T) -> Bytes {
    let start = vec![VERSION];
    match postcard::to_extend(value, start) {
        Ok(bytes) => bytes.into(),
        // Writing to a Vec cannot run out of room and our types have no maps of unknown length.
        Err(error) => unreachable!("a record that cannot be encoded: {error}"),
    }
}

/// A value as read.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, SpoolError> {
    let damaged = |error: postcard::Error| SpoolError::Damaged(error.to_string());
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(damaged),
        Some((3, rest)) => postcard::from_bytes::<T::Third>(rest).map(Into::into).map_err(damaged),
        Some((2, rest)) => postcard::from_bytes::<T::Second>(rest).map(Into::into).map_err(damaged),
        Some((1, rest)) => postcard::from_bytes::<T::First>(rest).map(Into::into).map_err(damaged),
        Some((version, _)) => Err(SpoolError::Damaged(format!(
            "version {version}; this program knows up to version {VERSION}: was the spool written by a later one?"
        ))),
        None => Err(SpoolError::Damaged("empty".to_owned())),
    }
}

/// Name and routing domain of a delivery as stored, without reading the rest of it: all versions begin so.
pub fn opening_of_delivery(bytes: &[u8]) -> Result<(DeliveryId, &str), SpoolError> {
    let Some((1..=VERSION, rest)) = bytes.split_first() else {
        return decode::<Delivery>(bytes).and(Err(SpoolError::Damaged("no delivery".to_owned())));
    };
    let opening = postcard::take_from_bytes::<(DeliveryId, &str)>(rest);
    opening.map(|(opening, _)| opening).map_err(|error| SpoolError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Id, Lane, Priority, Timestamp};

    #[test]
    fn a_delivery_opens_with_its_name_and_domain() {
        let now = Timestamp::from_millis(1_795_525_500_123);
        let delivery = Delivery {
            id: DeliveryId { message: Id::first_at(now), number: 300 },
            domain: "b.pe".to_owned(),
            lane: Lane { priority: Priority::default(), account: 7, tag: 1 },
            recipients: Vec::new(),
            due: now,
            attempts: 0,
            last: None,
            hold: None,
            pool: None,
        };
        let stored = encode(&delivery);
        assert_eq!(opening_of_delivery(&stored).unwrap(), (delivery.id, "b.pe"));
        let later: Vec<u8> = [&[VERSION + 1], &stored[1..]].concat();
        for damaged in [&[][..], &stored[..3], &later] {
            assert!(opening_of_delivery(damaged).is_err());
        }
    }
}
