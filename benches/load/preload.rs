//! Fills a spool with deferred messages by the way of the relay itself: its queue takes each message in, and
//! what it hands out for delivery is put back as after a first attempt that a greylist refused. So the spool
//! is what a relay leaves that was killed with a full queue: records, places in the due index (also those
//! that were removed again), events and their index.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ::tests::corpus::attachment;
use bytes::Bytes;
use mta::app;
use mta::message::{
    Address, BodyType, Delivery, EnhancedCode, Event, EventKind, Failure, Fault, Outcome, Priority,
    RecipientParameters, Reply, Retry, ReversePath, Scope, Submission, SubmittedBody,
};
use mta::outcome::{EventFiles, FileLimits, JsonlSink};
use mta::outside::WallClock;
use mta::queue::schedule::Schedule;
use mta::queue::state::{Through, attempted};
use mta::queue::{Outlet, Queue, Ready};
use mta::spool::{Committer, Spool};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::history::{self, SetClock};

/// Days of events.
const DAYS: u64 = 30;
/// Until the next attempt: none of it comes due while it is measured.
const WAITS: Duration = Duration::from_hours(12);
/// Messages that are taken in at a time: so many share a sync.
const AT_ONCE: usize = 2_000;
/// Octets of a body: kept apart from its key, as most are.
const BODY_OCTETS: usize = 1_024;
/// Domains that wait, each a line of its own.
const DOMAINS: usize = 1_000;
/// How often it says how far it is.
const SAYS: Duration = Duration::from_secs(5);

/// So many deferred messages in the spool of this data folder, under this configuration; before them about so many events
/// of thirty days.
pub async fn fill(data_dir: &Path, config: &str, messages: usize, events: usize) {
    let config = relay_config::load(config, "tambo.toml")
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
        .config;
    let spool = open(&data_dir.join("spool"));
    let (committer, thread) = Committer::start(Arc::clone(&spool), 0).unwrap();
    let mut options = app::options(&config);
    options.schedule = Schedule { delays: vec![WAITS], jitter: config.delivery.retry_jitter };
    let schedule = options.schedule.clone();
    let clock = Arc::new(SetClock::default());
    let wall: Arc<dyn WallClock> = Arc::clone(&clock) as Arc<dyn WallClock>;
    let queue = Arc::new(Queue::open(spool, committer, wall, options).unwrap());
    if events > 0 {
        history::write(&queue, &clock, events, DAYS).await;
        eprintln!("history: about {events} events of {DAYS} days written");
    }
    let greylist = Arc::new(Greylist {
        queue: Arc::downgrade(&queue),
        schedule,
        random: Mutex::new(StdRng::seed_from_u64(5)),
        deferred: AtomicUsize::new(0),
    });
    let outlet: Arc<dyn Outlet> = Arc::clone(&greylist) as Arc<dyn Outlet>;
    queue.set_outlet(&outlet);
    let mut loader = JoinSet::new();
    let loading = Arc::clone(&queue);
    loader.spawn(async move { loading.run_loader().await });
    take_in(&queue, &greylist, messages).await;
    queue.commit_state(Vec::new()).await.unwrap();
    // The event files of a relay that ran are up to date.
    let limits =
        FileLimits { file_size: config.events.file_size.0, max_size: config.events.max_size.0 };
    let files = EventFiles::open(data_dir.join("events"), limits).unwrap();
    let sink = Arc::new(JsonlSink::new(Arc::clone(&queue), files, config.events.keep));
    sink.follow(queue.next_id()).await.unwrap();
    if events > 0 {
        history::add_up(&queue, config.clone()).await;
    }
    queue.commit_state(Vec::new()).await.unwrap();
    loader.shutdown().await;
    drop((sink, outlet, greylist, queue));
    // The spool is closed when the committer, who held it last, has ended.
    tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap();
}

async fn take_in(queue: &Arc<Queue>, greylist: &Greylist, messages: usize) {
    let body = Bytes::from(format!("Subject: backlog\r\n\r\n{}", attachment(BODY_OCTETS)));
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE.min(messages) {
        let (queue, next, body) = (Arc::clone(queue), Arc::clone(&next), body.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= messages {
                    return;
                }
                queue
                    .accept(submission(&queue, number, body.clone()), Duration::ZERO)
                    .await
                    .unwrap();
            }
        });
    }
    let started = Instant::now();
    let mut said = started;
    loop {
        let deferred = greylist.deferred.load(Ordering::Relaxed);
        if said.elapsed() >= SAYS || deferred == messages {
            eprintln!(
                "backlog: {deferred} of {messages} written, {} s",
                started.elapsed().as_secs()
            );
            said = Instant::now();
        }
        if deferred == messages {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

#[cfg(feature = "rocks")]
pub fn open(path: &Path) -> Arc<dyn Spool> {
    Arc::new(mta::spool::RocksSpool::open(path).unwrap())
}

#[cfg(not(feature = "rocks"))]
pub fn open(_path: &Path) -> Arc<dyn Spool> {
    panic!("this program was built without the durable spool (feature `rocks`)")
}

fn submission(queue: &Queue, number: usize, body: Bytes) -> Submission {
    let recipient = Address::parse(&format!("r{number}@b{}.example", number % DOMAINS)).unwrap();
    Submission {
        id: queue.next_id(),
        sender: ReversePath(Some(Address::parse("load@client.example").unwrap())),
        recipients: vec![(recipient, RecipientParameters::default())],
        prefix: Bytes::from_static(b"Received: from client.example by relay.example\r\n"),
        body: SubmittedBody::Whole(vec![body]),
        leading_dots: false,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: None,
        from_domain: Some("client.example".to_owned()),
        foreign_signature: false,
        listener: "relay".to_owned(),
        client: Some([127, 0, 0, 1].into()),
        account: "relay".to_owned(),
        pool: None,
        tags: vec![],
        priority: Priority::default(),
        message_id: Some(format!("{number}@client.example")),
        send_at: None,
        personal: None,
    }
}

/// Takes what may be delivered, and defers it.
struct Greylist {
    queue: Weak<Queue>,
    schedule: Schedule,
    random: Mutex<StdRng>,
    deferred: AtomicUsize,
}

impl Outlet for Greylist {
    fn ready(&self, deliveries: Vec<Ready>) {
        let Some(queue) = self.queue.upgrade() else { return };
        for ready in deliveries {
            self.defer(&queue, ready);
        }
    }

    fn recall(&self, _delivery: &Delivery) -> Option<Ready> {
        None
    }
}

impl Greylist {
    fn defer(&self, queue: &Queue, mut ready: Ready) {
        let reply = Reply::new(450, EnhancedCode::new(4, 7, 1), "Greylisted, please try again");
        let failure = Failure {
            scope: Scope::Recipient,
            fault: Fault::Peer,
            retry: Retry::Later(None),
            reply: reply.clone(),
            phase: None,
            cause: "greylisted".to_owned(),
        };
        let host = format!("mx.{}", ready.delivery.domain);
        let through = Through { source: None, mx: Some(host.clone()), spent: false };
        let changes = attempted(
            &mut ready.delivery,
            vec![Outcome::Failed(failure)],
            &[None],
            through,
            &self.schedule,
            queue.now(),
            &mut self.random.lock().unwrap(),
        );
        let mut event = Event::of_message(queue.next_id(), EventKind::Deferred, &ready.message);
        event.recipient = ready.delivery.recipients.first().map(|it| it.address.to_string());
        event.mx = Some(host);
        event.code = Some(reply.code);
        event.reply = Some(reply.text);
        event.attempt = Some(ready.delivery.attempts);
        event.next_attempt = changes.next.map(mta::message::Timestamp::to_rfc3339);
        queue.conclude(ready, &changes, &[event], None, Vec::new()).unwrap();
        self.deferred.fetch_add(1, Ordering::Relaxed);
    }
}
