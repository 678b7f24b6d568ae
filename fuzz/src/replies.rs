//! Conversations with servers that say anything: cut anywhere they come to the same, a recipient counts as delivered
//! only where the server has taken it, and the message arrives as it is.

use bytes::Bytes;
use mta::message::{
    Address, BodyType, Id, Message, Outcome, Priority, Recipient, RecipientParameters,
    RecipientState, ReversePath, Timestamp,
};
use mta::smtp_out::Content;
use mta::smtp_out::opening::TlsWish;

use crate::cut::Cut;
use crate::receivers::slow;
use crate::server::{Conversation, Talk};
use crate::session::find;

/// Octets before the message: what is wanted, recipients, seed of the cuts.
const HEAD: usize = 3;
/// Ends the message and each answer of the server: no UTF-8 has it.
const END: u8 = 0xff;
const RECIPIENTS: [&str; 4] = ["a@y.pe", "\"b c\"@y.pe", "ñ@y.pe", "d@y.pe"];

/// What a conversation came to.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    outcomes: Result<Vec<Outcome>, String>,
    usable: bool,
    talk: Talk,
}

/// One input: settings, a message, and the answers of a server.
pub fn replies(input: &[u8]) {
    let Some((&[wants, asked, seed], rest)) = input.split_first_chunk::<HEAD>() else { return };
    let mut parts = rest.split(|octet| *octet == END);
    let body = body(parts.next().unwrap_or_default());
    let answers: Vec<&[u8]> = parts.take(30).collect();
    let message = message(wants, &body);
    let content = Content::new(&message, None, &split(&body, seed));
    let recipients: Vec<Recipient> =
        RECIPIENTS[..1 + usize::from(asked % 4)].iter().map(recipient).collect();
    let whole = play(wants, &message, &content, &recipients, (&answers, Cut::Whole));
    check(&whole, &content, &recipients);
    for cut in [Cut::Octets, Cut::Pieces(u64::from(seed))] {
        let again = play(wants, &message, &content, &recipients, (&answers, cut));
        assert_eq!(again.outcomes, whole.outcomes, "{cut:?}");
        assert_eq!(again.talk.relay, whole.talk.relay, "{cut:?}");
        check(&again, &content, &recipients);
    }
}

fn play(
    wants: u8,
    message: &Message,
    content: &Content,
    recipients: &[Recipient],
    (answers, cut): (&[&[u8]], Cut),
) -> Ended {
    let wish = [TlsWish::Never, TlsWish::WhenOffered, TlsWish::Always][usize::from(wants % 3)];
    let login = (wants & 8 > 0).then(|| ("u".to_owned(), "p".to_owned()));
    let mut conversation = Conversation::new(answers, cut);
    let recipients: Vec<&Recipient> = recipients.iter().collect();
    let ended = conversation.run((wish, login), (message, content, &recipients));
    let usable = ended.as_ref().is_ok_and(|(_, usable)| *usable);
    let outcomes = ended.map(|(outcomes, _)| outcomes).map_err(|failure| format!("{failure:?}"));
    Ended { outcomes, usable, talk: conversation.talk() }
}

/// What the server can have understood.
#[derive(Debug, Default)]
struct Understood {
    mail: bool,
    /// Those that it was told, and whether it took them.
    recipients: Vec<(String, bool)>,
    /// As it arrived, and whether it was ended.
    content: Option<Vec<u8>>,
    taken: bool,
}

fn check(ended: &Ended, content: &Content, recipients: &[Recipient]) {
    let encrypted = !ended.talk.relay[1].is_empty();
    let part = usize::from(encrypted);
    let mut replies = codes(&ended.talk.server[part]).into_iter();
    if !encrypted {
        replies.next();
    }
    let understood = understand(&ended.talk.relay[part], &mut replies);
    let shown = || format!("{}\n{understood:?}", String::from_utf8_lossy(&ended.talk.relay[part]));
    let whole = content.pieces.concat();
    if let Some(arrived) = &understood.content {
        let nobody = understood.recipients.iter().all(|(_, taken)| !taken) || !understood.mail;
        assert!(*arrived == whole || (nobody && arrived.is_empty()), "{}", shown());
    }
    let Ok(outcomes) = &ended.outcomes else { return };
    assert_eq!(outcomes.len(), recipients.len());
    let arrived = understood.content.as_ref() == Some(&whole);
    for (outcome, recipient) in outcomes.iter().zip(recipients) {
        let address = recipient.address.to_string();
        let told = understood.recipients.iter().find(|(told, _)| *told == address);
        let taken =
            understood.mail && told.is_some_and(|(_, taken)| *taken) && arrived && understood.taken;
        match outcome {
            Outcome::Delivered(reply) => {
                assert!((200..300).contains(&reply.code), "{reply}");
                assert!(taken, "{address} counts as delivered\n{}", shown());
            }
            Outcome::Failed(failure) => {
                assert!(!(taken && ended.usable), "{address}: {failure:?}\n{}", shown());
            }
        }
    }
}

/// What the relay said, with the answers to it in their order.
fn understand(mut said: &[u8], codes: &mut impl Iterator<Item = u16>) -> Understood {
    let mut understood = Understood::default();
    while let Some(end) = said.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8_lossy(&said[..end]).into_owned();
        said = &said[end + 2..];
        let chunk = line.strip_prefix("BDAT ").map(|rest| {
            let size = rest.strip_suffix(" LAST").expect("one piece").parse().expect("a number");
            let (piece, after) = said.split_at(size);
            said = after;
            piece.to_vec()
        });
        let Some(code) = codes.next() else { break };
        let well = (200..300).contains(&code);
        if let Some(chunk) = chunk {
            (understood.content, understood.taken) = (Some(chunk), well);
        } else if line.starts_with("MAIL FROM:<") {
            understood.mail = well;
        } else if let Some(rest) = line.strip_prefix("RCPT TO:<") {
            let address = rest.split('>').next().unwrap_or_default();
            understood.recipients.push((address.to_owned(), well));
        } else if line == "DATA" && code == 354 {
            let all = [b"\r\n", said].concat();
            // As the loosest server ends a message: nothing of ours may stand after that.
            let Some(end) = all.windows(3).position(|three| three == b"\n.\r" || three == b"\n.\n")
            else {
                break;
            };
            let after = &all[end + 3..];
            assert!(after.starts_with(b"\n") && all[..=end].ends_with(b"\r\n"), "a loose end");
            understood.content = Some(slow(&all[2..=end.max(1)], true, false));
            said = &said[said.len() - after.len() + 1..];
            understood.taken = codes.next().is_some_and(|code| (200..300).contains(&code));
        }
    }
    understood
}

/// The codes of the replies that a server gave.
fn codes(said: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(said).into_owned();
    let mut codes = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line = line.trim_ascii_end();
        if line.as_bytes().get(3) != Some(&b'-') {
            codes.extend(line.get(..3).and_then(|code| code.parse::<u16>().ok()));
        }
    }
    codes
}

/// A message as the receiver would have let it in.
fn body(octets: &[u8]) -> Vec<u8> {
    let mut body = b"\r\n".to_vec();
    for line in octets.split(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        body.extend_from_slice(line);
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// As it lies in the spool: in pieces of any size.
fn split(body: &[u8], seed: u8) -> Vec<Bytes> {
    let cut = if seed.is_multiple_of(2) { Cut::Whole } else { Cut::Pieces(u64::from(seed)) };
    cut.pieces(body).into_iter().map(Bytes::copy_from_slice).collect()
}

fn message(wants: u8, body: &[u8]) -> Message {
    let sender = if wants & 16 > 0 { "ñ@x.pe" } else { "s@x.pe" };
    Message {
        id: Id::first_at(Timestamp::from_millis(1_795_525_500_123)),
        sender: ReversePath(Some(Address::parse(sender).expect("it is an address"))),
        prefix: Bytes::from_static(b"Received: by relay.example.pe\r\n"),
        body_size: body.len() as u64,
        body_chunks: 1,
        leading_dots: find(body, b"\r\n."),
        body_type: if body.is_ascii() { BodyType::SevenBit } else { BodyType::EightBit },
        utf8_headers: wants & 32 > 0,
        returns: None,
        envelope_id: None,
        from_domain: None,
        foreign_signature: false,
        deliveries: 1,
        listener: "in".to_owned(),
        account: "in".to_owned(),
        pool: None,
        tags: Vec::new(),
        priority: Priority::default(),
        message_id: None,
        signatures: None,
        send_at: None,
        template: None,
    }
}

fn recipient(address: &&str) -> Recipient {
    Recipient {
        address: Address::parse(address).expect("it is an address"),
        parameters: RecipientParameters::default(),
        state: RecipientState::Queued,
        personal: None,
    }
}
