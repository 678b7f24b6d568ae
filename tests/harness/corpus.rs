//! Messages that tell apart a relay that passes octets on from one that only seems to.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Names and messages; lines end in CRLF.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let with = |subject: &str, body: &str| {
        let headers = "From: Ana <ana@institucion.example>\r\nTo: buzon@destino.example\r\n\
             Date: Tue, 24 Nov 2026 08:00:00 -0500\r\n";
        let id = subject.replace(' ', "-");
        format!("{headers}Message-ID: <{id}@corpus.example>\r\nSubject: {subject}\r\n\r\n{body}")
            .into_bytes()
    };
    vec![
        ("text", with("text", "Hola.\r\n\r\n  indented\r\ntrailing blanks  \r\n\ttab\r\n")),
        ("eight bit", with("eight bit", "Señora: el año 2026, ¿verdad?\r\n")),
        ("dots", with("dots", ".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n")),
        ("empty body", with("empty body", "")),
        (
            "long lines",
            with("long lines", &format!("{}\r\n.{}\r\n", "x".repeat(998), "y".repeat(997))),
        ),
        ("blank lines", with("blank lines", "\r\n\r\n\r\ntext\r\n\r\n\r\n")),
        ("attachment of 20 MiB", with("attachment", &attachment(20 * 1024 * 1024))),
    ]
}

/// Lines of 76 random characters, of about so many octets.
pub fn attachment(octets: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = StdRng::seed_from_u64(20);
    let mut text = String::with_capacity(octets + 78);
    while text.len() < octets {
        for _ in 0..76 {
            text.push(char::from(alphabet[random.random_range(0..alphabet.len())]));
        }
        text.push_str("\r\n");
    }
    text
}

/// What arrived is what was sent, with whole header lines above it and nothing else.
pub fn is_whole(arrived: &[u8], sent: &[u8]) -> bool {
    arrived.strip_suffix(sent).is_some_and(|above| above.ends_with(b"\n") && above.contains(&b':'))
}

/// As servers keep it in files: lines end in LF.
pub fn with_lf(message: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => {
                kept.extend_from_slice(text);
                kept.push(b'\n');
            }
            None => kept.extend_from_slice(line),
        }
    }
    kept
}
