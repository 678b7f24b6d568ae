//! What servers ask for in their replies is done: fewer recipients at a time, another connection, TLS.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tests::mx::{Behaviour, MxHost, tls};
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "s.example MX 10 mx.s.example\nmx.s.example A 127.0.1.";

/// A world with one server, in which nothing is tried again on schedule.
async fn world(number: u8, port: u16, behaviour: Behaviour) -> (World, MxHost) {
    let host = MxHost::start(SocketAddr::new(mx_ip(number), port), behaviour);
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    (World::start(&format!("{ZONE}{number}"), port, &more).await, host)
}

#[tokio::test]
async fn recipients_beyond_what_a_server_takes_go_on_at_once() {
    let port = mx_port(172..173);
    let behaviour = Behaviour { recipients_max: Some(2), ..Behaviour::default() };
    let (world, host) = world(172, port, behaviour).await;
    let to: Vec<String> = (0..7).map(|n| format!("u{n}@s.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    world.send(SENDER, &to, &message("many")).await;
    eventually("all arrive", async || (host.count() == 4).then_some(())).await;
    let taken = host.taken();
    assert!(taken.iter().all(|taken| taken.recipients.len() <= 2));
    let all: BTreeSet<_> = taken.into_iter().flat_map(|taken| taken.recipients).collect();
    assert_eq!(all.len(), 7);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_connection_that_has_carried_enough_is_followed_by_another() {
    let port = mx_port(173..174);
    let behaviour = Behaviour { messages_max: Some(3), ..Behaviour::default() };
    let (world, host) = world(173, port, behaviour).await;
    for number in 0..20 {
        world.send(SENDER, &["u@s.example"], &message(&number.to_string())).await;
    }
    eventually("all arrive", async || (host.count() == 20).then_some(())).await;
    assert_eq!(host.transactions_max(), 3);
    let asked: u32 = host.mails().values().sum();
    assert!(asked < 25, "it is learned, not found out each time: MAIL was said {asked} times");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_server_that_wants_tls_never_sees_mail_in_clear_again() {
    let port = mx_port(174..175);
    let behaviour = Behaviour {
        tls: tls("mx.s.example"),
        broken_tls: 3,
        tls_required: true,
        ..Behaviour::default()
    };
    let host = MxHost::start(SocketAddr::new(mx_ip(174), port), behaviour);
    let world = World::start(&format!("{ZONE}174"), port, "").await;
    let id = world.send(SENDER, &["u@s.example"], &message("x")).await;
    eventually("it arrives", async || (host.count() == 1).then_some(())).await;
    assert!(host.taken()[0].tls);
    let events = world.relay.ask(&["trace", &id]).await;
    let asked: u32 = host.mails().values().sum();
    assert_eq!(asked, 2, "once in clear, once over TLS: {events}");
    assert!(events.to_string().contains("TLS with mx.s.example"), "{events}");
    assert!(world.relay.stop().await);
}
