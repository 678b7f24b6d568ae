//! Splits what arrives into lines that end in CRLF, and nothing else does.

use bytes::{Buf, Bytes, BytesMut};

/// What stands at the front of the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line without its CRLF. No CR or LF in it.
    Whole(Bytes),
    /// A line that ended in LF alone, or held a CR; taken out. Never to be obeyed.
    Bare,
    /// Longer than the limit: what there was of it is taken out, `ended` tells whether its end
    /// was among it.
    TooLong {
        /// The line's end was seen.
        ended: bool,
    },
}

/// Takes a line of at most `max` octets (with its end) out of the buffer; `None`: not all there yet.
pub fn take_line(buffer: &mut BytesMut, max: usize) -> Option<Line> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        if buffer.len() > max {
            buffer.clear();
            return Some(Line::TooLong { ended: false });
        }
        return None;
    };
    let mut line = buffer.split_to(end + 1);
    if line.len() > max {
        return Some(Line::TooLong { ended: true });
    }
    line.truncate(end);
    if line.last() == Some(&b'\r') {
        line.truncate(end - 1);
        if memchr::memchr(b'\r', &line).is_none() {
            return Some(Line::Whole(line.freeze()));
        }
    }
    line.advance(line.len());
    Some(Line::Bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[Line]) {
        let mut buffer = BytesMut::from(text);
        let found: Vec<Line> = std::iter::from_fn(|| take_line(&mut buffer, 10)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check("NOOP\r\nQUIT\r\nRS", &[whole("NOOP"), whole("QUIT")]);
        check("NOOP\nQUIT\r\n", &[Line::Bare, whole("QUIT")]);
        check("NO\rOP\r\n", &[Line::Bare]);
        check("NOOP\r\r\n", &[Line::Bare]);
        check("\r\n", &[whole("")]);
        check("12345678\r\n", &[whole("12345678")]);
        check("123456789\r\nRSET\r\n", &[Line::TooLong { ended: true }, whole("RSET")]);
        check("12345678901", &[Line::TooLong { ended: false }]);
    }
}
