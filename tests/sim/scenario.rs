//! 1,000 messages to servers that greylist, break connections or never say a word, and a crash in
//! the middle; then two days and more, until the last of it has been delivered or has expired.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::app::{Relay, World};
use mta::message::{Event, EventKind, Timestamp};
use mta::outside::Net;
use mta::spool::{Committer, Family, MemorySpool, Spool};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay_config::Config;
use tests::client::Client;
use tests::mx::{Behaviour, Books, MxHost};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::world::{SimClock, SimDns, SimKeys, SimNet};

const MESSAGES: usize = 1_000;
const SESSIONS: usize = 5;
const LISTENER: &str = "10.0.0.1:25";
const DOMAINS: [&str; 5] =
    ["grey.example", "resets.example", "both.example", "good.example", "silent.example"];

/// What happened.
#[derive(Default)]
pub struct Story {
    /// Every event, and every message that a server took, in order.
    pub log: Vec<String>,
    /// Recipients whose message was answered 250.
    pub acknowledged: BTreeSet<String>,
    /// Final events of each recipient.
    pub ends: BTreeMap<String, u32>,
    /// Those whose time was over.
    pub expired: BTreeSet<String>,
    /// Recipients at the servers.
    pub arrived: BTreeSet<String>,
    /// Messages at the servers, duplicates included.
    pub copies: usize,
    /// Deliveries left in the queue.
    pub left: usize,
    /// Most connections to a site, and on a path.
    pub most_for_site: usize,
    /// Of one source.
    pub most_for_path: usize,
    /// How often one message was signed in one life.
    pub signed_most: u32,
    /// Signatures that failed.
    pub signing_failed: u32,
    /// Messages at the servers without exactly one signature below the Received field.
    pub ill_signed: Vec<String>,
    /// Attempts that came before the time that was set for them.
    pub early_retries: Vec<String>,
}

struct Life<'a> {
    seed: u64,
    start: Timestamp,
    spool: &'a Arc<MemorySpool>,
    books: &'a [Books],
    todo: Arc<Mutex<BTreeSet<usize>>>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
}

/// Two lives of a relay on one spool: the first ends when the power goes off.
pub fn run(seed: u64) -> Story {
    let spool = Arc::new(MemorySpool::new());
    let books: Vec<Books> = DOMAINS.iter().map(|_| Books::default()).collect();
    let todo = Arc::new(Mutex::new((0..MESSAGES).collect()));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let start = Timestamp::from_millis(1_795_525_500_000);
    let mut story = Story::default();
    let mut life = Life { seed, start, spool: &spool, books: &books, todo, acknowledged };
    let crash_after = StdRng::seed_from_u64(seed).random_range(5..40);
    let crash_after = Duration::from_secs(crash_after);
    live(&life, Some(crash_after), &mut story);
    spool.crash();
    life.seed = seed ^ 0xffff;
    life.start = start.after(crash_after).after(Duration::from_secs(10));
    live(&life, None, &mut story);
    story.acknowledged.clone_from(&life.acknowledged.lock().unwrap());
    story.left = count(&*spool, Family::Deliveries);
    read_events(&*spool, &mut story);
    story
}

fn live(life: &Life<'_>, until: Option<Duration>, story: &mut Story) {
    // A runtime of its own: when it is dropped, everything that lived in it stops at once.
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let net = SimNet::default();
        let (hosts, keys) = (hosts(&net, life.books), SimKeys::default());
        let world = World {
            clock: Arc::new(SimClock::starting(life.start)),
            dns: Arc::new(dns()),
            net: Arc::new(net.clone()),
            keys: Arc::new(keys.clone()),
            spool: Arc::clone(life.spool) as Arc<dyn Spool>,
            committer: Committer::inline(Arc::clone(life.spool) as Arc<dyn Spool>),
            seed: life.seed,
        };
        let relay = Relay::start(Arc::new(config()), world).unwrap();
        for session in 0..SESSIONS {
            tokio::spawn(send(
                net.clone(),
                life.seed,
                session,
                Arc::clone(&life.todo),
                Arc::clone(&life.acknowledged),
            ));
        }
        if let Some(until) = until {
            sleep(until).await;
        } else {
            let done = async {
                while !life.todo.lock().unwrap().is_empty()
                    || count(&**life.spool, Family::Deliveries) > 0
                {
                    sleep(Duration::from_secs(30)).await;
                }
            };
            // Two days are the time after which mail expires.
            let _ = timeout(Duration::from_hours(60), done).await;
        }
        drop(relay);
        let (most, failed) = keys.most_and_failed();
        story.signed_most = story.signed_most.max(most);
        story.signing_failed += failed;
        record(&hosts, story);
    });
}

fn record(hosts: &[MxHost], story: &mut Story) {
    story.copies = 0;
    story.ill_signed.clear();
    for (host, domain) in hosts.iter().zip(DOMAINS) {
        for (number, taken) in host.taken().iter().enumerate() {
            story.copies += 1;
            story.arrived.extend(taken.recipients.iter().cloned());
            let text = String::from_utf8_lossy(&taken.data);
            let below = text.split_once("+0000\r\n").map_or("", |(_, below)| below);
            let once = text.matches("DKIM-Signature: key=0; t=").count() == 1;
            if !once || !below.starts_with("DKIM-Signature: ") {
                story.ill_signed.push(text.to_string());
            }
            story.log.push(format!(
                "{domain} {number} {} {} {:?}",
                taken.from, taken.helo, taken.recipients
            ));
        }
        story.most_for_site = story.most_for_site.max(host.connections().1);
        story.most_for_path = story.most_for_path.max(host.by_source_max());
    }
}

fn hosts(net: &SimNet, books: &[Books]) -> Vec<MxHost> {
    let behaviour = |domain: &str| Behaviour {
        greylist: domain.starts_with("grey") || domain.starts_with("both"),
        reset_every: (domain.starts_with("resets") || domain.starts_with("both")).then_some(9),
        silent: domain.starts_with("silent"),
        delay: Duration::from_millis(30),
        ..Behaviour::default()
    };
    let start = |(number, (domain, books)): (u8, (&&str, &Books))| {
        let address = SocketAddr::new(IpAddr::from([192, 0, 2, number]), 25);
        // Sessions of the life before are gone with its runtime.
        books.forget_open();
        MxHost::start_on(net, address, behaviour(domain), books.clone())
    };
    (1..).zip(DOMAINS.iter().zip(books)).map(start).collect()
}

fn dns() -> SimDns {
    let entry =
        |(number, domain): (u8, &&str)| (format!("mx.{domain}"), IpAddr::from([192, 0, 2, number]));
    SimDns((1..).zip(DOMAINS.iter()).map(entry).collect::<HashMap<_, _>>())
}

fn config() -> Config {
    let mut text = format!(
        "[server]\nhostname = \"relay.x.example\"\n[[listener]]\nname = \"relay\"\nbind = [\"{LISTENER}\"]\n\
         tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n\
         [[dkim]]\ndomain = \"x.example\"\nselector = \"s\"\nprivate_key = \"none\"\n"
    );
    let mut names = Vec::new();
    for n in 1..=6 {
        let _ = write!(
            text,
            "[[source]]\nname = \"ip-{n}\"\naddress = \"198.51.100.{n}\"\nhelo = \"m{n}.x.example\"\n"
        );
        names.push(format!("\"ip-{n}\""));
    }
    let _ = write!(
        text,
        "[[pool]]\nname = \"bulk\"\nsources = [{}]\nrotation = \"round-robin\"\n",
        names.join(", ")
    );
    relay_config::load(&text, "sim").unwrap().config
}

/// Sends what is left to send; what was not acknowledged is sent again, as a mail server does.
async fn send(
    net: SimNet,
    seed: u64,
    session: usize,
    todo: Arc<Mutex<BTreeSet<usize>>>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(session as u64));
    let from = IpAddr::from([10, 0, 1, u8::try_from(session).unwrap()]);
    let stream = net.connect(from, LISTENER.parse().unwrap()).await.unwrap();
    let mut client = Client::over(stream).await.unwrap();
    client.command("EHLO c.example", 250).await.unwrap();
    loop {
        let Some(number) = todo.lock().unwrap().pop_first() else { return };
        let mut back = GiveBack { todo: Arc::clone(&todo), number: Some(number) };
        sleep(Duration::from_millis(random.random_range(0..400))).await;
        let recipient = format!("u{number}@{}", DOMAINS[number % DOMAINS.len()]);
        let text = "text\r\n".repeat(random.random_range(0..50));
        let data = format!("From: <s@x.example>\r\nSubject: {number}\r\n\r\n{text}");
        if client.deliver("s@x.example", &[&recipient], data.as_bytes()).await.is_ok() {
            back.number = None;
            acknowledged.lock().unwrap().insert(recipient);
        }
    }
}

/// A message that was not acknowledged when the power went off is still to be sent. (An ordered
/// set: in which order a runtime drops its tasks is not told.)
struct GiveBack {
    todo: Arc<Mutex<BTreeSet<usize>>>,
    number: Option<usize>,
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        self.todo.lock().unwrap().extend(self.number);
    }
}

fn count(spool: &dyn Spool, family: Family) -> usize {
    let mut count = 0;
    spool
        .scan(family, &[], &[u8::MAX; 16], &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    count
}

fn read_events(spool: &dyn Spool, story: &mut Story) {
    let mut events: Vec<Event> = Vec::new();
    spool
        .scan(Family::Events, &[], &[u8::MAX; 16], &mut |_, value| {
            story.log.push(String::from_utf8(value.to_vec()).unwrap());
            events.push(serde_json::from_slice(value).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    let mut next: HashMap<String, String> = HashMap::new();
    // Notices go to the sender of all messages, and nobody knows its domain.
    for event in events.into_iter().filter(|event| event.account.as_deref() != Some("notice")) {
        // A message that was sent twice (its 250 was lost) is two messages.
        let key = format!("{} {}", event.message.unwrap(), event.recipient.clone().unwrap());
        if event.kind != EventKind::Accepted
            && let Some(time) = next.remove(&key)
            && event.time < time
        {
            story.early_retries.push(format!("{key} at {} instead of {time}", event.time));
        }
        match event.kind {
            EventKind::Deferred => {
                next.extend(event.next_attempt.map(|time| (key, time)));
            }
            EventKind::Delivered | EventKind::Bounced | EventKind::Expired => {
                if event.kind == EventKind::Expired {
                    story.expired.extend(event.recipient.clone());
                }
                *story.ends.entry(event.recipient.unwrap()).or_default() += 1;
            }
            _ => {}
        }
    }
}
