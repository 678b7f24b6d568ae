//! Scripts that send mail: swaks and Python's smtplib, with STARTTLS, implicit TLS and AUTH.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use tests::corpus::{corpus, is_whole};
use tests::mx::{Behaviour, MxHost};
use tests::packages::need;
use tests::relay::eventually;
use tokio::process::Command;

use super::world::{World, mx_ip, mx_port};

const ZONE: &str = "destino.example MX 10 mx.destino.example\nmx.destino.example A 127.0.1.40";

#[tokio::test]
async fn swaks_submits_with_a_password() {
    need("swaks", "swaks");
    let port = mx_port(40..41);
    let mx = MxHost::start(SocketAddr::new(mx_ip(40), port), Behaviour::default());
    let world = World::start(ZONE, port, "").await;
    for (listener, tls) in [("submission", "-tls"), ("submissions", "-tlsc")] {
        let done = Command::new("swaks")
            .args(["--server", &world.relay.address(listener).to_string(), tls])
            .args(["--auth", if tls == "-tls" { "PLAIN" } else { "LOGIN" }])
            .args(["--auth-user", "script", "--auth-password", "secreto"])
            .args(["--from", "ana@institucion.example", "--to", "buzon@destino.example"])
            .args(["--body", "hola\n.punto"])
            .output()
            .await
            .unwrap();
        assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    }
    let old = Command::new("swaks")
        .args([
            "--server",
            &world.relay.address("submission").to_string(),
            "-tls",
            "--tls-protocol",
            "tlsv1_2",
        ])
        .args(["--auth", "PLAIN", "--auth-user", "script", "--auth-password", "secreto"])
        .args([
            "--from",
            "ana@institucion.example",
            "--to",
            "buzon@destino.example",
            "--body",
            "hola\n.punto",
        ])
        .output()
        .await
        .unwrap();
    assert!(old.status.success(), "{}", text(&old.stdout));
    let refused = Command::new("swaks")
        .args([
            "--server",
            &world.relay.address("submission").to_string(),
            "-tls",
            "--auth",
            "PLAIN",
        ])
        .args(["--auth-user", "script", "--auth-password", "wrong"])
        .args(["--from", "ana@institucion.example", "--to", "buzon@destino.example"])
        .output()
        .await
        .unwrap();
    assert!(text(&refused.stdout).contains("535 5.7.8"), "{}", text(&refused.stdout));
    eventually("all arrive", async || (mx.count() == 3).then_some(())).await;
    let versions = mx.taken().iter().map(|taken| text(&taken.data)).collect::<String>();
    assert!(versions.contains("ESMTPSA (TLSv1.2 "), "TLS 1.2 is spoken too");
    for taken in mx.taken() {
        assert!(text(&taken.data).contains("\r\nhola\r\n.punto\r\n"), "{}", text(&taken.data));
        assert!(text(&taken.data).contains("ESMTPSA (TLSv1."), "{}", text(&taken.data));
    }
}

#[tokio::test]
async fn smtplib_submits_the_corpus() {
    need("python3", "python3");
    let port = mx_port(40..41);
    let mx = MxHost::start(SocketAddr::new(mx_ip(40), port), Behaviour::default());
    let world = World::start(ZONE, port, "").await;
    let corpus = corpus();
    let script = format!(
        "import smtplib, ssl, sys, os\n\
         context = ssl.create_default_context(cafile='{}')\n\
         server = smtplib.SMTP('127.0.0.1', {})\n\
         server._host = '{}'\n\
         server.starttls(context=context)\n\
         server.login('script', 'secreto')\n\
         for name in sorted(os.listdir('{dir}')):\n\
         \x20   data = open('{dir}/' + name, 'rb').read()\n\
         \x20   server.sendmail('ana@institucion.example', ['buzon@destino.example'], data, mail_options=['BODY=8BITMIME'])\n\
         server.quit()\n",
        world.folder.path().join("certificate.pem").display(),
        world.relay.address("submission").port(),
        super::world::HOSTNAME,
        dir = world.folder.path().join("corpus").display()
    );
    std::fs::create_dir(world.folder.path().join("corpus")).unwrap();
    for (number, (_, message)) in corpus.iter().enumerate() {
        std::fs::write(world.folder.path().join(format!("corpus/{number}")), message).unwrap();
    }
    let mut child = std::process::Command::new("python3")
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let done =
        tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    eventually("everything arrives", async || (mx.count() == corpus.len()).then_some(())).await;
    for (name, message) in &corpus {
        let copies = mx.taken().iter().filter(|taken| is_whole(&taken.data, message)).count();
        assert_eq!(copies, 1, "{name}");
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
