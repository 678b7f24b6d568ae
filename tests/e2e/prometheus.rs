//! A real Prometheus reads a relay under traffic, as docs/prometheus tells operators to set it up: every query of the
//! dashboard returns data, and every metric, label and value that an alert names is there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::mx::{Behaviour, MxHost, tls};
use tests::packages::need;
use tests::prometheus::Prometheus;
use tests::relay::eventually;

use crate::world::{World, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "ok.example MX 10 mx.ok.example\nmx.ok.example A 127.0.1.180\n\
    bad.example MX 10 mx.bad.example\nmx.bad.example A 127.0.1.181\n\
    institucion.example MX 10 mx.ok.example\n\
    institucion.example TXT v=spf1 ip4:127.0.0.0/8 -all\n\
    2.0.0.127.bl.example A 127.0.0.2";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prometheus")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(docs().join(name)).unwrap()
}

/// A source with one that stands by, one that warms up, two providers, a blocklist that works.
fn config(port: u16) -> String {
    let mut text = String::new();
    for number in 1..=3 {
        text.push_str(&format!(
            "[[source]]\nname = \"ip-{number}\"\naddress = \"127.0.0.{}\"\nhelo = \"m{number}.institucion.example\"\n",
            10 + number
        ));
    }
    text.push_str(
        "[[pool]]\nname = \"bulk\"\nsources = [\"ip-1\"]\nstandby = [\"ip-3\"]\n\
         [[pool]]\nname = \"cold\"\nsources = [\"ip-2\"]\nwarm_up = true\n\
         [[provider]]\nname = \"good\"\nmx = [\"*.ok.example\"]\n\
         [[provider]]\nname = \"bad\"\nmx = [\"*.bad.example\"]\n\
         [[blocklist]]\nzone = \"bl.example\"\nevery = \"1m\"\n",
    );
    text.push_str(&format!(
        "[delivery]\nport = {port}\nretry = [\"1s\"]\nallow_destinations = [\"127.0.1.0/24\"]\nexpire_after = \"1h\"\n"
    ));
    text
}

/// The example, for a relay of a test: read each second.
async fn prometheus(world: &World) -> (tempfile::TempDir, Prometheus) {
    let folder = tempfile::Builder::new().prefix("tambo-").tempdir_in("/var/tmp").unwrap();
    let example = read("prometheus.yml");
    let target = world.relay.address("admin").to_string();
    let own = example.replace("127.0.0.1:8025", &target).replace(": 15s", ": 1s");
    assert!(own.contains(&target) && own.contains("scrape_interval: 1s"), "{own}");
    std::fs::write(folder.path().join("prometheus.yml"), own).unwrap();
    std::fs::write(folder.path().join("alerts.yml"), read("alerts.yml")).unwrap();
    let prometheus = Prometheus::start(folder.path()).await;
    (folder, prometheus)
}

/// Mail until it is dropped: most of it is delivered, some refused; a little goes from the source that warms up.
async fn traffic(world: &World) {
    let cold = [b"X-Tambo-Pool: cold\r\n", &*message("cold")].concat();
    world.send(SENDER, &["a@ok.example"], &cold).await;
    for number in 0.. {
        let mut client = world.client().await;
        for to in ["a@ok.example", "b@ok.example", "c@bad.example"] {
            client.deliver(SENDER, &[to], &message(&format!("{number}"))).await.unwrap();
        }
        client.quit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_dashboard_shows_data_and_alerts_name_what_there_is() {
    let port = mx_port(180..182);
    let ok = Behaviour { tls: tls("mx.ok.example"), ..Behaviour::default() };
    let _ok = MxHost::start(SocketAddr::new(mx_ip(180), port), ok);
    let bad = Behaviour { refuse: Some("c".to_owned()), ..Behaviour::default() };
    let _bad = MxHost::start(SocketAddr::new(mx_ip(181), port), bad);
    let world = World::start(ZONE, port, &config(port)).await;
    let (_folder, prometheus) = prometheus(&world).await;
    let checks = async {
        for (title, expression) in queries(&read("dashboard.json")) {
            let ready = expression
                .replace("$__rate_interval", "1m")
                .replace("$instance", ".*")
                .replace("${source}", "x");
            let mut last = String::new();
            let what = format!("data for \"{title}\": {ready}");
            // The series of what has just happened need to be read twice.
            eventually(&what, async || {
                let found = prometheus.query(&ready).await;
                last = format!("{found:?}");
                assert!(found.is_ok(), "{what}: {last}");
                let found = found.unwrap_or_default();
                found.iter().any(|(_, value)| !value.is_nan()).then_some(())
            })
            .await;
        }
        alerts_name_what_there_is(&prometheus).await;
        let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").await.unwrap();
        assert_eq!(firing, [], "nothing is wrong with this relay");
    };
    tokio::select! {
        () = checks => {}
        () = traffic(&world) => {}
    }
    assert!(world.relay.stop().await);
}

async fn alerts_name_what_there_is(prometheus: &Prometheus) {
    let rules = prometheus.rules().await;
    assert!(rules.len() > 20, "{}", rules.len());
    for rule in &rules {
        let name = rule["name"].as_str().unwrap();
        eventually(&format!("{name} is evaluated"), async || {
            (rule["health"] == "ok" || {
                let now = prometheus.rules().await;
                now.iter().any(|it| it["name"] == name && it["health"] == "ok")
            })
            .then_some(())
        })
        .await;
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            let text = rule["annotations"][text].as_str().unwrap_or_default();
            assert!(text.len() > 20, "{name} does not say what to do");
        }
        let expression = rule["query"].as_str().unwrap();
        let wrong = what_is_missing(prometheus, expression, &rule["annotations"].to_string()).await;
        assert_eq!(wrong, Vec::<String>::new(), "{name}: {expression}");
    }
    // The check itself would see a metric, a label or a value that was renamed.
    for (expression, annotations) in [
        ("tambo_hats > 0", ""),
        ("tambo_source_state{state=\"quarantine\"} == 1", ""),
        ("tambo_source_state{stat=\"quarantined\"} == 1", ""),
        ("sum by (sauce) (tambo_source_outcomes_total) > 0", ""),
        ("tambo_source_listed > 0", "{{ $labels.sauce }}"),
    ] {
        let wrong = what_is_missing(prometheus, expression, annotations).await;
        assert_eq!(wrong.len(), 1, "{expression} {annotations}: {wrong:?}");
    }
}

/// Metrics, labels and values that an alert names and that are not there.
async fn what_is_missing(
    prometheus: &Prometheus,
    expression: &str,
    annotations: &str,
) -> Vec<String> {
    let reference = std::fs::read_to_string(docs().join("../reference/metrics.md")).unwrap();
    let mut missing = Vec::new();
    let metrics = metrics_in(expression);
    assert!(!metrics.is_empty(), "{expression}");
    let exists = async |selector: &str| !prometheus.query(selector).await.unwrap().is_empty();
    for (metric, matchers) in &metrics {
        // What has no series while nothing is wrong is in the reference all the same.
        if !exists(metric).await {
            missing.push(metric.clone());
            continue;
        }
        for (label, value) in matchers {
            if !exists(&format!("{metric}{{{label}!=\"\"}}")).await {
                missing.push(format!("{metric}{{{label}}}"));
            } else if !["job", "instance"].contains(&label.as_str()) {
                let values =
                    value.split('|').filter(|value| !reference.contains(&format!("`{value}`")));
                missing.extend(values.map(|value| format!("{label}=\"{value}\"")));
            }
        }
    }
    let used = labels_in(expression, "by (", ')').chain(labels_in(expression, "on (", ')'));
    let used: BTreeSet<String> = used.chain(labels_in(annotations, "$labels.", ' ')).collect();
    for label in used {
        let all = metrics.iter().map(|(metric, _)| format!("{metric}{{{label}!=\"\"}}"));
        for selector in all {
            if !exists(&selector).await {
                missing.push(selector);
            }
        }
    }
    missing
}

/// The metrics of an expression, each with the labels that it is asked for and their values.
fn metrics_in(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expression.char_indices() {
        let (before, here) = expression.split_at(at);
        let begins = !before.ends_with(is_name) && !before.ends_with(['"', '$', '|', '.']);
        let name: String = here.chars().take_while(|c| is_name(*c)).collect();
        let known = name == "up" || name.starts_with("tambo_") || name.starts_with("process_");
        if !begins || !known {
            continue;
        }
        let rest = &here[name.len()..];
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let matchers = matchers.unwrap_or_default().split("\",").filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            let label = label.trim().trim_end_matches('!');
            Some((label.to_owned(), value.trim_matches(['~', '"', ' ']).to_owned()))
        });
        found.push((name, matchers.collect()));
    }
    found
}

/// Names after a word, up to an end.
fn labels_in(text: &str, after: &str, end: char) -> impl Iterator<Item = String> {
    let lists =
        text.split(after).skip(1).map(move |rest| rest.split(end).next().unwrap_or_default());
    let lists: Vec<String> = lists.map(str::to_owned).collect();
    lists
        .into_iter()
        .flat_map(|list| list.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
}

/// The queries of a dashboard, each with the title of its panel.
fn queries(dashboard: &str) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<&str> = panels
        .iter()
        .filter(|it| it["type"] == "row")
        .filter_map(|it| it["title"].as_str())
        .collect();
    assert_eq!(
        rows,
        [
            "Is mail flowing?",
            "Who refuses us, and why?",
            "Are the sources well?",
            "Is the machine well?"
        ]
    );
    let mut queries = Vec::new();
    for panel in panels.iter().filter(|it| it["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 5), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            queries.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    assert!(queries.len() > 40);
    queries
}

/// Runs promtool in the folder of the examples; what it said.
fn promtool(arguments: &[&str]) -> String {
    need("promtool", "prometheus");
    let done = Command::new("promtool").args(arguments).current_dir(docs()).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn the_examples_are_good_and_alerts_fire_when_they_should() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts.test.yml", "alerts-days.test.yml"]);
    let rules = read("alerts.yml");
    let tests = read("alerts.test.yml") + &read("alerts-days.test.yml");
    let names: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    for name in names {
        for what in ["fires", "is silent"] {
            assert!(tests.contains(&format!("- name: {name} {what}\n")), "no test: {name} {what}");
        }
    }
}
