//! Extensions of SMTP between a client, the relay and servers that know them or don't.

use std::net::SocketAddr;

use tests::client::Client;
use tests::mx::{Behaviour, MxHost, Taken};
use tests::relay::eventually;

use super::world::{World, delivery, id_in, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

/// `d0.example`, `d1.example` … each at a server of its own; notices come back to the first of `institucion.example`.
async fn world(first: u8, behaviours: Vec<Behaviour>, more: &str) -> (World, Vec<MxHost>) {
    let count = u8::try_from(behaviours.len()).unwrap();
    let port = mx_port(first..first + count);
    let mut zone =
        format!("institucion.example MX 10 mx0.example\nmx0.example A 127.0.1.{first}\n");
    let mut hosts = Vec::new();
    for (number, behaviour) in behaviours.into_iter().enumerate() {
        let ip = mx_ip(first + u8::try_from(number).unwrap());
        zone.push_str(&format!("d{number}.example MX 10 mx{number}.example\n"));
        if number > 0 {
            zone.push_str(&format!("mx{number}.example A {ip}\n"));
        }
        hosts.push(MxHost::start(SocketAddr::new(ip, port), behaviour));
    }
    let more = more.replace("{delivery}", &format!("[delivery]\n{}", delivery(port)));
    (World::start(&zone, port, &more).await, hosts)
}

fn offering(offers: &[&'static str]) -> Behaviour {
    Behaviour { offers: offers.to_vec(), ..Behaviour::default() }
}

async fn say(client: &mut Client, lines: &[(&str, u16)]) {
    for (line, code) in lines {
        client.command(line, *code).await.unwrap();
    }
}

/// Ends DATA; returns Tambo's id.
async fn data(client: &mut Client, text: &str) -> String {
    client.command("DATA", 354).await.unwrap();
    id_in(&client.command(&format!("{text}\r\n."), 250).await.unwrap())
}

async fn only(host: &MxHost) -> Taken {
    eventually("it arrives", async || (host.count() > 0).then_some(())).await;
    assert_eq!(host.count(), 1);
    host.taken().remove(0)
}

fn text(taken: &Taken) -> String {
    String::from_utf8(taken.data.clone()).unwrap()
}

#[tokio::test]
async fn what_senders_ask_is_passed_on_or_told() {
    let (world, hosts) = world(
        100,
        vec![
            Behaviour::default(),
            offering(&["DSN"]),
            Behaviour { refuse: Some("no".to_owned()), ..Behaviour::default() },
        ],
        "",
    )
    .await;
    let mut client = world.client().await;
    say(
        &mut client,
        &[
            ("MAIL FROM:<ana@institucion.example> RET=FULL ENVID=acto+2B7", 250),
            ("RCPT TO:<u@d1.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@d1.example", 250),
            ("RCPT TO:<u@d2.example> NOTIFY=SUCCESS", 250),
            ("RCPT TO:<no1@d2.example> NOTIFY=FAILURE ORCPT=rfc822;alias@d2.example", 250),
            ("RCPT TO:<no2@d2.example> NOTIFY=NEVER", 250),
            ("RCPT TO:<no3@d2.example> NOTIFY=DELAY", 250),
        ],
    )
    .await;
    data(&mut client, "Subject: Acto de fin de a\u{f1}o\r\n\r\nsecreto").await;
    let passed = only(&hosts[1]).await;
    assert_eq!(
        passed.parameters,
        [
            &*format!("SIZE={} BODY=8BITMIME RET=FULL ENVID=acto+2B7", passed.data.len()),
            "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@d1.example"
        ]
    );
    let plain = only(&hosts[2]).await;
    assert_eq!(plain.recipients, ["u@d2.example"]);
    assert!(plain.parameters.iter().all(|it| !it.contains("NOTIFY") && !it.contains("RET")));
    // Success at the server that offers DSN is its to tell; of the other's recipients, two are told.
    let notice = only(&hosts[0]).await;
    let text = text(&notice);
    assert_eq!((notice.sender.as_str(), notice.recipients[0].as_str()), ("", SENDER));
    for part in [
        "Original-Envelope-Id: acto+7\r\n",
        "Final-Recipient: rfc822; u@d2.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n",
        "Original-Recipient: rfc822; alias@d2.example\r\nFinal-Recipient: rfc822; no1@d2.example\r\nAction: failed\r\n",
        "Content-Type: message/rfc822",
        "\r\n\r\nsecreto\r\n",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(
        !text.contains("no2@") && !text.contains("no3@") && !text.contains("d1.example"),
        "{text}"
    );
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn senders_are_told_once_that_mail_is_late() {
    let busy = Behaviour { mail_reply: Some("450 4.3.2 busy".to_owned()), ..Behaviour::default() };
    let more = "{delivery}delay_notice_after = \"2s\"\n";
    let (world, hosts) = world(103, vec![Behaviour::default(), busy], more).await;
    let mut client = world.client().await;
    let envelope = [
        ("MAIL FROM:<ana@institucion.example>", 250),
        ("RCPT TO:<u@d1.example>", 250),
        ("RCPT TO:<v@d1.example> NOTIFY=FAILURE", 250),
    ];
    say(&mut client, &envelope).await;
    data(&mut client, "Subject: hola\r\n\r\nx").await;
    let notice = only(&hosts[0]).await;
    let text = text(&notice);
    assert_eq!(notice.recipients, [SENDER]);
    for part in
        ["Action: delayed", "Status: 4.3.2", "Will-Retry-Until: ", "Remote-MTA: dns; mx1.example"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("v@d1.example"), "{text}");
    // Told once: the next message's notice is the second that arrives.
    say(&mut client, &envelope).await;
    data(&mut client, "Subject: adi\u{f3}s\r\n\r\nx").await;
    eventually("the next is told", async || (hosts[0].count() > 1).then_some(())).await;
    assert!(self::text(&hosts[0].taken()[1]).contains("adi\u{f3}s"));
    assert_eq!(hosts[0].count(), 2);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn addresses_beyond_ascii_go_only_where_they_are_understood() {
    let new = offering(&["SMTPUTF8", "CHUNKING"]);
    let (world, hosts) = world(106, vec![new.clone(), new, Behaviour::default()], "").await;
    let mut client = world.client().await;
    say(
        &mut client,
        &[
            ("MAIL FROM:<\u{f1}and\u{fa}@institucion.example> SMTPUTF8 BODY=8BITMIME", 250),
            ("RCPT TO:<jos\u{e9}@d1.example>", 250),
            ("RCPT TO:<ascii@d2.example>", 250),
        ],
    )
    .await;
    data(&mut client, "Subject: ma\u{f1}ana\r\n\r\n\u{f1}").await;
    let arrived = only(&hosts[1]).await;
    assert_eq!(arrived.sender, "\u{f1}and\u{fa}@institucion.example");
    assert_eq!(arrived.recipients, ["jos\u{e9}@d1.example"]);
    assert!(arrived.parameters[0].ends_with(" BODY=8BITMIME SMTPUTF8"), "{:?}", arrived.parameters);
    assert!(arrived.chunked);
    let text_there = text(&arrived);
    assert!(text_there.contains(" with UTF8SMTP\r\n"), "{text_there}");
    assert!(text_there.ends_with("Subject: ma\u{f1}ana\r\n\r\n\u{f1}\r\n"), "{text_there}");
    // The other server can't be told the sender: the message is never changed, the sender is told.
    let notice = only(&hosts[0]).await;
    assert_eq!(notice.recipients, ["\u{f1}and\u{fa}@institucion.example"]);
    let text = text(&notice);
    assert!(text.contains("Diagnostic-Code: smtp; 550 5.6.7 "), "{text}");
    assert_eq!(hosts[2].count(), 0);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn eight_bit_text_is_encoded_for_servers_that_take_seven() {
    let seven = Behaviour { seven_bit: true, ..Behaviour::default() };
    let (world, hosts) = world(109, vec![Behaviour::default(), seven], "").await;
    let mut client = world.client().await;
    let envelope = [
        ("MAIL FROM:<ana@institucion.example> BODY=8BITMIME", 250),
        ("RCPT TO:<u@d1.example>", 250),
    ];
    say(&mut client, &envelope).await;
    let eight = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         A\u{f1}o nuevo, vida nueva: as\u{ed} es\r\n";
    data(&mut client, eight).await;
    let arrived = only(&hosts[1]).await;
    assert!(arrived.data.is_ascii());
    assert!(
        text(&arrived).ends_with("\r\nA=C3=B1o nuevo, vida nueva: as=C3=AD es\r\n\r\n"),
        "{}",
        text(&arrived)
    );
    assert!(!arrived.parameters[0].contains("BODY"), "{:?}", arrived.parameters);
    // What somebody has signed can't be changed.
    say(&mut client, &envelope).await;
    data(&mut client, &format!("DKIM-Signature: v=1; d=x\r\n{eight}")).await;
    let notice = text(&only(&hosts[0]).await);
    assert!(notice.contains("5.6.3"), "{notice}");
    assert_eq!(hosts[1].count(), 1);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn pieces_and_limits_of_a_server_are_heeded() {
    let limited = offering(&["CHUNKING", "LIMITS RCPTMAX=2 MAILMAX=3", "MT-PRIORITY"]);
    let (world, hosts) = world(111, vec![limited], "").await;
    let mut client = world.client().await;
    let mut envelope = vec![("MAIL FROM:<ana@institucion.example> MT-PRIORITY=-3".to_owned(), 250)];
    envelope.extend((0..10).map(|n| (format!("RCPT TO:<u{n}@d0.example>"), 250)));
    for (line, code) in &envelope {
        client.command(line, *code).await.unwrap();
    }
    // Large enough to wait for the answers about its envelope; lines with dots are as they were.
    let body = ".a line\r\n".repeat(20_000);
    client.command("DATA", 354).await.unwrap();
    let stuffed = body.replace("\r\n.", "\r\n..");
    client.command(&format!("\r\n.{stuffed}."), 250).await.unwrap();
    eventually("all arrive", async || (hosts[0].count() == 5).then_some(())).await;
    for taken in hosts[0].taken() {
        assert!(taken.chunked && taken.recipients.len() == 2, "{:?}", taken.recipients);
        assert!(taken.data.ends_with(format!("\r\n\r\n{body}").as_bytes()));
        assert!(taken.parameters[0].ends_with(" MT-PRIORITY=-3"), "{:?}", taken.parameters);
    }
    assert_eq!(hosts[0].transactions_max(), 3);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_small_message_to_nobody_who_is_known_fails_over_chunks() {
    let behaviour = Behaviour { refuse: Some("no".to_owned()), ..offering(&["CHUNKING"]) };
    let (world, hosts) = world(113, vec![behaviour], "").await;
    let id = world.send("", &["no@d0.example"], &message("x")).await;
    let next = world.send(SENDER, &["yes@d0.example"], &message("y")).await;
    eventually("the next goes over the same connection", async || {
        (hosts[0].count() == 1).then_some(())
    })
    .await;
    for (id, expected) in [(id, "bounced"), (next, "delivered")] {
        eventually("it is told", async || {
            let events = world.relay.ask(&["trace", &id]).await;
            (events[1]["type"] == expected).then_some(())
        })
        .await;
    }
    assert_eq!(hosts[0].connections().0, 1);
    assert!(world.relay.stop().await);
}
