//! The last resort: a stopped spool is read, and written as files.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, id_in, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

async fn tambo(words: &[&str], config: &Path) -> (bool, String, String) {
    let program = tests::program("tambo");
    let mut command = tokio::process::Command::new(program);
    let done = command.args(words).arg("--config").arg(config).output().await.unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn a_stopped_spool_is_checked_and_exported() {
    let port = mx_port(140..141);
    let busy = Behaviour { mail_reply: Some("450 4.3.2 busy".to_owned()), ..Behaviour::default() };
    let _mx = MxHost::start(SocketAddr::new(mx_ip(140), port), busy);
    let zone = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.140";
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(zone, port, &more).await;
    let small = world.send(SENDER, &["u@a.example", "v@a.example"], &message("small")).await;
    // Stored in pieces as it arrives.
    let large = [message("large"), b".line\r\n".repeat(100_000)].concat();
    let mut client = world.client().await;
    let reply = client.deliver(SENDER, &["w@a.example"], &large).await.unwrap();
    let large_id = id_in(&reply);
    eventually("both are deferred", async || {
        let rows = world.relay.ask(&["queue", "list"]).await;
        let rows = rows.as_array().unwrap();
        (rows.len() == 2 && rows.iter().all(|row| row["state"] == "deferred")).then_some(())
    })
    .await;
    world.relay.ask(&["queue", "hold", &small, "--why", "wait"]).await;

    let (done, _, why) = world.relay.run(&["spool", "check"]).await;
    assert!(!done && why.contains("is in use by a tambo that runs: stop it first"), "{why}");
    let (config, folder) = (world.config.clone(), world.folder);
    assert!(world.relay.stop().await);

    let (done, out, why) = tambo(&["spool", "check"], &config).await;
    assert!(done, "{why}");
    assert!(
        out.contains("2 messages (") && out.contains("2 deliveries to 3 recipients wait (1 held)"),
        "{out}"
    );
    let target = folder.path().join("export");
    let words = ["spool", "export", target.to_str().unwrap()];
    let (done, out, why) = tambo(&words, &config).await;
    assert!(done && out.starts_with("2 messages to 3 recipients are in "), "{out}{why}");
    let (done, _, why) = tambo(&words, &config).await;
    assert!(!done && why.contains("is not empty"), "{why}");
    let written = std::fs::read(target.join(format!("{large_id}.eml"))).unwrap();
    assert!(written.starts_with(b"Received: from client.example") && written.ends_with(&large));
    let envelope = std::fs::read_to_string(target.join(format!("{small}.json"))).unwrap();
    let envelope: Value = serde_json::from_str(&envelope).unwrap();
    assert_eq!(envelope["sender"], SENDER);
    assert_eq!(envelope["recipients"][1]["address"], "v@a.example");
    assert_eq!(envelope["recipients"][1]["state"], "Queued");
    assert_eq!(envelope["recipients"][0]["held"], "wait");
    assert_eq!(envelope["recipients"][0]["last_reply"], "450 4.3.2 busy");
    assert_eq!(envelope["damage"], Value::Array(vec![]));
}

/// `tests/fixtures/spool/v1` was written by the program of 2026-11-24, before records had version 2.
#[tokio::test]
async fn a_spool_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let fixture = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let fixture = Path::new(&fixture).join("fixtures/spool/v1");
    for entry in std::fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, spool.join(path.file_name().unwrap())).unwrap();
    }
    let (place, nowhere) = (spool.to_str().unwrap(), folder.path().join("nowhere.toml"));
    let (done, out, why) = tambo(&["spool", "check", "--spool", place, "--json"], &nowhere).await;
    assert!(done, "{why}");
    let counts: Value = serde_json::from_str(&out).unwrap();
    let counts = &counts["counts"];
    assert_eq!(
        [&counts["messages"], &counts["deliveries"], &counts["recipients"], &counts["held"]],
        [3, 4, 4, 1]
    );
    let target = folder.path().join("export");
    let words = ["spool", "export", target.to_str().unwrap(), "--spool", place];
    let (done, _, why) = tambo(&words, &nowhere).await;
    assert!(done, "{why}");
    let read = |name: &str| std::fs::read(target.join(name)).unwrap();
    let small = read("1m881sfys0000.eml");
    assert!(small.ends_with(b"Subject: version 1\r\n\r\n.dot\r\n"));
    let small: Value = serde_json::from_slice(&read("1m881sfys0000.json")).unwrap();
    assert_eq!(small["tags"][0], "acto");
    assert_eq!(small["recipients"][1]["address"], "leo@b.example");
    let held: Value = serde_json::from_slice(&read("1m881sfyy0002.json")).unwrap();
    assert_eq!(
        (&held["eight_bit"], &held["recipients"][0]["held"]),
        (&true.into(), &"waits".into())
    );
    assert!(read("1m881sfyz0001.eml").len() > 300_000);
}
