//! How far a webhook has got, as it is kept in the spool.

use bytes::Bytes;

use crate::message::{Id, Timestamp};
use crate::spool::{Family, Operation, Spool, SpoolError};

/// A place among the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The last event that was taken, or passed.
    pub after: Id,
    /// When somebody had it start there: what is older than that is not too old.
    pub replayed_at: Option<Timestamp>,
}

impl Place {
    /// As it was kept; `None` before the first time.
    pub fn read(spool: &dyn Spool, name: &str) -> Result<Option<Self>, SpoolError> {
        let kept = spool.get(Family::State, &key(name))?;
        Ok(kept.and_then(|octets| Self::decode(&octets)))
    }

    /// Keeps it.
    pub fn operation(self, name: &str) -> Operation {
        let replayed = self.replayed_at.map_or(0, Timestamp::as_millis);
        let octets = [self.after.to_bytes(), replayed.to_be_bytes()].concat();
        Operation::Put(Family::State, key(name), Bytes::from(octets))
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let (after, replayed) = octets.split_first_chunk::<8>()?;
        let replayed = u64::from_be_bytes(replayed.try_into().ok()?);
        let replayed_at = (replayed > 0).then(|| Timestamp::from_millis(replayed));
        Some(Self { after: Id::from_bytes(*after), replayed_at })
    }
}

fn key(name: &str) -> Vec<u8> {
    format!("webhook/{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for replayed_at in [None, Some(Timestamp::from_millis(7))] {
            let place = Place { after: Id::first_at(Timestamp::from_millis(5)), replayed_at };
            let Operation::Put(_, _, octets) = place.operation("x") else { panic!() };
            assert_eq!(Place::decode(&octets), Some(place));
        }
        assert_eq!(Place::decode(b"torn"), None);
    }
}
