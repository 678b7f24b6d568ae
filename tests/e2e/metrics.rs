//! What Prometheus reads: after some traffic every metric that the reference names is there and no other,
//! promtool has nothing to say, and nothing that a peer said has become a label.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Stdio;

use tests::client::Client;
use tests::mx::{Behaviour, MxHost, tls};
use tests::packages::need;
use tests::relay::eventually;
use tokio::io::AsyncWriteExt;

use super::world::{HOSTNAME, World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "ok.example MX 10 mx.ok.example\nmx.ok.example A 127.0.1.90\n\
    grey.example MX 10 mx.grey.example\nmx.grey.example A 127.0.1.91\n\
    bad.example MX 10 mx.bad.example\nmx.bad.example A 127.0.1.92\n\
    institucion.example MX 10 mx.institucion.example\nmx.institucion.example A 127.0.1.93";

/// The page of metrics, as series and values.
struct Page {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Page {
    async fn of(world: &World) -> Self {
        let answer = world.relay.metrics().await;
        let (_, text) = answer.split_once("\r\n\r\n").unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self { series: series.collect(), text: text.to_owned() }
    }

    fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("{series} is not in {}", self.text))
    }

    fn are(&self, expected: &[(&str, f64)]) -> bool {
        expected.iter().all(|(series, value)| (self.value(series) - value).abs() < 1e-9)
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, f64)]) {
        for (series, value) in expected {
            let found = self.value(series);
            assert!((found - value).abs() < 1e-9, "{series} is {found}, not {value}");
        }
    }
}

/// Four messages: one is delivered over TLS, one deferred, one bounced, and its notice delivered.
async fn traffic(world: &World) {
    world.send(SENDER, &["u@grey.example"], &message("grey")).await;
    world.send(SENDER, &["u@bad.example"], &message("bad")).await;
    let mut client = Client::connect(world.relay.address("submission")).await.unwrap();
    client.start_tls(&world.certificate.connector(), HOSTNAME).await.unwrap();
    client.login("script", "secreto").await.unwrap();
    client.deliver(SENDER, &["u@ok.example", "v@ok.example"], &message("ok")).await.unwrap();
    client.quit().await.unwrap();
}

/// What it says as soon as all that has ended.
const SETTLED: [(&str, f64); 8] = [
    ("tambo_outcomes_total{outcome=\"delivered\"}", 3.0),
    ("tambo_outcomes_total{outcome=\"deferred\"}", 1.0),
    ("tambo_outcomes_total{outcome=\"bounced\"}", 1.0),
    ("tambo_queue_messages", 1.0),
    ("tambo_queue_deliveries", 1.0),
    ("tambo_deliveries_in_memory", 0.0),
    ("tambo_sessions{listener=\"relay\"}", 0.0),
    ("tambo_sessions{listener=\"submission\"}", 0.0),
];

/// What else the page says after that traffic.
const COUNTED: [(&str, f64); 34] = [
    ("tambo_messages_accepted_total", 4.0),
    ("tambo_recipients_accepted_total", 5.0),
    ("tambo_message_size_bytes_count", 4.0),
    ("tambo_accept_seconds_count", 3.0),
    ("tambo_sessions_total{listener=\"submissions\"}", 0.0),
    ("tambo_sessions_total{listener=\"submission\"}", 1.0),
    ("tambo_sessions_total{listener=\"relay\"}", 2.0),
    ("tambo_inbound_tls_handshakes_total{result=\"TLSv1.3\"}", 1.0),
    ("tambo_inbound_tls_seconds_count", 1.0),
    ("tambo_password_checks_total{result=\"right\"}", 1.0),
    ("tambo_outbound_connections_total{result=\"tls\"}", 1.0),
    ("tambo_outbound_connections_total{result=\"plain\"}", 3.0),
    ("tambo_outbound_tls_handshakes_total{result=\"TLSv1.3\"}", 1.0),
    ("tambo_connect_seconds_count", 4.0),
    ("tambo_transaction_seconds_count", 4.0),
    ("tambo_first_attempt_seconds_count", 4.0),
    ("tambo_delivered_seconds_count", 3.0),
    ("tambo_failures_total{category=\"policy\"}", 1.0),
    ("tambo_notices_total{kind=\"failure\"}", 1.0),
    ("tambo_dns_lookups_total{result=\"found\",type=\"MX\"}", 4.0),
    ("tambo_dns_lookups_total{result=\"no_records\",type=\"AAAA\"}", 4.0),
    ("tambo_spool_state{state=\"good\"}", 1.0),
    ("tambo_spool_state{state=\"failed\"}", 0.0),
    ("tambo_limit_hits_total{limit=\"hops\"}", 0.0),
    ("tambo_provider_outcomes_total{outcome=\"delivered\",provider=\"other\"}", 3.0),
    ("tambo_provider_outcomes_total{outcome=\"delivered\",provider=\"google\"}", 0.0),
    ("tambo_source_outcomes_total{outcome=\"bounced\",source=\"default\"}", 1.0),
    ("tambo_pool_outcomes_total{outcome=\"deferred\",pool=\"default\"}", 1.0),
    ("tambo_source_state{source=\"default\",state=\"active\"}", 1.0),
    ("tambo_pool_sources{pool=\"default\"}", 1.0),
    ("tambo_deliveries{state=\"later\"}", 1.0),
    ("tambo_configuration_refused", 0.0),
    ("tambo_spool_write_stopped", 0.0),
    ("tambo_spool_background_errors", 0.0),
];

#[tokio::test]
async fn what_happens_is_counted_and_keeps_to_the_rules() {
    let port = mx_port(90..94);
    let host = |number, behaviour| MxHost::start(SocketAddr::new(mx_ip(number), port), behaviour);
    let _ok = host(90, Behaviour { tls: tls("mx.ok.example"), ..Behaviour::default() });
    let _grey = host(91, Behaviour { greylist: true, ..Behaviour::default() });
    let refusal = Some("550 5.7.1 zanahoria\"} 1 says mx.bad.example".to_owned());
    let _bad = host(92, Behaviour { mail_reply: refusal, ..Behaviour::default() });
    let _notices = host(93, Behaviour::default());
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(ZONE, port, &more).await;

    let before = Page::of(&world).await;
    traffic(&world).await;
    let after = eventually("all is told", async || {
        Some(Page::of(&world).await).filter(|page| page.are(&SETTLED))
    })
    .await;
    after.check(&COUNTED);
    // Shown at zero first, so that Prometheus sees it rise.
    eventually("what stood in the way is told by provider", async || {
        let page = Page::of(&world).await;
        let series = "tambo_provider_failures_total{category=\"policy\",provider=\"other\"}";
        (page.value(series) > 0.0).then_some(())
    })
    .await;
    let days = (after.value("tambo_certificate_expires_seconds") - now()) / 86_400.0;
    assert!(days > 1.0, "the certificate ends in {days} days");
    assert!(after.value("tambo_disk_size_bytes") > after.value("tambo_disk_free_bytes"));
    for busy in [
        "tambo_disk_free_bytes",
        "tambo_disk_free_min_bytes",
        "process_open_fds",
        "process_virtual_memory_bytes",
        "tambo_spool_syncs_total",
        "tambo_spool_memtable_bytes",
        "tambo_spool_wal_bytes",
    ] {
        assert!(after.value(busy) > 0.0, "{busy}");
    }
    judged_by_promtool(&after.text).await;
    as_the_reference_says(&after.text);
    let names = |page: &Page| page.series.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after), "every series is there from the start");
    assert!(after.series.len() < mta::metrics::SERIES_MAX / 2, "{} series", after.series.len());
    let samples = after.text.lines().filter(|line| !line.starts_with('#'));
    for line in samples {
        for theirs in ["zanahoria", ".example", "127.0.", "ana@", "script", "mx."] {
            assert!(!line.contains(theirs), "{theirs} of a peer in {line}");
        }
    }
    eventually("the oldest has an age", async || {
        (Page::of(&world).await.value("tambo_queue_oldest_seconds") > 0.0).then_some(())
    })
    .await;
    assert!(world.relay.stop().await);
}

fn now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

async fn judged_by_promtool(text: &str) {
    need("promtool", "prometheus");
    let mut promtool = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let said = promtool.wait_with_output().await.unwrap();
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success() && words.is_empty(), "{words}");
}

/// Names, types, labels and their values are those of `docs/reference/metrics.md`.
fn as_the_reference_says(text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
    let reference = std::fs::read_to_string(path).unwrap();
    let rows = reference.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`').split('{').next()?.to_owned();
        let kind = cells.next()?.to_owned();
        ["counter", "gauge", "histogram"].contains(&kind.as_str()).then_some((name, kind))
    });
    let written: BTreeSet<(String, String)> = rows.collect();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let found: BTreeSet<(String, String)> =
        types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    // Of a label that the configuration gives there is no series without it.
    let absent: Vec<&str> = written.difference(&found).map(|(name, _)| name.as_str()).collect();
    let of_configuration = ["tambo_blocklist_", "tambo_webhook_", "tambo_warm_up_"];
    let expected = |name: &&str| of_configuration.iter().any(|start| name.starts_with(start));
    assert!(absent.iter().all(expected), "{absent:?}");
    assert!(found.is_subset(&written), "{found:?}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, labels)) = line.split_once('{') else { continue };
        for label in labels.split('}').next().unwrap().split(',') {
            let (name, value) = label.split_once('=').unwrap();
            let value = value.trim_matches('"');
            if !["le", "listener", "provider", "source", "pool", "version"].contains(&name) {
                assert!(
                    reference.contains(&format!("`{value}`")),
                    "{line}: {value} is not written"
                );
            }
        }
    }
}
