//! What single fields of a request may hold.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;

use super::letter::Attachment;
use super::parts::File;

/// Octets of a value of a header field.
const VALUE_MAX: usize = 8 * 1024;
/// Octets without a blank in it: a line has room for 998 (RFC 5322 section 2.1.1).
const WORD_MAX: usize = 900;
/// Octets of the name of a header field or of a file.
const NAME_MAX: usize = 200;

/// Fields that other parts of the request make.
const MADE: [(&str, &str); 6] = [
    ("from", "from"),
    ("to", "to"),
    ("cc", "cc"),
    ("reply-to", "reply_to"),
    ("subject", "subject"),
    ("x-tambo-tag", "tags"),
];
/// Fields that the relay or whoever receives the message makes, or that say who somebody is.
const OURS: [&str; 9] = [
    "bcc",
    "date",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "sender",
    "dkim-signature",
    "authentication-results",
];
/// The same, whatever follows.
const OURS_BEGIN: [&str; 4] = ["content-", "resent-", "arc-", "x-tambo-"];

/// What is wrong with a header field that somebody adds.
pub(super) fn header(name: &str, value: &str) -> Option<String> {
    let small = name.to_ascii_lowercase();
    if name.is_empty()
        || name.len() > NAME_MAX
        || !name.bytes().all(|octet| (33..=126).contains(&octet) && octet != b':')
    {
        return Some("a header's name has letters, digits and signs, and no `:`".to_owned());
    }
    if let Some((_, field)) = MADE.iter().find(|(made, _)| *made == small) {
        return Some(format!("write it as `{field}`"));
    }
    if OURS.contains(&&*small) || OURS_BEGIN.iter().any(|begin| small.starts_with(begin)) {
        return Some("it cannot be set: the relay writes it, or nobody may".to_owned());
    }
    if value.chars().any(char::is_control) {
        return Some("a header is one line, without control characters".to_owned());
    }
    if value.len() > VALUE_MAX {
        return Some(format!("it is longer than {VALUE_MAX} octets"));
    }
    if value.split(' ').any(|word| word.len() > WORD_MAX) {
        return Some(format!("a word of more than {WORD_MAX} octets does not fit into a line"));
    }
    None
}

/// A file, or what is wrong with it, and in which of its fields.
pub(super) fn file(attachment: &Attachment) -> Result<File, (&'static str, String)> {
    let name = attachment.name.trim();
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(("name", format!("a file has a name of 1 to {NAME_MAX} octets")));
    }
    let kind = attachment.content_type.as_deref().unwrap_or("application/octet-stream");
    let kind = kind.trim().to_ascii_lowercase();
    if !is_content_type(&kind) {
        return Err((
            "content_type",
            "it is a type as in `application/pdf`, without parameters; not multipart or message"
                .to_owned(),
        ));
    }
    let plain = |cid: &String| {
        (1..=NAME_MAX).contains(&cid.len())
            && cid.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>\"\\".contains(&octet))
    };
    if attachment.cid.as_ref().is_some_and(|cid| !plain(cid)) {
        return Err((
            "cid",
            "it has letters, digits and signs, and no `<`, `>` or quotes".to_owned(),
        ));
    }
    let content = base64(&attachment.content).map_err(|why| ("content", why))?;
    let cid = attachment.cid.clone();
    Ok(File { name: name.to_owned(), content_type: kind, cid, content })
}

fn is_content_type(kind: &str) -> bool {
    let token = |text: &str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&octet))
    };
    kind.split_once('/').is_some_and(|(kind, sub)| {
        token(kind) && token(sub) && kind != "multipart" && kind != "message"
    })
}

fn base64(text: &str) -> Result<Bytes, String> {
    let dense: Vec<u8> = text.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let engine = if dense.ends_with(b"=") { STANDARD } else { STANDARD_NO_PAD };
    engine.decode(&dense).map(Bytes::from).map_err(|error| format!("it is no base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_others_make_and_lines_that_are_none_are_refused() {
        let check = |name: &str, value: &str, expected: Option<&str>| {
            let found = header(name, value);
            let fits = match (&found, expected) {
                (None, None) => true,
                (Some(found), Some(expected)) => found.contains(expected),
                _ => false,
            };
            assert!(fits, "{name}: {value} gives {found:?}");
        };
        check("List-Unsubscribe", "<https://x.pe/baja>", None);
        check("X-Grupo", "ñandú", None);
        check("FROM", "a@x.pe", Some("`from`"));
        check("Reply-to", "a@x.pe", Some("`reply_to`"));
        check("Message-ID", "<a@x.pe>", Some("cannot be set"));
        check("Content-Type", "text/html", Some("cannot be set"));
        check("X-Tambo-Pool", "bulk", Some("cannot be set"));
        check("Sender", "a@x.pe", Some("cannot be set"));
        check("X-A", "a\r\nBcc: b@x.pe", Some("one line"));
        check("X-A\r\nBcc", "b@x.pe", Some("a header's name"));
        check("X A", "a", Some("a header's name"));
        check("X-A:", "a", Some("a header's name"));
        check("X-A", &"a".repeat(901), Some("does not fit"));
        check("X-A", &"a ".repeat(5_000), Some("longer than"));
    }

    #[test]
    fn files_are_read_or_told_what_is_wrong_with_them() {
        let good = Attachment {
            name: "acta.pdf".to_owned(),
            content: "aG9s\r\nYQ==".to_owned(),
            content_type: Some("Application/PDF".to_owned()),
            cid: None,
        };
        let read = file(&good).unwrap();
        assert_eq!((&*read.content, &*read.content_type), (&b"hola"[..], "application/pdf"));
        let unpadded = Attachment { content: "aG9sYQ".to_owned(), ..good.clone() };
        assert_eq!(file(&unpadded).unwrap().content, "hola");
        let check = |bad: Attachment, field: &str| {
            assert_eq!(file(&bad).map_err(|(field, _)| field), Err(field), "{bad:?}");
        };
        check(Attachment { name: " ".to_owned(), ..good.clone() }, "name");
        check(Attachment { name: "a\nb".to_owned(), ..good.clone() }, "name");
        check(Attachment { content: "%%%".to_owned(), ..good.clone() }, "content");
        check(Attachment { cid: Some("a>b".to_owned()), ..good.clone() }, "cid");
        for kind in
            ["pdf", "multipart/mixed", "message/rfc822", "text/plain; charset=x", "a/b\r\nX: y"]
        {
            check(
                Attachment { content_type: Some(kind.to_owned()), ..good.clone() },
                "content_type",
            );
        }
    }
}
