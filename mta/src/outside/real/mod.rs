//! The real world.

mod clock;
mod dkim;
mod dns;
mod fresh_dns;
mod inherited;
mod net;
mod process;

pub use clock::SystemClock;
pub use dkim::{KeyFiles, KeySize, NewKey, generate};
pub use dns::SystemDns;
pub use inherited::InheritedNet;
pub use net::SystemNet;
pub use process::measure;

/// Makes the metrics of names and of the process known.
pub(crate) fn declare_metrics() {
    dns::declare_metrics();
    process::declare_metrics();
}
