//! Makes what the relay keeps out of octets: values that its own parsers let in, whatever they hold.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mta::message::{
    Address, BodyType, Id, Message, Notify, OriginalRecipient, Priority, RecipientParameters,
    Reply, ReturnContent, ReversePath, Timestamp, parse_envelope_id,
};

/// Milliseconds of the year 2026.
const TIME: u64 = 1_795_525_500_123;

/// Text of at most so many octets.
pub fn text(u: &mut Unstructured<'_>, max: usize) -> Result<String> {
    let length = u.int_in_range(0..=max)?;
    let octets = u.bytes(length.min(u.len()))?;
    Ok(String::from_utf8_lossy(octets).into_owned())
}

/// An address: what is written there if it is one, or else one of two.
pub fn address(u: &mut Unstructured<'_>) -> Result<Address> {
    let written = text(u, 80)?;
    let instead = if written.is_ascii() { "a@x.pe" } else { "ñ@x.pe" };
    Ok(Address::parse(&written)
        .or_else(|_| Address::parse(&format!("\"{written}\"@x.pe")))
        .or_else(|_| Address::parse(instead))
        .expect("it is an address"))
}

/// Time around the years that are lived in.
pub fn time(u: &mut Unstructured<'_>) -> Result<Timestamp> {
    Ok(Timestamp::from_millis(TIME.wrapping_add(u64::from(u.arbitrary::<u32>()?))))
}

/// As a server says it.
pub fn reply(u: &mut Unstructured<'_>) -> Result<Reply> {
    let code = u.int_in_range(200..=599)?;
    let said = text(u, 1100)?;
    Ok(Reply::from_lines(code, said.split('\n')))
}

/// What a sender asks for with a recipient.
pub fn parameters(u: &mut Unstructured<'_>) -> Result<RecipientParameters> {
    let (success, failure, delay) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let notify = u.arbitrary::<bool>()?.then_some(Notify { success, failure, delay });
    let kind = *u.choose(&["rfc822", "utf-8", "x400"])?;
    let original = OriginalRecipient::parse(&format!("{kind};{}", text(u, 500)?));
    Ok(RecipientParameters { notify, original })
}

/// A message.
pub fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    Ok(Message {
        id: Id::first_at(time(u)?),
        sender: ReversePath(if u.arbitrary()? { Some(address(u)?) } else { None }),
        prefix: Bytes::from(format!("Received: by x\r\n{}", line(u)?)),
        body_size: u.arbitrary()?,
        body_chunks: u.arbitrary()?,
        leading_dots: u.arbitrary()?,
        body_type: if u.arbitrary()? { BodyType::EightBit } else { BodyType::SevenBit },
        utf8_headers: u.arbitrary()?,
        returns: *u.choose(&[None, Some(ReturnContent::Full), Some(ReturnContent::Headers)])?,
        envelope_id: parse_envelope_id(&text(u, 100)?),
        from_domain: word(u)?,
        foreign_signature: u.arbitrary()?,
        deliveries: u.arbitrary()?,
        listener: text(u, 20)?,
        account: text(u, 20)?,
        pool: word(u)?,
        tags: (0..u.int_in_range(0..=8)?).map(|_| text(u, 20)).collect::<Result<_>>()?,
        priority: Priority::new(u.arbitrary()?),
        message_id: word(u)?,
        signatures: word(u)?.map(Bytes::from),
        send_at: if u.arbitrary()? { Some(time(u)?) } else { None },
        template: if u.arbitrary()? { Some(Id::first_at(time(u)?)) } else { None },
    })
}

fn word(u: &mut Unstructured<'_>) -> Result<Option<String>> {
    Ok(if u.arbitrary()? { Some(text(u, 60)?) } else { None })
}

/// Nothing, or a header field that others might have written.
fn line(u: &mut Unstructured<'_>) -> Result<String> {
    let mut line = text(u, 200)?;
    line.retain(|c| !c.is_control());
    Ok(if line.is_empty() { line } else { format!("X: {line}\r\n") })
}
