//! A small internet on loopback: a DNS server, mail servers that do as they are told, clients,
//! and the relay itself as a process. Tests and the demo run on it.

#![expect(clippy::unwrap_used, reason = "a test world that cannot be built is a failed test")]

pub mod api;
pub mod browser;
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
pub mod prometheus;
pub mod relay;
pub mod socks;

use std::net::{IpAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The ports that are dealt out: below those that the kernel gives to whoever connects or asks for
/// any, because between the look here and the listening one of those could take it.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port that is free on all these addresses at this moment, and that this program deals out to
/// nobody else before it has dealt out all others.
pub fn free_port(addresses: &[IpAddr]) -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    // Programs that run side by side begin at different places.
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(97)));
    for _ in PORTS {
        let turn = next.fetch_add(1, Ordering::Relaxed) % u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(turn).unwrap();
        if addresses.iter().all(|ip| TcpListener::bind((*ip, port)).is_ok()) {
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
