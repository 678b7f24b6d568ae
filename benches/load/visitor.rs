//! Somebody who looks at the pages of the web: comes in once, asks for pages, and says how long each took.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ::tests::program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

const NAME: &str = "bench";
const PASSWORD: &str = "cuatro palabras bien largas";

/// Who looks.
#[derive(Clone)]
pub struct Visitor {
    at: SocketAddr,
    cookie: String,
}

impl Visitor {
    /// Is added as an administrator, and comes in.
    pub async fn enter(config: &Path, at: SocketAddr) -> Self {
        let mut child = Command::new(program("tambo"))
            .args(["user", "add", NAME, "--role", "administrator", "--json", "--config"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(format!("{PASSWORD}\n").as_bytes()).await.unwrap();
        drop(stdin);
        assert!(child.wait().await.unwrap().success(), "the visitor is not added");
        let form = format!("name={NAME}&password={}", PASSWORD.replace(' ', "+"));
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let answer = exchange(at, &request).await;
        let cookie = answer
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, value)| {
                name.eq_ignore_ascii_case("set-cookie") && value.starts_with("tambo=")
            })
            .and_then(|(_, value)| value.split(';').next())
            .unwrap_or_else(|| panic!("nobody comes in: {answer}"));
        Self { at, cookie: cookie.to_owned() }
    }

    /// A page, and how long it took from the question to its last octet: connection and loopback included.
    pub async fn look(&self, path: &str) -> (Duration, String) {
        let begun = Instant::now();
        let answer = exchange(self.at, &self.request(path, "close")).await;
        let took = begun.elapsed();
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{path}: {}",
            answer.lines().next().unwrap_or("")
        );
        (took, answer)
    }

    /// Follows the figures as they move, until the connection ends or this is dropped; counts what comes.
    pub async fn follow(&self, told: impl Fn()) {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(self.request("/live", "keep-alive").as_bytes()).await.unwrap();
        let mut octets = vec![0; 16 * 1024];
        while let Ok(count) = stream.read(&mut octets).await {
            if count == 0 {
                return;
            }
            let some = octets.get(..count).unwrap_or_default();
            if some.windows(6).any(|it| it == b"data: ") {
                told();
            }
        }
    }

    fn request(&self, path: &str, connection: &str) -> String {
        let (at, cookie) = (self.at, &self.cookie);
        format!(
            "GET {path} HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\nConnection: {connection}\r\n\r\n"
        )
    }
}

async fn exchange(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
