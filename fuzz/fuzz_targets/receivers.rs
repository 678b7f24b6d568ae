//! DATA and BDAT: split anywhere, the same message; what is stuffed with dots comes back as it was.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mta::smtp::{DataReceiver, Received, stuffed};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    normalise: bool,
    small: bool,
    cuts: Vec<u8>,
    octets: &'a [u8],
}

/// What came of it: the octets of the message, what is wrong with it, and what was left for the next command.
/// Of several flaws that one is told which was seen first, which depends on the pieces.
type Found = (Bytes, bool, bool, bool, Vec<u8>);

fn receiver(input: &Input<'_>) -> DataReceiver {
    let (line, size) = if input.small { (20, 200) } else { (998, 1 << 20) };
    DataReceiver::new(input.normalise, line, size)
}

fn data(input: &Input<'_>, octets: &[u8], mut cuts: impl Iterator<Item = usize>) -> Found {
    let mut receiver = receiver(input);
    let mut body = BytesMut::new();
    let mut buffer = BytesMut::new();
    let mut rest = octets;
    loop {
        let length = cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len().max(1)).min(rest.len());
        buffer.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
        let received = receiver.receive(&mut buffer);
        body.extend_from_slice(&receiver.take_body());
        if received == Received::End || rest.is_empty() {
            break;
        }
    }
    let left = [&buffer[..], rest].concat();
    let ended = receiver.has_ended();
    let flawed = receiver.flaw().is_some();
    (keep(body, &receiver), flawed, ended, !flawed && receiver.leading_dots(), left)
}

/// Of a message that cannot be taken nothing is kept, and how much was seen before is of no matter.
fn keep(body: BytesMut, receiver: &DataReceiver) -> Bytes {
    if receiver.flaw().is_some() { Bytes::new() } else { body.freeze() }
}

fn chunks(
    input: &Input<'_>,
    octets: &[u8],
    mut cuts: impl Iterator<Item = usize>,
) -> (Bytes, bool) {
    let mut receiver = receiver(input);
    let mut body = BytesMut::new();
    let mut rest = octets;
    loop {
        let length = cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len().max(1)).min(rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        receiver.receive_chunk(piece, rest.is_empty());
        body.extend_from_slice(&receiver.take_body());
        if rest.is_empty() {
            return (keep(body, &receiver), receiver.flaw().is_some());
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let cuts = || input.cuts.iter().map(|cut| usize::from(*cut % 16));
    let ones = || std::iter::repeat(1);
    let whole = data(&input, input.octets, std::iter::empty());
    for other in [data(&input, input.octets, cuts()), data(&input, input.octets, ones())] {
        assert_eq!(whole, other);
    }
    let whole = chunks(&input, input.octets, std::iter::empty());
    for other in [chunks(&input, input.octets, cuts()), chunks(&input, input.octets, ones())] {
        assert_eq!(whole, other);
    }
    // What was taken by BDAT goes out by DATA, and comes to the next relay as it was.
    if let (body, false) = whole {
        let sent = stuffed(&[body.clone()]).concat();
        let sent = [&sent[..], b".\r\n"].concat();
        let strict = Input { normalise: false, small: input.small, cuts: Vec::new(), octets: &[] };
        let (back, flawed, ended, _, left) = data(&strict, &sent, cuts());
        if body.is_empty() || flawed {
            return;
        }
        assert!(ended && left.is_empty(), "it ends where it was ended: {left:?}");
        assert_eq!(back, body);
    }
});
