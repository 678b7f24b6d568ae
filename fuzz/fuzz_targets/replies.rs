//! What servers answer: split anywhere, the same; and nobody counts as reached before the message was taken.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mta::message::{
    Address, BodyType, Id, Message, Outcome, Priority, Recipient, RecipientParameters,
    RecipientState, Reply, ReversePath,
};
use mta::smtp_out::Content;
use mta::smtp_out::opening::{Opening, TlsWish};
use mta::smtp_out::reply_reader::ReplyReader;
use mta::smtp_out::steps::Move;
use mta::smtp_out::transaction::Transaction;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    recipients: u8,
    login: bool,
    tls: bool,
    dots: bool,
    /// Well-formed replies of these codes come first, so that the conversation gets somewhere.
    opening: Vec<u8>,
    ehlo: &'a str,
    codes: Vec<u8>,
    octets: &'a [u8],
}

const CODES: [u16; 16] =
    [250, 250, 250, 354, 220, 221, 235, 334, 421, 450, 451, 452, 550, 552, 554, 251];

fn message(dots: bool) -> Message {
    Message {
        id: Id::ZERO,
        sender: ReversePath(Address::parse("ana@x.pe").ok()),
        prefix: Bytes::from_static(b"Received: x\r\n"),
        body_size: 9,
        body_chunks: 1,
        leading_dots: dots,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: None,
        from_domain: None,
        foreign_signature: false,
        deliveries: 1,
        listener: "l".to_owned(),
        account: "a".to_owned(),
        pool: None,
        tags: Vec::new(),
        priority: Priority::default(),
        message_id: None,
        signatures: None,
    }
}

/// The replies in these octets, when they come in pieces of so many; `None` after what is no reply.
fn read(octets: &[u8], most: usize) -> Vec<Option<Reply>> {
    let mut reader = ReplyReader::default();
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in octets.chunks(most) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(reply)) => found.push(Some(reply)),
                Ok(None) => break,
                Err(_) => {
                    found.push(None);
                    return found;
                }
            }
        }
    }
    found
}

fn reply(code: u8) -> Reply {
    Reply::from_lines(CODES[usize::from(code) % CODES.len()], std::iter::once("2.0.0 said"))
}

fuzz_target!(|input: Input<'_>| {
    let whole = read(input.octets, usize::MAX);
    assert_eq!(whole, read(input.octets, 1));
    assert_eq!(whole, read(input.octets, 7));

    let login = input.login.then(|| ("ana".to_owned(), "secreto".to_owned()));
    let wish = if input.tls { TlsWish::WhenOffered } else { TlsWish::Never };
    let mut opening = Opening::new("m.x.pe", wish, login);
    let offered = Reply::from_lines(250, input.ehlo.lines().take(50));
    let greeting = Reply::from_lines(220, std::iter::once("x"));
    let first = [greeting, offered].into_iter();
    let rest = input.opening.iter().map(|code| reply(*code));
    for said in first.chain(rest).chain(whole.iter().flatten().cloned()) {
        match opening.reply(said) {
            Ok(Move::StartTls) => drop(opening.tls_started()),
            Ok(Move::Done) | Err(_) => break,
            Ok(_) => {}
        }
    }

    let message = message(input.dots);
    let body = if input.dots { "\r\n.x\r\n..\r\n.\r\n" } else { "\r\ntext\r\n" };
    let content = Content::new(&message, None, &[Bytes::from_static(body.as_bytes())]);
    let recipients: Vec<Recipient> = (0..=input.recipients % 20)
        .map(|number| Recipient {
            address: Address::parse(&format!("r{number}@y.pe")).unwrap(),
            parameters: RecipientParameters::default(),
            state: RecipientState::Queued,
        })
        .collect();
    let recipients: Vec<&Recipient> = recipients.iter().collect();
    let Ok(mut transaction) =
        Transaction::new(&message, &content, &recipients, &opening.capabilities)
    else {
        return;
    };
    let mut sent = Vec::new();
    let mut note = |step: &Move| {
        if let Move::Send(pieces) = step {
            sent.extend_from_slice(&pieces.concat());
        }
    };
    note(&transaction.start());
    let mut last = None;
    let replies = input.codes.iter().map(|code| reply(*code)).chain(whole.into_iter().flatten());
    let mut failed = None;
    for said in replies {
        last = Some(said.code);
        match transaction.reply(said) {
            Ok(Move::Done) => break,
            Ok(step) => note(&step),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    let content_sent = transaction.content_sent();
    let outcomes = match failed {
        Some(failure) => transaction.broken(&failure),
        None => transaction.finish(),
    };
    assert_eq!(outcomes.len(), recipients.len(), "each has an outcome");
    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered(_))) {
        assert!(content_sent, "reached before the message had gone out");
        assert!(last.is_some_and(|code| (200..300).contains(&code)), "the last word was {last:?}");
    }
});
