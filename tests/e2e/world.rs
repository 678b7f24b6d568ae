//! A relay between clients and destinations.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use mta::password::hash_password;
use tests::certificate::Certificate;
use tests::client::Client;
use tests::dns::DnsServer;
use tests::free_port;
use tests::relay::RelayProcess;

/// The name of the relay.
pub const HOSTNAME: &str = "relay.institucion.example";

/// What a test needs.
pub struct World {
    /// The relay.
    pub relay: RelayProcess,
    /// Its configuration.
    pub config: PathBuf,
    /// What its listeners show.
    pub certificate: Certificate,
    /// What it asks.
    pub dns: DnsServer,
    /// Spool and events.
    pub folder: tempfile::TempDir,
}

/// A port for mail servers on 127.0.1.`numbers`.
pub fn mx_port(numbers: std::ops::Range<u8>) -> u16 {
    free_port(&numbers.map(mx_ip).collect::<Vec<_>>())
}

/// 127.0.1.`number`
pub fn mx_ip(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 1, number])
}

impl World {
    /// Starts a relay that finds the zone and sends to `port`; `more` goes into the configuration.
    pub async fn start(zone: &str, port: u16, more: &str) -> Self {
        Self::start_with_admin(zone, port, more, "").await
    }

    /// The same, with keys of `[admin]`.
    pub async fn start_with_admin(zone: &str, port: u16, more: &str, admin: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("tambo-").tempdir_in("/var/tmp").unwrap();
        let certificate = Certificate::new(&[HOSTNAME, "127.0.0.1", "localhost"]);
        let (chain, key) = certificate.write(folder.path());
        let dns = DnsServer::start(zone).await;
        let mut text = format!(
            "[server]\nhostname = \"{HOSTNAME}\"\ndata_dir = \"{}\"\n[tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n",
            folder.path().display(),
            chain.display(),
            key.display()
        );
        let hash = hash_password("secreto").unwrap();
        let _ = write!(
            text,
            "[[listener]]\nname = \"relay\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.0/8\"]\n\
             allow_headers = true\n\
             [[listener]]\nname = \"submission\"\nbind = [\"127.0.0.1:0\"]\ntls = \"required\"\nauth = true\n\
             [[listener]]\nname = \"submissions\"\nbind = [\"127.0.0.1:0\"]\ntls = \"implicit\"\nauth = true\n\
             [[account]]\nname = \"script\"\npassword_hash = \"{hash}\"\nsenders = [\"*@institucion.example\"]\n\
             [dns]\nservers = [\"{}\"]\ntimeout = \"1s\"\n[admin]\nbind = \"127.0.0.1:0\"\n{admin}\n[log]\nlevel = \"info\"\n{more}",
            dns.address
        );
        if !more.contains("[delivery]") {
            let _ = write!(text, "\n[delivery]\n");
            text.push_str(&delivery(port));
        }
        let config = folder.path().join("tambo.toml");
        std::fs::write(&config, text).unwrap();
        let relay = RelayProcess::start(&config, folder.path()).await;
        Self { relay, config, certificate, dns, folder }
    }

    /// Stops the relay and starts it again on the same spool.
    pub async fn restart(mut self) -> Self {
        let next = self.config.clone();
        assert!(self.relay.stop().await);
        self.relay = RelayProcess::start(&next, self.folder.path()).await;
        self
    }

    /// Kills the relay and starts it again on the same spool.
    pub async fn killed(mut self) -> Self {
        self.relay.kill().await;
        self.relay = RelayProcess::start(&self.config, self.folder.path()).await;
        self
    }

    /// A session on the trusted listener.
    pub async fn client(&self) -> Client {
        let mut client = Client::connect(self.relay.address("relay")).await.unwrap();
        client.command("EHLO client.example", 250).await.unwrap();
        client
    }

    /// Sends one message; returns Tambo's id.
    pub async fn send(&self, from: &str, to: &[&str], data: &[u8]) -> String {
        let mut client = self.client().await;
        let reply = client.deliver(from, to, data).await.unwrap();
        client.quit().await.unwrap();
        id_in(&reply)
    }

    /// Where the trusted listener listens.
    pub fn address(&self) -> SocketAddr {
        self.relay.address("relay")
    }
}

/// The keys of `[delivery]` for tests.
pub fn delivery(port: u16) -> String {
    format!(
        "port = {port}\nretry = [\"1s\"]\nallow_destinations = [\"127.0.1.0/24\"]\nexpire_after = \"1h\"\n"
    )
}

/// `250 2.0.0 queued as ID`
pub fn id_in(reply: &str) -> String {
    reply.rsplit(' ').next().unwrap().to_owned()
}

/// A short message.
pub fn message(subject: &str) -> Vec<u8> {
    format!("From: <ana@institucion.example>\r\nSubject: {subject}\r\n\r\nHola.\r\n").into_bytes()
}
