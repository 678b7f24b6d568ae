//! What a server answered (RFC 5321 section 4.2) with its enhanced code (RFC 3463), bounded and clean.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Octets of text that are kept of a reply; servers that say more are cut.
const REPLY_TEXT_MAX: usize = 1024;

/// A reply, as received from a peer or written by us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// RFC 3463 code at the start of the text, when there is one of the same class.
    pub enhanced: Option<EnhancedCode>,
    /// The text without codes; lines are joined by `\n`. No other control characters.
    pub text: String,
}

/// `class.subject.detail` of RFC 3463.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about: 1 address, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 media, 7 security.
    pub subject: u16,
    /// More exactly.
    pub detail: u16,
}

impl EnhancedCode {
    /// `class.subject.detail`
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads a code that stands at the start of `text` and ends at a space or the end.
    /// Returns it with what follows.
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = word.split('.');
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = number(parts.next()?)?;
        let detail = number(parts.next()?)?;
        parts.next().is_none().then_some((Self { class, subject, detail }, rest))
    }
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, enhanced: EnhancedCode, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// From the lines that a peer sent, each without its code and separator. What a peer
    /// sends is data: control characters become spaces, the length is bounded.
    pub fn from_lines<'a>(code: u16, lines: impl Iterator<Item = &'a str>) -> Self {
        let mut enhanced = None;
        let mut text = String::new();
        for (index, line) in lines.enumerate() {
            let mut line = line;
            if let Some((found, rest)) = EnhancedCode::parse_prefix(line)
                && u16::from(found.class) == code / 100
                && (index == 0 || enhanced == Some(found))
            {
                enhanced = Some(found);
                line = rest;
            }
            if index > 0 {
                push_bounded(&mut text, '\n');
            }
            for character in line.trim().chars() {
                push_bounded(&mut text, if character.is_control() { ' ' } else { character });
            }
        }
        Self { code, enhanced, text }
    }

    /// 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4xx
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5xx
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }
}

/// On one line: `550 5.1.1 no such user / ask your administrator`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for (index, line) in self.text.split('\n').enumerate() {
            write!(f, "{}{line}", if index == 0 { " " } else { " / " })?;
        }
        Ok(())
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn push_bounded(text: &mut String, character: char) {
    if text.len() + character.len_utf8() <= REPLY_TEXT_MAX {
        text.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, lines: &[&str], expected: &str) {
        assert_eq!(Reply::from_lines(code, lines.iter().copied()).to_string(), expected);
    }

    #[test]
    fn lines_become_one_reply() {
        check(250, &["2.0.0 Ok: queued as 12"], "250 2.0.0 Ok: queued as 12");
        check(
            550,
            &["5.1.1 The account", "5.1.1 does not exist"],
            "550 5.1.1 The account / does not exist",
        );
        check(550, &["no code", "5.1.1 later"], "550 no code / 5.1.1 later");
        check(450, &["5.1.1 other class"], "450 5.1.1 other class");
        check(450, &["4.2.1234 too long"], "450 4.2.1234 too long");
        check(250, &[""], "250 ");
    }

    #[test]
    fn a_peer_cannot_put_control_characters_or_floods_into_our_logs() {
        check(550, &["a\u{1b}[31mred\u{7}"], "550 a [31mred ");
        let flood = "x".repeat(5000);
        let reply = Reply::from_lines(550, [flood.as_str(), flood.as_str()].into_iter());
        assert_eq!(reply.text.len(), REPLY_TEXT_MAX);
    }
}
