//! The binary: one relay with a listener for each dialog, over real sockets and real TLS.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use mta::password::hash_password;
use tests::certificate::Certificate;
use tests::dialog::{Dialog, Turn, is_like};
use tests::relay::RelayProcess;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{account, dialogs, listener};

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn dialogs_with_the_binary() {
    let dialogs = dialogs();
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(&["relay.example.pe"]);
    let (chain, key) = certificate.write(folder.path());
    let mut text = format!(
        "[server]\nhostname = \"relay.example.pe\"\ndata_dir = \"{}\"\n[tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n\
         [dns]\nservers = [\"127.0.0.1:9\"]\ntimeout = \"1s\"\n{}",
        folder.path().display(),
        chain.display(),
        key.display(),
        account(&hash_password("secreto").unwrap())
    );
    for dialog in &dialogs {
        let _ = write!(text, "{}", listener(dialog));
    }
    let path = folder.path().join("tambo.toml");
    std::fs::write(&path, text).unwrap();
    let relay = RelayProcess::start(&path, folder.path()).await;
    for dialog in &dialogs {
        run(dialog, relay.address(&dialog.name), &certificate).await;
    }
    assert!(relay.stop().await);
}

async fn run(dialog: &Dialog, to: SocketAddr, certificate: &Certificate) {
    let from: IpAddr = dialog.from.as_deref().unwrap_or("127.0.0.1").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    let mut stream: Box<dyn Both> = Box::new(socket.connect(to).await.unwrap());
    let mut input = BytesMut::new();
    for (line, turn) in &dialog.turns {
        let place = format!("{}:{line}", dialog.name);
        match turn {
            Turn::Client(octets) => {
                stream.write_all(octets).await.unwrap();
                stream.flush().await.unwrap();
            }
            Turn::Server(pattern) => {
                let said = read_line(&mut stream, &mut input, &place).await;
                assert!(is_like(pattern, &said), "{place}: `{said}` is said");
            }
            Turn::Reply(code) => loop {
                let said = read_line(&mut stream, &mut input, &place).await;
                assert!(said.starts_with(code), "{place}: `{said}` is said");
                if said.as_bytes().get(3) != Some(&b'-') {
                    break;
                }
            },
            Turn::Tls => {
                assert!(input.is_empty(), "{place}: {input:?} before the handshake");
                let name = ServerName::try_from("relay.example.pe").unwrap();
                stream = Box::new(certificate.connector().connect(name, stream).await.unwrap());
            }
            Turn::End => {
                let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut input)).await;
                // A reset ends it as well: what the client sent too much was not read.
                let ended = matches!(read.expect(&place), Ok(0) | Err(_));
                assert!(ended && input.is_empty(), "{place}: the session goes on: {input:?}");
            }
        }
    }
}

async fn read_line(stream: &mut Box<dyn Both>, input: &mut BytesMut, place: &str) -> String {
    loop {
        if let Some(end) = input.windows(2).position(|two| two == b"\r\n") {
            let line = input.split_to(end + 2);
            return String::from_utf8_lossy(&line[..end]).into_owned();
        }
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(input)).await;
        let count = read.unwrap_or_else(|_| panic!("{place}: nothing is said")).unwrap();
        assert!(count > 0, "{place}: the session has ended");
    }
}
