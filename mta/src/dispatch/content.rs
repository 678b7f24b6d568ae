//! What is sent of a message over one connection: as it was accepted, or in 7-bit text where the server
//! takes nothing else; made of its template, where it has one. `signing.rs` signs each.

use std::sync::Arc;

use bytes::Bytes;

use crate::compose::Parts;
use crate::message::{BodyType, Failure, Id, Message, Personal, Recipient};
use crate::queue::HeldBody;
use crate::smtp_out::{not_eight_bit, seven_bit, unreadable, unrendered};
use crate::spool::off_thread;

use super::Dispatch;

/// The octets of a message below what the relay wrote above it.
pub(super) struct Body {
    pub(super) pieces: Vec<Bytes>,
    /// What they count against while they are in memory.
    _held: Arc<HeldBody>,
}

impl Dispatch {
    /// The body of a message: as it was accepted, or as its template makes it for the one recipient that it has.
    /// The same each time.
    pub(super) async fn body_of(
        &self,
        message: &Message,
        held: Option<Arc<HeldBody>>,
        recipient: Option<&Recipient>,
    ) -> Result<Body, Failure> {
        let held = self.queue.body(message, held).await.map_err(|error| {
            tracing::error!(message = %message.id, %error, "a body cannot be read");
            unreadable(error.to_string())
        })?;
        if message.template.is_none() {
            return Ok(Body { pieces: held.pieces.clone(), _held: held });
        }
        let recipient =
            recipient.cloned().ok_or_else(|| unrendered("nobody gets it".to_owned()))?;
        let (id, template) = (message.id, held.pieces.clone());
        let work = move || rendered(&template, &recipient, id);
        let made = off_thread(&*self.queue.spool(), work).await;
        let made = made.map_err(|error| unreadable(error.to_string()))?;
        let octets = made.map_err(|why| {
            tracing::warn!(message = %message.id, why, "a message cannot be made of its template");
            unrendered(why)
        })?;
        Ok(Body { pieces: vec![octets], _held: held })
    }
}

fn rendered(template: &[Bytes], recipient: &Recipient, id: Id) -> Result<Bytes, String> {
    let parts = match template {
        [whole] => Parts::from_bytes(whole)?,
        pieces => Parts::from_bytes(&pieces.concat())?,
    };
    let nothing = Personal { name: None, substitutions: "{}".to_owned() };
    let personal = recipient.personal.as_ref().unwrap_or(&nothing);
    let made = parts.rendered(&recipient.address, personal, crate::compose::MESSAGE_MAX);
    Ok(made.map_err(|error| error.to_string())?.write(id).into())
}

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
