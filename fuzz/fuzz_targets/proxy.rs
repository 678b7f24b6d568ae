//! The header of a load balancer: what is a header is one however it arrives, and its beginnings are beginnings.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mta::smtp_in::proxy::{HEADER_MAX, Parsed, parse};

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Octets(&'a [u8]),
    Line(&'a str),
    Binary(u8, u8, u16, &'a [u8]),
}

fuzz_target!(|input: Input<'_>| {
    let octets = match input {
        Input::Octets(octets) => octets.to_vec(),
        Input::Line(text) => format!("PROXY {text}\r\nEHLO x\r\n").into_bytes(),
        Input::Binary(command, kind, length, rest) => {
            let mut octets = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
            octets.extend([command, kind]);
            octets.extend(length.to_be_bytes());
            octets.extend_from_slice(rest);
            octets
        }
    };
    let whole = parse(&octets);
    for length in 0..octets.len().min(HEADER_MAX + 8) {
        let found = parse(&octets[..length]);
        match whole {
            Parsed::Header { length: header, .. } if length < header => {
                assert_eq!(found, Parsed::More, "{length} of {header}");
            }
            Parsed::Header { .. } => assert_eq!(found, whole),
            Parsed::More => assert_eq!(found, Parsed::More),
            Parsed::Bad => assert!(matches!(found, Parsed::More | Parsed::Bad)),
        }
    }
    if let Parsed::Header { length, .. } = whole {
        assert!(length <= octets.len() && length <= HEADER_MAX);
    }
    if octets.len() >= HEADER_MAX {
        assert_ne!(whole, Parsed::More, "it may not grow without end");
    }
});
