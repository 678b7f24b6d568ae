//! The session of a client: what is read of one message, and the replies to it.

use std::sync::Arc;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use mta::message::{Id, IdGenerator, Timestamp};
use mta::policy::Policy;
use mta::smtp_in::session::{Session, Setup, Step};
use tests::corpus::attachment;

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_000);

pub fn one_message(criterion: &mut Criterion) {
    let config = super::config("");
    let listener = Arc::clone(&config.listeners[0]);
    let setup = Arc::new(Setup { listener, policy: Arc::new(Policy::new(&config)) });
    let mut group = criterion.benchmark_group("session");
    for (name, octets) in [("2 KiB", 2 * 1024), ("100 kB", 100_000)] {
        let said = format!(
            "EHLO client.example\r\nMAIL FROM:<ana@client.example>\r\nRCPT TO:<eva@sink.example>\r\nDATA\r\n\
             From: <ana@client.example>\r\nTo: <eva@sink.example>\r\nSubject: load\r\n\r\n{}\r\n.\r\nQUIT\r\n",
            attachment(octets)
        );
        group.throughput(Throughput::Bytes(said.len() as u64));
        group.bench_function(format!("one message of {name}"), |bench| {
            bench.iter(|| assert_eq!(dialog(&setup, said.as_bytes()), 1));
        });
    }
    group.finish();
}

/// Messages that were accepted.
fn dialog(setup: &Arc<Setup>, said: &[u8]) -> u32 {
    let ids = IdGenerator::above(Some(Id::ZERO));
    let from = "127.0.0.1".parse().unwrap();
    let mut session = Session::new(Arc::clone(setup), from, None, Box::new(move || ids.next(NOW)));
    session.greet(false);
    let mut input = BytesMut::new();
    let mut accepted = 0;
    // As a socket gives it: a client waits for 354.
    let (commands, data) =
        said.split_at(said.windows(6).position(|it| it == b"DATA\r\n").unwrap() + 6);
    for piece in std::iter::once(commands).chain(data.chunks(16 * 1024)) {
        input.extend_from_slice(piece);
        loop {
            match session.step(&mut input, NOW) {
                Step::Read => break,
                Step::Reserve(_) => session.reserved(Ok(())),
                Step::Accept(submission) => {
                    accepted += 1;
                    session.accepted(submission.id, Ok(()), NOW);
                }
                Step::Close => return accepted,
                _ => unreachable!("a small message without TLS and password"),
            }
        }
    }
    accepted
}
