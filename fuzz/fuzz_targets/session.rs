//! The session of a client. Whatever it says, the replies are replies, nothing is taken before its end, and it makes no
//! difference in which pieces it arrives.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mta::message::{Id, IdGenerator, Submission, SubmittedBody, Timestamp};
use mta::policy::Policy;
use mta::smtp_in::session::{Session, Setup, Step, Verdict};

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);

static SETUP: LazyLock<Arc<Setup>> = LazyLock::new(|| {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let text = format!(
        "[server]\nhostname = \"relay.example.pe\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n\
         [[listener]]\nname = \"relay\"\nbind = [\"127.0.0.1:0\"]\nrelay_from = [\"127.0.0.0/8\"]\nallow_headers = true\n\
         [[account]]\nname = \"ana\"\npassword_hash = \"{hash}\"\n"
    );
    let loaded = relay_config::load(&text, "fuzz");
    let config = loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).config;
    let listener = Arc::clone(&config.listeners[0]);
    Arc::new(Setup { listener, policy: Arc::new(Policy::new(&config)) })
});

/// What a client may say.
#[derive(Debug, Arbitrary)]
enum Said<'a> {
    Ehlo(&'a str),
    Mail(&'a str, &'a str),
    Rcpt(&'a str, &'a str),
    Data(&'a [u8]),
    /// The size that it names, and what it sends.
    Bdat(u8, &'a [u8], bool),
    AuthPlain(&'a str),
    AuthLogin(&'a str, &'a str),
    Plain(u8),
    Line(&'a str),
    Octets(&'a [u8]),
}

impl Said<'_> {
    /// What is sent at once; a client waits for an answer between them.
    fn octets(&self) -> Vec<Vec<u8>> {
        let one = |text: String| vec![text.into_bytes()];
        match self {
            Self::Ehlo(name) => one(format!("EHLO {name}\r\n")),
            Self::Mail(path, more) => one(format!("MAIL FROM:<{path}>{more}\r\n")),
            Self::Rcpt(path, more) => one(format!("RCPT TO:<{path}>{more}\r\n")),
            Self::Data(body) => vec![b"DATA\r\n".to_vec(), [body, &b"\r\n.\r\n"[..]].concat()],
            Self::Bdat(size, octets, last) => {
                let last = if *last { " LAST" } else { "" };
                vec![format!("BDAT {size}{last}\r\n").into_bytes(), octets.to_vec()]
            }
            Self::AuthPlain(text) => one(format!("AUTH PLAIN {text}\r\n")),
            Self::AuthLogin(name, password) => {
                [format!("AUTH LOGIN\r\n"), format!("{name}\r\n"), format!("{password}\r\n")]
                    .map(String::into_bytes)
                    .into()
            }
            Self::Plain(which) => {
                let words = [
                    "RSET",
                    "NOOP",
                    "QUIT",
                    "STARTTLS",
                    "VRFY a",
                    "HELP",
                    "HELO a",
                    "DATA",
                    "EHLO a",
                    "MAIL FROM:<a@x.pe>",
                    "RCPT TO:<b@y.pe>",
                    "BDAT 0 LAST",
                    "*",
                    "",
                ];
                one(format!("{}\r\n", words[usize::from(*which) % words.len()]))
            }
            Self::Line(line) => one(format!("{line}\r\n")),
            Self::Octets(octets) => vec![octets.to_vec()],
        }
    }
}

/// What came of it.
#[derive(Debug, PartialEq)]
struct Heard {
    output: Vec<u8>,
    bodies: Vec<(Vec<u8>, usize, bool)>,
    closed: bool,
}

struct World {
    session: Session,
    input: BytesMut,
    heard: Heard,
}

impl World {
    fn new() -> Self {
        let ids = IdGenerator::above(Some(Id::ZERO));
        let from = IpAddr::from([127, 0, 0, 1]);
        let ids = Box::new(move || ids.next(NOW));
        let mut session = Session::new(Arc::clone(&SETUP), from, None, ids);
        session.greet(false);
        let heard = Heard { output: Vec::new(), bodies: Vec::new(), closed: false };
        Self { session, input: BytesMut::new(), heard }
    }

    fn say(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        while !self.heard.closed {
            match self.session.step(&mut self.input, NOW) {
                Step::Read => break,
                Step::Close => self.heard.closed = true,
                Step::StartTls => self.session.tls_started("TLSv1.3 FUZZ".to_owned()),
                Step::Verify(login) => {
                    let account = SETUP.policy.account("ana").unwrap();
                    let right = login.name == "ana" && login.password == "secreto";
                    let account = Arc::clone(account);
                    self.session.verified(if right {
                        Verdict::Right(account)
                    } else {
                        Verdict::Wrong
                    });
                }
                Step::Reserve(_) => self.session.reserved(Ok(())),
                Step::Store { .. } => self.session.stored(Ok(())),
                Step::Discard { .. } => {}
                Step::Accept(submission) => {
                    self.accept(&submission);
                    self.session.accepted(submission.id, Ok(()), NOW);
                }
            }
        }
        self.heard.output.extend_from_slice(&self.session.take_output());
    }

    fn accept(&mut self, submission: &Submission) {
        let SubmittedBody::Whole(pieces) = &submission.body else { return };
        let body = pieces.concat();
        assert!(submission.prefix.starts_with(b"Received: from "));
        assert!(submission.prefix.ends_with(b"\r\n"));
        assert!(!submission.recipients.is_empty(), "nobody is to get it");
        let bare = body.iter().enumerate().any(|(place, octet)| match octet {
            b'\n' => place == 0 || body[place - 1] != b'\r',
            b'\r' => body.get(place + 1) != Some(&b'\n'),
            _ => false,
        });
        assert!(!bare, "a CR or LF stands alone in what was taken");
        self.heard.bodies.push((body, submission.recipients.len(), submission.leading_dots));
    }
}

/// Every line is three digits, a separator and text, ends in CRLF and is no longer than RFC 5321 4.5.3.1.5 allows.
fn check_replies(output: &[u8]) {
    for line in output.split_inclusive(|octet| *octet == b'\n') {
        let is_reply = line.len() > 4
            && line.len() <= 512
            && line[..3].iter().all(u8::is_ascii_digit)
            && matches!(line[3], b' ' | b'-')
            && line.ends_with(b"\r\n")
            && !line[..line.len() - 2].iter().any(|octet| matches!(octet, b'\r' | 0));
        assert!(is_reply, "{:?}", String::from_utf8_lossy(line));
    }
}

fuzz_target!(|dialog: Vec<Said<'_>>| {
    let turns: Vec<Vec<u8>> = dialog.iter().flat_map(Said::octets).collect();
    let run = |most: usize| {
        let mut world = World::new();
        for turn in &turns {
            for piece in turn.chunks(most) {
                world.say(piece);
            }
        }
        check_replies(&world.heard.output);
        world.heard
    };
    let whole = run(usize::MAX);
    // What follows STARTTLS or DATA in one piece was said too early, which is told apart from what came in its time.
    let too_early = |turn: &Vec<u8>| {
        let upper = turn.to_ascii_uppercase();
        upper.windows(8).any(|it| it == b"STARTTLS") || upper.windows(4).any(|it| it == b"DATA")
    };
    let pipelined = |turn: &&Vec<u8>| {
        too_early(turn) && turn.iter().filter(|octet| **octet == b'\n').count() > 1
    };
    if !turns.iter().any(|turn| pipelined(&turn)) {
        assert_eq!(whole, run(1));
    }
});
