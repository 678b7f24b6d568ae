//! What we say to a server and what its replies lead to: the opening of a connection, and one
//! transaction. Pure: replies in, moves out.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::message::{Address, BodyType, Failure, Message, Outcome, Reply};
use crate::smtp::stuffed;

use super::trouble::{self, Moment};

/// What is done next.
#[derive(Debug)]
pub(super) enum Move {
    /// Wait for a reply.
    Read,
    /// Send these octets, then wait for a reply.
    Send(Vec<Bytes>),
    /// Do the TLS handshake, then [`Opening::tls_started`].
    StartTls,
    /// It is done.
    Done,
}

/// Whether TLS is wanted of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsWish {
    /// Not spoken.
    Never,
    /// When offered.
    WhenOffered,
    /// Or else no mail.
    Always,
}

/// What a server offers (EHLO).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Commands may go in groups (RFC 2920).
    pub pipelining: bool,
    /// 8-bit text (RFC 6152).
    pub eight_bit: bool,
    /// SIZE is understood (RFC 1870) …
    pub size: bool,
    /// … and this is the most, if it says.
    pub size_max: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH PLAIN.
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
}

impl Capabilities {
    fn read(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.text.split('\n').skip(1) {
            let line = line.trim().to_ascii_uppercase();
            let mut words = line.split([' ', '=']);
            match words.next().unwrap_or("") {
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit = true,
                "STARTTLS" => found.starttls = true,
                "SIZE" => {
                    found.size = true;
                    let size = words.next().and_then(|word| word.parse().ok());
                    found.size_max = size.filter(|size| *size > 0);
                }
                "AUTH" => {
                    for mechanism in words {
                        found.auth_plain |= mechanism == "PLAIN";
                        found.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// From the greeting until mail may be sent.
#[derive(Debug)]
pub(super) struct Opening {
    helo: String,
    wish: TlsWish,
    login: Option<(String, String)>,
    encrypted: bool,
    state: OpeningState,
    pub(super) capabilities: Capabilities,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpeningState {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    AuthPlain,
    AuthLoginName,
    AuthLoginPassword,
    AuthLoginEnd,
}

impl Opening {
    pub(super) fn new(helo: &str, wish: TlsWish, login: Option<(String, String)>) -> Self {
        Self {
            helo: helo.to_owned(),
            wish,
            login,
            encrypted: false,
            state: OpeningState::Greeting,
            capabilities: Capabilities::default(),
        }
    }

    pub(super) fn moment(&self) -> Moment {
        match self.state {
            OpeningState::Greeting => Moment::Greeting,
            OpeningState::Ehlo | OpeningState::Helo => Moment::Hello,
            OpeningState::StartTls => Moment::StartTls,
            _ => Moment::Auth,
        }
    }

    pub(super) fn reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        use OpeningState as S;
        match (self.state, reply.code) {
            (S::Greeting, 220) => Ok(self.send(S::Ehlo, format!("EHLO {}", self.helo))),
            (S::Ehlo, 250) => {
                self.capabilities = Capabilities::read(&reply);
                self.after_hello()
            }
            // An old server: HELO will do, where no TLS and no password is needed.
            (S::Ehlo, 500..=599) if !self.encrypted => {
                Ok(self.send(S::Helo, format!("HELO {}", self.helo)))
            }
            (S::Helo, 250) => self.after_hello(),
            (S::StartTls, 220) => Ok(Move::StartTls),
            (S::StartTls, _) if self.wish == TlsWish::WhenOffered && reply.code != 421 => {
                self.after_tls()
            }
            (S::AuthLoginName, 334) => {
                let name = self.login.as_ref().map_or("", |(name, _)| name);
                let name = STANDARD.encode(name);
                Ok(self.send(S::AuthLoginPassword, name))
            }
            (S::AuthLoginPassword, 334) => {
                let password = self.login.as_ref().map_or("", |(_, password)| password);
                let password = STANDARD.encode(password);
                Ok(self.send(S::AuthLoginEnd, password))
            }
            (S::AuthPlain | S::AuthLoginEnd, 235) => Ok(Move::Done),
            (_, 400..) => Err(trouble::refused(self.moment(), reply)),
            (_, _) => Err(trouble::unexpected(self.moment(), &reply)),
        }
    }

    /// The handshake is done: what the server said before counts no more (RFC 3207 4.2).
    pub(super) fn tls_started(&mut self) -> Move {
        self.encrypted = true;
        self.capabilities = Capabilities::default();
        self.send(OpeningState::Ehlo, format!("EHLO {}", self.helo))
    }

    fn after_hello(&mut self) -> Result<Move, Failure> {
        if self.encrypted || self.wish == TlsWish::Never {
            return self.after_tls();
        }
        match (self.capabilities.starttls, self.wish) {
            (true, _) => Ok(self.send(OpeningState::StartTls, "STARTTLS".to_owned())),
            (false, TlsWish::Always) => Err(trouble::tls(
                "TLS is required and the server does not offer STARTTLS".to_owned(),
            )),
            (false, _) => self.after_tls(),
        }
    }

    fn after_tls(&mut self) -> Result<Move, Failure> {
        let Some((name, password)) = &self.login else { return Ok(Move::Done) };
        if self.capabilities.auth_plain {
            let response = STANDARD.encode(format!("\0{name}\0{password}"));
            Ok(self.send(OpeningState::AuthPlain, format!("AUTH PLAIN {response}")))
        } else if self.capabilities.auth_login {
            Ok(self.send(OpeningState::AuthLoginName, "AUTH LOGIN".to_owned()))
        } else {
            Err(trouble::credentials(
                "the server offers neither AUTH PLAIN nor AUTH LOGIN".to_owned(),
            ))
        }
    }

    fn send(&mut self, state: OpeningState, line: String) -> Move {
        self.state = state;
        Move::Send(vec![Bytes::from(line + "\r\n")])
    }
}

/// One message to some recipients.
#[derive(Debug)]
pub(super) struct Transaction {
    commands: VecDeque<(Moment, String)>,
    /// Commands that were sent and not answered.
    expected: VecDeque<Moment>,
    pipelining: bool,
    content: Vec<Bytes>,
    outcomes: Vec<Option<Outcome>>,
    /// Which recipient the next reply to RCPT is about.
    next_recipient: usize,
    mail_failed: bool,
    content_sent: bool,
}

impl Transaction {
    /// Refuses at once what the server cannot take.
    pub(super) fn new(
        message: &Message,
        body: &[Bytes],
        recipients: &[Address],
        capabilities: &Capabilities,
    ) -> Result<Self, Failure> {
        let size = message.size();
        if let Some(size_max) = capabilities.size_max.filter(|size_max| size > *size_max) {
            return Err(trouble::too_big(size, size_max));
        }
        if message.body_type == BodyType::EightBit && !capabilities.eight_bit {
            return Err(trouble::not_eight_bit());
        }
        let mut mail = format!("MAIL FROM:<{}>", message.sender);
        if capabilities.size {
            mail.push_str(&format!(" SIZE={size}"));
        }
        if message.body_type == BodyType::EightBit {
            mail.push_str(" BODY=8BITMIME");
        }
        let mut commands = VecDeque::with_capacity(recipients.len() + 2);
        commands.push_back((Moment::Mail, mail));
        commands.extend(recipients.iter().map(|to| (Moment::Rcpt, format!("RCPT TO:<{to}>"))));
        commands.push_back((Moment::Data, "DATA".to_owned()));
        let mut content = vec![message.prefix.clone()];
        if message.leading_dots {
            content.extend(stuffed(body));
        } else {
            content.extend_from_slice(body);
        }
        content.push(Bytes::from_static(b".\r\n"));
        Ok(Self {
            commands,
            expected: VecDeque::new(),
            pipelining: capabilities.pipelining,
            content,
            outcomes: vec![None; recipients.len()],
            next_recipient: 0,
            mail_failed: false,
            content_sent: false,
        })
    }

    /// The first octets: all commands at once where the server allows it.
    pub(super) fn start(&mut self) -> Move {
        self.send_commands()
    }

    /// What the next reply is about.
    pub(super) fn moment(&self) -> Moment {
        self.expected.front().copied().unwrap_or(Moment::Final)
    }

    /// A reply came.
    pub(super) fn reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        let moment = self.expected.pop_front().unwrap_or(Moment::Final);
        if reply.code == 421 {
            return Err(trouble::refused(moment, reply));
        }
        match moment {
            Moment::Mail => self.mail_reply(reply)?,
            Moment::Rcpt => self.rcpt_reply(reply)?,
            Moment::Data => return self.data_reply(reply),
            _ => return self.final_reply(reply),
        }
        if !self.expected.is_empty() {
            return Ok(Move::Read);
        }
        if self.taken() == 0 && (self.mail_failed || self.next_recipient == self.outcomes.len()) {
            // Not pipelined: nobody is left to send to.
            return Ok(self.reset());
        }
        Ok(self.send_commands())
    }

    /// The connection failed: what had no outcome yet has this one.
    pub(super) fn broken(mut self, failure: &Failure) -> Vec<Outcome> {
        self.fail_rest(failure);
        self.finish()
    }

    /// What became of each recipient.
    pub(super) fn finish(self) -> Vec<Outcome> {
        let missing = || Outcome::Failed(trouble::timed_out(Moment::Final));
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }

    /// The message itself has gone out, so a lost connection may mean a duplicate.
    pub(super) fn content_sent(&self) -> bool {
        self.content_sent
    }

    /// Makes room for the next message: servers keep a transaction that did not get to its end.
    fn reset(&mut self) -> Move {
        self.commands.clear();
        self.expected.push_back(Moment::Body);
        Move::Send(vec![Bytes::from_static(b"RSET\r\n")])
    }

    fn send_commands(&mut self) -> Move {
        let count = if self.pipelining { self.commands.len() } else { 1 };
        let mut text = String::new();
        for (moment, command) in self.commands.drain(..count.min(self.commands.len())) {
            text.push_str(&command);
            text.push_str("\r\n");
            self.expected.push_back(moment);
        }
        Move::Send(vec![text.into()])
    }

    fn mail_reply(&mut self, reply: Reply) -> Result<(), Failure> {
        match reply.code {
            200..=299 => Ok(()),
            400.. => {
                self.mail_failed = true;
                self.fail_rest(&trouble::refused(Moment::Mail, reply));
                Ok(())
            }
            _ => Err(trouble::unexpected(Moment::Mail, &reply)),
        }
    }

    fn rcpt_reply(&mut self, reply: Reply) -> Result<(), Failure> {
        let place = self.next_recipient;
        self.next_recipient += 1;
        let Some(outcome) = self.outcomes.get_mut(place) else { return Ok(()) };
        match reply.code {
            _ if self.mail_failed => Ok(()),
            200..=299 => Ok(()),
            400.. => {
                *outcome = Some(Outcome::Failed(trouble::refused(Moment::Rcpt, reply)));
                Ok(())
            }
            _ => Err(trouble::unexpected(Moment::Rcpt, &reply)),
        }
    }

    fn data_reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        match reply.code {
            354 => {
                self.content_sent = true;
                self.expected.push_back(Moment::Final);
                // It asks for a message although it refused everybody: an empty one ends that
                // (RFC 2920 section 3.1), and whatever it answers counts for nobody.
                let nothing = || vec![Bytes::from_static(b".\r\n")];
                let content =
                    if self.taken() == 0 { nothing() } else { std::mem::take(&mut self.content) };
                Ok(Move::Send(content))
            }
            400.. => {
                self.fail_rest(&trouble::refused(Moment::Data, reply));
                Ok(self.reset())
            }
            _ => Err(trouble::unexpected(Moment::Data, &reply)),
        }
    }

    fn final_reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        match reply.code {
            200..=299 => {
                for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                    *outcome = Some(Outcome::Delivered(reply.clone()));
                }
            }
            400.. => self.fail_rest(&trouble::refused(Moment::Final, reply)),
            _ => return Err(trouble::unexpected(Moment::Final, &reply)),
        }
        Ok(Move::Done)
    }

    /// Recipients that the server has not refused.
    fn taken(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_none()).count()
    }

    fn fail_rest(&mut self, failure: &Failure) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Outcome::Failed(failure.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Id, Priority, ReversePath};

    fn reply(text: &str) -> Reply {
        let lines: Vec<&str> = text.split('|').collect();
        let code = lines[0][..3].parse().unwrap();
        Reply::from_lines(code, lines.iter().map(|line| line.get(4..).unwrap_or("")))
    }

    fn sent(step: Result<Move, Failure>) -> String {
        match step.unwrap() {
            Move::Send(pieces) => String::from_utf8(pieces.concat()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    fn message(body_type: BodyType) -> Message {
        Message {
            id: Id::ZERO,
            sender: ReversePath::NULL,
            prefix: Bytes::from_static(b"Received: x\r\n"),
            body_size: 6,
            body_chunks: 1,
            leading_dots: true,
            body_type,
            deliveries: 1,
            listener: String::new(),
            account: String::new(),
            pool: None,
            tags: vec![],
            priority: Priority::default(),
            message_id: None,
        }
    }

    fn transaction(pipelining: bool, recipients: &[&str]) -> Transaction {
        let recipients: Vec<_> = recipients.iter().map(|to| Address::parse(to).unwrap()).collect();
        let capabilities = Capabilities { pipelining, size: true, ..Capabilities::default() };
        let body = [Bytes::from_static(b"\r\n.a\r\n")];
        Transaction::new(&message(BodyType::SevenBit), &body, &recipients, &capabilities).unwrap()
    }

    fn codes(outcomes: Vec<Outcome>) -> String {
        outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Delivered(reply) => reply.code.to_string(),
                Outcome::Failed(failure) => failure.reply.code.to_string(),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn an_opening_with_tls_and_a_password() {
        let login = Some(("u".to_owned(), "p".to_owned()));
        let mut opening = Opening::new("m1.x.pe", TlsWish::Always, login);
        assert_eq!(sent(opening.reply(reply("220 mx"))), "EHLO m1.x.pe\r\n");
        assert_eq!(sent(opening.reply(reply("250-mx|250-SIZE 100|250 STARTTLS"))), "STARTTLS\r\n");
        assert_eq!(sent(opening.reply(reply("220 go"))), "StartTls");
        assert_eq!(sent(Ok(opening.tls_started())), "EHLO m1.x.pe\r\n");
        assert_eq!(
            sent(opening.reply(reply("250-mx|250-PIPELINING|250 AUTH LOGIN PLAIN"))),
            "AUTH PLAIN AHUAcA==\r\n"
        );
        assert_eq!(sent(opening.reply(reply("235 ok"))), "Done");
        assert_eq!(opening.capabilities.size_max, None, "what was said in clear is forgotten");
    }

    #[test]
    fn openings_that_must_make_do_or_fail() {
        let mut old = Opening::new("m1", TlsWish::WhenOffered, None);
        assert_eq!(sent(old.reply(reply("220 mx"))), "EHLO m1\r\n");
        assert_eq!(sent(old.reply(reply("502 what"))), "HELO m1\r\n");
        assert_eq!(sent(old.reply(reply("250 mx"))), "Done");
        let mut strict = Opening::new("m1", TlsWish::Always, None);
        let _ = strict.reply(reply("220 mx"));
        assert!(strict.reply(reply("250 mx")).is_err());
        let mut lax = Opening::new("m1", TlsWish::WhenOffered, None);
        let _ = lax.reply(reply("220 mx"));
        assert_eq!(sent(lax.reply(reply("250-mx|250 STARTTLS"))), "STARTTLS\r\n");
        assert_eq!(sent(lax.reply(reply("454 not now"))), "Done");
        assert!(Opening::new("m1", TlsWish::Never, None).reply(reply("554 no")).is_err());
    }

    #[test]
    fn everything_in_one_write_where_allowed() {
        let mut one = transaction(true, &["a@x.pe", "b@x.pe"]);
        let all = "MAIL FROM:<> SIZE=19\r\nRCPT TO:<a@x.pe>\r\nRCPT TO:<b@x.pe>\r\nDATA\r\n";
        assert_eq!(sent(Ok(one.start())), all);
        assert_eq!(sent(one.reply(reply("250 ok"))), "Read");
        assert_eq!(sent(one.reply(reply("550 5.1.1 no"))), "Read");
        assert_eq!(sent(one.reply(reply("250 ok"))), "Read");
        assert_eq!(sent(one.reply(reply("354 go"))), "Received: x\r\n\r\n..a\r\n.\r\n");
        assert_eq!(sent(one.reply(reply("250 taken"))), "Done");
        assert_eq!(codes(one.finish()), "550 250");
    }

    #[test]
    fn one_by_one_elsewhere() {
        let mut one = transaction(false, &["a@x.pe", "b@x.pe"]);
        assert_eq!(sent(Ok(one.start())), "MAIL FROM:<> SIZE=19\r\n");
        assert_eq!(sent(one.reply(reply("250 ok"))), "RCPT TO:<a@x.pe>\r\n");
        assert_eq!(sent(one.reply(reply("450 4.2.0 later"))), "RCPT TO:<b@x.pe>\r\n");
        assert_eq!(sent(one.reply(reply("450 4.2.0 later"))), "RSET\r\n");
        assert_eq!(sent(one.reply(reply("250 ok"))), "Done");
        assert_eq!(codes(one.finish()), "450 450");
        let mut refused = transaction(false, &["a@x.pe"]);
        refused.start();
        assert_eq!(sent(refused.reply(reply("550 5.7.1 you"))), "RSET\r\n");
        assert_eq!(sent(refused.reply(reply("250 ok"))), "Done");
        assert_eq!(codes(refused.finish()), "550");
    }

    #[test]
    fn a_server_that_refuses_all_and_asks_for_the_message_gets_an_empty_one() {
        let mut one = transaction(true, &["a@x.pe"]);
        one.start();
        let _ = one.reply(reply("550 5.7.1 sender"));
        let _ = one.reply(reply("503 5.5.1 mail first"));
        assert_eq!(sent(one.reply(reply("354 go"))), ".\r\n");
        assert_eq!(sent(one.reply(reply("250 odd"))), "Done");
        assert_eq!(codes(one.finish()), "550");
    }

    #[test]
    fn what_breaks_in_the_middle() {
        let mut one = transaction(true, &["a@x.pe", "b@x.pe"]);
        one.start();
        let _ = one.reply(reply("250 ok"));
        let _ = one.reply(reply("550 5.1.1 no"));
        let failure = one.reply(reply("421 4.3.2 bye")).unwrap_err();
        assert_eq!(codes(one.broken(&failure)), "550 421");
    }

    #[test]
    fn what_a_server_cannot_take_is_not_sent() {
        let to = [Address::parse("a@x.pe").unwrap()];
        let small = Capabilities { size: true, size_max: Some(10), ..Capabilities::default() };
        let refused = Transaction::new(&message(BodyType::SevenBit), &[], &to, &small).unwrap_err();
        assert_eq!(refused.reply.enhanced.unwrap().to_string(), "5.3.4");
        let seven = Capabilities::default();
        assert!(Transaction::new(&message(BodyType::EightBit), &[], &to, &seven).is_err());
    }
}
