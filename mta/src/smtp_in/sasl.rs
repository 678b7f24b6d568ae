//! The exchanges of AUTH PLAIN (RFC 4616) and AUTH LOGIN: lines in, a name and a password out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of a name or a password.
const CREDENTIAL_OCTETS_MAX: usize = 1024;

/// Where an exchange stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exchange {
    /// PLAIN: everything comes in one line.
    Plain,
    /// LOGIN: the name comes next.
    LoginName,
    /// LOGIN: the password comes next.
    LoginPassword(String),
}

/// Who somebody says to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Name of the account.
    pub name: String,
    /// In clear; never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a line leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask on with this challenge (base64).
    Ask(Exchange, &'static str),
    /// All is there.
    Done(Login),
    /// `*`
    Cancelled,
    /// Not base64, or not what the mechanism expects.
    Malformed,
}

impl Exchange {
    /// Starts; `None`: the mechanism is not offered.
    pub(super) fn start(mechanism: &str, initial: Option<&str>) -> Option<Next> {
        let exchange = match mechanism {
            "PLAIN" => Self::Plain,
            "LOGIN" => Self::LoginName,
            _ => return None,
        };
        Some(match (initial, &exchange) {
            // RFC 4954: a single = is the empty response.
            (Some("="), _) => exchange.response(b""),
            (Some(response), _) => exchange.response(response.as_bytes()),
            (None, Self::Plain) => Next::Ask(exchange, ""),
            (None, _) => Next::Ask(exchange, "VXNlcm5hbWU6"),
        })
    }

    /// The next line of the client.
    pub(super) fn response(self, line: &[u8]) -> Next {
        if line == b"*" {
            return Next::Cancelled;
        }
        let Some(text) = decode(line) else { return Next::Malformed };
        if self != Self::Plain && text.len() > CREDENTIAL_OCTETS_MAX {
            return Next::Malformed;
        }
        match self {
            Self::Plain => plain(&text),
            Self::LoginName => Next::Ask(Self::LoginPassword(text), "UGFzc3dvcmQ6"),
            Self::LoginPassword(name) => Next::Done(Login { name, password: text }),
        }
    }
}

fn decode(line: &[u8]) -> Option<String> {
    let octets = STANDARD.decode(line).ok()?;
    String::from_utf8(octets).ok()
}

/// `authzid NUL authcid NUL password`; acting for somebody else is not offered.
fn plain(text: &str) -> Next {
    let parts: Vec<&str> = text.split('\0').collect();
    let [acting_for, name, password] = parts[..] else { return Next::Malformed };
    let fits = !name.is_empty()
        && (acting_for.is_empty() || acting_for == name)
        && name.len() <= CREDENTIAL_OCTETS_MAX
        && password.len() <= CREDENTIAL_OCTETS_MAX;
    if fits {
        Next::Done(Login { name: name.to_owned(), password: password.to_owned() })
    } else {
        Next::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str, password: &str) -> Next {
        Next::Done(Login { name: name.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn plain_in_one_line() {
        let encode = |text: &str| STANDARD.encode(text);
        let start = |text: &str| Exchange::start("PLAIN", Some(&encode(text)));
        assert_eq!(start("\0ana\0secreto"), Some(login("ana", "secreto")));
        assert_eq!(start("ana\0ana\0ñ"), Some(login("ana", "ñ")));
        assert_eq!(start("eva\0ana\0x"), Some(Next::Malformed));
        assert_eq!(start("ana\0x"), Some(Next::Malformed));
        assert_eq!(start("\0\0x"), Some(Next::Malformed));
        assert_eq!(Exchange::start("PLAIN", Some("=")), Some(Next::Malformed));
        assert_eq!(Exchange::start("PLAIN", Some("!!")), Some(Next::Malformed));
        assert_eq!(Exchange::start("PLAIN", None), Some(Next::Ask(Exchange::Plain, "")));
        assert_eq!(Exchange::Plain.response(b"*"), Next::Cancelled);
        assert_eq!(Exchange::start("CRAM-MD5", None), None);
    }

    #[test]
    fn login_in_two() {
        let Some(Next::Ask(exchange, "VXNlcm5hbWU6")) = Exchange::start("LOGIN", None) else {
            panic!()
        };
        let Next::Ask(exchange, "UGFzc3dvcmQ6") = exchange.response(b"YW5h") else { panic!() };
        assert_eq!(exchange.response(b"c2VjcmV0bw=="), login("ana", "secreto"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", login("ana", "secreto"));
        assert!(shown.contains("ana") && !shown.contains("secreto"));
    }
}
