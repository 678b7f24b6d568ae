//! The only door to the world: wall clock, DNS, network, private keys. Storage has its own in `spool`.
//!
//! Everything else is given these as traits and cannot tell whether it runs against the
//! real world or a simulated one (design, invariant 6). Monotonic time needs no trait:
//! pure code takes `now`, drivers use `tokio::time`, which tests pause. Randomness is an
//! `StdRng` that the caller seeds.

pub mod clock;
pub mod dkim;
pub mod dns;
pub mod net;
pub mod real;
pub mod spf;
#[cfg(test)]
pub(crate) mod zone;

pub use clock::WallClock;
pub use dkim::{DkimKeys, Signer, SigningError, Unsigned};
pub use dns::{Answer, DnsError, MailDns, Mx};
pub use net::{BoxListener, BoxStream, Net};

use std::future::Future;
use std::pin::Pin;

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
