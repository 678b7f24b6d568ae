//! Whole dialogs with the session of a client. They are played octet by octet, at once and in pieces, and the
//! session must say and take the same each time; what it takes is compared with a slow reading of what was sent.
//!
//! After three octets of settings an input is what a client says. Octets that no UTF-8 has stand for what a mutation
//! seldom finds: see `said`.

use std::sync::{Arc, LazyLock};

use mta::policy::Policy;
use mta::queue::Refusal;
use relay_config::Config;

use crate::client::{Client, Plan, Played};
use crate::cut::Cut;

/// Octets before the dialog: listener, what is refused, seed of the cuts.
const HEAD: usize = 3;
/// One turn ends: what follows is sent when the relay has answered.
const TURN: u8 = 0xf5;
/// The octet after it, as it is.
const LITERAL: u8 = 0xff;
/// Octets of what a macro repeats: three of them fill a piece of the spool.
const BLOCK_OCTETS: usize = 100 * 1024;

/// Listeners that differ in what they ask for and allow.
const LISTENERS: [&str; 6] = [
    "tls = \"off\"\nrelay_from = [\"127.0.0.1/32\"]",
    "tls = \"off\"\nrelay_from = [\"127.0.0.1/32\"]\nbare_newline = \"normalise\"\nlimits = { errors = 5, message_size = 1000, header_size = 400, messages_per_connection = 2 }",
    "tls = \"starttls\"\nauth = true\nrelay_from = [\"127.0.0.1/32\"]",
    "tls = \"required\"\nauth = true",
    "tls = \"implicit\"\nauth = true",
    "tls = \"off\"\nrelay_from = [\"192.0.2.1/32\"]",
];

static CONFIGS: LazyLock<Vec<Config>> = LazyLock::new(|| LISTENERS.map(config).into());

/// One input.
pub fn session(input: &[u8]) {
    let Some((&[listener, refusals, seed], said)) = input.split_first_chunk::<HEAD>() else {
        return;
    };
    let listener = usize::from(listener) % LISTENERS.len();
    let (turns, large) = turns(said);
    let plan = Plan {
        config: &CONFIGS[listener],
        encrypted: listener == 4,
        // What a message that arrives in pieces asks for depends on the pieces.
        refusals: if large { 0 } else { refusals },
    };
    let whole = play(plan, &turns, Cut::Whole);
    check(&whole, plan);
    // Whoever sends on where it must wait is thrown out, if it can be seen: not when octets come one by one.
    if whole.said_too_early() {
        return;
    }
    let mut cuts = vec![Cut::Pieces(u64::from(seed))];
    if !large {
        cuts.push(Cut::Octets);
    }
    for cut in cuts {
        let again = play(plan, &turns, cut);
        assert_eq!(
            String::from_utf8_lossy(&again.output),
            String::from_utf8_lossy(&whole.output),
            "{cut:?}"
        );
        assert_eq!(again.accepted, whole.accepted, "{cut:?}");
        assert_eq!(again.rejections, whole.rejections, "{cut:?}");
        assert_eq!(again.closed, whole.closed, "{cut:?}");
    }
}

fn play(plan: Plan<'_>, turns: &[Vec<u8>], cut: Cut) -> Played {
    let mut client = Client::new(plan, matches!(cut, Cut::Octets));
    for turn in turns {
        for piece in cut.pieces(turn) {
            client.send(piece);
        }
    }
    client.end()
}

/// What the client sends, turn by turn, and whether that is much.
fn turns(said: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut turns, mut turn, mut blocks) = (Vec::new(), Vec::new(), 0);
    let mut octets = said.iter().copied();
    while let Some(octet) = octets.next() {
        let mut says = |text: &[u8]| turn.extend_from_slice(text);
        match octet {
            TURN => turns.push(std::mem::take(&mut turn)),
            0xf6 => says(b"EHLO pc.example.pe\r\n"),
            0xf7 => says(b"MAIL FROM:<a@x.pe>\r\nRCPT TO:<b@y.pe>\r\n"),
            0xf8 => {
                says(b"DATA\r\n");
                turns.push(std::mem::take(&mut turn));
            }
            0xf9 => says(b"\r\n.\r\n"),
            // A piece of so many octets, the last one when that is odd.
            0xfa => {
                let size = octets.next().unwrap_or(0);
                let piece: Vec<u8> = octets.by_ref().take(usize::from(size)).collect();
                let last = if size % 2 == 1 { " LAST" } else { "" };
                says(format!("BDAT {}{last}\r\n", piece.len()).as_bytes());
                says(&piece);
            }
            0xfb => {
                says(b"STARTTLS\r\n");
                turns.push(std::mem::replace(&mut turn, b"EHLO pc.example.pe\r\n".to_vec()));
            }
            0xfc => says(b"AUTH PLAIN AGFuYQBzZWNyZXRv\r\n"),
            0xfd => says(b"AUTH LOGIN\r\nYW5h\r\nc2VjcmV0bw==\r\n"),
            0xfe if blocks < 4 => {
                blocks += 1;
                says(&b"A line of a message that is large.\r\n".repeat(BLOCK_OCTETS / 36));
            }
            LITERAL => turn.extend(octets.next()),
            octet => turn.push(octet),
        }
    }
    turns.push(turn);
    (turns, blocks > 0)
}

/// What holds of every dialog.
fn check(played: &Played, plan: Plan<'_>) {
    check_replies(&played.output);
    let limits = &plan.config.listeners[0].limits;
    let taken = u32::try_from(played.accepted.len()).expect("there are few");
    assert!(taken <= limits.messages_per_connection);
    for message in &played.accepted {
        let recipients = u32::try_from(message.recipients).expect("there are few");
        assert!((1..=limits.recipients_per_message).contains(&recipients));
        assert!(message.body.len() as u64 <= limits.message_size.0);
        for line in message.prefix.split_inclusive(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r\n").expect("our lines end in CRLF");
            let clean = line.iter().all(|octet| *octet == b'\t' || (32..127).contains(octet));
            assert!(clean && line.len() <= 998, "{:?}", String::from_utf8_lossy(line));
        }
        assert!(message.prefix.starts_with(b"Received: "));
        assert!(message.body.is_ascii() || message.eight_bit);
        let dots = message.body.starts_with(b".") || find(&message.body, b"\r\n.");
        assert!(!dots || message.leading_dots);
    }
}

/// Replies as RFC 5321 section 4.2 has them.
fn check_replies(output: &[u8]) {
    let mut open: Option<&[u8]> = None;
    for line in output.split_inclusive(|octet| *octet == b'\n') {
        let shown = String::from_utf8_lossy(line);
        assert!(line.len() <= 512, "{shown}");
        let line = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("no CRLF: {shown}"));
        let (code, text) = line.split_at_checked(3).unwrap_or_else(|| panic!("no code: {shown}"));
        assert!((b'2'..=b'5').contains(&code[0]) && (b'0'..=b'5').contains(&code[1]), "{shown}");
        assert!(code[2].is_ascii_digit(), "{shown}");
        assert!(open.is_none_or(|before| before == code), "another code: {shown}");
        assert!(text.iter().all(|octet| (32..127).contains(octet)), "{shown}");
        open = match text.first() {
            Some(b'-') => Some(code),
            Some(b' ') => None,
            _ => panic!("no separator: {shown}"),
        };
    }
    assert_eq!(open, None, "a reply has no end");
}

pub(crate) fn find(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|window| window == what)
}

/// What the relay may answer for: nothing, or one of these.
pub(crate) fn refusal(number: u8) -> Option<Refusal> {
    match number {
        1 => Some(Refusal::Full),
        2 => Some(Refusal::Unavailable),
        3 => Some(Refusal::Stopping),
        _ => None,
    }
}

pub(crate) fn policy(config: &Config) -> Arc<Policy> {
    Arc::new(Policy::new(config))
}

fn config(listener: &str) -> Config {
    let text = format!(
        "[server]\nhostname = \"relay.example.pe\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n\
         [[listener]]\nname = \"in\"\nbind = [\"127.0.0.1:0\"]\n{listener}\n\
         [[account]]\nname = \"ana\"\npassword_hash = \"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g\"\n\
         senders = [\"*@x.pe\"]\nallow_headers = true\n"
    );
    let loaded = relay_config::load(&text, "fuzz.toml");
    let mut config = loaded.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")).config;
    if listener.contains("limits") {
        // Smaller than anybody may write them, so that short dialogs reach them.
        let limits = &mut Arc::make_mut(&mut config.listeners[0]).limits;
        (limits.line_length, limits.recipients_per_message, limits.hops) = (40, 3, 2);
    }
    config
}
