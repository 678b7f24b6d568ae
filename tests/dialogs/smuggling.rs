//! SMTP smuggling: what some server somewhere takes for the end of DATA, within a message and followed by another one.
//!
//! Inbound no such thing ends a message, wherever the octets are cut. Outbound no server sees an end before ours,
//! however loosely it reads, whatever the spool holds.

use bytes::Bytes;
use mta::message::{Address, Message, Recipient, RecipientParameters, RecipientState, Reply};
use mta::message::{BodyType, Id, Priority, ReversePath, Submission};
use mta::smtp_out::Content;
use mta::smtp_out::opening::Capabilities;
use mta::smtp_out::steps::Move;
use mta::smtp_out::transaction::Transaction;
use tests::dialog::Dialog;

use super::pure::{World, body};

/// Ends of DATA that are none, and whether a CR or LF stands alone in them, an octet 0, or neither.
const ENDS: [(&str, &str); 18] = [
    ("\n.\n", "5.6.11"),
    ("\r\n.\n", "5.6.11"),
    ("\n.\r\n", "5.6.11"),
    ("\r.\r", "5.6.11"),
    ("\r.\r\n", "5.6.11"),
    ("\r.\n", "5.6.11"),
    ("\n.\r", "5.6.11"),
    ("\r\n.\r", "5.6.11"),
    ("\r\n.\r\r\n", "5.6.11"),
    ("\r\n\r.\r\n", "5.6.11"),
    ("\r\n\n.\r\n", "5.6.11"),
    ("\n\n.\r\n", "5.6.11"),
    ("\n\r.\n\r", "5.6.11"),
    ("\r\n\0.\r\n", "5.6.0"),
    ("\r\n.\0\r\n", "5.6.0"),
    ("\r\n\0\r\n.\0", "5.6.0"),
    ("\r\n. \r\n", ""),
    ("\r\n..\r\n", ""),
];
/// The message that is smuggled.
const SMUGGLED: &str =
    "MAIL FROM:<evil@x.pe>\r\nRCPT TO:<victim@y.pe>\r\nDATA\r\nSubject: smuggled\r\n\r\nb\r\n";

/// The first of each may stand right after DATA, too.
fn messages(end: &str) -> Vec<String> {
    let start = end.trim_start_matches("\r\n");
    vec![format!("Subject: x\r\n\r\na{end}{SMUGGLED}"), format!("{start}{SMUGGLED}")]
}

fn listener(normalise: bool) -> Dialog {
    let bare = if normalise { "@ bare_newline = \"normalise\"" } else { "" };
    Dialog::parse("smuggling", bare)
}

/// What is said to a message that arrives in these pieces, and what is taken.
fn told(dialog: &Dialog, pieces: &[&[u8]]) -> (String, Vec<Submission>) {
    let mut world = World::new(dialog);
    world.session.greet(false);
    for piece in pieces {
        world.input.extend_from_slice(piece);
        world.go_on(dialog);
    }
    let said = String::from_utf8(world.session.take_output().to_vec()).unwrap();
    (said, world.accepted)
}

const BEFORE: &[u8] = b"EHLO pc\r\nMAIL FROM:<a@x.pe>\r\nRCPT TO:<b@y.pe>\r\nDATA\r\n";

#[test]
fn nothing_but_crlf_dot_crlf_ends_a_message_that_comes_in() {
    for (end, flaw) in ENDS {
        for message in messages(end) {
            let octets = [message.as_bytes(), b".\r\n"].concat();
            for normalise in [false, true] {
                let dialog = listener(normalise);
                for cut in 0..=octets.len() {
                    let pieces = [BEFORE, &octets[..cut], &octets[cut..], b"NOOP\r\nQUIT\r\n"];
                    let (said, taken) = told(&dialog, &pieces);
                    let place = format!("{message:?} cut at {cut}, normalise: {normalise}\n{said}");
                    let after = said.split("354 ").nth(1).unwrap();
                    let codes: Vec<&str> =
                        after.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
                    let refused = flaw == "5.6.0" || (flaw == "5.6.11" && !normalise);
                    let expected = if refused { "550" } else { "250" };
                    assert_eq!(codes, [expected, "250", "221"], "{place}");
                    assert!(!refused || after.contains(&format!("550 {flaw} ")), "{place}");
                    assert_eq!(taken.len(), usize::from(!refused), "{place}");
                    for one in &taken {
                        check_taken(one, &place);
                    }
                }
            }
        }
    }
}

/// One message, to whom it was sent, with the other one as its text.
fn check_taken(taken: &Submission, place: &str) {
    let recipients: Vec<String> = taken.recipients.iter().map(|it| it.0.to_string()).collect();
    assert_eq!(
        (taken.sender.to_string().as_str(), &recipients[..]),
        ("a@x.pe", &["b@y.pe".to_owned()][..])
    );
    let body = body(taken);
    assert!(String::from_utf8_lossy(&body).contains("RCPT TO:<victim@y.pe>\r\n"), "{place}");
    let bare = body.iter().enumerate().any(|(at, octet)| match octet {
        b'\r' => body.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || body[at - 1] != b'\r',
        _ => false,
    });
    assert!(!bare, "{place}");
}

#[test]
fn a_piece_of_bdat_has_no_end_but_its_size() {
    let ends = ENDS.iter().map(|(end, _)| *end).chain(["\r\n.\r\n"]);
    for end in ends.filter(|end| !end.contains('\0')) {
        for message in messages(end) {
            let size = message.len();
            let command = format!(
                "EHLO pc\r\nMAIL FROM:<a@x.pe>\r\nRCPT TO:<b@y.pe>\r\nBDAT {size} LAST\r\n"
            );
            for cut in 0..=size {
                let (first, second) = message.as_bytes().split_at(cut);
                let pieces = [command.as_bytes(), first, second, b"NOOP\r\n"];
                let (said, taken) = told(&listener(true), &pieces);
                let place = format!("{message:?} cut at {cut}\n{said}");
                assert!(said.ends_with("250 2.0.0 Ok\r\n"), "{place}");
                assert_eq!(taken.len(), 1, "{place}");
                check_taken(&taken[0], &place);
                if !message.replace("\r\n", "").contains(['\r', '\n']) {
                    let octets = body(&taken[0]);
                    assert!(octets == message.as_bytes(), "not as it was sent: {place}");
                }
            }
        }
    }
}

/// A server that takes all that anybody takes for the end of DATA: the messages that it sees.
fn messages_of_a_loose_server(octets: &[u8]) -> usize {
    let all = [b"\r\n", octets].concat();
    let clean: Vec<u8> = all.into_iter().filter(|octet| *octet != 0).collect();
    let is_end = |three: &&[u8]| {
        matches!(three[0], b'\r' | b'\n') && three[1] == b'.' && matches!(three[2], b'\r' | b'\n')
    };
    clean.windows(3).filter(is_end).count()
}

#[test]
fn no_server_sees_two_messages_in_one_that_goes_out() {
    let real = ["\r\n.\r\n", "\r\n.\r\n.\r\n", "\r\n..\r\n"];
    let ends = ENDS.iter().map(|(end, _)| *end).chain(real);
    for text in ends.flat_map(messages) {
        // As it would lie in the spool if it had been let in as it is, and in all pieces.
        for cut in 0..=text.len() {
            for (pipelining, chunking) in [(false, false), (true, false), (true, true)] {
                let pieces =
                    [&text.as_bytes()[..cut], &text.as_bytes()[cut..]].map(Bytes::copy_from_slice);
                let capabilities = Capabilities { pipelining, chunking, ..Capabilities::default() };
                let sent = sent(&pieces, &capabilities);
                if chunking {
                    let size = format!("BDAT {} LAST\r\n", PREFIX.len() + text.len());
                    let at = sent.find(&size).unwrap() + size.len();
                    assert_eq!(sent[at..], format!("{PREFIX}{text}"), "exactly so many octets");
                } else {
                    let content = sent.split_once("DATA\r\n").unwrap().1;
                    let seen = messages_of_a_loose_server(content.as_bytes());
                    assert_eq!(seen, 1, "{text:?} cut at {cut}: {content:?}");
                    assert!(content.ends_with("\r\n.\r\n"), "{content:?}");
                }
            }
        }
    }
}

const PREFIX: &str = "Received: by x\r\n";

/// Everything that goes out to a server that takes everything.
fn sent(body: &[Bytes], capabilities: &Capabilities) -> String {
    let message = Message {
        id: Id::ZERO,
        sender: ReversePath::NULL,
        prefix: Bytes::from_static(PREFIX.as_bytes()),
        body_size: 0,
        body_chunks: 1,
        leading_dots: true,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: None,
        from_domain: None,
        foreign_signature: false,
        deliveries: 1,
        listener: String::new(),
        account: String::new(),
        pool: None,
        tags: Vec::new(),
        priority: Priority::default(),
        message_id: None,
        signatures: None,
        send_at: None,
        template: None,
    };
    let recipient = Recipient {
        address: Address::parse("b@y.pe").unwrap(),
        parameters: RecipientParameters::default(),
        state: RecipientState::Queued,
        personal: None,
    };
    let content = Content::new(&message, None, body);
    let mut transaction =
        Transaction::new(&message, &content, &[&recipient], capabilities).unwrap();
    let mut out = Vec::new();
    let mut step = transaction.start();
    for _ in 0..10 {
        match step {
            Move::Done => return String::from_utf8(out).unwrap(),
            Move::Send(pieces) => out.extend(pieces.concat()),
            Move::Read | Move::StartTls => {}
        }
        let asks = format!("{:?}", transaction.moment());
        let code = if asks == "Data" { 354 } else { 250 };
        step = transaction.reply(Reply::from_lines(code, std::iter::once("ok"))).unwrap();
    }
    panic!("it does not end: {}", String::from_utf8_lossy(&out));
}
