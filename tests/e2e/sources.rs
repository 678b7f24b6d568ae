//! What an operator does to sources: suspended, resumed, drained, swapped; and what is asked of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tests::mx::{Behaviour, MxHost};
use tests::relay::{RelayProcess, eventually};

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

/// Sources 127.0.0.11 and so on, and the pool `p` of them.
fn sources(names: &[&str], pool: &str, port: u16) -> String {
    let mut text = String::new();
    for (number, name) in names.iter().enumerate() {
        let number = number + 11;
        let _ = write!(
            text,
            "[[source]]\nname = \"{name}\"\naddress = \"127.0.0.{number}\"\nhelo = \"m{number}.institucion.example\"\n"
        );
    }
    let delivery = delivery(port);
    let _ = write!(text, "[[pool]]\nname = \"p\"\n{pool}\n[delivery]\npool = \"p\"\n{delivery}");
    text
}

fn ip(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, number])
}

async fn state(relay: &RelayProcess, source: &str) -> Value {
    let rows = relay.ask(&["sources", "list"]).await;
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == source);
    row.unwrap_or_else(|| panic!("{source} is not in {rows}")).clone()
}

/// How all sources stand, without what the DNS says of their names, which is looked at in between.
async fn standing(relay: &RelayProcess) -> Vec<Value> {
    let rows = relay.ask(&["sources", "list"]).await;
    let mut rows = rows.as_array().unwrap().clone();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("names");
    }
    rows
}

/// The recipients that a server has taken, each with the source that brought it; none came twice.
fn taken(mx: &MxHost) -> Vec<(String, IpAddr)> {
    let taken = mx.taken().into_iter();
    let taken: Vec<(String, IpAddr)> =
        taken.map(|it| (it.recipients[0].clone(), it.from)).collect();
    let once: BTreeSet<&String> = taken.iter().map(|(recipient, _)| recipient).collect();
    assert_eq!(once.len(), taken.len(), "something came twice");
    taken
}

async fn send(world: &World, to: &str, numbers: std::ops::Range<u32>) {
    let mut client = world.client().await;
    for number in numbers {
        let to = format!("u{number}@{to}");
        client.deliver(SENDER, &[&to], &message("traffic")).await.unwrap();
    }
    client.quit().await.unwrap();
}

async fn arrived(mx: &MxHost, count: usize) {
    eventually(&format!("{count} arrive"), async || (mx.count() >= count).then_some(())).await;
    assert_eq!(taken(mx).len(), count);
}

/// Whether an event tells of such a decision in these words.
async fn told(relay: &RelayProcess, decision: &str, words: &str) {
    eventually(&format!("an event {decision}: {words}"), async || {
        let events = relay.events();
        let tells = |event: &&Value| {
            event["type"] == "source"
                && event["decision"] == decision
                && event["detail"].as_str().is_some_and(|detail| detail.contains(words))
        };
        events.iter().find(tells).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_source_is_suspended_resumed_and_drained_under_traffic() {
    let port = mx_port(150..151);
    let slow = Behaviour { delay: Duration::from_millis(5), ..Behaviour::default() };
    let mx = MxHost::start(SocketAddr::new(mx_ip(150), port), slow);
    let zone = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.150";
    let pool = "sources = [\"one\", \"two\"]\nrotation = \"round-robin\"";
    let world = World::start(zone, port, &sources(&["one", "two"], pool, port)).await;
    let relay = &world.relay;
    // Suspended in the middle of it: what was being sent ends, the rest goes from the other.
    let traffic = send(&world, "h.example", 0..80);
    let suspended = async {
        eventually("both have sent", async || {
            let from: BTreeSet<IpAddr> = taken(&mx).into_iter().map(|(_, from)| from).collect();
            (from.len() == 2).then_some(())
        })
        .await;
        relay.ask(&["sources", "suspend", "one", "--why", "too many complaints"]).await
    };
    let ((), said) = tokio::join!(traffic, suspended);
    let said = said["said"].as_str().unwrap().to_owned();
    assert!(said.starts_with("one sends nothing until it is resumed: "), "{said}");
    assert!(said.ends_with(": too many complaints"), "{said}");
    arrived(&mx, 80).await;
    told(relay, "suspended", ": too many complaints").await;
    let row = state(relay, "one").await;
    assert_eq!((&row["state"], &row["until"]), (&"suspended".into(), &Value::Null));
    assert!(row["why"].as_str().unwrap().ends_with("too many complaints"), "{row}");
    send(&world, "h.example", 80..100).await;
    arrived(&mx, 100).await;
    assert!(taken(&mx)[80..].iter().all(|(_, from)| *from == ip(12)), "only two sends");

    // With the other one drained nobody is left: mail waits, and nothing of it is lost.
    let said = relay.ask(&["sources", "drain", "two", "--why", "moves away"]).await;
    assert!(said["said"].as_str().unwrap().starts_with("two takes nothing new"), "{said}");
    send(&world, "h.example", 100..110).await;
    eventually("they are put off", async || {
        let rows = relay.ask(&["queue", "list"]).await;
        let rows = rows.as_array().unwrap();
        (rows.len() == 10 && rows.iter().all(|row| row["state"] == "deferred")).then_some(())
    })
    .await;
    assert_eq!(mx.count(), 100);
    let (done, _, why) = relay.run(&["sources", "resume", "three"]).await;
    assert!(!done && why.contains("there is no source three"), "{why}");
    relay.ask(&["sources", "resume", "one"]).await;
    arrived(&mx, 110).await;
    assert!(taken(&mx)[100..].iter().all(|(_, from)| *from == ip(11)), "only one sends");
    let (done, _, why) = relay.run(&["sources", "resume", "one"]).await;
    assert!(!done && why.contains("one is not stopped"), "{why}");
    let (done, _, why) = relay.run(&["sources", "suspend", "one"]).await;
    assert!(!done && why.contains("--why"), "nobody is stopped without a reason: {why}");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_source_is_suspended_at_one_site_only() {
    let port = mx_port(151..153);
    let here = MxHost::start(SocketAddr::new(mx_ip(151), port), Behaviour::default());
    let there = MxHost::start(SocketAddr::new(mx_ip(152), port), Behaviour::default());
    let zone = "h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.151\n\
                t.example MX 10 mx.t.example\nmx.t.example A 127.0.1.152";
    let pool = "sources = [\"one\", \"two\"]\nrotation = \"round-robin\"";
    let world = World::start(zone, port, &sources(&["one", "two"], pool, port)).await;
    let relay = &world.relay;
    // By the domain, before anything went there.
    let said = relay
        .ask(&["sources", "suspend", "one", "--at", "h.example", "--for", "2h", "--why", "test"])
        .await;
    let said = said["said"].as_str().unwrap().to_owned();
    assert!(said.starts_with("one sends nothing to mx.h.example for 2 h: "), "{said}");
    send(&world, "h.example", 0..10).await;
    send(&world, "t.example", 0..10).await;
    arrived(&here, 10).await;
    arrived(&there, 10).await;
    assert!(taken(&here).iter().all(|(_, from)| *from == ip(12)));
    let from: BTreeSet<IpAddr> = taken(&there).into_iter().map(|(_, from)| from).collect();
    assert_eq!(from, BTreeSet::from([ip(11), ip(12)]), "elsewhere it sends");
    assert_eq!(state(relay, "one").await["state"], "active");

    let shown = relay.ask(&["sources", "show", "one"]).await;
    let at = |shown: &Value, site: &str| {
        let paths = shown["paths"].as_array().unwrap();
        paths.iter().find(|path| path["site"] == site).cloned()
    };
    let path = at(&shown, "mx.h.example").unwrap();
    assert_eq!((&path["state"], &path["rule"]), (&"suspended".into(), &"operator".into()));
    assert!(path["kept"].as_str().unwrap().contains("suspended there"), "{path}");
    let (done, text, _) = relay.run(&["sources", "show", "one"]).await;
    assert!(done && text.contains("mx.h.example (pool p)  suspended until 20"), "{text}");

    let (done, _, why) =
        relay.run(&["sources", "suspend", "one", "--at", "nowhere.example", "--why", "x"]).await;
    assert!(!done && why.contains("nothing is known of a site nowhere.example"), "{why}");
    let (done, _, why) = relay.run(&["sources", "resume", "two", "--at", "mx.h.example"]).await;
    assert!(!done && why.contains("two is not stopped at mx.h.example"), "{why}");
    let said = relay.ask(&["sources", "resume", "one", "--at", "mx.h.example"]).await;
    assert!(said["said"].as_str().unwrap().contains("single messages first"), "{said}");
    told(relay, "probing", "one comes back to mx.h.example").await;
    let path = at(&relay.ask(&["sources", "show", "one"]).await, "mx.h.example").unwrap();
    assert_eq!(path["state"], "probing");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn what_was_ordered_outlives_a_crash() {
    let port = mx_port(153..154);
    let pool = "sources = [\"one\", \"two\", \"three\"]";
    let world = World::start("", port, &sources(&["one", "two", "three"], pool, port)).await;
    let relay = &world.relay;
    relay.ask(&["sources", "suspend", "one", "--for", "2h", "--why", "rests"]).await;
    relay.ask(&["sources", "drain", "two", "--why", "moves away"]).await;
    relay.ask(&["sources", "suspend", "three", "--at", "google", "--why", "blocked"]).await;
    world.relay.kill().await;
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    let one = state(&relay, "one").await;
    assert_eq!(one["state"], "suspended");
    assert!(one["why"].as_str().unwrap().ends_with(": rests"), "{one}");
    assert!(one["until"].as_str().unwrap().ends_with('Z'), "{one}");
    assert_eq!(state(&relay, "two").await["state"], "draining");
    let path = relay.ask(&["sources", "show", "three"]).await["paths"][0].clone();
    let found = (&path["site"], &path["provider"], &path["state"], &path["until"]);
    assert_eq!(found, (&"google".into(), &"google".into(), &"suspended".into(), &Value::Null));
    for (decision, words) in
        [("suspended", "one sends nothing for 2 h"), ("suspended", "two takes nothing new")]
    {
        told(&relay, decision, words).await;
    }
    relay.ask(&["sources", "resume", "three", "--at", "google"]).await;
    relay.ask(&["sources", "resume", "one"]).await;
    relay.kill().await;
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    assert_eq!(state(&relay, "one").await["state"], "active");
    let path = relay.ask(&["sources", "show", "three"]).await["paths"][0].clone();
    assert_eq!(path["state"], "probing");
    assert!(relay.stop().await);
}

/// Names of 127.0.0.11 and 127.0.0.13, and SPF for both: 127.0.0.12 has none.
const NAMES: &str = "11.0.0.127.in-addr.arpa PTR m11.institucion.example\nm11.institucion.example A 127.0.0.11\n\
                     13.0.0.127.in-addr.arpa PTR m13.institucion.example\nm13.institucion.example A 127.0.0.13\n\
                     institucion.example TXT v=spf1 ip4:127.0.0.11 ip4:127.0.0.13 -all\n";

#[tokio::test]
async fn a_source_is_swapped_for_a_standby_that_passes_its_checks() {
    let port = mx_port(154..155);
    let mx = MxHost::start(SocketAddr::new(mx_ip(154), port), Behaviour::default());
    let zone = format!("{NAMES}h.example MX 10 mx.h.example\nmx.h.example A 127.0.1.154");
    let pool = "sources = [\"one\"]\nstandby = [\"bad\", \"good\"]";
    let world = World::start(&zone, port, &sources(&["one", "bad", "good"], pool, port)).await;
    let relay = &world.relay;
    let before = standing(relay).await;

    // It says what would be, and nothing changes.
    let plan = relay.ask(&["sources", "swap", "one", "--dry-run"]).await;
    assert_eq!((&plan["done"], &plan["pools"][0]["comes"]), (&false.into(), &"good".into()));
    let looked = plan["pools"][0]["looked_at"].as_array().unwrap().clone();
    let verdicts: Vec<(&str, &str)> = looked
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(verdicts, [("bad", "fails"), ("good", "passes")]);
    let pointer = looked[0]["checks"].as_array().unwrap().iter().find(|it| it["what"] == "PTR");
    let mend = pointer.unwrap()["mend"].as_str().unwrap();
    assert!(mend.contains("12.0.0.127.in-addr.arpa. PTR m12.institucion.example."), "{mend}");
    let (done, text, _) = relay.run(&["sources", "swap", "one", "--dry-run"]).await;
    assert!(done && text.contains("good takes its place"), "{text}");
    assert!(text.contains("SPF of institucion.example: found: it says fail"), "{text}");
    assert!(text.contains("1 of 1 sources of the pool may still be swapped"), "{text}");
    assert_eq!(standing(relay).await, before, "a dry run changes nothing");

    // The one that does not pass is not taken, but where an operator answers for it.
    let (done, _, why) = relay.run(&["sources", "swap", "one", "--with", "bad"]).await;
    assert!(!done && why.contains("no standby of p passes its checks"), "{why}");
    assert!(why.contains("Nothing was changed"), "{why}");
    let (done, _, why) = relay.run(&["sources", "swap", "one", "--with", "two"]).await;
    assert!(!done && why.contains("two waits as standby for no pool of one"), "{why}");
    assert_eq!(standing(relay).await, before);

    let verdict =
        async |name: &str| relay.ask(&["sources", "names", name]).await["verdict"].clone();
    assert_eq!((verdict("good").await, verdict("bad").await), ("fits".into(), "fails".into()));
    let (done, text, _) = relay.run(&["sources", "show", "bad"]).await;
    assert!(done && text.contains("publish `12.0.0.127.in-addr.arpa. PTR"), "{text}");

    let done = relay.ask(&["sources", "swap", "one", "--why", "a test"]).await;
    assert_eq!((&done["done"], &done["pools"][0]["comes"]), (&true.into(), &"good".into()));
    let states = async |relay: &RelayProcess| {
        let mut states = Vec::new();
        for name in ["one", "bad", "good"] {
            states.push(state(relay, name).await["state"].as_str().unwrap().to_owned());
        }
        states
    };
    assert_eq!(states(relay).await, ["quarantined", "standby", "active"]);
    told(relay, "quarantined", "one has left its pools").await;
    told(relay, "swapped", "good takes the place of one in p: it passed its checks").await;
    send(&world, "h.example", 0..3).await;
    arrived(&mx, 3).await;
    assert!(taken(&mx).iter().all(|(_, from)| *from == ip(13)));

    let (done, _, why) = relay.run(&["sources", "swap", "good"]).await;
    assert!(!done && why.contains("answer for it with --force"), "{why}");
    let done = relay.ask(&["sources", "swap", "good", "--force"]).await;
    assert_eq!((&done["done"], &done["pools"][0]["forced"]), (&true.into(), &true.into()));
    told(relay, "swapped", "bad takes the place of good in p: an operator answers for").await;
    world.relay.kill().await;
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    assert_eq!(states(&relay).await, ["quarantined", "active", "quarantined"]);
    let said = relay.ask(&["sources", "resume", "one"]).await;
    assert!(said["said"].as_str().unwrap().contains("waits as standby"), "{said}");
    assert_eq!(state(&relay, "one").await["standby"], serde_json::json!(["p"]));
    // It passes, and comes back.
    let done = relay.ask(&["sources", "swap", "bad"]).await;
    assert_eq!(done["pools"][0]["comes"], "one", "{done}");
    assert!(relay.stop().await);
}

#[tokio::test]
async fn what_is_halted_goes_on_when_it_is_released() {
    let port = mx_port(155..158);
    let refuses = Behaviour {
        mail_reply: Some(
            "421 4.7.28 our system has detected an unusual rate of mail from your DKIM domain"
                .to_owned(),
        ),
        ..Behaviour::default()
    };
    let _angry = MxHost::start(SocketAddr::new(mx_ip(155), port), refuses);
    let mx = MxHost::start(SocketAddr::new(mx_ip(157), port), Behaviour::default());
    let zone = "a.example MX 10 mx1.google.com\nmx1.google.com A 127.0.1.155\n\
                g.example MX 10 mx2.google.com\nmx2.google.com A 127.0.1.157";
    let more = format!(
        "{}[[provider]]\nname = \"google\"\n[provider.limits]\nrate = \"100/s\"\n",
        sources(&["one"], "sources = [\"one\"]", port).replace("[\"1s\"]", "[\"1h\"]")
    );
    let world = World::start(zone, port, &more).await;
    let relay = &world.relay;
    let (_, text, _) = relay.run(&["sources", "halts"]).await;
    assert_eq!(text, "Nothing is halted.\n");
    let first = world.send(SENDER, &["a@a.example"], &message("first")).await;
    let halt = eventually("the domain is halted", async || {
        relay.ask(&["sources", "halts"]).await.as_array().unwrap().first().cloned()
    })
    .await;
    let found = (&halt["site"], &halt["kind"], &halt["name"]);
    assert_eq!(found, (&"google".into(), &"domain".into(), &"institucion.example".into()));
    assert!(halt["reply"].as_str().unwrap().contains("DKIM domain"), "{halt}");
    let shown = relay.ask(&["sources", "show", "one"]).await;
    let latest = &shown["refusals"][0];
    assert_eq!((&latest["site"], &latest["rule"]), (&halt["site"], &halt["rule"]), "{shown}");
    assert!(latest["reply"].as_str().unwrap().starts_with("421 4.7.28 our system"), "{shown}");
    eventually("the first is held", async || {
        relay.run(&["queue", "hold", &first]).await.0.then_some(())
    })
    .await;
    send(&world, "g.example", 1..4).await;
    eventually("the others wait on disk", async || {
        let rows = relay.ask(&["queue", "list"]).await;
        let rows = rows.as_array().unwrap();
        (rows.len() == 4 && rows.iter().all(|row| row["state"] != "active")).then_some(())
    })
    .await;
    assert_eq!(mx.count(), 0, "they go to another server of the site, and wait all the same");
    let release = ["sources", "release", "google"];
    let (done, _, why) = relay.run(&[&release[..], &["other.example"]].concat()).await;
    assert!(!done && why.contains("what is: mail of institucion.example"), "{why}");
    let released = relay.ask(&[&release[..], &["institucion.example"]].concat()).await;
    assert_eq!(released["released"], serde_json::json!(["mail of institucion.example"]));
    assert_eq!((&released["at_once"], &released["more"]), (&3.into(), &false.into()));
    arrived(&mx, 3).await;
    told(relay, "resumed", "mail of institucion.example to google goes on").await;
    let (done, _, why) = relay.run(&[&release[..], &["institucion.example"]].concat()).await;
    assert!(!done && why.contains("nothing is halted at google"), "{why}");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn warm_up_is_shown_and_a_mailing_forecast() {
    let port = mx_port(156..157);
    let mx = MxHost::start(SocketAddr::new(mx_ip(156), port), Behaviour::default());
    let zone = "g.example MX 10 mx.google.com\nmx.google.com A 127.0.1.156";
    let pool = "sources = [\"one\", \"two\"]\nwarm_up = true";
    let more = format!(
        "{}[[provider]]\nname = \"google\"\n[provider.limits]\nrate = \"100/s\"\n",
        sources(&["one", "two"], pool, port)
    );
    let world = World::start(zone, port, &more).await;
    let relay = &world.relay;
    let (_, text, _) = relay.run(&["sources", "warm-up"]).await;
    assert!(text.starts_with("No source warms up at any site"), "{text}");
    send(&world, "g.example", 0..1).await;
    arrived(&mx, 1).await;
    let row = eventually("the answer is counted", async || {
        let rows = relay.ask(&["sources", "warm-up", "--pool", "p"]).await;
        rows.as_array().unwrap().iter().find(|row| row["accepted"] == 1).cloned()
    })
    .await;
    let found = (&row["site"], &row["day"], &row["days"], &row["cap"], &row["enough"]);
    assert_eq!(found, (&"google".into(), &1.into(), &30.into(), &50.into(), &38.into()));
    let (done, _, why) = relay.run(&["sources", "warm-up", "--pool", "q"]).await;
    assert!(!done && why.contains("there is no pool q; write one of: p"), "{why}");

    let mix = "google=1000,other=300/30";
    let found = relay.ask(&["sources", "forecast", "--pool", "p", "--mix", mix]).await;
    let days = found["days"].as_array().unwrap();
    let sum = |site: &str| days.iter().map(|day| day["sent"][site].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("google"), sum("other")), (1000, 300));
    // 100, 150, 200, 300, 400; late in a day its first does not count.
    assert!((5..=6).contains(&days.len()), "{found}");
    assert_eq!(days.last().unwrap()["date"], found["done_on"]);
    assert!(days[0]["sent"]["google"].as_u64().unwrap() < 100, "one of them is gone: {found}");
    let (done, text, _) = relay.run(&["sources", "forecast", "--mix", "google=10"]).await;
    assert!(done && text.contains("to 20"), "{text}");
    let (done, _, why) = relay.run(&["sources", "forecast", "--mix", "gogle=10"]).await;
    assert!(!done && why.contains("nothing is known of a site gogle"), "{why}");
    assert!(world.relay.stop().await);
}
