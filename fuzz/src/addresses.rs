//! Addresses, commands and header sections: what is let in can be written and read again as the same, and cannot
//! say anything beside itself.

use bytes::Bytes;
use mta::message::{Address, OriginalRecipient, encode_xtext, parse_envelope_id};
use mta::policy::{Headers, Trace, examine, received};
use mta::smtp::{Command, Path};
use mta::smtp_out::seven_bit;

use crate::session::find;

/// One input: a line, and after an empty line a message.
pub fn addresses(input: &[u8]) {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (line, text) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 2..]));
    let _ = Command::parse(line);
    if let Ok(line) = std::str::from_utf8(line) {
        address(line);
        parameters(line);
    }
    let crlf: Vec<u8> = lines(text).flat_map(|line| [line, b"\r\n"].concat()).collect();
    headers(&Bytes::from(crlf.clone()));
    converted(&crlf);
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|octet| matches!(octet, b'\n' | b'\r' | 0)).map(|line| &line[..line.len().min(998)])
}

fn address(text: &str) {
    let Ok(address) = Address::parse(text) else { return };
    let written = address.to_string();
    assert_eq!(Address::parse(&written).as_ref(), Ok(&address), "{written}");
    assert!(!written.chars().any(char::is_control), "{written:?}");
    assert_eq!(address.needs_utf8(), !written.is_ascii());
    // It stays one word of a command, wherever brackets and blanks stand in it.
    let rcpt = Command::parse(format!("RCPT TO:<{written}> NOTIFY=NEVER").as_bytes());
    let Ok(Command::Rcpt(Path::Mailbox(again), asked)) = rcpt else {
        panic!("{written}: {rcpt:?}")
    };
    assert!(again == address && asked.original.is_none(), "{written}");
    assert_eq!(asked.notify.map(|notify| notify.as_parameter()).as_deref(), Some("NEVER"));
    let trace = Trace {
        hostname: "relay.example.pe",
        helo: "pc",
        client: None,
        protocol: None,
        extended: true,
        utf8: false,
        tls: None,
        authenticated: false,
        listener: "in",
        id: mta::message::Id::ZERO,
        recipient: Some(&address),
        time: mta::message::Timestamp::default(),
    };
    let trace = received(&trace, &Headers::default(), false);
    let fields = trace.split(|octet| *octet == b'\n').filter(|line| !line.starts_with(b"\t"));
    assert_eq!(fields.count(), 4, "Received, Message-ID, Date and nothing: {trace:?}");
}

fn parameters(text: &str) {
    if let Some(original) = OriginalRecipient::parse(text) {
        let written = original.as_parameter();
        let clean = written.bytes().all(|octet| (b'!'..=b'~').contains(&octet));
        assert!(clean, "{written:?}");
        // Encoded it may be longer than a parameter may be; what it means does not change.
        if written.len() <= 500 {
            assert_eq!(OriginalRecipient::parse(&written).as_ref(), Some(&original), "{written}");
        }
    }
    if let Some(id) = parse_envelope_id(text) {
        let written = encode_xtext(&id);
        assert!(written.len() > 100 || parse_envelope_id(&written).as_deref() == Some(&*id));
    }
}

fn headers(section: &Bytes) {
    for allow in [true, false] {
        let Ok(examined) = examine(section, allow, None) else { continue };
        assert!(examined.kept.len() <= section.len());
        let again = examine(&examined.kept, allow, None).expect("it was let in");
        assert_eq!(again.kept, examined.kept, "what is removed is removed at once");
        assert!(again.headers.tags.is_empty() && again.headers.pool.is_none());
        assert_eq!(again.headers.message_id, examined.headers.message_id);
        assert_eq!(again.headers.from_domain, examined.headers.from_domain);
        assert_eq!(again.headers.hops, examined.headers.hops);
        let id = examined.headers.message_id.unwrap_or_default();
        assert!(id.len() <= 250 && !id.chars().any(char::is_control), "{id:?}");
        assert!(examined.headers.tags.len() <= 8);
        let mut lines = section.split_inclusive(|octet| *octet == b'\n');
        for line in examined.kept.split_inclusive(|octet| *octet == b'\n') {
            assert!(lines.any(|before| before == line), "a line that was not there");
        }
    }
    // Who is bound to addresses writes from none but those.
    let ours = |address: &Address| address.domain().as_str() == "x.pe";
    if let Ok(examined) = examine(section, false, Some(&ours)) {
        assert_eq!(examined.headers.from_domain.as_deref(), Some("x.pe"));
    }
}

/// For a server that takes 7-bit text only.
fn converted(message: &[u8]) {
    let Ok(written) = seven_bit(message) else { return };
    assert!(written.is_ascii());
    assert!(written.ends_with(b"\r\n"));
    assert_eq!(seven_bit(&written).as_deref(), Ok(&written[..]), "once is enough");
    assert!(!find(&written, b"\r\n\r\r\n"));
    for line in written.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r\n");
        let line = line.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&written)));
        assert!(line.len() <= 998 && !line.contains(&b'\r'), "{}", String::from_utf8_lossy(line));
    }
}
