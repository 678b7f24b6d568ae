//! `tambo probe`: a destination is asked, and no mail is sent.

use std::net::SocketAddr;

use tests::mx::{Behaviour, MxHost};

use super::world::{World, delivery, mx_ip, mx_port};

const ZONE: &str = "p.example MX 10 mx.p.example\nmx.p.example A 127.0.1.196\n\
                    gone.example MX 10 mx.gone.example\nmx.gone.example A 127.0.1.197";

#[tokio::test]
async fn every_step_is_told_and_no_mail_is_sent() {
    let port = mx_port(196..198);
    let mx = MxHost::start(SocketAddr::new(mx_ip(196), port), Behaviour::default());
    let sources = "[[source]]\nname = \"a\"\naddress = \"127.0.0.11\"\nhelo = \"a.institucion.example\"\n\
        [[source]]\nname = \"b\"\naddress = \"127.0.0.12\"\nhelo = \"b.institucion.example\"\n";
    let more = format!("{sources}[delivery]\n{}", delivery(port));
    let world = World::start(ZONE, port, &more).await;
    let answer = world.relay.ask(&["probe", "p.example"]).await;
    let rows = answer["sources"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["source"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"], "{answer}");
    for row in rows {
        assert_eq!((&row["good"], &row["host"]), (&true.into(), &"mx.p.example".into()), "{row}");
        let said: Vec<&str> = row["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["text"].as_str().unwrap())
            .collect();
        let helo = format!("EHLO {}.institucion.example", row["source"].as_str().unwrap());
        assert!(said.contains(&&*helo) && said.contains(&"QUIT"), "{said:?}");
        assert!(said.iter().any(|it| it.starts_with("connecting to 127.0.1.196:")), "{said:?}");
        assert!(!said.iter().any(|it| it.starts_with("MAIL")), "{said:?}");
    }
    let (done, text, why) = world.relay.run(&["probe", "ana@p.example", "--source", "b"]).await;
    assert!(done, "{why}{text}");
    println!("{text}");
    for wanted in [
        "> MAIL FROM:<postmaster@relay.institucion.example>",
        "> RCPT TO:<ana@p.example>",
        "> RSET",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    assert!(!text.contains("DATA") && !text.contains("from a"), "{text}");
    let (done, text, why) = world.relay.run(&["probe", "gone.example", "--source", "a"]).await;
    assert!(
        !done && why.contains("did not go well from a") && text.contains("not good"),
        "{text}{why}"
    );
    let audit = world.relay.ask(&["audit", "list"]).await.to_string();
    assert!(audit.contains("POST /api/v1/probes") && audit.contains("ana@p.example"), "{audit}");
    for (to, wanted) in [("nobody.example", "nobody.example"), ("a b", "neither a domain")] {
        let (done, _, why) = world.relay.run(&["probe", to]).await;
        assert!(!done && why.contains(wanted), "{why}");
    }
    let events = world.relay.ask(&["events", "--type", "accepted,delivered,deferred"]).await;
    assert_eq!(events, serde_json::json!([]));
    assert_eq!(mx.count(), 0);
}
