//! Notices (RFC 3464): whatever a server said, they are a multipart/report of lines that any server takes, and nobody
//! writes into their headers.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mail_parser::{MessageParser, MimeHeaders};
use mta::message::{
    Address, BodyType, EnhancedCode, Id, Message, OriginalRecipient, Priority, Reply, ReversePath,
    SubmittedBody, Timestamp, parse_envelope_id,
};
use mta::outcome::{Notice, Told, What, notice, returned};
use mta::smtp::DataReceiver;

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    told: Vec<(u8, &'a str, &'a str, &'a str, u16)>,
    subject: &'a str,
    envelope_id: &'a str,
    mx: &'a str,
    body: &'a [u8],
}

/// What the spool holds has passed the receiver of DATA.
fn is_stored(body: &[u8]) -> bool {
    let mut receiver = DataReceiver::new(false, 998, 1 << 20);
    receiver.receive_chunk(body, true);
    receiver.flaw().is_none() && (body.is_empty() || body.ends_with(b"\r\n"))
}

/// Our own words.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fuzz_target!(|input: Input<'_>| {
    if !is_stored(input.body) {
        return;
    }
    let told: Vec<Told> = input
        .told
        .iter()
        .take(50)
        .enumerate()
        .map(|(number, (what, reply, cause, original, code))| Told {
            recipient: Address::parse(&format!("r{number}@y.pe")).unwrap(),
            original: OriginalRecipient::parse(original),
            what: match what % 4 {
                0 => What::Failed,
                1 => What::Expired,
                2 => What::Delayed(NOW),
                _ => What::Relayed,
            },
            reply: (what & 64 == 0).then(|| {
                let lines = reply.lines();
                if what & 128 == 0 {
                    Reply::from_lines(200 + code % 400, lines)
                } else {
                    Reply::new(200 + code % 400, EnhancedCode::new(5, 7, 1), plain(reply))
                }
            }),
            cause: plain(cause),
        })
        .collect();
    if told.is_empty() {
        return;
    }
    let message = Message {
        id: Id::ZERO,
        sender: ReversePath(Address::parse("ana@x.pe").ok()),
        prefix: Bytes::from_static(b"Received: x\r\n"),
        body_size: input.body.len() as u64,
        body_chunks: 1,
        leading_dots: false,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: parse_envelope_id(input.envelope_id),
        from_domain: None,
        foreign_signature: false,
        deliveries: 1,
        listener: "l".to_owned(),
        account: "a".to_owned(),
        pool: None,
        tags: Vec::new(),
        priority: Priority::default(),
        message_id: (!input.subject.is_empty()).then(|| plain(input.subject)),
        signatures: None,
    };
    let returned = returned(&message, &told, &[Bytes::copy_from_slice(input.body)]);
    let to = Address::parse("ana@x.pe").unwrap();
    let mx = plain(input.mx);
    let mx = (!mx.is_empty()).then_some(mx.as_str());
    let made = notice(
        Notice {
            id: Id::ZERO,
            to,
            message: &message,
            told: &told,
            returned,
            hostname: "r.x.pe",
            mx,
        },
        NOW,
    );
    let SubmittedBody::Whole(pieces) = &made.body else { panic!("it is not large") };
    let text = [&made.prefix[..], &pieces.concat()].concat();
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        assert!(line.ends_with(b"\r\n"), "{:?}", String::from_utf8_lossy(line));
        assert!(line.len() <= 1000, "a line of {} octets", line.len());
        assert!(!line[..line.len() - 2].iter().any(|it| matches!(it, b'\r' | 0)));
    }
    let parsed = MessageParser::default().parse(&text).expect("it is a message");
    let kind = parsed.content_type().expect("it has a type");
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert!(parsed.parts.len() > 2, "it tells people and programs");
    assert!(made.sender.is_null(), "nobody is told of a notice");
});
