//! TCP of the operating system.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket};

use crate::outside::net::Listen;
use crate::outside::{BoxFuture, BoxListener, BoxStream, Net};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// The network of this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemNet;

impl Net for SystemNet {
    fn listen(&self, address: SocketAddr) -> io::Result<BoxListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]:25` beside `0.0.0.0:25`: each its own.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        listener(socket.into())
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if !from.is_unspecified() {
                // The port is chosen when connecting: thousands of connections from one
                // address to different hosts then share the same few ports.
                #[cfg(target_os = "linux")]
                setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
                socket.bind(SocketAddr::new(from, 0))?;
            }
            socket.set_nodelay(true)?;
            Ok(Box::new(socket.connect(to).await?) as BoxStream)
        })
    }

    fn has_address(&self, address: IpAddr) -> bool {
        address.is_unspecified() || std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
    }
}

/// A socket that listens, opened here or elsewhere.
pub(super) fn listener(socket: std::net::TcpListener) -> io::Result<BoxListener> {
    socket.set_nonblocking(true)?;
    Ok(Box::new(SystemListener(TcpListener::from_std(socket)?)))
}

struct SystemListener(TcpListener);

impl Listen for SystemListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxStream, from))
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
