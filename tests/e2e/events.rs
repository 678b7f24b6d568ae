//! What happened: found by whatever names it, over the API and at the command line.

use serde_json::Value;
use tests::api::curl;
use tests::mx::{Behaviour, MxHost};
use tests::program;
use tests::relay::eventually;

use super::world::{World, delivery, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.181";

fn tagged(subject: &str, tags: &str) -> Vec<u8> {
    format!("From: <{SENDER}>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@h>\r\nX-Tambo-Tag: {tags}\r\n\r\nHola.\r\n")
        .into_bytes()
}

/// A relay that has delivered four mails.
async fn delivered() -> (World, MxHost, Vec<String>) {
    let port = mx_port(181..182);
    let mx = MxHost::start(std::net::SocketAddr::new(mx_ip(181), port), Behaviour::default());
    let more = format!("[events]\nfile_size = \"1KiB\"\n[delivery]\n{}", delivery(port));
    let world = World::start(ZONE, port, &more).await;
    let mut ids = Vec::new();
    for (number, tags) in ["red", "red, blue", "blue", "green"].iter().enumerate() {
        let to = format!("u{number}@h.example");
        ids.push(world.send(SENDER, &[&to], &tagged(&format!("m{number}"), tags)).await);
    }
    eventually("all are delivered", async || {
        let found = world.relay.ask(&["events", "--type", "delivered"]).await;
        (found.as_array().unwrap().len() == 4).then_some(())
    })
    .await;
    (world, mx, ids)
}

fn of<'a>(rows: &'a Value, field: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_and_messages_are_found_by_whatever_names_them() {
    let (world, _mx, ids) = delivered().await;
    let made = world.relay.ask(&["token", "create", "--name", "web", "--scope", "read"]).await;
    let token = made["token"].as_str().unwrap();
    let admin = world.relay.address("admin");
    let get = async |path: &str| curl(admin, Some(token), "GET", path, None).await;

    let (status, page) = get("/api/v1/events?recipient=U1@h.example&sort=id").await;
    assert_eq!((status, of(&page["rows"], "type")), (200, vec!["accepted", "delivered"]));
    let (_, page) = get("/api/v1/events?tag=blue&type=delivered&limit=1").await;
    assert_eq!(of(&page["rows"], "recipient"), ["u2@h.example"], "{page}");
    let next = page["next"].as_str().unwrap();
    let (_, page) =
        get(&format!("/api/v1/events?tag=blue&type=delivered&limit=1&from={next}")).await;
    assert_eq!(of(&page["rows"], "recipient"), ["u1@h.example"], "{page}");
    let (_, page) = get("/api/v1/events?until=1h").await;
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["next"]), (0, &Value::Null));
    for (query, why) in [
        ("type=lost", "\"lost\" is no type"),
        ("since=yesterday", "since is no time"),
        ("from=x", "from is not"),
        ("limit=0", "limit is a number"),
        ("sort=time", "sort is `id`"),
        ("colour=red", "unknown field"),
    ] {
        let (status, problem) = get(&format!("/api/v1/events?{query}")).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(why), "{query}: {problem}");
    }

    let (_, page) = get("/api/v1/messages?tag=red&state=delivered").await;
    assert_eq!(of(&page["rows"], "message"), [&*ids[1], &*ids[0]], "{page}");
    let row = &page["rows"][0];
    assert_eq!((&row["state"], &row["recipients"]["delivered"]), (&"ended".into(), &1.into()));
    assert_eq!((&row["message_id"], &row["tags"][1]), (&"m1@h".into(), &"blue".into()));
    assert_eq!(get("/api/v1/messages?state=waiting").await.1["rows"], serde_json::json!([]));
    let found = world.relay.ask(&["messages", "--sender", SENDER, "--site", "h.example"]).await;
    assert!(of(&found, "message").len() <= 4);
    let found = world.relay.ask(&["messages", "--message-id", "<m3@h>"]).await;
    assert_eq!(of(&found, "recipient"), ["u3@h.example"]);
}

#[tokio::test]
async fn files_that_have_ended_are_compressed_and_hold_every_event() {
    let (world, _mx, _ids) = delivered().await;
    let folder = world.folder.path().join("events");
    let compressed = || {
        let names = std::fs::read_dir(&folder).unwrap().flatten();
        names.filter(|name| name.path().extension().is_some_and(|it| it == "zst")).count()
    };
    eventually("a file has ended", async || {
        world.send(SENDER, &["more@h.example"], &tagged("more", "red")).await;
        (compressed() > 0).then_some(())
    })
    .await;
    let events = world.relay.ask(&["events", "--limit", "1000"]).await;
    let expected: Vec<String> = of(&events, "id").iter().map(|id| (*id).to_owned()).collect();
    let world = world.restart().await;
    let script = "zstdcat -f \"$0\"/*.jsonl.zst; cat \"$0\"/*.jsonl";
    let read = std::process::Command::new("sh").args(["-c", script]).arg(&folder).output().unwrap();
    let text = String::from_utf8(read.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    for id in &expected {
        assert_eq!(ids.iter().filter(|found| *found == id).count(), 1, "{id}");
    }
    drop(world);
}

#[tokio::test]
async fn a_tail_goes_on_where_it_was_when_the_relay_is_restarted() {
    let (world, _mx, _ids) = delivered().await;
    let file = world.folder.path().join("tail.jsonl");
    let words = ["tail", "--json", "--type", "accepted", "--since", "1h"];
    let mut tail = tokio::process::Command::new(program("tambo"))
        .args(words)
        .arg("--config")
        .arg(&world.config)
        .stdout(std::fs::File::create(&file).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let seen = async |count: usize| {
        eventually("they are seen", async || {
            let text = std::fs::read_to_string(&file).unwrap();
            let ended = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<Value> =
                ended.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    };
    let lines = seen(4).await;
    assert!(lines.iter().all(|line| line["type"] == "accepted"));
    let world = world.killed().await;
    world.send(SENDER, &["after@h.example"], &tagged("after", "red")).await;
    let lines = seen(5).await;
    let mut ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(lines[4]["recipient"], "after@h.example");
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), count), (5, 5), "each is seen once");
    tail.kill().await.unwrap();
}

#[tokio::test]
async fn a_stream_has_what_is_asked_for_and_is_resumed_by_its_last_id() {
    let (world, _mx, _ids) = delivered().await;
    let made = world.relay.ask(&["token", "create", "--name", "web", "--scope", "read"]).await;
    let token = made["token"].as_str().unwrap().to_owned();
    let stream = async |query: &str, last: Option<&str>, seconds: &str| {
        let url = format!("http://{}/api/v1/events/stream?{query}", world.relay.address("admin"));
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--no-buffer", "--max-time", seconds, &url]);
        curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        if let Some(last) = last {
            curl.args(["--header", &format!("Last-Event-ID: {last}")]);
        }
        String::from_utf8(curl.output().await.unwrap().stdout).unwrap()
    };
    let events = |text: &str| -> Vec<Value> {
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    };
    let all = events(&stream("since=1h&type=delivered&domain=h.example", None, "3").await);
    assert_eq!(all.len(), 4, "{all:?}");
    let last = all[1]["id"].as_str().unwrap();
    let rest = events(&stream("type=delivered", Some(last), "3").await);
    assert_eq!(rest, all[2..]);
    let now = stream("type=delivered", None, "3").await;
    assert!(now.starts_with("id: ") && events(&now).is_empty(), "{now}");
    let text = stream("type=lost", None, "3").await;
    assert!(text.contains("is no type"), "{text}");
}
