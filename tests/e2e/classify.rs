//! What replies mean: events tell the rule, a reload brings rules of the operator, `tambo classify`
//! needs no relay.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

/// Rule and category of the event that ended the message.
async fn ended(world: &World, to: &str) -> (String, String) {
    let id = world.send(SENDER, &[to], &message("classify")).await;
    eventually("it is refused", async || {
        let events = world.relay.ask(&["trace", &id]).await;
        let last = events.as_array()?.last()?.clone();
        let text = |key: &str| last[key].as_str().unwrap_or("").to_owned();
        (last["type"] == "bounced").then(|| (text("rule"), text("category")))
    })
    .await
}

#[tokio::test]
async fn events_tell_the_rule_and_a_reload_brings_others() {
    let port = mx_port(124..125);
    let refuse = Behaviour { refuse: Some("nadie".to_owned()), ..Behaviour::default() };
    let _mx = MxHost::start(SocketAddr::new(mx_ip(124), port), refuse);
    let zone = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.124\nnull.example MX 0 .";
    let world = World::start(zone, port, "[suppression]\nautomatic = false\n").await;
    let pair = |rule: &str, category: &str| (rule.to_owned(), category.to_owned());
    assert_eq!(ended(&world, "nadie@a.example").await, pair("U01", "bad-mailbox"));
    // Nobody said that: it is ours, and known by its code.
    assert_eq!(ended(&world, "u@null.example").await, pair("enhanced:5.1.10", "bad-domain"));

    let old = std::fs::read_to_string(&world.config).unwrap();
    let own = "[[response]]\nid = \"own\"\npattern = '5\\.1\\.1 no such user here'\n\
               category = \"refused\"\nscope = \"recipient\"\naction = \"fail\"\n";
    std::fs::write(&world.config, format!("{old}\n{own}")).unwrap();
    kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    eventually("the rule of the operator is in force", async || {
        (ended(&world, "nadie@a.example").await == pair("own", "refused")).then_some(())
    })
    .await;
}

fn classify(config: &Path, words: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(tests::program("tambo"));
    let done = command.arg("classify").args(words).arg("--config").arg(config).output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[test]
fn the_command_tells_what_a_reply_means() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tambo.toml");
    let good = "[server]\nhostname = \"relay.example.pe\"\n[[listener]]\nname = \"relay\"\n\
        bind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n\
        [[response]]\nid = \"own\"\npattern = 'quota of the day'\ncategory = \"rate-limit\"\n\
        scope = \"source\"\naction = \"slow\"\nfor = \"3h\"\nproviders = [\"partner\"]\n";
    std::fs::write(&config, good).unwrap();
    let blocked =
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent: block list (S3140).";
    let (fine, said, _) = classify(&config, &[blocked]);
    assert!(fine);
    for wanted in [
        "M02 (built in, tried as number ",
        "ip-block: the address is blocked",
        "source: the source, at this destination",
        "the message stays queued: the recipient was not judged",
        "is suspended for 24h; its mail waits",
        "other warm sources take its mail",
        "https://olcsupport.office.com/",
        "read as     550 5.7.1 Unfortunately, messages from [<IP>] weren't sent",
    ] {
        assert!(said.contains(wanted), "{wanted} in\n{said}");
    }
    let json = |words: &[&str]| -> Value {
        let (fine, said, why) = classify(&config, words);
        assert!(fine, "{why}");
        serde_json::from_str(&said).unwrap()
    };
    let own = json(&["--json", "--provider", "partner", "450", "Quota", "of", "the", "day"]);
    assert_eq!(
        (&own["rule"], &own["mail"], &own["actions"][0]),
        (&"own".into(), &"retry".into(), &"slow 3h".into())
    );
    assert_eq!(json(&["--json", "450 Quota of the day"])["rule"], "class:4");
    let early = json(&["550 5.1.1 user unknown", "--phase", "ehlo", "--json"]);
    assert_eq!((&early["rule"], &early["mail"]), (&"class:5".into(), &"wait".into()));
    let (fine, _, why) = classify(&config, &["250 2.0.0 ok"]);
    assert!(!fine && why.contains("250 is no refusal"), "{why}");
    let (fine, _, why) = classify(&folder.path().join("nowhere.toml"), &["550 no"]);
    assert!(!fine && why.contains("nowhere.toml"), "{why}");
}
