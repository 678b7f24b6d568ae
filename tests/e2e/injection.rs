//! Mail handed in over the API: parts and templates as a server gets them and Python reads them, times to send,
//! names of requests, and ten thousand messages across a kill.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::api::curl;
use tests::dkim::verify;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;
use tokio::process::Command;
use tokio::time::Instant;

use super::dkim::Key;
use super::world::{World, delivery, mx_ip, mx_port};

const SENDER: &str = "boletin@institucion.example";
const ACCOUNT: &str = "[[account]]\nname = \"boletin\"\nnetworks = [\"192.0.2.7/32\"]\nsenders = [\"*@institucion.example\"]\nallow_headers = true\n\
    [account.limits]\nrecipients_per_day = 30000\n";

/// A relay with an account that sends, a server on 127.0.1.`number` for `a.example`, and a token.
async fn sending(number: u8, more: &str) -> (World, MxHost, String) {
    let port = mx_port(number..number + 1);
    let mx = MxHost::start(SocketAddr::new(mx_ip(number), port), Behaviour::default());
    let zone = format!(
        "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.{number}\n\
         institucion.example MX 10 mx.a.example"
    );
    let more = format!("{ACCOUNT}{more}\n[delivery]\n{}", delivery(port));
    let world = World::start(&zone, port, &more).await;
    let words = ["token", "create", "--name", "boletin", "--scope", "send", "--account", "boletin"];
    let made = world.relay.ask(&words).await;
    let token = made["token"].as_str().unwrap().to_owned();
    (world, mx, token)
}

async fn post(world: &World, token: &str, letter: &Value) -> (u16, Value) {
    curl(world.relay.address("admin"), Some(token), "POST", "/api/v1/messages", Some(letter)).await
}

/// What Python's email package reads of a message.
async fn read_by_python(message: &[u8]) -> Value {
    const READER: &str = "
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
body = lambda kind: (b := m.get_body((kind,))) and b.get_content()
print(json.dumps({
    'defects': [str(d) for p in m.walk() for d in p.defects],
    'headers': {k.lower(): str(v) for k, v in m.items()},
    'from': [[a.display_name, a.addr_spec] for a in m['from'].addresses],
    'to': [[a.display_name, a.addr_spec] for a in m['to'].addresses],
    'plain': body('plain'), 'html': body('html'),
    'types': [p.get_content_type() for p in m.walk()],
    'files': [[p.get_filename(), p.get_content_type(), p.get_payload(decode=True).hex()] for p in m.iter_attachments()],
}))";
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, message).await.unwrap();
    drop(stdin);
    let done = python.wait_with_output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(message));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[tokio::test]
async fn parts_arrive_as_python_reads_them() {
    let (world, mx, token) = sending(220, "").await;
    let letter = json!({
        "from": {"address": SENDER, "name": "Boletín, Núm. 7"},
        "to": ["Ana Ríos <ana@a.example>", {"address": "luis@a.example", "name": "Luis"}],
        "cc": ["mesa@a.example"], "reply_to": "mesa@institucion.example",
        "subject": "Año nuevo: convocatoria", "text": "Hola:\n.punto\nadiós\n",
        "html": "<p>Hola <img src=\"cid:logo\"></p>",
        "headers": {"List-Unsubscribe": "<https://institucion.example/baja>"},
        "attachments": [
            {"name": "acta año.pdf", "content_type": "application/pdf", "content": "JVBERi0="},
            {"name": "logo.png", "content_type": "image/png", "content": "iVBORw==", "cid": "logo"},
        ],
        "tags": ["acto"], "priority": 3,
    });
    let (status, sent) = post(&world, &token, &letter).await;
    assert_eq!((status, &sent["recipients"]), (202, &json!(3)), "{sent}");
    eventually("it arrives", async || (mx.count() >= 1).then_some(())).await;
    let mails = mx.taken();
    let mut to: Vec<&str> =
        mails.iter().flat_map(|it| it.recipients.iter().map(String::as_str)).collect();
    to.sort_unstable();
    assert_eq!(to, ["ana@a.example", "luis@a.example", "mesa@a.example"]);
    assert_eq!(mails[0].sender, SENDER);
    let read = read_by_python(&mails[0].data).await;
    assert_eq!(read["defects"], json!([]), "{read}");
    assert_eq!(read["from"], json!([["Boletín, Núm. 7", SENDER]]));
    assert_eq!(read["to"], json!([["Ana Ríos", "ana@a.example"], ["Luis", "luis@a.example"]]));
    assert_eq!(read["headers"]["cc"], "mesa@a.example");
    assert_eq!(read["headers"]["subject"], "Año nuevo: convocatoria");
    assert_eq!(read["headers"]["list-unsubscribe"], "<https://institucion.example/baja>");
    assert_eq!(read["plain"].as_str().unwrap().replace("\r\n", "\n"), "Hola:\n.punto\nadiós\n");
    assert!(read["html"].as_str().unwrap().contains("cid:logo"));
    let files = read["files"].as_array().unwrap();
    assert!(files.contains(&json!(["acta año.pdf", "application/pdf", "255044462d"])), "{read}");
    let id = sent["ids"][0].as_str().unwrap();
    let message_id = format!("<{id}@{}>", super::world::HOSTNAME);
    assert_eq!(read["headers"]["message-id"], message_id);
    assert!(read["headers"]["received"].as_str().unwrap().contains("(api) with HTTP"));
    let trace = world.relay.ask(&["trace", id]).await;
    assert_eq!((&trace[0]["listener"], &trace[0]["tags"]), (&json!("api"), &json!(["acto"])));
    what_is_wrong_is_told(&world, &token).await;
}

/// All mistakes at once, and what the account may not do.
async fn what_is_wrong_is_told(world: &World, token: &str) {
    let bad = json!({"from": "x", "to": [], "headers": {"From": "y"}, "text": "z"});
    let (status, problem) = post(world, token, &bad).await;
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["pointer"].as_str().unwrap())
        .collect();
    assert_eq!((status, pointers), (400, vec!["/from", "/to", "/headers/From"]), "{problem}");
    let foreign = json!({"from": "a@otra.example", "to": ["b@a.example"], "text": "z"});
    let (status, problem) = post(world, token, &foreign).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/from")), "{problem}");
    let raw = "From: <a@otra.example>\r\nSubject: x\r\n\r\ny\r\n";
    let foreign = json!({"from": SENDER, "to": ["b@a.example"], "raw": raw});
    let (status, problem) = post(world, token, &foreign).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/raw")), "{problem}");
    let unknown = json!({"from": SENDER, "to": ["b@a.example"], "text": "z", "colour": "red"});
    let (status, problem) = post(world, token, &unknown).await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("colour"), "{problem}");
    let reader = world.relay.ask(&["token", "create", "--name", "web", "--scope", "read"]).await;
    let letter = json!({"from": SENDER, "to": ["b@a.example"], "text": "z"});
    let (status, _) = post(world, reader["token"].as_str().unwrap(), &letter).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn each_recipient_gets_a_signed_message_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(folder.path(), "institucion.example", "s2026", "ed25519");
    let (world, mx, token) = sending(221, &key.section).await;
    let to: Vec<Value> = (0..30)
        .map(|n| json!({"address": format!("u{n}@a.example"), "name": format!("Señora {n}"),
                        "substitutions": {"nota": n, "cursos": ["Arte", "<Mate>"], "clave": format!("k{n}")}}))
        .collect();
    let letter = json!({
        "from": SENDER, "to": to, "subject": "{{ name }}: {{ nota }}",
        "text": "Hola {{ name }}{{ nada }}\n{% for c in cursos %}- {{ c }}\n{% endfor %}",
        "html": "<ul>{% for c in cursos %}<li>{{ c }}</li>{% endfor %}</ul>",
        "headers": {"List-Unsubscribe": "<https://institucion.example/baja?k={{ clave }}>"},
    });
    let (status, sent) = post(&world, &token, &letter).await;
    assert_eq!(status, 202, "{sent}");
    assert_eq!(
        sent["undefined"],
        json!([{"variable": "nada", "recipients": 30, "first": "u0@a.example"}])
    );
    let ids = sent["ids"].as_array().unwrap();
    assert_eq!(ids.len(), 30);
    eventually("all arrive", async || (mx.count() == 30).then_some(())).await;
    let mails = mx.taken();
    let messages: Vec<Vec<u8>> = mails.iter().map(|it| it.data.clone()).collect();
    for verdicts in verify(&messages, &[key.record()]) {
        assert!(verdicts.len() == 1 && verdicts[0].pass, "{verdicts:?}");
    }
    for it in &mails {
        let number = it.recipients[0].trim_start_matches('u').split('@').next().unwrap();
        let read = read_by_python(&it.data).await;
        assert_eq!(read["to"], json!([[format!("Señora {number}"), it.recipients[0]]]));
        assert_eq!(read["headers"]["subject"], format!("Señora {number}: {number}"));
        assert_eq!(
            read["headers"]["list-unsubscribe"],
            format!("<https://institucion.example/baja?k=k{number}>")
        );
        let plain = read["plain"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(plain.trim_end(), format!("Hola Señora {number}\n- Arte\n- <Mate>"));
        assert!(read["html"].as_str().unwrap().contains("<li>&lt;Mate&gt;</li>"));
        let id = ids[number.parse::<usize>().unwrap()].as_str().unwrap();
        let own = format!("<{id}@{}>", super::world::HOSTNAME);
        assert_eq!(read["headers"]["message-id"], own, "ids stand in the order of `to`");
    }
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn what_is_sent_later_leaves_to_the_second_also_after_a_restart() {
    let (world, mx, token) = sending(222, "").await;
    let admin = world.relay.address("admin");
    let begun = Instant::now();
    let now =
        Command::new("date").args(["-u", "-d", "+6 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().await;
    let send_at = String::from_utf8(now.unwrap().stdout).unwrap().trim().to_owned();
    let to = json!([{"address": "a@a.example", "substitutions": {}}, "b@a.example"]);
    let letter = json!({"from": SENDER, "to": to, "text": "x", "send_at": send_at});
    let (status, sent) = post(&world, &token, &letter).await;
    assert_eq!(status, 202, "{sent}");
    let at = send_at.replace('Z', ".000Z");
    assert_eq!(sent["send_at"], at);
    let reader = world.relay.ask(&["token", "create", "--name", "web", "--scope", "read"]).await;
    let reader = reader["token"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/messages/{}", sent["ids"][0].as_str().unwrap());
    let (_, story) = curl(admin, Some(&reader), "GET", &path, None).await;
    assert_eq!((&story["send_at"], &story["state"]), (&json!(at), &json!("waiting")), "{story}");
    let waits = story["waiting"][0]["waits_for"].as_str().unwrap();
    assert_eq!(waits, format!("its time to be sent, {at}"));
    let world = world.killed().await;
    assert_eq!(mx.count(), 0, "after {:?}", begun.elapsed());
    eventually("both arrive", async || (mx.count() == 2).then_some(())).await;
    for user in ["a", "b"] {
        let delivered = eventually("it is told", async || {
            let trace = world.relay.ask(&["trace", &format!("{user}@a.example")]).await;
            trace.as_array()?.iter().find(|it| it["type"] == "delivered").cloned()
        })
        .await;
        let seconds = delivered["seconds"].as_f64().unwrap();
        assert!((0.0..1.0).contains(&seconds), "it left {seconds} s after its time");
    }
}

#[tokio::test]
async fn a_hold_ends_at_its_time() {
    let (world, mx, token) = sending(223, "").await;
    let letter = json!({"from": SENDER, "to": ["a@a.example"], "text": "x", "send_at": "2026-12-01T00:00:00Z"});
    let far =
        Command::new("date").args(["-u", "-d", "+1 hour", "+%Y-%m-%dT%H:%M:%SZ"]).output().await;
    let mut letter = letter;
    letter["send_at"] = String::from_utf8(far.unwrap().stdout).unwrap().trim().into();
    let (_, sent) = post(&world, &token, &letter).await;
    let id = sent["ids"][0].as_str().unwrap();
    world.relay.ask(&["queue", "hold", id, "--for", "2s", "--why", "un momento"]).await;
    let rows = world.relay.ask(&["queue", "list"]).await;
    assert_eq!((&rows[0]["state"], rows[0]["held_until"].is_string()), (&json!("held"), true));
    eventually("it goes by itself", async || (mx.count() == 1).then_some(())).await;
    let trace = world.relay.ask(&["trace", id]).await;
    let types: Vec<&str> =
        trace.as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["accepted", "held", "released", "delivered"]);
}

#[tokio::test]
async fn a_named_request_is_answered_once() {
    let (world, mx, token) = sending(224, "").await;
    let letter =
        json!({"from": SENDER, "to": ["a@a.example"], "text": "x", "idempotency_key": "acto-7"});
    let (status, first) = post(&world, &token, &letter).await;
    assert_eq!((status, &first["replayed"]), (202, &json!(false)));
    let world = world.killed().await;
    let (status, second) = post(&world, &token, &letter).await;
    assert_eq!((status, &second["ids"], &second["replayed"]), (202, &first["ids"], &json!(true)));
    let other =
        json!({"from": SENDER, "to": ["b@a.example"], "text": "x", "idempotency_key": "acto-7"});
    let (status, problem) = post(&world, &token, &other).await;
    assert_eq!(status, 409, "{problem}");
    eventually("it arrives", async || (mx.count() >= 1).then_some(())).await;
    let trace = world.relay.ask(&["trace", "a@a.example"]).await;
    let accepted = trace.as_array().unwrap().iter().filter(|it| it["type"] == "accepted").count();
    assert_eq!(accepted, 1, "nothing was accepted twice");
}

/// Sends one message for each line of a file of names, over eight connections; asks again what had no answer, for as
/// long as it takes. Prints how many were answered, and how often it asked again.
const SENDER_IN_PYTHON: &str = r"
import http.client, json, sys, threading, time
place, token, total = sys.argv[1], sys.argv[2], int(sys.argv[3])
numbers, lock, again, ids, failures = iter(range(total)), threading.Lock(), [0], {}, []
def address():
    host, port = open(place).read().split(':')
    return host, int(port)
def work():
    link = None
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        body = json.dumps({'from': 'boletin@institucion.example', 'to': ['u%d@a.example' % number], 'subject': str(number), 'text': 'x'})
        headers = {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json', 'Idempotency-Key': 'k%d' % number}
        while True:
            try:
                link = link or http.client.HTTPConnection(*address(), timeout=10)
                link.request('POST', '/api/v1/messages', body, headers)
                answer = link.getresponse()
                text = answer.read()
                if answer.status == 202:
                    with lock:
                        ids[number] = json.loads(text)['ids'][0]
                    break
                if answer.status not in (409, 429, 503):
                    raise ValueError('%d %s' % (answer.status, text))
            except (OSError, http.client.HTTPException):
                link = None
            with lock:
                again[0] += 1
            time.sleep(0.1)
def told(error):
    failures.append(repr(error.exc_value))
threading.excepthook = told
workers = [threading.Thread(target=work) for _ in range(8)]
[it.start() for it in workers]
[it.join() for it in workers]
print(json.dumps({'ids': len(set(ids.values())), 'again': again[0], 'failures': failures}))
";

#[tokio::test]
async fn ten_thousand_messages_are_accounted_for_across_a_kill() {
    const TOTAL: usize = 10_000;
    let (mut world, mx, token) = sending(225, "").await;
    let place = world.folder.path().join("admin");
    let publish = |address: SocketAddr| {
        // Renamed, for the sender reads it at any moment and must not see a half of it.
        let written = place.with_extension("new");
        std::fs::write(&written, address.to_string()).unwrap();
        std::fs::rename(&written, &place).unwrap();
    };
    publish(world.relay.address("admin"));
    let begun = Instant::now();
    let sender = Command::new("python3")
        .args(["-c", SENDER_IN_PYTHON])
        .arg(&place)
        .args([&token, &TOTAL.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for share in [TOTAL / 5, TOTAL / 2] {
        eventually("a part is there", async || (mx.count() > share).then_some(())).await;
        world = world.killed().await;
        publish(world.relay.address("admin"));
    }
    let done = tokio::time::timeout(Duration::from_mins(5), sender.wait_with_output()).await;
    let said: Value = serde_json::from_slice(&done.unwrap().unwrap().stdout).unwrap();
    assert_eq!(said["ids"], TOTAL, "{said}");
    let all = |taken: &[tests::mx::Taken]| -> BTreeSet<String> {
        taken.iter().flat_map(|it| it.recipients.clone()).collect()
    };
    eventually("everybody has it", async || (all(&mx.taken()).len() == TOTAL).then_some(())).await;
    assert!(world.relay.stop().await);
    let events = std::fs::read_dir(world.folder.path().join("events")).unwrap();
    let mut accepted = Vec::new();
    for file in events.flatten() {
        for line in std::fs::read_to_string(file.path()).unwrap().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            if event["type"] == "accepted" {
                accepted.push(event["recipient"].as_str().unwrap().to_owned());
            }
        }
    }
    let once: BTreeSet<&String> = accepted.iter().collect();
    assert_eq!((accepted.len(), once.len()), (TOTAL, TOTAL), "each was accepted once");
    println!(
        "{TOTAL} requests over 8 connections, the relay killed twice: {:.1} s; {} asked again, {} deliveries twice",
        begun.elapsed().as_secs_f64(),
        said["again"],
        mx.taken().len() - TOTAL
    );
}

/// KiB of memory that a process holds.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_recipients_of_one_request() {
    const TOTAL: usize = 10_000;
    let (world, mx, token) = sending(226, "").await;
    let to: Vec<Value> = (0..TOTAL)
        .map(|n| json!({"address": format!("u{n}@a.example"),
                        "substitutions": {"nombre": format!("Persona {n}"), "clave": "x".repeat(100)}}))
        .collect();
    let html = format!("<p>Hola {{{{ nombre }}}}</p><!-- {} -->", "relleno ".repeat(4_000));
    let letter = json!({"from": SENDER, "to": to, "subject": "{{ nombre }}", "html": html});
    let path = world.folder.path().join("letter.json");
    std::fs::write(&path, serde_json::to_vec(&letter).unwrap()).unwrap();
    let before = resident(world.relay.pid().as_raw());
    let begun = Instant::now();
    let done = Command::new("curl")
        .args(["--silent", "--max-time", "120", "--header", "Content-Type: application/json"])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--data-binary"])
        .arg(format!("@{}", path.display()))
        .arg(format!("http://{}/api/v1/messages", world.relay.address("admin")))
        .output()
        .await
        .unwrap();
    let took = begun.elapsed();
    let sent: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(sent["ids"].as_array().unwrap().len(), TOTAL, "{sent}");
    let after = resident(world.relay.pid().as_raw());
    eventually("all arrive", async || (mx.count() == TOTAL).then_some(())).await;
    println!(
        "10,000 recipients, a template of {} KiB, a request of {} KiB: 202 after {:.2} s, {} MiB more memory at most; \
         all delivered after {:.1} s",
        html.len() / 1024,
        std::fs::metadata(&path).unwrap().len() / 1024,
        took.as_secs_f64(),
        (after - before) / 1024,
        begun.elapsed().as_secs_f64()
    );
    let spool = world.relay.metric("tambo_queue_messages").await;
    assert!(spool < 100, "{spool} messages are left");
}
