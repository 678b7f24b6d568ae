//! `HAProxy`: in front of the relay it passes TCP on and says whose connection it is; behind it, it connects
//! as it is told.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::free_port;
use crate::packages::need;

/// A `HAProxy` that runs; killed when dropped.
pub struct Haproxy {
    folder: tempfile::TempDir,
    child: Child,
    /// Where it listens for each of its servers, in their order.
    pub addresses: Vec<SocketAddr>,
}

impl Haproxy {
    /// Connects from `own` to each of the servers, which are told by these options of `server`
    /// (`send-proxy`, `send-proxy-v2`) and asked for their health.
    pub fn start(own: IpAddr, servers: &[(SocketAddr, &str)]) -> Self {
        need("haproxy", "haproxy");
        let mut text = String::new();
        let mut addresses = Vec::new();
        for (number, (server, options)) in servers.iter().enumerate() {
            let address = SocketAddr::new(own, free_port(&[own]));
            let _ = write!(
                text,
                "listen l{number}\n bind {address}\n option smtpchk EHLO balancer.example\n source {own}\n \
                 server relay {server} {options} check inter 200ms\n"
            );
            addresses.push(address);
        }
        Self::run(&text, addresses)
    }

    /// Takes connections that begin with a PROXY header, and connects between the addresses that it names.
    /// Needs the right to bind addresses of others (`CAP_NET_ADMIN`).
    pub fn gateway(address: SocketAddr) -> Self {
        need("haproxy", "haproxy");
        let text = format!(
            "listen gateway\n bind {address} accept-proxy\n source 0.0.0.0 usesrc clientip\n \
             server destination 0.0.0.0:0\n"
        );
        Self::run(&text, vec![address])
    }

    fn run(listeners: &str, addresses: Vec<SocketAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "global\n stats socket {}/stats level admin\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n{listeners}",
            folder.path().display()
        );
        let config = folder.path().join("haproxy.cfg");
        std::fs::write(&config, text).unwrap();
        let child = Command::new("/usr/sbin/haproxy")
            .args(["-db", "-q", "-f"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, child, addresses }
    }

    /// How many of its servers have answered a question for their health to its content. `None`: it
    /// is not up yet.
    pub fn healthy(&self) -> Option<usize> {
        let table = self.table()?;
        let servers = table.lines().filter(|line| line.split(',').nth(1) == Some("relay"));
        Some(servers.filter(|line| line.contains(",L7OK,")).count())
    }

    /// Connections that it has made as a gateway. `None`: it is not up yet.
    pub fn connected(&self) -> Option<usize> {
        const TOTAL: usize = 7;
        let table = self.table()?;
        let line = table.lines().find(|line| line.starts_with("gateway,destination,"))?;
        line.split(',').nth(TOTAL)?.parse().ok()
    }

    /// What it counts, in CSV.
    fn table(&self) -> Option<String> {
        let mut socket = UnixStream::connect(self.folder.path().join("stats")).ok()?;
        socket.write_all(b"show stat\n").ok()?;
        let mut table = String::new();
        socket.read_to_string(&mut table).ok()?;
        Some(table)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
