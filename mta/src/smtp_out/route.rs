//! Where mail for a domain goes (RFC 5321 section 5): a smarthost that the operator names, or
//! the domain's mail servers. Looked up at each attempt; the DNS client remembers by TTL.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use relay_config::Config;
use relay_config::config::{Credentials, Smarthost, SmarthostTls};

use crate::message::{Domain, Failure, Timestamp};
use crate::outside::{DnsError, MailDns, Mx};

use super::connect::Host;
use super::opening::TlsWish;
use super::trouble;

/// Hosts of one destination that are tried (the rest are there for others).
const HOSTS_MAX: usize = 10;
/// A route without DNS records holds this long.
const FIXED_TTL: Duration = Duration::from_mins(5);

/// Where to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose limits hold: a provider, or else the hosts, or the smarthost.
    pub site: Arc<str>,
    /// Names the hosts: all domains that are reached at the same ones share it.
    pub host_set: Arc<str>,
    /// The provider that the hosts belong to.
    pub provider: Option<Arc<str>>,
    /// By preference.
    pub hosts: Vec<Host>,
    /// Port of all of them.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: TlsWish,
    /// Name and password file.
    pub credentials: Option<Credentials>,
    /// A server that takes mail for others: no limits of ours, private addresses allowed.
    pub smarthost: bool,
    /// When it must be looked up again.
    pub until: Timestamp,
}

impl Route {
    /// Whether another takes its place that is run by the same people: what is known of sources at the one
    /// holds for the other. They share a host, or the domain that a host stands in.
    pub fn is_replaced_by(&self, next: &Self) -> bool {
        let of_nobody = |route: &Self| route.provider.is_none() && !route.smarthost;
        let domain = |host: &Host| host.name.split_once('.').map(|(_, rest)| rest.to_owned());
        let shares = |host: &Host| {
            next.hosts.iter().any(|other| {
                other.name == host.name
                    || domain(host).is_some_and(|it| it.contains('.') && domain(other) == Some(it))
            })
        };
        self.site != next.site
            && of_nobody(self)
            && of_nobody(next)
            && self.hosts.iter().any(shares)
    }
}

/// Finds routes.
pub struct Resolver {
    dns: Arc<dyn MailDns>,
    config: Arc<Config>,
    own_names: Vec<String>,
}

impl Resolver {
    /// Names under which this relay may stand in MX records are those of the configuration.
    pub fn new(dns: Arc<dyn MailDns>, config: Arc<Config>) -> Self {
        let names = config.sources.iter().map(|source| source.helo.to_ascii_lowercase());
        let own_names = names.chain([config.server.hostname.to_ascii_lowercase()]).collect();
        Self { dns, config, own_names }
    }

    /// By another configuration.
    #[must_use]
    pub fn reloaded(&self, config: Arc<Config>) -> Self {
        Self::new(Arc::clone(&self.dns), config)
    }

    /// The way of a routing domain: to a smarthost, or to the mail servers of a domain.
    pub async fn route(&self, routing_domain: &str, now: Timestamp) -> Result<Route, Failure> {
        if let Some(smarthost) = self.config.routes.smarthost(routing_domain) {
            return Ok(smarthost_route(routing_domain, smarthost, now));
        }
        match Domain::parse(routing_domain) {
            Ok(domain) => self.domain_route(&domain, now).await,
            Err(_) => Err(trouble::no_route(routing_domain)),
        }
    }

    async fn domain_route(&self, domain: &Domain, now: Timestamp) -> Result<Route, Failure> {
        let name = domain.as_str();
        if let Some(literal) = domain.literal() {
            let host = Host::literal(name, literal);
            return Ok(self.mx_route(name, vec![host], now.after(FIXED_TTL)));
        }
        match self.dns.mx(name).await {
            Ok(answer) => {
                let mut hosts = answer.records;
                hosts.sort();
                hosts.dedup();
                if let [only] = &hosts[..]
                    && only.host.is_empty()
                {
                    return Err(trouble::null_mx(name));
                }
                let hosts = self.before_ourselves(name, hosts)?;
                Ok(self.mx_route(name, hosts, now.after(answer.ttl)))
            }
            // No MX: the domain is its own mail server, when it has an address.
            Err(DnsError::NoRecords) => match self.dns.addresses(name).await {
                Ok(answer) => {
                    if self.is_own(name) {
                        return Err(trouble::loops_back(name));
                    }
                    let hosts = vec![Host::named(name, 0)];
                    Ok(self.mx_route(name, hosts, now.after(answer.ttl)))
                }
                Err(error) => Err(trouble::names(name, &error)),
            },
            Err(error) => Err(trouble::names(name, &error)),
        }
    }

    fn mx_route(&self, domain: &str, hosts: Vec<Host>, until: Timestamp) -> Route {
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        let providers = &self.config.providers;
        let provider = providers.of_hosts(domain, &names).map(|it| Arc::clone(&it.name));
        let mut sorted = names;
        sorted.sort_unstable();
        let host_set: Arc<str> = sorted.join(",").into();
        let site = match &provider {
            Some(provider) => Arc::clone(provider),
            // Whoever names a host like a provider gets no hold on the provider's limits.
            None if providers.get(&host_set).is_some() => format!("{host_set}.").into(),
            None => Arc::clone(&host_set),
        };
        let (port, tls) = (self.config.delivery.port, TlsWish::WhenOffered);
        let (credentials, smarthost) = (None, false);
        Route { site, host_set, provider, hosts, port, tls, credentials, smarthost, until }
    }

    fn is_own(&self, host: &str) -> bool {
        self.own_names.iter().any(|own| own == host)
    }

    /// Only hosts that are better than ourselves may be given the mail (RFC 5321 5.1).
    fn before_ourselves(&self, domain: &str, hosts: Vec<Mx>) -> Result<Vec<Host>, Failure> {
        let own = hosts.iter().filter(|mx| self.is_own(&mx.host)).map(|mx| mx.preference).min();
        let mut sorted: Vec<Mx> = hosts
            .into_iter()
            .filter(|mx| !mx.host.is_empty() && own.is_none_or(|own| mx.preference < own))
            .collect();
        if sorted.is_empty() {
            return Err(trouble::loops_back(domain));
        }
        sorted.truncate(HOSTS_MAX);
        Ok(sorted.iter().map(|mx| Host::named(&mx.host, mx.preference)).collect())
    }
}

fn smarthost_route(name: &str, smarthost: &Smarthost, now: Timestamp) -> Route {
    let host = match smarthost.host.parse::<IpAddr>() {
        Ok(address) => Host::literal(&smarthost.host, address),
        Err(_) => Host::named(&smarthost.host, 0),
    };
    let site: Arc<str> = name.into();
    Route {
        host_set: Arc::clone(&site),
        site,
        provider: None,
        hosts: vec![host],
        port: smarthost.port,
        tls: match smarthost.tls {
            SmarthostTls::Off => TlsWish::Never,
            SmarthostTls::Opportunistic => TlsWish::WhenOffered,
            SmarthostTls::Required => TlsWish::Always,
        },
        credentials: smarthost.credentials.clone(),
        smarthost: true,
        until: now.after(FIXED_TTL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::{Answer, BoxFuture};

    /// `domain` → what the DNS says.
    struct Zone;

    impl MailDns for Zone {
        fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>> {
            let mx = |list: &[(u16, &str)]| {
                let records = list
                    .iter()
                    .map(|(p, h)| Mx { preference: *p, host: (*h).to_owned() })
                    .collect();
                Ok(Answer { records, ttl: Duration::from_mins(1), authentic: false })
            };
            let answer = match domain {
                "two.pe" => mx(&[(20, "mx2.two.pe"), (10, "mx1.two.pe")]),
                "null.pe" => mx(&[(0, "")]),
                "backup.pe" => {
                    mx(&[(10, "mx.backup.pe"), (20, "relay.x.pe"), (30, "mx3.backup.pe")])
                }
                "ours.pe" => mx(&[(10, "m01.x.pe"), (20, "mx.ours.pe")]),
                "plain.pe" | "empty.pe" => Err(DnsError::NoRecords),
                "school.pe" => mx(&[(1, "aspmx.l.google.com"), (5, "alt1.aspmx.l.google.com")]),
                "mixed.pe" => mx(&[(1, "aspmx.l.google.com"), (5, "mx.mixed.pe")]),
                "sly.pe" => mx(&[(1, "google")]),
                "silent.pe" => Err(DnsError::Unavailable("timeout".to_owned())),
                _ => Err(DnsError::NoSuchName),
            };
            Box::pin(async { answer })
        }

        fn addresses<'a>(
            &'a self,
            host: &'a str,
        ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>> {
            let answer = match host {
                "plain.pe" => Ok(Answer {
                    records: vec!["192.0.2.1".parse().unwrap()],
                    ttl: Duration::from_mins(1),
                    authentic: false,
                }),
                _ => Err(DnsError::NoRecords),
            };
            Box::pin(async { answer })
        }
    }

    async fn route(domain: &str) -> Result<Route, Failure> {
        let text = "[server]\nhostname = \"relay.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\n\
            tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"a\"\naddress = \"127.0.0.1\"\n\
            helo = \"m01.x.pe\"\n[[route]]\nrecipients = [\"*@inside.pe\"]\n\
            smarthost = { host = \"mail.inside.pe\", port = 587, tls = \"off\" }\n";
        let config = Arc::new(relay_config::load(text, "t").unwrap().config);
        let resolver = Resolver::new(Arc::new(Zone), config);
        let domain = Domain::parse(domain).unwrap();
        let routing = resolver.config.routes.routing_domain("ana", domain.as_str());
        resolver.route(routing, Timestamp::default()).await
    }

    async fn check(domain: &str, expected: Result<&str, &str>) {
        let found = route(domain).await;
        let site = found.as_ref().map(|route| &*route.site);
        let enhanced = site.map_err(|failure| failure.reply.enhanced.unwrap().to_string());
        assert_eq!(enhanced, expected.map_err(str::to_owned), "{domain}");
    }

    #[tokio::test]
    async fn the_ways_of_rfc_5321() {
        check("two.pe", Ok("mx1.two.pe,mx2.two.pe")).await;
        check("plain.pe", Ok("plain.pe")).await;
        check("backup.pe", Ok("mx.backup.pe")).await;
        check("ours.pe", Err("5.4.6")).await;
        check("null.pe", Err("5.1.10")).await;
        check("empty.pe", Err("5.4.4")).await;
        check("missing.pe", Err("5.1.2")).await;
        check("silent.pe", Err("4.4.3")).await;
        check("[192.0.2.5]", Ok("[192.0.2.5]")).await;
        check("school.pe", Ok("google")).await;
        check("mixed.pe", Ok("aspmx.l.google.com,mx.mixed.pe")).await;
        check("sly.pe", Ok("google.")).await;
        let school = route("school.pe").await.unwrap();
        assert_eq!(
            (school.host_set.as_ref(), school.provider.as_deref()),
            ("alt1.aspmx.l.google.com,aspmx.l.google.com", Some("google"))
        );
        let two = Route { until: Timestamp::default(), ..route("two.pe").await.unwrap() };
        let one = |name: &str| Route {
            site: name.into(),
            hosts: vec![Host::named(name, 0)],
            ..two.clone()
        };
        let replaced = |name: &str| two.is_replaced_by(&one(name));
        assert_eq!(
            ["mx1.two.pe", "mx9.two.pe", "mx.other.pe", "two.pe"].map(replaced),
            [true, true, false, false]
        );
        assert!(!two.is_replaced_by(&two) && !school.is_replaced_by(&one("aspmx.l.google.com")));
        check("inside.pe", Ok("mail.inside.pe:587/clear")).await;
        let smarthost = route("inside.pe").await.unwrap();
        assert_eq!(
            (smarthost.tls, smarthost.smarthost, smarthost.port),
            (TlsWish::Never, true, 587)
        );
    }
}
