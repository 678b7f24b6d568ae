//! The pure session: no sockets, no clock, no threads.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use mta::message::{Id, IdGenerator, Submission, SubmittedBody, Timestamp};
use mta::policy::Policy;
use mta::smtp_in::session::{Session, Setup, Step, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay_config::Config;
use tests::dialog::{Dialog, Turn, is_like};

use super::{account, dialogs, listener};

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);
const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

pub(super) struct World {
    pub(super) session: Session,
    policy: Arc<Policy>,
    pub(super) input: BytesMut,
    output: String,
    pub(super) accepted: Vec<Submission>,
    closed: bool,
    wants_tls: bool,
}

#[test]
fn dialogs_with_the_pure_session() {
    for dialog in dialogs() {
        run(&dialog, usize::MAX);
    }
}

#[test]
fn dialogs_with_the_pure_session_octet_by_octet() {
    for dialog in dialogs().iter().filter(|dialog| !dialog.whole) {
        run(dialog, 1);
    }
}

#[test]
fn what_is_accepted_is_what_was_sent() {
    let accepted = |name: &str| {
        let dialog = dialogs().into_iter().find(|dialog| dialog.name == name).unwrap();
        run(&dialog, 7)
    };
    let simple = &accepted("simple")[0];
    assert_eq!(body(simple), b"Subject: hola\r\n\r\ntext\r\n");
    assert_eq!(simple.sender.to_string(), "a@x.pe");
    let prefix = std::str::from_utf8(&simple.prefix).unwrap().to_owned();
    assert!(prefix.starts_with("Received: from pc.example.pe ([127.0.0.1])\r\n\tby relay.example.pe (simple) with ESMTP\r\n"));
    assert!(prefix.contains("\r\nMessage-ID: <") && prefix.contains("\r\nDate: "));
    assert_eq!(body(&accepted("normalise")[0]), b"Subject: x\r\n\r\na\r\nb\r\n");
    let tagged = &accepted("auth")[0];
    assert_eq!(tagged.tags, ["acto-2026"]);
    assert_eq!(tagged.account, "ana");
    assert_eq!(body(tagged), b"From: Eva <eva@x.pe>\r\n\r\n", "our own headers are removed");
    let headless = &accepted("empty")[1];
    assert!(headless.prefix.ends_with(b"\r\n\r\n"), "text without headers stays text");
    assert_eq!(body(headless), b"hello there\r\n");
}

/// What clients of all dialogs say, with octets changed, removed and repeated at random: the session
/// may refuse anything, but it neither panics nor loses step with itself.
#[test]
fn nothing_that_a_client_says_breaks_the_session() {
    let dialogs = dialogs();
    for seed in 0..3_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let dialog = &dialogs[random.random_range(0..dialogs.len())];
        let said = dialog.turns.iter().filter_map(|(_, turn)| match turn {
            Turn::Client(octets) => Some(octets.clone()),
            _ => None,
        });
        let mut said: Vec<u8> = said.collect::<Vec<_>>().concat();
        said.truncate(20_000);
        for _ in 0..random.random_range(0..20) {
            let at = random.random_range(0..said.len());
            match random.random_range(0..4) {
                0 => said[at] = random.random(),
                1 => said[at] = b"\r\n.\0<> :@"[random.random_range(0..9)],
                2 => drop(said.remove(at)),
                _ => said.insert(at, b"\r\n.\""[random.random_range(0..4)]),
            }
        }
        let mut world = World::new(dialog);
        world.session.greet(false);
        let mut rest = &said[..];
        while !rest.is_empty() && !world.closed {
            let (piece, after) = rest.split_at(random.random_range(1..=rest.len().min(600)));
            world.input.extend_from_slice(piece);
            world.go_on(dialog);
            if std::mem::take(&mut world.wants_tls) {
                world.session.tls_started("TLSv1.3 TEST".to_owned());
            }
            let spoken = world.session.take_output();
            let lines = spoken.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            for line in lines {
                let reply = line.len() > 4
                    && line[..3].iter().all(u8::is_ascii_digit)
                    && line.ends_with(b"\r");
                assert!(reply, "seed {seed}: {:?}", String::from_utf8_lossy(line));
            }
            rest = after;
        }
        for submission in &world.accepted {
            assert!(!body(submission).windows(3).any(|three| three == b"\n.\n"), "seed {seed}");
            assert!(submission.prefix.starts_with(b"Received: from "), "seed {seed}");
        }
    }
}

pub(super) fn body(submission: &Submission) -> Vec<u8> {
    match &submission.body {
        SubmittedBody::Whole(pieces) => pieces.concat(),
        SubmittedBody::Stored { .. } | SubmittedBody::Template { .. } => {
            panic!("it was stored in pieces")
        }
    }
}

fn run(dialog: &Dialog, piece: usize) -> Vec<Submission> {
    let mut world = World::new(dialog);
    world.session.greet(dialog.early);
    if dialog.early {
        world.go_on(dialog);
    }
    for (line, turn) in &dialog.turns {
        let place = format!("{}:{line}", dialog.name);
        match turn {
            Turn::Client(_) if dialog.early => {}
            Turn::Client(octets) => {
                for piece in octets.chunks(piece) {
                    assert!(!world.closed, "{place}: the session has ended");
                    world.input.extend_from_slice(piece);
                    world.go_on(dialog);
                }
            }
            Turn::Server(pattern) => {
                let said = world.line(&place);
                assert!(is_like(pattern, &said), "{place}: `{said}` is said");
            }
            Turn::Reply(code) => loop {
                let said = world.line(&place);
                assert!(said.starts_with(code), "{place}: `{said}` is said");
                if said.as_bytes().get(3) != Some(&b'-') {
                    break;
                }
            },
            Turn::Tls => {
                assert!(world.wants_tls, "{place}: no handshake");
                world.wants_tls = false;
                world.session.tls_started("TLSv1.3 TEST".to_owned());
            }
            Turn::End => assert!(world.closed, "{place}: the session goes on"),
        }
    }
    assert_eq!(world.output, "", "{}: more is said", dialog.name);
    world.accepted
}

impl World {
    pub(super) fn new(dialog: &Dialog) -> Self {
        let config = config(dialog);
        let policy = Arc::new(Policy::new(&config));
        let setup =
            Setup { listener: Arc::clone(&config.listeners[0]), policy: Arc::clone(&policy) };
        let from: IpAddr = dialog.from.as_deref().unwrap_or("127.0.0.1").parse().unwrap();
        let ids = IdGenerator::above(Some(Id::ZERO));
        let session = Session::new(Arc::new(setup), from, None, Box::new(move || ids.next(NOW)));
        let (input, output) = (BytesMut::new(), String::new());
        Self {
            session,
            policy,
            input,
            output,
            accepted: Vec::new(),
            closed: false,
            wants_tls: false,
        }
    }

    fn line(&mut self, place: &str) -> String {
        self.output.push_str(std::str::from_utf8(&self.session.take_output()).unwrap());
        let line = self.output.split_once("\r\n");
        let (said, rest) = line.unwrap_or_else(|| panic!("{place}: nothing is said"));
        let (said, rest) = (said.to_owned(), rest.to_owned());
        self.output = rest;
        said
    }

    pub(super) fn go_on(&mut self, dialog: &Dialog) {
        loop {
            match self.session.step(&mut self.input, NOW) {
                Step::Read => return,
                Step::Close => {
                    self.closed = true;
                    return;
                }
                Step::StartTls => {
                    self.wants_tls = true;
                    return;
                }
                Step::Verify(login) => {
                    let right = login.name == "ana" && login.password == "secreto";
                    let account = self.policy.account("ana").unwrap();
                    self.session.verified(if right {
                        Verdict::Right(Arc::clone(account))
                    } else {
                        Verdict::Wrong
                    });
                }
                Step::Reserve(_) => self.session.reserved(Ok(())),
                Step::Store { .. } | Step::Discard { .. } => {
                    panic!("{}: it is not large", dialog.name)
                }
                Step::Accept(submission) => {
                    let id = submission.id;
                    self.accepted.push(*submission);
                    self.session.accepted(id, Ok(()), NOW);
                }
            }
        }
    }
}

fn config(dialog: &Dialog) -> Config {
    let text = format!(
        "[server]\nhostname = \"relay.example.pe\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n{}{}",
        listener(dialog),
        account(HASH)
    );
    match relay_config::load(&text, &dialog.name) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}
