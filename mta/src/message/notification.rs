//! What a sender asks to be told (RFC 3461), and the encodings that its parameters travel in:
//! xtext (RFC 3461 section 4) and the utf-8 address type (RFC 6533 section 3).
//!
//! Values are decoded once, at the edge, and written anew for each hop.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Octets of ORCPT without its address type (RFC 3461 section 4.2 asks for 500 with it).
const ORIGINAL_RECIPIENT_OCTETS_MAX: usize = 500;
/// Octets of ENVID (RFC 3461 section 4.4).
const ENVELOPE_ID_OCTETS_MAX: usize = 100;

/// NOTIFY: when the sender wants to hear of a recipient (RFC 3461 section 4.1).
/// Nothing of it: NEVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    /// When it is delivered.
    pub success: bool,
    /// When it cannot be delivered.
    pub failure: bool,
    /// When it is late.
    pub delay: bool,
}

/// RET: how much of a message comes back with the notice that it failed (RFC 3461 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnContent {
    /// All of it.
    Full,
    /// Its header section.
    Headers,
}

/// ORCPT: the recipient as the sender first wrote it (RFC 3461 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8` or another registered type, in lower case.
    address_type: String,
    /// Decoded; no control characters.
    address: String,
}

impl Notify {
    /// From the value of NOTIFY; `None`: it cannot be read.
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::default());
        }
        let mut notify = Self::default();
        for word in value.split(',') {
            let wanted = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut notify.success,
                "FAILURE" => &mut notify.failure,
                "DELAY" => &mut notify.delay,
                // NEVER stands alone.
                _ => return None,
            };
            if std::mem::replace(wanted, true) {
                return None;
            }
        }
        Some(notify)
    }

    /// As the value of NOTIFY.
    pub fn as_parameter(self) -> String {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let wanted: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        if wanted.is_empty() { "NEVER".to_owned() } else { wanted.join(",") }
    }
}

impl ReturnContent {
    /// From the value of RET.
    pub fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_uppercase().as_str() {
            "FULL" => Some(Self::Full),
            "HDRS" => Some(Self::Headers),
            _ => None,
        }
    }

    /// As the value of RET.
    pub fn as_parameter(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl OriginalRecipient {
    /// From the value of ORCPT; `None`: it cannot be read.
    pub fn parse(value: &str) -> Option<Self> {
        let (address_type, encoded) = value.split_once(';')?;
        let is_atom = !address_type.is_empty()
            && address_type.len() <= 64
            && address_type.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_atom || encoded.is_empty() || encoded.len() > ORIGINAL_RECIPIENT_OCTETS_MAX {
            return None;
        }
        let address_type = address_type.to_ascii_lowercase();
        let address = if address_type == "utf-8" {
            decode_utf8_address(encoded)?
        } else {
            decode_xtext(encoded)?
        };
        let clean = !address.is_empty() && !address.chars().any(char::is_control);
        clean.then_some(Self { address_type, address })
    }

    /// As the value of ORCPT. Always ASCII: a utf-8 address in its xtext form, which every server
    /// that offers DSN may be sent.
    pub fn as_parameter(&self) -> String {
        let encoded = if self.address_type == "utf-8" {
            encode_utf8_address(&self.address)
        } else {
            encode_xtext(&self.address)
        };
        format!("{};{encoded}", self.address_type)
    }

    /// `rfc822`, `utf-8` or another registered type, in lower case.
    pub fn address_type(&self) -> &str {
        &self.address_type
    }

    /// Decoded.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// ENVID decoded: the sender's name for the message; `None`: it cannot be read.
pub fn parse_envelope_id(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > ENVELOPE_ID_OCTETS_MAX {
        return None;
    }
    decode_xtext(value).filter(|id| id.bytes().all(|b| (b' '..=b'~').contains(&b)))
}

/// xtext (RFC 3461 section 4).
pub fn encode_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b'!'..=b'~').contains(&byte) && !matches!(byte, b'+' | b'=') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "+{byte:02X}");
        }
    }
    encoded
}

/// `None`: it is no xtext, or no ASCII comes of it.
fn decode_xtext(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'+' => {
                let digits = [rest.next()?, rest.next()?];
                // Capitals only (RFC 3461 section 4); small ones are common and harmless.
                let digits = std::str::from_utf8(&digits).ok()?;
                if digits.starts_with('+') {
                    return None;
                }
                u8::from_str_radix(digits, 16).ok()?
            }
            b'=' => return None,
            b'!'..=b'~' => byte,
            _ => return None,
        };
        if !byte.is_ascii() {
            return None;
        }
        decoded.push(char::from(byte));
    }
    Some(decoded)
}

/// utf-8-addr-xtext of RFC 6533 section 3.
fn encode_utf8_address(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if ('!'..='~').contains(&character) && !matches!(character, '+' | '=' | '\\') {
            encoded.push(character);
        } else {
            let _ = write!(encoded, "\\x{{{:X}}}", u32::from(character));
        }
    }
    encoded
}

/// Either form of RFC 6533 section 3: characters beyond ASCII as such, or as `\x{F1}`.
fn decode_utf8_address(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if character == '\\' {
            let (digits, after) = rest.strip_prefix("\\x{")?.split_once('}')?;
            if digits.len() > 6 || digits.starts_with('+') {
                return None;
            }
            decoded.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            rest = after;
        } else {
            if character == ' ' || matches!(character, '+' | '=') {
                return None;
            }
            decoded.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_is_read_and_written() {
        let check = |value: &str, expected: Option<&str>| {
            let written = Notify::parse(value).map(Notify::as_parameter);
            assert_eq!(written.as_deref(), expected, "{value}");
        };
        check("never", Some("NEVER"));
        check("DELAY,success", Some("SUCCESS,DELAY"));
        check("FAILURE", Some("FAILURE"));
        for wrong in ["", "NEVER,FAILURE", "FAILURE,NEVER", "FAILURE,FAILURE", "ALWAYS", "DELAY,"] {
            check(wrong, None);
        }
    }

    #[test]
    fn original_recipients_go_there_and_back() {
        let check = |value: &str, expected: Option<(&str, &str)>| {
            let read = OriginalRecipient::parse(value);
            let parts = read.as_ref().map(|it| (it.address(), it.as_parameter()));
            let parts = parts.as_ref().map(|(address, written)| (*address, written.as_str()));
            assert_eq!(parts, expected, "{value}");
        };
        check("rfc822;ana@x.pe", Some(("ana@x.pe", "rfc822;ana@x.pe")));
        check("RFC822;ana+2Btag@x.pe", Some(("ana+tag@x.pe", "rfc822;ana+2Btag@x.pe")));
        check("rfc822;a+20b@x.pe", Some(("a b@x.pe", "rfc822;a+20b@x.pe")));
        check("utf-8;ñu@x.pe", Some(("ñu@x.pe", "utf-8;\\x{F1}u@x.pe")));
        check("utf-8;\\x{F1}u\\x{2B}z@x.pe", Some(("ñu+z@x.pe", "utf-8;\\x{F1}u\\x{2B}z@x.pe")));
        check("x400;/c=pe", None);
        check("x400;/c+3Dpe", Some(("/c=pe", "x400;/c+3Dpe")));
        let wrong = [
            "ana@x.pe",
            ";ana",
            "rfc822;",
            "rfc822;a=b",
            "rfc822;a+2",
            "rfc822;a+G0",
            "rfc822;a++1",
            "rfc822;a+0Db",
            "rfc822;ñu@x.pe",
            "rfc822;a+F1",
            "utf-8;\\x{}",
            "utf-8;\\x{110000}",
            "utf-8;\\x{A}",
            "utf-8;a b",
            "r c;a",
        ];
        for wrong in wrong {
            check(wrong, None);
        }
        check(&format!("rfc822;{}", "a".repeat(501)), None);
    }

    #[test]
    fn envelope_ids_are_printable_and_bounded() {
        assert_eq!(parse_envelope_id("QQ+3D314159").as_deref(), Some("QQ=314159"));
        assert_eq!(encode_xtext("QQ=314 159"), "QQ+3D314+20159");
        for wrong in ["", "a=b", "a+0A", &"a".repeat(101)] {
            assert_eq!(parse_envelope_id(wrong), None, "{wrong}");
        }
    }
}
