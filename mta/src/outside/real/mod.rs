//! The real world.

mod clock;

pub use clock::SystemClock;
