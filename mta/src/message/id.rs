//! Ids of messages and events: 64 bits, in order of time, never the same twice in one spool.
//!
//! The upper 44 bits are milliseconds since 1970 (enough until 2527), the lower 20 a
//! counter. Sorting by id is sorting by accept time, which is what the expiry scan stands on.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::Timestamp;

const COUNTER_BITS: u32 = 20;
const TEXT_LENGTH: usize = 13;
/// Crockford's alphabet in lower case: no i, l, o, u, so that nobody misreads an id on the phone.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Names a message or an event. Shown as 13 characters, `01kdyx0g2c001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

impl Id {
    /// Before every id that is given out.
    pub const ZERO: Self = Self(0);

    /// Above every id that is given out.
    pub const MAX: Self = Self(u64::MAX);

    /// The least id that a message accepted at `time` can have.
    pub fn first_at(time: Timestamp) -> Self {
        Self(time.as_millis() << COUNTER_BITS)
    }

    /// When it was given out, to the millisecond.
    pub fn time(self) -> Timestamp {
        Timestamp::from_millis(self.0 >> COUNTER_BITS)
    }

    /// For keys: big-endian bytes sort as the ids do.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`Id::to_bytes`].
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Content of the Message-ID header of a message that has none of its own.
    pub fn message_id(self, hostname: &str) -> String {
        format!("{self}@{hostname}")
    }

    /// The next id in order, to continue a scan after this one.
    #[must_use]
    pub fn successor(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// So many ids further on.
    #[must_use]
    pub fn further(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// Gives out ids that always grow, also when the clock is set back.
#[derive(Debug, Default)]
pub struct IdGenerator {
    last: AtomicU64,
}

impl IdGenerator {
    /// Starts above `highest`, the highest id that the spool has seen.
    pub fn above(highest: Option<Id>) -> Self {
        Self { last: AtomicU64::new(highest.map_or(0, |id| id.0)) }
    }

    /// The next id; its time is `now`, or that of the id before when the clock went back.
    pub fn next(&self, now: Timestamp) -> Id {
        self.next_run(now, 1)
    }

    /// The last id that was given out.
    pub fn last(&self) -> Id {
        Id(self.last.load(Ordering::Relaxed))
    }

    /// Reserves `count` ids in a row and returns the first.
    pub fn next_run(&self, now: Timestamp, count: u64) -> Id {
        let earliest = Id::first_at(now).0;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let first = earliest.max(last + 1);
            match self.last.compare_exchange_weak(
                last,
                first + count.saturating_sub(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Id(first),
                Err(current) => last = current,
            }
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; TEXT_LENGTH];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = ALPHABET[usize::try_from(rest & 31).unwrap_or(0)];
            rest >>= 5;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The text is not 13 characters of the id alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message id: 13 characters of 0-9 and a-z are expected, such as 01kdyx0g2c001")]
pub struct ParseIdError;

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() != TEXT_LENGTH {
            return Err(ParseIdError);
        }
        let mut value: u64 = 0;
        for (index, byte) in text.bytes().enumerate() {
            let digit = ALPHABET
                .iter()
                .position(|letter| *letter == byte.to_ascii_lowercase())
                .ok_or(ParseIdError)? as u64;
            if index == 0 && digit > 15 {
                return Err(ParseIdError);
            }
            value = (value << 5) | digit;
        }
        Ok(Self(value))
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let generator = IdGenerator::default();
        let first = generator.next(Timestamp::from_millis(1000));
        let second = generator.next(Timestamp::from_millis(1000));
        let third = generator.next(Timestamp::from_millis(10));
        let run = generator.next_run(Timestamp::from_millis(2000), 5);
        let after = generator.next(Timestamp::from_millis(2000));
        assert!(first < second && second < third && third < run && run < after);
        assert_eq!(first.time(), Timestamp::from_millis(1000));
        assert_eq!(after.0, run.0 + 5);
    }

    #[test]
    fn text_there_and_back() {
        for value in [0, 1, 31, 32, u64::MAX, 1_795_525_500_123 << 20] {
            let id = Id(value);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in ["", "0", "zzzzzzzzzzzzz", "01kdyx0g2c00u", "01kdyx0g2c0011"] {
            assert_eq!(wrong.parse::<Id>(), Err(ParseIdError), "{wrong}");
        }
    }
}
