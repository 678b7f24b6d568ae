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

/// Messages whose header sections are as odd as those of the world, and bodies that signers and
/// verifiers may read differently. Names and messages; lines end in CRLF.
pub fn odd_corpus() -> Vec<(&'static str, Vec<u8>)> {
    let from = "From: Ana <ana@institucion.example>\r\n";
    let body = |text: &str| format!("{from}Subject: body\r\n\r\n{text}");
    let header = |text: &str| format!("{from}{text}\r\nHola.\r\n");
    let long: Vec<String> = (0..200).map(|n| format!("buzon{n}@destino.example,\r\n ")).collect();
    let long = long.concat();
    let list = "List-Unsubscribe: <https://institucion.example/baja?u=1>,\r\n\t<mailto:baja@institucion.example>\r\n\
                List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: Avisos <avisos.institucion.example>\r\n\
                Precedence: bulk\r\nFeedback-ID: acto:boletin:tambo\r\n";
    let multipart = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"=_b\"\r\n\r\n\
         Preamble\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Se\u{f1}ora:  dos  espacios\r\n\r\n--=_b\r\nContent-Type: application/pdf; name=\"acta.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}--=_b--\r\n\r\n",
        attachment(300 * 1024)
    );
    let texts = vec![
        ("nothing but From", from.to_owned()),
        ("no body", format!("{from}Subject: x\r\n\r\n")),
        ("empty lines only", body("\r\n\r\n\r\n")),
        ("blanks only", body(" \t \r\n")),
        ("lines of blanks at the end", body("Hola.\r\n \r\n\t\r\n\r\n  \r\n")),
        ("empty lines first and last", body("\r\n\r\n \r\nHola.\t \r\n\r\n\r\n")),
        ("blanks and form feeds", body("a \t  b \x0c c\x0b\r\n \tindented\t\r\n\x0c\r\n")),
        ("8-bit octets that are no UTF-8", String::new()),
        ("folded", header("Subject: a\r\n  long\r\n\t \tway \r\n to  say\t it  \r\nX-Empty:\r\nCc:\r\n")),
        ("a folded value that starts on its second line", header("Subject:\r\n Hola\r\nTo:\r\n\tb@destino.example\r\n")),
        ("a long header", header(&format!("To: {long}fin@destino.example\r\n"))),
        ("no space after the colon", header("Subject:Hola\r\nTo:b@destino.example\r\n")),
        ("strange case", "fRoM: ana@institucion.example\r\nSUBJECT: x\r\nmessage-ID: <a@b.example>\r\n\r\nx\r\n".to_owned()),
        ("repeated", header("To: a@destino.example\r\nSubject: one\r\nX-A: 1\r\nTo: b@destino.example\r\nSubject: two\r\nReply-To: c@destino.example\r\nTo: c@destino.example\r\n")),
        ("8-bit headers", header("Subject: A\u{f1}o nuevo \u{bf}s\u{ed}?\r\nTo: Mar\u{ed}a <b@destino.example>\r\n")),
        ("encoded words", "From: =?utf-8?q?Ana_=C3=91a=C3=B1ez?= <ana@institucion.example>\r\nSubject: =?utf-8?b?QcOxbw==?=\r\n =?utf-8?b?IG51ZXZv?=\r\n\r\nx\r\n".to_owned()),
        ("a From with quotes, comments and two mailboxes", "From: \"Ana; \\\"la\\\" <x@otra.example>\" (de\r\n  Lima) <ana@institucion.example>,\r\n eva@otra.example\r\nSender: ana@institucion.example\r\n\r\nx\r\n".to_owned()),
        ("a domain below", "From: acto@acto.institucion.example\r\n\r\nx\r\n".to_owned()),
        ("a list", header(list)),
        ("resent", header("Resent-From: ana@institucion.example\r\nResent-To: b@destino.example\r\nReturn-Path: <x@y.example>\r\nReceived: from a by b; Tue, 24 Nov 2026 08:00:00 -0500\r\n")),
        ("tag lists in values", header("Subject: b=; bh=x; d=otra.example\r\nTo: v=1; <b@destino.example>\r\n")),
        ("multipart", format!("{from}{multipart}")),
    ];
    let octets = |name: &str, text: String| match name {
        "8-bit octets that are no UTF-8" => {
            [body("").as_bytes(), b"Se\xf1ora \xff\xfe\x80\r\n"].concat()
        }
        _ => text.into_bytes(),
    };
    texts.into_iter().map(|(name, text)| (name, octets(name, text))).collect()
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
