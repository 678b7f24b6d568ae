//! Clients behind a load balancer that announces them (PROXY protocol): `HAProxy`, and ones that lie.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tests::client::{Client, stream_from};
use tests::haproxy::Haproxy;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{HOSTNAME, World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "destino.example MX 10 mx.destino.example\nmx.destino.example A 127.0.1.150";
/// The load balancer, whose own mail would be relayed.
const BALANCER: IpAddr = ip(5, 5);
/// A client that may not relay; those of 127.0.77.0/24 may.
const STRANGER: IpAddr = ip(88, 1);

const fn ip(network: u8, number: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(127, 0, network, number))
}

/// A relay that believes the load balancer.
async fn world(port: u16) -> World {
    let mut listeners = String::new();
    for (name, more) in
        [("behind", "tls = \"off\"\n"), ("behind-tls", "tls = \"implicit\"\nauth = true\n")]
    {
        let _ = write!(
            listeners,
            "[[listener]]\nname = \"{name}\"\nbind = [\"127.0.0.1:0\"]\n{more}\
             relay_from = [\"127.0.77.0/24\", \"{BALANCER}/32\"]\nproxy_from = [\"{BALANCER}/32\"]\n\
             limits = {{ connections_per_trusted_address = 2, connections_per_address = 2 }}\n"
        );
    }
    World::start(ZONE, port, &format!("{listeners}[delivery]\n{}", delivery(port))).await
}

#[tokio::test]
async fn clients_behind_haproxy_are_known_by_their_own_addresses() {
    let port = mx_port(150..151);
    let mx = MxHost::start(SocketAddr::new(mx_ip(150), port), Behaviour::default());
    let world = world(port).await;
    let behind = world.relay.address("behind");
    let options = ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"];
    let haproxy = Haproxy::start(BALANCER, &options.map(|option| (behind, option)));
    eventually("the relay is healthy to HAProxy", async || {
        haproxy.healthy().filter(|healthy| *healthy == options.len())
    })
    .await;
    for (number, to) in (1..).zip(&haproxy.addresses) {
        // Two at a time from one address, and the load balancer's own has no share in it.
        let (first, second) = (ip(77, number), ip(77, 100 + number));
        let mut clients = Vec::new();
        for from in [first, first, second, second, ip(88, number)] {
            clients.push(Client::connect_from(from, *to).await.unwrap());
        }
        let full = Client::connect_from(first, *to).await.err().unwrap();
        assert_eq!(full, "421 4.7.0 Too many connections; try again later");
        let mut stranger = clients.pop().unwrap();
        stranger.command("EHLO stranger.example", 250).await.unwrap();
        stranger.command(&format!("MAIL FROM:<{SENDER}>"), 250).await.unwrap();
        let denied = stranger.command("RCPT TO:<u@destino.example>", 550).await.unwrap();
        assert!(denied.starts_with("550 5.7.1 Relaying denied"), "{denied}");
        let mut client = clients.pop().unwrap();
        client.command("EHLO client.example", 250).await.unwrap();
        let recipient = format!("u{number}@destino.example");
        client.deliver(SENDER, &[&recipient], &message("behind")).await.unwrap();
        let events = world.relay.ask(&["trace", &recipient]).await;
        assert_eq!(events[0]["type"], "accepted");
        assert_eq!(events[0]["client"], second.to_string());
        // Who does not wait for the greeting is found out behind a load balancer, too.
        let told = says(*to, ip(88, 100 + number), b"EHLO hasty.example\r\n").await;
        assert_eq!(told, "554 5.5.0 You spoke before the greeting\r\n");
    }
    eventually("all arrive", async || (mx.count() == options.len()).then_some(())).await;
    for taken in mx.taken() {
        let text = String::from_utf8(taken.data).unwrap();
        let number: u8 = taken.recipients[0][1..2].parse().unwrap();
        let from = format!("Received: from client.example ([{}])\r\n", ip(77, 100 + number));
        assert!(text.contains(&from), "{text}");
    }
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn tls_from_the_first_octet_begins_after_the_header() {
    let port = mx_port(150..151);
    let mx = MxHost::start(SocketAddr::new(mx_ip(150), port), Behaviour::default());
    let world = world(port).await;
    let haproxy = Haproxy::start(BALANCER, &[(world.relay.address("behind-tls"), "send-proxy-v2")]);
    let mut client = eventually("HAProxy is up", async || {
        let (to, connector) = (haproxy.addresses[0], world.certificate.connector());
        Client::connect_with_tls(STRANGER, to, &connector, HOSTNAME).await.ok()
    })
    .await;
    client.command("EHLO client.example", 250).await.unwrap();
    client.login("script", "secreto").await.unwrap();
    client.deliver(SENDER, &["u@destino.example"], &message("tls")).await.unwrap();
    eventually("it arrives", async || (mx.count() == 1).then_some(())).await;
    let text = String::from_utf8(mx.taken()[0].data.clone()).unwrap();
    assert!(text.contains("Received: from client.example ([127.0.88.1])\r\n"), "{text}");
    assert!(text.contains("with ESMTPSA (TLSv1.3"), "{text}");
    assert!(world.relay.stop().await);
}

/// What the relay says to these octets from there until it closes.
async fn says(to: SocketAddr, from: IpAddr, octets: &[u8]) -> String {
    let mut stream = stream_from(from, to).await.unwrap();
    stream.write_all(octets).await.unwrap();
    let mut said = String::new();
    // A reset is an end as well: the relay did not read all of it.
    let read = stream.read_to_string(&mut said);
    let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(ended.is_ok(), "the session goes on: {said}");
    said
}

#[tokio::test]
async fn nobody_else_is_believed_and_the_load_balancer_must_announce() {
    let port = mx_port(150..151);
    let world = world(port).await;
    let behind = world.relay.address("behind");
    let counts = async |reason: &str, count: u32| {
        let line = format!("tambo_proxy_refused_total{{reason=\"{reason}\"}} {count}");
        eventually(&line, async || {
            let page = world.relay.metrics().await;
            page.lines().any(|at| at == line).then_some(())
        })
        .await;
    };
    counts("malformed", 0).await;
    assert_eq!(says(behind, BALANCER, b"EHLO balancer.example\r\n").await, "");
    assert_eq!(says(behind, BALANCER, b"PROXY TCP4 127.0.77.1 127.0.0.1 1\r\n").await, "");
    counts("malformed", 2).await;
    let mut stream = stream_from(BALANCER, behind).await.unwrap();
    stream.write_all(b"PROXY TCP4 ").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    counts("closed", 1).await;

    let lie = b"PROXY TCP4 127.0.77.9 127.0.0.1 4660 25\r\n";
    let told = says(behind, STRANGER, lie).await;
    assert_eq!(told, "554 5.5.0 You spoke before the greeting\r\n");
    let mut client = Client::connect_from(STRANGER, behind).await.unwrap();
    let told = client.command(std::str::from_utf8(lie).unwrap().trim_end(), 500).await.unwrap();
    assert_eq!(told, "500 5.5.1 Command not known here");
    client.command("EHLO stranger.example", 250).await.unwrap();
    client.command(&format!("MAIL FROM:<{SENDER}>"), 250).await.unwrap();
    client.command("RCPT TO:<u@destino.example>", 550).await.unwrap();

    // Its own connections, as the header says they are, and a client on a socket without address.
    for own in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut stream = stream_from(BALANCER, behind).await.unwrap();
        stream.write_all(own).await.unwrap();
        let mut client = Client::over(Box::new(stream)).await.unwrap();
        client.command("EHLO balancer.example", 250).await.unwrap();
        client.command(&format!("MAIL FROM:<{SENDER}>"), 250).await.unwrap();
        client.command("RCPT TO:<u@destino.example>", 250).await.unwrap();
    }
    assert!(world.relay.stop().await);
}
