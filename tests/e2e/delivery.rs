//! Delivery against servers that behave as servers do.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tests::mx::{Behaviour, MxHost, tls};
use tests::relay::eventually;
use tokio::time::Instant;

use super::world::{World, delivery, id_in, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

fn hosts(port: u16, first: u8, behaviours: Vec<Behaviour>) -> Vec<MxHost> {
    let mut hosts = Vec::new();
    for (number, behaviour) in (first..).zip(behaviours) {
        hosts.push(MxHost::start(SocketAddr::new(mx_ip(number), port), behaviour));
    }
    hosts
}

fn types(events: &Value) -> Vec<String> {
    events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn one_message_to_many_is_stored_once_and_delivered_once_for_each_domain() {
    let port = mx_port(50..52);
    let hosts = hosts(port, 50, vec![Behaviour::default(), Behaviour::default()]);
    let zone = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.50\nb.example MX 10 mx.b.example\nmx.b.example A 127.0.1.51";
    let world = World::start(zone, port, "").await;
    let mut to: Vec<String> = (0..250).map(|n| format!("u{n}@a.example")).collect();
    to.push("u@b.example".to_owned());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut client = world.client().await;
    let id = id_in(&client.deliver(SENDER, &to, &message("many")).await.unwrap());
    eventually("all arrive", async || {
        (hosts[0].count() == 3 && hosts[1].count() == 1).then_some(())
    })
    .await;
    let sizes: Vec<usize> = hosts[0].taken().iter().map(|taken| taken.recipients.len()).collect();
    assert_eq!(sizes, [100, 100, 50], "batches of recipients_per_transaction");
    let all: BTreeSet<String> =
        hosts[0].taken().into_iter().flat_map(|taken| taken.recipients).collect();
    assert_eq!(all.len(), 250);
    let events = eventually("all is told", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (types(&events).len() == 2 * 251).then_some(events)
    })
    .await;
    assert_eq!(types(&events).iter().filter(|kind| *kind == "delivered").count(), 251);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_connection_carries_no_more_than_it_may_and_the_rest_goes_on_at_once() {
    let port = mx_port(52..53);
    let hosts = hosts(port, 52, vec![Behaviour::default()]);
    let zone = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.52";
    let more = format!(
        "[delivery]\n{}recipients_per_transaction = 10\n[delivery.limits]\nmessages_per_connection = 3\n",
        delivery(port).replace("[\"1s\"]", "[\"1h\"]")
    );
    let world = World::start(zone, port, &more).await;
    let to: Vec<String> = (0..95).map(|n| format!("u{n}@a.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let id = world.send(SENDER, &to, &message("many")).await;
    eventually("all arrive", async || (hosts[0].count() == 10).then_some(())).await;
    assert_eq!(hosts[0].transactions_max(), 3);
    let all: BTreeSet<String> =
        hosts[0].taken().into_iter().flat_map(|taken| taken.recipients).collect();
    assert_eq!(all.len(), 95);
    let events = eventually("all is told", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (types(&events).len() == 2 * 95).then_some(events)
    })
    .await;
    assert!(!types(&events).contains(&"deferred".to_owned()), "nobody was put off");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn hosts_that_are_down_refuse_or_leave_are_passed_over() {
    let port = mx_port(54..58);
    let busy =
        Behaviour { greeting: Some("421 4.3.2 too busy".to_owned()), ..Behaviour::default() };
    let leaves =
        Behaviour { mail_reply: Some("421 4.3.2 going down".to_owned()), ..Behaviour::default() };
    let hosts = hosts(port, 55, vec![busy, leaves, Behaviour::default()]);
    // 127.0.1.54 does not listen at all.
    let mut zone = String::new();
    for number in 54..58 {
        let _ = writeln!(
            zone,
            "d.example MX {number} mx{number}.d.example\nmx{number}.d.example A 127.0.1.{number}"
        );
    }
    let world = World::start(&zone, port, "").await;
    let id = world.send(SENDER, &["u@d.example"], &message("x")).await;
    eventually("it arrives", async || (hosts[2].count() == 1).then_some(())).await;
    let events = eventually("it is told", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (types(&events).len() == 2).then_some(events)
    })
    .await;
    assert_eq!(types(&events), ["accepted", "delivered"], "no attempt was wasted");
    assert_eq!(events[1]["mx"], "mx57.d.example");
}

#[tokio::test]
async fn a_server_that_says_no_at_once_stops_nobody_else() {
    let port = mx_port(175..177);
    let busy =
        Behaviour { greeting: Some("554 5.7.1 not for you".to_owned()), ..Behaviour::default() };
    let hosts = hosts(port, 175, vec![busy, Behaviour::default()]);
    let zone = "n.example MX 10 mx.n.example\nmx.n.example A 127.0.1.175\n\
        y.example MX 10 mx.y.example\nmx.y.example A 127.0.1.176";
    let world = World::start(zone, port, "").await;
    let refused = world.send(SENDER, &["u@n.example"], &message("x")).await;
    eventually("it is told", async || {
        let events = world.relay.ask(&["trace", &refused]).await;
        types(&events).contains(&"deferred".to_owned()).then_some(())
    })
    .await;
    world.send(SENDER, &["u@y.example"], &message("x")).await;
    eventually("the other arrives", async || (hosts[1].count() == 1).then_some(())).await;
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn servers_that_talk_nonsense_are_passed_over() {
    let port = mx_port(76..79);
    let web =
        Behaviour { greeting: Some("HTTP/1.1 400 Bad Request".to_owned()), ..Behaviour::default() };
    let endless = Behaviour {
        greeting: Some(format!("{}220 x", "220-x\r\n".repeat(1000))),
        ..Behaviour::default()
    };
    let hosts = hosts(port, 76, vec![web, endless, Behaviour::default()]);
    let mut zone = String::new();
    for number in 76..79 {
        let _ = writeln!(
            zone,
            "n.example MX {number} mx{number}.n.example\nmx{number}.n.example A 127.0.1.{number}"
        );
    }
    let world = World::start(&zone, port, "").await;
    world.send(SENDER, &["u@n.example"], &message("x")).await;
    eventually("it arrives", async || (hosts[2].count() == 1).then_some(())).await;
    assert!(hosts[0].connections().0 >= 1 && hosts[1].connections().0 >= 1);
}

#[tokio::test]
async fn tls_that_is_broken_is_done_without_where_nobody_requires_it() {
    let port = mx_port(60..61);
    let broken =
        Behaviour { tls: tls("mx.t.example"), broken_tls: u32::MAX, ..Behaviour::default() };
    let hosts = hosts(port, 60, vec![broken]);
    let world =
        World::start("t.example MX 10 mx.t.example\nmx.t.example A 127.0.1.60", port, "").await;
    for subject in ["one", "two"] {
        world.send(SENDER, &["u@t.example"], &message(subject)).await;
        let count = if subject == "one" { 1 } else { 2 };
        eventually("it arrives", async || (hosts[0].count() == count).then_some(())).await;
    }
    assert!(hosts[0].taken().iter().all(|taken| !taken.tls));
    assert!(hosts[0].connections().0 <= 3, "the second message does not find out again");
}

#[tokio::test]
async fn failures_come_back_to_the_sender_once() {
    let port = mx_port(62..64);
    let refuses = Behaviour { refuse: Some("nadie".to_owned()), ..Behaviour::default() };
    let hosts = hosts(port, 62, vec![refuses, Behaviour::default()]);
    let zone = "r.example MX 10 mx.r.example\nmx.r.example A 127.0.1.62\ninstitucion.example MX 10 mx.institucion.example\n\
                mx.institucion.example A 127.0.1.63\nnull.example MX 0 .\nbroken.example SERVFAIL\n\
                inside.example MX 10 mx.inside.example\nmx.inside.example A 127.0.0.1\n\
                loop.example MX 10 relay.institucion.example\nrelay.institucion.example A 127.0.1.62";
    let world = World::start(zone, port, "[suppression]\nautomatic = false\n").await;
    let to = [
        "nadie@r.example",
        "alguien@r.example",
        "u@null.example",
        "u@missing.example",
        "u@inside.example",
        "u@loop.example",
        "u@broken.example",
    ];
    let id = world.send(SENDER, &to, &message("fails")).await;
    eventually("the notices arrive", async || (hosts[1].count() == 5).then_some(())).await;
    let notices: Vec<String> = hosts[1]
        .taken()
        .iter()
        .map(|taken| String::from_utf8(taken.data.clone()).unwrap())
        .collect();
    for (recipient, status) in [
        ("nadie@r.example", "5.1.1"),
        ("u@null.example", "5.1.10"),
        ("u@missing.example", "5.1.2"),
        ("u@inside.example", "5.4.4"),
        ("u@loop.example", "5.4.6"),
    ] {
        let wanted = format!(
            "Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\n"
        );
        assert_eq!(
            notices.iter().filter(|notice| notice.contains(&wanted)).count(),
            1,
            "{recipient}"
        );
    }
    assert!(hosts[1].taken().iter().all(|taken| taken.sender.is_empty()));
    assert!(
        notices.iter().all(
            |notice| notice.contains("Subject: fails\r\n") && !notice.contains("\r\nHola.\r\n")
        )
    );
    assert_eq!(hosts[0].count(), 1, "alguien got it");
    // DNS that does not answer says nothing about the name: that one waits.
    let rows = world.relay.ask(&["queue", "list"]).await;
    assert_eq!(rows[0]["message"], Value::String(id));
    assert_eq!(rows[0]["recipients"][0], "u@broken.example");
    assert!(rows[0]["last_reply"].as_str().unwrap().starts_with("451 4.4.3"));
    // A notice that cannot be delivered makes no notice.
    let id = world.send("", &["nadie@r.example"], &message("null sender")).await;
    eventually("it is refused", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (types(&events).last().unwrap() == "bounced").then_some(())
    })
    .await;
    // A notice would have been written together with that event.
    let rows = world.relay.ask(&["queue", "list"]).await;
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(hosts[1].count(), 5);
}

#[tokio::test]
async fn a_reply_that_never_came_leads_to_another_attempt_that_says_so() {
    let port = mx_port(66..67);
    let hosts = hosts(port, 66, vec![Behaviour { vanish_after_dot: 1, ..Behaviour::default() }]);
    let world =
        World::start("v.example MX 10 mx.v.example\nmx.v.example A 127.0.1.66", port, "").await;
    let id = world.send(SENDER, &["u@v.example"], &message("x")).await;
    eventually("it arrives twice", async || (hosts[0].count() == 2).then_some(())).await;
    let events = eventually("it is told", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (types(&events).len() == 3).then_some(events)
    })
    .await;
    assert_eq!(types(&events), ["accepted", "deferred", "delivered"]);
    assert!(events[1]["detail"].as_str().unwrap().contains("duplicate"), "{events}");
}

#[tokio::test]
async fn a_server_that_leaves_between_batches_costs_nobody_the_message() {
    let port = mx_port(74..75);
    let hosts = hosts(port, 74, vec![Behaviour { vanish_after_dot: 1, ..Behaviour::default() }]);
    let world =
        World::start("m.example MX 10 mx.m.example\nmx.m.example A 127.0.1.74", port, "").await;
    let to: Vec<String> = (0..250).map(|n| format!("u{n}@m.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut client = world.client().await;
    let id = id_in(&client.deliver(SENDER, &to, &message("many")).await.unwrap());
    let events = eventually("all is delivered", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        (types(&events).iter().filter(|kind| *kind == "delivered").count() == 250).then_some(events)
    })
    .await;
    assert_eq!(types(&events).iter().filter(|kind| *kind == "deferred").count(), 250);
    assert_eq!(hosts[0].count(), 4, "the first batch came twice, the others once");
    assert!(world.relay.ask(&["queue", "list"]).await.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn limits_of_a_destination_hold_and_connections_are_used_again() {
    let port = mx_port(68..69);
    let slow =
        Behaviour { delay: Duration::from_millis(5), close_after: Some(7), ..Behaviour::default() };
    let hosts = hosts(port, 68, vec![slow]);
    let mut sources = String::new();
    let mut names = Vec::new();
    for number in 11..=28 {
        let _ = write!(
            sources,
            "[[source]]\nname = \"ip-{number}\"\naddress = \"127.0.0.{number}\"\nhelo = \"m{number}.institucion.example\"\n"
        );
        names.push(format!("\"ip-{number}\""));
    }
    let more = format!(
        "{sources}[[pool]]\nname = \"bulk\"\nsources = [{}]\nrotation = \"round-robin\"\n",
        names.join(", ")
    );
    let world =
        World::start("l.example MX 10 mx.l.example\nmx.l.example A 127.0.1.68", port, &more).await;
    let mut client = world.client().await;
    for number in 0..400 {
        client.deliver(SENDER, &[&format!("u{number}@l.example")], &message("x")).await.unwrap();
    }
    eventually("all arrive", async || (hosts[0].count() >= 400).then_some(())).await;
    let (connections, most) = hosts[0].connections();
    assert!(most <= 10, "{most} at a time");
    assert!(connections < 150, "{connections} connections for 400 messages, 7 at most in each");
    assert_eq!(hosts[0].count(), 400);
    let from: BTreeSet<_> = hosts[0].taken().iter().map(|taken| taken.from).collect();
    assert!(from.len() >= 10, "round-robin over the sources: {from:?}");
    let bound = hosts[0].taken().iter().all(|taken| {
        let last = taken.from.to_string().rsplit('.').next().unwrap().to_owned();
        taken.helo == format!("m{last}.institucion.example")
    });
    assert!(bound, "each source says its own name");
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_what_is_too_old_expires() {
    let port = mx_port(70..72);
    let grey =
        Behaviour { mail_reply: Some("450 4.7.1 not now".to_owned()), ..Behaviour::default() };
    let hosts = hosts(port, 70, vec![grey, Behaviour::default()]);
    let zone = "w.example MX 10 mx.w.example\nmx.w.example A 127.0.1.70\ninstitucion.example MX 10 mx.institucion.example\nmx.institucion.example A 127.0.1.71";
    let more = format!("[delivery]\n{}", delivery(port).replace("\"1h\"", "\"15s\""));
    let world = World::start(zone, port, &more).await;
    let id = world.send(SENDER, &["u@w.example"], &message("waits")).await;
    let attempts = async |world: &World| {
        let rows = world.relay.ask(&["queue", "list"]).await;
        rows[0]["attempts"].as_u64().unwrap_or(0)
    };
    eventually("it was tried", async || (attempts(&world).await >= 1).then_some(())).await;
    let before = attempts(&world).await;
    let world = world.restart().await;
    assert!(attempts(&world).await >= before, "attempts survive a restart");
    eventually("the notice comes", async || (hosts[1].count() == 1).then_some(())).await;
    let notice = String::from_utf8(hosts[1].taken()[0].data.clone()).unwrap();
    assert!(notice.contains("Status: 5.4.7"), "{notice}");
    let events = world.relay.ask(&["trace", &id]).await;
    assert_eq!(types(&events).last().unwrap(), "expired");
}

#[tokio::test]
async fn ready_to_accept_with_a_hundred_thousand_queued() {
    let port = mx_port(72..73);
    let zone: String = (0..2000).fold(String::new(), |mut zone, n| {
        let _ = writeln!(zone, "d{n}.example SERVFAIL");
        zone
    });
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(&zone, port, &more).await;
    let mut client = world.client().await;
    for number in 0..100 {
        let to: Vec<String> =
            (0..1000).map(|n| format!("u{number}@d{}.example", (number % 2) * 1000 + n)).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        client.deliver(SENDER, &to, &message("x")).await.unwrap();
    }
    client.quit().await.unwrap();
    let config = world.config.clone();
    assert!(world.relay.stop().await);
    let started = Instant::now();
    let relay = tests::relay::RelayProcess::start(&config, world.folder.path()).await;
    let took = started.elapsed();
    println!("ready after {took:?} with 100,000 deliveries in 2,000 domains");
    // 2 s is asked for; a machine that is busy with other tests gets twice that.
    assert!(took < Duration::from_secs(4), "{took:?}");
    let rows = relay.ask(&["queue", "list", "--limit", "100001"]).await;
    assert_eq!(rows.as_array().unwrap().len(), 100_000);
}

#[tokio::test]
async fn a_message_in_pieces_arrives_octet_for_octet() {
    let port = mx_port(53..54);
    let hosts = hosts(port, 53, vec![Behaviour::default()]);
    let world =
        World::start("a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.53", port, "").await;
    let mut text =
        b"From: <ana@institucion.example>\r\nSubject: x\r\n\r\n.\r\n..\r\n.QUIT\r\n".to_vec();
    for line in 0..60_000 {
        let _ = std::io::Write::write_fmt(
            &mut text,
            format_args!(".{line} with some text behind it\r\n"),
        );
    }
    let mut client = world.client().await;
    for pieces in [1, 3, 700] {
        client.command(&format!("MAIL FROM:<{SENDER}> SIZE={}", text.len()), 250).await.unwrap();
        client.command("RCPT TO:<u@a.example>", 250).await.unwrap();
        let size = text.len().div_ceil(pieces);
        for piece in text.chunks(size) {
            client.send(format!("BDAT {}\r\n", piece.len()).as_bytes()).await.unwrap();
            client.send(piece).await.unwrap();
            assert_eq!(client.reply().await.unwrap(), "250 2.0.0 Ok, go on");
        }
        client.command("BDAT 0 LAST", 250).await.unwrap();
    }
    // One that is given up after it has filled pieces of the spool leaves nothing.
    client.command(&format!("MAIL FROM:<{SENDER}>"), 250).await.unwrap();
    client.command("RCPT TO:<u@a.example>", 250).await.unwrap();
    client.send(format!("BDAT {}\r\n", text.len()).as_bytes()).await.unwrap();
    client.send(&text).await.unwrap();
    assert_eq!(client.reply().await.unwrap(), "250 2.0.0 Ok, go on");
    client.command("RSET", 250).await.unwrap();
    client.quit().await.unwrap();
    eventually("all arrive", async || (hosts[0].count() == 3).then_some(())).await;
    for taken in hosts[0].taken() {
        assert!(taken.data.ends_with(&text), "{} octets", taken.data.len());
    }
    assert!(world.relay.stop().await);
}
