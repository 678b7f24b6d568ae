//! The small internet of the demo, and the mail that is sent through it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tests::certificate::Certificate;
use tests::client::Client;
use tests::dns::DnsServer;
use tests::mx::{Behaviour, MxHost, tls};
use tests::relay::RelayProcess;
use tests::{free_port, program};

/// Messages that are sent.
pub const MESSAGES: usize = 1_000;
/// Sessions that send them, half over authenticated TLS, half over the trusted network.
const SESSIONS: usize = 10;
/// Where notices go.
pub const SENDER: &str = "avisos@institucion.example";
const PASSWORD: &str = "demo";

/// A mail server, its domain and what is said of it.
pub struct Destination {
    /// Domain of its recipients.
    pub domain: &'static str,
    /// What it is like.
    pub about: &'static str,
    /// The server; none for a domain that does not exist.
    pub host: Option<MxHost>,
}

/// Everything that runs.
pub struct World {
    /// The destinations.
    pub destinations: Vec<Destination>,
    /// Takes notices.
    pub sender_host: MxHost,
    /// What was sent, by Message-ID: recipient and octets.
    pub sent: BTreeMap<String, (String, Vec<u8>)>,
    /// The relay.
    pub relay: RelayProcess,
    certificate: Certificate,
    _dns: DnsServer,
    folder: Option<tempfile::TempDir>,
}

impl World {
    /// Builds it.
    pub async fn build() -> Result<Self, String> {
        let hosts: Vec<IpAddr> = (1..=7).map(|n| Ipv4Addr::new(127, 0, 1, n).into()).collect();
        let port = free_port(&hosts);
        let start = |n: usize, behaviour: Behaviour| {
            MxHost::start(SocketAddr::new(hosts[n], port), behaviour)
        };
        let slow = Duration::from_millis(60);
        let destinations = vec![
            destination(
                "rapido.example",
                "takes everything at once",
                start(0, Behaviour::default()),
            ),
            destination(
                "gris.example",
                "greylists the first attempt",
                start(1, Behaviour { greylist: true, ..Behaviour::default() }),
            ),
            destination(
                "seguro.example",
                "offers STARTTLS",
                start(2, Behaviour { tls: tls("mx.seguro.example"), ..Behaviour::default() }),
            ),
            destination(
                "lento.example",
                "takes 60 ms for each reply",
                start(3, Behaviour { delay: slow, no_pipelining: true, ..Behaviour::default() }),
            ),
            destination(
                "rechaza.example",
                "refuses users named nadie",
                start(4, Behaviour { refuse: Some("nadie".to_owned()), ..Behaviour::default() }),
            ),
            Destination { domain: "inexistente.example", about: "does not exist", host: None },
        ];
        let sender_host = start(5, Behaviour::default());
        let mut zone = String::new();
        let named = destinations
            .iter()
            .filter(|d| d.host.is_some())
            .map(|d| d.domain)
            .chain(["institucion.example"]);
        for (number, domain) in (1..).zip(named) {
            let _ = writeln!(zone, "{domain} MX 10 mx.{domain}\nmx.{domain} A 127.0.1.{number}");
        }
        let dns = DnsServer::start(&zone).await;
        let folder = tempfile::Builder::new()
            .prefix("tambo-demo-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let certificate = Certificate::new(&["relay.institucion.example"]);
        let hash = hash().await?;
        let text = config(folder.path(), &certificate, &hash, dns.address, port);
        let path = folder.path().join("tambo.toml");
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        let relay = RelayProcess::start(&path, folder.path()).await;
        let sent = mail(&destinations);
        Ok(Self {
            destinations,
            sender_host,
            sent,
            relay,
            certificate,
            _dns: dns,
            folder: Some(folder),
        })
    }

    /// Sends everything.
    pub async fn send_all(&self) -> Result<(), String> {
        let all: Vec<&(String, Vec<u8>)> = self.sent.values().collect();
        let sessions = all
            .chunks(MESSAGES / SESSIONS)
            .enumerate()
            .map(|(n, part)| self.session(n % 2 == 0, part));
        let mut running = Vec::new();
        for session in sessions {
            running.push(Box::pin(session));
        }
        for done in join_all(running).await {
            done?;
        }
        Ok(())
    }

    /// Stops the relay and removes its folder.
    pub async fn stop(mut self) {
        self.relay.stop().await;
        drop(self.folder.take());
    }

    async fn session(
        &self,
        authenticated: bool,
        part: &[&(String, Vec<u8>)],
    ) -> Result<(), String> {
        let mut client;
        if authenticated {
            client = Client::connect(self.relay.address("submission")).await?;
            client.start_tls(&self.certificate.connector(), "relay.institucion.example").await?;
            client.login("demo", PASSWORD).await?;
        } else {
            client = Client::connect(self.relay.address("relay")).await?;
            client.command("EHLO exchange.institucion.example", 250).await?;
        }
        for (recipient, data) in part {
            client.deliver(SENDER, &[recipient], data).await?;
        }
        client.quit().await
    }
}

/// Runs all of them at the same time on this task.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *result = Some(output);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(results.drain(..).flatten().collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

fn destination(domain: &'static str, about: &'static str, host: MxHost) -> Destination {
    Destination { domain, about, host: Some(host) }
}

/// What is sent: a few are for somebody who does not exist, or to a domain that does not.
fn mail(destinations: &[Destination]) -> BTreeMap<String, (String, Vec<u8>)> {
    (0..MESSAGES)
        .map(|number| {
            let place = if number % 50 == 49 { 5 } else { number % 5 };
            let domain = destinations[place].domain;
            let name = if place == 4 && number % 20 == 4 { "nadie" } else { "persona" };
            let recipient = format!("{name}-{number}@{domain}");
            let id = format!("demo-{number:04}@institucion.example");
            let lines = (0..number % 40).map(|line| format!(".línea {line} del mensaje {number}\r\n"));
            let filler = lines.collect::<Vec<_>>().concat();
            let text = format!(
                "From: Avisos <{SENDER}>\r\nTo: <{recipient}>\r\nSubject: Invitaci=?utf-8?q?=C3=B3?=n {number}\r\n\
                 Message-ID: <{id}>\r\nDate: Tue, 24 Nov 2026 08:00:00 -0500\r\nMIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                 Señora o señor:\r\n\r\nLe invitamos al acto número {number}.\r\n{filler}"
            );
            (id, (recipient, text.into_bytes()))
        })
        .collect()
}

async fn hash() -> Result<String, String> {
    use tokio::io::AsyncWriteExt;
    let mut child = tokio::process::Command::new(program("tambo"))
        .arg("password")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(format!("{PASSWORD}\n").as_bytes())
            .await
            .map_err(|error| error.to_string())?;
    }
    let done = child.wait_with_output().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

fn config(
    folder: &std::path::Path,
    certificate: &Certificate,
    hash: &str,
    dns: SocketAddr,
    port: u16,
) -> String {
    let (certificate, key) = certificate.write(folder);
    let mut text = format!(
        r#"# Written by the demo.
[server]
hostname = "relay.institucion.example"
data_dir = "{folder}"

[tls]
certificate = "{certificate}"
private_key = "{key}"

[[listener]]
name = "relay"
bind = ["127.0.0.1:0"]
tls = "starttls"
relay_from = ["127.0.0.0/8"]

[[listener]]
name = "submission"
bind = ["127.0.0.1:0"]
tls = "required"
auth = true

[[account]]
name = "demo"
password_hash = "{hash}"
senders = ["*@institucion.example"]
allow_headers = true

# Greylisted mail goes again after 5 minutes, and from the same source; here nobody wants to wait so long.
[[response]]
id = "greylist-of-the-demo"
pattern = 'greylisted'
category = "greylist"
scope = "triplet"
action = ["retry", "same-source"]
retry_after = "2s"

[delivery]
port = {port}
retry = ["3s"]
expire_after = "10m"
allow_destinations = ["127.0.1.0/24"]

[dns]
servers = ["{dns}"]

[admin]
bind = "127.0.0.1:0"

[log]
level = "warn"
"#,
        folder = folder.display(),
        certificate = certificate.display(),
        key = key.display(),
    );
    let names: Vec<String> = (1..=18).map(|n| format!("\"ip-{n:02}\"")).collect();
    let _ = writeln!(
        text,
        "\n[[pool]]\nname = \"bulk\"\nsources = [{}]\nrotation = \"round-robin\"",
        names.join(", ")
    );
    for n in 1..=18 {
        let _ = writeln!(
            text,
            "\n[[source]]\nname = \"ip-{n:02}\"\naddress = \"127.0.0.{}\"\nhelo = \"m{n:02}.institucion.example\"",
            n + 10
        );
    }
    text
}
