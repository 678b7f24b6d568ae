//! The header lines that the relay adds: Received (RFC 5321 section 4.4), and Message-ID and
//! Date when they are missing (RFC 6409 section 8).

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;

use crate::message::{Address, Id, Timestamp};

use super::Headers;

/// How a message came in.
#[derive(Debug, Clone, Copy)]
pub struct Trace<'a> {
    /// Our name.
    pub hostname: &'a str,
    /// The name in EHLO or HELO.
    pub helo: &'a str,
    /// The client's address; `None`: it is not told (S8).
    pub client: Option<IpAddr>,
    /// It came by this protocol; `None`: by SMTP, and the rest says how.
    pub protocol: Option<&'a str>,
    /// It said EHLO.
    pub extended: bool,
    /// It said SMTPUTF8.
    pub utf8: bool,
    /// Protocol and cipher suite.
    pub tls: Option<&'a str>,
    /// It gave a password.
    pub authenticated: bool,
    /// Listener.
    pub listener: &'a str,
    /// The message.
    pub id: Id,
    /// The recipient when there is one alone.
    pub recipient: Option<&'a Address>,
    /// When it arrived.
    pub time: Timestamp,
}

/// The lines that go before the message.
pub fn received(trace: &Trace<'_>, headers: &Headers, headless: bool) -> Bytes {
    let mut text = String::with_capacity(400);
    let with = match (trace.extended, trace.tls.is_some(), trace.authenticated) {
        // RFC 6531 section 3.7.3.
        (_, false, false) if trace.utf8 => "UTF8SMTP",
        (_, false, true) if trace.utf8 => "UTF8SMTPA",
        (_, true, false) if trace.utf8 => "UTF8SMTPS",
        (_, true, true) if trace.utf8 => "UTF8SMTPSA",
        (false, false, _) => "SMTP",
        (true, false, false) => "ESMTP",
        (true, false, true) => "ESMTPA",
        (_, true, false) => "ESMTPS",
        (_, true, true) => "ESMTPSA",
    };
    match trace.client {
        Some(client) => {
            let _ = write!(text, "Received: from {} ({})\r\n\tby", trace.helo, literal(client));
        }
        None => text.push_str("Received: by"),
    }
    let with = trace.protocol.unwrap_or(with);
    let _ = write!(text, " {} ({}) with {with}", trace.hostname, trace.listener);
    if let Some(tls) = trace.tls {
        let _ = write!(text, " ({tls})");
    }
    let _ = write!(text, "\r\n\tid {}", trace.id);
    // An address beyond ASCII would make every later server need SMTPUTF8 for our line alone.
    if let Some(recipient) = trace.recipient.filter(|recipient| !recipient.needs_utf8()) {
        let _ = write!(text, " for <{recipient}>");
    }
    let _ = write!(text, ";\r\n\t{}\r\n", trace.time.to_rfc5322());
    if !headers.has_message_id {
        let _ = write!(text, "Message-ID: <{}>\r\n", trace.id.message_id(trace.hostname));
    }
    if !headers.has_date {
        let _ = write!(text, "Date: {}\r\n", trace.time.to_rfc5322());
    }
    if headless {
        // What follows is text: without an empty line it would be read as headers.
        text.push_str("\r\n");
    }
    text.into()
}

fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(four) => format!("[{four}]"),
        IpAddr::V6(six) => format!("[IPv6:{six}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_known_is_told_and_nothing_else() {
        let recipient = Address::parse("ana@x.pe").unwrap();
        let time = Timestamp::from_millis(1_795_525_500_123);
        let mut trace = Trace {
            hostname: "relay.x.pe",
            helo: "pc7",
            client: Some("::ffff:10.0.0.7".parse().unwrap()),
            protocol: None,
            extended: true,
            utf8: false,
            tls: Some("TLSv1.3 TLS_AES_128_GCM_SHA256"),
            authenticated: true,
            listener: "submission",
            id: Id::first_at(time),
            recipient: Some(&recipient),
            time,
        };
        let id = trace.id;
        let text = received(&trace, &Headers::default(), false);
        let expected = format!(
            "Received: from pc7 ([10.0.0.7])\r\n\tby relay.x.pe (submission) with ESMTPSA (TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n\
             \tid {id} for <ana@x.pe>;\r\n\tTue, 24 Nov 2026 13:05:00 +0000\r\n\
             Message-ID: <{id}@relay.x.pe>\r\nDate: Tue, 24 Nov 2026 13:05:00 +0000\r\n"
        );
        assert_eq!(text, expected);
        let utf8 = Address::parse("ñu@x.pe").unwrap();
        let trace_utf8 = Trace { utf8: true, recipient: Some(&utf8), ..trace };
        let text = received(&trace_utf8, &Headers::default(), false);
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains(" with UTF8SMTPSA ") && !text.contains(" for "), "{text}");
        trace.client = None;
        trace.tls = None;
        let headers = Headers { has_date: true, has_message_id: true, ..Headers::default() };
        let hidden = String::from_utf8(received(&trace, &headers, true).to_vec()).unwrap();
        assert!(
            hidden.starts_with("Received: by relay.x.pe (submission) with ESMTPA\r\n"),
            "{hidden}"
        );
        assert!(hidden.ends_with("+0000\r\n\r\n"), "{hidden}");
        assert!(!hidden.contains("pc7") && !hidden.contains("10.0.0.7"));
    }
}
