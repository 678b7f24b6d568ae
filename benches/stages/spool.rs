//! Spool and queue: what is written of a message, until it is on disk.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use mta::message::{DeliveryId, Id, IdGenerator, Lane, Priority, Timestamp};
use mta::queue::due::DueIndex;
use mta::queue::keys::DueEntry;
use mta::spool::{Committer, Family, Operation, RocksSpool, Spool};
use tests::corpus::attachment;

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_000);
/// A real disk, like that of the load.
const DISK: &str = "/var/tmp";
/// Sessions that hand in at a time.
const SESSIONS: u64 = 50;

/// Fifty messages of 2 KiB that are handed in at once share a write and a sync.
pub fn commit(criterion: &mut Criterion) {
    let folder = tempfile::Builder::new().prefix("tambo-bench-").tempdir_in(DISK).unwrap();
    let spool: Arc<dyn Spool> = Arc::new(RocksSpool::open(folder.path()).unwrap());
    let (committer, thread) = Committer::start(spool, 0).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ids = IdGenerator::above(Some(Id::ZERO));
    let body = Bytes::from(attachment(2 * 1024));
    let mut group = criterion.benchmark_group("commit, synced");
    for sessions in [1, SESSIONS] {
        group.throughput(Throughput::Elements(sessions));
        group.bench_function(format!("{sessions} messages of 2 KiB"), |bench| {
            bench.iter(|| {
                runtime.block_on(async {
                    let mut waiting = Vec::new();
                    for _ in 0..sessions {
                        let id = ids.next(NOW);
                        let key = id.to_bytes().to_vec();
                        let put = |family| Operation::Put(family, key.clone(), body.clone());
                        let committer = committer.clone();
                        let operations = vec![put(Family::Bodies), put(Family::Messages)];
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

/// One delivery enters and leaves the index of what is due, beside 10,000 lanes.
pub fn queue(criterion: &mut Criterion) {
    let mut index = DueIndex::new(100_000, 100_000);
    let entry = |number: u64| DueEntry {
        domain: format!("d{}.example", number % 10_000).into(),
        lane: Lane { priority: Priority::default(), account: 1, tag: 2 },
        due: NOW,
        id: DeliveryId { message: Id::from_bytes(number.to_be_bytes()), number: 0 },
    };
    for number in 0..10_000 {
        index.offer(&entry(number), NOW);
    }
    let mut number = 10_000;
    let mut group = criterion.benchmark_group("queue, 10,000 lanes");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a delivery enters and leaves", |bench| {
        bench.iter_batched(
            || {
                number += 1;
                entry(number)
            },
            |entry| {
                black_box(index.offer(&entry, NOW));
                index.leaves(&entry.domain, entry.lane, entry.id, None);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
