//! Receives the octets of DATA: finds its end, removes the transparency dots, and notes what
//! is wrong with the message.
//!
//! Only CRLF.CRLF ends it. A CR or LF that stands alone is a flaw, whatever is done with it
//! later: servers that disagree about line ends are how mail is smuggled past a relay. After
//! a flaw the rest is read to its end and thrown away, so that the session stays in step.

use bytes::{BufMut, Bytes, BytesMut};

/// Why a message cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A CR or LF stands alone.
    BareNewline,
    /// An octet 0.
    Nul,
    /// A line is longer than allowed.
    LongLine,
    /// More octets than allowed.
    TooBig,
}

/// What is known when some octets have been taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// More must come.
    More,
    /// That was the end; what follows in the input belongs to the next command.
    End,
}

/// Receives one message.
#[derive(Debug)]
pub struct DataReceiver {
    /// Whole lines, dots removed, CRLF kept.
    body: BytesMut,
    /// The start of a line whose end has not come.
    partial: BytesMut,
    /// A line too long to keep is being thrown away.
    discarding: bool,
    /// Its last octet.
    discarded_last: u8,
    normalise: bool,
    line_max: usize,
    size_max: u64,
    size: u64,
    flaw: Option<Flaw>,
    eight_bit: bool,
    leading_dots: bool,
    ended: bool,
    /// Octets come by BDAT: a dot is a dot.
    verbatim: bool,
    /// The line before ended in CRLF, so that a dot alone may end the message.
    after_crlf: bool,
}

impl DataReceiver {
    /// Bare newlines become CRLF when `normalise`; a line may have `line_max` octets without its
    /// end, a message `size_max`.
    pub fn new(normalise: bool, line_max: usize, size_max: u64) -> Self {
        Self {
            body: BytesMut::new(),
            partial: BytesMut::new(),
            discarding: false,
            discarded_last: 0,
            normalise,
            line_max,
            size_max,
            size: 0,
            flaw: None,
            eight_bit: false,
            leading_dots: false,
            ended: false,
            verbatim: false,
            after_crlf: true,
        }
    }

    /// Takes octets from the front of `input`, as far as the end of the message.
    pub fn receive(&mut self, input: &mut BytesMut) -> Received {
        let mut taken = 0;
        let mut end = Received::More;
        while let Some(length) = memchr::memchr(b'\n', &input[taken..]) {
            let line = &input[taken..=taken + length];
            taken += length + 1;
            let ended = if self.partial.is_empty() && !self.discarding {
                Self::line(&mut LineSink::of(self), line)
            } else {
                self.joined_line(line)
            };
            if ended {
                end = Received::End;
                self.ended = true;
                break;
            }
        }
        if end == Received::More {
            self.keep_partial(&input[taken..]);
            taken = input.len();
        }
        let _ = input.split_to(taken);
        end
    }

    /// Takes octets of a piece of BDAT (RFC 3030), which has no dots but its own; the `last` ones end
    /// the message, with a CRLF when it has none.
    pub fn receive_chunk(&mut self, octets: &[u8], last: bool) {
        self.verbatim = true;
        let mut taken = 0;
        while let Some(length) = memchr::memchr(b'\n', &octets[taken..]) {
            let line = &octets[taken..=taken + length];
            taken += length + 1;
            if self.partial.is_empty() && !self.discarding {
                Self::line(&mut LineSink::of(self), line);
            } else {
                self.joined_line(line);
            }
        }
        self.keep_partial(&octets[taken..]);
        if last {
            if !self.partial.is_empty() || self.discarding {
                self.joined_line(b"\r\n");
            }
            self.ended = true;
        }
    }

    /// The lines received since the last call, up to the first that has a flaw.
    pub fn take_body(&mut self) -> Bytes {
        self.body.split().freeze()
    }

    /// The final dot was seen.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Octets of the message so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The first thing that is wrong.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// Some octet is above 127.
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Some line starts with a dot.
    pub fn leading_dots(&self) -> bool {
        self.leading_dots
    }

    /// Nobody wants the rest: it is read and thrown away.
    pub fn discard(&mut self) {
        self.flaw.get_or_insert(Flaw::TooBig);
        self.body = BytesMut::new();
    }

    /// Octets of a line that are kept until its LF comes: a dot and a CR beside the longest text, and one that is
    /// too many.
    fn partial_max(&self) -> usize {
        self.line_max + 3
    }

    fn keep_partial(&mut self, rest: &[u8]) {
        let Some(last) = rest.last() else { return };
        // A line that is too long is not kept; its last octet tells how it ends.
        if self.discarding || self.partial.len() + rest.len() > self.partial_max() {
            self.flaw.get_or_insert(Flaw::LongLine);
            self.discarding = true;
            self.discarded_last = *last;
            self.partial.clear();
        } else {
            self.partial.put_slice(rest);
        }
    }

    fn joined_line(&mut self, rest: &[u8]) -> bool {
        if self.discarding {
            self.discarding = false;
            let before = if rest.len() > 1 { rest[rest.len() - 2] } else { self.discarded_last };
            self.after_crlf = before == b'\r';
            return false;
        }
        let mut line = std::mem::take(&mut self.partial);
        line.put_slice(rest);
        let ended = Self::line(&mut LineSink::of(self), &line);
        line.clear();
        self.partial = line;
        ended
    }

    /// One line with its LF. True: it was the final dot.
    fn line(sink: &mut LineSink<'_>, line: &[u8]) -> bool {
        let after_crlf = std::mem::replace(&mut sink.receiver.after_crlf, line.ends_with(b"\r\n"));
        if line == b".\r\n" && after_crlf && !sink.receiver.verbatim {
            return true;
        }
        // A line that is thrown away while it arrives is not looked into; one that came whole is treated alike.
        if line.len() > sink.receiver.partial_max() + 1 {
            sink.receiver.flaw.get_or_insert(Flaw::LongLine);
            return false;
        }
        let text = match line {
            [text @ .., b'\r', b'\n'] => text,
            [text @ .., _] => {
                sink.bare();
                text
            }
            [] => return false,
        };
        if memchr::memchr(b'\r', text).is_some() {
            sink.bare();
            // Each piece between CRs is a line of its own when that is repaired.
            let mut rest = text;
            while let Some(place) = memchr::memchr(b'\r', rest) {
                sink.text(&rest[..place], rest.len() == text.len());
                rest = &rest[place + 1..];
            }
            sink.text(rest, false);
        } else {
            sink.text(text, true);
        }
        false
    }
}

/// The part of the receiver that lines go to.
struct LineSink<'a> {
    receiver: &'a mut DataReceiver,
}

impl<'a> LineSink<'a> {
    fn of(receiver: &'a mut DataReceiver) -> Self {
        Self { receiver }
    }

    fn bare(&mut self) {
        if !self.receiver.normalise {
            self.receiver.flaw.get_or_insert(Flaw::BareNewline);
        }
    }

    /// A line without its end. At the start of what the client calls a line a dot is removed.
    fn text(&mut self, text: &[u8], line_start: bool) {
        let receiver = &mut *self.receiver;
        let stuffed = line_start && !receiver.verbatim;
        let text = if stuffed { text.strip_prefix(b".").unwrap_or(text) } else { text };
        receiver.size += text.len() as u64 + 2;
        if receiver.size > receiver.size_max {
            receiver.flaw.get_or_insert(Flaw::TooBig);
        }
        if text.len() > receiver.line_max {
            receiver.flaw.get_or_insert(Flaw::LongLine);
        }
        if memchr::memchr(0, text).is_some() {
            receiver.flaw.get_or_insert(Flaw::Nul);
        }
        receiver.eight_bit |= !text.is_ascii();
        receiver.leading_dots |= text.first() == Some(&b'.');
        if receiver.flaw.is_none() {
            receiver.body.put_slice(text);
            receiver.body.put_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_taken_as_they_are_wherever_they_are_cut() {
        let message = b"Subject: x\r\n\r\n.\r\n..two\r\n.one\r\nno end";
        for cut in 0..message.len() {
            let mut receiver = DataReceiver::new(false, 998, 1000);
            receiver.receive_chunk(&message[..cut], false);
            receiver.receive_chunk(&message[cut..], true);
            assert!(receiver.has_ended() && receiver.leading_dots());
            assert_eq!(receiver.flaw(), None, "cut at {cut}");
            assert_eq!(receiver.take_body(), [&message[..], b"\r\n"].concat(), "cut at {cut}");
        }
        for (flawed, flaw) in [
            (&b"a\nb\r\n"[..], Flaw::BareNewline),
            (b"a\rb\r\n", Flaw::BareNewline),
            (b"a\r", Flaw::BareNewline),
            (b"a\0\r\n", Flaw::Nul),
            (&[b'x'; 999], Flaw::LongLine),
            (&b"12345678\r\n".repeat(201), Flaw::TooBig),
        ] {
            let mut receiver = DataReceiver::new(false, 998, 2000);
            receiver.receive_chunk(flawed, true);
            assert_eq!(receiver.flaw(), Some(flaw));
        }
    }

    /// In one piece and octet by octet: the result may not depend on how it arrived.
    fn check(text: &str, normalise: bool, expected: Result<&str, Flaw>, rest: &str) {
        for size in [text.len(), 1, 2, 3] {
            let mut receiver = DataReceiver::new(normalise, 20, 100);
            let mut input = BytesMut::new();
            let mut end = Received::More;
            for piece in text.as_bytes().chunks(size) {
                input.extend_from_slice(piece);
                if end == Received::More {
                    end = receiver.receive(&mut input);
                }
            }
            assert_eq!(end, Received::End, "{text:?}");
            let body = receiver.take_body();
            let body = std::str::from_utf8(&body).unwrap();
            assert_eq!(receiver.flaw().map_or(Ok(body), Err), expected, "{text:?} by {size}");
            assert_eq!(&input[..], rest.as_bytes(), "{text:?} by {size}");
        }
    }

    #[test]
    fn the_end_and_the_dots() {
        check("a\r\n.\r\nQUIT\r\n", false, Ok("a\r\n"), "QUIT\r\n");
        check(".\r\n", false, Ok(""), "");
        check("..\r\n...a\r\n.b\r\n.\r\n", false, Ok(".\r\n..a\r\nb\r\n"), "");
        check("\r\n\r\n.\r\n", false, Ok("\r\n\r\n"), "");
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_it() {
        let bare = Err(Flaw::BareNewline);
        check("a\n.\r\nb\r\n.\r\n", false, bare, "");
        check("a\n.\r\n.\r\nNOOP\r\n", false, bare, "NOOP\r\n");
        check("a\r\n.\nb\r\n.\r\n", false, bare, "");
        check("a\r\n.\r\r\nb\r\n.\r\n", false, bare, "");
        check("a\r.\r\nb\r\n.\r\n", false, bare, "");
        check("a\r\n\r.\r\nb\r\n.\r\n", false, bare, "");
        check("a\nb\rc\r\n.\r\n", true, Ok("a\r\nb\r\nc\r\n"), "");
    }

    #[test]
    fn what_is_wrong_is_noted_and_the_session_stays_in_step() {
        check("a\0b\r\n.\r\nQUIT\r\n", false, Err(Flaw::Nul), "QUIT\r\n");
        check("12345678901234567890\r\n.\r\n", false, Ok("12345678901234567890\r\n"), "");
        check("123456789012345678901\r\nb\r\n.\r\nRSET", false, Err(Flaw::LongLine), "RSET");
        check(".12345678901234567890\r\n.\r\n", false, Ok("12345678901234567890\r\n"), "");
        let long = format!("{}\r\n.\r\n", "1234567890\r\n".repeat(9));
        check(&long, false, Err(Flaw::TooBig), "");
        // However it arrives, and whatever a server that takes a CR for an end would see in it.
        for normalise in [false, true] {
            check("1234567890\r1234567890\r123\r\n.\r\n", normalise, Err(Flaw::LongLine), "");
            check("1234567890123456789012345\0\r\n.\r\n", normalise, Err(Flaw::LongLine), "");
        }
        let line = format!("{}\r\n.\r\n", "x".repeat(60));
        check(&line, false, Err(Flaw::LongLine), "");
    }
}
