//! Postfix's own tools as load and as destination, for plain scenarios: `smtp-source` and `smtp-sink`
//! know no TLS and one recipient.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use ::tests::corpus::attachment;
use ::tests::free_port;

/// What is sent.
pub struct PlainLoad {
    file: tempfile::NamedTempFile,
    /// How many.
    pub messages: usize,
    /// Over how many sessions at a time.
    pub sessions: usize,
}

impl PlainLoad {
    /// Messages of about so many octets that do not compress.
    pub fn new(octets: usize, messages: usize, sessions: usize) -> Self {
        let mut text =
            String::from("From: <load@client.example>\nTo: <sink@sink.example>\nSubject: load\n\n");
        let _ =
            write!(text, "{}", attachment(octets.saturating_sub(text.len())).replace("\r\n", "\n"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Self { file, messages, sessions }
    }

    /// Sends it; all of it is acknowledged when this returns.
    pub async fn send(&self, to: SocketAddr) {
        let done = tokio::process::Command::new("/usr/sbin/smtp-source")
            .args(["-d", "-s", &self.sessions.to_string(), "-m", &self.messages.to_string()])
            .args(["-f", "load@client.example", "-t", "sink@sink.example", "-F"])
            .arg(self.file.path())
            .arg(to.to_string())
            .output()
            .await
            .unwrap();
        assert!(done.status.success(), "smtp-source: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// `smtp-sink`: takes everything and throws it away.
pub struct PlainSink {
    child: Child,
    /// Where.
    pub address: SocketAddr,
}

impl PlainSink {
    /// Starts one.
    pub async fn start() -> Self {
        let port = free_port(&[Ipv4Addr::LOCALHOST.into()]);
        let child = Command::new("/usr/sbin/smtp-sink")
            .args(["-u", "nobody", &format!("127.0.0.1:{port}"), "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sink = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        listens(sink.address).await;
        sink
    }
}

impl Drop for PlainSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens there.
pub async fn listens(address: SocketAddr) {
    ::tests::relay::eventually("it listens", async || {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
}
