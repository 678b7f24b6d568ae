//! What is sent of a message over one connection: as it was accepted, or in 7-bit text where the server
//! takes nothing else.

use bytes::Bytes;

use crate::message::{BodyType, Failure, Message};
use crate::smtp_out::{Content, not_eight_bit, seven_bit};

/// The octets for a server that takes 8-bit text or does not (`eight_bit`).
pub(super) fn content(
    message: &Message,
    body: &[Bytes],
    eight_bit: bool,
) -> Result<Content, Failure> {
    if message.body_type == BodyType::SevenBit || eight_bit {
        return Ok(Content::new(message, None, body));
    }
    // A signature of somebody else would not survive it.
    if message.foreign_signature {
        return Err(not_eight_bit());
    }
    let (_, added) = message.split_prefix();
    let mut whole = added.to_vec();
    whole.extend(body.iter().flat_map(|piece| piece.iter()));
    let converted = seven_bit(&whole).map_err(|_| not_eight_bit())?;
    Ok(Content::converted(message, None, converted.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::examples;

    #[test]
    fn eight_bit_text_is_encoded_where_it_must_be_and_may_be() {
        let prefix = Bytes::from_static(b"Received: x\r\nDate: now\r\n");
        let body =
            [Bytes::from_static("Subject: x\r\n\r\n.a\u{f1}o nuevo, vida nueva\r\n".as_bytes())];
        let message = Message { prefix, body_type: BodyType::EightBit, ..examples::message() };
        let text = |message: &Message, eight_bit: bool| {
            content(message, &body, eight_bit).map(|content| {
                let text = String::from_utf8(content.pieces.concat()).unwrap();
                assert_eq!(content.size, text.len() as u64);
                (text, content.body_type, content.leading_dots)
            })
        };
        let (as_it_was, body_type, _) = text(&message, true).unwrap();
        assert!(as_it_was.ends_with(".año nuevo, vida nueva\r\n"));
        assert_eq!(body_type, BodyType::EightBit);
        let (encoded, body_type, dots) = text(&message, false).unwrap();
        assert!(encoded.starts_with("Received: x\r\nDate: now\r\nSubject: x\r\n"), "{encoded}");
        assert!(encoded.ends_with("\r\n.a=C3=B1o nuevo, vida nueva\r\n"), "{encoded}");
        assert_eq!((body_type, dots), (BodyType::SevenBit, true));
        let signed = Message { foreign_signature: true, ..message };
        let refused = text(&signed, false).unwrap_err();
        assert_eq!(refused.reply.enhanced.unwrap().to_string(), "5.6.3");
    }
}
