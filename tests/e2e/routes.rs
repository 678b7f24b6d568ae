//! Ways to a destination: smarthosts with TLS and a password, addresses, aliases, IPv6.

use std::net::SocketAddr;

use nix::sys::signal::{Signal, kill};
use tests::client::Client;
use tests::dns::DnsServer;
use tests::mx::{Behaviour, MxHost};
use tests::relay::{RelayProcess, eventually};

use super::world::{HOSTNAME, World, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

/// A relay in front of another: the second asks for TLS and a password.
#[tokio::test]
async fn a_smarthost_with_verified_tls_and_a_password() {
    let port = mx_port(90..91);
    let mx = MxHost::start(SocketAddr::new(mx_ip(90), port), Behaviour::default());
    let second =
        World::start("d.example MX 10 mx.d.example\nmx.d.example A 127.0.1.90", port, "").await;
    let first = tempfile::tempdir().unwrap();
    let dns = DnsServer::start(&format!("{HOSTNAME} A 127.0.0.1\nwrong.example A 127.0.0.1")).await;
    let password = first.path().join("password");
    std::fs::write(&password, "secreto\n").unwrap();
    let route = |domain: &str, host: &str| {
        format!(
            "[[route]]\nrecipients = [\"*@{domain}\"]\nsmarthost = {{ host = \"{host}\", port = {}, tls = \"required\", \
             username = \"script\", password_file = \"{}\" }}\n",
            second.relay.address("submission").port(),
            password.display()
        )
    };
    let config = first.path().join("tambo.toml");
    let text = format!(
        "[server]\nhostname = \"first.institucion.example\"\ndata_dir = \"{}\"\n[[listener]]\nname = \"relay\"\n\
         bind = [\"127.0.0.1:0\", \"[::1]:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.0/8\", \"::1/128\"]\n\
         [dns]\nservers = [\"{}\"]\n{}{}",
        first.path().display(),
        dns.address,
        route("d.example", HOSTNAME),
        route("w.example", "wrong.example")
    );
    std::fs::write(&config, text).unwrap();
    let trust = format!("SSL_CERT_FILE={}", second.folder.path().join("certificate.pem").display());
    let relay = RelayProcess::start_with(&config, first.path(), &["env", &trust]).await;
    // The last address that was announced under the name: the IPv6 one.
    let address = relay.address("relay");
    assert!(address.is_ipv6(), "{address}");
    let mut client = Client::connect(address).await.unwrap();
    client.command("EHLO c", 250).await.unwrap();
    for to in ["u@d.example", "u@w.example"] {
        client.deliver(SENDER, &[to], &message("through two")).await.unwrap();
    }
    eventually("it arrives", async || (mx.count() == 1).then_some(())).await;
    let arrived = String::from_utf8(mx.taken()[0].data.clone()).unwrap();
    assert!(arrived.contains("with ESMTPSA (TLSv1.3"), "{arrived}");
    assert!(arrived.contains("from c ([IPv6:::1])"), "{arrived}");
    // A certificate for another name is not good enough, and no password is sent there.
    let row = eventually("the other waits", async || {
        let rows = relay.ask(&["queue", "list"]).await;
        rows[0]["last_reply"].is_string().then(|| rows[0].clone())
    })
    .await;
    assert!(row["last_reply"].as_str().unwrap().starts_with("451 4.7.5"), "{row}");
    assert!(relay.stop().await);
}

#[tokio::test]
async fn aliases_address_records_and_literals() {
    let port = mx_port(92..94);
    let first = MxHost::start(SocketAddr::new(mx_ip(92), port), Behaviour::default());
    let second = MxHost::start(SocketAddr::new(mx_ip(93), port), Behaviour::default());
    let zone = "alias.example CNAME real.example\nreal.example MX 10 mx.real.example\nmx.real.example CNAME host.example\n\
                host.example A 127.0.1.92\nplain.example A 127.0.1.93";
    let world = World::start(zone, port, "").await;
    let to = ["u@alias.example", "u@real.example", "u@plain.example", "u@[127.0.1.93]"];
    for to in to {
        world.send(SENDER, &[to], &message("x")).await;
    }
    eventually("all arrive", async || (first.count() == 2 && second.count() == 2).then_some(()))
        .await;
}

/// One transaction to a smarthost, whatever the domains; and routes that change while mail waits.
#[tokio::test]
async fn a_message_to_a_smarthost_is_one_transaction_and_follows_its_routes() {
    let port = mx_port(130..133);
    let start = |number: u8, behaviour: Behaviour| {
        MxHost::start(SocketAddr::new(mx_ip(number), port), behaviour)
    };
    let busy = Behaviour { mail_reply: Some("450 4.3.2 busy".to_owned()), ..Behaviour::default() };
    let hosts =
        [start(130, Behaviour::default()), start(131, busy), start(132, Behaviour::default())];
    let zone = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.132";
    let route = |pattern: &str, number: u8| {
        format!(
            "[[route]]\nrecipients = [{pattern}]\nsmarthost = {{ host = \"127.0.1.{number}\", port = {port}, tls = \"off\" }}\n"
        )
    };
    let all = "\"*@*.example\", \"*@a.example\", \"jefe@x.test\"";
    let first = route(all, 130);
    let world = World::start(zone, port, &first).await;
    let to = ["u@a.example", "v@b.example", "w@c.example", "jefe@x.test"];
    let id = world.send(SENDER, &to, &message("one")).await;
    eventually("it arrives", async || (hosts[0].count() == 1).then_some(())).await;
    assert_eq!(hosts[0].taken()[0].recipients, to);
    let events = eventually("it is told", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (events.as_array().unwrap().len() == 8).then_some(events)
    })
    .await;
    assert_eq!(events[7]["site"], format!("127.0.1.130:{port}/clear"), "{events}");

    // The way leads to one that is busy; then a.example goes to its MX, and b.example to the first.
    let text = std::fs::read_to_string(&world.config).unwrap();
    std::fs::write(&world.config, text.replace(&first, &route(all, 131))).unwrap();
    kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    eventually("the second route is in force", async || {
        world.send(SENDER, &["probe@x.example"], &message("probe")).await;
        (hosts[1].connections().0 > 0).then_some(())
    })
    .await;
    let before = hosts[0].count();
    let id = world.send(SENDER, &["u@a.example", "v@b.example"], &message("two")).await;
    eventually("it is deferred", async || {
        let rows = world.relay.ask(&["queue", "list", "--domain", "b.example"]).await;
        (rows[0]["state"] == "deferred" && rows[0]["recipients"].as_array().unwrap().len() == 2)
            .then_some(())
    })
    .await;
    std::fs::write(&world.config, text.replace(&first, &route("\"*@b.example\"", 130))).unwrap();
    kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    eventually("both arrive", async || {
        world.relay.run(&["queue", "reroute", &id]).await;
        (hosts[0].count() == before + 1 && hosts[2].count() == 1).then_some(())
    })
    .await;
    assert_eq!(hosts[0].taken()[before].recipients, ["v@b.example"]);
    assert_eq!(hosts[2].taken()[0].recipients, ["u@a.example"]);
    eventually("all is told", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        let of = |kind: &str| {
            events.as_array().unwrap().iter().filter(|event| event["type"] == kind).count()
        };
        (of("delivered") == 2 && of("rerouted") == 2).then_some(())
    })
    .await;
    let rows = world.relay.ask(&["queue", "list", "--domain", "b.example"]).await;
    assert_eq!(rows.as_array().unwrap().len(), 0, "{rows}");
    assert!(world.relay.stop().await);
}
