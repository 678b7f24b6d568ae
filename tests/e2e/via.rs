//! Sources that are not on this machine: behind a SOCKS server, behind `HAProxy`. And such as have IPv6.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use tests::free_port;
use tests::haproxy::Haproxy;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;
use tests::socks::Microsocks;
use tokio::net::TcpStream;

use super::world::{World, message, mx_ip};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "destino.example MX 10 mx.destino.example\nmx.destino.example A 127.0.1.160\n\
    closed.example MX 10 mx.closed.example\nmx.closed.example A 127.0.1.161\n\
    six.example MX 10 mx.six.example\nmx.six.example AAAA ::1";
const GATEWAY: IpAddr = ip(5, 9);
/// The address of a source at the gateway, and of one of this machine.
const FAR: IpAddr = ip(66, 7);
const NEAR: IpAddr = ip(66, 8);
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

const fn ip(network: u8, number: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(127, 0, network, number))
}

/// A port that mail servers may have, in both families.
fn mx_port() -> u16 {
    free_port(&[mx_ip(160), mx_ip(161), SIX])
}

fn gateway_address() -> SocketAddr {
    SocketAddr::new(GATEWAY, free_port(&[GATEWAY]))
}

/// A relay that has these sources, each taking its turn: name, address, and what else is written.
async fn world(port: u16, sources: &[(&str, IpAddr, &str)]) -> World {
    let mut text = String::new();
    for (name, address, more) in sources {
        let _ = write!(
            text,
            "[[source]]\nname = \"{name}\"\naddress = \"{address}\"\nhelo = \"{name}.institucion.example\"\n{more}\n"
        );
    }
    let names: Vec<String> = sources.iter().map(|(name, ..)| format!("\"{name}\"")).collect();
    let _ = write!(
        text,
        "[[pool]]\nname = \"bulk\"\nsources = [{}]\nrotation = \"round-robin\"\n\
         [delivery]\nport = {port}\nretry = [\"1s\"]\nallow_destinations = [\"127.0.1.0/24\", \"::1/128\"]\n",
        names.join(", ")
    );
    World::start(ZONE, port, &text).await
}

fn mx(number: u8, port: u16) -> MxHost {
    MxHost::start(SocketAddr::new(mx_ip(number), port), Behaviour::default())
}

async fn send(world: &World, count: usize) {
    for number in 0..count {
        world.send(SENDER, &[&format!("u{number}@destino.example")], &message("via")).await;
    }
}

/// Waits until so many have arrived altogether; tells from where.
async fn arrived(mx: &MxHost, count: usize) -> Vec<IpAddr> {
    eventually("all arrive", async || (mx.count() == count).then_some(())).await;
    mx.taken().iter().map(|taken| taken.from).collect()
}

async fn state(world: &World, source: &str) -> String {
    let rows = world.relay.ask(&["sources", "list"]).await;
    let rows = rows.as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == source).unwrap();
    row["state"].as_str().unwrap().to_owned()
}

async fn until_state(world: &World, source: &str, wanted: &str) {
    eventually(wanted, async || (state(world, source).await == wanted).then_some(())).await;
}

async fn until_up(address: SocketAddr) {
    eventually("the gateway is up", async || TcpStream::connect(address).await.ok()).await;
}

#[tokio::test]
async fn a_socks_server_sends_from_its_own_address_and_says_what_is_wrong_with_the_destination() {
    let (port, gateway) = (mx_port(), gateway_address());
    let destination = mx(160, port);
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secreto\n").unwrap();
    let _socks = Microsocks::start(gateway, FAR, ("relay", "secreto"));
    until_up(gateway).await;
    let via = format!(
        "via = \"socks5://{gateway}\"\nusername = \"relay\"\npassword_file = \"{}\"",
        password.display()
    );
    let world = world(port, &[("far", FAR, &via)]).await;
    send(&world, 2).await;
    assert_eq!(arrived(&destination, 2).await, [FAR, FAR]);
    assert_eq!(destination.taken()[0].helo, "far.institucion.example");
    let count = world.relay.metric("tambo_gateway_connections_total{result=\"connected\"}").await;
    assert!(count > 0);

    // Nobody listens there yet, which is no fault of the gateway.
    let id = world.send(SENDER, &["u@closed.example"], &message("closed")).await;
    eventually("it is deferred", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        let deferred = |event: &&Value| event["type"] == "deferred";
        let event = events.as_array().unwrap().iter().find(deferred)?.to_string();
        assert!(event.contains("no connection: connection refused"), "{event}");
        Some(())
    })
    .await;
    assert_eq!(state(&world, "far").await, "active");
    let closed = mx(161, port);
    assert_eq!(arrived(&closed, 1).await, [FAR]);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn mail_goes_on_while_a_gateway_does_not_know_us() {
    let (port, gateway) = (mx_port(), gateway_address());
    let destination = mx(160, port);
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "equivocado\n").unwrap();
    let _socks = Microsocks::start(gateway, FAR, ("relay", "secreto"));
    until_up(gateway).await;
    let via = format!(
        "via = \"socks5://{gateway}\"\nusername = \"relay\"\npassword_file = \"{}\"",
        password.display()
    );
    let world = world(port, &[("far", FAR, &via), ("near", NEAR, "")]).await;
    send(&world, 4).await;
    assert_eq!(arrived(&destination, 4).await, [NEAR; 4]);
    until_state(&world, "far", "unreachable").await;
    let (good, _, said) = world.relay.run(&["check"]).await;
    let expected = format!(
        "source `far`: the gateway socks5://{gateway} does not know this user name and password; start or \
         mend it, or mend `via`"
    );
    assert!(!good && said.contains(&expected), "{said}");

    // Mended, it takes its turn again without anybody's help.
    std::fs::write(&password, "secreto\n").unwrap();
    until_state(&world, "far", "active").await;
    send(&world, 4).await;
    assert!(arrived(&destination, 8).await.contains(&FAR));
    assert!(world.relay.run(&["check"]).await.0);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn haproxy_connects_from_the_address_in_the_header_and_mail_goes_on_while_it_is_down() {
    let (port, gateway) = (mx_port(), gateway_address());
    let destination = mx(160, port);
    let via = format!("via = \"haproxy://{gateway}\"");
    let world = world(port, &[("far", FAR, &via), ("near", NEAR, "")]).await;
    send(&world, 4).await;
    assert_eq!(arrived(&destination, 4).await, [NEAR; 4]);
    until_state(&world, "far", "unreachable").await;
    let (good, _, said) = world.relay.run(&["check"]).await;
    let expected = format!(
        "source `far`: the gateway haproxy://{gateway} cannot be reached: connection refused; start or \
         mend it, or mend `via`"
    );
    assert!(!good && said.contains(&expected), "{said}");

    let haproxy = Haproxy::gateway(gateway);
    until_state(&world, "far", "active").await;
    let before = haproxy.connected().unwrap();
    send(&world, 4).await;
    assert!(arrived(&destination, 8).await.contains(&FAR));
    assert!(haproxy.connected().unwrap() > before);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn ipv6_from_this_machine_and_through_haproxy() {
    let (port, gateway) = (mx_port(), gateway_address());
    let destination = MxHost::start(SocketAddr::new(SIX, port), Behaviour::default());
    let direct = world(port, &[("six", SIX, "")]).await;
    direct.send(SENDER, &["u@six.example"], &message("six")).await;
    assert_eq!(arrived(&destination, 1).await, [SIX]);
    assert!(direct.relay.stop().await);

    let haproxy = Haproxy::gateway(gateway);
    until_up(gateway).await;
    let before = haproxy.connected().unwrap();
    let via = format!("via = \"haproxy://{gateway}\"");
    let behind = world(port, &[("six", SIX, &via)]).await;
    behind.send(SENDER, &["u@six.example"], &message("six")).await;
    assert_eq!(arrived(&destination, 2).await, [SIX, SIX]);
    assert!(haproxy.connected().unwrap() > before);
    assert!(behind.relay.stop().await);
}
