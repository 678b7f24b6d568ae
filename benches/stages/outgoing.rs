//! What a delivery costs beside the wire: the signature, and what a reply means.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use mta::message::Timestamp;
use mta::outside::DkimKeys;
use mta::outside::real::{KeyFiles, KeySize, generate};
use mta::policy::dkim::Signing;
use relay_config::responses::{Phase, Said};
use tests::corpus::attachment;

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_000);

/// A reply that an early rule knows, a late one, and none at all; the last is long.
const REPLIES: [(&str, u16, &str); 4] = [
    ("early", 421, "Our system has detected an unusual rate of mail from your IP netblock"),
    (
        "late",
        550,
        "<eva@x.example>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    ("unknown", 451, "Something that nobody has written a rule for, in a sentence of usual length"),
    (
        "long",
        550,
        "Message from 192.0.2.17 was refused because the sender ana@institucion.example is not known here; see \
         https://example.com/why?code=17 for what can be done, then write to postmaster@x.example and give this \
         number: 0123456789abcdef",
    ),
];

pub fn classify(criterion: &mut Criterion) {
    let config = super::config("");
    let mut group = criterion.benchmark_group("classify");
    group.throughput(Throughput::Elements(1));
    for (name, code, text) in REPLIES {
        let said = Said {
            code,
            enhanced: Some((if code < 500 { 4 } else { 5 }, 7, 1)),
            text,
            phase: Some(Phase::Rcpt),
            provider: Some("google"),
        };
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(config.responses.classify(black_box(&said))));
        });
    }
    group.finish();
}

pub fn sign(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("DKIM");
    for (name, size) in [("RSA 2048", KeySize::Rsa2048), ("Ed25519", KeySize::Ed25519)] {
        let key = generate(size).unwrap();
        let path = folder.path().join(name.replace(' ', "-"));
        std::fs::write(&path, key.pem.as_bytes()).unwrap();
        let config = super::config(&format!(
            "[[dkim]]\ndomain = \"client.example\"\nselector = \"s\"\nprivate_key = \"{}\"\n",
            path.display()
        ));
        let keys = KeyFiles.open(&config.dkim).unwrap();
        let signing = Signing::new(&config.dkim, Arc::clone(&keys.signer));
        for (octets, what) in [(2 * 1024, "2 KiB"), (100_000, "100 kB")] {
            let message = Bytes::from(format!(
                "From: <ana@client.example>\r\nTo: <eva@sink.example>\r\nSubject: load\r\n\
                 Message-ID: <1@client.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 -0500\r\n\r\n{}",
                attachment(octets)
            ));
            let pieces = [message];
            group.throughput(Throughput::Bytes(pieces[0].len() as u64));
            group.bench_function(format!("{name}, {what}"), |bench| {
                bench.iter(|| black_box(signing.sign("client.example", &pieces, NOW).unwrap()));
            });
        }
    }
    group.finish();
}
