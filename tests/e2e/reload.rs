//! SIGHUP: new terms for what begins, none for what goes on, and a bad file changes nothing.

use std::net::SocketAddr;

use mta::password::hash_password;
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use tests::api::curl;
use tests::certificate::Certificate;
use tests::client::Client;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{HOSTNAME, World, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

async fn logs_in(world: &World, certificate: &Certificate, password: &str) -> Option<Client> {
    let mut client = Client::connect(world.relay.address("submission")).await.ok()?;
    client.start_tls(&certificate.connector(), HOSTNAME).await.ok()?;
    client.login("script", password).await.ok()?;
    Some(client)
}

#[tokio::test]
async fn a_reload_drops_nothing_and_a_bad_file_changes_nothing() {
    let port = mx_port(120..122);
    let smart = MxHost::start(SocketAddr::new(mx_ip(120), port), Behaviour::default());
    let mx = MxHost::start(SocketAddr::new(mx_ip(121), port), Behaviour::default());
    let zone = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.121";
    let world = World::start(zone, port, "").await;
    let mut open = world.client().await;
    open.command(&format!("MAIL FROM:<{SENDER}>"), 250).await.unwrap();
    open.command("RCPT TO:<u@a.example>", 250).await.unwrap();

    let certificate = Certificate::new(&[HOSTNAME]);
    certificate.write(world.folder.path());
    let old = std::fs::read_to_string(&world.config).unwrap();
    let hash = old.split("password_hash = \"").nth(1).unwrap().split('"').next().unwrap();
    let new = old.replace(hash, &hash_password("otro").unwrap());
    let route = format!(
        "[[route]]\nrecipients = [\"*@a.example\"]\nsmarthost = {{ host = \"127.0.1.120\", port = {port}, tls = \"off\" }}\n"
    );
    std::fs::write(&world.config, format!("{new}\n{route}")).unwrap();
    assert!(logs_in(&world, &certificate, "otro").await.is_none(), "nobody has asked for it yet");
    kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    eventually("the new certificate and password are in force", async || {
        logs_in(&world, &certificate, "otro").await
    })
    .await;
    assert!(logs_in(&world, &certificate, "secreto").await.is_none(), "the old password is not");

    // The session that was open goes on; its mail goes by the new route.
    open.command("DATA", 354).await.unwrap();
    open.send(&message("reload")).await.unwrap();
    open.send(b".\r\n").await.unwrap();
    assert!(open.reply().await.unwrap().starts_with("250 "));
    eventually("it arrives by the new route", async || (smart.count() == 1).then_some(())).await;
    assert_eq!(mx.count(), 0);

    std::fs::write(&world.config, format!("{old}\n[delivery]\nretry = 7\nnonsense = 1\n")).unwrap();
    kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    world.send(SENDER, &["v@a.example"], &message("after")).await;
    eventually("the configuration in force stays", async || (smart.count() == 2).then_some(()))
        .await;
    assert!(logs_in(&world, &certificate, "otro").await.is_some());
    // The command line reads the file, too.
    std::fs::write(&world.config, old).unwrap();
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_reload_over_the_api_says_what_came_of_it_and_is_written_down() {
    let world = World::start("", mx_port(120..122), "").await;
    let admin = world.relay.address("admin");
    let made = world.relay.ask(&["token", "create", "--name", "web", "--scope", "operate"]).await;
    let token = made["token"].as_str();
    let delivery = "/api/v1/settings?section=delivery&key=retry";
    let retry = async || curl(admin, token, "GET", delivery, None).await.1["rows"][0].clone();
    let before = retry().await;
    assert_eq!(before["value"], "[\"1s\"]");
    let old = std::fs::read_to_string(&world.config).unwrap();
    let line = old.lines().position(|line| line.starts_with("retry")).unwrap() + 1;
    assert_eq!(before["origin"], format!("{}:{line}", world.config.display()));

    std::fs::write(&world.config, old.replace("retry = [\"1s\"]", "retry = [\"7m\"]")).unwrap();
    assert_eq!(retry().await, before, "nobody has asked for it yet");
    let path = "/api/v1/settings/reload";
    let (status, done) = curl(admin, token, "POST", path, None).await;
    assert_eq!((status, &done["waits_for_restart"]), (200, &json!([])), "{done}");
    assert_eq!(retry().await["value"], "[\"7m\"]");
    let (done, out, _) = world.relay.run(&["config", "settings", "--written"]).await;
    assert!(done && out.contains("[\"7m\"]") && !out.contains(" default"), "{out}");
    assert!(!out.contains("argon2id"), "a hash is nobody's business: {out}");

    std::fs::write(&world.config, format!("{old}\nretry = 7\nnonsense = 1\n")).unwrap();
    let (status, problem) = curl(admin, token, "POST", path, None).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("nonsense"), "{status} {detail}");
    assert_eq!(retry().await["value"], "[\"7m\"]", "a bad file changes nothing");
    kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    std::fs::write(&world.config, old).unwrap();
    let outcome = eventually("the signal is in the book", async || {
        let book = world.relay.ask(&["audit", "list"]).await;
        book.as_array().unwrap().iter().find(|row| row["what"] == "SIGHUP").cloned()
    })
    .await;
    assert_eq!((&outcome["from"], &outcome["who"]), (&json!("signal"), &json!("the system")));
    let accounts = curl(admin, token, "GET", "/api/v1/accounts", None).await.1;
    assert_eq!(accounts["rows"][0]["has_password"], true);
    for list in ["pools", "providers", "blocklists"] {
        let (status, page) = curl(admin, token, "GET", &format!("/api/v1/{list}"), None).await;
        assert!(status == 200 && page["rows"].is_array(), "{list}: {page}");
    }
    assert!(world.relay.stop().await);
}
