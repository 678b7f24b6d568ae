//! Eighteen sources and five providers, each with its own mind: one blocks a source by text, one has a
//! source on a blocklist, one greylists, one counts connections and messages, one blocks the sending domain.
//! What each host saw is what counts.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use crate::world::{World, message, mx_ip, mx_port};

const BLOCKED: &str = "550 5.7.1 Unfortunately, messages from [127.0.0.11] weren't sent. Please contact your \
     Internet service provider since part of their network is on our block list (S3140).";
const DOMAIN: &str =
    "421 4.7.0 This message is suspicious due to the very low reputation of the sending domain";
/// Messages to each provider.
const MAILS: usize = 60;
/// Messages to the one that counts them, and is slow: some for each source when a connection has carried all it may.
const STRICT_MAILS: usize = 18 * 24;

fn source(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, 10 + number])
}

/// Names of the hosts, of the sources, SPF; a blocklist that works and lists nobody else than `listed`.
fn zone(listed: &[u8]) -> String {
    let mut zone = String::new();
    for (number, name) in (160..).zip(["blocker", "lister", "grey", "strict", "domain"]) {
        let _ = writeln!(zone, "{name}.example MX 10 mx.{name}.example");
        let _ = writeln!(zone, "mx.{name}.example A {}", mx_ip(number));
    }
    for number in 1..=20 {
        let address = source(number);
        let _ = writeln!(zone, "m{number}.institucion.example A {address}");
        // The first standby has no name.
        if number != 19 {
            let last = 10 + number;
            let _ = writeln!(zone, "{last}.0.0.127.in-addr.arpa PTR m{number}.institucion.example");
        }
    }
    zone.push_str("institucion.example TXT v=spf1 ip4:127.0.0.0/24 -all\n");
    zone.push_str("2.0.0.127.bl.example A 127.0.0.2\n");
    for number in listed {
        let _ = writeln!(zone, "{}.0.0.127.bl.example A 127.0.0.2", 10 + number);
    }
    zone
}

fn config(port: u16) -> String {
    let mut text = String::new();
    for number in 1..=20 {
        let _ = writeln!(
            text,
            "[[source]]\nname = \"ip-{number:02}\"\naddress = \"{}\"\nhelo = \"m{number}.institucion.example\"",
            source(number)
        );
    }
    let names = |range: std::ops::RangeInclusive<u8>| {
        range.map(|number| format!("\"ip-{number:02}\"")).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(
        text,
        "[[pool]]\nname = \"bulk\"\nsources = [{}]\nstandby = [{}]\nrotation = \"round-robin\"",
        names(1..=18),
        names(19..=20)
    );
    for name in ["blocker", "lister", "grey", "domain"] {
        let _ = writeln!(
            text,
            "[[provider]]\nname = \"{name}\"\nmx = [\"*.{name}.example\"]\n[provider.limits]\nconnections_total = 20"
        );
    }
    text.push_str(
        "[[response]]\nid = \"grey\"\npattern = 'greylisted'\ncategory = \"greylist\"\nscope = \"triplet\"\n\
         action = [\"retry\", \"same-source\"]\nretry_after = \"3s\"\n\
         [[provider]]\nname = \"strict\"\nmx = [\"*.strict.example\"]\n[provider.limits]\nconnections = 5\n\
         connections_total = 5\nmessages_per_connection = 20\n\
         [[blocklist]]\nzone = \"bl.example\"\nevery = \"1s\"\nconfirm_after = \"2s\"\naction = \"act\"\n",
    );
    let _ = writeln!(
        text,
        "[delivery]\npool = \"bulk\"\nport = {port}\nretry = [\"2s\"]\nretry_jitter = 0.0\n\
         allow_destinations = [\"127.0.1.0/24\"]\nexpire_after = \"1h\""
    );
    text
}

struct Hosts {
    by_name: HashMap<&'static str, MxHost>,
}

impl Hosts {
    fn start(port: u16) -> Self {
        let behaviours = [
            ("blocker", Behaviour { blocked: vec![(source(1), BLOCKED)], ..Behaviour::default() }),
            ("lister", Behaviour::default()),
            ("grey", Behaviour { greylist: true, ..Behaviour::default() }),
            ("strict", Behaviour { delay: Duration::from_millis(10), ..Behaviour::default() }),
            ("domain", Behaviour { mail_reply: Some(DOMAIN.to_owned()), ..Behaviour::default() }),
        ];
        let start = |(number, (name, behaviour))| {
            (name, MxHost::start(SocketAddr::new(mx_ip(number), port), behaviour))
        };
        Self { by_name: (160..).zip(behaviours).map(start).collect() }
    }

    fn at(&self, name: &str) -> &MxHost {
        &self.by_name[name]
    }

    /// Messages taken at a host, by the number of their source.
    fn taken(&self, name: &str) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for taken in self.at(name).taken() {
            let IpAddr::V4(from) = taken.from else { unreachable!() };
            *counts.entry(from.octets()[3] - 10).or_default() += 1;
        }
        counts
    }
}

fn mails(name: &str) -> usize {
    if name == "strict" { STRICT_MAILS } else { MAILS }
}

async fn send_all(world: &World, name: &str, count: usize) {
    let mut client = world.client().await;
    for number in 0..count {
        let to = format!("r{number}@{name}.example");
        client.deliver("ana@institucion.example", &[&to], &message("x")).await.unwrap();
    }
    client.quit().await.unwrap();
}

/// All events, once there is a decision of this kind among them.
async fn told(world: &World, what: &str) -> Vec<Value> {
    eventually(what, async || {
        let events = world.relay.events();
        (!decisions(&events, what).is_empty()).then_some(events)
    })
    .await
}

fn decisions<'a>(events: &'a [Value], what: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["decision"] == *what).collect()
}

#[tokio::test]
async fn eighteen_addresses_look_after_themselves() {
    let port = mx_port(160..165);
    let hosts = Hosts::start(port);
    let mut world = World::start(&zone(&[]), port, &config(port)).await;
    for name in ["blocker", "lister", "grey", "strict", "domain"] {
        send_all(&world, name, mails(name)).await;
    }
    for name in ["blocker", "lister", "grey", "strict"] {
        eventually(name, async || (hosts.at(name).count() == mails(name)).then_some(())).await;
    }

    // Who is blocked by text is asked once more by nobody, and its mail goes from the others.
    let blocker = hosts.at("blocker").mails();
    assert!(blocker[&source(1)] <= 5, "{blocker:?}: no more than was under way");
    let taken = hosts.taken("blocker");
    assert!(!taken.contains_key(&1) && taken.len() == 17, "{taken:?}");

    // Each in turn where nothing stands in the way.
    let lister = hosts.taken("lister");
    assert_eq!(lister.len(), 18, "{lister:?}");
    assert!(lister.values().all(|count| (3..=4).contains(count)), "{lister:?}");

    // Greylisted mail came again from the same source: nobody was told twice to come back.
    assert_eq!(hosts.at("grey").refusals().0, MAILS as u64);

    // All that was allowed, and never more.
    let strict = hosts.at("strict");
    let (_, open_max) = strict.connections();
    assert_eq!((open_max, strict.transactions_max()), (5, 20));

    // The domain is halted: what was under way was answered, and nothing more was tried from anywhere.
    let asked = |hosts: &Hosts| hosts.at("domain").mails().values().sum::<u32>();
    let under_way = asked(&hosts);
    assert!((1..=20).contains(&under_way), "{under_way}");
    assert_eq!(hosts.at("domain").count(), 0);

    // What happened is told, each with its evidence.
    let events = told(&world, "halted").await;
    let suspended = decisions(&events, "suspended");
    assert_eq!(suspended.len(), 1, "{suspended:?}");
    assert_eq!(
        (&suspended[0]["source"], &suspended[0]["site"]),
        (&"ip-01".into(), &"blocker".into())
    );
    assert_eq!(suspended[0]["rule"], "M02");
    let halted = decisions(&events, "halted");
    assert_eq!((halted.len(), &halted[0]["site"]), (1, &"domain".into()));
    assert!(decisions(&events, "swapped").is_empty(), "a domain's fault replaces no source");

    // None of it is forgotten when the relay is killed.
    world = world.killed().await;
    send_all(&world, "blocker", 36).await;
    send_all(&world, "domain", 5).await;
    eventually("blocker", async || (hosts.at("blocker").count() == MAILS + 36).then_some(())).await;
    assert_eq!(hosts.at("blocker").mails()[&source(1)], blocker[&source(1)]);
    assert_eq!(asked(&hosts), under_way);
    let row = |rows: &Value, name: &str| {
        rows.as_array().unwrap().iter().find(|row| row["name"] == *name).unwrap().clone()
    };

    // A source that a list names leaves; the first standby does not pass, the second takes its place.
    world.dns.set(&zone(&[2]));
    eventually("a swap", async || {
        let rows = world.relay.ask(&["sources", "list"]).await;
        (row(&rows, "ip-20")["state"] == "active").then_some(())
    })
    .await;
    let rows = world.relay.ask(&["sources", "list"]).await;
    assert_eq!(row(&rows, "ip-02")["state"], "quarantined");
    assert_eq!(row(&rows, "ip-19")["state"], "standby");
    let before = hosts.taken("lister");
    send_all(&world, "lister", MAILS).await;
    eventually("lister", async || (hosts.at("lister").count() == 2 * MAILS).then_some(())).await;
    let after = hosts.taken("lister");
    assert_eq!(before[&2], after[&2], "nothing more from the address that is listed");
    assert!(after[&20] >= 3, "{after:?}");
    let events = told(&world, "swapped").await;
    let swapped = decisions(&events, "swapped");
    assert_eq!((swapped.len(), &swapped[0]["source"]), (1, &"ip-20".into()));
    let quarantined = decisions(&events, "quarantined");
    let words = quarantined[0]["detail"].as_str().unwrap();
    assert!(words.contains("bl.example"), "{words}");
    assert!(world.relay.stop().await);
}
