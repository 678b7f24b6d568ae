//! The edge over a paused clock and a DNS of tests.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;

use tokio::time::Instant;

use super::*;
use crate::message::Timestamp;
use crate::outside::zone::Zone;

const BASE: &str = "[server]\nhostname = \"r.example.pe\"\n[[listener]]\nname = \"in\"\n\
    bind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n";

struct Clock(Instant);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000).after(self.0.elapsed())
    }
}

fn config(text: &str) -> Config {
    relay_config::load(&format!("{BASE}{text}"), "t.toml").unwrap().config
}

fn blocklists(zone: &Arc<Zone>) -> Blocklists {
    let dns: Arc<dyn MailDns> = Arc::clone(zone) as _;
    Blocklists::new(Memory::default(), dns, Arc::new(Clock(Instant::now())))
}

/// Runs it for a while and says what was found.
async fn found(lists: &Blocklists, minutes: u64) -> Vec<String> {
    let told = RefCell::new(Vec::new());
    let run = lists.run(|finding| told.borrow_mut().push(finding.to_string()));
    let _ = tokio::time::timeout(Duration::from_mins(minutes), run).await;
    told.into_inner()
}

#[test]
fn whom_lists_are_asked_about() {
    assert_eq!(subjects(&config("")).len(), 0, "an address that nobody knows");
    let config = config(
        "[[source]]\nname = \"a\"\naddress = \"10.0.0.1\"\npublic = \"203.0.113.11\"\nhelo = \"a.example.pe\"\n\
         [[source]]\nname = \"b\"\naddress = \"2001:db8::1\"\nhelo = \"b.example.pe\"\n\
         [[account]]\nname = \"x\"\nnetworks = [\"10.0.0.0/8\"]\n\
         senders = [\"*@Acto.example.pe\", \"*@*.below.pe\", \"ana@one.pe\"]\n\
         [[dkim]]\ndomain = \"key.pe\"\nselector = \"s\"\nprivate_key = \"/k\"\n",
    );
    let subjects: Vec<String> = subjects(&config).iter().map(ToString::to_string).collect();
    let expected =
        ["203.0.113.11", "2001:db8::1", "acto.example.pe", "below.pe", "key.pe", "one.pe"];
    assert_eq!(subjects, expected);
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_found_and_said_in_words() {
    let zone = Arc::new(Zone::new(
        "2.0.0.127.zen.spamhaus.org A 127.0.0.2
         11.113.0.203.zen.spamhaus.org A 127.0.0.3
         11.113.0.203.zen.spamhaus.org TXT https://www.spamhaus.org/query/ip/203.0.113.11",
    ));
    let lists = blocklists(&zone);
    let config = config(
        "[[source]]\nname = \"a\"\naddress = \"10.0.0.1\"\npublic = \"203.0.113.11\"\nhelo = \"a.example.pe\"\n\
         [[blocklist]]\nzone = \"zen.spamhaus.org\"\n",
    );
    assert_eq!(lists.configure(&config), []);
    assert_eq!(
        found(&lists, 10).await,
        [
            "203.0.113.11 is listed by zen.spamhaus.org (127.0.0.3: CSS: low reputation, or mail spread thin over many \
          addresses (snowshoe)): \"https://www.spamhaus.org/query/ip/203.0.113.11\"; to be taken out: \
          https://check.spamhaus.org/"
        ]
    );
    let address = "203.0.113.11".parse().unwrap();
    assert_eq!(lists.listed_subjects(), [Subject::Address(address)]);
    assert_eq!(lists.listed().len(), 1);
    // Tests have no texts, nor has what is not listed.
    let asked = zone.asked();
    let texts = asked.iter().filter(|it| it.starts_with("TXT"));
    assert!(texts.clone().all(|it| it == "TXT 11.113.0.203.zen.spamhaus.org"), "{asked:?}");
    assert_eq!(texts.count(), 2);
    // It outlives a restart.
    let dns: Arc<dyn MailDns> = Arc::clone(&zone) as _;
    let again = Blocklists::new(lists.memory(), dns, Arc::new(Clock(Instant::now())));
    assert_eq!(again.configure(&config), []);
    assert_eq!(again.listed(), lists.listed());
}

#[tokio::test(start_paused = true)]
async fn a_key_is_asked_with_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dqs.key");
    std::fs::write(&file, "SecretKey123\nnothing else counts\n").unwrap();
    let zone = Arc::new(Zone::new(
        "2.0.0.127.secretkey123.zen.dq.spamhaus.net A 127.0.0.2
         11.113.0.203.secretkey123.zen.dq.spamhaus.net A 127.0.0.2
         11.113.0.203.secretkey123.zen.dq.spamhaus.net TXT ask SECRETKEY123.zen.dq.spamhaus.net, not secretkey123",
    ));
    let lists = blocklists(&zone);
    let config = config(&format!(
        "[[source]]\nname = \"a\"\naddress = \"203.0.113.11\"\nhelo = \"a.example.pe\"\n\
         [[blocklist]]\nzone = \"{{key}}.zen.dq.spamhaus.net\"\nkey_file = {file:?}\n"
    ));
    lists.configure(&config);
    let told = found(&lists, 10).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("\"ask {key}.zen.dq.spamhaus.net, not {key}\""), "{told:?}");
    // A file that holds no key: the list is not asked, and after an hour told to be broken.
    std::fs::write(&file, "two words\n").unwrap();
    let zone = Arc::new(Zone::new(""));
    let lists = blocklists(&zone);
    lists.configure(&config);
    let told = found(&lists, 90).await;
    assert!(told.len() == 1 && told[0].contains("is no key"), "{told:?}");
    assert!(!told[0].contains("two words"), "{told:?}");
    assert_eq!(zone.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn silence_is_nothing_and_a_question_at_once_is_asked_at_once() {
    let zone = Arc::new(Zone::new(
        "2.0.0.127.bl.example.pe A 127.0.0.2
         11.113.0.203.bl.example.pe SERVFAIL",
    ));
    let lists = blocklists(&zone);
    lists.configure(&config(
        "[[source]]\nname = \"a\"\naddress = \"203.0.113.11\"\nhelo = \"a.example.pe\"\n\
         [[blocklist]]\nzone = \"bl.example.pe\"\nevery = \"12h\"\n",
    ));
    assert_eq!(found(&lists, 30).await, [""; 0]);
    let asked = zone.asked().len();
    assert_eq!(found(&lists, 30).await, [""; 0]);
    assert_eq!(zone.asked().len(), asked, "nothing is due for hours");
    let mut run = pin!(lists.run(|_| {}));
    let waker = std::task::Waker::noop();
    assert!(run.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    lists.ask_now(&Subject::Address("203.0.113.11".parse().unwrap()));
    let _ = tokio::time::timeout(Duration::from_secs(1), run).await;
    assert!(zone.asked().len() > asked, "{:?}", zone.asked());
}
