//! A plain message for the tests of every stage; each changes what it is about.

use bytes::Bytes;

use super::{Address, BodyType, Id, Message, Priority, ReversePath, Submission, SubmittedBody};

/// From `s@x.pe`, one line.
pub(crate) fn submission(id: Id, recipients: &[&str]) -> Submission {
    Submission {
        id,
        sender: ReversePath(Some(Address::parse("s@x.pe").unwrap())),
        recipients: recipients
            .iter()
            .map(|text| (Address::parse(text).unwrap(), super::RecipientParameters::default()))
            .collect(),
        prefix: Bytes::from_static(b"Received: x\r\n"),
        body: SubmittedBody::Whole(vec![Bytes::from_static(b"\r\ntext\r\n")]),
        leading_dots: false,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: None,
        from_domain: None,
        foreign_signature: false,
        listener: "relay".to_owned(),
        client: None,
        account: "relay".to_owned(),
        pool: None,
        tags: vec![],
        priority: Priority::default(),
        message_id: None,
        send_at: None,
        personal: None,
    }
}

/// From `ana@x.pe`, accepted on 2026-11-24.
pub(crate) fn message() -> Message {
    Message {
        id: Id::first_at(super::Timestamp::from_millis(1_795_525_500_123)),
        sender: ReversePath(Some(Address::parse("ana@x.pe").unwrap())),
        prefix: Bytes::from_static(b"Received: x\r\n"),
        body_size: 6,
        body_chunks: 1,
        leading_dots: false,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: None,
        from_domain: None,
        foreign_signature: false,
        deliveries: 1,
        signatures: None,
        listener: "relay".to_owned(),
        account: "relay".to_owned(),
        pool: None,
        tags: vec![],
        priority: Priority::default(),
        message_id: None,
        send_at: None,
        template: None,
    }
}
