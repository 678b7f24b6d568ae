//! The octets of a message as one server gets them, and what they ask of it.

use bytes::Bytes;

use crate::message::{BodyType, Message};

/// A message ready to be sent.
#[derive(Debug, Clone)]
pub struct Content {
    /// Header section and body, lines ending in CRLF, without transparency dots.
    pub pieces: Vec<Bytes>,
    /// Octets of them.
    pub size: u64,
    /// Some line starts with a dot.
    pub leading_dots: bool,
    /// What the body needs of the server.
    pub body_type: BodyType,
}

impl Content {
    /// The message as it was accepted. `signatures` are DKIM-Signature fields: they stand below
    /// the Received line and above all that they sign.
    pub fn new(message: &Message, signatures: Option<Bytes>, body: &[Bytes]) -> Self {
        let (trace, added) = message.split_prefix();
        let mut pieces = Vec::with_capacity(body.len() + 3);
        pieces.push(trace);
        pieces.extend(signatures);
        pieces.push(added);
        pieces.extend_from_slice(body);
        Self::of(pieces, message.leading_dots, message.body_type)
    }

    /// The message after its body was encoded as 7-bit text: `rest` is all below the Received line.
    pub fn converted(message: &Message, signatures: Option<Bytes>, rest: Bytes) -> Self {
        let (trace, _) = message.split_prefix();
        let leading_dots =
            rest.starts_with(b".") || memchr::memmem::find(&rest, b"\r\n.").is_some();
        let mut pieces = vec![trace];
        pieces.extend(signatures);
        pieces.push(rest);
        Self::of(pieces, leading_dots, BodyType::SevenBit)
    }

    fn of(mut pieces: Vec<Bytes>, leading_dots: bool, body_type: BodyType) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, size, leading_dots, body_type }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::examples;

    #[test]
    fn signatures_stand_below_received_and_above_the_rest() {
        let prefix = Bytes::from_static(b"Received: a\r\n\tb\r\nDate: now\r\n");
        let message = Message { prefix, ..examples::message() };
        let body = [Bytes::from_static(b"To: c\r\n\r\nd\r\n")];
        let text = |signature: Option<&'static str>| {
            let content = Content::new(&message, signature.map(Bytes::from), &body);
            let text = content.pieces.concat();
            assert_eq!(content.size, text.len() as u64);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(None), "Received: a\r\n\tb\r\nDate: now\r\nTo: c\r\n\r\nd\r\n");
        assert_eq!(
            text(Some("S: x\r\n")),
            "Received: a\r\n\tb\r\nS: x\r\nDate: now\r\nTo: c\r\n\r\nd\r\n"
        );
    }
}
