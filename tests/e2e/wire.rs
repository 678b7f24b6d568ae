//! `tambo wire`: conversations are seen as they are held, and nothing that is secret.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::client::Client;
use tests::mx::{Behaviour, MxHost};
use tests::postfix::Postfix;
use tests::program;
use tests::relay::eventually;
use tokio::process::{Child, Command};

use super::world::{HOSTNAME, World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "w.example MX 10 mx.w.example\nmx.w.example A 127.0.1.221\n\
                    v.example MX 10 mx.v.example\nmx.v.example A 127.0.1.222";

/// One who watches, and what it has seen.
struct Watcher {
    child: Child,
    file: std::path::PathBuf,
}

impl Watcher {
    fn start(world: &World, name: &str, words: &[&str]) -> Self {
        let file = world.folder.path().join(name);
        let child = Command::new(program("tambo"))
            .args([&["wire", "--json"], words].concat())
            .arg("--config")
            .arg(&world.config)
            .stdout(std::fs::File::create(&file).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, file }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let ended = text.rfind('\n').map_or("", |end| &text[..end]);
        ended.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `sent RCPT TO:<…>` of one direction.
    fn said(&self, direction: &str) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| line["direction"] == direction);
        lines
            .map(|it| format!("{} {}", it["kind"].as_str().unwrap(), it["text"].as_str().unwrap()))
            .collect()
    }
}

fn has(said: &[String], start: &str) -> bool {
    said.iter().any(|line| line.starts_with(start))
}

/// A client logs in, with mistakes, and sends.
async fn submit(world: &World) {
    let to = world.relay.address("submission");
    let mut client = Client::connect(to).await.unwrap();
    client.command("EHLO client.example", 250).await.unwrap();
    client.start_tls(&world.certificate.connector(), HOSTNAME).await.unwrap();
    client.command("EHLO client.example", 250).await.unwrap();
    client.command("AUTH LOGIN", 334).await.unwrap();
    client.command(&STANDARD.encode("script"), 334).await.unwrap();
    client.command(&STANDARD.encode("no-es-esto"), 535).await.unwrap();
    // What nobody asked for.
    client.command(&STANDARD.encode("secreto"), 500).await.unwrap();
    client.login("script", "secreto").await.unwrap();
    client.deliver(SENDER, &["eva@v.example"], &message("asunto-secreto")).await.unwrap();
    client.quit().await.unwrap();
}

#[tokio::test]
async fn both_sides_are_seen_and_neither_passwords_nor_mail() {
    let port = mx_port(221..223);
    let postfix = Postfix::destination(SocketAddr::new(mx_ip(221), port), "w.example");
    // So that connections begin and end.
    let one_at_a_time = Behaviour { close_after: Some(1), ..Behaviour::default() };
    let mx = MxHost::start(SocketAddr::new(mx_ip(222), port), one_at_a_time);
    let more = format!("[delivery]\n{}", delivery(port));
    let world = World::start(ZONE, port, &more).await;
    let mut all = Watcher::start(&world, "all.jsonl", &["--for", "1m"]);
    let only = Watcher::start(&world, "only.jsonl", &["--domain", "w.example"]);
    let outbound = Watcher::start(&world, "out.jsonl", &["--site", "mx.v.example"]);
    // Until all three watch: each mail is a chance.
    let begun = async || {
        world.send(SENDER, &["ana@w.example"], &message("asunto-secreto")).await;
        world.send(SENDER, &["eva@v.example"], &message("asunto-secreto")).await;
        let seen = has(&all.said("out"), "sent EHLO")
            && has(&only.said("out"), "sent RCPT TO:<ana@w.example>")
            && has(&only.said("in"), "heard RCPT TO:<ana@w.example>")
            && has(&outbound.said("out"), "sent RCPT TO:<eva@v.example>");
        seen.then_some(())
    };
    eventually("all three watch", begun).await;

    submit(&world).await;
    eventually("the end of it is seen", async || {
        let lines = all.lines();
        let of_it = lines.iter().any(|it| it["kind"] == "ended" && it["listener"] == "submission");
        of_it.then_some(())
    })
    .await;

    let (inside, outside) = (all.said("in"), all.said("out"));
    for wanted in [
        "sent 220 relay.institucion.example",
        "heard EHLO client.example",
        "heard STARTTLS",
        "done TLS: TLSv1",
        "heard AUTH LOGIN",
        "sent 334 ",
        "heard (a name or a password)",
        "sent 535",
        "heard (no command, 12 octets)",
        "sent 235",
        "heard MAIL FROM:<ana@institucion.example>",
        "heard DATA",
        "heard (mail)",
        "sent 250 2.0.0 queued as",
        "heard QUIT",
    ] {
        assert!(has(&inside, wanted), "{wanted} in {inside:#?}");
    }
    for wanted in [
        "done mx.v.example is 127.0.1.222",
        "done connecting to 127.0.1.222",
        "heard 220",
        "sent EHLO",
    ] {
        assert!(has(&outside, wanted), "{wanted} in {outside:#?}");
    }
    let shown = all.text() + &only.text();
    let hidden = [STANDARD.encode("secreto"), STANDARD.encode("\0script\0secreto")];
    for hidden in ["Hola", "asunto-secreto", "c2NyaXB0", &hidden[0], &hidden[1]] {
        assert!(!shown.contains(hidden), "{hidden}");
    }
    assert!(!only.text().contains("v.example"), "{}", only.text());
    assert!(outbound.said("in").is_empty() && !outbound.text().contains("w.example"));
    assert!(!postfix.inbox().is_empty() && mx.count() > 0);
    all.child.kill().await.unwrap();
}

#[tokio::test]
async fn it_ends_by_itself_and_refuses_what_makes_no_sense() {
    let port = mx_port(223..224);
    let world = World::start("x.example MX 10 mx.x.example", port, "").await;
    let (done, text, why) = world.relay.run(&["wire", "--for", "1s"]).await;
    assert!(done && text.contains("the time is over"), "{text}{why}");
    for (words, wanted) in [
        (["--for", "2h"], "an hour at most"),
        (["--direction", "up"], "`in` or `out`"),
        (["--connections", "65"], "from 1 to 64"),
    ] {
        let (done, _, why) = world.relay.run(&[&["wire"][..], &words].concat()).await;
        assert!(!done && why.contains(wanted), "{why}");
    }
    let both = ["wire", "--site", "google", "--listener", "relay"];
    let (done, _, why) = world.relay.run(&both).await;
    assert!(!done && why.contains("nothing is both"), "{why}");
}
