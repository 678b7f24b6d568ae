//! Who a new connection is from, before its session begins: the client itself, or the one whom a
//! load balancer named in `proxy_from` announces.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use bytes::BytesMut;
use prometheus::IntCounter;
use relay_config::config::Listener;
use tokio::io::AsyncReadExt;

use crate::metrics::{self, Label, Labelled, Topic};
use crate::outside::BoxStream;

use super::proxy::{self, HEADER_MAX, Parsed, Source};

/// Time for the header. The specification wants 3 seconds at least, for a packet that is lost.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Octets that are read at once; one packet holds every usual header.
const READ_OCTETS: usize = 512;

static REFUSED: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Connections from `proxy_from` that were closed for want of a PROXY header";
    let reasons = [
        (Refused::Malformed.word(), "what came is no header"),
        (Refused::Late.word(), "it did not come in time"),
        (Refused::Closed.word(), "the load balancer closed before it was whole"),
    ];
    let reason = Label::known("reason", &reasons);
    metrics::counters(Topic::Intake, "tambo_proxy_refused_total", help, vec![reason])
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&REFUSED]);
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// What came is none.
    Malformed,
    /// It has not come in time.
    Late,
    /// The other side has closed before it was whole.
    Closed,
}

impl Refused {
    fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Late => "late",
            Self::Closed => "closed",
        }
    }
}

/// Whether connections from there begin with a header.
pub(super) fn is_proxy(listener: &Listener, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    listener.proxy_from.iter().any(|network| network.contains(&peer))
}

/// Reads the header; returns what follows it and the client. Without a header there is nothing: who
/// owes one and does not send it is told nothing either.
pub(super) async fn announced(
    stream: BoxStream,
    peer: SocketAddr,
    listener: &Listener,
) -> Option<(BoxStream, SocketAddr)> {
    let read = tokio::time::timeout(HEADER_TIMEOUT, header(stream)).await;
    match read.unwrap_or(Err(Refused::Late)) {
        Ok((stream, Source::Address(client))) => Some((stream, client)),
        Ok((stream, Source::Peer)) => Some((stream, peer)),
        Err(refused) => {
            REFUSED.count(&[refused.word()]);
            let (listener, reason) = (&listener.name, refused.word());
            tracing::debug!(%peer, %listener, reason, "closed: no PROXY header");
            None
        }
    }
}

async fn header(mut stream: BoxStream) -> Result<(BoxStream, Source), Refused> {
    let mut input = BytesMut::with_capacity(READ_OCTETS);
    loop {
        match proxy::parse(&input) {
            Parsed::Bad => return Err(Refused::Malformed),
            Parsed::Header { source, length } => {
                let rest = input.split_off(length);
                return Ok((with_rest(rest, stream), source));
            }
            Parsed::More => debug_assert!(input.len() < HEADER_MAX, "a header is bounded"),
        }
        input.reserve(READ_OCTETS);
        match stream.read_buf(&mut input).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Refused::Closed),
        }
    }
}

/// The stream, beginning with what was read of it already.
fn with_rest(rest: BytesMut, stream: BoxStream) -> BoxStream {
    if rest.is_empty() {
        return stream;
    }
    let (reader, writer) = tokio::io::split(stream);
    Box::new(tokio::io::join(std::io::Cursor::new(rest).chain(reader), writer))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What comes of these pieces, and what the session would read after the header.
    async fn arrive(pieces: &[&[u8]], close: bool) -> Result<(Source, Vec<u8>), Refused> {
        let (ours, mut theirs) = tokio::io::duplex(8192);
        let sent = async {
            for piece in pieces {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            if close {
                theirs.shutdown().await.unwrap();
            }
            theirs
        };
        let read = tokio::time::timeout(HEADER_TIMEOUT, header(Box::new(ours)));
        let (read, _theirs) = tokio::join!(read, sent);
        let (mut stream, source) = read.unwrap_or(Err(Refused::Late))?;
        let mut rest = Vec::new();
        if close {
            stream.read_to_end(&mut rest).await.unwrap();
        }
        Ok((source, rest))
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_the_header_is_not_lost() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 25\r\n";
        let octets: Vec<&[u8]> = line.chunks(1).collect();
        let source = Source::Address("192.0.2.7:4660".parse().unwrap());
        let client = |rest: &[u8]| Ok((source, rest.to_vec()));
        assert_eq!(arrive(&[line], true).await, client(b""));
        assert_eq!(arrive(&octets, true).await, client(b""));
        assert_eq!(arrive(&[line, b"EHLO"], true).await, client(b"EHLO"));
        assert_eq!(
            arrive(&[&[line, &b"EHLO"[..]].concat(), b" pc"], true).await,
            client(b"EHLO pc")
        );
        let unknown = arrive(&[b"PROXY UNKNOWN\r\nQUIT\r\n"], true).await;
        assert_eq!(unknown, Ok((Source::Peer, b"QUIT\r\n".to_vec())));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_header_there_is_no_session() {
        assert_eq!(arrive(&[b"EHLO pc\r\n"], false).await, Err(Refused::Malformed));
        assert_eq!(arrive(&[], true).await, Err(Refused::Closed));
        assert_eq!(arrive(&[b"PROXY TCP4 192."], true).await, Err(Refused::Closed));
        assert_eq!(arrive(&[b"PROXY TCP4 192."], false).await, Err(Refused::Late));
        assert_eq!(arrive(&[], false).await, Err(Refused::Late));
    }

    #[tokio::test]
    async fn answers_go_to_the_client() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"PROXY UNKNOWN\r\nEHLO").await.unwrap();
        let (mut stream, _) = header(Box::new(ours)).await.unwrap();
        stream.write_all(b"220 hi").await.unwrap();
        let mut said = [0; 6];
        theirs.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"220 hi");
    }

    #[test]
    fn only_networks_that_are_named_announce_clients() {
        let text = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
             relay_from = [\"10.0.0.0/8\"]\nproxy_from = [\"10.0.0.5/32\", \"2001:db8::5/128\"]\n";
        let config = relay_config::load(text, "t").unwrap().config;
        let is_proxy = |peer: &str| is_proxy(&config.listeners[0], peer.parse().unwrap());
        assert!(is_proxy("10.0.0.5") && is_proxy("::ffff:10.0.0.5") && is_proxy("2001:db8::5"));
        assert!(!is_proxy("10.0.0.6") && !is_proxy("2001:db8::6"));
    }
}
