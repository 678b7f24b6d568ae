//! Notices to senders, of whatever recipients, replies and messages: each is one multipart/report that a reader finds
//! again, and nothing of a stranger stands where our fields do.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders, PartType};
use mta::message::{Id, SubmittedBody, Timestamp};
use mta::outcome::{Notice, Told, What, notice as write, returned};

use crate::make;
use crate::session::find;

/// Longest line of a message without its end (RFC 5322 section 2.1.1).
const LINE_MAX: usize = 998;
/// The fields for programs that we write (RFC 3464 section 2).
const FIELDS: [&str; 11] = [
    "Original-Envelope-Id",
    "Reporting-MTA",
    "X-Tambo-Message",
    "Arrival-Date",
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Will-Retry-Until",
];

/// One input: what a notice is made of.
pub fn notice(input: &[u8]) {
    // What is too short for a notice says nothing.
    let _ = one(&mut Unstructured::new(input));
}

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    let mut message = make::message(u)?;
    let told = (0..u.int_in_range(1..=4)?).map(|_| told(u)).collect::<Result<Vec<_>>>()?;
    let to = make::address(u)?;
    let mx = if u.arbitrary()? { Some("mx.example.com") } else { None };
    let body = body(u)?;
    message.body_size = body.len() as u64;
    let returned = returned(&message, &told, &[Bytes::from(body)]);
    let now = Timestamp::from_millis(1_795_525_600_000);
    let count = told.len();
    let id = Id::first_at(now);
    let (to, told, message) = (to, &told, &message);
    let hostname = "relay.example.pe";
    let written =
        write(Notice { id, to, message, told, returned: returned.clone(), hostname, mx }, now);
    let SubmittedBody::Whole(pieces) = &written.body else { panic!("it is stored nowhere yet") };
    let text = pieces.concat();
    check_lines(&text, &written.prefix, written.leading_dots);
    check_parts(&text, &returned, count);
    Ok(())
}

fn told(u: &mut Unstructured<'_>) -> Result<Told> {
    Ok(Told {
        recipient: make::address(u)?,
        original: make::parameters(u)?.original,
        what: match u.int_in_range(0..=3)? {
            0 => What::Failed,
            1 => What::Expired,
            2 => What::Delayed(make::time(u)?),
            _ => What::Relayed,
        },
        reply: if u.arbitrary()? { Some(make::reply(u)?) } else { None },
        // It is ours, and may hold the name of a host.
        cause: make::text(u, 60)?.chars().filter(|c| !c.is_control()).collect(),
    })
}

/// A message as the receiver lets it in: whole lines, none too long.
fn body(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=2000)?;
    let octets = u.bytes(length.min(u.len()))?;
    let mut body = Vec::new();
    for line in octets.split(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        body.extend_from_slice(&line[..line.len().min(LINE_MAX)]);
        body.extend_from_slice(b"\r\n");
    }
    Ok(body)
}

fn check_lines(text: &[u8], prefix: &[u8], leading_dots: bool) {
    for part in [prefix, text] {
        for line in part.split_inclusive(|octet| *octet == b'\n') {
            let shown = String::from_utf8_lossy(line);
            let line = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("no CRLF: {shown}"));
            assert!(!line.contains(&b'\r') && !line.contains(&0), "{shown:?}");
            assert!(line.len() <= LINE_MAX, "{} octets: {shown}", line.len());
        }
    }
    assert_eq!(text.starts_with(b".") || find(text, b"\r\n."), leading_dots);
}

fn check_parts(text: &[u8], returned: &[u8], told: usize) {
    let shown = String::from_utf8_lossy(text);
    let parsed = MessageParser::new().parse(text).expect("it is a message");
    let head: Vec<&str> = parsed.headers().iter().map(|header| header.name.as_str()).collect();
    let ours = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"];
    for name in ours {
        assert_eq!(
            head.iter().filter(|it| it.eq_ignore_ascii_case(name)).count(),
            1,
            "{name}\n{shown}"
        );
    }
    assert_eq!(head.len(), ours.len() + 1, "{head:?}\n{shown}");
    let report = parsed.content_type().expect("it has a type");
    assert_eq!((report.ctype(), report.subtype()), ("multipart", Some("report")), "{shown}");
    assert_eq!(report.attribute("report-type"), Some("delivery-status"));
    let PartType::Multipart(parts) = &parsed.parts[0].body else { panic!("one part\n{shown}") };
    let &[_, status, message] = &parts[..] else { panic!("{} parts\n{shown}", parts.len()) };
    let status = &parsed.parts[usize::try_from(status).expect("small")];
    check_fields(&String::from_utf8_lossy(status.contents()), told, &shown);
    let message = &parsed.parts[usize::try_from(message).expect("small")];
    let raw = &text[message.offset_body as usize..message.offset_end as usize];
    let whole = returned.strip_suffix(b"\r\n").unwrap_or(returned);
    assert!(find(raw, whole) || whole.is_empty(), "what comes back is not what came\n{shown}");
}

/// Groups of fields, one of the message and one of each recipient, and nothing but fields of ours in them.
fn check_fields(fields: &str, told: usize, shown: &str) {
    let groups: Vec<&str> = fields.trim_end().split("\r\n\r\n").collect();
    assert_eq!(groups.len(), told + 1, "{shown}");
    for (place, group) in groups.iter().enumerate() {
        let mut seen = Vec::new();
        for line in group.trim_start().split("\r\n") {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line}\n{shown}"));
            assert!(FIELDS.contains(&name) && !seen.contains(&name), "{name}\n{shown}");
            assert!(!value.is_empty() && !value.chars().any(char::is_control), "{line}\n{shown}");
            seen.push(name);
        }
        let needed = if place == 0 { "Reporting-MTA" } else { "Final-Recipient" };
        assert!(seen.contains(&needed), "{shown}");
    }
}
