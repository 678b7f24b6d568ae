//! Webhooks: a server in Python that verifies, refuses and is away, while the relay is killed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::free_port;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;
use tokio::process::{Child, Command};

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.182";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A folder with the server and with what the documentation shows.
fn server_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/events.md")).unwrap();
    let shown = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(folder.path().join("verify.py"), shown).unwrap();
    let server = root.join("tests/e2e/webhook_server.py");
    std::fs::copy(server, folder.path().join("server.py")).unwrap();
    std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
    folder
}

fn serve(folder: &Path, port: u16) -> Child {
    Command::new("python3")
        .arg(folder.join("server.py"))
        .arg(port.to_string())
        .arg(folder.join("taken"))
        .arg(SECRET)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Ids of what the server took, in order.
fn taken(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("taken")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let rows = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["id"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()).collect()
}

async fn all_ids(world: &World) -> Vec<String> {
    let events =
        world.relay.ask(&["events", "--type", "accepted,delivered", "--limit", "1000"]).await;
    events.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// What came, each once, in the order in which it first came.
fn firsts(ids: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.iter().filter(|id| seen.insert((*id).clone())).cloned().collect()
}

fn configuration(folder: &Path, port: u16, mx: u16) -> String {
    let secret: PathBuf = folder.join("secret");
    format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"http://127.0.0.1:{port}/tambo?key=x\"\nsecret_file = \"{}\"\n\
         types = [\"accepted\", \"delivered\"]\nbatch = 7\nwait = \"100ms\"\n[delivery]\n{}",
        secret.display(),
        delivery(mx)
    )
}

#[tokio::test]
async fn each_event_is_taken_at_least_once_in_order_whatever_happens() {
    let mx_at = mx_port(182..183);
    let _mx = MxHost::start(std::net::SocketAddr::new(mx_ip(182), mx_at), Behaviour::default());
    let folder = server_folder();
    let path = folder.path();
    let port = free_port(&["127.0.0.1".parse().unwrap()]);
    let mut world = World::start(ZONE, mx_at, &configuration(path, port, mx_at)).await;
    let send = async |world: &World, count: usize| {
        for number in 0..count {
            world.send(SENDER, &[&format!("u{number}@h.example")], &message("x")).await;
        }
    };
    // The server is away, and comes.
    send(&world, 10).await;
    eventually("it is told that the server is away", async || {
        let rows = world.relay.ask(&["webhooks", "list"]).await;
        (rows[0]["state"] == "failing" && rows[0]["last_error"].is_string()).then_some(())
    })
    .await;
    let server = serve(path, port);
    eventually("the first are taken", async || (taken(path).len() >= 7).then_some(())).await;
    for _ in 0..3 {
        send(&world, 5).await;
        world = world.killed().await;
    }
    send(&world, 5).await;
    eventually("all is taken", async || {
        let all = all_ids(&world).await;
        let known: HashSet<String> = taken(path).into_iter().collect();
        (all.len() >= 60 && all.iter().all(|id| known.contains(id))).then_some(())
    })
    .await;
    let all = all_ids(&world).await;
    assert_eq!(firsts(&taken(path)), all, "in order, and nothing else");

    let before = taken(path).len();
    let done = world.relay.ask(&["webhooks", "replay", "crm", "--from", &all[3]]).await;
    assert_eq!(done["place"], all[3]);
    eventually("it is sent again", async || {
        (taken(path).len() >= before + all.len() - 4).then_some(())
    })
    .await;
    assert_eq!(firsts(&taken(path)[before..]), all[4..]);
    let (done, _, why) = world.relay.run(&["webhooks", "replay", "other", "--since", "1h"]).await;
    assert!(!done && why.contains("there is no webhook"), "{why}");
    drop(server);
}
