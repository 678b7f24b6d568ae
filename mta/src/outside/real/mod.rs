//! The real world.

mod clock;
mod dkim;
mod dns;
mod inherited;
mod net;

pub use clock::SystemClock;
pub use dkim::{KeyFiles, KeySize, NewKey, generate};
pub use dns::SystemDns;
pub use inherited::InheritedNet;
pub use net::SystemNet;
