//! Dot-stuffing for DATA (RFC 5321 section 4.5.2).

use bytes::Bytes;

/// The pieces with a dot added to each line that starts with one. Lines may run across
/// pieces. Nothing is copied: pieces are cut before each such dot.
///
/// No CR or LF stands alone in what the relay has taken, and no octet 0 is in it. Should it be so all the same, a
/// server may see a line's end in the one and nothing in the other: the dot after it gets its second one too, so
/// that no server sees the end of the message there.
pub fn stuffed(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut out = Vec::with_capacity(pieces.len());
    // The last octet before this piece.
    let mut before = b'\n';
    for piece in pieces {
        let mut start = 0;
        for dot in memchr::memchr_iter(b'.', piece) {
            let last = if dot == 0 { before } else { piece[dot - 1] };
            if matches!(last, b'\r' | b'\n' | 0) {
                if dot > start {
                    out.push(piece.slice(start..dot));
                }
                out.push(Bytes::from_static(b"."));
                start = dot;
            }
        }
        if start < piece.len() {
            out.push(piece.slice(start..));
        }
        before = piece.last().copied().unwrap_or(before);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        // In one piece, and in pieces of every size.
        for size in 1..=text.len().max(1) {
            let pieces: Vec<Bytes> =
                text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let joined = stuffed(&pieces).concat();
            assert_eq!(std::str::from_utf8(&joined).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn a_dot_that_starts_a_line_is_doubled() {
        check("", "");
        check(".", "..");
        check("a.b\r\n", "a.b\r\n");
        check("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n");
        check("a\r\n..b\r\n", "a\r\n...b\r\n");
        check("a\n.b\r.c\r\n", "a\n..b\r..c\r\n");
        check("\r\n\0.\r\n", "\r\n\0..\r\n");
        check("\r\n.\r\n.\r\n", "\r\n..\r\n..\r\n");
    }
}
