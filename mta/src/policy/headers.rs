//! The header section of a message: what the relay must know of it, and what it removes.

use bytes::{Bytes, BytesMut};
use mail_parser::MessageParser;

use crate::message::{Address, Priority};

/// Tags of one message.
const TAGS_MAX: usize = 8;
/// Octets of a tag.
const TAG_OCTETS_MAX: usize = 64;
/// Octets of a Message-ID that are kept.
const MESSAGE_ID_OCTETS_MAX: usize = 250;

/// What a header section says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Content of Message-ID without angle brackets, bounded.
    pub message_id: Option<String>,
    /// There is a Message-ID line, whatever it says.
    pub has_message_id: bool,
    /// There is a Date line.
    pub has_date: bool,
    /// Received lines.
    pub hops: u32,
    /// Of X-Tambo-Tag.
    pub tags: Vec<String>,
    /// Of X-Tambo-Pool.
    pub pool: Option<String>,
    /// Of X-Tambo-Priority.
    pub priority: Option<Priority>,
    /// Domain of the first mailbox in the first From that can be read.
    pub from_domain: Option<String>,
    /// There is a DKIM-Signature.
    pub signed: bool,
    /// Some octet is above 127.
    pub eight_bit: bool,
}

/// A header section as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// What it says.
    pub headers: Headers,
    /// Its octets without the lines meant for the relay.
    pub kept: Bytes,
}

/// Why a message is refused for its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderFlaw {
    /// An X-Tambo-* header with a value that cannot be used.
    Tambo(&'static str),
    /// From names somebody the account may not write as.
    From(String),
}

/// Reads the header section: everything before the first empty line. `allow`: X-Tambo-* headers are
/// read; they are removed in any case. `from_allowed` is asked for each mailbox in From.
pub fn examine(
    section: &Bytes,
    allow: bool,
    from_allowed: Option<&dyn Fn(&Address) -> bool>,
) -> Result<Examined, HeaderFlaw> {
    let mut headers = Headers { eight_bit: !section.is_ascii(), ..Headers::default() };
    let mut removed: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut mailboxes) = (0, 0);
    while at < section.len() {
        let end = field_end(section, at);
        let field = &section[at..end];
        let Some((name, value)) = split_field(field) else {
            // A line in the middle that is no field stays where it is, but for those whose From is
            // bound: others might read the fields after it differently.
            if from_allowed.is_some() {
                return Err(HeaderFlaw::From("a line that is no header field".to_owned()));
            }
            at = end;
            continue;
        };
        match name.to_ascii_lowercase().as_slice() {
            b"message-id" => {
                headers.has_message_id = true;
                headers.message_id = headers.message_id.take().or_else(|| message_id(value));
            }
            b"date" => headers.has_date = true,
            b"from" => mailboxes += read_from(&mut headers, field, from_allowed)?,
            b"dkim-signature" => headers.signed = true,
            b"received" => headers.hops += 1,
            b"x-tambo-tag" | b"x-tambo-pool" | b"x-tambo-priority" => {
                removed.push((at, end));
                if allow {
                    read_own(&mut headers, name, value)?;
                }
            }
            _ => {}
        }
        at = end;
    }
    if from_allowed.is_some() && mailboxes == 0 {
        return Err(HeaderFlaw::From("no From".to_owned()));
    }
    Ok(Examined { headers, kept: without(section, &removed) })
}

/// Whether a line is the start of a header field.
pub fn is_field(line: &[u8]) -> bool {
    split_field(line).is_some()
}

/// Where the field that starts at `at` ends, folded lines included.
pub(super) fn field_end(section: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        end = memchr::memchr(b'\n', &section[end..]).map_or(section.len(), |place| end + place + 1);
        if !matches!(section.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

/// Name and value; `None` when the line is no header field (RFC 5322 section 2.2).
pub(super) fn split_field(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', field)?;
    let name = field[..colon].trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(|b| (33..=126).contains(b));
    valid.then(|| (name, &field[colon + 1..]))
}

fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn message_id(value: &[u8]) -> Option<String> {
    let text = text(value);
    let inside = text.split_once('<').map_or(text.as_str(), |(_, rest)| rest);
    let inside = inside.split('>').next().unwrap_or("").trim();
    let clean: String = inside.chars().filter(|c| !c.is_control()).collect();
    let mut bounded = clean;
    while bounded.len() > MESSAGE_ID_OCTETS_MAX {
        bounded.pop();
    }
    (!bounded.is_empty()).then_some(bounded)
}

fn read_own(headers: &mut Headers, name: &[u8], value: &[u8]) -> Result<(), HeaderFlaw> {
    let text = text(value);
    if name.eq_ignore_ascii_case(b"x-tambo-tag") {
        for tag in text.split([',', ' ']).filter(|tag| !tag.is_empty()) {
            let fits = tag.len() <= TAG_OCTETS_MAX
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            if !fits {
                return Err(HeaderFlaw::Tambo(
                    "X-Tambo-Tag takes tags of at most 64 of A-Z a-z 0-9 . _ -",
                ));
            }
            if headers.tags.len() >= TAGS_MAX {
                return Err(HeaderFlaw::Tambo("X-Tambo-Tag takes at most 8 tags"));
            }
            if !headers.tags.iter().any(|known| known == tag) {
                headers.tags.push(tag.to_owned());
            }
        }
    } else if name.eq_ignore_ascii_case(b"x-tambo-pool") {
        headers.pool = Some(text);
    } else {
        let value = text.parse::<i8>().ok().filter(|value| (-9..=9).contains(value));
        let value =
            value.ok_or(HeaderFlaw::Tambo("X-Tambo-Priority takes a number from -9 to 9"))?;
        headers.priority = Some(Priority::new(value));
    }
    Ok(())
}

/// The mailboxes of one From field; each must be allowed.
fn read_from(
    headers: &mut Headers,
    field: &[u8],
    allowed: Option<&dyn Fn(&Address) -> bool>,
) -> Result<usize, HeaderFlaw> {
    let Some(parsed) = MessageParser::new().parse_headers(field) else {
        return match allowed {
            Some(_) => Err(HeaderFlaw::From("unreadable".to_owned())),
            None => Ok(0),
        };
    };
    let mut found = 0;
    for header in parsed.headers() {
        for address in header.value.as_address().iter().flat_map(|list| list.iter()) {
            let text = address.address().unwrap_or("");
            let mailbox = Address::parse(text);
            if headers.from_domain.is_none() {
                let domain = mailbox.as_ref().ok().map(|mailbox| mailbox.domain().to_string());
                headers.from_domain = domain;
            }
            let Some(allowed) = allowed else { continue };
            if !mailbox.is_ok_and(|address| allowed(&address)) {
                let shown = text.chars().filter(|c| !c.is_control()).take(100).collect();
                return Err(HeaderFlaw::From(shown));
            }
            found += 1;
        }
    }
    Ok(found)
}

fn without(section: &Bytes, removed: &[(usize, usize)]) -> Bytes {
    if removed.is_empty() {
        return section.clone();
    }
    let mut kept = BytesMut::with_capacity(section.len());
    let mut at = 0;
    for (start, end) in removed {
        kept.extend_from_slice(&section[at..*start]);
        at = *end;
    }
    kept.extend_from_slice(&section[at..]);
    kept.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str, allow: bool) -> Result<Examined, HeaderFlaw> {
        examine(&Bytes::copy_from_slice(section.as_bytes()), allow, None)
    }

    #[test]
    fn what_is_there_and_what_is_missing() {
        let found =
            read("Received: a\r\n\tb\r\nMESSAGE-ID: <x@y>\r\ndate : now\r\nReceived: c\r\n", false)
                .unwrap();
        assert_eq!((found.headers.hops, found.headers.has_date), (2, true));
        assert_eq!(found.headers.message_id.as_deref(), Some("x@y"));
        assert!(!read("Subject: x\r\n", false).unwrap().headers.has_date);
        assert!(is_field(b"Subject : x\r\n") && is_field(b"X-1:\r\n"));
        assert!(
            !is_field(b"hello there\r\n")
                && !is_field(b"\r\n")
                && !is_field(b"From ana at 09:00\r\n")
        );
    }

    #[test]
    fn our_own_headers_are_always_removed_and_read_when_allowed() {
        let section = "To: a\r\nX-Tambo-Tag: acto-2026,\r\n lima\r\nx-tambo-pool: bulk\r\nX-Tambo-Priority: 5\r\nCc: b\r\n";
        let allowed = read(section, true).unwrap();
        assert_eq!(allowed.kept, "To: a\r\nCc: b\r\n");
        assert_eq!(allowed.headers.tags, ["acto-2026", "lima"]);
        assert_eq!(allowed.headers.pool.as_deref(), Some("bulk"));
        assert_eq!(allowed.headers.priority.map(Priority::value), Some(5));
        let ignored = read(section, false).unwrap();
        assert_eq!(ignored.kept, "To: a\r\nCc: b\r\n");
        assert_eq!(ignored.headers, Headers::default());
        for bad in [
            "X-Tambo-Tag: a/b\r\n",
            "X-Tambo-Priority: 10\r\n",
            "X-Tambo-Tag: 1 2 3 4 5 6 7 8 9\r\n",
        ] {
            assert!(read(bad, true).is_err(), "{bad}");
            assert!(read(bad, false).is_ok(), "{bad}");
        }
    }

    #[test]
    fn from_is_bound_to_what_the_account_may_use() {
        let check = |section: &str, good: bool| {
            let allowed = |address: &Address| address.domain().as_str() == "x.pe";
            let found = examine(&Bytes::copy_from_slice(section.as_bytes()), false, Some(&allowed));
            assert_eq!(found.is_ok(), good, "{section}");
        };
        check("From: Ana <ana@x.pe>\r\n", true);
        check("From: =?utf-8?q?Ana?= <ana@X.pe>\r\n", true);
        check("From: ana@x.pe, eva@x.pe\r\n", true);
        check("From: ñu <ñu@x.pe>\r\n", true);
        check("From: ana@x.pe, eva@y.pe\r\n", false);
        check("From: \"ana@x.pe\" <eva@y.pe>\r\n", false);
        check("From: ana@x.pe\r\nFROM: eva@y.pe\r\n", false);
        check("From: ana@x.pe\r\ngarbage\r\n \r\nFrom: eva@y.pe\r\n", false);
        check("Subject: none\r\n", false);
        check("From: nobody\r\n", false);
    }
    #[test]
    fn what_signing_must_know() {
        let check = |section: &str, domain: Option<&str>, signed: bool, eight_bit: bool| {
            let headers = read(section, false).unwrap().headers;
            assert_eq!(headers.from_domain.as_deref(), domain, "{section}");
            assert_eq!((headers.signed, headers.eight_bit), (signed, eight_bit), "{section}");
        };
        check("From: Ana <ana@Acto.X.PE>\r\n", Some("acto.x.pe"), false, false);
        check("From: \"a, b\" <ana@x.pe>,\r\n eva@y.pe\r\n", Some("x.pe"), false, false);
        check("From: año <a@peñaranda.pe>\r\n", Some("xn--pearanda-e3a.pe"), false, true);
        check("From: nobody\r\nFrom: a@x.pe\r\n", Some("x.pe"), false, false);
        check("dkim-signature: v=1\r\nSubject: x\r\n", None, true, false);
    }
}
