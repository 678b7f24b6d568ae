//! The session of a client, as a state machine: octets in, replies and steps out.
//!
//! [`Session::step`] is called until it asks for something: more octets, a password to be
//! checked, a message to be stored. The answer goes in by the method that the step names. It
//! neither awaits nor reads the clock.

mod chunks;
mod hello;
mod login;
mod said;
mod transaction;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use relay_config::config::{Account, Listener, ListenerTls};

use crate::message::{Address, Id, RecipientParameters, Reply, ReversePath, Submission, Timestamp};
use crate::metrics::limit_hit;
use crate::policy::{Grant, Policy};
use crate::queue::Refusal;
use crate::smtp::{
    AUTH_LINE_MAX, COMMAND_LINE_MAX, Command, CommandError, Line, MAIL_LINE_MAX, MailParameters,
    RCPT_LINE_MAX, take_line,
};

use super::incoming::Incoming;
use super::replies::{self, reply};
use super::sasl::Exchange;
pub use super::sasl::Login;
pub use said::Said;

/// What does not change during a session.
#[derive(Debug)]
pub struct Setup {
    /// Where the client came in.
    pub listener: Arc<Listener>,
    /// What it may do.
    pub policy: Arc<Policy>,
}

/// What the session needs next.
#[derive(Debug)]
pub enum Step {
    /// Octets, after what is to be sent has been sent.
    Read,
    /// Send, then the handshake; then [`Session::tls_started`].
    StartTls,
    /// Check a password; then [`Session::verified`].
    Verify(Login),
    /// Room for so many octets; then [`Session::reserved`].
    Reserve(u64),
    /// Write a piece of a body; then [`Session::stored`].
    Store {
        /// Of which message.
        id: Id,
        /// Which piece.
        number: u32,
        /// Its octets.
        chunk: Bytes,
    },
    /// Remove the pieces of a body that nobody wants; nothing to answer.
    Discard {
        /// Of which message.
        id: Id,
        /// How many.
        chunks: u32,
    },
    /// Make it durable; then [`Session::accepted`].
    Accept(Box<Submission>),
    /// Send what is to be sent and end.
    Close,
}

/// What came of a password.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is right.
    Right(Arc<Account>),
    /// It is wrong, or there is no such account.
    Wrong,
    /// Too many are waiting to be checked.
    Busy,
    /// Too many wrong ones lately.
    Blocked,
}

/// Something was refused to a client that may relay.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// On whose account.
    pub account: String,
    /// MAIL FROM.
    pub sender: Option<String>,
    /// RCPT TO, when it is about one.
    pub recipient: Option<String>,
    /// What we said.
    pub reply: Reply,
}

/// A client.
pub struct Session {
    setup: Arc<Setup>,
    client: IpAddr,
    ids: Box<dyn FnMut() -> Id + Send>,
    tls: Option<String>,
    helo: Option<(String, bool)>,
    login: Option<Arc<Account>>,
    transaction: Option<Transaction>,
    state: State,
    refusal: Option<Refusal>,
    output: BytesMut,
    rejections: Vec<Rejection>,
    said: Option<Vec<Said>>,
    errors: u32,
    messages: u32,
    /// The rest of a line that was too long is on its way.
    skipping: bool,
    /// What is to be removed of a message that was given up.
    discard: Option<Step>,
}

#[derive(Debug)]
enum State {
    Command,
    Exchange(Exchange),
    Data(Box<Incoming>),
    /// A piece that nobody wants, and what is said when it is over.
    Skip {
        left: u64,
        then: Reply,
    },
    /// A step was handed out and not answered.
    Waiting(Waiting),
    Closed,
}

#[derive(Debug)]
enum Waiting {
    Tls,
    Password,
    RoomForData,
    RoomForChunk { size: u64, last: bool },
    RoomForMore(Box<Incoming>),
    Stored(Box<Incoming>),
    Accepted,
}

/// MAIL to the end of DATA.
#[derive(Debug)]
struct Transaction {
    sender: ReversePath,
    parameters: MailParameters,
    recipients: Vec<(Address, RecipientParameters)>,
    /// `None`: a stranger, who may write to the postmaster.
    grant: Option<Grant>,
    /// What has come of the message between two BDAT.
    arriving: Option<Box<Incoming>>,
}

impl Session {
    /// A client has connected. `tls` describes the connection when it was encrypted from the start.
    pub fn new(
        setup: Arc<Setup>,
        client: IpAddr,
        tls: Option<String>,
        ids: Box<dyn FnMut() -> Id + Send>,
    ) -> Self {
        Self {
            setup,
            client,
            ids,
            tls,
            helo: None,
            login: None,
            transaction: None,
            state: State::Command,
            refusal: None,
            output: BytesMut::new(),
            rejections: Vec::new(),
            said: None,
            errors: 0,
            messages: 0,
            skipping: false,
            discard: None,
        }
    }

    /// Greets; `early`: the client spoke before it was greeted, as only programs that send spam do.
    pub fn greet(&mut self, early: bool) {
        if early {
            self.say(&reply(554, (5, 5, 0), "You spoke before the greeting"));
            self.state = State::Closed;
        } else {
            let hostname = self.setup.policy.hostname.clone();
            self.raw(&format!("220 {hostname} ESMTP Tambo\r\n"));
        }
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Refusals since the last call.
    pub fn take_rejections(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.rejections)
    }

    /// The relay as a whole takes no mail now, or does again.
    pub fn set_refusal(&mut self, refusal: Option<Refusal>) {
        self.refusal = refusal;
    }

    /// A message is arriving: the time for the next octets is that of DATA.
    pub fn in_data(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Skip { .. })
    }

    /// Octets of a message are in memory.
    pub fn holds_message(&self) -> bool {
        let arrives = matches!(
            self.state,
            State::Data(_) | State::Waiting(Waiting::RoomForMore(_) | Waiting::Stored(_))
        );
        arrives || self.is_arriving()
    }

    /// The session ends from our side: time is over, or the relay stops.
    pub fn end(&mut self, why: &Reply) -> Option<Step> {
        let discard = self.abandoned();
        self.say(why);
        discard
    }

    /// The client went away: what it left half done is to be removed.
    pub fn abandoned(&mut self) -> Option<Step> {
        self.forget_transaction();
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Data(incoming) => incoming.discard(),
            _ => self.discard.take(),
        }
    }

    /// Goes on as far as possible with what has arrived.
    pub fn step(&mut self, input: &mut BytesMut, now: Timestamp) -> Step {
        loop {
            if let Some(discard) = self.discard.take() {
                return discard;
            }
            let step = match std::mem::replace(&mut self.state, State::Closed) {
                State::Closed => Some(Step::Close),
                State::Data(incoming) => self.data(incoming, input, now),
                State::Skip { left, then } => self.skip(left, then, input),
                State::Exchange(exchange) => self.exchange_line(exchange, input),
                State::Command => self.command_line(input, now),
                State::Waiting(waiting) => unreachable!("a step was not answered: {waiting:?}"),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// The handshake is done. All that was said before is forgotten (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, tls: String) {
        self.tls = Some(tls);
        self.helo = None;
        self.forget_transaction();
        self.state = State::Command;
    }

    /// Answers [`Step::Verify`].
    pub fn verified(&mut self, verdict: Verdict) {
        self.state = State::Command;
        match verdict {
            Verdict::Right(account) => {
                self.login = Some(account);
                self.say(&reply(235, (2, 7, 0), "Authenticated"));
            }
            Verdict::Wrong => self.say(&reply(535, (5, 7, 8), "Name or password is wrong")),
            Verdict::Busy => {
                self.say(&reply(454, (4, 7, 0), "Too many passwords are being checked; try again"));
            }
            Verdict::Blocked => {
                self.say(&reply(
                    454,
                    (4, 7, 0),
                    "Too many wrong passwords; try again in a quarter of an hour",
                ));
            }
        }
    }

    /// Answers [`Step::Reserve`].
    pub fn reserved(&mut self, room: Result<(), Refusal>) {
        match (std::mem::replace(&mut self.state, State::Command), room) {
            (State::Waiting(Waiting::RoomForData), Ok(())) => {
                let size = self.transaction.as_ref().and_then(|it| it.parameters.size);
                let incoming = self.incoming(size);
                self.raw("354 Send the message, end with a dot on a line of its own\r\n");
                self.state = State::Data(incoming);
            }
            (State::Waiting(Waiting::RoomForChunk { size, last }), Ok(())) => {
                let announced = self.transaction.as_ref().and_then(|it| it.parameters.size);
                let mut incoming = self.incoming(announced.or(last.then_some(size)));
                incoming.start_chunk(size, last);
                self.state = State::Data(incoming);
            }
            (State::Waiting(Waiting::RoomForChunk { size, .. }), Err(refusal)) => {
                self.transaction = None;
                self.state = State::Skip { left: size, then: replies::refusal(refusal) };
            }
            (State::Waiting(Waiting::RoomForMore(incoming)), Ok(())) => {
                self.state = State::Data(incoming);
            }
            (State::Waiting(Waiting::RoomForMore(mut incoming)), Err(refusal)) => {
                incoming.refuse(replies::refusal(refusal));
                self.state = State::Data(incoming);
            }
            (_, Err(refusal)) => {
                self.transaction = None;
                self.refused(&replies::refusal(refusal));
            }
            (state, Ok(())) => self.state = state,
        }
    }

    fn incoming(&mut self, size: Option<u64>) -> Box<Incoming> {
        let listener = &self.setup.listener;
        Box::new(Incoming::new((self.ids)(), listener, &listener.limits, size))
    }

    /// Answers [`Step::Store`].
    pub fn stored(&mut self, stored: Result<(), Refusal>) {
        if let State::Waiting(Waiting::Stored(mut incoming)) =
            std::mem::replace(&mut self.state, State::Command)
        {
            if let Err(refusal) = stored {
                incoming.refuse(replies::refusal(refusal));
            }
            self.state = State::Data(incoming);
        }
    }

    /// Answers [`Step::Accept`].
    pub fn accepted(&mut self, id: Id, accepted: Result<(), Refusal>, now: Timestamp) {
        self.state = State::Command;
        let transaction = self.transaction.take();
        match accepted {
            Ok(()) => {
                self.messages += 1;
                self.raw(&format!("250 2.0.0 queued as {id}\r\n"));
            }
            Err(refusal) => {
                if let Some(Transaction { grant: Some(grant), recipients, .. }) = &transaction {
                    self.setup.policy.return_quota(grant, count(recipients), now);
                }
                self.refused(&replies::refusal(refusal));
            }
        }
    }

    fn command_line(&mut self, input: &mut BytesMut, now: Timestamp) -> Option<Step> {
        let max = AUTH_LINE_MAX.max(MAIL_LINE_MAX);
        let Some(line) = take_line(input, max) else {
            self.state = State::Command;
            return Some(Step::Read);
        };
        self.state = State::Command;
        match line {
            Line::TooLong { ended } => {
                if !std::mem::replace(&mut self.skipping, !ended) {
                    self.say(&reply(500, (5, 5, 2), "The line is too long"));
                }
                None
            }
            _ if std::mem::take(&mut self.skipping) => None,
            Line::Bare => {
                self.say(&reply(500, (5, 5, 2), "Commands end in CRLF and have no other CR or LF"));
                None
            }
            Line::Whole(line) => self.command(&line, input, now),
        }
    }

    fn command(&mut self, line: &[u8], input: &mut BytesMut, now: Timestamp) -> Option<Step> {
        self.hear_command(line);
        let command = Command::parse(line);
        let max = match &command {
            Ok(Command::Auth(..)) => AUTH_LINE_MAX,
            Ok(Command::Mail(..)) => MAIL_LINE_MAX,
            Ok(Command::Rcpt(..)) => RCPT_LINE_MAX,
            _ => COMMAND_LINE_MAX,
        };
        if line.len() + 2 > max {
            self.say(&reply(500, (5, 5, 2), "The line is too long"));
            return None;
        }
        match command {
            Err(error) => {
                let sender = line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"MAIL"));
                self.say(&replies::command_error(&error, sender));
                if error == CommandError::Chunk {
                    // How many octets follow is not known: none of them may be obeyed.
                    input.clear();
                    return Some(self.close());
                }
            }
            Ok(command) if self.wants_tls_first(&command) => {
                self.say(&reply(530, (5, 7, 0), "Start with STARTTLS"));
            }
            Ok(Command::Ehlo(name)) => self.ehlo(name),
            Ok(Command::Helo(name)) => self.hello(name),
            Ok(Command::Mail(path, parameters)) => self.mail(path, parameters, now),
            Ok(Command::Rcpt(path, parameters)) => self.rcpt(path, parameters, now),
            Ok(Command::Data) => return self.start_data(input),
            Ok(Command::Bdat { size, last }) => return self.bdat(size, last),
            Ok(Command::Auth(mechanism, initial)) => {
                return self.auth(&mechanism, initial.as_deref());
            }
            Ok(Command::StartTls) => return self.start_tls(input),
            Ok(Command::Rset) => {
                self.forget_transaction();
                self.say(&reply(250, (2, 0, 0), "Ok"));
            }
            Ok(Command::Noop) => self.say(&reply(250, (2, 0, 0), "Ok")),
            Ok(Command::Vrfy) => {
                self.say(&reply(
                    252,
                    (2, 5, 0),
                    "Send it: whether it can be delivered is seen then",
                ));
            }
            Ok(Command::Expn) => self.say(&reply(502, (5, 5, 1), "Lists are not shown")),
            Ok(Command::Help) => self.say(&reply(214, (2, 0, 0), "See RFC 5321")),
            Ok(Command::Quit) => {
                self.say(&reply(221, (2, 0, 0), "Bye"));
                return Some(self.close());
            }
        }
        None
    }

    fn wants_tls_first(&self, command: &Command) -> bool {
        let free = matches!(
            command,
            Command::Ehlo(_)
                | Command::Helo(_)
                | Command::Noop
                | Command::Rset
                | Command::Quit
                | Command::StartTls
                // It has octets to be skipped, and no transaction to belong to.
                | Command::Bdat { .. }
        );
        self.setup.listener.tls == ListenerTls::Required && self.tls.is_none() && !free
    }

    /// Sends a reply; a 421 of the relay as a whole ends the session.
    fn refused(&mut self, refused: &Reply) {
        self.say(refused);
        if refused.code == 421 {
            self.state = State::Closed;
        }
    }

    fn say(&mut self, reply: &Reply) {
        self.raw(&format!("{reply}\r\n"));
        if reply.code >= 400 {
            self.errors += 1;
            if self.errors == self.setup.listener.limits.errors
                && !matches!(self.state, State::Closed)
            {
                limit_hit("errors");
                self.raw("421 4.7.0 Too many errors; connect again\r\n");
                self.state = State::Closed;
            }
        }
    }

    fn raw(&mut self, text: &str) {
        self.hear_reply(text);
        self.output.extend_from_slice(text.as_bytes());
    }

    fn close(&mut self) -> Step {
        self.state = State::Closed;
        Step::Close
    }
}

fn count(recipients: &[(Address, RecipientParameters)]) -> u32 {
    u32::try_from(recipients.len()).unwrap_or(u32::MAX)
}
