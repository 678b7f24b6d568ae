//! A message with 8-bit text for a server that takes 7-bit text only (RFC 6152 section 3): bodies
//! are encoded as quoted-printable or base64, part by part, and everything else stays as it is.
//!
//! What cannot be encoded without breaking it is refused: 8-bit octets in a header section, parts
//! that somebody has signed or encrypted, parts whose type forbids an encoding (RFC 2045 section 6.4).
//! That the message as a whole carries no foreign DKIM signature is for the caller to see.

use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use mail_parser::{MessageParser, MimeHeaders};

/// Multiparts within multiparts that are followed.
const DEPTH_MAX: usize = 20;

/// It cannot be sent as 7-bit text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConvertible;

/// The same message in 7-bit text.
pub fn seven_bit(message: &[u8]) -> Result<Vec<u8>, NotConvertible> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 2);
    convert(message, DEPTH_MAX, &mut out)?;
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    debug_assert!(out.is_ascii());
    Ok(out)
}

/// What an entity is made of, as far as it matters here.
enum Kind {
    /// Its parts stand between lines of `--boundary`.
    Multipart(String),
    /// A message of its own.
    Message,
    /// Text or data: may be encoded.
    Leaf,
}

/// One entity: a message or a part of one (RFC 2045 section 2.4).
fn convert(entity: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), NotConvertible> {
    let (head, body) = split(entity);
    if !head.is_ascii() {
        return Err(NotConvertible);
    }
    if body.is_ascii() {
        out.extend_from_slice(entity);
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(NotConvertible)?;
    match kind(head)? {
        Kind::Multipart(boundary) => {
            write_head(head, Some("7bit"), out);
            out.extend_from_slice(b"\r\n");
            convert_parts(body, boundary.as_bytes(), depth, out)
        }
        Kind::Message => {
            write_head(head, Some("7bit"), out);
            out.extend_from_slice(b"\r\n");
            convert(body, depth, out)
        }
        Kind::Leaf => {
            write_head(head, None, out);
            write_encoded(body, out);
            Ok(())
        }
    }
}

/// Content-Transfer-Encoding, the empty line and the body, as the library finds it shortest. It encodes
/// only what has a header, so it gets one that is cut off again.
fn write_encoded(body: &[u8], out: &mut Vec<u8>) {
    const NAME: &str = "X";
    let contents = match std::str::from_utf8(body) {
        Ok(text) => BodyPart::Text(text.into()),
        Err(_) => BodyPart::Binary(body.into()),
    };
    let mut part = Vec::with_capacity(body.len() * 3 / 2);
    MimePart { headers: vec![(NAME.into(), Raw::new(NAME).into())], contents }
        .write_part(&mut part);
    let own = memchr::memchr(b'\n', &part).map_or(0, |end| end + 1);
    out.extend_from_slice(&part[own..]);
}

/// Header section with its last CRLF, and what follows the empty line.
fn split(entity: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = entity.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    match memchr::memmem::find(entity, b"\r\n\r\n") {
        Some(end) => (&entity[..end + 2], &entity[end + 4..]),
        None => (entity, &[]),
    }
}

fn kind(head: &[u8]) -> Result<Kind, NotConvertible> {
    let parsed = MessageParser::new().parse_headers(head);
    let Some(parsed) = parsed else { return Ok(Kind::Leaf) };
    let encoding = parsed.content_transfer_encoding().map(|it| it.trim().to_ascii_lowercase());
    if !matches!(encoding.as_deref(), None | Some("7bit" | "8bit" | "binary")) {
        // Says that it is encoded, and is not.
        return Err(NotConvertible);
    }
    let Some(content_type) = parsed.content_type() else { return Ok(Kind::Leaf) };
    let of_type = content_type.ctype().to_ascii_lowercase();
    let subtype = content_type.subtype().unwrap_or("").to_ascii_lowercase();
    match (of_type.as_str(), subtype.as_str()) {
        ("multipart", "signed" | "encrypted") => Err(NotConvertible),
        ("multipart", _) => match content_type.attribute("boundary") {
            Some(boundary) if !boundary.is_empty() => Ok(Kind::Multipart(boundary.to_owned())),
            _ => Err(NotConvertible),
        },
        ("message", "rfc822") => Ok(Kind::Message),
        // Fields for programs in a notice: 7-bit by their definition.
        ("message", "global-delivery-status" | "global-headers" | "global") => Ok(Kind::Leaf),
        ("message", _) => Err(NotConvertible),
        _ => Ok(Kind::Leaf),
    }
}

/// The fields with the encoding that holds now, or without any when the body brings its own.
fn write_head(head: &[u8], encoding: Option<&str>, out: &mut Vec<u8>) {
    const NAME: &[u8] = b"content-transfer-encoding";
    let (mut dropping, mut written) = (false, false);
    for line in head.split_inclusive(|b| *b == b'\n') {
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if !folded {
            let name = line.split(|b| *b == b':').next().unwrap_or(&[]).trim_ascii_end();
            dropping = name.eq_ignore_ascii_case(NAME);
            if let Some(encoding) = encoding.filter(|_| dropping && !written) {
                out.extend_from_slice(
                    format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes(),
                );
                written = true;
            }
        }
        if !dropping {
            out.extend_from_slice(line);
        }
    }
}

/// What stands between the boundaries (RFC 2046 section 5.1.1).
fn convert_parts(
    body: &[u8],
    boundary: &[u8],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), NotConvertible> {
    let delimiters = delimiters(body, boundary);
    let Some(first) = delimiters.first() else { return Err(NotConvertible) };
    // Text before the first and after the last boundary is for nobody; it must be 7-bit all the same.
    write_ascii(&body[..first.start], out)?;
    let ends = delimiters.iter().skip(1).map(|next| next.start).chain([body.len()]);
    for (delimiter, end) in delimiters.iter().zip(ends) {
        out.extend_from_slice(&body[delimiter.start..delimiter.end]);
        let content = &body[delimiter.end..end];
        if delimiter.closes {
            write_ascii(content, out)?;
            continue;
        }
        // The CRLF before a boundary belongs to the boundary.
        let last = content.strip_suffix(b"\r\n").unwrap_or(content);
        convert(last, depth, out)?;
        if last.len() < content.len() {
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(())
}

fn write_ascii(text: &[u8], out: &mut Vec<u8>) -> Result<(), NotConvertible> {
    if !text.is_ascii() {
        return Err(NotConvertible);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// A line that starts with `--boundary`.
struct Delimiter {
    start: usize,
    /// After its CRLF.
    end: usize,
    /// `--boundary--`: no part follows.
    closes: bool,
}

fn delimiters(body: &[u8], boundary: &[u8]) -> Vec<Delimiter> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let end = start + line.len();
        let rest = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        if let Some(rest) = rest {
            let closes = rest.starts_with(b"--");
            let rest = if closes { &rest[2..] } else { rest };
            // Only white space may follow.
            if rest.trim_ascii().is_empty() {
                found.push(Delimiter { start, end, closes });
                if closes {
                    return found;
                }
            }
        }
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn converted(text: &str) -> String {
        let out = seven_bit(text.replace('\n', "\r\n").as_bytes()).unwrap();
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(converted(text), expected);
    }

    #[test]
    fn text_is_quoted() {
        check(
            "Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nAño nuevo\n.\n",
            "Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nA=C3=B1o nuevo\n.\n",
        );
        check("Subject: x\n\nplain\n", "Subject: x\n\nplain\n");
        check("\nñ\n", "Content-Transfer-Encoding: quoted-printable\n\n=C3=B1\n");
        check("\nñññññ\n", "Content-Transfer-Encoding: base64\n\nw7HDscOxw7HDsQ0K\n");
    }

    #[test]
    fn parts_are_converted_one_by_one() {
        let text = "Content-Type: multipart/mixed; boundary=\"b 1\"\nContent-Transfer-Encoding:\n 8bit\nTo: a\n\npreamble\n\
             --b 1\nContent-Type: text/html\n\n<p>ascii</p>\n\n\
             --b 1\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nñandú de la sierra, muy veloz\n--in--\n\
             --b 1\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\n\nmañana será otro día, dicen los que saben de eso\n\
             --b 1--\nepilogue\n";
        let expected = "Content-Type: multipart/mixed; boundary=\"b 1\"\nContent-Transfer-Encoding: 7bit\nTo: a\n\npreamble\n\
             --b 1\nContent-Type: text/html\n\n<p>ascii</p>\n\n\
             --b 1\nContent-Type: multipart/alternative; boundary=in\n\n--in\nContent-Transfer-Encoding: quoted-printable\n\n=C3=B1and=C3=BA de la sierra, muy veloz\n--in--\n\
             --b 1\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: inner\nContent-Transfer-Encoding: quoted-printable\n\nma=C3=B1ana ser=C3=A1 otro d=C3=ADa, dicen los que saben de eso\n\
             --b 1--\nepilogue\n";
        check(text, expected);
    }

    #[test]
    fn what_arrives_means_the_same() {
        let text = "From: a@x.pe\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             línea uno\r\n\r\n  espacios al final: ñ  \r\n.punto\r\n\r\n--q\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n";
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(b"a\xf1o\r\n--q--\r\n");
        let out = seven_bit(&bytes).unwrap();
        assert!(out.is_ascii());
        let parser = MessageParser::new();
        let (before, after) = (parser.parse(&bytes).unwrap(), parser.parse(&out).unwrap());
        for part in 0..2 {
            let text = |it: &mail_parser::Message<'_>| it.body_text(part).unwrap().into_owned();
            assert_eq!(text(&before), text(&after));
        }
    }

    #[test]
    fn what_would_break_is_refused() {
        for text in [
            "Subject: año\n\nx\n",
            "Content-Type: multipart/signed; boundary=b\n\n--b\n\nñ\n--b--\n",
            "Content-Type: multipart/mixed\n\nñ\n",
            "Content-Type: multipart/mixed; boundary=b\n\nñ\n",
            "Content-Type: multipart/mixed; boundary=b\n\nñ\n--b\n\nñ\n--b--\n",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: ñ\n\nx\n--b--\n",
            "Content-Type: message/partial\n\nñ\n",
            "Content-Transfer-Encoding: base64\n\nñ\n",
        ] {
            let text = text.replace('\n', "\r\n");
            assert_eq!(seven_bit(text.as_bytes()), Err(NotConvertible), "{text}");
        }
        let mut deep = String::new();
        for n in 0..30 {
            let _ = write!(deep, "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        }
        assert_eq!(seven_bit(format!("{deep}\r\nñ\r\n").as_bytes()), Err(NotConvertible));
    }
}
