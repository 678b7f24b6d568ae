//! Sockets that were opened by systemd (`tambo.socket`): ports below 1024 without root.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;

use crate::outside::{BoxFuture, BoxListener, BoxStream, Net};

use super::net::{SystemNet, listener};

/// The network of this machine, with the sockets that were handed to this process.
#[derive(Debug)]
pub struct InheritedNet {
    system: SystemNet,
    inherited: Mutex<Vec<(SocketAddr, TcpListener)>>,
}

impl InheritedNet {
    /// Takes what `LISTEN_FDS` announces (`sd_listen_fds(3)`). Once, before threads are started.
    pub fn from_environment() -> io::Result<Self> {
        let mut announced = ListenFd::from_env();
        let mut inherited = Vec::new();
        for place in 0..announced.len() {
            if let Some(listener) = announced.take_tcp_listener(place)? {
                inherited.push((listener.local_addr()?, listener));
            }
        }
        Ok(Self { system: SystemNet, inherited: Mutex::new(inherited) })
    }

    /// Sockets that no listener has asked for.
    pub fn unclaimed(&self) -> Vec<SocketAddr> {
        let inherited = self.inherited.lock().unwrap_or_else(PoisonError::into_inner);
        inherited.iter().map(|(address, _)| *address).collect()
    }

    fn take(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut inherited = self.inherited.lock().unwrap_or_else(PoisonError::into_inner);
        let place = inherited.iter().position(|(known, _)| *known == address)?;
        Some(inherited.swap_remove(place).1)
    }
}

impl Net for InheritedNet {
    fn listen(&self, address: SocketAddr) -> io::Result<BoxListener> {
        match self.take(address) {
            Some(socket) => listener(socket),
            None => self.system.listen(address),
        }
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        self.system.connect(from, to)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.system.has_address(address)
    }
}
