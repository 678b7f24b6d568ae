//! Who listens to a connection: what is done and said, without secrets and without mail.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Failure, Reply};

use super::trouble::Moment;

/// Something that happened, or was said, on the way to a server.
#[derive(Debug)]
pub enum Said<'a> {
    /// A host was looked up.
    Host(&'a str, Result<&'a [IpAddr], &'a Failure>),
    /// A connection is opened to here.
    Connecting(SocketAddr),
    /// It was taken.
    Connected,
    /// A line of ours, without its end.
    Line(&'a str),
    /// A reply.
    Reply(&'a Reply),
    /// TLS: protocol and cipher suite, or why it does not work.
    Tls(Result<&'a str, &'a str>),
    /// The attempt at this address has failed.
    Failed(&'a Failure),
}

impl Said<'_> {
    /// What was done, in words; nothing of what was said.
    pub fn done(&self) -> Option<String> {
        Some(match self {
            Self::Host(name, Ok(addresses)) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("{name} is {}", addresses.join(", "))
            }
            Self::Host(name, Err(failure)) => format!("{name}: {}", failure.cause),
            Self::Connecting(address) => format!("connecting to {address}"),
            Self::Connected => "connected".to_owned(),
            Self::Tls(Ok(description)) => format!("TLS: {description}"),
            Self::Tls(Err(error)) => format!("TLS does not work: {error}; in clear"),
            Self::Failed(failure) => format!("failed: {}", failure.cause),
            Self::Line(_) | Self::Reply(_) => return None,
        })
    }
}

/// Takes what happens.
#[derive(Clone)]
pub struct Ear(Arc<dyn Fn(&Said<'_>) + Send + Sync>);

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

impl Ear {
    /// Has this called for everything; it must not wait.
    pub fn new(listener: impl Fn(&Said<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Something happened.
    pub(super) fn hears(&self, said: &Said<'_>) {
        (self.0)(said);
    }

    /// What is sent: commands as they are, passwords and mail as what they are.
    pub(super) fn hears_lines(&self, pieces: &[Bytes], moment: Moment) {
        let octets: usize = pieces.iter().map(Bytes::len).sum();
        match moment {
            // Also where it follows AUTH on a line of its own.
            Moment::Auth => self.hears(&Said::Line("(a name and a password)")),
            Moment::Data | Moment::Body | Moment::Final if octets > 6 => {
                // A small message goes with its envelope by BDAT.
                let mut rest = octets;
                for command in envelope(pieces) {
                    rest -= command.len();
                    self.hears(&Said::Line(String::from_utf8_lossy(command).trim_end()));
                }
                self.hears(&Said::Line(&format!("(mail, {rest} octets)")));
            }
            _ => {
                let text = String::from_utf8_lossy(&pieces.concat()).into_owned();
                for line in text.lines() {
                    self.hears(&Said::Line(line));
                }
            }
        }
    }
}

/// The commands before a message, to the one that begins it. Without them a message begins with its trace.
fn envelope(pieces: &[Bytes]) -> impl Iterator<Item = &[u8]> {
    let mut begun = false;
    let lines = pieces.iter().flat_map(|piece| piece.split_inclusive(|octet| *octet == b'\n'));
    lines.take_while(move |line| {
        let is_last = line.starts_with(b"BDAT ");
        let is_one = is_last || line.starts_with(b"MAIL FROM:<") || line.starts_with(b"RCPT TO:<");
        let is_before = !begun;
        begun |= is_last;
        is_before && is_one
    })
}

/// Tells whoever listens.
pub(super) fn heard(ear: Option<&Ear>, said: &Said<'_>) {
    if let Some(ear) = ear {
        ear.hears(said);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::smtp_out::opening::{Opening, TlsWish};
    use crate::smtp_out::steps::Move;
    use crate::smtp_out::steps::testing::reply;

    fn heard_of(pieces: Vec<Bytes>, moment: Moment) -> String {
        let heard = Arc::new(Mutex::new(String::new()));
        let notes = Arc::clone(&heard);
        let ear = Ear::new(move |said| {
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.push_str(&format!("{said:?}\n"));
        });
        ear.hears_lines(&pieces, moment);
        heard.lock().unwrap().clone()
    }

    #[test]
    fn passwords_and_mail_are_not_heard() {
        for offered in ["250-x|250 AUTH PLAIN", "250-x|250 AUTH LOGIN"] {
            let login = Some(("ana".to_owned(), "secreto".to_owned()));
            let mut opening = Opening::new("relay.x.pe", TlsWish::Never, login);
            opening.reply(reply("220 hello")).unwrap();
            let mut all = String::new();
            for said in [offered, "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                let Ok(Move::Send(pieces)) = opening.reply(reply(said)) else { break };
                all.push_str(&heard_of(pieces, opening.moment()));
            }
            assert!(all.contains("a name and a password"), "{all}");
            // The name, and what base64 makes of both.
            for secret in ["ana", "YW5h", "secreto", "c2VjcmV0bw", "AGFuYQBzZWNyZXRv"] {
                assert!(!all.contains(secret), "{all}");
            }
        }
        let mail = vec![Bytes::from_static(b"Subject: secreto\r\n\r\nHola\r\n.\r\n")];
        assert!(!heard_of(mail, Moment::Body).contains("secreto"));
        // Short commands go out as one piece, and what follows may look like others.
        let together = vec![
            Bytes::from_static(
                b"MAIL FROM:<>\r\nRCPT TO:<a@x.pe>\r\nBDAT 9 LAST\r\nMAIL FROM:<secreto>\r\n",
            ),
            Bytes::from_static(b"RCPT TO:<secreto>\r\n"),
        ];
        let told = heard_of(together, Moment::Body);
        assert!(told.starts_with("Line(\"MAIL FROM:<>\")\nLine(\"RCPT TO:<a@x.pe>\")\nLine(\"BDAT 9 LAST\")\nLine(\"(mail, "), "{told}");
        assert!(!told.contains("secreto"), "{told}");
        let rcpt = vec![Bytes::from_static(b"RCPT TO:<a@x.pe>\r\n")];
        assert_eq!(heard_of(rcpt, Moment::Rcpt), "Line(\"RCPT TO:<a@x.pe>\")\n");
    }
}
