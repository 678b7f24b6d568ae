//! A small internet on loopback: a DNS server, mail servers that do as they are told, clients,
//! and the relay itself as a process. Tests and the demo run on it.

#![expect(clippy::unwrap_used, reason = "a test world that cannot be built is a failed test")]

pub mod api;
pub mod certificate;
pub mod chasquid;
pub mod client;
pub mod corpus;
pub mod dialog;
pub mod dkim;
pub mod dns;
pub mod haproxy;
pub mod mx;
pub mod packages;
pub mod postfix;
pub mod relay;
pub mod socks;

use std::net::{IpAddr, SocketAddr, TcpListener};

/// A port that is free on all these addresses at this moment.
pub fn free_port(addresses: &[IpAddr]) -> u16 {
    for _ in 0..100 {
        let first = TcpListener::bind(SocketAddr::new(addresses[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let rest: Vec<_> =
            addresses[1..].iter().filter_map(|ip| TcpListener::bind((*ip, port)).ok()).collect();
        if rest.len() + 1 == addresses.len() {
            return port;
        }
    }
    panic!("no port is free on all of {addresses:?}");
}

/// The folder that programs of this build are in.
pub fn program(name: &str) -> std::path::PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace` first", path.display());
    path
}
