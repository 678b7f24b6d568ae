//! The relaxed forms of header fields and bodies (RFC 6376 sections 3.4.2 and 3.4.4).
//!
//! Our own, for others differ where it is rare: lines of blanks alone at the end of a body are empty
//! lines and don't count, and a form feed is no blank.

use aws_lc_rs::digest::{Context, SHA256};

/// Octets that are gathered before they are hashed.
const GATHERED_OCTETS: usize = 16 * 1024;

/// Appends a field: name in lower case, value on one line, runs of blanks as one, none at the ends.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend(name.bytes().map(|b| b.to_ascii_lowercase()));
    out.push(b':');
    let start = out.len();
    let mut blank = false;
    for octet in value {
        match octet {
            b' ' | b'\t' => blank = true,
            b'\r' | b'\n' => {}
            _ => {
                if std::mem::take(&mut blank) && out.len() > start {
                    out.push(b' ');
                }
                out.push(*octet);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// SHA-256 of a body: runs of blanks count as one, blanks at the end of a line and empty lines at the
/// end of all not at all. What is left ends with CRLF unless it is nothing.
pub(super) fn body_hash(pieces: &[&[u8]]) -> [u8; 32] {
    let mut body = Body {
        hash: Context::new(&SHA256),
        gathered: Vec::with_capacity(GATHERED_OCTETS),
        line_ends: 0,
        blank: false,
        carriage_return: false,
        something: false,
    };
    for piece in pieces {
        body.take(piece);
    }
    body.finish()
}

struct Body {
    hash: Context,
    gathered: Vec<u8>,
    /// Ends of lines that count only when something comes after them …
    line_ends: usize,
    /// … and blanks that do …
    blank: bool,
    /// … and a CR that may be half of the end of a line.
    carriage_return: bool,
    something: bool,
}

impl Body {
    fn take(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            let text = text_end(rest);
            if text > 0 {
                self.text(&rest[..text]);
                rest = &rest[text..];
                continue;
            }
            match first {
                b'\n' => {
                    self.line_ends += 1;
                    (self.blank, self.carriage_return) = (false, false);
                }
                b'\r' => {
                    // One that stands alone is text; listeners refuse it.
                    if self.carriage_return {
                        self.text(b"");
                    }
                    self.carriage_return = true;
                }
                _ => {
                    if self.carriage_return {
                        self.text(b"");
                    }
                    self.blank = true;
                }
            }
            rest = &rest[1..];
        }
    }

    /// Text, before which everything counts that was waiting for some.
    fn text(&mut self, text: &[u8]) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.gathered.extend_from_slice(b"\r\n");
            self.hash_when_full();
        }
        if std::mem::take(&mut self.blank) {
            self.gathered.push(b' ');
        }
        if std::mem::take(&mut self.carriage_return) {
            self.gathered.push(b'\r');
        }
        self.gathered.extend_from_slice(text);
        self.something = true;
        self.hash_when_full();
    }

    fn hash_when_full(&mut self) {
        if self.gathered.len() >= GATHERED_OCTETS {
            self.hash.update(&self.gathered);
            self.gathered.clear();
        }
    }

    fn finish(mut self) -> [u8; 32] {
        if self.carriage_return {
            self.text(b"");
        }
        if self.something {
            self.gathered.extend_from_slice(b"\r\n");
        }
        self.hash.update(&self.gathered);
        let mut hash = [0; 32];
        hash.copy_from_slice(self.hash.finish().as_ref());
        hash
    }
}

/// Where text ends that goes on as it is: single blanks and ends of lines within it included, so that
/// ordinary text is taken by the paragraph and not by the word.
fn text_end(octets: &[u8]) -> usize {
    let special = |octet: &u8| matches!(octet, b'\r' | b'\n' | b' ' | b'\t');
    let mut end = 0;
    loop {
        let rest = &octets[end..];
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        end += plain;
        match &rest[plain..] {
            [b' ', next, ..] if plain > 0 && !special(next) => end += 1,
            [b'\r', b'\n', next, ..] if plain > 0 && !special(next) => end += 2,
            _ => return end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    #[test]
    fn fields() {
        let check = |name: &str, value: &[u8], expected: &str| {
            let mut out = Vec::new();
            write_field(&mut out, name, value);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{name}:{value:?}");
        };
        // The example of RFC 6376 section 3.4.5.
        check("A", b" X\r\n", "a:X\r\n");
        check("B", b" Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
        check("Subject", b"\r\n  long\r\n \t folded \r\n", "subject:long folded\r\n");
        check("Subject", "a\u{f1}o  2026".as_bytes(), "subject:a\u{f1}o 2026\r\n");
        check("To", b"\r\n", "to:\r\n");
        check("X", b"a\x0cb \x0b c\r\n", "x:a\x0cb \x0b c\r\n");
    }

    #[test]
    fn bodies_however_they_are_cut() {
        let check = |body: &str, expected: &str| {
            let wanted = digest(&SHA256, expected.as_bytes());
            let octets = body.as_bytes();
            assert_eq!(body_hash(&[octets]), wanted.as_ref(), "{body:?}");
            let single: Vec<&[u8]> = octets.chunks(1).collect();
            assert_eq!(body_hash(&single), wanted.as_ref(), "{body:?} octet by octet");
        };
        check(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
        check("", "");
        check("\r\n\r\n", "");
        check(" \t\r\n", "");
        check("a", "a\r\n");
        check("a\r\n \r\n\t\r\n\r\n", "a\r\n");
        check("a\r\n \r\n\tb\r\n", "a\r\n\r\n b\r\n");
        check("\r\n\r\na\r\n", "\r\n\r\na\r\n");
        check("a b  c\r\nd e \r\n\r\n f\tg\r\n", "a b c\r\nd e\r\n\r\n f g\r\n");
        check("a\x0c \r\n.\r\n..\r\n", "a\x0c\r\n.\r\n..\r\n");
        check("a \r b\r", "a \r b\r\r\n");
        check("\r\r\n", "\r\r\n");
        let long = "x\r\n".repeat(20_000);
        check(&long, &long);
        let empty_lines = "\r\n".repeat(20_000);
        check(&format!("a{empty_lines}b\r\n"), &format!("a{empty_lines}b\r\n"));
    }
}
