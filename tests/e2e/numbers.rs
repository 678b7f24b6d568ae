//! What events add up to: exactly what happened, whatever happens to the relay.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tests::api::curl;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "n.example MX 10 mx.n.example\nmx.n.example A 127.0.1.191\n\
                    no.example MX 0 .";
const KINDS: [&str; 6] = ["accepted", "delivered", "deferred", "bounced", "expired", "suppressed"];

/// How many events of each type there are in the spool.
async fn happened(world: &World) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for kind in KINDS {
        let found = world.relay.ask(&["events", "--type", kind, "--limit", "10000"]).await;
        counts.insert(kind, found.as_array().unwrap().len() as u64);
    }
    counts
}

fn sums(rows: &Value) -> BTreeMap<&'static str, u64> {
    let rows = rows.as_array().unwrap();
    let sum = |kind: &str| rows.iter().map(|row| row[kind].as_u64().unwrap()).sum();
    KINDS.iter().map(|kind| (*kind, sum(kind))).collect()
}

async fn send_some(world: &World, round: usize) {
    let mut client = world.client().await;
    for number in 0..60 {
        let domain = if number % 10 == 0 { "no.example" } else { "n.example" };
        let to = format!("u{round}-{number}@{domain}");
        client.deliver(SENDER, &[&to], &message("numbers")).await.unwrap();
    }
}

#[tokio::test]
async fn sums_are_those_of_the_events_over_a_kill() {
    let port = mx_port(191..192);
    let mx = MxHost::start(SocketAddr::new(mx_ip(191), port), Behaviour::default());
    let more = format!("[delivery]\n{}", delivery(port));
    let mut world = World::start(ZONE, port, &more).await;
    for round in 0..3 {
        send_some(&world, round).await;
        // In the middle of delivering and of adding up.
        world = world.killed().await;
    }
    send_some(&world, 3).await;
    eventually("everything has ended", async || {
        let counts = happened(&world).await;
        // Attempts of which nothing was written before a kill are made again, but accepted is accepted; what could not
        // be delivered is told to the sender.
        let ended = counts["delivered"] + counts["bounced"];
        (counts["bounced"] >= 24 && ended == counts["accepted"]).then_some(())
    })
    .await;
    let made = world.relay.ask(&["token", "create", "--name", "web", "--scope", "read"]).await;
    let token = made["token"].as_str().unwrap().to_owned();
    let numbers = async |world: &World, query: &str| {
        let path = format!("/api/v1/numbers?{query}");
        let (status, rows) =
            curl(world.relay.address("admin"), Some(&token), "GET", &path, None).await;
        assert_eq!(status, 200, "{rows}");
        rows
    };
    let expected = eventually("the sums are there", async || {
        let expected = happened(&world).await;
        (sums(&numbers(&world, "from=2h").await) == expected).then_some(expected)
    })
    .await;
    let steps = ["minute&by=provider", "hour", "day&zone=America/Lima", "all"];
    for step in steps {
        assert_eq!(
            sums(&numbers(&world, &format!("from=2h&step={step}")).await),
            expected,
            "{step}"
        );
    }
    for by in ["provider", "source", "pool", "account", "tag"] {
        let rows = numbers(&world, &format!("from=2h&by={by}&step=all")).await;
        assert_eq!(sums(&rows), expected, "{by}: {rows}");
    }
    let rows = numbers(&world, "from=2h&by=category&step=all").await;
    assert_eq!(sums(&rows)["bounced"], expected["bounced"], "{rows}");
    let rows = numbers(&world, "from=2h&by=provider&step=all").await;
    let other = rows.as_array().unwrap().iter().find(|row| row["name"] == "other").unwrap();
    assert!(other["median_seconds"].is_f64() && other["octets"].as_u64().unwrap() > 1000);
    reports(&world, &expected).await;
    // What is added up while it stops is there when it is back, once.
    send_some(&world, 4).await;
    world = world.restart().await;
    eventually("the sums are there again", async || {
        let rows = numbers(&world, "from=2h").await;
        (sums(&rows) == happened(&world).await).then_some(())
    })
    .await;
    let why =
        curl(world.relay.address("admin"), Some(&token), "GET", "/api/v1/numbers?zone=Lima", None);
    let (status, problem) = why.await;
    assert_eq!(status, 400, "{problem}");
    drop(mx);
}

/// The same figures as a report.
async fn reports(world: &World, expected: &BTreeMap<&'static str, u64>) {
    let report = world.relay.ask(&["report", "--from", "yesterday", "--by", "tag,provider"]).await;
    assert_eq!(sums(&serde_json::json!([report["all"]])), *expected);
    assert_eq!(sums(&report["times"]), *expected);
    assert_eq!(
        (&report["parts"][0]["by"], &report["zone"]),
        (&"tag".into(), &"America/Lima".into())
    );
    let (done, text, _) = world.relay.run(&["report", "--from", "yesterday"]).await;
    assert!(done && text.contains("Por proveedor") && text.contains("Rebotes"), "{text}");
    println!("{text}");
    let file = world.folder.path().join("report.xlsx");
    let path = file.to_str().unwrap();
    let words =
        ["report", "--from", "yesterday", "--format", "xlsx", "--language", "en", "--output", path];
    let (done, _, error) = world.relay.run(&words).await;
    assert!(done, "{error}");
    let script = "import sys, openpyxl\n\
        page = openpyxl.load_workbook(sys.argv[1])['Summary']\n\
        print([int(row[1].value) for row in page.iter_rows() if row[0].value == 'Delivered'][0])";
    let read = std::process::Command::new("/usr/bin/python3")
        .args(["-c", script])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8(read.stdout).unwrap();
    assert_eq!(told.trim(), expected["delivered"].to_string());
    let (done, _, error) = world.relay.run(&["report", "--day", "soon"]).await;
    assert!(!done && error.contains("day is a day: 2026-11-24"), "{error}");
}
