//! A notice to a sender (RFC 3464, RFC 6522; RFC 6533 where addresses are beyond ASCII), as an
//! ordinary message with an empty return path: words for people, fields for programs, and what
//! of the message comes back.

use std::fmt::Write as _;

use bytes::Bytes;
use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use mail_parser::MessageParser;

use crate::message::{
    Address, BodyType, Id, Message, Priority, RecipientParameters, Reply, ReturnContent,
    ReversePath, Submission, SubmittedBody, Timestamp,
};

use super::told::{Told, What};
use super::words;

/// Octets of the original header section that are sent back.
const HEADERS_OCTETS_MAX: usize = 64 * 1024;
/// Octets of a message that is sent back whole when the sender asks for it (RFC 3461 section 4.3 lets
/// a server decide): a campaign with attachments that fails must not double in size.
const RETURNED_OCTETS_MAX: u64 = 1024 * 1024;
/// Octets of a subject that is repeated.
const SUBJECT_CHARACTERS_MAX: usize = 150;
/// The listener's name in events of notices.
const NOTICE: &str = "notice";

/// What a notice is made of.
#[derive(Debug)]
pub struct Notice<'a> {
    /// Its own id.
    pub id: Id,
    /// To whom it goes.
    pub to: Address,
    /// The message that it is about.
    pub message: &'a Message,
    /// What it tells; at least one.
    pub told: &'a [Told],
    /// What of the message comes back: see [`returned`].
    pub returned: Vec<u8>,
    /// Our name.
    pub hostname: &'a str,
    /// The host that answered.
    pub mx: Option<&'a str>,
}

/// The notice as a message that can be accepted.
pub fn notice(notice: Notice<'_>, now: Timestamp) -> Submission {
    let Notice { id, to, message, told, hostname, .. } = &notice;
    let message_id = id.message_id(hostname);
    let fields = fields(&notice);
    let report = ContentType::new("multipart/report")
        .attribute("report-type", "delivery-status")
        .attribute("boundary", boundary(*id, &[fields.as_bytes(), &notice.returned]));
    let about = subject_of(&notice.returned);
    let words = words::text(message, told, about.as_deref(), (hostname, notice.mx));
    let parts =
        vec![MimePart::new("text/plain", words), status_part(fields), returned_part(&notice)];
    let mut text = Vec::new();
    MessageBuilder::new()
        .header("From", Raw::new(format!("Mail Delivery System <MAILER-DAEMON@{hostname}>")))
        .header("To", Raw::new(format!("<{to}>")))
        .subject(words::subject(told))
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
        id: *id,
        sender: ReversePath::NULL,
        recipients: vec![(to.clone(), RecipientParameters::default())],
        prefix: prefix.into(),
        leading_dots,
        body_type: if text.is_ascii() { BodyType::SevenBit } else { BodyType::EightBit },
        utf8_headers: to.needs_utf8(),
        returns: None,
        envelope_id: None,
        from_domain: Some((*hostname).to_owned()),
        foreign_signature: false,
        body: SubmittedBody::Whole(vec![text.into()]),
        listener: NOTICE.to_owned(),
        client: None,
        account: NOTICE.to_owned(),
        pool: message.pool.clone(),
        tags: message.tags.clone(),
        priority: Priority::default(),
        message_id: Some(message_id),
        send_at: None,
        personal: None,
    }
}

/// What of a message comes back with these news: all of it when it failed, the sender wants it
/// and it is not too large; else its header section.
pub fn returned(message: &Message, told: &[Told], body: &[Bytes]) -> Vec<u8> {
    if wants_whole(message, told) {
        let mut whole = message.prefix.to_vec();
        whole.extend(body.iter().flat_map(|piece| piece.iter()));
        return whole;
    }
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

/// RFC 3461 section 4.3: RET is about failures only.
fn wants_whole(message: &Message, told: &[Told]) -> bool {
    message.returns == Some(ReturnContent::Full)
        && message.size() <= RETURNED_OCTETS_MAX
        && told.iter().any(|told| told.what.is_failure())
}

fn subject_of(returned: &[u8]) -> Option<String> {
    let parsed = MessageParser::new().parse_headers(returned)?;
    let subject = parsed.subject()?.trim();
    let clean: String = subject.chars().filter(|c| !c.is_control()).collect();
    let mut short: String = clean.chars().take(SUBJECT_CHARACTERS_MAX).collect();
    if short.len() < clean.len() {
        short.push('…');
    }
    (!short.is_empty()).then_some(short)
}

/// What stands between the parts: nothing in them may be like it (RFC 2046 section 5.1.1), also when somebody has
/// guessed our id. The words for people are encoded, without `=_` in them.
fn boundary(id: Id, parts: &[&[u8]]) -> String {
    let mut boundary = format!("=_{id}_tambo");
    let mut number = 0;
    while parts.iter().any(|part| memchr::memmem::find(part, boundary.as_bytes()).is_some()) {
        number += 1;
        boundary = format!("=_{id}_{number}_tambo");
    }
    boundary
}

fn status_part<'a>(fields: String) -> MimePart<'a> {
    // RFC 6533 section 3.1: only this type may hold addresses beyond ASCII.
    let (kind, encoding) = if fields.is_ascii() {
        ("message/delivery-status", "7bit")
    } else {
        ("message/global-delivery-status", "8bit")
    };
    MimePart::new(ContentType::new(kind), fields.into_bytes()).transfer_encoding(encoding)
}

fn returned_part<'a>(notice: &Notice<'_>) -> MimePart<'a> {
    let kind = match (wants_whole(notice.message, notice.told), notice.message.utf8_headers) {
        (true, false) => "message/rfc822",
        (true, true) => "message/global",
        (false, false) => "text/rfc822-headers",
        (false, true) => "message/global-headers",
    };
    let encoding = if notice.returned.is_ascii() { "7bit" } else { "8bit" };
    MimePart::new(ContentType::new(kind), notice.returned.clone()).transfer_encoding(encoding)
}

/// RFC 3464 section 2.
fn fields(notice: &Notice<'_>) -> String {
    let message = notice.message;
    let mut text = String::new();
    if let Some(id) = &message.envelope_id {
        let _ = write!(text, "Original-Envelope-Id: {id}\r\n");
    }
    let _ = write!(
        text,
        "Reporting-MTA: dns; {}\r\nX-Tambo-Message: {}\r\nArrival-Date: {}\r\n",
        notice.hostname,
        message.id,
        message.id.time().to_rfc5322()
    );
    for one in notice.told {
        text.push_str("\r\n");
        recipient_fields(&mut text, one, notice.mx);
    }
    text
}

fn recipient_fields(text: &mut String, one: &Told, mx: Option<&str>) {
    if let Some(original) = &one.original {
        let kind = original.address_type();
        let _ = write!(text, "Original-Recipient: {kind}; {}\r\n", original.address());
    }
    let kind = if one.recipient.needs_utf8() { "utf-8" } else { "rfc822" };
    let action = match one.what {
        What::Failed | What::Expired | What::Suppressed => "failed",
        What::Delayed(_) => "delayed",
        What::Relayed => "relayed",
    };
    let _ = write!(
        text,
        "Final-Recipient: {kind}; {}\r\nAction: {action}\r\nStatus: {}\r\n",
        one.recipient,
        status(one)
    );
    if let Some(reply) = &one.reply {
        if let Some(mx) = mx {
            let _ = write!(text, "Remote-MTA: dns; {mx}\r\n");
        }
        let _ = write!(text, "Diagnostic-Code: smtp; {}\r\n", diagnostic(reply));
    }
    if let What::Delayed(until) = one.what {
        let _ = write!(text, "Will-Retry-Until: {}\r\n", until.to_rfc5322());
    }
}

/// Its class is that of what happened (RFC 3463): what failed for good is 5, whatever the last reply was.
fn status(one: &Told) -> String {
    let class = match one.what {
        What::Failed | What::Expired | What::Suppressed => 5,
        What::Delayed(_) => 4,
        What::Relayed => 2,
    };
    let code = one.reply.as_ref().and_then(|reply| reply.enhanced);
    match (one.what, code) {
        // Nothing was answered yet: it is late.
        (What::Delayed(_), None) => "4.4.7".to_owned(),
        (_, Some(code)) => format!("{class}.{}.{}", code.subject, code.detail),
        (_, None) => format!("{class}.0.0"),
    }
}

fn diagnostic(reply: &Reply) -> String {
    reply.to_string().chars().map(|c| if c.is_ascii() { c } else { '?' }).take(900).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{EnhancedCode, OriginalRecipient, examples};
    use mail_parser::MimeHeaders;

    const BODY: &str = "Subject: =?utf-8?q?A=C3=B1o_nuevo?=\r\nTo: eva@y.pe\r\n\r\ntext\r\n";

    fn told(recipient: &str, what: What, reply: Option<(u16, &str)>) -> Told {
        Told {
            recipient: Address::parse(recipient).unwrap(),
            original: None,
            what,
            reply: reply.map(|(code, text)| Reply::from_lines(code, std::iter::once(text))),
            cause: "the server answered in RCPT".to_owned(),
        }
    }

    fn write(message: &Message, told: &[Told], body: &str) -> (Submission, String) {
        let now = Timestamp::from_millis(1_795_525_600_000);
        let returned = returned(message, told, &[Bytes::from(body.to_owned())]);
        let submission = notice(
            Notice {
                id: Id::first_at(now),
                to: message.sender.0.clone().unwrap(),
                message,
                told,
                returned,
                hostname: "relay.x.pe",
                mx: Some("mx.y.pe"),
            },
            now,
        );
        let SubmittedBody::Whole(pieces) = &submission.body else { panic!() };
        let text = String::from_utf8(pieces.concat()).unwrap();
        assert!(!text.replace("\r\n", "").contains('\n'), "no bare newlines");
        (submission, text)
    }

    #[track_caller]
    fn check(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn what_comes_back_cannot_end_its_part() {
        let told = [told("eva@y.pe", What::Failed, Some((550, "5.1.1 no such user")))];
        let id = Id::first_at(Timestamp::from_millis(1_795_525_600_000));
        let body = format!("X: a\r\n --=_{id}_tambo--\r\n --=_{id}_1_tambo\r\n\r\n");
        let body = body.replace("\r\n --", "\r\n--");
        let (_, text) = write(&examples::message(), &told, &body);
        let parsed = MessageParser::new().parse(text.as_bytes()).unwrap();
        let boundary = parsed.content_type().unwrap().attribute("boundary").unwrap();
        assert_eq!(boundary, format!("=_{id}_2_tambo"));
        assert_eq!(parsed.parts.len(), 4, "the report and its three parts\n{text}");
    }

    #[test]
    fn a_notice_is_a_report_that_programs_and_people_can_read() {
        let told = [told("eva@y.pe", What::Failed, Some((550, "5.1.1 no such user")))];
        let (submission, text) = write(&examples::message(), &told, BODY);
        assert!(submission.sender.is_null());
        let parsed = MessageParser::new().parse(text.as_bytes()).unwrap();
        let report = parsed.content_type().unwrap();
        assert_eq!(report.subtype(), Some("report"));
        assert_eq!(report.attribute("report-type"), Some("delivery-status"));
        assert_eq!(parsed.subject(), Some("No se pudo entregar su mensaje / Undelivered mail"));
        check(
            &parsed.body_text(0).unwrap(),
            &[
                "mensaje «Año nuevo» del 2026-11-24 13:05 UTC",
                "  eva@y.pe\r\n    La dirección no existe",
                "Respuesta de mx.y.pe: 550 5.1.1 no such user",
                "There is no such address",
            ],
        );
        check(
            &text,
            &[
                "Final-Recipient: rfc822; eva@y.pe\r\nAction: failed\r\nStatus: 5.1.1\r\n",
                "Remote-MTA: dns; mx.y.pe\r\n",
                "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
                "Content-Type: text/rfc822-headers",
                "Received: x\r\nSubject: =?utf-8?q?A=C3=B1o_nuevo?=\r\nTo: eva@y.pe\r\n",
                "Auto-Submitted: auto-replied\r\n",
            ],
        );
        assert!(!text.contains("\r\ntext\r\n"), "the body does not go back");
    }

    #[test]
    fn what_the_sender_asked_for_is_told() {
        let message = Message {
            returns: Some(ReturnContent::Full),
            envelope_id: Some("QQ 1".to_owned()),
            ..examples::message()
        };
        let mut failed = told("eva@y.pe", What::Expired, Some((450, "4.2.0 later")));
        failed.original = OriginalRecipient::parse("rfc822;info@x.pe");
        let relayed = told("leo@y.pe", What::Relayed, Some((250, "2.0.0 ok")));
        let (_, text) = write(&message, &[failed, relayed.clone()], BODY);
        check(
            &text,
            &[
                "Original-Envelope-Id: QQ 1\r\n",
                "\r\n\r\nOriginal-Recipient: rfc822; info@x.pe\r\n\
                 Final-Recipient: rfc822; eva@y.pe\r\nAction: failed\r\nStatus: 5.2.0\r\n",
                "\r\n\r\nFinal-Recipient: rfc822; leo@y.pe\r\nAction: relayed\r\nStatus: 2.0.0\r\n",
                "Content-Type: message/rfc822",
                "\r\n\r\ntext\r\n",
            ],
        );
        let (_, text) = write(&message, &[relayed], BODY);
        check(&text, &["text/rfc822-headers"]);
        assert!(!text.contains("\r\n\r\ntext\r\n"), "RET is about failures");
    }

    #[test]
    fn a_delay_says_until_when() {
        let until = Timestamp::from_millis(1_795_698_300_123);
        let (_, text) =
            write(&examples::message(), &[told("eva@y.pe", What::Delayed(until), None)], BODY);
        check(
            &text,
            &[
                "Action: delayed\r\nStatus: 4.4.7\r\nWill-Retry-Until: Thu, 26 Nov 2026 13:05:00 +0000\r\n",
            ],
        );
        let parsed = MessageParser::new().parse(text.as_bytes()).unwrap();
        check(
            &parsed.body_text(0).unwrap(),
            &["Se seguirá intentando hasta el 2026-11-26 13:05 UTC", "no need to send it again"],
        );
    }

    #[test]
    fn addresses_beyond_ascii_make_it_global() {
        let message = Message {
            sender: ReversePath(Some(Address::parse("ñu@x.pe").unwrap())),
            utf8_headers: true,
            ..examples::message()
        };
        let mut failed =
            told("eñe@y.pe", What::Failed, Some((550, "5.1.1 no existe la casilla ñ")));
        failed.original = OriginalRecipient::parse("utf-8;e\\x{F1}e@y.pe");
        let (submission, text) = write(&message, &[failed], "Subject: año\r\n\r\n");
        assert!(submission.utf8_headers);
        assert_eq!(submission.body_type, BodyType::EightBit);
        check(
            &text,
            &[
                "To: <ñu@x.pe>\r\n",
                "message/global-delivery-status",
                "Original-Recipient: utf-8; eñe@y.pe\r\nFinal-Recipient: utf-8; eñe@y.pe\r\n",
                "Diagnostic-Code: smtp; 550 5.1.1 no existe la casilla ?\r\n",
                "message/global-headers",
            ],
        );
    }

    #[test]
    fn header_sections_are_bounded() {
        let long = [Bytes::from(format!("X: {}\r\n", "y".repeat(900)).repeat(100))];
        let headers = returned(&examples::message(), &[], &long);
        assert!(headers.len() <= HEADERS_OCTETS_MAX && headers.ends_with(b"\r\n"));
    }

    #[test]
    fn the_class_of_a_status_is_that_of_what_happened() {
        let class = |what| {
            let reply = Reply::new(450, EnhancedCode::new(4, 2, 2), "full");
            status(&Told { reply: Some(reply), ..told("a@x.pe", what, None) })
        };
        assert_eq!(class(What::Expired), "5.2.2");
        assert_eq!(class(What::Delayed(Timestamp::default())), "4.2.2");
        assert_eq!(status(&told("a@x.pe", What::Failed, None)), "5.0.0");
    }
}
