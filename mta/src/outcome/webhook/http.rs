//! The way to a web server: one request on a connection of its own. TLS checks the certificate against the system's
//! authorities; redirects are not followed; addresses may be private, for institutions post to servers inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use relay_config::webhooks::Webhook;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::message::Timestamp;
use crate::outside::{BoxFuture, BoxStream, MailDns, Net};

use super::Courier;
use super::batch::signature;

/// Octets of a secret: fewer could be guessed.
const SECRET_MIN: usize = 16;
/// Pieces of an answer that are read, so that the server can end it in peace.
const ANSWER_PIECES: usize = 16;
/// Time for them.
const ANSWER_REST: Duration = Duration::from_secs(1);

/// Why a server has not taken a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub why: String,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
    /// It wants less at a time.
    pub too_large: bool,
}

impl Refusal {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }
}

/// HTTP/1.1 over the network.
pub struct HttpCourier {
    /// Streams.
    pub net: Arc<dyn Net>,
    /// Names.
    pub dns: Arc<dyn MailDns>,
    /// TLS that checks certificates.
    pub tls: TlsConnector,
}

impl Courier for HttpCourier {
    fn post<'a>(
        &'a self,
        webhook: &'a Webhook,
        body: Vec<u8>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let secret = read_secret(webhook).await?;
            let request = request(webhook, &secret, body, now)?;
            let answered = tokio::time::timeout(webhook.timeout, self.exchange(webhook, request));
            let late = || Refusal::new(format!("no answer within {:?}", webhook.timeout));
            answered.await.map_err(|_| late())?
        })
    }
}

impl HttpCourier {
    async fn exchange(
        &self,
        webhook: &Webhook,
        request: Request<Full<Bytes>>,
    ) -> Result<(), Refusal> {
        let stream = self.connect(webhook).await?;
        let failed = |error: hyper::Error| Refusal::new(format!("the connection failed: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // It ends with the request, also when that is given up.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let response = sender.send_request(request).await.map_err(failed)?;
        let answered = judge(&response);
        let mut body = response.into_body();
        let rest = async {
            for _ in 0..ANSWER_PIECES {
                let Some(Ok(_)) = body.frame().await else { break };
            }
        };
        // What it has said holds, whatever becomes of the rest.
        let _ = tokio::time::timeout(ANSWER_REST, rest).await;
        answered
    }

    async fn connect(&self, webhook: &Webhook) -> Result<BoxStream, Refusal> {
        let url = &webhook.url;
        let mut last = Refusal::new(format!("{} has no address", url.host));
        for address in self.addresses(&url.host).await? {
            let from = match address {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let to = SocketAddr::new(address, url.port);
            match self.net.connect(from, to).await {
                Ok(stream) if url.tls => return self.encrypt(&url.host, stream).await,
                Ok(stream) => return Ok(stream),
                Err(error) => last = Refusal::new(format!("{to}: {error}")),
            }
        }
        Err(last)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let found = self.dns.addresses(host).await;
        let found = found.map_err(|error| Refusal::new(format!("{host}: {error}")))?;
        Ok(found.records)
    }

    async fn encrypt(&self, host: &str, stream: BoxStream) -> Result<BoxStream, Refusal> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Refusal::new(format!("{host}: {error}")))?;
        let shaken = self.tls.connect(name, stream).await;
        let stream = shaken.map_err(|error| Refusal::new(format!("TLS with {host}: {error}")))?;
        Ok(Box::new(stream))
    }
}

/// Read each time: a new secret is used from the next request on.
async fn read_secret(webhook: &Webhook) -> Result<Vec<u8>, Refusal> {
    let path = &webhook.secret_file;
    let place = |why: &str| Refusal::new(format!("{}: {}: {why}", webhook.place, path.display()));
    let text = tokio::fs::read(path).await.map_err(|error| place(&error.to_string()))?;
    let secret = text.split(|octet| *octet == b'\n').next().unwrap_or_default().trim_ascii();
    if secret.len() < SECRET_MIN {
        return Err(place(&format!("the first line has less than {SECRET_MIN} octets")));
    }
    Ok(secret.to_vec())
}

fn request(
    webhook: &Webhook,
    secret: &[u8],
    body: Vec<u8>,
    now: Timestamp,
) -> Result<Request<Full<Bytes>>, Refusal> {
    let time = (now.as_millis() / 1000).to_string();
    Request::post(webhook.url.target.as_str())
        .header("host", webhook.url.authority())
        .header("user-agent", concat!("tambo/", env!("CARGO_PKG_VERSION")))
        .header("content-type", "application/json")
        .header("connection", "close")
        .header("tambo-webhook", &*webhook.name)
        .header("tambo-signature", signature(secret, &time, &body))
        .header("tambo-time", time)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Refusal::new(error.to_string()))
}

/// Whatever is not 2xx is no.
fn judge(response: &Response<Incoming>) -> Result<(), Refusal> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let mut why = format!("it answered {status}");
    if status.is_redirection() {
        why.push_str(", and redirects are not followed: mend `url`");
    }
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Err(Refusal { why, retry_after, too_large: status == StatusCode::PAYLOAD_TOO_LARGE })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use relay_config::config::Place;
    use relay_config::webhooks::WebUrl;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::outside::{Answer, BoxListener, DnsError, Mx};
    use crate::smtp_out::TlsClients;

    /// A server that says one thing, and remembers what it was asked.
    #[derive(Clone, Default)]
    struct Server {
        says: &'static str,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Net for Server {
        fn listen(&self, _: SocketAddr) -> io::Result<BoxListener> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn connect(&self, _: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
            assert_eq!(to, "10.0.0.7:8080".parse().unwrap());
            let (here, mut there) = tokio::io::duplex(64 * 1024);
            let server = self.clone();
            tokio::spawn(async move {
                let mut octets = Vec::new();
                while !octets.ends_with(b"]") {
                    there.read_buf(&mut octets).await.unwrap();
                }
                server.asked.lock().unwrap().push(String::from_utf8(octets).unwrap());
                there.write_all(server.says.as_bytes()).await.unwrap();
                // It keeps the connection open, whatever it says.
                std::future::pending::<()>().await;
            });
            Box::pin(async { Ok(Box::new(here) as BoxStream) })
        }

        fn has_address(&self, _: IpAddr) -> bool {
            true
        }
    }

    impl MailDns for Server {
        fn mx<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>> {
            Box::pin(async { Err(DnsError::NoSuchName) })
        }

        fn addresses<'a>(
            &'a self,
            _: &'a str,
        ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>> {
            Box::pin(async { Err(DnsError::NoSuchName) })
        }
    }

    async fn ask(says: &'static str, url: &str, secret: &str) -> (Result<(), Refusal>, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), secret).unwrap();
        let webhook = Webhook {
            name: "crm".into(),
            url: WebUrl::parse(url).unwrap(),
            secret_file: file.path().to_owned(),
            place: Place { file: "tambo.toml".into(), line: 7, column: 1 },
            types: Vec::new(),
            tags: Vec::new(),
            accounts: Vec::new(),
            batch: 1,
            wait: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(1),
        };
        let server = Server { says, ..Server::default() };
        let courier = HttpCourier {
            net: Arc::new(server.clone()),
            dns: Arc::new(server.clone()),
            tls: TlsClients::new().verified(),
        };
        let now = Timestamp::from_millis(1_795_525_500_123);
        let answered = courier.post(&webhook, b"[]".to_vec(), now).await;
        let asked = server.asked.lock().unwrap().concat();
        (answered, asked)
    }

    const URL: &str = "http://10.0.0.7:8080/in?key=x";
    const SECRET: &str = "a secret of 16 octets\n";

    #[tokio::test(start_paused = true)]
    async fn what_is_not_2xx_is_not_taken() {
        for (says, why, retry_after, too_large) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", "", None, false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "", None, false),
            (
                "HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n",
                "redirects are not followed",
                None,
                false,
            ),
            (
                "HTTP/1.1 503 Busy\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n",
                "it answered 503",
                Some(Duration::from_secs(30)),
                false,
            ),
            ("HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n", "it answered 413", None, true),
            ("220 mail.example ESMTP\r\n\r\n", "the connection failed", None, false),
        ] {
            let (answered, asked) = ask(says, URL, SECRET).await;
            match answered {
                Ok(()) => assert!(why.is_empty(), "{says}"),
                Err(refusal) => {
                    assert!(!why.is_empty() && refusal.why.contains(why), "{says}: {refusal:?}");
                    assert_eq!((refusal.retry_after, refusal.too_large), (retry_after, too_large));
                }
            }
            assert!(asked.starts_with("POST /in?key=x HTTP/1.1\r\n"), "{asked}");
            let signed = signature(b"a secret of 16 octets", "1795525500", b"[]");
            for header in [
                "host: 10.0.0.7:8080",
                "tambo-webhook: crm",
                "tambo-time: 1795525500",
                &format!("tambo-signature: {signed}"),
            ] {
                assert!(asked.contains(&format!("\r\n{header}\r\n")), "{header}: {asked}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_or_cannot_be_asked_is_told_of() {
        let why = async |url, secret| ask("", url, secret).await.0.unwrap_err().why;
        assert_eq!(why(URL, SECRET).await, "no answer within 10s");
        assert_eq!(
            why("http://none.example/", SECRET).await,
            "none.example: the name does not exist"
        );
        let short = why(URL, "short\n").await;
        assert!(short.starts_with("tambo.toml:7:1: ") && short.contains("less than 16"), "{short}");
    }
}
