//! The opening of a connection: greeting, EHLO, STARTTLS, AUTH; and what the server offers. Pure: replies
//! in, moves out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::message::{Failure, Reply};

use super::steps::Move;
use super::trouble::{self, Moment};

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
    /// BDAT (RFC 3030).
    pub chunking: bool,
    /// Addresses and headers beyond ASCII (RFC 6531).
    pub utf8: bool,
    /// What senders ask to be told (RFC 3461).
    pub dsn: bool,
    /// Priorities (RFC 6710).
    pub priorities: bool,
    /// Most RCPT of one transaction, if it says (RFC 9422).
    pub recipients_max: Option<usize>,
    /// Most transactions of one connection, if it says (RFC 9422).
    pub transactions_max: Option<u32>,
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
                "CHUNKING" => found.chunking = true,
                "SMTPUTF8" => found.utf8 = true,
                "DSN" => found.dsn = true,
                "MT-PRIORITY" => found.priorities = true,
                "LIMITS" => found.read_limits(&line),
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

    /// RFC 9422 section 3: `LIMITS RCPTMAX=100 MAILMAX=20`. Zero means nothing that can be obeyed.
    fn read_limits(&mut self, line: &str) {
        for (name, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
            match name {
                "RCPTMAX" => self.recipients_max = value.parse().ok().filter(|max| *max > 0),
                "MAILMAX" => self.transactions_max = value.parse().ok().filter(|max| *max > 0),
                _ => {}
            }
        }
    }
}

/// From the greeting until mail may be sent.
#[derive(Debug)]
pub struct Opening {
    helo: String,
    wish: TlsWish,
    login: Option<(String, String)>,
    encrypted: bool,
    state: OpeningState,
    /// What the server has offered last.
    pub capabilities: Capabilities,
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
    /// Our name, what is wanted of TLS, and the password that is given.
    pub fn new(helo: &str, wish: TlsWish, login: Option<(String, String)>) -> Self {
        Self {
            helo: helo.to_owned(),
            wish,
            login,
            encrypted: false,
            state: OpeningState::Greeting,
            capabilities: Capabilities::default(),
        }
    }

    /// What the next reply is about.
    pub fn moment(&self) -> Moment {
        match self.state {
            OpeningState::Greeting => Moment::Greeting,
            OpeningState::Ehlo | OpeningState::Helo => Moment::Hello,
            OpeningState::StartTls => Moment::StartTls,
            _ => Moment::Auth,
        }
    }

    /// A reply came.
    pub fn reply(&mut self, reply: Reply) -> Result<Move, Failure> {
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
    pub fn tls_started(&mut self) -> Move {
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

#[cfg(test)]
mod tests {
    use super::super::steps::testing::{reply, sent};
    use super::*;

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
    fn offers_are_read() {
        let text = "250-mx|250-CHUNKING|250-smtputf8|250-DSN|250-MT-PRIORITY STANAG4406|\
             250 LIMITS RCPTMAX=7 MAILMAX=0 X=1";
        let found = Capabilities::read(&reply(text));
        assert!(found.chunking && found.utf8 && found.dsn && found.priorities);
        assert_eq!((found.recipients_max, found.transactions_max), (Some(7), None));
    }
}
