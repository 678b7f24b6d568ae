//! The real world.

mod clock;
mod dns;
mod inherited;
mod net;

pub use clock::SystemClock;
pub use dns::SystemDns;
pub use inherited::InheritedNet;
pub use net::SystemNet;
