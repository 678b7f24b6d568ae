//! A SOCKS server: `microsocks`, which connects from one address for who knows the password.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};

use crate::packages::need;

/// A server that runs; killed when dropped.
pub struct Microsocks {
    child: Child,
}

impl Microsocks {
    /// Listens at `address`, connects from `from`, and takes this user name and password.
    pub fn start(address: SocketAddr, from: IpAddr, (name, password): (&str, &str)) -> Self {
        need("microsocks", "microsocks");
        let child = Command::new("microsocks")
            .args(["-i", &address.ip().to_string(), "-p", &address.port().to_string()])
            .args(["-b", &from.to_string(), "-u", name, "-P", password])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }
}

impl Drop for Microsocks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
