//! Who is measured: Tambo, Postfix, or nobody; each with its own default configuration for what it is
//! to do.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use ::tests::certificate::Certificate;
use ::tests::dns::DnsServer;
use ::tests::free_port;
use ::tests::postfix::Postfix;
use ::tests::relay::RelayProcess;
use tokio::time::Instant;

use crate::disk;
use crate::eventless;
use crate::measure::Measured;
use crate::plain::listens;
use crate::processes::{cpu_secs, peak_mib};

/// The name of every contender, which its certificate shows.
pub const HOSTNAME: &str = "relay.example";
/// How often is looked whether all has gone through.
const LOOK: Duration = Duration::from_millis(20);
/// A run that takes longer will not end.
const PATIENCE: Duration = Duration::from_mins(10);

/// Where mail goes.
#[derive(Clone)]
pub enum Way {
    /// All of it to one server.
    Smarthost(SocketAddr),
    /// Each domain to a host of its own, at this port. Tambo asks a DNS server; Postfix, which asks that
    /// of the machine, is told by a table.
    Hosts {
        /// Domains and addresses of their hosts.
        hosts: Vec<(String, Ipv4Addr)>,
        /// The port of all of them.
        port: u16,
    },
}

impl Way {
    /// So many domains with a host each, at this port.
    pub fn domains(count: usize, port: u16) -> Self {
        let hosts = (0..count).map(|number| (domain(number), host(number))).collect();
        Self::Hosts { hosts, port }
    }

    /// Where everything goes when nobody stands between.
    fn direct(&self) -> SocketAddr {
        match self {
            Self::Smarthost(to) => *to,
            Self::Hosts { port, .. } => SocketAddr::from((Ipv4Addr::LOCALHOST, *port)),
        }
    }

    fn zone(&self) -> String {
        let Self::Hosts { hosts, .. } = self else { return String::new() };
        let lines = hosts
            .iter()
            .map(|(domain, host)| format!("{domain} MX 10 mx.{domain}\nmx.{domain} A {host}\n"));
        lines.collect()
    }
}

/// A domain by its number.
pub fn domain(number: usize) -> String {
    format!("d{number}.example")
}

/// The address of its host; each has its own.
pub fn host(number: usize) -> Ipv4Addr {
    let octet = |value: usize| u8::try_from(value % 250).unwrap_or(0) + 1;
    Ipv4Addr::new(127, octet(number / 62_500) + 1, octet(number / 250), octet(number))
}

/// What the contender is to do.
pub struct Setting {
    /// Where mail goes.
    pub way: Way,
    /// TLS on both sides, with this certificate.
    pub certificate: Option<Certificate>,
    /// Further sections of Tambo's configuration.
    pub sections: String,
}

impl Setting {
    /// Everything goes to one server, in clear.
    pub fn smarthost(to: SocketAddr) -> Self {
        Self::new(Way::Smarthost(to))
    }

    /// Mail goes there, in clear.
    pub fn new(way: Way) -> Self {
        Self { way, certificate: None, sections: String::new() }
    }
}

/// Who is measured.
pub enum Contender {
    /// Nobody: load to sink.
    Direct(SocketAddr),
    /// Tambo.
    Tambo(Box<Tambo>),
    /// Postfix, and the folder of its tables.
    Postfix(Postfix, #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir),
}

/// A Tambo with what it needs.
pub struct Tambo {
    /// The process.
    pub relay: RelayProcess,
    _dns: DnsServer,
    /// Removed when dropped, where it is this relay's alone.
    folder: Option<tempfile::TempDir>,
}

impl Tambo {
    /// In a folder, which may have a spool.
    pub async fn start(folder: &Path, setting: &Setting) -> Self {
        Self::start_as(folder, setting, &[]).await
    }

    /// The same, run by a program whose words these are.
    async fn start_as(folder: &Path, setting: &Setting, program: &[&str]) -> Self {
        let dns = DnsServer::start(&setting.way.zone()).await;
        let config = folder.join("tambo.toml");
        std::fs::write(&config, tambo_config(folder, setting, dns.address)).unwrap();
        let relay = RelayProcess::start_with(&config, folder, program).await;
        Self { relay, _dns: dns, folder: None }
    }
}

impl Contender {
    /// By name.
    pub async fn start(name: &str, setting: &Setting) -> Self {
        let folder = disk::folder();
        let made = match name {
            "tambo" => {
                let mut tambo = Tambo::start(folder.path(), setting).await;
                tambo.folder = Some(folder);
                Self::Tambo(Box::new(tambo))
            }
            "with-events" | "without-events" => {
                let this = std::env::current_exe().unwrap().display().to_string();
                let mode = if name == "with-events" { eventless::WITH } else { eventless::WITHOUT };
                let mut tambo = Tambo::start_as(folder.path(), setting, &[&this, mode]).await;
                tambo.folder = Some(folder);
                Self::Tambo(Box::new(tambo))
            }
            "postfix" => {
                let port = free_port(&[Ipv4Addr::LOCALHOST.into()]);
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let lines = postfix_lines(folder.path(), setting);
                Self::Postfix(Postfix::start(address, HOSTNAME, &lines), folder)
            }
            _ => Self::Direct(setting.way.direct()),
        };
        listens(made.address()).await;
        made
    }

    /// Where it takes mail.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Direct(sink) => *sink,
            Self::Tambo(tambo) => tambo.relay.address("relay"),
            Self::Postfix(postfix, _) => postfix.address,
        }
    }

    /// The process that all others of it descend from.
    pub fn root(&self) -> Option<i32> {
        match self {
            Self::Direct(_) => None,
            Self::Tambo(tambo) => Some(tambo.relay.pid().as_raw()),
            Self::Postfix(postfix, _) => Some(postfix.master_pid()),
        }
    }

    /// Sends so many messages and waits until they are through.
    pub async fn measure(
        &self,
        messages: usize,
        send: impl Future<Output = ()>,
        is_through: impl AsyncFn() -> bool,
    ) -> Measured {
        let cpu = self.root().map_or(0.0, cpu_secs);
        let started = Instant::now();
        send.await;
        let accepted_secs = started.elapsed().as_secs_f64();
        while !is_through().await {
            assert!(started.elapsed() < PATIENCE, "not all of it arrives");
            tokio::time::sleep(LOOK).await;
        }
        let through_secs = started.elapsed().as_secs_f64();
        let cpu_secs = self.root().map_or(0.0, cpu_secs) - cpu;
        let peak_mib = self.root().map_or(0.0, peak_mib);
        Measured {
            messages,
            accepted_secs,
            through_secs,
            cpu_secs,
            peak_mib,
            ..Measured::default()
        }
    }

    /// Whether so many messages have left it, as far as it tells itself: for a sink that does not count.
    pub async fn has_passed_on(&self, messages: usize) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Tambo(tambo) => {
                let name = "tambo_outcomes_total{outcome=\"delivered\"}";
                tambo.relay.metric(name).await >= messages as u64
            }
            Self::Postfix(postfix, _) => postfix.queue_is_empty(),
        }
    }

    /// Ends it, whatever it holds.
    pub async fn end(self) {
        if let Self::Tambo(tambo) = self {
            let Tambo { relay, folder, .. } = *tambo;
            relay.kill().await;
            drop(folder);
        }
    }
}

/// Tambo's configuration for this.
pub fn tambo_config(folder: &Path, setting: &Setting, dns: SocketAddr) -> String {
    let mut text = format!(
        "[server]\nhostname = \"{HOSTNAME}\"\ndata_dir = \"{}\"\n[[listener]]\nname = \"relay\"\n\
         bind = [\"127.0.0.1:0\"]\ntls = \"{}\"\nrelay_from = [\"127.0.0.0/8\"]\n\
         [admin]\nbind = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n[dns]\nservers = [\"{dns}\"]\n",
        folder.display(),
        if setting.certificate.is_some() { "required" } else { "off" },
    );
    if let Some(certificate) = &setting.certificate {
        let (certificate, key) = certificate.write(folder);
        let _ = write!(
            text,
            "[tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n",
            certificate.display(),
            key.display()
        );
    }
    let _ = match &setting.way {
        Way::Smarthost(to) => write!(
            text,
            "[[route]]\nrecipients = [\"*\"]\nsmarthost = {{ host = \"{}\", port = {}, tls = \"{}\" }}\n",
            to.ip(),
            to.port(),
            if setting.certificate.is_some() { "opportunistic" } else { "off" },
        ),
        Way::Hosts { port, .. } => {
            write!(text, "[delivery]\nport = {port}\nallow_destinations = [\"127.0.0.0/8\"]\n")
        }
    };
    text.push_str(&setting.sections);
    text
}

/// What Postfix is told beside what its package says.
fn postfix_lines(folder: &Path, setting: &Setting) -> String {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut lines = String::new();
    match &setting.way {
        Way::Smarthost(to) => {
            let _ = writeln!(lines, "relayhost = [{}]:{}", to.ip(), to.port());
        }
        Way::Hosts { hosts, port } => {
            let table = folder.join("transport");
            let rows =
                hosts.iter().map(|(domain, host)| format!("{domain} smtp:[{host}]:{port}\n"));
            std::fs::write(&table, rows.collect::<String>()).unwrap();
            let _ = writeln!(lines, "transport_maps = texthash:{}", table.display());
        }
    }
    if let Some(certificate) = &setting.certificate {
        let (certificate, key) = certificate.write(folder);
        let _ = write!(
            lines,
            "smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_security_level = encrypt\n\
             smtp_tls_security_level = encrypt\n",
            certificate.display(),
            key.display()
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_domain_has_an_address_of_its_own_on_loopback() {
        let hosts: BTreeSet<Ipv4Addr> = (0..100_000).map(host).collect();
        assert_eq!(hosts.len(), 100_000);
        assert!(hosts.iter().all(Ipv4Addr::is_loopback));
        assert!(!hosts.contains(&Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn the_configurations_are_valid() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 2525));
        for way in [Way::Smarthost(address), Way::domains(3, 2525)] {
            for encrypted in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let certificate = encrypted.then(|| Certificate::new(&[HOSTNAME]));
                let setting = Setting { certificate, ..Setting::new(way.clone()) };
                let text = tambo_config(folder.path(), &setting, address);
                if let Err(problems) = relay_config::load(&text, "tambo.toml") {
                    panic!("{problems:#?}\n{text}");
                }
            }
        }
    }
}
