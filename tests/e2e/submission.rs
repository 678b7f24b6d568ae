//! Programs that people send with, each with STARTTLS and a password: what arrives is what was sent.
//!
//! Some hand a message over as it is: those octets must arrive. Others compose one: its text and its
//! attachment, decoded, must be those they were given.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders as _};
use tests::corpus::{attachment, corpus, is_whole, with_lf};
use tests::mx::{Behaviour, MxHost};
use tests::packages::need;
use tests::postfix::Postfix;
use tests::relay::eventually;
use tokio::process::Command;

use super::world::{HOSTNAME, World, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";
const ZONE: &str = "destino.example MX 10 mx.destino.example\nmx.destino.example A 127.0.1.160";

/// Dots, the longest lines there may be, letters beyond ASCII, blanks and blank lines at the end.
fn text() -> String {
    let (long, dotted) = ("x".repeat(998), "y".repeat(997));
    format!("Señora:\n.\n..\n.punto \n\n{long}\n.{dotted}\n¿Llegó entera?\tSí.\n\n\n")
}

/// About 100 KiB, as base64 in lines.
fn encoded() -> String {
    attachment(136 * 1024)
}

fn octets() -> Vec<u8> {
    STANDARD.decode(encoded().replace("\r\n", "")).unwrap()
}

/// Both in one message; lines end in CRLF, and blank ones follow its last part.
fn message() -> Vec<u8> {
    let headers = "From: Ana <ana@institucion.example>\nTo: buzon@destino.example\nSubject: Entero\n\
         Date: Tue, 24 Nov 2026 08:00:00 -0500\nMessage-ID: <entero@institucion.example>\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"=_limite\"\nContent-Transfer-Encoding: 8bit\n";
    let parts =
        "--=_limite\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n";
    let file = "--=_limite\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment; filename=attachment.bin\n";
    let encoded = encoded().replace("\r\n", "\n");
    let (text, end) = (text(), "--=_limite--\n\n\n");
    format!("{headers}\n{parts}\n{text}\n{file}\n{encoded}{end}").replace('\n', "\r\n").into_bytes()
}

struct Desk {
    world: World,
    mx: MxHost,
}

impl Desk {
    async fn open() -> Self {
        let port = mx_port(160..161);
        let mx = MxHost::start(SocketAddr::new(mx_ip(160), port), Behaviour::default());
        let desk = Self { world: World::start(ZONE, port, "").await, mx };
        std::fs::write(desk.file("message.eml"), message()).unwrap();
        std::fs::write(desk.file("message"), with_lf(&message())).unwrap();
        std::fs::write(desk.file("text"), text()).unwrap();
        std::fs::write(desk.file("attachment.bin"), octets()).unwrap();
        desk
    }

    fn file(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    /// Runs a command in the shell, as people type it, that is to send to a recipient of its own; returns
    /// what arrives.
    async fn send(&self, program: &str, package: &str, command: &str) -> Vec<u8> {
        need(program, package);
        let to = format!("{program}@destino.example");
        let folder = self.world.folder.path();
        let done = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder)
            .env("HOME", folder)
            .env("LC_ALL", "C.UTF-8")
            .env("NODE_PATH", "/usr/share/nodejs")
            .env("MAILERS", mailers())
            .env("HOST", HOSTNAME)
            .env("PORT", self.world.relay.address("submission").port().to_string())
            .env("FROM", SENDER)
            .env("TO", &to)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(done.status.success(), "{program}: {}{}", said(&done.stdout), said(&done.stderr));
        self.arrived(&to).await
    }

    /// The one message to this recipient, which came over TLS and with a password.
    async fn arrived(&self, to: &str) -> Vec<u8> {
        let data = eventually(&format!("the message to {to} arrives"), async || {
            let taken = self.mx.taken();
            let one =
                taken.into_iter().find(|taken| taken.recipients.iter().any(|taken| taken == to))?;
            Some(one.data)
        })
        .await;
        let received = String::from_utf8_lossy(&data[..data.len().min(600)]).into_owned();
        let by = format!("by {HOSTNAME} (submission) with ESMTPSA (TLSv1.");
        assert!(received.contains(&by), "{to}: {received}");
        data
    }
}

fn mailers() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("e2e/mailers")
}

fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &message[end + 4..]
}

/// Program (and package), what is typed, and what the program itself adds at the end.
const AS_IT_IS: [(&str, &str, &str); 4] = [
    (
        "curl",
        "curl -sS --ssl-reqd --cacert certificate.pem --resolve $HOST:$PORT:127.0.0.1 --url smtp://$HOST:$PORT \
         --user script:secreto --mail-from $FROM --mail-rcpt $TO --upload-file message.eml",
        "",
    ),
    (
        "swaks",
        "swaks --server 127.0.0.1:$PORT -tls --tls-verify --tls-ca-path certificate.pem --auth LOGIN \
         --auth-user script --auth-password secreto --from $FROM --to $TO --data @message",
        "\r\n",
    ),
    (
        "msmtp",
        "msmtp --host=127.0.0.1 --port=$PORT --tls=on --tls-trust-file=certificate.pem --auth=on --user=script \
         --passwordeval='echo secreto' --from=$FROM -- $TO <message",
        "",
    ),
    ("python3", "python3 $MAILERS/with_smtplib.py $PORT . $FROM $TO", ""),
];

const GIT: &str = "git send-email --from=\"Ana <$FROM>\" --to=$TO --smtp-server=127.0.0.1 --smtp-server-port=$PORT \
    --smtp-encryption=tls --smtp-ssl-cert-path=certificate.pem --smtp-user=script --smtp-pass=secreto \
    --transfer-encoding=8bit --suppress-cc=all --confirm=never --no-validate --quiet message";

/// Program, package and what is typed.
const COMPOSED: [(&str, &str, &str); 3] = [
    ("node", "node-nodemailer", "node $MAILERS/with_nodemailer.js $PORT . $FROM $TO"),
    ("php", "libphp-phpmailer", "php $MAILERS/with_phpmailer.php $PORT . $FROM $TO"),
    (
        "s-nail",
        "s-nail",
        "s-nail -:/ -Sv15-compat -Smta=smtp://script:secreto@localhost:$PORT -Ssmtp-use-starttls -Snosave \
         -Stls-ca-file=certificate.pem -Stls-verify=strict -Ssendwait -Sfrom=$FROM -sEntero \
         -aattachment.bin $TO <text",
    ),
];

#[tokio::test]
async fn what_is_handed_over_as_it_is_arrives_octet_for_octet() {
    let desk = Desk::open().await;
    let sent = message();
    for (program, command, added) in AS_IT_IS {
        let arrived = desk.send(program, program, command).await;
        assert!(is_whole(&arrived, &[&sent[..], added.as_bytes()].concat()), "{program}");
    }
    // It writes headers of its own.
    let arrived = desk.send("git", "git-email", GIT).await;
    assert!(body(&arrived) == body(&sent), "git send-email");
}

#[tokio::test]
async fn a_postfix_with_a_password_relays_octet_for_octet() {
    let desk = Desk::open().await;
    let relay = format!("[127.0.0.1]:{}", desk.world.relay.address("submission").port());
    let extra = format!(
        "relayhost = {relay}\nsmtp_tls_security_level = encrypt\nsmtp_sasl_auth_enable = yes\n\
         smtp_sasl_password_maps = inline:{{ {{ {relay} = script:secreto }} }}\nsmtp_sasl_security_options = noanonymous\n"
    );
    let address = SocketAddr::new(mx_ip(161), mx_port(161..162));
    let postfix = Postfix::start(address, "client.institucion.example", &extra);
    let corpus = [message()].into_iter().chain(corpus().into_iter().map(|(_, message)| message));
    for (number, sent) in corpus.enumerate() {
        let to = format!("postfix{number}@destino.example");
        postfix.sendmail(SENDER, &to, &with_lf(&sent));
        let arrived = desk.arrived(&to).await;
        assert!(is_whole(&arrived, &sent), "{number}");
    }
}

#[tokio::test]
async fn what_is_composed_arrives_with_its_text_and_attachment() {
    let desk = Desk::open().await;
    for (program, package, command) in COMPOSED {
        let arrived = desk.send(program, package, command).await;
        let message = MessageParser::new().parse(&arrived).unwrap();
        let found = message.body_text(0).unwrap().replace("\r\n", "\n");
        assert_eq!(found, text(), "{program}");
        let file = message.attachment(0).unwrap();
        assert_eq!(file.attachment_name(), Some("attachment.bin"), "{program}");
        assert!(file.contents() == octets(), "{program}: the attachment differs");
    }
}
