//! Opens a connection to the first host of a route that takes one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use prometheus::{Histogram, IntCounter};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use relay_config::config::{Credentials, Delivery, Source};
use tokio::time::Instant;

use crate::current::Current;
use crate::message::{Failure, Retry, Scope, Timestamp};
use crate::metrics::{self, Label, Labelled, Topic, limit_hit};
use crate::outside::{BoxStream, MailDns, Net, WallClock};

use super::driver::{Connection, Wire};
use super::ear::{Ear, Said, heard};
use super::gateway::Gateways;
use super::opening::{Opening, TlsWish};
use super::route::Route;
use super::tls_policy::TlsClients;
use super::trouble;

/// Addresses that one attempt tries (as Postfix does): a destination with dozens that are all
/// down must not hold a connection for hours.
const ADDRESSES_MAX: usize = 5;

static CONNECTS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Connections to sites that were tried, over all hosts of the site";
    let results = [
        ("tls", "the server is ready, over TLS"),
        ("plain", "the server is ready, in clear"),
        ("failed", "no host of the site took one"),
    ];
    let result = Label::known("result", &results);
    metrics::counters(Topic::Connections, "tambo_outbound_connections_total", help, vec![result])
});
static CONNECT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "Time until a server took a TCP connection; those that did not are not counted";
    let name = "tambo_connect_seconds";
    metrics::histogram(Topic::Connections, name, help, &metrics::NETWORK_SECONDS)
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&CONNECTS, &CONNECT_SECONDS]);
}

/// A host of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name, or literal.
    pub name: String,
    /// Known beforehand, for a literal.
    pub addresses: Vec<IpAddr>,
    /// Its addresses are looked up.
    pub named: bool,
    /// Lower goes first; equals at random.
    pub preference: u16,
}

impl Host {
    /// One whose addresses are looked up when it is tried.
    pub fn named(name: &str, preference: u16) -> Self {
        Self { name: name.to_owned(), addresses: Vec::new(), named: true, preference }
    }

    /// One that is an address.
    pub fn literal(name: &str, address: IpAddr) -> Self {
        Self { name: name.to_owned(), addresses: vec![address], named: false, preference: 0 }
    }
}

/// Opens connections.
pub struct Connector {
    /// Streams.
    pub net: Arc<dyn Net>,
    /// Names.
    pub dns: Arc<dyn MailDns>,
    /// Time of day.
    pub clock: Arc<dyn WallClock>,
    /// TLS.
    pub tls: TlsClients,
    /// What the operator decided.
    pub delivery: Current<Delivery>,
    /// What is known of the hosts that sources are behind.
    pub gateways: Gateways,
    /// Where this relay itself listens: mail sent there would go in circles.
    pub own: Vec<SocketAddr>,
}

impl Connector {
    /// A connection to one of the route's hosts from this source: by preference, equals in an
    /// order drawn from `seed` (RFC 5321 5.1), those in `avoided` last. Otherwise the failure of
    /// the host that leaves most hope. `ear` hears what is done and said, also of the connection that is opened.
    pub async fn open(
        &self,
        route: &Route,
        source: &Source,
        seed: u64,
        avoided: &[String],
        ear: Option<&Ear>,
    ) -> Result<Connection, Failure> {
        let hosts = order(&route.hosts, seed);
        let (last, first): (Vec<&Host>, Vec<&Host>) =
            hosts.into_iter().partition(|host| avoided.contains(&host.name));
        let mut failure = None;
        let mut tried = 0;
        'hosts: for host in first.into_iter().chain(last) {
            let addresses = match self.addresses(host, route, source).await {
                Ok(addresses) => {
                    heard(ear, &Said::Host(&host.name, Ok(&addresses)));
                    addresses
                }
                Err(error) => {
                    heard(ear, &Said::Host(&host.name, Err(&error)));
                    worse(&mut failure, error);
                    continue;
                }
            };
            for address in addresses {
                tried += 1;
                let to = SocketAddr::new(address, route.port);
                match self.open_address((host, to), route, source, ear).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => {
                        heard(ear, &Said::Failed(&error));
                        worse(&mut failure, error);
                    }
                }
                if tried >= ADDRESSES_MAX {
                    limit_hit("addresses_per_attempt");
                    break 'hosts;
                }
            }
        }
        CONNECTS.count(&["failed"]);
        Err(failure.unwrap_or_else(|| trouble::loops_back(&route.site)))
    }

    /// Where a host can be reached from a source, in the order in which it is tried; the reason why not.
    pub async fn addresses(
        &self,
        host: &Host,
        route: &Route,
        source: &Source,
    ) -> Result<Vec<IpAddr>, Failure> {
        let mut addresses = host.addresses.clone();
        if host.named {
            let found = self.dns.addresses(&host.name).await;
            addresses = found.map_err(|error| trouble::names(&host.name, &error))?.records;
        }
        if !route.smarthost {
            let delivery = self.delivery.get();
            addresses.retain(|address| is_allowed(*address, &delivery.allow_destinations));
            if addresses.is_empty() {
                return Err(trouble::forbidden(&host.name));
            }
        }
        let bound = source.address;
        if !bound.is_unspecified() {
            addresses.retain(|address| address.is_ipv4() == bound.is_ipv4());
            if addresses.is_empty() {
                return Err(trouble::no_common_family(&host.name));
            }
        }
        addresses.retain(|address| !self.is_own(SocketAddr::new(*address, route.port)));
        if addresses.is_empty() {
            return Err(trouble::loops_back(&host.name));
        }
        Ok(addresses)
    }

    fn is_own(&self, to: SocketAddr) -> bool {
        self.own.iter().any(|own| {
            let same_address =
                own.ip() == to.ip() || (own.ip().is_unspecified() && self.net.has_address(to.ip()));
            own.port() == to.port() && same_address
        })
    }

    async fn open_address(
        &self,
        (host, address): (&Host, SocketAddr),
        route: &Route,
        source: &Source,
        ear: Option<&Ear>,
    ) -> Result<Connection, Failure> {
        let login = route.credentials.as_ref().map(read_credentials).transpose();
        let login = login.map_err(trouble::credentials)?;
        let now: Timestamp = self.clock.now();
        let mut wish = route.tls;
        let wanted = self.tls.is_wanted(&host.name, now);
        if wish == TlsWish::WhenOffered && !wanted && self.tls.is_broken(&host.name, now) {
            wish = TlsWish::Never;
        }
        let mut opening = Opening::new(&source.helo, wish, login.clone());
        let mut wire = Wire::new(self.connect(address, source, ear).await?, ear.cloned());
        if wire.open(&mut opening, None).await? {
            return Ok(Self::opened(wire, opening, (host, address), None));
        }
        let verify = wish == TlsWish::Always;
        match self.tls.handshake(wire.into_stream(), &host.name, verify).await {
            Ok((stream, description)) => {
                heard(ear, &Said::Tls(Ok(&description)));
                let mut wire = Wire::new(stream, ear.cloned());
                let first = opening.tls_started();
                wire.open(&mut opening, Some(first)).await?;
                Ok(Self::opened(wire, opening, (host, address), Some(description)))
            }
            Err(error) if wish == TlsWish::Always || wanted => {
                Err(trouble::tls(format!("TLS with {}: {error}", host.name)))
            }
            Err(error) => {
                tracing::info!(host = %host.name, %error, "TLS does not work there; in clear for a while");
                self.tls.remember_broken(&host.name, self.delivery.get().broken_tls_memory, now);
                let mut opening = Opening::new(&source.helo, TlsWish::Never, login);
                heard(ear, &Said::Tls(Err(&error.to_string())));
                let mut wire = Wire::new(self.connect(address, source, ear).await?, ear.cloned());
                wire.open(&mut opening, None).await?;
                Ok(Self::opened(wire, opening, (host, address), None))
            }
        }
    }

    async fn connect(
        &self,
        address: SocketAddr,
        source: &Source,
        ear: Option<&Ear>,
    ) -> Result<BoxStream, Failure> {
        heard(ear, &Said::Connecting(address));
        let begun = Instant::now();
        let time = self.delivery.get().connect_timeout;
        let stream = match &source.via {
            None => {
                let connecting = self.net.connect(source.address, address);
                let connected = tokio::time::timeout(time, connecting).await;
                let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                connected.map_err(|error| trouble::not_connected(&error))?
            }
            Some(gateway) => {
                let ends = (source.address, address);
                self.gateways.connect(&*self.net, gateway, ends, time).await?
            }
        };
        CONNECT_SECONDS.observe(begun.elapsed().as_secs_f64());
        heard(ear, &Said::Connected);
        Ok(stream)
    }

    /// Whether a source can be sent from, as far as is known: its address is on this machine, or its
    /// gateway was of use when it was last needed.
    pub fn is_present(&self, source: &Source) -> bool {
        match &source.via {
            None => self.net.has_address(source.address),
            Some(gateway) => self.gateways.is_usable(gateway),
        }
    }

    /// Asks the gateways that were of no use whether they are again.
    pub async fn ask_gateways(&self, sources: &[Arc<Source>]) {
        let time = self.delivery.get().connect_timeout;
        self.gateways.ask_again(&self.net, sources, time).await;
    }

    fn opened(
        wire: Wire,
        opening: Opening,
        (host, address): (&Host, SocketAddr),
        tls: Option<String>,
    ) -> Connection {
        CONNECTS.count(&[if tls.is_some() { "tls" } else { "plain" }]);
        Connection::new(wire, opening.capabilities, (host.name.clone(), address.ip()), tls)
    }
}

/// By preference, equals shuffled so that each gets its part.
fn order(hosts: &[Host], seed: u64) -> Vec<&Host> {
    let mut ordered: Vec<&Host> = hosts.iter().collect();
    ordered.sort_by_key(|host| host.preference);
    let mut random = StdRng::seed_from_u64(seed);
    for equals in ordered.chunk_by_mut(|a, b| a.preference == b.preference) {
        equals.shuffle(&mut random);
    }
    ordered
}

/// Of several failures the one that leaves most hope stands, and of equals the last: a host that may
/// take the mail later counts for more than one that this source cannot speak to, and that for
/// more than one that never will.
fn worse(failure: &mut Option<Failure>, new: Failure) {
    let hope = |failure: &Failure| match (failure.retry, failure.scope) {
        (Retry::Never, _) => 0,
        (_, Scope::Path) => 1,
        _ => 2,
    };
    if failure.as_ref().is_none_or(|known| hope(known) <= hope(&new)) {
        *failure = Some(new);
    }
}

/// Loopback, private, link-local and other special addresses are no mail servers of the world: a
/// domain that points there is a mistake, or an attack on what listens inside.
fn is_allowed(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    let special = match address {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            four.is_private()
                || four.is_loopback()
                || four.is_link_local()
                || four.is_unspecified()
                || four.is_broadcast()
                || four.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(six) => {
            six.is_loopback()
                || six.is_unspecified()
                || six.is_multicast()
                || six.is_unique_local()
                || six.is_unicast_link_local()
        }
    };
    !special || allowed.iter().any(|network| network.contains(&address))
}

/// User name and password, as the file has it now; the reason why not.
pub(super) fn read_credentials(credentials: &Credentials) -> Result<(String, String), String> {
    let path = credentials.password_file.display();
    let text = std::fs::read_to_string(&credentials.password_file)
        .map_err(|error| format!("{path}: {error}"))?;
    let password = text.lines().next().unwrap_or("").trim_end().to_owned();
    if password.is_empty() {
        return Err(format!("{path} has no password in its first line"));
    }
    Ok((credentials.username.clone(), password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_are_shuffled_and_nothing_else() {
        let hosts = [Host::named("c", 20), Host::named("a", 10), Host::named("b", 10)];
        let names = |seed| -> Vec<String> {
            order(&hosts, seed).iter().map(|host| host.name.clone()).collect()
        };
        let firsts: std::collections::HashSet<String> =
            (0..50).map(|seed| names(seed).remove(0)).collect();
        assert_eq!(firsts, ["a".to_owned(), "b".to_owned()].into());
        assert!((0..50).all(|seed| names(seed)[2] == "c"));
        assert_eq!(names(3), names(3));
    }

    #[test]
    fn addresses_that_mail_may_go_to() {
        let allowed: Vec<IpNet> = vec!["127.0.1.0/24".parse().unwrap()];
        let check = |address: &str, expected: bool| {
            assert_eq!(is_allowed(address.parse().unwrap(), &allowed), expected, "{address}");
        };
        check("192.0.2.1", true);
        check("2001:db8::1", true);
        check("127.0.0.1", false);
        check("127.0.1.9", true);
        check("::ffff:127.0.0.1", false);
        check("10.0.0.1", false);
        check("169.254.169.254", false);
        check("100.64.0.1", false);
        check("0.0.0.0", false);
        check("255.255.255.255", false);
        check("::1", false);
        check("fe80::1", false);
        check("fd00::1", false);
    }
}
