//! What an administrator does by hand.

use std::net::SocketAddr;

use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.80\ninstitucion.example MX 10 mx.institucion.example\nmx.institucion.example A 127.0.1.81";

#[tokio::test]
async fn hold_release_retry_and_bounce() {
    let port = mx_port(80..82);
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let mx = MxHost::start(SocketAddr::new(mx_ip(80), port), grey);
    let sender = MxHost::start(SocketAddr::new(mx_ip(81), port), Behaviour::default());
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(ZONE, port, &more).await;
    let relay = &world.relay;
    let mut ids = Vec::new();
    for user in ["a", "b", "c"] {
        ids.push(world.send(SENDER, &[&format!("{user}@h.example")], &message(user)).await);
    }
    eventually("all are deferred", async || {
        let rows = relay.ask(&["queue", "list"]).await;
        let rows = rows.as_array().unwrap();
        (rows.len() == 3 && rows.iter().all(|row| row["state"] == "deferred")).then_some(())
    })
    .await;
    let state =
        async |id: &str| relay.ask(&["queue", "show", id]).await["deliveries"][0]["state"].clone();

    let held = relay.ask(&["queue", "hold", &ids[0], "--why", "waits for the ministry"]).await;
    assert_eq!(held["done"], 1);
    assert_eq!(state(&ids[0]).await, "held");
    let (done, out, _) = relay.run(&["queue", "list"]).await;
    assert!(done && out.contains("waits for the ministry"), "{out}");
    let (done, _, why) = relay.run(&["queue", "retry", &ids[0]]).await;
    assert!(!done && why.contains("1 stayed"), "{why}");

    assert_eq!(relay.ask(&["queue", "retry", &ids[1]]).await["done"], 1);
    eventually("b arrives", async || (mx.count() == 1).then_some(())).await;
    assert_eq!(mx.taken()[0].recipients, ["b@h.example"]);

    assert_eq!(
        relay.ask(&["queue", "bounce", "--domain", "h.example", "--why", "wrong list"]).await["done"],
        2
    );
    eventually("both senders are told", async || (sender.count() == 2).then_some(())).await;
    let notice = String::from_utf8(sender.taken()[0].data.clone()).unwrap();
    assert!(notice.contains("removed by the administrator: wrong list"), "{notice}");
    let rows = relay.ask(&["queue", "list"]).await;
    assert!(rows.as_array().unwrap().is_empty(), "{rows}");

    let (done, _, why) = relay.run(&["queue", "hold", &ids[1]]).await;
    assert!(!done && why.contains("stayed"), "{why}");
    let (done, _, why) = relay.run(&["queue", "bounce"]).await;
    assert!(!done && why.contains("--all"), "nothing is meant by nothing: {why}");
}

#[tokio::test]
async fn a_release_goes_out_at_once() {
    let port = mx_port(80..82);
    let grey = Behaviour { greylist: true, ..Behaviour::default() };
    let mx = MxHost::start(SocketAddr::new(mx_ip(80), port), grey);
    let more = format!("[delivery]\n{}", delivery(port).replace("[\"1s\"]", "[\"1h\"]"));
    let world = World::start(ZONE, port, &more).await;
    let id = world.send(SENDER, &["a@h.example"], &message("a")).await;
    eventually("it is deferred", async || (mx.refusals().0 == 1).then_some(())).await;
    eventually("it can be held", async || {
        world.relay.run(&["queue", "hold", &id]).await.0.then_some(())
    })
    .await;
    let world = world.restart().await;
    assert_eq!(
        world.relay.ask(&["queue", "list"]).await[0]["state"],
        "held",
        "also after a restart"
    );
    assert_eq!(world.relay.ask(&["queue", "release", "--all"]).await["done"], 1);
    eventually("it arrives", async || (mx.count() == 1).then_some(())).await;
    let story = world.relay.ask(&["trace", &id]).await;
    let kinds: Vec<&str> =
        story.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["accepted", "deferred", "held", "released", "delivered"]);
}

#[tokio::test]
async fn sources_metrics_health_and_a_stopped_relay() {
    let port = mx_port(82..83);
    let world = World::start("x.example A 127.0.1.82", port, "").await;
    let sources = world.relay.ask(&["sources", "list"]).await;
    assert_eq!(sources[0]["state"], "active");
    let admin = world.relay.address("admin");
    for (path, wanted) in
        [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "tambo_messages_accepted_total")]
    {
        let page = get(admin, path).await;
        assert!(page.contains("200 OK") && page.contains(wanted), "{page}");
    }
    for private in ["spool", "events", "control.sock"] {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            std::fs::metadata(world.folder.path().join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{private} is open to others: {mode:o}");
    }
    let config = world.config.clone();
    assert!(world.relay.stop().await);
    let done = tokio::process::Command::new(tests::program("tambo"))
        .args(["queue", "list", "--config"])
        .arg(config)
        .output()
        .await
        .unwrap();
    let why = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && why.contains("tambo serve"), "{why}");
}

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// What people hold and whom nothing is sent to is told, with the mend.
async fn people_stand_in_the_way(world: &World) {
    let relay = &world.relay;
    let done = async |words: &[&str]| {
        let (done, text, why) = relay.run(words).await;
        assert!(done, "{words:?}: {text}{why}");
        text
    };
    let explained = async || relay.ask(&["explain", "u@h.example"]).await;
    let hold = ["queue", "hold", "--standing", "--why", "el aviso tiene un error"];
    done(&[&hold[..], &["--domain", "h.example", "--tag", "aviso"]].concat()).await;
    let found = explained().await;
    assert_eq!((&found["goes"], &found["mend"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(found["holds"][0]["kind"]["tag"], "aviso", "{found}");
    done(&[&hold[..], &["--site", "mx.h.example"]].concat()).await;
    done(&[&hold[..], &["--domain", "otro.example"]].concat()).await;
    let found = explained().await;
    let verdict = found["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("It would be held by "), "{found}");
    assert!(verdict.ends_with(": el aviso tiene un error") && found["goes"] == false, "{found}");
    let names = found["holds"].as_array().unwrap().iter().map(|it| &it["kind"]["site"]);
    assert_eq!(names.collect::<Vec<_>>(), [&"mx.h.example".into(), &serde_json::Value::Null]);

    let suppress = ["suppression", "add", "--why", "lo pidió"];
    done(&[&suppress[..], &["u@h.example"]].concat()).await;
    let found = explained().await;
    let verdict = found["verdict"].as_str().unwrap();
    assert!(
        verdict.starts_with("It would not be sent: the address is on the suppression list since"),
        "{found}"
    );
    assert_eq!(found["mend"], "tambo suppression remove u@h.example");
    assert_eq!(found["suppressed"][0]["why"], "lo pidió");
    let text = done(&["explain", "u@h.example"]).await;
    assert!(text.contains("held   site mx.h.example: by "), "{text}");
    // Each mend does what it says.
    for _ in 0..2 {
        let mend = explained().await["mend"].as_str().unwrap().to_owned();
        done(&mend.split(' ').skip(1).collect::<Vec<_>>()).await;
    }
    assert_eq!(explained().await["verdict"], "It would go now, from one to mx.h.example");
}

#[tokio::test]
async fn explain_tells_the_way_and_what_stands_in_it() {
    let port = mx_port(142..144);
    let _mx = MxHost::start(SocketAddr::new(mx_ip(142), port), Behaviour::default());
    let zone = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.142\n\
                d.example MX 10 mx.d.example\nmx.d.example A 127.0.1.143\n\
                p.example MX 10 mx.p.example\nmx.p.example A 10.1.2.3\nn.example MX 0 .";
    let more = format!(
        "[[source]]\nname = \"one\"\naddress = \"127.0.0.11\"\nhelo = \"one.example\"\n\
         [[source]]\nname = \"gone\"\naddress = \"192.0.2.77\"\nhelo = \"gone.example\"\n\
         [[route]]\nrecipients = [\"jefe@h.example\"]\nsmarthost = {{ host = \"127.0.1.142\", port = {port}, tls = \"off\" }}\n"
    );
    let world = World::start(zone, port, &more).await;
    let relay = &world.relay;
    let found = relay.ask(&["explain", "u@h.example"]).await;
    assert_eq!(found["verdict"], "It would go now, from one to mx.h.example");
    assert_eq!((&found["site"], &found["route"]), (&"mx.h.example".into(), &"mx".into()));
    assert_eq!(found["hosts"][0]["addresses"][0], "127.0.1.142");
    assert_eq!(found["limits"][0]["value"], "2");
    assert_eq!(found["sources"][1]["obstacle"], "this machine does not have its address");
    let (done, text, _) = relay.run(&["explain", "u@h.example"]).await;
    assert!(done && text.contains("limit  connections_total 10, 0 used"), "{text}");

    let found = relay.ask(&["explain", "jefe@h.example"]).await;
    assert_eq!(
        (&found["route"], &found["limits"][0]["value"]),
        (&"smarthost".into(), &"none".into())
    );
    let verdict =
        async |to: &str| relay.ask(&["explain", to]).await["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict("u@n.example").await, "It would bounce: n.example takes no mail (null MX)");
    assert!(
        verdict("u@missing.example")
            .await
            .starts_with("It would bounce: the domain missing.example")
    );
    let refused = verdict("u@p.example").await;
    assert!(
        refused.starts_with("It could not be delivered: mx.p.example has only loopback or private"),
        "{refused}"
    );

    people_stand_in_the_way(&world).await;

    // Nobody listens there: after an attempt, the site is down for a while.
    world.send(SENDER, &["u@d.example"], &message("down")).await;
    let down = eventually("it is down", async || {
        let found = relay.ask(&["explain", "u@d.example"]).await;
        (found["goes"] == false).then_some(found)
    })
    .await;
    assert!(
        down["verdict"].as_str().unwrap().contains("could not be reached (no connection"),
        "{down}"
    );
    let (done, _, why) = relay.run(&["explain", "nobody"]).await;
    assert!(!done && why.contains("nobody: the address needs a local part and a domain"), "{why}");
    let (done, _, why) = relay.run(&["explain", "u@h.example", "--pool", "none"]).await;
    assert!(!done && why.contains("there is no pool"), "{why}");
    assert!(world.relay.stop().await);
}
