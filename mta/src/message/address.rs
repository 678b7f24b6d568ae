//! Mail addresses (RFC 5321 section 4.1.2): parsed once at the edge, valid from then on.
//!
//! A local part is kept without its quotes; writing one quotes it again where it must be,
//! or a quoted space or angle bracket would inject SMTP parameters at the next hop.
//! A local part may have letters beyond ASCII (RFC 6531 section 3.3): [`Address::needs_utf8`] tells,
//! and who hears or says it must see that SMTPUTF8 allows it. A domain is always ASCII (A-labels).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Octets of a local part (RFC 5321 4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain (RFC 5321 4.5.3.1.2).
const DOMAIN_MAX: usize = 255;

/// A mailbox: local part and domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    local_part: String,
    domain: Domain,
}

/// A domain as lower-case A-labels, or an address literal in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Domain(String);

/// MAIL FROM: a mailbox, or `<>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReversePath(pub Option<Address>);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing before it.
    #[error("the address needs a local part and a domain, as in name@example.pe")]
    Incomplete,
    /// Over 64 octets.
    #[error("the local part is longer than 64 octets")]
    LocalPartTooLong,
    /// A character that must be quoted, or a broken quote.
    #[error("the local part has a character that is not allowed there")]
    LocalPart,
    /// Letters beyond ASCII without SMTPUTF8.
    #[error("the local part has letters that need SMTPUTF8")]
    NeedsUtf8,
    /// Not a host name and not a literal.
    #[error("the domain is not a valid host name or address literal")]
    Domain,
}

impl Address {
    /// From the text between `<` and `>` of a path, without source route.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = domain_separator(text).ok_or(AddressError::Incomplete)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        Ok(Self { local_part: parse_local_part(local)?, domain: Domain::parse(domain)? })
    }

    /// From a local part without quotes and a domain.
    pub fn from_parts(local_part: &str, domain: Domain) -> Result<Self, AddressError> {
        if local_part.is_empty() {
            return Err(AddressError::Incomplete);
        }
        if local_part.len() > LOCAL_PART_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        if local_part.chars().any(char::is_control) {
            return Err(AddressError::LocalPart);
        }
        Ok(Self { local_part: local_part.to_owned(), domain })
    }

    /// Without quotes.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// Where its mail is routed.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Only servers that offer SMTPUTF8 can be told it (RFC 6531).
    pub fn needs_utf8(&self) -> bool {
        !self.local_part.is_ascii()
    }
}

impl Domain {
    /// From what a person or a peer wrote; U-labels become A-labels (RFC 5890).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > DOMAIN_MAX {
            return Err(AddressError::Domain);
        }
        if text.starts_with('[') {
            return parse_literal(text).map(Self).ok_or(AddressError::Domain);
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| AddressError::Domain)?;
        let ascii = ascii.to_ascii_lowercase();
        let labels_fit = ascii.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        // A name of digits alone is an address that lacks its brackets.
        let all_digits = ascii.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if labels_fit && !all_digits && ascii.len() <= DOMAIN_MAX {
            Ok(Self(ascii))
        } else {
            Err(AddressError::Domain)
        }
    }

    /// Lower-case A-labels, or `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of a literal.
    pub fn literal(&self) -> Option<std::net::IpAddr> {
        let inside = self.0.strip_prefix('[')?.strip_suffix(']')?;
        match inside.strip_prefix("IPv6:") {
            Some(six) => six.parse::<Ipv6Addr>().ok().map(Into::into),
            None => inside.parse::<Ipv4Addr>().ok().map(Into::into),
        }
    }
}

impl ReversePath {
    /// `<>`, the sender of notices that nobody may answer.
    pub const NULL: Self = Self(None);

    /// Whether it is `<>`.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }
}

/// As it stands in a path, without angle brackets; quoted where it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local_part) {
            write!(f, "{}@{}", self.local_part, self.domain.0)
        } else {
            f.write_str("\"")?;
            for character in self.local_part.chars() {
                if matches!(character, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
            write!(f, "\"@{}", self.domain.0)
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address, or nothing for `<>`.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(address) => write!(f, "{address}"),
            None => Ok(()),
        }
    }
}

/// Place of the `@` that ends the local part: the first one outside quotes.
fn domain_separator(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'@' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

fn parse_local_part(text: &str) -> Result<String, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Incomplete);
    }
    let plain = match text.strip_prefix('"') {
        Some(rest) => unquote(rest.strip_suffix('"').ok_or(AddressError::LocalPart)?)?,
        None if is_dot_string(text) => text.to_owned(),
        None => return Err(AddressError::LocalPart),
    };
    if plain.is_empty() {
        return Err(AddressError::LocalPart);
    }
    if plain.len() > LOCAL_PART_MAX {
        return Err(AddressError::LocalPartTooLong);
    }
    Ok(plain)
}

fn unquote(text: &str) -> Result<String, AddressError> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '\\' => characters.next().ok_or(AddressError::LocalPart)?,
            '"' => return Err(AddressError::LocalPart),
            other => other,
        };
        if character.is_control() {
            return Err(AddressError::LocalPart);
        }
        plain.push(character);
    }
    Ok(plain)
}

/// RFC 5321 Dot-string: atoms of RFC 5322 `atext` joined by single dots; with RFC 6531 section 3.3,
/// letters beyond ASCII belong to it.
fn is_dot_string(text: &str) -> bool {
    let is_atext = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(c)
            || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
    };
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn parse_literal(text: &str) -> Option<String> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let tag = inside.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    match tag {
        Some(_) => inside[5..].parse::<Ipv6Addr>().ok().map(|six| format!("[IPv6:{six}]")),
        None => inside.parse::<Ipv4Addr>().ok().map(|four| format!("[{four}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, &str, &str), AddressError>) {
        let parsed = Address::parse(text);
        let seen = parsed.as_ref().map(|a| (a.local_part(), a.domain().as_str())).map_err(|e| *e);
        assert_eq!(seen, expected.map(|(local, domain, _)| (local, domain)), "{text}");
        if let (Ok(address), Ok((_, _, written))) = (parsed, expected) {
            assert_eq!(address.to_string(), written);
        }
    }

    #[test]
    fn addresses_are_read_and_written() {
        check("ana@Example.PE", Ok(("ana", "example.pe", "ana@example.pe")));
        check("a.b+c@x.pe", Ok(("a.b+c", "x.pe", "a.b+c@x.pe")));
        check("ana@peñaranda.pe", Ok(("ana", "xn--pearanda-e3a.pe", "ana@xn--pearanda-e3a.pe")));
        check("\"a b\"@x.pe", Ok(("a b", "x.pe", "\"a b\"@x.pe")));
        check("\"a\\\"b\\\\\"@x.pe", Ok(("a\"b\\", "x.pe", "\"a\\\"b\\\\\"@x.pe")));
        check("\"ana\"@x.pe", Ok(("ana", "x.pe", "ana@x.pe")));
        check("\"a@b\"@x.pe", Ok(("a@b", "x.pe", "\"a@b\"@x.pe")));
        check("ñu.é@x.pe", Ok(("ñu.é", "x.pe", "ñu.é@x.pe")));
        check("\"ñ u\"@x.pe", Ok(("ñ u", "x.pe", "\"ñ u\"@x.pe")));
        check("a@[192.0.2.1]", Ok(("a", "[192.0.2.1]", "a@[192.0.2.1]")));
        check("a@[ipv6:2001:DB8::1]", Ok(("a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]")));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        check("ana", Err(AddressError::Incomplete));
        check("@x.pe", Err(AddressError::Incomplete));
        check("a b@x.pe", Err(AddressError::LocalPart));
        check(".a@x.pe", Err(AddressError::LocalPart));
        check("a..b@x.pe", Err(AddressError::LocalPart));
        check("\"a@x.pe", Err(AddressError::Incomplete));
        check("\"\"@x.pe", Err(AddressError::LocalPart));
        check("\"a\"b@x.pe", Err(AddressError::LocalPart));
        check("a<b@x.pe", Err(AddressError::LocalPart));
        check("a\u{85}@x.pe", Err(AddressError::LocalPart));
        check("a\u{2003}b@x.pe", Err(AddressError::LocalPart));
        check("\"a\u{9b}\"@x.pe", Err(AddressError::LocalPart));
        check(&format!("{}@x.pe", "ñ".repeat(33)), Err(AddressError::LocalPartTooLong));
        check("a@", Err(AddressError::Domain));
        check("a@x..pe", Err(AddressError::Domain));
        check("a@-x.pe", Err(AddressError::Domain));
        check("a@x_y.pe", Err(AddressError::Domain));
        check("a@192.0.2.1", Err(AddressError::Domain));
        check("a@[300.0.2.1]", Err(AddressError::Domain));
        check("a@x.pe> SIZE=1", Err(AddressError::Domain));
        check(&format!("{}@x.pe", "a".repeat(65)), Err(AddressError::LocalPartTooLong));
        check(&format!("a@{}.pe", "a".repeat(64)), Err(AddressError::Domain));
    }
}
