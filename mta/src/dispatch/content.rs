//! What is sent of a message over one connection: as it was accepted, or in 7-bit text where the server
//! takes nothing else. `signing.rs` signs either.

use bytes::Bytes;

use crate::message::{BodyType, Failure, Message};
use crate::smtp_out::{not_eight_bit, seven_bit};

/// All below the Received field in 7-bit text, for a server that takes nothing else (`eight_bit` is
/// false); `None`: the message goes as it was accepted.
pub(super) fn in_seven_bit(
    message: &Message,
    body: &[Bytes],
    eight_bit: bool,
) -> Result<Option<Bytes>, Failure> {
    if message.body_type == BodyType::SevenBit || eight_bit {
        return Ok(None);
    }
    // A signature of somebody else would not survive it.
    if message.foreign_signature {
        return Err(not_eight_bit());
    }
    let (_, added) = message.split_prefix();
    let mut whole = added.to_vec();
    whole.extend(body.iter().flat_map(|piece| piece.iter()));
    let converted = seven_bit(&whole).map_err(|_| not_eight_bit())?;
    Ok(Some(converted.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::examples;
    use crate::smtp_out::Content;

    #[test]
    fn eight_bit_text_is_encoded_where_it_must_be_and_may_be() {
        let prefix = Bytes::from_static(b"Received: x\r\nDate: now\r\n");
        let body =
            [Bytes::from_static("Subject: x\r\n\r\n.a\u{f1}o nuevo, vida nueva\r\n".as_bytes())];
        let message = Message { prefix, body_type: BodyType::EightBit, ..examples::message() };
        let encoded = in_seven_bit(&message, &body, true).unwrap();
        assert!(encoded.is_none(), "it goes as it is");
        let rest = in_seven_bit(&message, &body, false).unwrap().unwrap();
        let content = Content::converted(&message, None, rest);
        let text = String::from_utf8(content.pieces.concat()).unwrap();
        assert_eq!(content.size, text.len() as u64);
        assert!(text.starts_with("Received: x\r\nDate: now\r\nSubject: x\r\n"), "{text}");
        assert!(text.ends_with("\r\n.a=C3=B1o nuevo, vida nueva\r\n"), "{text}");
        assert_eq!((content.body_type, content.leading_dots), (BodyType::SevenBit, true));
        let seven = Message { body_type: BodyType::SevenBit, ..message.clone() };
        assert!(in_seven_bit(&seven, &body, false).unwrap().is_none());
        let signed = Message { foreign_signature: true, ..message };
        let refused = in_seven_bit(&signed, &body, false).unwrap_err();
        assert_eq!(refused.reply.enhanced.unwrap().to_string(), "5.6.3");
    }
}
