//! Addresses, commands, parameters and header sections: what is read is written as it was, and nothing that would break
//! a line is read at all.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mta::message::{Address, Domain, OriginalRecipient, encode_xtext, parse_envelope_id};
use mta::policy::examine;
use mta::smtp::{Command, take_line};
use mta::smtp_out::seven_bit;

fn is_clean(text: &str) {
    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
}

fuzz_target!(|octets: &[u8]| {
    let _ = Command::parse(octets);
    let mut buffer = BytesMut::from(octets);
    while let Some(line) = take_line(&mut buffer, 512) {
        let _ = line;
    }
    let section = Bytes::copy_from_slice(octets);
    for allow in [false, true] {
        if let Ok(examined) = examine(&section, allow, Some(&|_| true)) {
            let _ = examined;
        }
    }
    if let Ok(converted) = seven_bit(octets) {
        assert!(converted.is_ascii(), "it was to be 7-bit text");
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(address) = Address::parse(text) {
        let written = address.to_string();
        is_clean(&written);
        assert!(!written.contains(['<', '>']) || address.local_part().starts_with('"'));
        assert_eq!(Address::parse(&written).as_ref(), Ok(&address));
    }
    if let Ok(domain) = Domain::parse(text) {
        is_clean(domain.as_str());
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
    }
    if let Some(original) = OriginalRecipient::parse(text) {
        is_clean(&original.as_parameter());
        assert_eq!(OriginalRecipient::parse(&original.as_parameter()), Some(original));
    }
    if let Some(id) = parse_envelope_id(text) {
        is_clean(&id);
        assert_eq!(parse_envelope_id(&encode_xtext(&id)), Some(id));
    }
});
