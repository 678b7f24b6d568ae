//! Mail of a kind is held as it comes, and moved to another pool.

use std::net::SocketAddr;

use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.186\ni.example MX 10 mx.i.example\nmx.i.example A 127.0.1.187";

fn tagged(tag: &str) -> Vec<u8> {
    format!("From: <{SENDER}>\r\nSubject: {tag}\r\nX-Tambo-Tag: {tag}\r\n\r\nHola.\r\n")
        .into_bytes()
}

#[tokio::test]
async fn what_comes_is_held_over_a_crash_until_it_is_released() {
    let port = mx_port(186..188);
    let mx = MxHost::start(SocketAddr::new(mx_ip(186), port), Behaviour::default());
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let other = MxHost::start(SocketAddr::new(mx_ip(187), port), grey);
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(ZONE, port, &more).await;
    let waits = world.send(SENDER, &["z@i.example"], &tagged("red")).await;
    eventually("one waits", async || (other.refusals().0 == 1).then_some(())).await;

    let hold = ["queue", "hold", "--standing", "--tag", "red", "--why", "wrong list"];
    let dry = [&hold[..], &["--dry-run"]].concat();
    eventually("a dry run counts", async || {
        let counted = world.relay.ask(&dry).await;
        (counted["acted"]["matched"] == 1 && counted["hold"].is_null()).then_some(())
    })
    .await;
    assert_eq!(world.relay.ask(&["queue", "holds"]).await.as_array().unwrap().len(), 0);
    for (end, expected) in [
        (["--until", "2026-01-01T00:00:00Z"], "the hold would end before it begins"),
        (["--until", "mañana"], "`until` is a time as in"),
        (["--for", "long"], "--for long"),
    ] {
        let (done, _, why) = world.relay.run(&[&hold[..], &end].concat()).await;
        assert!(!done && why.contains(expected), "{why}");
    }
    assert_eq!(world.relay.ask(&["queue", "holds"]).await.as_array().unwrap().len(), 0);
    let made = world.relay.ask(&hold).await;
    assert_eq!((&made["acted"]["matched"], &made["acted"]["done"]), (&1.into(), &1.into()));
    let name = made["hold"]["id"].as_str().unwrap().to_owned();

    let red = world.send(SENDER, &["a@h.example", "b@i.example"], &tagged("red")).await;
    world.send(SENDER, &["c@h.example"], &tagged("blue")).await;
    eventually("what is not held arrives", async || (mx.count() == 1).then_some(())).await;
    let count = async |world: &World| {
        let rows = world.relay.ask(&["queue", "list", "--tag", "red"]).await;
        rows.as_array().unwrap().iter().filter(|row| row["standing"] == name.as_str()).count()
    };
    eventually("three are held", async || (count(&world).await == 3).then_some(())).await;
    eventually("the metric says so", async || {
        (world.relay.metric("tambo_queue_held").await == 3).then_some(())
    })
    .await;
    let (done, text, _) = world.relay.run(&["queue", "holds"]).await;
    assert!(done && text.contains("tag red") && text.contains("wrong list"), "{text}");

    let world = world.killed().await;
    let later = world.send(SENDER, &["d@h.example"], &tagged("red")).await;
    eventually("it holds after a crash", async || (count(&world).await == 4).then_some(())).await;
    let (done, why, _) = world.relay.run(&["queue", "release", &later]).await;
    assert!(!done && why.contains(&format!("--standing {name}")), "{why}");
    let (_, shown, _) = world.relay.run(&["queue", "show", &red]).await;
    assert!(shown.contains("wrong list") && shown.contains("by the standing hold"), "{shown}");

    let released = world.relay.ask(&["queue", "release", "--standing", &name]).await;
    assert_eq!((&released["done"], &released["refused_count"]), (&4.into(), &0.into()));
    eventually("all that can arrive", async || (mx.count() == 3).then_some(())).await;
    eventually("what waited is tried", async || (other.count() == 1).then_some(())).await;
    assert_eq!(other.taken()[0].recipients, ["z@i.example"]);
    assert_eq!(world.relay.ask(&["queue", "holds"]).await.as_array().unwrap().len(), 0);
    let story = world.relay.ask(&["trace", &waits]).await;
    let kinds: Vec<&str> =
        story.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["accepted", "deferred", "held", "released", "delivered"]);
    let (done, _, why) = world.relay.run(&["queue", "release", "--standing", &name]).await;
    assert!(!done && why.contains("no standing hold"), "{why}");
}

#[tokio::test]
async fn what_waits_is_moved_to_another_pool() {
    let port = mx_port(186..187);
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let mx = MxHost::start(SocketAddr::new(mx_ip(186), port), grey);
    let delivery = delivery(port).replace("[\"1s\"]", "[\"1h\"]");
    let more = format!(
        "[[source]]\nname = \"one\"\naddress = \"127.0.0.61\"\nhelo = \"one.institucion.example\"\nwarm = true\n\
         [[source]]\nname = \"two\"\naddress = \"127.0.0.62\"\nhelo = \"two.institucion.example\"\nwarm = true\n\
         [[pool]]\nname = \"p\"\nsources = [\"one\"]\n[[pool]]\nname = \"q\"\nsources = [\"two\"]\n\
         [delivery]\npool = \"p\"\n{delivery}"
    );
    let world = World::start(ZONE, port, &more).await;
    let id = world.send(SENDER, &["a@h.example"], &tagged("red")).await;
    eventually("it waits", async || (mx.refusals().0 == 1).then_some(())).await;
    let (done, _, why) = world.relay.run(&["queue", "move", "--to", "r", &id]).await;
    assert!(!done && why.contains("write one of: p, q"), "{why}");
    let dry = ["queue", "move", "--to", "q", "--pool", "p", "--site", "mx.h.example", "--dry-run"];
    eventually("a dry run counts", async || {
        (world.relay.ask(&dry).await["matched"] == 1).then_some(())
    })
    .await;
    let moved = world.relay.ask(&["queue", "move", "--to", "q", "--pool", "p"]).await;
    assert_eq!(moved["done"], 1);
    // It is known that this was so when the relay is killed.
    eventually("the other pool is refused once, too", async || {
        (world.relay.ask(&["queue", "list"]).await[0]["attempts"] == 2).then_some(())
    })
    .await;
    let world = world.killed().await;
    eventually("it can be tried again", async || {
        world.relay.run(&["queue", "retry", &id]).await.0.then_some(())
    })
    .await;
    eventually("it arrives", async || (mx.count() == 1).then_some(())).await;
    let story = world.relay.ask(&["trace", &id]).await;
    let story = story.as_array().unwrap();
    let told: Vec<(&str, &str, &str)> = story
        .iter()
        .map(|event| {
            let field = |key: &str| event[key].as_str().unwrap_or_default();
            (field("type"), field("pool"), field("source"))
        })
        .collect();
    let expected = [
        ("accepted", "", ""),
        ("deferred", "p", "one"),
        ("rerouted", "q", ""),
        ("deferred", "q", "two"),
        ("delivered", "q", "two"),
    ];
    assert_eq!(told, expected);
    assert!(story[2]["detail"].as_str().unwrap().contains("moved to pool q by"), "{story:?}");
}
