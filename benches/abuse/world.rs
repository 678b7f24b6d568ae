//! A relay, a server that takes its mail, and good traffic between them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::certificate::Certificate;
use tests::client::Client;
use tests::dns::DnsServer;
use tests::free_port;
use tests::mx::{Behaviour, MxHost};
use tests::relay::RelayProcess;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Sessions of good traffic: an Exchange server and a few scripts.
const GOOD_SESSIONS: usize = 10;
/// Where good traffic comes from: trusted, and not where the attackers are.
const GOOD: [u8; 4] = [127, 0, 9, 1];

/// What an attack happens in.
pub struct World {
    pub relay: RelayProcess,
    /// What its listeners show.
    pub certificate: Certificate,
    _mx: MxHost,
    _dns: DnsServer,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("tambo-").tempdir_in("/var/tmp").unwrap();
        let ip: IpAddr = [127, 0, 1, 95].into();
        let port = free_port(&[ip]);
        let mx = MxHost::start(SocketAddr::new(ip, port), Behaviour::default());
        let dns = DnsServer::start("a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.95").await;
        let certificate = Certificate::new(&["relay.example"]);
        let (chain, key) = certificate.write(folder.path());
        let hash = mta::password::hash_password("secreto").unwrap();
        let mut text = String::new();
        // Everything as it is when nobody writes it, but for who is trusted.
        let _ = write!(
            text,
            "[server]\nhostname = \"relay.example\"\ndata_dir = \"{}\"\n\
             [tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n\
             [[listener]]\nname = \"relay\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.9.0/24\"]\n\
             [[listener]]\nname = \"submission\"\nbind = [\"127.0.0.1:0\"]\ntls = \"implicit\"\nauth = true\n\
             [[account]]\nname = \"script\"\npassword_hash = \"{hash}\"\nsenders = [\"*@x.example\"]\n\
             [delivery]\nport = {port}\nallow_destinations = [\"127.0.1.0/24\"]\n\
             [dns]\nservers = [\"{}\"]\n[admin]\nbind = \"127.0.0.1:0\"\n[log]\nlevel = \"error\"\n",
            folder.path().display(),
            chain.display(),
            key.display(),
            dns.address
        );
        let config = folder.path().join("tambo.toml");
        std::fs::write(&config, text).unwrap();
        let relay = RelayProcess::start(&config, folder.path()).await;
        Self { relay, certificate, _mx: mx, _dns: dns, _folder: folder }
    }

    /// MiB that the relay has in use.
    pub fn memory_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.relay.pid()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|text| text.trim().split(' ').next())
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        kib / 1024.0
    }

    pub async fn stop(self) {
        assert!(self.relay.stop().await, "the relay ends well after an attack");
    }
}

/// Sessions that send as fast as they are answered.
pub struct Good {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sessions: JoinSet<()>,
}

impl Good {
    pub fn start(world: &World) -> Self {
        let (sent, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let to = world.relay.address("relay");
        let mut sessions = JoinSet::new();
        for session in 0..GOOD_SESSIONS {
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            sessions.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if send(to, session, &sent, &stop).await.is_err() {
                        // Turned away: it comes again, as a mail server does.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
        Self { sent, stop, sessions }
    }

    /// Messages a second that are acknowledged during this time.
    pub async fn rate(&self, time: Duration) -> f64 {
        let (begun, before) = (Instant::now(), self.sent.load(Ordering::Relaxed));
        tokio::time::sleep(time).await;
        (self.sent.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64()
    }

    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.sessions.join_next().await.is_some() {}
    }
}

async fn send(
    to: SocketAddr,
    session: usize,
    sent: &AtomicU64,
    stop: &AtomicBool,
) -> Result<(), String> {
    let mut client = Client::connect_from(GOOD.into(), to).await?;
    client.command("EHLO good.example", 250).await?;
    let body = "An invitation.\r\n".repeat(100);
    while !stop.load(Ordering::Relaxed) {
        let data = format!("From: <s@x.example>\r\nSubject: good\r\n\r\n{body}");
        let recipient = format!("u{session}@a.example");
        client.deliver("s@x.example", &[&recipient], data.as_bytes()).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    client.quit().await
}

/// Ten thousand connections need ten thousand descriptors, here and (inherited) in the relay.
pub fn raise_descriptors() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}
