//! Mail goes out: where to (`route`), over which connection (`connect`), in which words
//! (`opening` and `transaction`, pure), through whom where a source is behind a `gateway`, and what every failure means (`trouble`, the only place that decides).

mod connect;
mod content;
mod driver;
mod ear;
mod gateway;
pub mod opening;
mod proxy_header;
pub mod reply_reader;
pub mod route;
mod seven_bit;
mod socks5;
pub mod steps;
mod tls_policy;
pub mod transaction;
mod trouble;

pub use connect::{Connector, Host};
pub use content::Content;
pub use driver::{Connection, Transacted};
pub use ear::{Ear, Said};
pub use gateway::{Gateways, ask as ask_gateway};
pub use route::{Resolver, Route};
pub use seven_bit::seven_bit;
pub use tls_policy::TlsClients;
pub use trouble::{
    no_source, not_answered, not_begun, not_eight_bit, spool as unreadable, unrendered, unsigned,
};

use std::time::Duration;

/// Makes the metrics of connections to servers known.
pub(crate) fn declare_metrics() {
    connect::declare_metrics();
    driver::declare_metrics();
    gateway::declare_metrics();
    tls_policy::declare_metrics();
}

/// How long a peer may take, after RFC 5321 section 4.5.3.2.
pub(crate) mod timeouts {
    use super::Duration;

    /// For its greeting, and for each reply before DATA.
    pub(crate) const REPLY: Duration = Duration::from_mins(5);
    /// For the reply to DATA.
    pub(crate) const DATA: Duration = Duration::from_mins(2);
    /// To take a piece of what we send.
    pub(crate) const BLOCK: Duration = Duration::from_mins(3);
    /// For the reply to the final dot.
    pub(crate) const FINAL: Duration = Duration::from_mins(10);
    /// For the TLS handshake.
    pub(crate) const HANDSHAKE: Duration = Duration::from_mins(1);
    /// For the reply to QUIT: nobody waits for manners.
    pub(crate) const QUIT: Duration = Duration::from_secs(2);
}
