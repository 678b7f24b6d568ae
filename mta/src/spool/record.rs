//! How records look on disk: one octet of version, then the value as postcard writes it.
//!
//! A later version that changes a structure keeps the old one under its number and turns it
//! into the new one here; spools that each version wrote are kept under `tests/fixtures`.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{Delivery, Message};

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
