//! The configuration as the relay uses it: every value present, checked and in its own type.
//!
//! `sections.rs` reads what a person wrote, `resolve.rs` turns it into this. Nothing here can be
//! invalid: a `Pool` names only sources that exist, a `Listener` that relays says for whom.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::blocklists::Blocklist;
use crate::in_force::InForce;
use crate::providers::Providers;
use crate::reports::Reports;
use crate::responses::Classifier;
use crate::routes::Routes;
use crate::values::{AddressPattern, ByteSize, DomainPattern};
use crate::webhooks::Webhook;

pub use crate::providers::SiteLimits;
pub use crate::send_window::{SendDay, SendWindow, day_number};
pub use crate::suppression::SuppressionRules;
pub use crate::swap::SwapRules;
pub use crate::via::{Gateway, GatewayProtocol};
pub use crate::warm_up::{WarmUpSchedule, Warmth};

/// Everything the operator decided, after defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[tls]`: the certificate that listeners show; `None` when no listener offers TLS.
    pub tls: Option<TlsFiles>,
    /// `[[listener]]`, at least one.
    pub listeners: Vec<Arc<Listener>>,
    /// `[[account]]`
    pub accounts: Vec<Arc<Account>>,
    /// `[[source]]`, at least one (one that binds to any address is made when none is written).
    pub sources: Vec<Arc<Source>>,
    /// `[[pool]]`, at least one (`default`, of all sources, is made when none is written).
    pub pools: Vec<Arc<Pool>>,
    /// `[swap]`
    pub swap: SwapRules,
    /// `[suppression]`
    pub suppression: SuppressionRules,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[[route]]`, in the order written: the first match wins.
    pub routes: Routes,
    /// `[[response]]`, in the order written, before the built-in rules.
    pub responses: Arc<Classifier>,
    /// `[[provider]]` and the built-in ones: whose a destination is, and what it may be asked to take.
    pub providers: Providers,
    /// `[limits]`
    pub limits: Limits,
    /// `[dns]`
    pub dns: Dns,
    /// `[admin]`
    pub admin: Admin,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[reports]`
    pub reports: Reports,
    /// `[events]`
    pub events: Events,
    /// `[log]`
    pub log: Log,
    /// `[[dkim]]`: no two with the same domain and selector.
    pub dkim: Vec<Arc<DkimKey>>,
    /// `[[blocklist]]`: no two with the same name.
    pub blocklists: Vec<Arc<Blocklist>>,
    /// The same key by key, with where each was decided; in the order of the reference.
    pub in_force: Arc<[InForce]>,
    /// `[[webhook]]`: no two with the same name.
    pub webhooks: Vec<Arc<Webhook>>,
}

impl Config {
    /// Domains that mail is sent from, as far as they are named: those of keys (d=), and those of
    /// `senders` that name one domain. Lower-case A-labels.
    pub fn sending_domains(&self) -> BTreeSet<&str> {
        let of_keys = self.dkim.iter().map(|key| key.domain.as_str());
        let senders = self.accounts.iter().flat_map(|account| &account.senders);
        let of_senders = senders.filter_map(|pattern| match pattern.domain() {
            DomainPattern::Exact(domain) => Some(domain.as_str()),
            DomainPattern::Any | DomainPattern::Below(_) => None,
        });
        of_keys.chain(of_senders).collect()
    }

    /// Domains below which mail is sent from, as `senders` name them: of `*@*.example.pe`, `example.pe`.
    pub fn parents_of_senders(&self) -> BTreeSet<&str> {
        let senders = self.accounts.iter().flat_map(|account| &account.senders);
        let parents = senders.filter_map(|pattern| match pattern.domain() {
            DomainPattern::Below(parent) => Some(parent.as_str()),
            DomainPattern::Any | DomainPattern::Exact(_) => None,
        });
        parents.collect()
    }
}

/// Where in the file something is written, for what is found amiss later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// `[server]`: who we are and where our files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name in the greeting, in Received and in our Message-IDs.
    pub hostname: String,
    /// Holds `spool/`, `events/` and `control.sock`.
    pub data_dir: PathBuf,
    /// Where mail for `postmaster` without a domain goes; `postmaster@hostname` by default.
    pub postmaster: String,
    /// Below this much free disk nothing is accepted and no delivery starts.
    pub min_free_space: ByteSize,
    /// Bytes of message bodies that may be held in memory while they arrive.
    pub bodies_in_flight_max: ByteSize,
    /// Bytes of bodies kept in memory for their first attempt.
    pub body_cache_max: ByteSize,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM chain, the leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub private_key: PathBuf,
}

/// `[[listener]]`: where mail comes in and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Shown in Received, events and metrics.
    pub name: Arc<str>,
    /// Addresses and ports to listen on.
    pub bind: Vec<SocketAddr>,
    /// When TLS is spoken.
    pub tls: ListenerTls,
    /// Whether AUTH is offered (under TLS).
    pub auth: bool,
    /// Networks that may relay without a password.
    pub relay_from: Vec<IpNet>,
    /// Load balancers, whose connections begin with a PROXY header that names the client.
    pub proxy_from: Vec<IpNet>,
    /// Leave the client's address and name out of Received (S8).
    pub hide_client: bool,
    /// What is done with CR or LF that stand alone.
    pub bare_newline: BareNewline,
    /// `X-Tambo-*` headers of unauthenticated (trusted) mail are read.
    pub allow_headers: bool,
    /// Pool for mail that comes in here, where neither account nor header says.
    pub pool: Option<Arc<str>>,
    /// Limits of sessions on this listener.
    pub limits: SessionLimits,
}

/// When a listener speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerTls {
    /// Never.
    Off,
    /// STARTTLS is offered.
    Starttls,
    /// Nothing but EHLO, NOOP, RSET, QUIT before STARTTLS.
    Required,
    /// From the first byte (RFC 8314, port 465).
    Implicit,
}

/// What is done with a CR or LF that stands alone in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNewline {
    /// `550 5.6.11`
    Refuse,
    /// Becomes CRLF.
    Normalise,
}

/// Limits of one SMTP session (and of a listener).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// Sessions open at a time on the listener, from everybody.
    pub connections: u32,
    /// Sessions open at a time from one address (IPv6: one /64).
    pub connections_per_address: u32,
    /// The same for an address in `relay_from`.
    pub connections_per_trusted_address: u32,
    /// Messages accepted in one session.
    pub messages_per_connection: u32,
    /// RCPT accepted for one message.
    pub recipients_per_message: u32,
    /// Octets of one message.
    pub message_size: ByteSize,
    /// Octets of a message's header section.
    pub header_size: ByteSize,
    /// Octets of one line of a message, without its end (RFC 5321 4.5.3.1.6: 998).
    pub line_length: u32,
    /// Received lines of a message before it counts as looping.
    pub hops: u32,
    /// Replies of class 4 and 5 before the session is closed.
    pub errors: u32,
    /// Idle time that a client has for its next command (RFC 5321 4.5.3.2.7: 5 minutes).
    pub command_timeout: Duration,
    /// Idle time inside DATA (RFC 5321 4.5.3.2.5: 3 minutes).
    pub data_timeout: Duration,
    /// Longest life of a session.
    pub session_timeout: Duration,
}

/// `[[account]]`: one who submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name given in AUTH.
    pub name: Arc<str>,
    /// PHC string of argon2id; `None`: by network only.
    pub password_hash: Option<String>,
    /// What it may use as MAIL FROM and From; empty: anything.
    pub senders: Vec<AddressPattern>,
    /// Mail from these networks (where `relay_from` trusts them) is this account's.
    pub networks: Vec<IpNet>,
    /// Pool for its mail.
    pub pool: Option<Arc<str>>,
    /// `X-Tambo-*` headers are read.
    pub allow_headers: bool,
    /// Whether and where failures are reported.
    pub dsn: DsnPolicy,
    /// Messages and recipients it may send.
    pub limits: AccountLimits,
}

/// Where delivery status notifications of an account's mail go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DsnPolicy {
    /// To the sender of the message (RFC 5321 6.1).
    Sender,
    /// Nowhere: events and the API tell.
    Off,
    /// To one mailbox.
    To(String),
}

/// What an account may submit; `None`: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Messages in any 60 minutes.
    pub messages_per_hour: Option<u32>,
    /// Messages in any 24 hours.
    pub messages_per_day: Option<u32>,
    /// Recipients in any 60 minutes.
    pub recipients_per_hour: Option<u32>,
    /// Recipients in any 24 hours.
    pub recipients_per_day: Option<u32>,
}

/// `[[source]]`: one address we send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Shown in events, metrics and commands.
    pub name: Arc<str>,
    /// Bound before connecting, here or, with `via`, at the gateway. Unspecified (`0.0.0.0`, `::`) leaves
    /// it to the kernel.
    pub address: IpAddr,
    /// What the world sees, behind 1:1 NAT.
    pub public: IpAddr,
    /// Name in EHLO.
    pub helo: String,
    /// Since when it has been sending.
    pub warmth: Warmth,
    /// Who connects in its place; `None`: this machine, which has its address.
    pub via: Option<Gateway>,
}

impl Source {
    /// One of which nothing is written but what must be: a cold address of this machine that is seen as it is bound.
    pub fn new(name: Arc<str>, address: IpAddr, helo: String) -> Self {
        Self { name, address, public: address, helo, warmth: Warmth::Cold, via: None }
    }
}

/// `[[pool]]`: sources that share a kind of mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Named by accounts, listeners and headers.
    pub name: Arc<str>,
    /// Active sources, in the order written.
    pub sources: Vec<Arc<str>>,
    /// Sources that wait to replace one.
    pub standby: Vec<Arc<str>>,
    /// How the next source is chosen.
    pub rotation: Rotation,
    /// How cold sources are warmed up; `None`: they send what they may from the first day.
    pub warm_up: Option<Arc<WarmUpSchedule>>,
    /// The day over which its caps are counted, and the hours over which they are spread.
    pub send_window: SendWindow,
}

impl Pool {
    /// One of which nothing is written but its sources.
    pub fn new(name: Arc<str>, sources: Vec<Arc<str>>) -> Self {
        let (standby, rotation, send_window) = (Vec::new(), Rotation::Adaptive, SendWindow::ALWAYS);
        Self { name, sources, standby, rotation, warm_up: None, send_window }
    }
}

/// How a pool chooses the next source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Each active source in turn.
    RoundRobin,
    /// Concentrate small volumes on few sources and grow as volume does.
    Adaptive,
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Pool where nothing else says.
    pub pool: Arc<str>,
    /// Port of MX hosts: 25 in the world, others in tests.
    pub port: u16,
    /// Delays after the first, second … failed attempt; the last repeats.
    pub retry: Vec<Duration>,
    /// Share of a delay that is drawn at random and added or taken, 0.0 to 0.5.
    pub retry_jitter: f64,
    /// Age at which what is still waiting is given up.
    pub expire_after: Duration,
    /// Age at which its sender is told that a message is late; `None`: not at all.
    pub delay_notice_after: Option<Duration>,
    /// Loopback and private networks that MX records may point to.
    pub allow_destinations: Vec<IpNet>,
    /// What everyone gets who is no known provider.
    pub limits: SiteLimits,
    /// Time an unused connection is kept open.
    pub idle_timeout: Duration,
    /// Time for a TCP connection to come up.
    pub connect_timeout: Duration,
    /// RCPT in one transaction.
    pub recipients_per_transaction: u32,
    /// Outbound connections open at a time, to everybody.
    pub connections: u32,
    /// How long a peer whose STARTTLS failed is delivered to without TLS, when TLS is optional.
    pub broken_tls_memory: Duration,
}

/// `[[route]]`: mail that does not follow its domain's MX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Any of these.
    pub recipients: Vec<AddressPattern>,
    /// Where it goes.
    pub smarthost: Smarthost,
}

/// A server that takes mail for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smarthost {
    /// Name (its addresses are looked up, not its MX) or address literal.
    pub host: String,
    /// 25 by default.
    pub port: u16,
    /// When TLS is spoken.
    pub tls: SmarthostTls,
    /// AUTH PLAIN or LOGIN under TLS, when given.
    pub credentials: Option<Credentials>,
}

/// TLS towards a smarthost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmarthostTls {
    /// Never.
    Off,
    /// When offered, unverified.
    Opportunistic,
    /// Always, certificate verified for `host`.
    Required,
}

/// User name and where the password is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name in AUTH.
    pub username: String,
    /// File whose first line is the password.
    pub password_file: PathBuf,
}

/// `[limits]`: of the whole relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// SMTP sessions open at a time on all listeners.
    pub connections: u32,
    /// Password checks that may wait for a core before 454.
    pub password_queue: u32,
    /// Wrong passwords from one address, or for one account, in 15 minutes before 454.
    pub password_failures: u32,
    /// Deliveries that memory holds ready, over all sites.
    pub ready_deliveries: u32,
    /// (domain, lane) pairs that memory follows; the rest is found by scanning the index.
    pub lanes: u32,
    /// Recipients of one request to send.
    pub recipients_per_request: u32,
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Resolvers; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// Time for one answer.
    pub timeout: Duration,
    /// Answers remembered.
    pub cache_entries: u32,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Web, API, metrics and health; `None`: only the control socket.
    pub bind: Option<SocketAddr>,
    /// They speak TLS, with the certificate of listeners.
    pub tls: bool,
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Who may read `/metrics` without a token.
    pub allow: Vec<IpNet>,
}

/// `[events]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// How long they can be asked for, and their files stay.
    pub keep: Duration,
    /// Octets after which a file ends and the next begins.
    pub file_size: ByteSize,
    /// Octets of all files.
    pub max_size: ByteSize,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[[dkim]]`: a key that signs for a domain (RFC 6376). What kind it is, the key itself tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// d=: signs mail whose From is in it or below it. Lower-case A-labels.
    pub domain: String,
    /// s=: the public key is in the DNS at `selector._domainkey.domain`. Lower case.
    pub selector: String,
    /// PEM file.
    pub private_key: PathBuf,
    /// Where `private_key` stands in the configuration.
    pub place: Place,
}

impl DkimKey {
    /// Where the public key is published (RFC 6376 section 3.6.2.1).
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }
}
