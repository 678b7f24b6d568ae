//! Mail comes in: listeners, the SMTP session of a client (RFC 5321, 6409), passwords (RFC 4954).
//!
//! `session` decides and does no I/O; `driver` moves octets between a stream, the session and
//! the queue; `listener` accepts connections and bounds them; `arrival` learns from a load balancer
//! whose connection it is.

mod arrival;
mod auth;
mod driver;
mod gate;
mod incoming;
mod listener;
pub mod proxy;
mod replies;
mod sasl;
pub mod session;
mod tls;

pub use auth::Authenticator;
pub use listener::{Listeners, Shared, Terms};
pub use tls::{ServerTls, TlsFileError};

/// Makes the metrics of sessions known.
pub(crate) fn declare_metrics() {
    arrival::declare_metrics();
    driver::declare_metrics();
    auth::declare_metrics();
    tls::declare_metrics();
}
