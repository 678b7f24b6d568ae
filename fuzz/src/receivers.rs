//! The receivers of DATA and BDAT and the writer of dots: cut anywhere they say the same, they agree with a
//! slow reading of RFC 5321 section 4.5.2, and what goes out by DATA comes in as it was.

use bytes::{Bytes, BytesMut};
use mta::smtp::{DataReceiver, Flaw, Received, stuffed};

use crate::cut::Cut;

/// Octets before the message: switches, longest line, largest size, seed of the cuts.
const HEAD: usize = 4;

/// What a receiver makes of some octets.
#[derive(Debug, PartialEq, Eq)]
struct Result {
    ended: bool,
    flaw: Option<Flaw>,
    /// The message and what was seen in it, when nothing is wrong with it.
    good: Option<Good>,
    /// Octets after its end.
    left: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Good {
    body: Vec<u8>,
    eight_bit: bool,
    leading_dots: bool,
    size: u64,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    normalise: bool,
    line_max: usize,
    size_max: u64,
}

/// One input: four octets of settings, then what a client sends.
pub fn receivers(input: &[u8]) {
    let Some((&[switches, line, size, seed], octets)) = input.split_first_chunk::<HEAD>() else {
        return;
    };
    let settings = Settings {
        normalise: switches & 1 > 0,
        line_max: usize::from(line),
        size_max: u64::from(size) * 16,
    };
    let cuts = [Cut::Octets, Cut::Pieces(u64::from(seed)), Cut::Pieces(u64::from(seed) + 256)];
    let whole = data(settings, octets, Cut::Whole);
    let chunk = bdat(settings, octets, Cut::Whole);
    for cut in cuts {
        assert_eq!(data(settings, octets, cut), whole, "DATA, {cut:?}");
        assert_eq!(bdat(settings, octets, cut), chunk, "BDAT, {cut:?}");
    }
    check_end(octets, &whole);
    if let (true, Some(good)) = (whole.ended, &whole.good) {
        let text = octets[..octets.len() - whole.left].strip_suffix(b".\r\n");
        assert_eq!(good.body, slow(text.expect("it has ended"), true, settings.normalise));
        check_good(good, settings);
    }
    if let Some(good) = &chunk.good {
        check_good(good, settings);
        if !settings.normalise {
            let end: &[u8] =
                if octets.is_empty() || octets.ends_with(b"\r\n") { b"" } else { b"\r\n" };
            assert_eq!(good.body, [octets, end].concat(), "BDAT changes nothing");
        }
        for cut in [Cut::Whole, Cut::Octets, Cut::Pieces(u64::from(seed))] {
            check_sent(good, cut);
        }
    }
}

fn data(settings: Settings, octets: &[u8], cut: Cut) -> Result {
    let Settings { normalise, line_max, size_max } = settings;
    let mut receiver = DataReceiver::new(normalise, line_max, size_max);
    let (mut input, mut body) = (BytesMut::new(), Vec::new());
    for piece in cut.pieces(octets) {
        input.extend_from_slice(piece);
        if !receiver.has_ended() {
            let received = receiver.receive(&mut input);
            assert_eq!(received == Received::End, receiver.has_ended());
            body.extend_from_slice(&receiver.take_body());
        }
    }
    result(&receiver, body, input.len())
}

fn bdat(settings: Settings, octets: &[u8], cut: Cut) -> Result {
    let Settings { normalise, line_max, size_max } = settings;
    let mut receiver = DataReceiver::new(normalise, line_max, size_max);
    let mut body = Vec::new();
    for piece in cut.pieces(octets) {
        receiver.receive_chunk(piece, false);
        assert!(!receiver.has_ended());
        body.extend_from_slice(&receiver.take_body());
    }
    receiver.receive_chunk(b"", true);
    body.extend_from_slice(&receiver.take_body());
    result(&receiver, body, 0)
}

fn result(receiver: &DataReceiver, body: Vec<u8>, left: usize) -> Result {
    let good = receiver.flaw().is_none().then(|| Good {
        body,
        eight_bit: receiver.eight_bit(),
        leading_dots: receiver.leading_dots(),
        size: receiver.size(),
    });
    Result { ended: receiver.has_ended(), flaw: receiver.flaw(), good, left }
}

/// CRLF.CRLF ends a message, the first one, and nothing else does. What came before it stands for a CRLF.
fn check_end(octets: &[u8], result: &Result) {
    let sent = [b"\r\n", octets].concat();
    let end = sent.windows(5).position(|five| five == b"\r\n.\r\n");
    assert_eq!(end.is_some(), result.ended);
    assert_eq!(end.map_or(0, |end| octets.len() - end - 3), result.left);
}

/// The message that these octets are, read slowly: lines, of DATA without their dots.
pub(crate) fn slow(text: &[u8], dots: bool, normalise: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").expect("the message ends where a line ends");
        let (line, crlf) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
        let line = line.strip_prefix(b".").filter(|_| dots).unwrap_or(line);
        for (place, part) in line.split(|octet| *octet == b'\r').enumerate() {
            assert!(normalise || (place == 0 && crlf), "a CR or LF that stands alone was taken");
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
    }
    body
}

fn check_good(good: &Good, settings: Settings) {
    let Good { body, eight_bit, leading_dots, size } = good;
    assert!(body.is_empty() || body.ends_with(b"\r\n"));
    assert_eq!(*size, body.len() as u64);
    assert!(*size <= settings.size_max);
    assert_eq!(*eight_bit, !body.is_ascii());
    assert!(!body.contains(&0));
    let mut dots = false;
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("lines end in CRLF");
        assert!(!line.contains(&b'\r') && line.len() <= settings.line_max);
        dots |= line.starts_with(b".");
    }
    assert_eq!(*leading_dots, dots);
}

/// What was taken goes out by DATA, in whatever pieces it lies in the spool, and arrives as it was.
fn check_sent(good: &Good, cut: Cut) {
    let pieces: Vec<Bytes> =
        cut.pieces(&good.body).into_iter().map(Bytes::copy_from_slice).collect();
    let mut sent = stuffed(&pieces).concat();
    assert!(good.leading_dots || sent == good.body, "dots are added where there are none");
    sent.extend_from_slice(b".\r\n");
    let wide = Settings { normalise: false, line_max: sent.len(), size_max: sent.len() as u64 };
    let again = data(wide, &sent, Cut::Whole);
    assert_eq!((again.ended, again.flaw, again.left), (true, None, 0));
    assert_eq!(again.good.expect("it has no flaw").body, good.body);
    // A server that takes a looser end for the end finds none before ours.
    let before = &[b"\r\n", &sent[..]].concat()[..sent.len() - 1];
    for loose in [&b"\n.\n"[..], b"\n.\r", b"\r.\r", b"\r.\n"] {
        let found = before.windows(loose.len()).any(|window| window == loose);
        assert!(!found, "{:?} goes out", String::from_utf8_lossy(loose));
    }
}
