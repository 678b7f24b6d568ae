//! How records look on disk: one octet of version, then the value as postcard writes it.
//!
//! A later version that changes a structure keeps the old one under its number and turns it
//! into the new one here; fixtures of old spools are kept under `tests/`.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SpoolError;

/// The version that is written.
const VERSION: u8 = 1;

/// A value as stored.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    let start = vec![VERSION];
    match postcard::to_extend(value, start) {
        Ok(bytes) => bytes.into(),
        // Writing to a Vec cannot run out of room and our types have no maps of unknown length.
        Err(error) => unreachable!("a record that cannot be encoded: {error}"),
    }
}

/// A value as read.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SpoolError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|error| SpoolError::Damaged(error.to_string()))
        }
        Some((version, _)) => Err(SpoolError::Damaged(format!(
            "version {version}; this program knows version {VERSION}: was the spool written by a later one?"
        ))),
        None => Err(SpoolError::Damaged("empty".to_owned())),
    }
}
