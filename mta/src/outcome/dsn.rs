//! The notice to a sender that a message could not be delivered (RFC 3464, 6522), in Spanish and
//! English, as an ordinary message with an empty return path.

use std::fmt::Write as _;

use bytes::Bytes;
use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;

use crate::message::{
    Address, BodyType, Delivery, Failure, Id, Message, Outcome, Priority, RecipientState,
    ReversePath, Submission, SubmittedBody, Timestamp,
};
use crate::queue::state::Changes;

/// Octets of the original header section that are sent back.
const HEADERS_OCTETS_MAX: usize = 64 * 1024;
/// The listener's name in events of notices.
const NOTICE: &str = "notice";

/// A recipient that will not get the message, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Who.
    pub recipient: Address,
    /// Why.
    pub failure: Failure,
    /// Its time was over.
    pub expired: bool,
}

impl Failed {
    /// Those that these changes gave up.
    pub fn of(delivery: &Delivery, changes: &Changes) -> Vec<Self> {
        let transitions = changes.transitions.iter();
        transitions
            .filter(|t| matches!(t.state, RecipientState::Bounced | RecipientState::Expired))
            .filter_map(|t| match &t.outcome {
                Outcome::Failed(failure) => Some(Self {
                    recipient: delivery.recipients.get(t.recipient)?.address.clone(),
                    failure: failure.clone(),
                    expired: t.state == RecipientState::Expired,
                }),
                Outcome::Delivered(_) => None,
            })
            .collect()
    }
}

/// The notice about these recipients of a message to `to`. `headers` is the header section of
/// the message; `mx` the host that refused.
pub fn notice(
    (id, to): (Id, Address),
    message: &Message,
    failed: &[Failed],
    headers: &[u8],
    (hostname, mx): (&str, Option<&str>),
    now: Timestamp,
) -> Submission {
    let message_id = id.message_id(hostname);
    let eight_bit = !headers.is_ascii();
    let boundary = format!("=_{id}_tambo");
    let report = ContentType::new("multipart/report")
        .attribute("report-type", "delivery-status")
        .attribute("boundary", boundary);
    let parts = vec![
        MimePart::new("text/plain", people(message, failed, hostname)),
        MimePart::new(
            ContentType::new("message/delivery-status"),
            machines(message, failed, hostname, mx).into_bytes(),
        )
        .transfer_encoding("7bit"),
        MimePart::new(ContentType::new("text/rfc822-headers"), headers.to_vec())
            .transfer_encoding(if eight_bit { "8bit" } else { "7bit" }),
    ];
    let mut text = Vec::new();
    MessageBuilder::new()
        .header("From", Raw::new(format!("Mail Delivery System <MAILER-DAEMON@{hostname}>")))
        .header("To", Raw::new(format!("<{to}>")))
        .subject("No se pudo entregar su mensaje / Undelivered mail")
        .header("Date", Raw::new(now.to_rfc5322()))
        .header("Message-ID", Raw::new(format!("<{message_id}>")))
        .header("Auto-Submitted", Raw::new("auto-replied"))
        .header("MIME-Version", Raw::new("1.0"))
        .body(MimePart::new(report, parts))
        .serialize(&mut text);
    if !text.ends_with(b"\r\n") {
        text.extend_from_slice(b"\r\n");
    }
    let prefix = format!("Received: by {hostname} (notice) id {id};\r\n\t{}\r\n", now.to_rfc5322());
    let leading_dots = text.starts_with(b".") || memchr::memmem::find(&text, b"\r\n.").is_some();
    Submission {
        id,
        sender: ReversePath::NULL,
        recipients: vec![to],
        prefix: prefix.into(),
        leading_dots,
        body_type: if text.is_ascii() { BodyType::SevenBit } else { BodyType::EightBit },
        body: SubmittedBody::Whole(vec![text.into()]),
        listener: NOTICE.to_owned(),
        account: NOTICE.to_owned(),
        pool: message.pool.clone(),
        tags: message.tags.clone(),
        priority: Priority::default(),
        message_id: Some(message_id),
    }
}

/// The header section at the front of a message, whole lines, bounded.
pub fn original_headers(message: &Message, body: &[Bytes]) -> Vec<u8> {
    let mut headers = message.prefix.to_vec();
    if !headers.ends_with(b"\r\n\r\n") {
        for piece in body {
            let room = (HEADERS_OCTETS_MAX + 1).saturating_sub(headers.len());
            headers.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }
    if headers.len() > HEADERS_OCTETS_MAX {
        headers.truncate(HEADERS_OCTETS_MAX);
        let whole = memchr::memrchr(b'\n', &headers).map_or(0, |end| end + 1);
        headers.truncate(whole);
    }
    if let Some(end) = memchr::memmem::find(&headers, b"\r\n\r\n") {
        headers.truncate(end + 2);
    }
    headers
}

fn people(message: &Message, failed: &[Failed], hostname: &str) -> String {
    let mut list = String::new();
    for one in failed {
        let _ = write!(list, "\n  {}\n    {}\n", one.recipient, one.failure.reply);
        if one.failure.cause != one.failure.reply.text {
            let _ = writeln!(list, "    ({})", one.failure.cause);
        }
    }
    let expired = failed.iter().all(|one| one.expired);
    let (why, reason) = if expired {
        (
            "Se intentó varias veces y se acabó el plazo. Puede enviarlo de nuevo más tarde.",
            "It was tried several times and its time is over. You may send it again later.",
        )
    } else {
        (
            "El servidor de destino lo rechazó. Revise la dirección y lo que dice la respuesta antes de enviarlo de nuevo.",
            "The destination refused it. Check the address and what the reply says before you send it again.",
        )
    };
    let sent = message.id.time().to_rfc5322();
    format!(
        "Le escribe el servidor de correo {hostname}.\n\n\
         Su mensaje del {sent} no pudo entregarse a estos destinatarios:\n{list}\n{why}\n\n\
         -----\n\n\
         This is the mail server {hostname}.\n\n\
         Your message of {sent} could not be delivered to the recipients listed above.\n{reason}\n\n\
         Id: {}\n",
        message.id
    )
}

/// RFC 3464 section 2.
fn machines(message: &Message, failed: &[Failed], hostname: &str, mx: Option<&str>) -> String {
    let mut text = format!(
        "Reporting-MTA: dns; {hostname}\r\nX-Tambo-Message: {}\r\nArrival-Date: {}\r\n",
        message.id,
        message.id.time().to_rfc5322()
    );
    for one in failed {
        let reply = &one.failure.reply;
        let status = reply.enhanced.map_or_else(
            || "5.0.0".to_owned(),
            |code| format!("5.{}.{}", code.subject, code.detail),
        );
        let _ = write!(
            text,
            "\r\nFinal-Recipient: rfc822; {}\r\nAction: failed\r\nStatus: {status}\r\n",
            one.recipient
        );
        if let Some(mx) = mx {
            let _ = write!(text, "Remote-MTA: dns; {mx}\r\n");
        }
        let diagnostic: String = reply
            .to_string()
            .chars()
            .map(|c| if c.is_ascii() { c } else { '?' })
            .take(900)
            .collect();
        let _ = write!(text, "Diagnostic-Code: smtp; {diagnostic}\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Fault, Reply, Retry, Scope};
    use mail_parser::{MessageParser, MimeHeaders};

    fn message() -> Message {
        Message {
            id: Id::first_at(Timestamp::from_millis(1_795_525_500_123)),
            sender: ReversePath(Some(Address::parse("ana@x.pe").unwrap())),
            prefix: Bytes::from_static(b"Received: x\r\n"),
            body_size: 40,
            body_chunks: 1,
            leading_dots: false,
            body_type: BodyType::SevenBit,
            deliveries: 1,
            listener: "relay".to_owned(),
            account: "relay".to_owned(),
            pool: None,
            tags: vec![],
            priority: Priority::default(),
            message_id: None,
        }
    }

    #[test]
    fn a_notice_is_a_report_that_programs_and_people_can_read() {
        let failed = [Failed {
            recipient: Address::parse("eva@y.pe").unwrap(),
            failure: Failure {
                scope: Scope::Recipient,
                fault: Fault::Peer,
                retry: Retry::Never,
                reply: Reply::from_lines(550, ["5.1.1 no such user"].into_iter()),
                cause: "the server answered in RCPT".to_owned(),
            },
            expired: false,
        }];
        let now = Timestamp::from_millis(1_795_525_600_000);
        let to = Address::parse("ana@x.pe").unwrap();
        let body = [Bytes::from_static("Subject: año\r\nTo: eva@y.pe\r\n\r\ntext\r\n".as_bytes())];
        let headers = original_headers(&message(), &body);
        let notice = notice(
            (Id::first_at(now), to),
            &message(),
            &failed,
            &headers,
            ("relay.x.pe", Some("mx.y.pe")),
            now,
        );
        assert!(notice.sender.is_null());
        assert_eq!(notice.body_type, BodyType::EightBit);
        let SubmittedBody::Whole(pieces) = &notice.body else { panic!() };
        let text = pieces.concat();
        let parsed = MessageParser::new().parse(&text).unwrap();
        let report = parsed.content_type().unwrap();
        assert_eq!(report.subtype(), Some("report"));
        assert_eq!(report.attribute("report-type"), Some("delivery-status"));
        assert_eq!(parsed.subject(), Some("No se pudo entregar su mensaje / Undelivered mail"));
        let words = parsed.body_text(0).unwrap();
        assert!(words.contains("eva@y.pe") && words.contains("550 5.1.1 no such user"), "{words}");
        let raw = String::from_utf8(text.clone()).unwrap();
        for line in [
            "Final-Recipient: rfc822; eva@y.pe\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            "Remote-MTA: dns; mx.y.pe\r\n",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
            "Received: x\r\nSubject: año\r\nTo: eva@y.pe\r\n",
            "Auto-Submitted: auto-replied\r\n",
        ] {
            assert!(raw.contains(line), "{line} in\n{raw}");
        }
        assert!(!raw.contains("\r\ntext\r\n"), "the body does not go back");
        assert!(!raw.replace("\r\n", "").contains('\n'), "no bare newlines");
    }

    #[test]
    fn header_sections_are_bounded() {
        let long = [Bytes::from(format!("X: {}\r\n", "y".repeat(900)).repeat(100))];
        let headers = original_headers(&message(), &long);
        assert!(headers.len() <= HEADERS_OCTETS_MAX && headers.ends_with(b"\r\n"));
    }
}
