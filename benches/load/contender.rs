//! Who is measured, what is sent, and where it ends.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use tests::corpus::attachment;
use tests::free_port;
use tests::postfix::Postfix;
use tests::relay::RelayProcess;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::measure::{Measured, cpu_secs};

/// Both queues are here: a real disk.
const DISK: &str = "/var/tmp";
/// How often is looked whether all has gone through.
const LOOK: Duration = Duration::from_millis(20);

/// Refuses to measure on memory.
pub fn real_disk() -> Result<(), String> {
    let disk = statfs(DISK).map_err(|error| format!("{DISK}: {error}"))?;
    if disk.filesystem_type() == TMPFS_MAGIC {
        return Err(format!("{DISK} is in memory: a queue there proves nothing"));
    }
    Ok(())
}

/// What is sent.
pub struct Load {
    file: tempfile::NamedTempFile,
    /// How many.
    pub messages: usize,
    /// Over how many sessions at a time.
    pub sessions: usize,
}

impl Load {
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

    async fn send(&self, to: SocketAddr) {
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

/// Takes everything and throws it away.
pub struct Sink {
    child: Child,
    /// Where.
    pub port: u16,
}

impl Sink {
    /// Starts one.
    pub fn start() -> Self {
        let port = free_port(&[Ipv4Addr::LOCALHOST.into()]);
        let child = Command::new("/usr/sbin/smtp-sink")
            .args(["-u", "nobody", &format!("127.0.0.1:{port}"), "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who is measured.
pub enum Contender {
    /// Nobody: load to sink.
    Direct,
    /// Tambo, and the folder that goes with it.
    Tambo(
        Box<RelayProcess>,
        #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir,
    ),
    /// Postfix.
    Postfix(Postfix),
}

impl Contender {
    /// By name, in front of a sink.
    pub async fn start(name: &str, sink: u16) -> Self {
        match name {
            "tambo" => {
                let folder =
                    tempfile::Builder::new().prefix("tambo-bench-").tempdir_in(DISK).unwrap();
                let config = folder.path().join("tambo.toml");
                std::fs::write(&config, tambo_config(folder.path(), sink)).unwrap();
                let relay = RelayProcess::start(&config, folder.path()).await;
                Self::Tambo(Box::new(relay), folder)
            }
            "postfix" => {
                let address = SocketAddr::from((
                    Ipv4Addr::LOCALHOST,
                    free_port(&[Ipv4Addr::LOCALHOST.into()]),
                ));
                Self::Postfix(Postfix::start(
                    address,
                    "relay.example",
                    &format!("relayhost = [127.0.0.1]:{sink}"),
                ))
            }
            _ => Self::Direct,
        }
    }

    /// Sends the load and waits until all of it is at the sink.
    pub async fn measure(self, load: &Load, sink: &Sink) -> Measured {
        let to = match &self {
            Self::Direct => SocketAddr::from((Ipv4Addr::LOCALHOST, sink.port)),
            Self::Tambo(relay, _) => relay.address("relay"),
            Self::Postfix(postfix) => postfix.address,
        };
        wait_for(to).await;
        let (cpu, syncs) = (self.cpu(), self.figure("tambo_spool_syncs_total").await);
        let started = Instant::now();
        load.send(to).await;
        let accepted_secs = started.elapsed().as_secs_f64();
        while !self.is_through(load).await {
            tokio::time::sleep(LOOK).await;
        }
        let through_secs = started.elapsed().as_secs_f64();
        let syncs = self.figure("tambo_spool_syncs_total").await - syncs;
        let measured = Measured { accepted_secs, through_secs, cpu_secs: self.cpu() - cpu, syncs };
        if let Self::Tambo(relay, _) = self {
            assert!(relay.stop().await);
        }
        measured
    }

    async fn is_through(&self, load: &Load) -> bool {
        match self {
            Self::Direct => true,
            Self::Tambo(..) => {
                let delivered = self.figure("tambo_outcomes_total{outcome=\"delivered\"}").await;
                delivered >= load.messages as f64
            }
            Self::Postfix(postfix) => postfix.queue_is_empty(),
        }
    }

    fn cpu(&self) -> f64 {
        match self {
            Self::Direct => 0.0,
            Self::Tambo(relay, _) => cpu_secs(relay.pid().as_raw()),
            Self::Postfix(postfix) => cpu_secs(postfix.master_pid()),
        }
    }

    /// A figure of the metrics page.
    async fn figure(&self, name: &str) -> f64 {
        let Self::Tambo(relay, _) = self else { return 0.0 };
        let mut stream = tokio::net::TcpStream::connect(relay.address("admin")).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or(0.0)
    }
}

async fn wait_for(address: SocketAddr) {
    tests::relay::eventually("it listens", async || {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
}

fn tambo_config(folder: &std::path::Path, sink: u16) -> String {
    format!(
        "[server]\nhostname = \"relay.example\"\ndata_dir = \"{}\"\n[[listener]]\nname = \"relay\"\n\
         bind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.0/8\"]\n[[route]]\nrecipients = [\"*\"]\n\
         smarthost = {{ host = \"127.0.0.1\", port = {sink}, tls = \"off\" }}\n[admin]\nbind = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"warn\"\n",
        folder.display()
    )
}
