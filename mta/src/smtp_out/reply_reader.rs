//! Puts the replies of a server together, line by line (RFC 5321 section 4.2). Bounded: what a
//! peer sends is data.

use bytes::BytesMut;

use crate::message::Reply;
use crate::smtp::REPLY_LINE_MAX;

/// Lines of one reply.
const LINES_MAX: usize = 200;

/// What a server sent is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbage {
    /// Not three digits and a separator, or codes that differ between lines.
    NotAReply,
    /// A line or a reply without end.
    Endless,
}

/// Reads replies.
#[derive(Debug, Default)]
pub struct ReplyReader {
    lines: Vec<String>,
    code: u16,
}

impl ReplyReader {
    /// The next whole reply at the front of the buffer; `None`: not all there yet.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, Garbage> {
        loop {
            let Some(end) = memchr::memchr(b'\n', buffer) else {
                return if buffer.len() > REPLY_LINE_MAX {
                    Err(Garbage::Endless)
                } else {
                    Ok(None)
                };
            };
            let line = buffer.split_to(end + 1);
            if line.len() > REPLY_LINE_MAX || self.lines.len() >= LINES_MAX {
                return Err(Garbage::Endless);
            }
            let line = line.trim_ascii_end();
            let (code, last, text) = split(line).ok_or(Garbage::NotAReply)?;
            if !self.lines.is_empty() && code != self.code {
                return Err(Garbage::NotAReply);
            }
            self.code = code;
            self.lines.push(String::from_utf8_lossy(text).into_owned());
            if last {
                let lines = std::mem::take(&mut self.lines);
                return Ok(Some(Reply::from_lines(code, lines.iter().map(String::as_str))));
            }
        }
    }
}

fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if !(200..600).contains(&code) {
        return None;
    }
    match line.get(3) {
        None => Some((code, true, &[])),
        Some(b' ') => Some((code, true, &line[4..])),
        Some(b'-') => Some((code, false, &line[4..])),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Garbage> {
        let mut reader = ReplyReader::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        // Octet by octet.
        for byte in text.bytes() {
            buffer.extend_from_slice(&[byte]);
            while let Some(reply) = reader.next(&mut buffer)? {
                found.push(reply.to_string());
            }
        }
        Ok(found)
    }

    #[test]
    fn replies_of_one_line_and_of_many() {
        assert_eq!(
            read("220 mx\r\n250-a\r\n250 b\r\n"),
            Ok(vec!["220 mx".into(), "250 a / b".into()])
        );
        assert_eq!(read("250\r\n"), Ok(vec!["250 ".into()]));
        assert_eq!(read("250 bare\n"), Ok(vec!["250 bare".into()]));
        assert_eq!(read("550-5.1.1 no\r\n550 5.1.1 such"), Ok(vec![]));
    }

    #[test]
    fn garbage_and_endless_replies() {
        for text in [
            "HTTP/1.1 400\r\n",
            "999 x\r\n",
            "100 x\r\n",
            "250_x\r\n",
            "250-a\r\n251 b\r\n",
            "\r\n",
        ] {
            assert_eq!(read(text), Err(Garbage::NotAReply), "{text}");
        }
        assert_eq!(read(&"250-x\r\n".repeat(300)), Err(Garbage::Endless));
        assert_eq!(read(&"2".repeat(5000)), Err(Garbage::Endless));
    }
}
