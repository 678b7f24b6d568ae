//! Streams between machines.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};

use super::BoxFuture;

/// Listens and connects.
pub trait Net: Send + Sync {
    /// Starts to listen. Port 0 takes a free one ([`Listen::local_address`] tells).
    fn listen(&self, address: SocketAddr) -> io::Result<BoxListener>;

    /// Connects from this local address (unspecified: the kernel chooses).
    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// Whether this machine has the address, so that it can be bound.
    fn has_address(&self, address: IpAddr) -> bool;
}

/// An open listener.
pub trait Listen: Send + Sync {
    /// The next connection and where it comes from.
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;

    /// Where it listens.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// Octets both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream of any kind.
pub type BoxStream = Box<dyn Stream>;
/// A listener of any kind.
pub type BoxListener = Box<dyn Listen>;
