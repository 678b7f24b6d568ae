//! Names, asked of the system's resolvers or of those that the configuration lists.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use prometheus::{Histogram, IntCounter};
use relay_config::config::Dns;
use tokio::time::Instant;

use crate::metrics::{self, Label, Labelled, Topic};
use crate::outside::dns::pointer_name;
use crate::outside::{Answer, BoxFuture, DnsError, MailDns, Mx};

use super::fresh_dns::FreshDns;

/// An answer is not asked for again for at least this long, whatever its TTL.
const TTL_MIN: Duration = Duration::from_secs(30);
/// Nor remembered longer than this.
const TTL_MAX: Duration = Duration::from_hours(24);

static LOOKUPS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Names looked up, answers of the cache among them";
    let types = [
        ("MX", "where the mail of a domain goes"),
        ("A", "addresses of a host, IPv4, and what blocklists say"),
        ("AAAA", "addresses of a host, IPv6"),
        ("TXT", "texts: SPF, and what blocklists say in words"),
        ("PTR", "names of an address"),
    ];
    let results = [
        ("found", "there are records"),
        ("no_records", "the name exists and has none of them"),
        ("no_such_name", "NXDOMAIN"),
        ("unavailable", "no answer, SERVFAIL, REFUSED: nothing is known"),
    ];
    let labels = vec![Label::known("type", &types), Label::known("result", &results)];
    metrics::counters(Topic::Connections, "tambo_dns_lookups_total", help, labels)
});
static LOOKUP_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "Time of a look-up; those below the first bounds are answers of the cache";
    let buckets = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    metrics::histogram(Topic::Connections, "tambo_dns_seconds", help, &buckets)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&LOOKUPS, &LOOKUP_SECONDS]);
}

/// A stub resolver with a cache, and beside it one without.
pub struct SystemDns {
    resolver: TokioResolver,
    fresh: FreshDns,
}

impl SystemDns {
    /// From the configuration.
    pub fn new(config: &Dns) -> Result<Self, String> {
        let (servers, mut options) = if config.servers.is_empty() {
            read_system_conf().map_err(|error| format!("/etc/resolv.conf: {error}"))?
        } else {
            let servers = config.servers.iter().map(|server| {
                let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut name_server.connections {
                    connection.port = server.port();
                }
                name_server
            });
            let servers = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            (servers, ResolverOpts::default())
        };
        options.timeout = config.timeout;
        options.attempts = 2;
        options.cache_size = u64::from(config.cache_entries);
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.positive_min_ttl = Some(TTL_MIN);
        options.positive_max_ttl = Some(TTL_MAX);
        options.negative_max_ttl = Some(Duration::from_mins(15));
        options.edns_payload_len = 1232;
        options.ndots = 0;
        let fresh = FreshDns::new(servers.name_servers(), options.clone())?;
        let builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(|error| error.to_string())?;
        Ok(Self { resolver, fresh })
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Lookup, DnsError> {
        // A final dot: no search list.
        let begun = Instant::now();
        let found = self.resolver.lookup(format!("{name}."), kind).await;
        let found = found.map_err(|error| dns_error(&error));
        count(kind, begun, found.as_ref().err());
        found
    }

    async fn ask_fresh<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<Vec<T>>, DnsError> {
        let begun = Instant::now();
        let found = self.fresh.ask(name, kind).await.map_err(|error| dns_error(&error));
        let found = found.and_then(|message| {
            let authentic = message.authentic_data;
            answer_of(pick_from(&message.answers, pick), &message.answers, authentic)
        });
        count(kind, begun, found.as_ref().err());
        found
    }
}

fn count(kind: RecordType, begun: Instant, error: Option<&DnsError>) {
    LOOKUP_SECONDS.observe(begun.elapsed().as_secs_f64());
    let kind = match kind {
        RecordType::MX => "MX",
        RecordType::A => "A",
        RecordType::TXT => "TXT",
        RecordType::PTR => "PTR",
        _ => "AAAA",
    };
    let result = match error {
        None => "found",
        Some(DnsError::NoRecords) => "no_records",
        Some(DnsError::NoSuchName) => "no_such_name",
        Some(DnsError::Unavailable(_)) => "unavailable",
    };
    LOOKUPS.count(&[kind, result]);
}

impl MailDns for SystemDns {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>> {
        Box::pin(async move {
            let lookup = self.ask(domain, RecordType::MX).await?;
            let records = collect(&lookup, |data| match data {
                RData::MX(mx) => {
                    let host = mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase();
                    Some(Mx { preference: mx.preference, host })
                }
                _ => None,
            });
            answer(records, &lookup)
        })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>> {
        Box::pin(async move {
            let (four, six) =
                tokio::join!(self.ask(host, RecordType::A), self.ask(host, RecordType::AAAA));
            let four = four.and_then(|lookup| {
                let found = collect(&lookup, |data| match data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    _ => None,
                });
                answer(found, &lookup)
            });
            let six = six.and_then(|lookup| {
                let found = collect(&lookup, |data| match data {
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                });
                answer(found, &lookup)
            });
            match (four, six) {
                (Ok(mut four), Ok(six)) => {
                    four.records.extend(six.records);
                    four.ttl = four.ttl.min(six.ttl);
                    Ok(four)
                }
                (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
                // One that did not answer leaves the question open.
                (Err(error @ DnsError::Unavailable(_)), Err(_)) => Err(error),
                (Err(_), Err(error)) => Err(error),
            }
        })
    }

    fn listing<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<Ipv4Addr>>, DnsError>> {
        Box::pin(self.ask_fresh(name, RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        }))
    }

    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer<Vec<String>>, DnsError>> {
        Box::pin(self.ask_fresh(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        }))
    }

    fn pointers(&self, address: IpAddr) -> BoxFuture<'_, Result<Answer<Vec<String>>, DnsError>> {
        Box::pin(async move {
            let name = pointer_name(address);
            let host = |data: &RData| match data {
                RData::PTR(host) => {
                    Some(host.0.to_ascii().trim_end_matches('.').to_ascii_lowercase())
                }
                _ => None,
            };
            self.ask_fresh(&name, RecordType::PTR, host).await
        })
    }
}

fn collect<T>(lookup: &Lookup, pick: impl Fn(&RData) -> Option<T>) -> Vec<T> {
    pick_from(lookup.answers(), pick)
}

fn pick_from<T>(answers: &[Record], pick: impl Fn(&RData) -> Option<T>) -> Vec<T> {
    answers.iter().filter_map(|record| pick(&record.data)).collect()
}

fn answer<T>(records: Vec<T>, lookup: &Lookup) -> Result<Answer<Vec<T>>, DnsError> {
    answer_of(records, lookup.answers(), lookup.message().authentic_data)
}

fn answer_of<T>(
    records: Vec<T>,
    answers: &[Record],
    authentic: bool,
) -> Result<Answer<Vec<T>>, DnsError> {
    if records.is_empty() {
        return Err(DnsError::NoRecords);
    }
    let shortest = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    let ttl = Duration::from_secs(u64::from(shortest)).clamp(TTL_MIN, TTL_MAX);
    Ok(Answer { records, ttl, authentic })
}

fn dns_error(error: &NetError) -> DnsError {
    if let NetError::Dns(hickory_resolver::net::DnsError::NoRecordsFound(none)) = error {
        return match none.response_code {
            ResponseCode::NXDomain => DnsError::NoSuchName,
            ResponseCode::NoError => DnsError::NoRecords,
            other => DnsError::Unavailable(other.to_string()),
        };
    }
    DnsError::Unavailable(error.to_string())
}
