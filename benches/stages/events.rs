//! What an event costs: made, written down as JSON with what it is found by, and on disk beside its message.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use mta::message::{Event, EventKind, Id, IdGenerator, Timestamp};
use mta::spool::{Committer, Family, Operation, RocksSpool, Spool, event_index};
use tests::corpus::attachment;

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_000);
/// A real disk, like that of the load.
const DISK: &str = "/var/tmp";
/// Messages that are handed in at a time.
const MESSAGES: u64 = 50;

fn accepted(id: Id, message: Id) -> Event {
    let mut event = Event::new(id, EventKind::Accepted);
    event.message = Some(message);
    event.message_id = Some(format!("{message}@boletin.institucion.example"));
    event.listener = Some("relay".to_owned());
    event.client = "10.20.1.17".parse().ok();
    event.account = Some("boletin".to_owned());
    event.pool = Some("bulk".to_owned());
    event.tags = vec!["boletin-2026-11".to_owned()];
    event.sender = Some("boletin@institucion.example".to_owned());
    event.recipient = Some("maria.fernandez@correo.example".to_owned());
    event.size = Some(2_300);
    event
}

fn delivered(id: Id, message: Id) -> Event {
    let mut event = accepted(id, message);
    event.kind = EventKind::Delivered;
    event.site = Some("google".to_owned());
    event.provider = Some("google".to_owned());
    event.mx = Some("gmail-smtp-in.l.google.com".to_owned());
    event.source = Some("ip-03".to_owned());
    event.tls = Some("TLSv1.3 TLS13_AES_256_GCM_SHA384".to_owned());
    event.code = Some(250);
    event.enhanced = Some("2.0.0".to_owned());
    event.reply =
        Some("OK 1795525500 a1-20020a1709027e4100b001c9b1234567si12345678 - gsmtp".to_owned());
    event.attempt = Some(1);
    event.seconds = Some(0.8);
    event
}

/// One event, from nothing to what the spool is handed.
pub fn made(criterion: &mut Criterion) {
    let ids = IdGenerator::above(Some(Id::ZERO));
    let message = ids.next(NOW);
    let mut group = criterion.benchmark_group("event, made and indexed");
    group.throughput(Throughput::Elements(1));
    group.bench_function("accepted", |bench| {
        bench.iter(|| event_index::operations(&black_box(accepted(ids.next(NOW), message))));
    });
    group.bench_function("delivered", |bench| {
        bench.iter(|| event_index::operations(&black_box(delivered(ids.next(NOW), message))));
    });
    group.finish();
}

/// Fifty messages of 2 KiB that share a write and a sync, without events and with the two that each has.
pub fn beside_messages(criterion: &mut Criterion) {
    let folder = tempfile::Builder::new().prefix("tambo-bench-").tempdir_in(DISK).unwrap();
    let spool: Arc<dyn Spool> = Arc::new(RocksSpool::open(folder.path()).unwrap());
    let (committer, thread) = Committer::start(spool, 0).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ids = IdGenerator::above(Some(Id::ZERO));
    let body = Bytes::from(attachment(2 * 1024));
    let mut group = criterion.benchmark_group("50 messages of 2 KiB, synced");
    group.throughput(Throughput::Elements(MESSAGES));
    for (name, events) in [("without events", false), ("with two events each", true)] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                runtime.block_on(async {
                    let mut waiting = Vec::new();
                    for _ in 0..MESSAGES {
                        let id = ids.next(NOW);
                        let key = id.to_bytes().to_vec();
                        let put = |family| Operation::Put(family, key.clone(), body.clone());
                        let mut operations = vec![put(Family::Bodies), put(Family::Messages)];
                        if events {
                            for event in [accepted(ids.next(NOW), id), delivered(ids.next(NOW), id)]
                            {
                                operations.extend(event_index::operations(&event));
                            }
                        }
                        let committer = committer.clone();
                        waiting
                            .push(tokio::spawn(async move { committer.commit(operations).await }));
                    }
                    for one in waiting {
                        one.await.unwrap().unwrap();
                    }
                });
            });
        });
    }
    group.finish();
    drop(committer);
    thread.join().unwrap();
}
