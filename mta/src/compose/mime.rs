//! Parts as a message (RFC 5322, RFC 2045): text and HTML are alternatives, what the HTML shows stands beside it,
//! files come after. Received, Message-ID and a Date that is missing are written by whoever accepts it.
//!
//! The same parts give the same octets each time: boundaries are made of the id, so a signature over one
//! attempt's octets is good for the next.

use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address as Written;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};

use crate::message::Id;

use super::parts::{File, Mailbox, Parts};

/// Stands where a Message-ID would: mail-builder writes one where there is none, and ours is written with
/// Received. Taken out again.
const PLACE: &str = "Message-ID: <->\r\n";

impl Parts {
    /// The message, lines ending in CRLF, the last one too.
    pub fn write(&self, id: Id) -> Vec<u8> {
        let mut message = MessageBuilder::new()
            .header("Message-ID", Raw::new("<->"))
            .header("From", mailboxes(std::slice::from_ref(&self.from)));
        if !self.to.is_empty() {
            message = message.header("To", mailboxes(&self.to));
        }
        if !self.cc.is_empty() {
            message = message.header("Cc", mailboxes(&self.cc));
        }
        if let Some(reply_to) = &self.reply_to {
            message = message.header("Reply-To", mailboxes(std::slice::from_ref(reply_to)));
        }
        message = message.header("Date", Raw::new(self.date.to_rfc5322()));
        if let Some(subject) = &self.subject {
            message = message.header("Subject", Text::new(subject.as_str()));
        }
        for (name, value) in &self.headers {
            message = message.header(name.as_str(), field(value));
        }
        let mut octets = Vec::new();
        message.body(self.body(id)).serialize(&mut octets);
        if octets.starts_with(PLACE.as_bytes()) {
            octets.drain(..PLACE.len());
        }
        if !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }

    fn body(&self, id: Id) -> MimePart<'_> {
        let (shown, attached): (Vec<&File>, Vec<&File>) =
            self.files.iter().partition(|file| file.cid.is_some() && self.html.is_some());
        let text = self.text.as_deref().map(|text| leaf("text/plain", text));
        let html = self.html.as_deref().map(|html| {
            let html = leaf("text/html", html);
            if shown.is_empty() {
                return html;
            }
            let parts = std::iter::once(html).chain(shown.into_iter().map(file)).collect();
            multipart("multipart/related", id, 3, parts)
        });
        let body = match (text, html) {
            (Some(text), Some(html)) => multipart("multipart/alternative", id, 2, vec![text, html]),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => leaf("text/plain", ""),
        };
        if attached.is_empty() {
            return body;
        }
        let parts = std::iter::once(body).chain(attached.into_iter().map(file)).collect();
        multipart("multipart/mixed", id, 1, parts)
    }
}

/// A field that is not one of ours. One of ASCII goes as it is, or addresses of `List-Unsubscribe` would be
/// encoded; other letters are encoded words.
fn field(value: &str) -> HeaderType<'_> {
    if value.is_ascii() { Raw::new(value).into() } else { Text::new(value).into() }
}

fn mailboxes(all: &[Mailbox]) -> Written<'static> {
    let one =
        |mailbox: &Mailbox| Written::new_address(mailbox.name.clone(), mailbox.address.to_string());
    match all {
        [alone] => one(alone),
        several => Written::new_list(several.iter().map(one).collect()),
    }
}

fn leaf<'a>(kind: &'static str, text: &'a str) -> MimePart<'a> {
    let kind = ContentType::new(kind).attribute("charset", "utf-8");
    MimePart::new(kind, BodyPart::Text(with_line_ends(text).into()))
}

/// Text whose lines all end in CRLF (RFC 2046 section 4.1.1), however they ended: an LF alone, or a CR alone, which
/// mail-builder leaves as it is where nothing needs encoding.
fn with_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

fn file(file: &File) -> MimePart<'_> {
    let kind = ContentType::new(file.content_type.as_str());
    let content = BodyPart::Binary(file.content.as_ref().into());
    let part = MimePart::new(kind, content);
    match &file.cid {
        None => part.attachment(file.name.as_str()),
        Some(cid) => {
            let shown = ContentType::new("inline").attribute("filename", file.name.as_str());
            part.header("Content-Disposition", shown).cid(cid.as_str())
        }
    }
}

fn multipart<'a>(kind: &'static str, id: Id, place: u8, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
    let boundary = format!("=_{id}_{place}");
    MimePart::new(ContentType::new(kind).attribute("boundary", boundary), parts)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mail_parser::{MessageParser, MimeHeaders};

    use super::*;
    use crate::compose::parts::tests::parts;

    fn written(parts: &Parts) -> String {
        let octets = parts.write(Id::ZERO);
        assert_eq!(octets, parts.write(Id::ZERO), "the same each time");
        let text = String::from_utf8(octets).unwrap();
        assert!(text.is_ascii() && text.ends_with("\r\n"), "{text}");
        let lines = text.replace("\r\n", "");
        assert!(!lines.contains(['\r', '\n', '\0']), "{text:?}");
        assert!(text.split("\r\n").all(|line| line.len() <= 998), "{text}");
        text
    }

    #[test]
    fn parts_are_found_again_where_they_belong() {
        let mut parts = parts();
        let name = Some("Ríos, \"Ana\"\r\nBcc: x@y.pe".to_owned());
        parts.to = vec![Mailbox { name, ..parts.from.clone() }];
        parts.subject = Some("Año nuevo".to_owned());
        parts.text = Some("uno\n.dos\r\ntres ñ".to_owned());
        parts.html = Some("<img src=\"cid:logo\">".to_owned());
        let url = "https://x.pe/".to_owned() + &"baja-".repeat(30);
        parts.headers = vec![
            ("List-Unsubscribe".to_owned(), format!("<{url}>")),
            ("X-Año".replace('ñ', "n"), "ñandú".to_owned()),
        ];
        let logo = Bytes::from_static(&[0x89, b'P', b'N', b'G']);
        let file = |name: &str, cid: Option<&str>| File {
            name: name.to_owned(),
            content_type: "image/png".to_owned(),
            cid: cid.map(ToOwned::to_owned),
            content: logo.clone(),
        };
        parts.files = vec![file("logo.png", Some("logo")), file("acta año.png", None)];
        let text = written(&parts);
        assert!(!text.contains("\r\nBcc:") && !text.contains("Message-ID"), "{text}");
        let read = MessageParser::new().parse(&text).unwrap();
        assert_eq!(read.subject(), Some("Año nuevo"));
        let to = read.to().unwrap().first().unwrap();
        assert_eq!(to.address(), Some("ana@x.pe"));
        assert_eq!(read.header_raw("List-Unsubscribe").unwrap().trim(), format!("<{url}>"));
        assert_eq!(
            read.body_text(0).unwrap().replace("\r\n", "\n").trim_end(),
            "uno\n.dos\ntres ñ"
        );
        assert_eq!(read.body_html(0).unwrap().trim_end(), "<img src=\"cid:logo\">");
        let attached: Vec<_> = read.attachments().collect();
        assert_eq!(attached.len(), 2);
        assert!(attached.iter().all(|it| it.contents() == &logo[..]));
        assert_eq!(attached[1].attachment_name(), Some("acta año.png"));
    }

    #[test]
    fn lines_end_as_lines_do_however_they_were_given() {
        for (given, expected) in [
            ("uno\rdos\ntres\r\ncuatro\n\rcinco", "uno\ndos\ntres\ncuatro\n\ncinco"),
            ("uno\rñ", "uno\nñ"),
            ("B\r[\nBCC: X@Y.PE", "B\n[\nBCC: X@Y.PE"),
            ("\r", "\n"),
        ] {
            let mut parts = parts();
            (parts.text, parts.html) = (None, Some(given.to_owned()));
            let text = written(&parts);
            let read = MessageParser::new().parse(&text).unwrap();
            let body = read.body_html(0).unwrap().replace("\r\n", "\n");
            assert_eq!(body.trim_end_matches('\n'), expected.trim_end_matches('\n'), "{text:?}");
        }
    }

    #[test]
    fn one_part_needs_no_multipart() {
        let text = written(&parts());
        assert!(text.contains("Content-Type: text/plain"), "{text}");
        assert!(!text.contains("multipart"), "{text}");
        let mut empty = parts();
        empty.text = None;
        assert!(written(&empty).contains("\r\n\r\n"));
    }
}
