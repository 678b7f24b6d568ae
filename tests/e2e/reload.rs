//! SIGHUP: new terms for what begins, none for what goes on, and a bad file changes nothing.

use std::net::SocketAddr;

use mta::smtp_in::hash_password;
use nix::sys::signal::{Signal, kill};
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
