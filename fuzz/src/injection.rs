//! What programs hand in to be sent: any octets are a request or none; a request is refused with reasons that have
//! places, or becomes messages whose lines are lines, with each of our header fields once, for each recipient; and
//! what is stored of a template gives the same message again.

use bytes::Bytes;
use mta::compose::{Checked, Content, Letter, Limits, Parts, check};
use mta::message::{Id, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);
const LIMITS: Limits = Limits { recipients_max: 50, message_max: 1_000_000 };
/// Fields that a message has at most once (RFC 5322 section 3.6), and none but the relay writes.
const ONCE: [&str; 8] =
    ["from:", "to:", "cc:", "reply-to:", "subject:", "date:", "mime-version:", "content-type:"];

/// One request.
pub fn injection(input: &[u8]) {
    let Ok(letter) = serde_json::from_slice::<Letter>(input) else { return };
    match check(&letter, LIMITS, NOW) {
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.len() <= 101);
            for mistake in mistakes {
                assert!(!mistake.detail.is_empty());
                assert!(mistake.pointer.is_empty() || mistake.pointer.starts_with('/'));
            }
        }
        Ok(checked) => sent(&checked),
    }
}

fn sent(checked: &Checked) {
    assert!((1..=LIMITS.recipients_max).contains(&checked.to.len()));
    match &checked.content {
        Content::Raw { octets, .. } => lines(octets),
        Content::Parts(parts) if checked.personal => {
            let stored = parts.to_bytes();
            let again = Parts::from_bytes(&stored).expect("what was stored is read");
            for to in &checked.to {
                let made = |parts: &Parts| {
                    let made = parts.rendered(&to.address, &to.personal, LIMITS.message_max);
                    made.map(|made| Bytes::from(made.write(Id::ZERO)))
                };
                let first = made(parts);
                assert_eq!(first, made(&again), "the same each time");
                if let Ok(octets) = first {
                    whole(&octets, 1);
                }
            }
        }
        Content::Parts(parts) => whole(&parts.write(Id::ZERO), parts.to.len()),
    }
}

/// Lines end in CRLF and are not too long.
fn lines(octets: &[u8]) {
    assert!(octets.ends_with(b"\r\n") || octets.is_empty());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("a line ends in CRLF");
        assert!(!text.contains(&b'\r') && !text.contains(&0) && text.len() <= 998, "{text:?}");
    }
}

/// A message of ours: its header section has nothing that nobody asked for.
fn whole(octets: &[u8], to: usize) {
    lines(octets);
    let text = String::from_utf8_lossy(octets);
    let (head, _) = text.split_once("\r\n\r\n").expect("there is a body");
    let fields: Vec<String> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(str::to_ascii_lowercase)
        .collect();
    for name in ONCE {
        let count = fields.iter().filter(|field| field.starts_with(name)).count();
        let least = usize::from(
            matches!(name, "from:" | "date:" | "mime-version:") || name == "to:" && to > 0,
        );
        assert!((least..=1).contains(&count), "{name} {count} times in {head}");
    }
    for name in ["bcc:", "message-id:", "received:", "sender:", "dkim-signature:", "x-tambo-"] {
        assert!(!fields.iter().any(|field| field.starts_with(name)), "{name} in {head}");
    }
}
