//! Whom nothing is sent to: because a server said so, or a person did.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::api::curl;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.181\n\
    institucion.example MX 10 mx.institucion.example\nmx.institucion.example A 127.0.1.182";

/// A server that refuses `gone…@h.example` (and greylists), one that takes notices, and a relay.
async fn world(retry: &str, greylist: bool) -> (World, MxHost, MxHost) {
    let port = mx_port(181..183);
    let refuse = Some("gone".to_owned());
    let refusing = Behaviour { refuse, greylist, ..Behaviour::default() };
    let mx = MxHost::start(SocketAddr::new(mx_ip(181), port), refusing);
    let sender = MxHost::start(SocketAddr::new(mx_ip(182), port), Behaviour::default());
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", retry));
    (World::start(ZONE, port, &more).await, mx, sender)
}

/// The events of a message, once one of them is of this type.
async fn events(world: &World, id: &str, kind: &str) -> Vec<Value> {
    eventually(&format!("{id} is {kind}"), async || {
        let events = world.relay.ask(&["trace", id]).await;
        let events = events.as_array().unwrap().clone();
        events.iter().any(|event| event["type"] == kind).then_some(events)
    })
    .await
}

#[tokio::test]
async fn who_a_server_says_is_not_there_gets_nothing_more() {
    let (world, mx, sender) = world("[\"1h\"]", false).await;
    let first = world.send(SENDER, &["gone.leo@h.example"], &message("1")).await;
    let told = events(&world, &first, "suppression").await;
    let listed = told.iter().find(|event| event["type"] == "suppression").unwrap();
    assert_eq!(listed["recipient"], "gone.leo@h.example");
    assert_eq!((&listed["decision"], &listed["rule"]), (&json!("added"), &json!("U01")));
    assert_eq!(mx.refusals().1, 1);

    let world = world.killed().await;
    let to = ["Gone.Leo@h.example", "eva@h.example"];
    let second = world.send(SENDER, &to, &message("2")).await;
    let told = events(&world, &second, "delivered").await;
    let suppressed = told.iter().find(|event| event["type"] == "suppressed").unwrap();
    assert_eq!(suppressed["recipient"], "Gone.Leo@h.example");
    let detail = suppressed["detail"].as_str().unwrap();
    assert!(detail.starts_with("the address is on the suppression list since 20"), "{detail}");
    eventually("the other one gets it", async || (mx.count() == 1).then_some(())).await;
    assert_eq!(mx.taken()[0].recipients, ["eva@h.example"]);
    assert_eq!(mx.refusals().1, 1, "the server is not asked again");
    eventually("the sender is told twice", async || (sender.count() == 2).then_some(())).await;
    let notice = String::from_utf8(sender.taken()[1].data.clone()).unwrap();
    assert!(notice.contains("It was not sent to these recipients"), "{notice}");
    assert!(notice.contains("Status: 5.7.1"), "{notice}");

    let removed = world.relay.ask(&["suppression", "remove", "gone.leo@h.example"]).await;
    assert_eq!((&removed[0]["cause"], &removed[0]["rule"]), (&json!("reply"), &json!("U01")));
    let third = world.send(SENDER, &["gone.leo@h.example"], &message("3")).await;
    events(&world, &third, "bounced").await;
    assert_eq!(mx.refusals().1, 2, "the server is asked again");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn what_waits_for_somebody_who_asks_for_no_more_is_not_sent() {
    let (world, mx, _sender) = world("[\"1h\"]", true).await;
    let waits = world.send(SENDER, &["eva@h.example"], &message("waits")).await;
    events(&world, &waits, "deferred").await;
    let admin = world.relay.address("admin");
    let made = world.relay.ask(&["token", "create", "--name", "web", "--scope", "operate"]).await;
    let token = made["token"].as_str();
    let order =
        json!({ "addresses": ["eva@h.example", "@y.example"], "why": "pidió no recibir más" });
    let path = "/api/v1/suppressions";
    let (status, done) = curl(admin, token, "POST", path, Some(&order)).await;
    assert_eq!((status, &done["added"]), (200, &json!(2)), "{done}");
    let wrong = json!({ "addresses": ["leo@h.example", "nobody"], "why": "x" });
    let (status, problem) = curl(admin, token, "POST", path, Some(&wrong)).await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("\"nobody\": the address needs"));
    let (_, page) = curl(admin, token, "GET", &format!("{path}?limit=1"), None).await;
    assert_eq!(page["rows"][0]["address"], "@y.example");
    let next = page["next"].as_str().unwrap();
    let (_, page) = curl(admin, token, "GET", &format!("{path}?limit=1&from={next}"), None).await;
    assert_eq!(
        (&page["rows"][0]["address"], &page["next"]),
        (&json!("eva@h.example"), &Value::Null)
    );
    assert_eq!(page["rows"][0]["who"], "web");

    world.relay.ask(&["queue", "retry", &waits]).await;
    let told = events(&world, &waits, "suppressed").await;
    let detail = told.last().unwrap()["detail"].as_str().unwrap();
    assert!(detail.ends_with(": pidió no recibir más"), "{detail}");
    assert!(!detail.contains("web"), "who ordered it is no business of the sender");
    let (done, out, _) = world.relay.run(&["suppression", "show", "eva@h.example"]).await;
    assert!(done && out.contains("web: pidió no recibir más"), "{out}");

    let of_one = ["suppression", "add", "leo@h.example", "--account", "script", "--why", "boletín"];
    world.relay.ask(&of_one).await;
    let other = world.send(SENDER, &["leo@h.example"], &message("of another account")).await;
    events(&world, &other, "deferred").await;
    assert_eq!(mx.refusals().0, 2, "the one who asked for no more was not tried again");
    let (done, _, why) = world.relay.run(&["suppression", "show", "nadie@h.example"]).await;
    assert!(!done && why.contains("is not on the suppression list"), "{why}");
    assert!(world.relay.stop().await);
}
