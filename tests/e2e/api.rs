//! The API over the network: tokens, scopes, problems, pages, the audit log.

use serde_json::{Value, json};
use tests::api::curl;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.178";

async fn token(world: &World, words: &[&str]) -> String {
    let made = world.relay.ask(&[&["token", "create"], words].concat()).await;
    made["token"].as_str().unwrap().to_owned()
}

/// A relay with three mails that a greylisting server has put off.
async fn three_deferred() -> (World, MxHost) {
    let port = mx_port(178..180);
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let mx = MxHost::start(std::net::SocketAddr::new(mx_ip(178), port), grey);
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(ZONE, port, &more).await;
    for user in ["a", "b", "c"] {
        world.send(SENDER, &[&format!("{user}@h.example")], &message(user)).await;
    }
    eventually("all are deferred", async || {
        let rows = world.relay.ask(&["queue", "list"]).await;
        let deferred = rows.as_array().unwrap().iter().filter(|row| row["state"] == "deferred");
        (deferred.count() == 3).then_some(())
    })
    .await;
    (world, mx)
}

#[tokio::test]
async fn a_script_sees_who_waits_and_for_what() {
    let (world, _mx) = three_deferred().await;
    let admin = world.relay.address("admin");
    let reader = token(&world, &["--name", "web", "--scope", "read"]).await;
    let get = async |path: &str| curl(admin, Some(&reader), "GET", path, None).await;
    let (status, problem) = curl(admin, None, "GET", "/api/v1/queue", None).await;
    assert_eq!((status, problem["title"].as_str()), (401, Some("Who are you?")));
    let (status, page) = get("/api/v1/queue?limit=2").await;
    assert_eq!(status, 200);
    let mut rows: Vec<Value> = page["rows"].as_array().unwrap().clone();
    let next = page["next"].as_str().unwrap();
    let (_, page) = get(&format!("/api/v1/queue?limit=2&from={next}")).await;
    rows.extend(page["rows"].as_array().unwrap().clone());
    let to: Vec<&str> = rows.iter().map(|row| row["recipients"][0].as_str().unwrap()).collect();
    assert_eq!(to, ["a@h.example", "b@h.example", "c@h.example"]);
    assert_eq!(page["next"], Value::Null);
    for (query, expected) in [
        ("limit=0", "`limit` is between 1 and 5000"),
        ("limit=5001", "`limit` is between 1 and 5000"),
        ("from=x", "from is not the `next` of a page before"),
        ("standing=x.y", "`standing` is the name of a standing hold"),
    ] {
        let (status, problem) = get(&format!("/api/v1/queue?{query}")).await;
        assert_eq!((status, problem["detail"].as_str()), (400, Some(expected)), "{problem}");
    }

    let id = rows[0]["message"].as_str().unwrap();
    let (status, story) = get(&format!("/api/v1/messages/{id}")).await;
    assert_eq!((status, story["state"].as_str()), (200, Some("waiting")), "{story}");
    assert_eq!(story["recipients"][0]["state"], "deferred");
    let waits = story["waiting"][0]["waits_for"].as_str().unwrap();
    assert!(
        waits.starts_with("its next attempt, at ") && waits.contains("the last answer was 4"),
        "{waits}"
    );
    let types: Vec<&str> =
        story["events"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["accepted", "deferred"]);
    assert_eq!(get("/api/v1/messages/none").await.0, 404);
    let (_, summary) = get("/api/v1/queue/summary?by=domain").await;
    assert_eq!(summary["rows"][0]["group"], "h.example", "{summary}");
    let counted = (&summary["rows"][0]["deferred"], &summary["all"]["recipients"]);
    assert_eq!(counted, (&json!(3), &json!(3)));

    world.relay.ask(&["queue", "hold", id, "--why", "espera al ministerio"]).await;
    let (_, story) = get(&format!("/api/v1/messages/{id}")).await;
    let waits = story["waiting"][0]["waits_for"].as_str().unwrap();
    assert!(waits.starts_with("somebody to release it: held by "), "{waits}");
    assert!(waits.ends_with(": espera al ministerio"), "{waits}");
}

#[tokio::test]
async fn a_token_may_what_its_scope_says_and_it_is_written_down() {
    let (world, _mx) = three_deferred().await;
    let admin = world.relay.address("admin");
    let reader = token(&world, &["--name", "web", "--scope", "read"]).await;
    let operator = token(&world, &["--name", "guardia", "--scope", "operate"]).await;
    let mut hold = json!({
        "action": "hold", "query": { "domain": "h.example" }, "why": "la lista está mal", "dry_run": true
    });
    let actions = "/api/v1/queue/actions";
    let (status, problem) = curl(admin, Some(&reader), "POST", actions, Some(&hold)).await;
    assert_eq!(status, 403, "{problem}");
    let (_, done) = curl(admin, Some(&operator), "POST", actions, Some(&hold)).await;
    assert_eq!((&done["matched"], &done["done"]), (&json!(3), &json!(0)), "{done}");
    hold["dry_run"] = json!(false);
    let (status, done) = curl(admin, Some(&operator), "POST", actions, Some(&hold)).await;
    assert_eq!((status, &done["done"]), (200, &json!(3)), "{done}");
    let rows = world.relay.ask(&["queue", "list"]).await;
    assert_eq!(rows[0]["held"], "guardia: la lista está mal");

    let world = world.restart().await;
    let admin = world.relay.address("admin");
    let (status, _) = curl(admin, Some(&reader), "GET", "/api/v1/sources", None).await;
    assert_eq!(status, 200, "tokens are known after a restart");
    assert_eq!(world.relay.ask(&["token", "revoke", "web"]).await["name"], "web");
    let (status, _) = curl(admin, Some(&reader), "GET", "/api/v1/sources", None).await;
    assert_eq!(status, 401, "until they are revoked");
    let names = world.relay.ask(&["token", "list"]).await;
    assert_eq!(names.as_array().unwrap().len(), 1);
    assert_eq!(names[0]["name"], "guardia");
    the_book_tells_all(&world).await;
}

/// What the test before did stands in the audit log, and whoever changes the book is found out.
async fn the_book_tells_all(world: &World) {
    let book = world.relay.ask(&["audit", "list"]).await;
    let told: Vec<(&str, &str)> = book
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|row| (row["what"].as_str().unwrap(), row["from"].as_str().unwrap()))
        .collect();
    let expected = [
        ("POST /api/v1/tokens", "socket"),
        ("outcome", "socket"),
        ("POST /api/v1/tokens", "socket"),
        ("outcome", "socket"),
        ("POST /api/v1/queue/actions", "127.0.0.1"),
        ("outcome", "127.0.0.1"),
        ("DELETE /api/v1/tokens/web", "socket"),
        ("outcome", "socket"),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.relay.ask(&["audit", "verify"]).await["entries"], 8);
    let path = world.folder.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("guardia", "nadie")).unwrap();
    let (done, _, why) = world.relay.run(&["audit", "verify"]).await;
    assert!(!done && why.contains("was changed"), "{why}");
}

#[tokio::test]
async fn metrics_are_for_listed_networks_or_a_token() {
    let port = mx_port(178..180);
    let world = World::start(ZONE, port, "[metrics]\nallow = [\"192.0.2.0/24\"]\n").await;
    let admin = world.relay.address("admin");
    let (status, problem) = curl(admin, None, "GET", "/metrics", None).await;
    assert_eq!(status, 401, "{problem}");
    let send = token(&world, &["--name", "s", "--scope", "send", "--account", "script"]).await;
    let (status, _) = curl(admin, Some(&send), "GET", "/metrics", None).await;
    assert_eq!(status, 403);
    let read = token(&world, &["--name", "r", "--scope", "read"]).await;
    let (status, _) = curl(admin, Some(&read), "GET", "/metrics", None).await;
    assert_eq!(status, 200);
    let (status, _) = curl(admin, None, "GET", "/healthz", None).await;
    assert_eq!(status, 200);
    let (status, described) = curl(admin, Some(&send), "GET", "/api/v1/openapi.json", None).await;
    assert_eq!((status, &described["openapi"]), (200, &json!("3.1.0")));
}
