//! The header that names the ends of a connection to a gateway: the PROXY protocol of `HAProxy`, version
//! 2, section 2.2 of its specification. Pure. Who reads one is `smtp_in`.

use std::net::{IpAddr, SocketAddr};

/// What version 2 starts with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// Family in the upper half, `STREAM` in the lower.
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Two addresses and two ports.
const IPV4_BLOCK: [u8; 2] = [0, 12];
const IPV6_BLOCK: [u8; 2] = [0, 36];
/// The gateway chooses the port that it connects from.
const ANY_PORT: [u8; 2] = [0, 0];

/// Says from which address to connect, and to where; `None`: no connection joins the two families.
pub(super) fn proxy_header(from: IpAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let port = to.port().to_be_bytes();
    let header = match (from, to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let fixed = [PROXY, TCP_OVER_IPV4, IPV4_BLOCK[0], IPV4_BLOCK[1]];
            [&SIGNATURE[..], &fixed, &from.octets(), &to.octets(), &ANY_PORT, &port].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let fixed = [PROXY, TCP_OVER_IPV6, IPV6_BLOCK[0], IPV6_BLOCK[1]];
            [&SIGNATURE[..], &fixed, &from.octets(), &to.octets(), &ANY_PORT, &port].concat()
        }
        _ => return None,
    };
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_by_the_specification() {
        let check = |from: &str, to: &str, expected: Option<&[u8]>| {
            let header = proxy_header(from.parse().unwrap(), to.parse().unwrap());
            assert_eq!(header.as_deref(), expected, "{from} {to}");
        };
        check(
            "192.0.2.7",
            "198.51.100.25:587",
            Some(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x19\0\0\x02\x4b"),
        );
        check(
            "2001:db8::7",
            "[2001:db8:1::25]:25",
            Some(
                b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\
                \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\
                \x20\x01\x0d\xb8\0\x01\0\0\0\0\0\0\0\0\0\x25\0\0\0\x19",
            ),
        );
        check("192.0.2.7", "[2001:db8::25]:25", None);
        check("2001:db8::7", "192.0.2.7:25", None);
    }
}
