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
    let held = envelope["recipients"][0]["held"].as_str().unwrap();
    assert!(held.ends_with(": wait"), "who held it stands before why: {held}");
    assert_eq!(envelope["recipients"][0]["last_reply"], "450 4.3.2 busy");
    assert_eq!(envelope["damage"], Value::Array(vec![]));
}

/// A spool that an earlier program wrote, checked and exported: what was counted, and the files.
async fn exported(version: &str) -> (Value, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let fixtures = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let fixture = Path::new(&fixtures).join("fixtures/spool").join(version);
    for entry in std::fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, spool.join(path.file_name().unwrap())).unwrap();
    }
    let (place, nowhere) = (spool.to_str().unwrap(), folder.path().join("nowhere.toml"));
    let (done, out, why) = tambo(&["spool", "check", "--spool", place, "--json"], &nowhere).await;
    assert!(done, "{why}");
    let checked: Value = serde_json::from_str(&out).unwrap();
    let target = folder.path().join("export");
    let words = ["spool", "export", target.to_str().unwrap(), "--spool", place];
    let (done, _, why) = tambo(&words, &nowhere).await;
    assert!(done, "{why}");
    (checked["counts"].clone(), folder)
}

/// Written by programs of 2026-11-24 (version 1 before senders could ask for notices, 2) and of 2026-11-30 (3, with two
/// messages of one template that are to be sent later, and a hold that ends by itself).
#[tokio::test]
async fn spools_of_earlier_programs_are_read() {
    for (version, messages, deliveries, recipients, [small, held, large]) in [
        ("v1", 3, 4, 4, ["1m881sfys0000", "1m881sfyy0002", "1m881sfyz0001"]),
        ("v2", 3, 3, 4, ["1m885dd7g0000", "1m885dd7h0002", "1m885dd7j0000"]),
        ("v3", 5, 6, 6, ["1m8qag5180000", "1m8qag51h0000", "1m8qag51r0000"]),
    ] {
        let (counts, folder) = exported(version).await;
        let read = |id: &str, end: &str| {
            std::fs::read(folder.path().join("export").join(format!("{id}.{end}"))).unwrap()
        };
        let envelope = |id: &str| serde_json::from_slice::<Value>(&read(id, "json")).unwrap();
        assert_eq!(
            (&counts["messages"], &counts["recipients"]),
            (&messages.into(), &recipients.into())
        );
        assert_eq!((&counts["deliveries"], &counts["held"]), (&deliveries.into(), &1.into()));
        let subject = format!("Subject: version {}\r\n\r\n.dot\r\n", &version[1..]);
        assert!(read(small, "eml").ends_with(subject.as_bytes()), "{version}");
        let first = envelope(small);
        assert_eq!(first["tags"][0], "acto");
        assert_eq!(first["recipients"][1]["address"], "leo@b.example");
        let (waits, eight_bit) = (envelope(held), Value::Bool(true));
        assert_eq!(
            (&waits["eight_bit"], &waits["recipients"][0]["held"]),
            (&eight_bit, &if version == "v3" { "root: waits" } else { "waits" }.into())
        );
        assert!(read(large, "eml").len() > 250_000);
        if version == "v3" {
            let made = String::from_utf8(read("1m8qag7r40002", "eml")).unwrap();
            assert!(made.contains("\r\nTo: \"Dos\" <u2@e.example>\r\n"), "{made}");
            assert!(made.ends_with("\r\n\r\nversion 3: 2\r\n"), "{made}");
            let until = &waits["recipients"][0]["next_attempt"];
            assert_eq!(until, "2036-01-01T00:00:00.000Z");
        }
        if version != "v1" {
            assert_eq!(
                (&first["returns"], &first["envelope_id"]),
                (&"HDRS".into(), &"acto+7".into())
            );
            assert_eq!(first["recipients"][0]["notify"], "FAILURE,DELAY");
            assert_eq!(first["recipients"][0]["original_recipient"], "rfc822;alias@a.example");
        }
    }
}
