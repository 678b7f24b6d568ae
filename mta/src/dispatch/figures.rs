//! What is open, what waits and how sources stand, as metrics: read when somebody asks for the page.

use std::sync::LazyLock;

use prometheus::IntGauge;

use crate::egress::blocklist::Subject;
use crate::egress::{Figures, HEALTH};
use crate::metrics::{self, Label, Labelled, NamedGauges, Names, OTHER, Snapshot, Topic};

use super::{Dispatch, report};

/// Series of warm-up at most, for cap and for use: eighteen sources at the eight providers that matter. Beyond them, the
/// rest is added up.
const WARM_UP_SERIES_MAX: usize = 150;

static CONNECTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Connections to servers that are open or coming up";
    metrics::gauge(Topic::Connections, "tambo_connections", help)
});
static CONNECTIONS_MAX: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Connections to servers that may be open (`delivery.connections`)";
    metrics::gauge(Topic::Connections, "tambo_connections_max", help)
});
static READY: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Deliveries in memory that wait for a route or for a connection";
    metrics::gauge(Topic::Queue, "tambo_ready_deliveries", help)
});
static RESOLVING: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Domains whose route is being looked up";
    metrics::gauge(Topic::Connections, "tambo_domains_resolving", help)
});
static ROUTES: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(Topic::Connections, "tambo_routes", "Domains whose route is remembered")
});
static HOST_SETS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Sets of hosts that mail waited for a while ago";
    metrics::gauge(Topic::Connections, "tambo_host_sets", help)
});
static SITES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Sites of which something is known";
    metrics::gauge(Topic::Connections, "tambo_sites", help)
});
static HALTS: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Sending domains and campaigns that wait at a site";
    metrics::gauge(Topic::Sources, "tambo_halts", help)
});
static PROVIDER_CONNECTIONS: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Connections to a provider that are open or coming up";
    let labels = vec![Label::names("provider", Names::Providers)];
    metrics::named_gauges(Topic::Connections, "tambo_provider_connections", help, labels)
});
static PROVIDER_CONNECTIONS_MAX: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Connections that all sources together may have to a provider; of `other`, to all sites that are known \
                (smarthosts, which have no limit, aside)";
    let labels = vec![Label::names("provider", Names::Providers)];
    metrics::named_gauges(Topic::Connections, "tambo_provider_connections_max", help, labels)
});
static PROVIDER_WAITING: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Deliveries in memory that wait for a connection to a provider";
    let labels = vec![Label::names("provider", Names::Providers)];
    metrics::named_gauges(Topic::Queue, "tambo_provider_waiting", help, labels)
});
static PROVIDER_PATHS: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Paths (a source at a site) by provider and by how they stand";
    let labels = vec![Label::names("provider", Names::Providers), health(0)];
    metrics::named_gauges(Topic::Sources, "tambo_provider_paths", help, labels)
});
static SOURCE_PATHS: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Sites at which a source is not what it should be";
    let labels = vec![Label::names("source", Names::Sources), health(1)];
    metrics::named_gauges(Topic::Sources, "tambo_source_paths", help, labels)
});
static SOURCE_STATE: LazyLock<Snapshot> = LazyLock::new(|| {
    let help = "1 for the state that a source is in; other states have no series";
    let states = [
        ("active", "it may send"),
        ("standby", "it waits to take the place of another"),
        ("suspended", "an operator stopped it"),
        ("draining", "it takes nothing new"),
        ("quarantined", "it is blamed everywhere and has left its pools"),
        ("missing", "this machine does not have its address"),
        ("unreachable", "its gateway does not answer"),
    ];
    let labels = [Label::names("source", Names::Sources), Label::known("state", &states)];
    let most = Names::Sources.series_max() + states.len();
    metrics::snapshot(Topic::Sources, "tambo_source_state", help, labels, most)
});
static SOURCE_LISTED: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Blocklists that list the address of a source, confirmed";
    let labels = vec![Label::names("source", Names::Sources)];
    metrics::named_gauges(Topic::Sources, "tambo_source_listed", help, labels)
});
static POOL_SOURCES: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Sources of a pool that may send now";
    let labels = vec![Label::names("pool", Names::Pools)];
    metrics::named_gauges(Topic::Sources, "tambo_pool_sources", help, labels)
});
static POOL_STANDBYS: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Standbys of a pool that could take the place of a source";
    let labels = vec![Label::names("pool", Names::Pools)];
    metrics::named_gauges(Topic::Sources, "tambo_pool_standbys", help, labels)
});
static POOL_STANDBYS_CONFIGURED: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Standbys that a pool has in the configuration";
    let labels = vec![Label::names("pool", Names::Pools)];
    metrics::named_gauges(Topic::Sources, "tambo_pool_standbys_configured", help, labels)
});
static WARM_UP_CAP: LazyLock<Snapshot> = LazyLock::new(|| {
    let help = "Recipients that a source may have today where it warms up; only what warms up has a series";
    metrics::snapshot(Topic::Sources, "tambo_warm_up_cap", help, warm_up(), WARM_UP_SERIES_MAX)
});
static WARM_UP_USED: LazyLock<Snapshot> = LazyLock::new(|| {
    let help = "Recipients of today where a source warms up; only what warms up has a series";
    metrics::snapshot(Topic::Sources, "tambo_warm_up_used", help, warm_up(), WARM_UP_SERIES_MAX)
});
static WARM_UP_HELD: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Sites at which a source that warms up is kept on its day";
    let labels = vec![Label::names("source", Names::Sources)];
    metrics::named_gauges(Topic::Sources, "tambo_warm_up_held", help, labels)
});
static WARM_UP_SITES: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Sites at which a source warms up";
    let labels = vec![Label::names("source", Names::Sources)];
    metrics::named_gauges(Topic::Sources, "tambo_warm_up_sites", help, labels)
});
static DELIVERIES: LazyLock<Labelled<IntGauge>> = LazyLock::new(|| {
    let help = "Deliveries by what they wait for, held ones aside; those on disk about";
    let states = [
        ("ready", "in memory: for a route or for a connection"),
        ("sending", "in memory: being made"),
        ("later", "on disk: until they are due"),
    ];
    metrics::gauges(Topic::Queue, "tambo_deliveries", help, Label::known("state", &states))
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&CONNECTIONS, &CONNECTIONS_MAX, &READY, &RESOLVING, &ROUTES, &HOST_SETS]);
    metrics::declare(&[&SITES, &HALTS, &DELIVERIES]);
    metrics::declare(&[&PROVIDER_CONNECTIONS, &PROVIDER_CONNECTIONS_MAX, &PROVIDER_WAITING]);
    metrics::declare(&[&PROVIDER_PATHS, &SOURCE_PATHS, &SOURCE_STATE, &SOURCE_LISTED]);
    metrics::declare(&[&POOL_SOURCES, &POOL_STANDBYS, &POOL_STANDBYS_CONFIGURED]);
    metrics::declare(&[&WARM_UP_CAP, &WARM_UP_USED, &WARM_UP_HELD, &WARM_UP_SITES]);
}

/// How paths stand, but for the first so many.
fn health(but: usize) -> Label {
    let meanings = [
        "within its limits",
        "about one message a minute, as the server asked for less",
        "nothing goes: the server refused the source",
        "it comes back, by single messages",
    ];
    let words: Vec<_> = HEALTH.into_iter().zip(meanings).skip(but).collect();
    Label::known("state", &words)
}

fn warm_up() -> [Label; 2] {
    [Label::names("source", Names::Sources), Label::names("provider", Names::Providers)]
}

impl Dispatch {
    /// Connections open or coming up, and deliveries that wait for one.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        let (connections, ready) = state.egress.counts();
        (connections, ready + state.resolving.values().map(Vec::len).sum::<usize>())
    }

    /// Brings the gauges of this file up to date.
    pub fn measure(&self) {
        self.measure_suppressions();
        report::measure();
        let (connections, ready) = self.counts();
        metrics::set(&CONNECTIONS, connections);
        metrics::set(&READY, ready);
        let (in_memory, _) = self.queue.depth();
        let counts = [ready, in_memory.saturating_sub(ready), self.queue.on_disk(in_memory)];
        DELIVERIES.set_all(&counts.map(|count| count as u64));
        let now = self.queue.now();
        let (figures, sources) = {
            let state = self.state();
            metrics::set(&RESOLVING, state.resolving.len());
            metrics::set(&ROUTES, state.routes.len());
            metrics::set(&HOST_SETS, state.ways.len());
            (state.egress.figures(now), state.egress.sources().list())
        };
        tell(&figures);
        SOURCE_STATE.set_all(sources.iter().map(|it| ([&*it.source.name, it.state()], 1)));
        let config = self.config.get();
        let standbys =
            config.pools.iter().map(|pool| (Some(&*pool.name), [pool.standby.len() as u64]));
        POOL_STANDBYS_CONFIGURED.set_all(standbys);
        let listed = self.blocklists.listed_subjects();
        SOURCE_LISTED.set_all(config.sources.iter().map(|source| {
            let subject = Subject::Address(source.public);
            let lists = listed.iter().filter(|listed| **listed == subject).count();
            (Some(&*source.name), [lists as u64])
        }));
    }
}

/// Sets the gauges of what egress counted.
fn tell(figures: &Figures) {
    metrics::set(&SITES, figures.sites);
    metrics::set(&HALTS, figures.halts);
    metrics::set(&CONNECTIONS_MAX, figures.connections_max);
    let providers = || figures.providers.iter().map(|(name, at)| (name.as_deref(), at));
    PROVIDER_CONNECTIONS.set_all(providers().map(|(name, at)| (name, [at.open])));
    PROVIDER_CONNECTIONS_MAX.set_all(providers().map(|(name, at)| (name, [at.open_max])));
    PROVIDER_WAITING.set_all(providers().map(|(name, at)| (name, [at.waiting])));
    PROVIDER_PATHS.set_all(providers().map(|(name, at)| (name, at.paths)));
    let sources = || figures.sources.iter().map(|(name, of)| (Some(&**name), of));
    SOURCE_PATHS.set_all(sources().map(|(name, of)| (name, of.paths)));
    WARM_UP_HELD.set_all(sources().map(|(name, of)| (name, [of.held])));
    WARM_UP_SITES.set_all(sources().map(|(name, of)| (name, [of.warming])));
    let warm_up = || {
        figures.sources.iter().flat_map(|(source, of)| {
            let rows = of
                .warm_up
                .iter()
                .map(|(provider, sums)| ([&**source, provider.as_deref().unwrap_or(OTHER)], *sums));
            rows.collect::<Vec<_>>()
        })
    };
    WARM_UP_CAP.set_all(warm_up().map(|(labels, (cap, _))| (labels, cap)));
    WARM_UP_USED.set_all(warm_up().map(|(labels, (_, used))| (labels, used)));
    POOL_SOURCES.set_all(figures.pools.iter().map(|(name, may, _)| (Some(&**name), [*may as u64])));
    POOL_STANDBYS.set_all(figures.pools.iter().map(|(name, _, by)| (Some(&**name), [*by as u64])));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use prometheus::{Encoder, TextEncoder};
    use relay_config::Config;
    use relay_config::responses::Category;
    use tokio::time::Instant;

    use super::*;
    use crate::egress::{AtProvider, OfSource};

    /// Metrics are one for the process: tests that set all of them take turns.
    static TURN: Mutex<()> = Mutex::new(());

    /// A configuration with so many of everything that has a name, or as many as it takes.
    fn config(count: usize) -> Config {
        let mut text = "[server]\nhostname = \"r.x.pe\"\n".to_owned();
        for n in 0..count {
            let _ = write!(
                text,
                "[[listener]]\nname = \"l{n}\"\nbind = [\"127.0.0.1:{}\"]\ntls = \"off\"\n\
                 relay_from = [\"10.0.0.0/8\"]\n\
                 [[source]]\nname = \"s{n}\"\naddress = \"127.0.{}.{}\"\nhelo = \"s{n}.x.pe\"\n\
                 [[pool]]\nname = \"q{n}\"\nsources = [\"s{n}\"]\n",
                1025 + n,
                1 + n / 200,
                1 + n % 200,
            );
        }
        for n in 0..count.min(100) {
            let _ = write!(text, "[[provider]]\nname = \"p{n}\"\nmx = [\"*.p{n}.pe\"]\n");
        }
        for n in 0..count.min(30) {
            let _ = write!(text, "[[blocklist]]\nzone = \"bl{n}.x.pe\"\n");
        }
        match relay_config::load(&text, "t") {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("{problems:?}"),
        }
    }

    /// The page, and how many series it has.
    fn page() -> (String, usize) {
        let mut text = Vec::new();
        TextEncoder::new().encode(&prometheus::gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        (text, series)
    }

    /// So many sources that warm up at so many providers, of which there are no others.
    fn figures(sources: usize, providers: usize) -> Figures {
        let provider = |n: usize| (n > 0).then(|| Arc::from(format!("p{n}")));
        let warm_up: BTreeMap<_, _> = (0..providers).map(|n| (provider(n), (200, 150))).collect();
        let of = OfSource { paths: [1; 3], warming: 2, held: 1, warm_up };
        Figures {
            sites: 10_000,
            providers: (0..providers).map(|n| (provider(n), AtProvider::default())).collect(),
            sources: (0..sources).map(|n| (format!("s{n}").into(), of.clone())).collect(),
            pools: (0..sources).map(|n| (format!("q{n}").into(), 1, 1)).collect(),
            ..Figures::default()
        }
    }

    /// Everything that can be configured and sent is, and more of it than there is room for.
    #[test]
    fn whatever_is_configured_and_sent_the_page_stays_small() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        crate::app::declare_metrics();
        let config = config(300);
        metrics::name_after(&config);
        let names = config.providers.iter().map(|provider| &*provider.name);
        let names: Vec<&str> = names.chain(["nobody", "mx.of.a.stranger", "\"}\n1"]).collect();
        for (n, provider) in names.iter().enumerate() {
            let source = format!("s{n}");
            let through = metrics::Through::find(Some(provider), Some(&source), Some(&source));
            for (category, _) in Category::WORDS {
                report::PROVIDER_FAILURES.count(through.provider, category);
            }
        }
        let states = ["active", "standby", "suspended", "draining", "quarantined", "missing"];
        let sources: Vec<String> = (0..300).map(|n| format!("s{n}")).collect();
        for _ in 0..3 {
            report::measure();
            tell(&figures(300, 300));
            let states = sources.iter().zip(states.iter().cycle());
            SOURCE_STATE.set_all(states.map(|(name, state)| ([&**name, *state], 1)));
        }
        let (text, series) = page();
        tell_it(&format!("{series} series at most"));
        assert!(series <= metrics::SERIES_MAX, "{series}");
        // It is no small number because nothing was counted.
        assert!(series > 1_200, "{series}");
        let value = |series: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{series}: {text}")).parse().unwrap()
        };
        // What has no room is not lost.
        let cap: u64 = text
            .lines()
            .filter(|line| line.starts_with("tambo_warm_up_cap{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(cap, 300 * 300 * 200);
        assert!(value("tambo_warm_up_cap{provider=\"other\",source=\"other\"}") > 1_000_000);
        assert!(value("tambo_source_state{source=\"other\",state=\"active\"}") > 10);
        let failures: u64 = text
            .lines()
            .filter(|line| line.starts_with("tambo_provider_failures_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(failures, (names.len() * Category::WORDS.len()) as u64);
        assert!(!text.contains("of.a.stranger") && !text.contains("\"nobody"), "{text}");

        // A name that is gone takes its series along, and its place is free.
        metrics::name_after(&self::config(18));
        tell(&figures(18, 20));
        SOURCE_STATE.set_all([]);
        let (text, _) = page();
        assert!(!text.contains("source=\"s18\"") && text.contains("source=\"s17\""));
    }

    #[test]
    fn a_page_for_eighteen_sources_is_written_at_once() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        crate::app::declare_metrics();
        metrics::name_after(&config(18));
        let begun = Instant::now();
        tell(&figures(18, 20));
        let (_, series) = page();
        let took = begun.elapsed();
        tell_it(&format!("{series} series are set and written in {took:?}"));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[expect(
        clippy::print_stdout,
        reason = "a measurement is told to who asks for it (--nocapture)"
    )]
    fn tell_it(text: &str) {
        println!("{text}");
    }
}
