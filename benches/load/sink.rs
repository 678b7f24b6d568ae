//! A destination of our own, where `smtp-sink` cannot do it: TLS, many domains at many addresses, and
//! some of those slow. Counts what each recipient got and throws the octets away.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mta::outside::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Ends a message.
const FINAL_DOT: &[u8] = b"\r\n.\r\n";
/// Octets that a session reads at a time.
const READ_OCTETS: usize = 64 * 1024;

/// How it behaves.
#[derive(Clone, Default)]
pub struct Manners {
    /// Offers STARTTLS.
    pub tls: Option<TlsAcceptor>,
    /// Waits so long before each reply at this address.
    pub slow: Option<(IpAddr, Duration)>,
}

/// What was taken.
#[derive(Default)]
pub struct Counts {
    total: AtomicU64,
    /// Where TLS was offered.
    in_clear: AtomicU64,
    by_recipient: Mutex<HashMap<String, u64>>,
}

impl Counts {
    /// Messages, each counted for each of its recipients.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Messages that came in clear though TLS was offered.
    pub fn in_clear(&self) -> u64 {
        self.in_clear.load(Ordering::Relaxed)
    }

    /// Messages that a recipient got.
    pub fn of(&self, recipient: &str) -> u64 {
        self.by_recipient().get(recipient).copied().unwrap_or(0)
    }

    fn count(&self, recipients: Vec<String>) {
        self.total.fetch_add(recipients.len() as u64, Ordering::Relaxed);
        let mut books = self.by_recipient();
        for recipient in recipients {
            *books.entry(recipient).or_default() += 1;
        }
    }

    fn by_recipient(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.by_recipient.lock().unwrap()
    }
}

/// A destination that runs until it is dropped.
pub struct Sink {
    /// What it took.
    pub counts: Arc<Counts>,
    /// Its port, on every address of this machine.
    pub port: u16,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// Starts one.
    pub async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let books = Arc::clone(&counts);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let session = Session::new(&stream, &manners, Arc::clone(&books));
                sessions.spawn(async move {
                    // How a session ends is its own affair: what counts is counted.
                    let _ = session.run(stream).await;
                });
                while sessions.try_join_next().is_some() {}
            }
        });
        Self { counts, port, _tasks: tasks }
    }

    /// Where, for who asks for no address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// Takes connections and never says a word: what is sent here stays in the queue.
pub struct Silent {
    /// Where.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Silent {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut held = Vec::new();
            loop {
                held.extend(listener.accept().await);
            }
        });
        Self { address, _tasks: tasks }
    }
}

struct Session {
    delay: Duration,
    /// Offered and not yet taken.
    tls: Option<TlsAcceptor>,
    counts: Arc<Counts>,
    input: BytesMut,
    replies: Vec<u8>,
    recipients: Vec<String>,
}

/// What follows a command.
enum Next {
    Command,
    Data,
    StartTls,
    End,
}

impl Session {
    fn new(stream: &TcpStream, manners: &Manners, counts: Arc<Counts>) -> Self {
        let _ = stream.set_nodelay(true);
        let here = stream.local_addr().map(|address| address.ip()).ok();
        let slow = manners.slow.filter(|(address, _)| Some(*address) == here);
        Self {
            delay: slow.map_or(Duration::ZERO, |(_, delay)| delay),
            tls: manners.tls.clone(),
            counts,
            input: BytesMut::with_capacity(READ_OCTETS),
            replies: Vec::new(),
            recipients: Vec::new(),
        }
    }

    async fn run(mut self, stream: TcpStream) -> io::Result<()> {
        let mut stream: BoxStream = Box::new(stream);
        self.say(&mut stream, "220 sink ready").await?;
        loop {
            let Some(line) = self.line(&mut stream).await? else { return Ok(()) };
            let (reply, next) = self.command(&line);
            self.say(&mut stream, reply).await?;
            match next {
                Next::Command => {}
                Next::Data => {
                    while !drop_message(&mut self.input) {
                        if self.fill(&mut stream).await? == 0 {
                            return Ok(());
                        }
                    }
                    let recipients = std::mem::take(&mut self.recipients);
                    self.counts.count(recipients);
                    let clear = u64::from(self.tls.is_some());
                    self.counts.in_clear.fetch_add(clear, Ordering::Relaxed);
                    self.say(&mut stream, "250 2.0.0 taken").await?;
                }
                Next::StartTls => {
                    self.flush(&mut stream).await?;
                    let Some(acceptor) = self.tls.take() else { return Ok(()) };
                    stream = Box::new(acceptor.accept(stream).await?);
                    self.input.clear();
                }
                Next::End => return self.flush(&mut stream).await,
            }
        }
    }

    fn command(&mut self, line: &str) -> (&'static str, Next) {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" if self.tls.is_some() => {
                ("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS", Next::Command)
            }
            "EHLO" => ("250-sink\r\n250-PIPELINING\r\n250 8BITMIME", Next::Command),
            "STAR" if self.tls.is_some() => ("220 2.0.0 go", Next::StartTls),
            "RCPT" => {
                self.recipients.push(path(line).to_owned());
                ("250 2.1.5 ok", Next::Command)
            }
            "MAIL" | "RSET" => {
                self.recipients.clear();
                ("250 2.1.0 ok", Next::Command)
            }
            "DATA" if self.recipients.is_empty() => ("554 5.5.1 for nobody", Next::Command),
            "DATA" => ("354 go", Next::Data),
            "QUIT" => ("221 2.0.0 bye", Next::End),
            "HELO" | "NOOP" => ("250 2.0.0 ok", Next::Command),
            _ => ("500 5.5.2 what", Next::Command),
        }
    }

    /// A reply, in one write with those before it; one that is late goes at once.
    async fn say(&mut self, stream: &mut BoxStream, reply: &str) -> io::Result<()> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.replies.extend_from_slice(reply.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
        if self.delay.is_zero() { Ok(()) } else { self.flush(stream).await }
    }

    async fn line(&mut self, stream: &mut BoxStream) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line = self.input.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.fill(stream).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn fill(&mut self, stream: &mut BoxStream) -> io::Result<usize> {
        self.flush(stream).await?;
        self.input.reserve(READ_OCTETS);
        stream.read_buf(&mut self.input).await
    }

    async fn flush(&mut self, stream: &mut BoxStream) -> io::Result<()> {
        if !self.replies.is_empty() {
            stream.write_all(&self.replies).await?;
            stream.flush().await?;
            self.replies.clear();
        }
        Ok(())
    }
}

/// What stands between the brackets.
fn path(line: &str) -> &str {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or("", |(path, _)| path)
}

/// Drops what has come of a message, which has at least one line; whether its final dot was there.
fn drop_message(input: &mut BytesMut) -> bool {
    if let Some(at) = memchr::memmem::find(input, FINAL_DOT) {
        input.advance(at + FINAL_DOT.len());
        return true;
    }
    // The final dot may have come in part.
    let rest = input.len().min(FINAL_DOT.len() - 1);
    input.advance(input.len() - rest);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_dot_is_found_wherever_it_is_cut() {
        let whole = b"Subject: x\r\n\r\n.. no\r\n.\r\nMAIL FROM:<a@b>\r\n";
        for cut in 0..whole.len() {
            let mut input = BytesMut::from(&whole[..cut]);
            let mut ended = drop_message(&mut input);
            input.extend_from_slice(&whole[cut..]);
            ended = ended || drop_message(&mut input);
            assert!(ended, "cut at {cut}");
            assert_eq!(&input[..], b"MAIL FROM:<a@b>\r\n", "cut at {cut}");
        }
    }

    #[test]
    fn paths_are_what_stands_in_brackets() {
        assert_eq!(path("RCPT TO:<a@b.example> NOTIFY=NEVER\r\n"), "a@b.example");
        assert_eq!(path("RCPT TO:a@b.example\r\n"), "");
    }
}
