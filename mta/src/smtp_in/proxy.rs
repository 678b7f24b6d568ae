//! The header that a load balancer sends before the client's first octet: the PROXY protocol of
//! `HAProxy`, version 1 (a line) and 2 (binary), sections 2.1 and 2.2 of its specification.
//!
//! [`parse`] is pure and looks at what has arrived so far. It never guesses whether there is a
//! header: who may send one is a matter of the configuration (`proxy_from`), and from those one must
//! come. The destination and the extensions (TLV) are skipped: nothing here depends on them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest line of version 1, with its CRLF.
const LINE_MAX: usize = 107;
/// What version 2 starts with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of what follows.
const FIXED: usize = 16;
/// Octets after the fixed part. Addresses take 216 at most; the extensions of load balancers in use
/// (names, what was negotiated in TLS, an identifier) take some hundreds.
const REST_MAX: usize = 4096;
/// No header is longer.
pub const HEADER_MAX: usize = FIXED + REST_MAX;

/// What the octets so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    More,
    /// A header, and then what the client says.
    Header {
        /// Who the client is.
        source: Source,
        /// Octets of the header.
        length: usize,
    },
    /// No header, and no beginning of one.
    Bad,
}

/// Who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This one.
    Address(SocketAddr),
    /// Whoever has opened the connection: a health check, or a client that has no address.
    Peer,
}

/// Reads the header at the beginning of what has arrived.
pub fn parse(input: &[u8]) -> Parsed {
    if input.is_empty() {
        return Parsed::More;
    }
    // They differ in the first octet.
    let header = if input.first() == SIGNATURE.first() { binary(input) } else { line(input) };
    header.unwrap_or(Parsed::Bad)
}

/// `PROXY TCP4 source destination port port` and CRLF.
fn line(input: &[u8]) -> Option<Parsed> {
    const NAME: &[u8] = b"PROXY ";
    let begun = input.len().min(NAME.len());
    if input.get(..begun)? != NAME.get(..begun)? {
        return None;
    }
    let seen = input.get(..input.len().min(LINE_MAX))?;
    let Some(end) = seen.iter().position(|octet| matches!(octet, b'\r' | b'\n')) else {
        return (input.len() < LINE_MAX).then_some(Parsed::More);
    };
    match seen.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if end + 1 < LINE_MAX => return Some(Parsed::More),
        _ => return None,
    }
    let text = seen.get(NAME.len()..end)?;
    Some(Parsed::Header { source: line_source(text)?, length: end + 2 })
}

/// Who it says that the client is; `None` when it says nothing that makes sense.
fn line_source(text: &[u8]) -> Option<Source> {
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Some(Source::Peer);
    }
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse().ok().map(IpAddr::V4),
            "TCP6" => word.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, _destination) = (address()?, address()?);
    let (port, _port) = (port(words.next()?)?, port(words.next()?)?);
    let source = SocketAddr::new(source.to_canonical(), port);
    words.next().is_none().then_some(Source::Address(source))
}

/// Digits without a sign and without zeroes before them.
fn port(word: &str) -> Option<u16> {
    let port = word.parse().ok()?;
    (word == u16::to_string(&port)).then_some(port)
}

fn binary(input: &[u8]) -> Option<Parsed> {
    let begun = input.len().min(SIGNATURE.len());
    if input.get(..begun)? != SIGNATURE.get(..begun)? {
        return None;
    }
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED>() else { return Some(Parsed::More) };
    let [.., command, kind, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_MAX {
        return None;
    }
    let (family, transport) = (kind >> 4, kind & 15);
    let named = match (command, family, transport) {
        // LOCAL: what follows means nothing.
        (0x20, ..) => false,
        (0x21, 0..=3, 0..=2) => true,
        _ => return None,
    };
    let Some(block) = rest.get(..length) else { return Some(Parsed::More) };
    let source = if named { block_source(family, transport, block)? } else { Source::Peer };
    Some(Parsed::Header { source, length: FIXED + length })
}

/// Who the address block says that the client is; `None` when it is too short to say so.
fn block_source(family: u8, transport: u8, block: &[u8]) -> Option<Source> {
    const STREAM: u8 = 1;
    const UNIX_BLOCK: usize = 216;
    let (address, port) = match family {
        1 => {
            let (block, _) = block.split_first_chunk::<12>()?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *block;
            (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low]))
        }
        2 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (_destination, rest) = rest.split_first_chunk::<16>()?;
            let (ports, _) = rest.split_first_chunk::<4>()?;
            let [high, low, _, _] = *ports;
            (IpAddr::V6(Ipv6Addr::from(*source)), u16::from_be_bytes([high, low]))
        }
        // A path on the load balancer's machine, or nothing: no address of a client.
        3 => return (block.len() >= UNIX_BLOCK).then_some(Source::Peer),
        _ => return Some(Source::Peer),
    };
    // What is not TCP is no client of ours; the specification has it treated as unknown.
    let source = SocketAddr::new(address.to_canonical(), port);
    Some(if transport == STREAM { Source::Address(source) } else { Source::Peer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(source: &str, length: usize) -> Parsed {
        let source = match source {
            "" => Source::Peer,
            address => Source::Address(address.parse().unwrap()),
        };
        Parsed::Header { source, length }
    }

    /// Whole it is this; shorter it is a beginning; with more behind it, it is the same.
    fn check(octets: &[u8], source: &str) {
        assert_eq!(parse(octets), header(source, octets.len()), "{octets:?}");
        for length in 0..octets.len() {
            assert_eq!(parse(&octets[..length]), Parsed::More, "{length} of {octets:?}");
        }
        for more in [&b"E"[..], b"\r\n", b"\0", b"PROXY ", &[b'x'; 5000]] {
            let longer = [octets, more].concat();
            assert_eq!(parse(&longer), header(source, octets.len()), "{longer:?}");
        }
    }

    fn bad(octets: &[u8]) {
        assert_eq!(parse(octets), Parsed::Bad, "{:?}", String::from_utf8_lossy(octets));
    }

    /// Version 2 with these octets after the signature.
    fn two(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, kind], &length, block].concat()
    }

    const FOUR: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 25];

    fn six(source: &str) -> Vec<u8> {
        let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        [&octets(source)[..], &octets("2001:db8::25"), &[0x12, 0x34, 0, 25]].concat()
    }

    #[test]
    fn version_1_is_read() {
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 25\r\n", "192.0.2.7:4660");
        check(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535",
        );
        check(b"PROXY TCP6 2001:DB8::7 2001:db8::25 0 25\r\n", "[2001:db8::7]:0");
        check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4660 25\r\n", "192.0.2.7:4660");
        check(b"PROXY UNKNOWN\r\n", "");
        check(b"PROXY UNKNOWN \0 anything, even TCP4 192.0.2.7\r\n", "");
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
        assert_eq!(longest.len(), 107);
        check(longest.as_bytes(), "");
    }

    #[test]
    fn what_is_no_version_1() {
        for text in [
            "EHLO pc.example.pe\r\n",
            "proxy TCP4 192.0.2.7 10.0.0.1 4660 25\r\n",
            "PROXY\r\n",
            "PROXY TCP4\r\n",
            "PROXY  TCP4 192.0.2.7 10.0.0.1 4660 25\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4660\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4660 25 \r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4660 25 1\r\n",
            "PROXY TCP4 192.0.2.7  10.0.0.1 4660 25\r\n",
            "PROXY TCP4 192.0.2.7\t10.0.0.1 4660 25\r\n",
            "PROXY TCP4 192.0.2.07 10.0.0.1 4660 25\r\n",
            "PROXY TCP4 192.0.2 10.0.0.1 4660 25\r\n",
            "PROXY TCP4 192.0.2.256 10.0.0.1 4660 25\r\n",
            "PROXY TCP4 192.0.2.7 ::1 4660 25\r\n",
            "PROXY TCP4 ::1 ::1 4660 25\r\n",
            "PROXY TCP6 192.0.2.7 10.0.0.1 4660 25\r\n",
            "PROXY TCP6 [::1] ::1 4660 25\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 4660 25\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 25\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +4660 25\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 04660 25\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 -1 25\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4660 25\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4660 25\r",
            "PROXY TCP4 192.0.2.7\r 10.0.0.1 4660 25\r\n",
            "PROXY UDP4 192.0.2.7 10.0.0.1 4660 25\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY unknown\r\n",
            "PROXY UNKNOWN\n",
            "PROXY TCP4 ñ 10.0.0.1 4660 25\r\n",
        ] {
            // A CR that nothing follows may still become CRLF.
            let octets = [text.as_bytes(), b"x"].concat();
            bad(&octets);
        }
        bad(b"\n");
        bad(b"PROXX");
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
        bad(long.as_bytes());
        bad(&long.as_bytes()[..107]);
        assert_eq!(parse(&long.as_bytes()[..106]), Parsed::More);
    }

    #[test]
    fn version_2_is_read() {
        check(&two(0x21, 0x11, &FOUR), "192.0.2.7:4660");
        check(&two(0x21, 0x21, &six("2001:db8::7")), "[2001:db8::7]:4660");
        check(&two(0x21, 0x21, &six("::ffff:192.0.2.7")), "192.0.2.7:4660");
        let extensions = [&FOUR[..], &[0x04, 0, 3, 0, 0, 0, 0x02, 0, 4], b"x.pe"].concat();
        check(&two(0x21, 0x11, &extensions), "192.0.2.7:4660");
        check(&two(0x21, 0x11, &[&FOUR[..], &[0xff; REST_MAX - 12]].concat()), "192.0.2.7:4660");
        // Health checks, with and without something that means nothing.
        check(&two(0x20, 0x00, b""), "");
        check(&two(0x20, 0x11, &FOUR), "");
        check(&two(0x20, 0xff, b"abc"), "");
        // Unknown, UNIX, and what is not TCP: a client, but not by address.
        check(&two(0x21, 0x00, b""), "");
        check(&two(0x21, 0x00, b"whatever"), "");
        check(&two(0x21, 0x31, &[b'/'; 216]), "");
        check(&two(0x21, 0x32, &[b'/'; 230]), "");
        check(&two(0x21, 0x12, &FOUR), "");
        check(&two(0x21, 0x10, &FOUR), "");
        check(&two(0x21, 0x22, &six("2001:db8::7")), "");
    }

    #[test]
    fn what_is_no_version_2() {
        bad(b"\r\nEHLO");
        bad(b"\r\n\r\n\0\r\nQUIT\r");
        for (command, kind) in
            [(0x11, 0x11), (0x31, 0x11), (0x01, 0x11), (0x22, 0x11), (0x21, 0x41), (0x21, 0x13)]
        {
            bad(&two(command, kind, &FOUR));
        }
        bad(&two(0x21, 0x11, &FOUR[..11]));
        bad(&two(0x21, 0x11, b""));
        bad(&two(0x21, 0x21, &six("::1")[..35]));
        bad(&two(0x21, 0x31, &[0; 215]));
        // As soon as its length is known to be too much, not after it has come.
        let mut long = SIGNATURE.to_vec();
        long.extend_from_slice(&[0x21, 0x11]);
        long.extend_from_slice(&u16::try_from(REST_MAX + 1).unwrap().to_be_bytes());
        bad(&long);
    }

    #[test]
    fn a_header_is_known_within_its_longest_length() {
        for first in 0..=u8::MAX {
            for octets in [vec![first; HEADER_MAX], [&SIGNATURE[..], &[first; HEADER_MAX]].concat()]
            {
                assert_ne!(parse(&octets[..HEADER_MAX]), Parsed::More, "{first}");
            }
        }
    }
}
