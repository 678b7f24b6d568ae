//! Sources that warm up send what their day allows, spread over it, whatever happens to the relay.

use std::net::SocketAddr;

use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use crate::world::{World, message, mx_ip, mx_port};

const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.170";

fn config(port: u16) -> String {
    let mut text = String::new();
    for number in 1..=3 {
        text.push_str(&format!(
            "[[source]]\nname = \"ip-{number}\"\naddress = \"127.0.0.{}\"\nhelo = \"m{number}.institucion.example\"\n",
            10 + number
        ));
    }
    text.push_str(
        "[[warm_up]]\nname = \"two\"\ncaps = [2, 3, 4]\nslow_caps = [2, 3, 4]\ndays = 3\n\
         [[pool]]\nname = \"bulk\"\nsources = [\"ip-1\", \"ip-2\", \"ip-3\"]\nwarm_up = \"two\"\n",
    );
    text.push_str(&format!(
        "[delivery]\nport = {port}\nretry = [\"1s\"]\nallow_destinations = [\"127.0.1.0/24\"]\nexpire_after = \"12h\"\n"
    ));
    text
}

#[tokio::test]
async fn a_cap_of_a_day_is_spread_told_and_kept_over_kills() {
    let port = mx_port(170..171);
    let mx = MxHost::start(SocketAddr::new(mx_ip(170), port), Behaviour::default());
    let mut world = World::start(ZONE, port, &config(port)).await;
    let (good, said, _) = world.relay.run(&["check"]).await;
    assert!(good && said.contains("6 to any other destination"), "{said}");
    for number in 0..40 {
        let to = format!("r{number}@h.example");
        world.send("ana@institucion.example", &[&to], &message("x")).await;
    }
    // One from each, at once; the next in half a day.
    eventually("the first", async || (mx.count() == 3).then_some(())).await;
    let waiting = eventually("who waits is told so", async || {
        let events = world.relay.events();
        let waiting: Vec<_> =
            events.iter().filter(|event| event["type"] == "waiting").cloned().collect();
        (waiting.len() >= 30).then_some(waiting)
    })
    .await;
    let last = waiting.last().unwrap();
    assert_eq!(
        (&last["site"], last["expected"].is_string()),
        (&"mx.h.example".into(), true),
        "{last}"
    );
    let words = last["detail"].as_str().unwrap();
    assert!(words.contains("cap of the source is spread"), "{words}");
    // Forty at six and nine a day are not gone in the twelve hours that they live.
    let late = eventually("somebody hears of it", async || {
        let events = world.relay.events();
        events.iter().find(|event| event["decision"] == "late").cloned()
    })
    .await;
    assert!(late["detail"].as_str().unwrap().contains("expire_after"), "{late}");

    for _ in 0..3 {
        world = world.killed().await;
        let id = world.send("ana@institucion.example", &["once@h.example"], &message("x")).await;
        eventually("it waits", async || {
            let shown = world.relay.ask(&["queue", "show", &id]).await;
            (shown["deliveries"][0]["next_attempt"].as_str() > shown["accepted"].as_str())
                .then_some(())
        })
        .await;
    }
    let mut from: Vec<_> = mx.taken().iter().map(|taken| taken.from).collect();
    from.sort_unstable();
    from.dedup();
    assert_eq!((mx.count(), from.len()), (3, 3), "a kill gives nothing again");
    assert!(world.relay.stop().await);
}
