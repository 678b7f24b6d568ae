//! A reply on one line, without what differs from one message to the next.
//!
//! Addresses of machines become `<IP>` and mail addresses `<ADDR>`: else `5.2.2` would be found
//! in 15.2.2.1 and `spam` in spam@example.pe. 127.0.0.0/8 stays, because there the address is the
//! message: blocklists answer with it. Pure, and linear in the length of the text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The code, the enhanced code if any, and the text, normalised.
pub fn normalise(code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 16);
    line.push_str(&code.to_string());
    if let Some((class, subject, detail)) = enhanced {
        line.push_str(&format!(" {class}.{subject}.{detail}"));
    }
    push_text(&mut line, text);
    line
}

fn push_text(line: &mut String, text: &str) {
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        line.push(' ');
        push_word(line, word);
    }
}

/// Letters, digits, dots and colons stand together in an address of a machine; everything else
/// ends it. Most words hold neither digit nor `@` and are copied.
fn push_word(line: &mut String, word: &str) {
    let mut rest = word;
    while let Some((before, after)) = find_address(rest) {
        push_machines(line, before);
        line.push_str("<ADDR>");
        rest = after;
    }
    push_machines(line, rest);
}

/// What stands before and after the first mail address in a word, brackets included.
fn find_address(word: &str) -> Option<(&str, &str)> {
    for (at, _) in word.match_indices('@') {
        let (head, tail) = (&word[..at], &word[at + 1..]);
        let local = head.rfind(ends_local).map_or(0, |place| place + width(head, place));
        let domain = tail.find(ends_domain).unwrap_or(tail.len());
        let domain = tail[..domain].trim_end_matches(['.', '-']).len();
        if local == head.len() || domain == 0 {
            continue;
        }
        let (before, after) = (&head[..local], &tail[domain..]);
        return Some(match (before.strip_suffix('<'), after.strip_prefix('>')) {
            (Some(before), Some(after)) => (before, after),
            _ => (before, after),
        });
    }
    None
}

fn width(text: &str, place: usize) -> usize {
    text[place..].chars().next().map_or(0, char::len_utf8)
}

fn ends_local(c: char) -> bool {
    matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | ':' | '"' | '\'' | '@')
}

fn ends_domain(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric() && c != '.' && c != '-'
}

fn push_machines(line: &mut String, word: &str) {
    if !word.bytes().any(|b| b.is_ascii_digit() || b == b':') {
        line.push_str(word);
        return;
    }
    let bytes = word.as_bytes();
    let (mut copied, mut place) = (0, 0);
    while let Some(&byte) = bytes.get(place) {
        let after_word = place > 0 && bytes[place - 1].is_ascii_alphanumeric();
        let found = if byte.is_ascii_digit() || (!after_word && is_ipv6_octet(byte)) {
            machine(word, place, after_word)
        } else {
            None
        };
        match found {
            Some((end, loopback)) => {
                line.push_str(&word[copied..place]);
                line.push_str(if loopback { &word[place..end] } else { "<IP>" });
                copied = end;
                place = end;
            }
            // The rest of a run of digits is no address either, if its beginning is none.
            None if byte.is_ascii_digit() => place = run(bytes, place, |b| b.is_ascii_digit()),
            None => place += 1,
        }
    }
    line.push_str(&word[copied..]);
}

/// Octets of the longest address of a machine, IPv4 within IPv6; more than that is none.
const MACHINE_OCTETS_MAX: usize = 45;

/// The address that begins at `place`, as its end, and whether it is in 127.0.0.0/8.
fn machine(word: &str, place: usize, after_word: bool) -> Option<(usize, bool)> {
    let bytes = word.as_bytes();
    if !after_word {
        let end = run(bytes, place, is_ipv6_octet);
        let text = word[place..end].trim_end_matches('.');
        let text = text.strip_suffix(':').filter(|text| !text.ends_with(':')).unwrap_or(text);
        // Two colons alone are punctuation, not the unspecified address.
        let colons = text.bytes().filter(|b| *b == b':').count();
        if colons >= 2 && text.len() > 2 && text.parse::<Ipv6Addr>().is_ok() {
            return Some((place + text.len(), false));
        }
    }
    if place > 0 && bytes[place - 1] == b'.' {
        return None;
    }
    let end = run(bytes, place, |b| b.is_ascii_digit() || b == b'.');
    let text = word[place..end].trim_end_matches('.');
    let address: Ipv4Addr = text.parse().ok()?;
    Some((place + text.len(), IpAddr::V4(address).is_loopback()))
}

fn is_ipv6_octet(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Where a run ends; it is followed a little further than an address can go, so that a long one
/// is not read again and again.
fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let count = bytes[from..].iter().take(MACHINE_OCTETS_MAX + 3).take_while(|b| belongs(**b));
    from + count.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_message_to_message_is_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(normalise(550, None, text), format!("550 {expected}").trim_end());
        };
        check("Client host [192.0.2.1] blocked", "Client host [<IP>] blocked");
        check("messages from 192.0.2.1.", "messages from <IP>.");
        check("4.3.2.1.zen.spamhaus.org", "<IP>.zen.spamhaus.org");
        check("4.3.2.1.bl.spamcop.net", "<IP>.bl.spamcop.net");
        check("15.2.2.1 is bad, 5.2.2 is full", "<IP> is bad, 5.2.2 is full");
        check("version 1.2.3.4.5 of 300.1.1.1", "version 1.2.3.4.5 of 300.1.1.1");
        check("uribl.com; 127.0.0.1 -> refused", "uribl.com; 127.0.0.1 -> refused");
        check("127.255.255.254", "127.255.255.254");
        check("IPv6:2001:db8::1: no", "IPv6:<IP>: no");
        check("[2001:db8::25]:25 2001:db8::1.", "[<IP>]:25 <IP>.");
        check("at 12:34:56 :: error::bad 5.7.1", "at 12:34:56 :: error::bad 5.7.1");
        check("<spam@x.pe>: User unknown", "<ADDR>: User unknown");
        check("RCPT TO:<a.b+c=d@x.pe>, (x@y)", "RCPT TO:<ADDR>, (<ADDR>)");
        check("mailto:delist@x.example.", "mailto:<ADDR>.");
        check("niño@año.pe not <<x@y>>", "<ADDR> not <<ADDR>>");
        check("a@b@c.pe @ @@ x@", "<ADDR>@c.pe @ @@ x@");
        check("user@[192.0.2.1] no", "user@[<IP>] no");
        check("two\nlines \t and\u{7} more", "two lines and more");
        check("", "");
        assert_eq!(normalise(452, Some((4, 2, 2)), "full"), "452 4.2.2 full");
    }

    #[test]
    fn long_and_odd_texts_take_no_time() {
        for unit in ["@", "a@", "1.", "::", ":1", "a", "é@", "1:2.", "<a@b>"] {
            let text = unit.repeat(1024 / unit.len());
            assert!(normalise(550, None, &text).len() <= 6 * 1024);
        }
    }
}
