//! Wall-clock time: for what is stored, shown, or compared with stored times.

use crate::message::Timestamp;

/// Tells the time of day. May jump either way when the machine's clock is set.
pub trait WallClock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}
