//! The real world.

mod clock;
mod dns;
mod net;

pub use clock::SystemClock;
pub use dns::SystemDns;
pub use net::SystemNet;
