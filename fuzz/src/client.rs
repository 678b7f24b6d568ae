//! A client of the session and all that the driver does between them: it answers the steps, keeps account of what
//! was reserved and stored, and, when octets come one by one, of what was sent as a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use mta::message::{BodyType, Id, IdGenerator, Submission, SubmittedBody, Timestamp};
use mta::policy::Policy;
use mta::smtp_in::session::{Session, Setup, Step, Verdict};
use relay_config::Config;
use relay_config::config::BareNewline;

use crate::receivers::slow;
use crate::session::{find, policy, refusal};

const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);
/// Octets that a message holds in memory at most, as the session says: a piece of the spool and one read.
const ROOM_MAX: u64 = (256 + 64) * 1024;

/// Where and how a dialog is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// With one listener.
    pub config: &'a Config,
    /// TLS is on from the start.
    pub encrypted: bool,
    /// Two bits each: what the relay answers for room, for what is stored, for what is accepted, and whether it
    /// takes mail at all.
    pub refusals: u8,
}

/// A message that was taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its octets without the lines of ours.
    pub body: Vec<u8>,
    /// The lines of ours.
    pub prefix: Vec<u8>,
    /// How many.
    pub recipients: usize,
    /// It says that octets above 127 are in it.
    pub eight_bit: bool,
    /// It says that some line starts with a dot.
    pub leading_dots: bool,
    /// All else that is told of it.
    pub told: String,
}

/// What came of a dialog.
#[derive(Debug)]
pub struct Played {
    /// Everything that the relay said.
    pub output: Vec<u8>,
    /// Messages that were taken.
    pub accepted: Vec<Taken>,
    /// What was refused to a client that is known.
    pub rejections: Vec<String>,
    /// The relay has ended it.
    pub closed: bool,
}

impl Played {
    /// The client did not wait where it must.
    pub fn said_too_early(&self) -> bool {
        find(&self.output, b"554 5.5.0 ")
    }
}

/// A client that sends a message keeps what it sent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Nothing,
    Data,
    Pieces,
}

/// The client, and the driver.
pub struct Client<'a> {
    plan: Plan<'a>,
    policy: Arc<Policy>,
    session: Session,
    input: BytesMut,
    /// Octets come one by one: what is taken can be compared with what was sent.
    compares: bool,
    sending: Sending,
    sent: Vec<u8>,
    room: u64,
    stored: BTreeMap<[u8; 8], Vec<u8>>,
    chunks: u32,
    played: Played,
}

impl<'a> Client<'a> {
    /// Is greeted.
    pub fn new(plan: Plan<'a>, compares: bool) -> Self {
        let policy = policy(plan.config);
        let listener = Arc::clone(&plan.config.listeners[0]);
        let setup = Arc::new(Setup { listener, policy: Arc::clone(&policy) });
        let ids = IdGenerator::above(Some(Id::ZERO));
        let tls = plan.encrypted.then(|| "TLSv1.3 TEST".to_owned());
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        let mut session = Session::new(setup, from, tls, Box::new(move || ids.next(NOW)));
        session.greet(false);
        session.set_refusal(refusal(plan.refusals >> 6));
        let (output, accepted, rejections) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            plan,
            policy,
            session,
            input: BytesMut::new(),
            compares,
            sending: Sending::Nothing,
            sent: Vec::new(),
            room: 0,
            stored: BTreeMap::new(),
            chunks: 0,
            played: Played { output, accepted, rejections, closed: false },
        }
    }

    /// Sends some octets.
    pub fn send(&mut self, octets: &[u8]) {
        if self.played.closed {
            return;
        }
        if self.compares && self.session.in_data() {
            self.sent.extend_from_slice(octets);
        }
        self.input.extend_from_slice(octets);
        loop {
            let step = self.session.step(&mut self.input, NOW);
            let said = self.session.take_output();
            self.said(&said);
            match step {
                Step::Read => break,
                Step::Close => {
                    self.played.closed = true;
                    break;
                }
                step => self.answer(step),
            }
        }
        if !self.session.in_data() && !self.session.holds_message() {
            self.sending = Sending::Nothing;
            self.sent.clear();
            self.room = 0;
        } else if self.sending == Sending::Nothing {
            self.sending = Sending::Pieces;
        }
    }

    /// Leaves.
    pub fn end(mut self) -> Played {
        if let Some(Step::Discard { id, chunks }) = self.session.abandoned() {
            self.discard(id, chunks);
        }
        assert!(self.stored.is_empty(), "pieces of a message stay for ever");
        let again = self.session.step(&mut self.input, NOW);
        assert!(matches!(again, Step::Close), "{again:?}");
        let rejections = self.session.take_rejections();
        self.played.rejections = rejections.iter().map(|it| format!("{it:?}")).collect();
        self.played
    }

    fn said(&mut self, said: &[u8]) {
        if find(said, b"354 Send") {
            self.sending = Sending::Data;
            self.sent.clear();
        }
        self.played.output.extend_from_slice(said);
    }

    fn answer(&mut self, step: Step) {
        match step {
            Step::StartTls => self.session.tls_started("TLSv1.3 TEST".to_owned()),
            Step::Verify(login) => {
                let right = login.name == "ana" && login.password == "secreto";
                let account = self.policy.account("ana").expect("it is in the configuration");
                let right = right.then(|| Verdict::Right(Arc::clone(account)));
                self.session.verified(right.unwrap_or(Verdict::Wrong));
            }
            Step::Reserve(octets) => {
                // As the driver does: what an earlier message held is given back.
                if !self.session.holds_message() {
                    self.room = 0;
                }
                self.room += octets;
                assert!(self.room <= ROOM_MAX, "{} octets are held for one message", self.room);
                let refused = refusal(self.plan.refusals & 3);
                self.session.reserved(refused.map_or(Ok(()), Err));
            }
            Step::Store { id, number, chunk } => {
                assert_eq!(number, self.chunks);
                self.chunks += 1;
                self.stored.entry(id.to_bytes()).or_default().extend_from_slice(&chunk);
                let refused = refusal((self.plan.refusals >> 2) & 3);
                self.session.stored(refused.map_or(Ok(()), Err));
            }
            Step::Discard { id, chunks } => {
                self.discard(id, chunks);
                self.room = 0;
            }
            Step::Accept(submission) => {
                let id = submission.id;
                let taken = self.taken(*submission);
                let refused = refusal((self.plan.refusals >> 4) & 3);
                if refused.is_none() {
                    self.played.accepted.push(taken);
                }
                self.room = 0;
                self.session.accepted(id, refused.map_or(Ok(()), Err), NOW);
                let said = self.session.take_output();
                self.said(&said);
                (self.sending, self.chunks) = (Sending::Nothing, 0);
                self.sent.clear();
            }
            Step::Read | Step::Close => unreachable!("they ask for nothing"),
        }
    }

    fn discard(&mut self, id: Id, chunks: u32) {
        assert!(self.stored.remove(&id.to_bytes()).is_some(), "nothing was stored");
        assert_eq!(std::mem::take(&mut self.chunks), chunks);
    }

    fn taken(&mut self, submission: Submission) -> Taken {
        let told = format!(
            "{:?}",
            Submission { body: SubmittedBody::Whole(Vec::new()), ..submission.clone() }
        );
        let body = match submission.body {
            SubmittedBody::Whole(pieces) => pieces.concat(),
            SubmittedBody::Stored { chunks, size } => {
                let stored = self.stored.remove(&submission.id.to_bytes());
                let stored = stored.expect("it was stored");
                assert_eq!((chunks, size), (self.chunks, stored.len() as u64));
                stored
            }
            SubmittedBody::Template { .. } => panic!("no client sends a template"),
        };
        if self.compares {
            self.compare(&body);
        }
        Taken {
            body,
            prefix: submission.prefix.to_vec(),
            recipients: submission.recipients.len(),
            eight_bit: submission.body_type == BodyType::EightBit,
            leading_dots: submission.leading_dots,
            told,
        }
    }

    /// What is taken is what was sent, all of it has been sent, and nothing else.
    fn compare(&self, body: &[u8]) {
        let listener = &self.plan.config.listeners[0];
        let normalise = listener.bare_newline == BareNewline::Normalise;
        let sent = match self.sending {
            Sending::Data => {
                let all = [b"\r\n", &self.sent[..]].concat();
                let end = all.windows(5).position(|five| five == b"\r\n.\r\n");
                assert_eq!(end, all.len().checked_sub(5), "it has not ended");
                slow(&self.sent[..self.sent.len() - 3], true, normalise)
            }
            // The first piece may be the last one, and empty.
            Sending::Pieces | Sending::Nothing => {
                let whole = self.sent.is_empty() || self.sent.ends_with(b"\n");
                let end: &[u8] = if whole { b"" } else { b"\r\n" };
                slow(&[&self.sent, end].concat(), false, normalise)
            }
        };
        if !find(&sent.to_ascii_lowercase(), b"x-tambo-") {
            assert_eq!(String::from_utf8_lossy(body), String::from_utf8_lossy(&sent));
            return;
        }
        // Our own headers are taken out, and nothing is put in.
        let mut lines = sent.split_inclusive(|octet| *octet == b'\n');
        for line in body.split_inclusive(|octet| *octet == b'\n') {
            assert!(lines.any(|sent| sent == line), "{:?}", String::from_utf8_lossy(line));
        }
    }
}
