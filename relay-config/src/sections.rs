//! What each section of the file may hold: name, meaning, default and parser of each key.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::blocklists::{BlocklistSection, blocklist};
use crate::config::{
    Account, AccountLimits, Admin, BareNewline, Credentials, Delivery, Dns, DsnPolicy, Events,
    Limits, Listener, ListenerTls, Log, LogFormat, Metrics, Rotation, Route, SendWindow, Server,
    SessionLimits, Smarthost, SmarthostTls, Source, SuppressionRules, SwapRules, TlsFiles,
};
use crate::fields::{Fields, Located, Value};
use crate::parse::{
    boolean, count_from, duration, duration_or_never, host, host_name, ip, list, located, mailbox,
    name, network, one_of, password_hash, path, pattern, port, selector, send_window, share, size,
    socket, some, string, text,
};
use crate::problem::Mistake;
use crate::providers::{ProviderSection, everyones, provider};
use crate::reports::{Reports, reports};
use crate::responses::{Rule, operators};
use crate::suppression::suppression;
use crate::swap::swap;
use crate::via::via;
use crate::warm_up::{Chosen, WarmUpSection, chosen, warm_up, warmth};
use crate::webhooks::{WebhookSection, webhook};

/// A name that must exist elsewhere in the file.
pub(crate) type Reference = Located<Arc<str>>;

/// The file as read, before its parts are compared with each other.
#[derive(Debug)]
pub(crate) struct Sections {
    pub server: Option<Server>,
    pub tls: Option<TlsFiles>,
    pub listeners: Vec<Located<ListenerSection>>,
    pub accounts: Vec<Located<AccountSection>>,
    pub sources: Vec<Located<Source>>,
    pub pools: Vec<Located<PoolSection>>,
    pub warm_up: Vec<Located<WarmUpSection>>,
    pub swap: SwapRules,
    pub suppression: SuppressionRules,
    pub delivery: DeliverySection,
    pub routes: Vec<Located<Route>>,
    pub responses: Vec<Located<Rule>>,
    pub providers: Vec<Located<ProviderSection>>,
    pub limits: Limits,
    pub dns: Dns,
    pub admin: AdminSection,
    pub metrics: Metrics,
    pub reports: Reports,
    pub events: Events,
    pub log: Log,
    pub dkim: Vec<Located<DkimSection>>,
    pub blocklists: Vec<Located<BlocklistSection>>,
    pub webhooks: Vec<Located<WebhookSection>>,
}

#[derive(Debug)]
pub(crate) struct ListenerSection {
    pub listener: Listener,
    pub pool: Option<Reference>,
    pub open_relay_meant: bool,
    pub bind: Vec<Located<std::net::SocketAddr>>,
}

#[derive(Debug)]
pub(crate) struct AccountSection {
    pub account: Account,
    pub pool: Option<Reference>,
}

#[derive(Debug)]
pub(crate) struct PoolSection {
    pub name: Arc<str>,
    pub rotation: Rotation,
    pub sources: Vec<Reference>,
    pub standby: Vec<Reference>,
    pub warm_up: Chosen,
    pub send_window: SendWindow,
}

#[derive(Debug)]
pub(crate) struct DkimSection {
    pub domain: String,
    pub selector: String,
    pub private_key: Located<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct DeliverySection {
    pub delivery: Delivery,
    pub pool: Option<Reference>,
}

/// Reads the whole file.
#[expect(clippy::too_many_lines, reason = "a table: one entry for each section")]
pub(crate) fn read(mut file: Fields<'_>) -> Sections {
    let file = &mut file;
    let sections = Sections {
        server: file.table("server", "Who this relay is and where its files are.", server),
        tls: tls_section(file),
        listeners: file.tables("listener", "Where mail comes in and from whom. At least one.", listener),
        accounts: file.tables("account", "One who submits mail, known by password or by network.", account),
        sources: file.tables(
            "source",
            "An address that mail is sent from. Without any, the system chooses the address.",
            source,
        ),
        pools: file.tables(
            "pool",
            "Sources that share a kind of mail. Without any, one named `default` holds all sources.",
            pool,
        ),
        warm_up: file.tables(
            "warm_up",
            "How cold sources are warmed up, for pools that name it: caps of a day for one source at one destination. What is not written is as in the built-in schedule.",
            warm_up,
        ),
        swap: file.table(
            "swap",
            "When a source that is blamed or listed leaves its pools, and how a standby takes its place.",
            swap,
        ),
        suppression: file.table(
            "suppression",
            "Recipients that nothing is sent to: `tambo suppression`.",
            suppression,
        ),
        delivery: file.table("delivery", "How mail goes out.", delivery),
        routes: file.tables(
            "route",
            "Mail that does not follow its domain's MX records. The first that matches holds.",
            route,
        ),
        responses: file.tables(
            "response",
            "What a server means when it refuses, before the built-in rules: see responses.md. The first that matches holds.",
            operators,
        ),
        providers: file.tables(
            "provider",
            "Whose a destination is, and what it may be asked to take: changes and additions to providers.md.",
            provider,
        ),
        limits: file.table("limits", "Limits of the relay as a whole.", limits),
        dns: file.table("dns", "Where names are looked up.", dns),
        admin: file.table("admin", "The web, the API, health and metrics over HTTP.", admin),
        metrics: file.table("metrics", "Who may read the metrics.", metrics),
        reports: file.table("reports", "For whom reports are written: `tambo report`.", reports),
        events: file.table("events", "What is told of each message: `tambo trace` and the files in `data_dir/events`.", events),
        log: file.table("log", "What is written to standard error.", log),
        dkim: file.tables(
            "dkim",
            "A key that signs mail (DKIM, RFC 6376) whose From is in its domain; where that has none, the nearest domain above it signs. Several keys of one domain all sign: RSA for every receiver, Ed25519 beside it. `tambo dkim keygen` makes one.",
            dkim,
        ),
        blocklists: file.tables(
            "blocklist",
            "A list that receivers go by, asked about our own addresses or domains. None is asked that does not stand here: see blocklists.md.",
            blocklist,
        ),
        webhooks: file.tables(
            "webhook",
            "A web server that events are posted to, each at least once and in order: see docs/events.md.",
            webhook,
        ),
    };
    file.report_unknown();
    sections
}

fn server(f: &mut Fields<'_>) -> Option<Server> {
    let hostname = f.required(
        "hostname",
        "\"relay.example.pe\"",
        "Full name of this machine: in the greeting, in Received lines and in the Message-IDs that the relay adds.",
        host_name,
    );
    let data_dir = f.or(
        "data_dir",
        "\"/var/lib/tambo\"",
        "Folder of the spool, the event files and the control socket. A real disk, never tmpfs.",
        path,
    );
    let postmaster = f.optional(
        "postmaster",
        "\"postmaster@example.pe\"",
        "Where mail to `postmaster` without a domain goes; without it, postmaster@hostname.",
        mailbox,
    );
    let min_free_space = f.or(
        "min_free_space",
        "\"256MiB\"",
        "With less free disk than this, nothing is accepted and no delivery starts: what is in flight still needs room for its outcome.",
        size,
    );
    let bodies_in_flight_max = f.or(
        "bodies_in_flight_max",
        "\"64MiB\"",
        "Message octets that may be arriving at a time. Above it reading pauses, then 452 is answered. Read at start only.",
        size,
    );
    let body_cache_max = f.or(
        "body_cache_max",
        "\"256MiB\"",
        "Message octets kept in memory for delivery; the others are read back from disk. Read at start only.",
        size,
    );
    let hostname = hostname?;
    let postmaster = postmaster.unwrap_or_else(|| format!("postmaster@{hostname}"));
    Some(Server {
        hostname,
        data_dir,
        postmaster,
        min_free_space,
        bodies_in_flight_max,
        body_cache_max,
    })
}

fn tls_section(file: &mut Fields<'_>) -> Option<TlsFiles> {
    let written = file.is_written("tls");
    file.table(
        "tls",
        "The certificate that listeners show. Needed as soon as one offers TLS.",
        |f| {
            if !written {
                f.optional("certificate", "\"/etc/tambo/tls/fullchain.pem\"", CERTIFICATE, path);
                f.optional("private_key", "\"/etc/tambo/tls/privkey.pem\"", PRIVATE_KEY, path);
                return None;
            }
            let certificate =
                f.required("certificate", "\"/etc/tambo/tls/fullchain.pem\"", CERTIFICATE, path);
            let private_key =
                f.required("private_key", "\"/etc/tambo/tls/privkey.pem\"", PRIVATE_KEY, path);
            Some(TlsFiles { certificate: certificate?, private_key: private_key? })
        },
    )
}

const CERTIFICATE: &str =
    "PEM file with the certificate of `hostname` first, then those that signed it.";
const PRIVATE_KEY: &str = "PEM file with its private key, readable by the service's user only.";

#[expect(clippy::too_many_lines, reason = "a table of keys")]
fn listener(f: &mut Fields<'_>) -> Option<ListenerSection> {
    let name =
        f.required("name", "\"relay\"", "Shown in Received lines, events and metrics.", name);
    let bind = f.required(
        "bind",
        "[\"0.0.0.0:25\", \"[::]:25\"]",
        "Addresses and ports to listen on.",
        some(located(socket)),
    );
    let tls = f.or(
        "tls",
        "\"starttls\"",
        "`off`: never; `starttls`: offered; `required`: nothing is done before STARTTLS; `implicit`: from the first octet (port 465).",
        one_of(&[
            ("off", ListenerTls::Off),
            ("starttls", ListenerTls::Starttls),
            ("required", ListenerTls::Required),
            ("implicit", ListenerTls::Implicit),
        ]),
    );
    let auth = f.or("auth", "false", "Offer AUTH PLAIN and LOGIN, under TLS only.", boolean);
    let relay_from = f.or(
        "relay_from",
        "[]",
        "Networks that may send to anybody without a password. Everyone else needs AUTH.",
        list(network),
    );
    let proxy_from = f.or(
        "proxy_from",
        "[]",
        "Load balancers: connections from these networks must begin with a PROXY header (HAProxy's protocol, version 1 or 2), and the client is who it names. Who can connect from there can claim any address.",
        list(network),
    );
    let hide_client = f.or(
        "hide_client",
        "false",
        "Leave the client's address and name out of Received.",
        boolean,
    );
    let bare_newline = f.or(
        "bare_newline",
        "\"refuse\"",
        "A CR or LF that stands alone in a message: `refuse` it (550 5.6.11), or `normalise` it to CRLF.",
        one_of(&[("refuse", BareNewline::Refuse), ("normalise", BareNewline::Normalise)]),
    );
    let allow_headers = f.or(
        "allow_headers",
        "false",
        "Read X-Tambo-Tag, X-Tambo-Pool and X-Tambo-Priority of mail from `relay_from`. They are removed in any case.",
        boolean,
    );
    let pool = f.optional(
        "pool",
        "\"bulk\"",
        "Pool for mail that comes in here, where neither account nor header names one.",
        reference,
    );
    let open_relay_meant = f.or(
        "i_know_this_is_an_open_relay",
        "false",
        "Accept a `relay_from` that covers more public addresses than a /16 (IPv6: a /32) on a public address.",
        boolean,
    );
    let limits = f.table("limits", "Limits of the sessions of a listener.", session_limits);
    let (name, bind) = (name?, bind?);
    let addresses = bind.iter().map(|bind| bind.value).collect();
    let listener = Listener {
        name: name.into(),
        bind: addresses,
        tls,
        auth,
        relay_from,
        proxy_from,
        hide_client,
        bare_newline,
        allow_headers,
        pool: None,
        limits,
    };
    Some(ListenerSection { listener, pool, open_relay_meant, bind })
}

fn session_limits(f: &mut Fields<'_>) -> SessionLimits {
    SessionLimits {
        connections: f.or(
            "connections",
            "1000",
            "Sessions open at a time, from everybody.",
            count_from(1),
        ),
        connections_per_address: f.or(
            "connections_per_address",
            "20",
            "Sessions open at a time from one address (IPv6: one /64).",
            count_from(1),
        ),
        connections_per_trusted_address: f.or(
            "connections_per_trusted_address",
            "500",
            "The same for an address in `relay_from`: an Exchange comes from one address.",
            count_from(1),
        ),
        messages_per_connection: f.or(
            "messages_per_connection",
            "10000",
            "Messages in one session.",
            count_from(1),
        ),
        recipients_per_message: f.or(
            "recipients_per_message",
            "1000",
            "RCPT accepted for one message; the next is told 452 and sent again by the client.",
            count_from(100),
        ),
        message_size: f.or("message_size", "\"50MiB\"", "Octets of one message.", size),
        header_size: f.or(
            "header_size",
            "\"256KiB\"",
            "Octets of the header section of a message.",
            size,
        ),
        line_length: f.or(
            "line_length",
            "998",
            "Octets of one line of a message (RFC 5321 4.5.3.1.6). Some receivers refuse or break longer ones.",
            count_from(998),
        ),
        hops: f.or(
            "hops",
            "30",
            "Received lines of a message before it counts as looping.",
            count_from(5),
        ),
        errors: f.or(
            "errors",
            "20",
            "Replies of class 4 and 5 before a session is closed.",
            count_from(1),
        ),
        command_timeout: f.or(
            "command_timeout",
            "\"5m\"",
            "Time for the next command (RFC 5321 4.5.3.2.7).",
            duration,
        ),
        data_timeout: f.or(
            "data_timeout",
            "\"3m\"",
            "Time for the next piece of a message (RFC 5321 4.5.3.2.5).",
            duration,
        ),
        session_timeout: f.or("session_timeout", "\"4h\"", "Longest life of a session.", duration),
    }
}

#[expect(clippy::too_many_lines, reason = "a table of keys")]
fn account(f: &mut Fields<'_>) -> Option<AccountSection> {
    let name = f.required("name", "\"boletin\"", "The user name in AUTH.", name);
    let hash = f.optional(
        "password_hash",
        "\"$argon2id$v=19$…\"",
        "What `tambo password` prints. Without it the account is known by `networks` only.",
        password_hash,
    );
    let senders = f.or(
        "senders",
        "[]",
        "What it may use as MAIL FROM and in From: `*@example.pe`, `*@*.example.pe`, `ana@example.pe`. Empty: anything.",
        list(pattern),
    );
    let networks = f.or(
        "networks",
        "[]",
        "Mail from these networks, where a listener's `relay_from` trusts them, is this account's.",
        list(network),
    );
    let pool = f.optional("pool", "\"bulk\"", "Pool for its mail.", reference);
    let allow_headers = f.or(
        "allow_headers",
        "false",
        "Read X-Tambo-Tag, X-Tambo-Pool and X-Tambo-Priority of its mail. They are removed in any case.",
        boolean,
    );
    let dsn = f.or(
        "dsn",
        "true",
        "Report failures to the sender. With false, events and commands tell.",
        boolean,
    );
    let dsn_to = f.optional(
        "dsn_to",
        "\"bounces@example.pe\"",
        "Report failures to this mailbox instead.",
        mailbox,
    );
    let limits = f.table("limits", "What an account may submit. Without a key: no limit.", |f| {
        AccountLimits {
            messages_per_hour: f.optional(
                "messages_per_hour",
                "5000",
                "Messages in any 60 minutes.",
                count_from(1),
            ),
            messages_per_day: f.optional(
                "messages_per_day",
                "50000",
                "Messages in any 24 hours.",
                count_from(1),
            ),
            recipients_per_hour: f.optional(
                "recipients_per_hour",
                "5000",
                "Recipients in any 60 minutes.",
                count_from(1),
            ),
            recipients_per_day: f.optional(
                "recipients_per_day",
                "50000",
                "Recipients in any 24 hours.",
                count_from(1),
            ),
        }
    });
    let dsn = match dsn_to {
        Some(_) if !dsn => {
            let mend = "remove one of the two";
            f.mistake(
                "dsn_to",
                Mistake::new("`dsn = false` and `dsn_to` contradict each other", mend),
            );
            DsnPolicy::Off
        }
        Some(mailbox) => DsnPolicy::To(mailbox),
        None if dsn => DsnPolicy::Sender,
        None => DsnPolicy::Off,
    };
    if f.is_written("name")
        && hash.is_none()
        && networks.is_empty()
        && !f.is_written("password_hash")
    {
        let mend = "fine if it sends over the API only (`tambo token create --scope send --account …`); else add \
                    `password_hash` (see `tambo password`) or `networks`";
        f.warn("name", "only tokens of the API can be this account", mend);
    }
    let name = name?.into();
    let account = Account {
        name,
        password_hash: hash,
        senders,
        networks,
        pool: None,
        allow_headers,
        dsn,
        limits,
    };
    Some(AccountSection { account, pool })
}

fn source(f: &mut Fields<'_>) -> Option<Source> {
    let name = f.required("name", "\"ip-01\"", "Shown in events, metrics and commands.", name);
    let address = f.required(
        "address",
        "\"203.0.113.11\"",
        "Address of this machine that is bound before connecting; with `via`, one of the gateway.",
        ip,
    );
    let public = f.optional(
        "public",
        "\"203.0.113.11\"",
        "The address that others see, when it differs (1:1 NAT).",
        ip,
    );
    let helo = f.required(
        "helo",
        "\"m01.example.pe\"",
        "Name in EHLO. The address must resolve to it and back, or receivers distrust it.",
        host_name,
    );
    let warmth = warmth(f);
    let via = via(f, address);
    let source = Source::new(name?.into(), address?, helo?);
    Some(Source { public: public.unwrap_or(source.address), warmth, via, ..source })
}

fn pool(f: &mut Fields<'_>) -> Option<PoolSection> {
    let name = f.required("name", "\"bulk\"", "Named by accounts, listeners and headers.", name);
    let sources =
        f.required("sources", "[\"ip-01\", \"ip-02\"]", "Active sources.", some(reference));
    let standby = f.or(
        "standby",
        "[]",
        "Sources that wait to take the place of one: see `[swap]`.",
        list(reference),
    );
    let rotation = f.or(
        "rotation",
        "\"adaptive\"",
        "`adaptive`: little mail goes from few sources, so that receivers see the same ones and each is known, and more is used as volume grows; `round-robin`: each active source in turn.",
        one_of(&[("adaptive", Rotation::Adaptive), ("round-robin", Rotation::RoundRobin)]),
    );
    let warm_up = f.or(
        "warm_up",
        "false",
        "Sources that are not warm send little at first and more each day: `true`: by the built-in schedule, which is the defaults of `[[warm_up]]`; or the `name` of a `[[warm_up]]`. Not without being asked: who has sent for years should not be throttled by an update.",
        chosen,
    );
    let send_window = f.or(
        "send_window",
        "\"00:00-24:00 UTC\"",
        "Hours over which a day's mail is spread, and the time zone in which the day turns, as in `08:00-20:00 America/Lima`. A window that crosses midnight, as `22:00-06:00`, belongs to the day on which it opens, and that day lasts until it closes.",
        send_window,
    );
    Some(PoolSection {
        name: name?.into(),
        rotation,
        sources: sources?,
        standby,
        warm_up,
        send_window,
    })
}

fn delivery(f: &mut Fields<'_>) -> DeliverySection {
    let pool = f.optional(
        "pool",
        "\"bulk\"",
        "Pool where nothing else says; without it, the first one.",
        reference,
    );
    let delivery = Delivery {
        pool: Arc::from(""),
        port: f.or("port", "25", "Port of MX hosts: 25 everywhere but in tests.", port),
        retry: f.or(
            "retry",
            "[\"5m\", \"15m\", \"30m\", \"1h\", \"2h\", \"4h\"]",
            "Delays after the first, second … failed attempt; the last repeats. A reply that says when is heard.",
            some(duration),
        ),
        retry_jitter: f.or("retry_jitter", "0.1", "Share of a delay that is added or taken at random (0.0 to 0.5).", share),
        expire_after: f.or("expire_after", "\"2d\"", "Age at which what still waits is given up and reported.", duration),
        delay_notice_after: f.or(
            "delay_notice_after",
            "\"4h\"",
            "Age at which a sender is told that a message is late and still tried; `never`: not at all. A message that asks with NOTIFY is obeyed, and so is `dsn` of its account.",
            duration_or_never,
        ),
        allow_destinations: f.or(
            "allow_destinations",
            "[]",
            "Loopback and private networks that MX records may point to; the others are refused.",
            list(network),
        ),
        idle_timeout: f.or("idle_timeout", "\"5s\"", "Time that an unused connection is kept open.", duration),
        connect_timeout: f.or("connect_timeout", "\"30s\"", "Time for a connection to come up.", duration),
        recipients_per_transaction: f.or("recipients_per_transaction", "100", "RCPT in one transaction (RFC 5321 4.5.3.1.8).", count_from(1)),
        connections: f.or("connections", "2000", "Connections open at a time, to everybody.", count_from(1)),
        broken_tls_memory: f.or(
            "broken_tls_memory",
            "\"1h\"",
            "How long a host whose STARTTLS failed is spoken to in clear, where TLS is opportunistic.",
            duration,
        ),
        limits: f.table("limits", "Limits of each destination. Smarthosts have none, those of providers.md and `[[provider]]` their own.", everyones),
    };
    DeliverySection { delivery, pool }
}

fn route(f: &mut Fields<'_>) -> Option<Route> {
    let recipients = f.required(
        "recipients",
        "[\"*@interno.example.pe\"]",
        "Whom it is for: `*@example.pe`, `*@*.example.pe`, `jefatura@example.pe` or `*`.",
        some(pattern),
    );
    let written = f.is_written("smarthost");
    let smarthost = f.inline("smarthost", "The server that takes this mail.", smarthost);
    if !written && f.is_written("recipients") {
        let mend = "add `smarthost = { host = \"mail.example.pe\" }`";
        f.mistake("recipients", Mistake::new("the route leads nowhere", mend));
    }
    Some(Route { recipients: recipients?, smarthost: smarthost? })
}

fn smarthost(f: &mut Fields<'_>) -> Option<Smarthost> {
    let host = f.required(
        "host",
        "\"mail.example.pe\"",
        "Name or address. Its own addresses are looked up, not its MX.",
        host,
    );
    let port = f.or("port", "25", "Its port.", port);
    let tls = f.or(
        "tls",
        "\"opportunistic\"",
        "`off`; `opportunistic`: when offered, unverified; `required`: always, with a certificate that is valid for `host`.",
        one_of(&[
            ("off", SmarthostTls::Off),
            ("opportunistic", SmarthostTls::Opportunistic),
            ("required", SmarthostTls::Required),
        ]),
    );
    let username =
        f.optional("username", "\"relay\"", "User name in AUTH, under required TLS only.", text);
    let password_file = f.optional(
        "password_file",
        "\"/etc/tambo/smarthost.pw\"",
        "File whose first line is the password.",
        path,
    );
    let credentials = Credentials::paired(f, username, password_file);
    if credentials.is_some() && tls != SmarthostTls::Required {
        let mend = "add `tls = \"required\"`";
        f.mistake("username", Mistake::new("a password is sent over verified TLS only", mend));
    }
    Some(Smarthost { host: host?, port, tls, credentials })
}

impl Credentials {
    /// From what was written of them: both or neither.
    pub(crate) fn paired(
        f: &mut Fields<'_>,
        username: Option<String>,
        password_file: Option<PathBuf>,
    ) -> Option<Self> {
        let (key, mistake) = match (username, password_file) {
            (Some(username), Some(password_file)) => {
                return Some(Self { username, password_file });
            }
            (None, None) => return None,
            (Some(_), None) => {
                ("username", Mistake::new("there is no password for it", "add `password_file`"))
            }
            (None, Some(_)) => {
                ("password_file", Mistake::new("there is no user for it", "add `username`"))
            }
        };
        // One that is written and wrong has been told already.
        let other = if key == "username" { "password_file" } else { "username" };
        if !f.is_written(other) {
            f.mistake(key, mistake);
        }
        None
    }
}

fn limits(f: &mut Fields<'_>) -> Limits {
    Limits {
        connections: f.or("connections", "2000", "SMTP sessions open at a time, on all listeners.", count_from(1)),
        password_queue: f.or("password_queue", "100", "Password checks that may wait for a processor before 454 is answered.", count_from(1)),
        password_failures: f.or(
            "password_failures",
            "10",
            "Wrong passwords from one address, or for one account, in 15 minutes before 454 is answered.",
            count_from(1),
        ),
        ready_deliveries: f.or("ready_deliveries", "50000", "Deliveries that memory holds ready; the others wait on disk.", count_from(100)),
        lanes: f.or("lanes", "200000", "Pairs of domain and sender that memory follows; the others are found by scanning.", count_from(100)),
        recipients_per_request: f.or("recipients_per_request", "10000", "Recipients of one request to the API that sends.", count_from(1)),
    }
}

fn dns(f: &mut Fields<'_>) -> Dns {
    Dns {
        servers: f.or(
            "servers",
            "[]",
            "Resolvers, as `address:port`; empty: the system's.",
            list(socket),
        ),
        timeout: f.or("timeout", "\"5s\"", "Time for one answer.", duration),
        cache_entries: f.or(
            "cache_entries",
            "20000",
            "Answers remembered for as long as their TTL says.",
            count_from(1),
        ),
    }
}

/// `[admin]`, and where TLS is asked for.
#[derive(Debug)]
pub(crate) struct AdminSection {
    pub admin: Admin,
    pub tls: Option<Range<usize>>,
}

fn admin(f: &mut Fields<'_>) -> AdminSection {
    let bind = f.optional(
        "bind",
        "\"127.0.0.1:8025\"",
        "Address and port of the web, the API, health and metrics. Without it nothing listens but the control socket.",
        socket,
    );
    let tls = f.or(
        "tls",
        "false",
        "Speak TLS there, with the certificate of [tls]. Without it `bind` must be a loopback address: passwords and tokens would travel in clear.",
        boolean,
    );
    if let Some(bind) = bind
        && !tls
        && !bind.ip().to_canonical().is_loopback()
    {
        let mend = "write `tls = true`, or bind 127.0.0.1 and put a web server with TLS before it";
        let message = format!("passwords and tokens would travel in clear to {bind}");
        f.mistake("bind", Mistake::new(message, mend));
    }
    AdminSection { admin: Admin { bind, tls }, tls: f.place("tls").filter(|_| tls) }
}

fn metrics(f: &mut Fields<'_>) -> Metrics {
    let allow: Vec<IpNet> = f.or(
        "allow",
        "[\"127.0.0.0/8\", \"::1/128\"]",
        "Networks that may read /metrics without a token.",
        list(network),
    );
    Metrics { allow }
}

fn events(f: &mut Fields<'_>) -> Events {
    let keep = f.or(
        "keep",
        "\"90d\"",
        "How long events can be asked for, and their files stay. Whole days.",
        duration,
    );
    let file_size = f.or(
        "file_size",
        "\"64MiB\"",
        "Octets after which an event file ends and the next begins; so does each day. Files that have ended are compressed (zstd), which takes under a second for one of 64 MiB.",
        size,
    );
    let max_size = f.or(
        "max_size",
        "\"20GiB\"",
        "Octets of all event files; above it the oldest go before their time. 90 days of a million messages a day, each with three events, take about as much once they are compressed.",
        size,
    );
    if max_size.0 / 2 < file_size.0 {
        let mend = "write at least twice `file_size`: one file is written while others are kept";
        f.mistake("max_size", Mistake::new("has no room for two files", mend));
    }
    Events { keep, file_size, max_size }
}

fn log(f: &mut Fields<'_>) -> Log {
    let format = f.or(
        "format",
        "\"text\"",
        "`text` for people, `json` for programs.",
        one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
    );
    let level = f.or(
        "level",
        "\"info\"",
        "`error`, `warn`, `info`, `debug` or `trace`.",
        one_of(&[
            ("error", "error"),
            ("warn", "warn"),
            ("info", "info"),
            ("debug", "debug"),
            ("trace", "trace"),
        ]),
    );
    Log { format, level: level.to_owned() }
}

fn dkim(f: &mut Fields<'_>) -> Option<DkimSection> {
    let domain = f.required(
        "domain",
        "\"example.pe\"",
        "The domain that signs (d=), that of From or one above it.",
        host_name,
    );
    let selector = f.required(
        "selector",
        "\"s2026a\"",
        "Names the key (s=): its public half is in the DNS at `selector._domainkey.domain`. A new key gets a new one.",
        selector,
    );
    let private_key = f.required(
        "private_key",
        "\"/etc/tambo/dkim/s2026a.pem\"",
        "PEM file with an RSA key of 2048 bits or more, or an Ed25519 key, readable by the service's user only.",
        located(path),
    );
    Some(DkimSection { domain: domain?, selector: selector?, private_key: private_key? })
}

/// The name of something that stands elsewhere in the file.
pub(crate) fn reference(value: Value<'_>) -> Result<Reference, Mistake> {
    let name = string(value)?;
    Ok(Located { value: name.into(), span: value.span() })
}
