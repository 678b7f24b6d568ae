//! Real mail servers on both sides: Postfix in front of the relay, Postfix and chasquid behind it.

use std::net::SocketAddr;

use tests::chasquid::Chasquid;
use tests::corpus::{corpus, is_whole, with_lf};
use tests::postfix::Postfix;
use tests::relay::eventually;

use super::world::{World, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

#[tokio::test]
async fn what_postfix_sends_arrives_at_postfix_and_chasquid_octet_for_octet() {
    let port = mx_port(30..33);
    let destination = Postfix::destination(SocketAddr::new(mx_ip(30), port), "postfix.example");
    let chasquid = Chasquid::start(SocketAddr::new(mx_ip(31), port), "chasquid.example");
    let zone = "postfix.example MX 10 mx.postfix.example\nmx.postfix.example A 127.0.1.30\n\
                chasquid.example MX 10 mx.chasquid.example\nmx.chasquid.example A 127.0.1.31";
    let world = World::start(zone, port, "").await;
    let relay = world.address();
    let extra =
        format!("relayhost = [{}]:{}\nsmtp_address_preference = ipv4\n", relay.ip(), relay.port());
    let client =
        Postfix::start(SocketAddr::new(mx_ip(32), port), "client.institucion.example", &extra);
    let corpus = corpus();
    for (_, message) in &corpus {
        for to in ["buzon@postfix.example", "buzon@chasquid.example"] {
            client.sendmail(SENDER, to, &with_lf(message));
        }
    }
    let all =
        || destination.inbox().len() == corpus.len() && chasquid.inbox().len() == corpus.len();
    eventually("everything arrives", async || all().then_some(())).await;
    for (name, message) in &corpus {
        let sent = with_lf(message);
        for (server, inbox) in [("postfix", destination.inbox()), ("chasquid", chasquid.inbox())] {
            let copies = inbox.iter().filter(|copy| is_whole(&with_lf(copy), &sent)).count();
            assert_eq!(copies, 1, "{name} at {server}");
        }
    }
    let tls: Vec<_> =
        world.relay.ask(&["trace", "buzon@chasquid.example"]).await.as_array().unwrap().clone();
    let delivered: Vec<_> = tls.iter().filter(|event| event["type"] == "delivered").collect();
    assert_eq!(delivered.len(), corpus.len());
    assert!(
        delivered.iter().all(|event| event["tls"].as_str().unwrap().starts_with("TLSv1.3")),
        "chasquid offers STARTTLS"
    );
    assert!(world.relay.stop().await);
}
