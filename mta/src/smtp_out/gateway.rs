//! Sources behind a gateway (`via`): the gateway is connected to, told where to go on to, and from then on
//! the stream is one to the destination.
//!
//! A gateway that does not answer, or does not know us, is the fault of the source: other sources of the pool
//! go on, and mail does not find out again and again, for until the gateway has answered a question its
//! sources count as missing. What it says of the destination is the destination's. A PROXY header gets no
//! answer at all: whatever comes after it is believed to be the destination, also silence and a close.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use relay_config::config::{Gateway, GatewayProtocol, Source};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::message::Failure;
use crate::metrics::{self, Label, Labelled, Topic};
use crate::outside::{BoxStream, Net};

use super::connect::read_credentials;
use super::proxy_header::proxy_header;
use super::socks5::{self, SocksError};
use super::trouble;

static CONNECTIONS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Connections that gateways of sources (`via`) were asked for";
    let results = [
        ("connected", "the gateway went on to the destination, as far as it tells"),
        ("refused", "the gateway says that it cannot, or may not, connect to the destination"),
        ("unusable", "the gateway does not answer or does not know this relay"),
    ];
    let result = Label::known("result", &results);
    metrics::counters(Topic::Connections, "tambo_gateway_connections_total", help, vec![result])
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&CONNECTIONS]);
}

/// Why a gateway does not connect.
#[derive(Debug)]
pub(super) enum GatewayError {
    /// There is no connection to it.
    Unreachable(io::Error),
    /// The password file.
    Credentials(String),
    /// It does not speak SOCKS with us.
    LogIn(SocksError),
    /// It would not, or could not, connect to the destination.
    Connect(SocksError),
    /// It has one family, the destination the other.
    NoCommonFamily,
}

impl GatewayError {
    /// It stands in the way of all mail through the gateway, wherever it goes.
    fn is_of_gateway(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Credentials(_) | Self::LogIn(_))
    }
}

/// Gateways that are of no use now. At most as many as the configuration has sources.
#[derive(Debug, Default)]
pub struct Gateways {
    unusable: Mutex<Vec<Gateway>>,
    /// One round of questions at a time.
    asking: tokio::sync::Mutex<()>,
}

impl Gateways {
    /// Whether nothing is known against it.
    pub(super) fn is_usable(&self, gateway: &Gateway) -> bool {
        !self.unusable().contains(gateway)
    }

    /// A connection from `from`, an address at the gateway, to the destination.
    pub(super) async fn connect(
        &self,
        net: &dyn Net,
        gateway: &Gateway,
        ends: (IpAddr, SocketAddr),
        time: Duration,
    ) -> Result<BoxStream, Failure> {
        let connected = connect(net, gateway, ends, time).await;
        let unusable = connected.as_ref().err().is_some_and(GatewayError::is_of_gateway);
        self.note(gateway, unusable);
        CONNECTIONS.count(&[match &connected {
            Ok(_) => "connected",
            Err(_) if unusable => "unusable",
            Err(_) => "refused",
        }]);
        connected.map_err(|error| trouble::gateway(gateway, &error))
    }

    /// Asks those that were of no use whether they are again; who is configured no more is forgotten.
    pub(super) async fn ask_again(
        &self,
        net: &Arc<dyn Net>,
        sources: &[Arc<Source>],
        time: Duration,
    ) {
        let Ok(_one_round) = self.asking.try_lock() else { return };
        let configured =
            |gateway: &Gateway| sources.iter().any(|source| source.via.as_ref() == Some(gateway));
        let mut questions = JoinSet::new();
        {
            let mut unusable = self.unusable();
            unusable.retain(configured);
            for gateway in unusable.iter().cloned() {
                let net = Arc::clone(net);
                questions.spawn(async move {
                    let answer = ask(&*net, &gateway, time).await;
                    (gateway, answer.is_err())
                });
            }
        }
        while let Some(answered) = questions.join_next().await {
            if let Ok((gateway, false)) = answered {
                tracing::info!(%gateway, "a gateway can be used again");
                self.note(&gateway, false);
            }
        }
    }

    fn note(&self, gateway: &Gateway, is_unusable: bool) {
        let mut unusable = self.unusable();
        let place = unusable.iter().position(|known| known == gateway);
        match (place, is_unusable) {
            (None, true) => unusable.push(gateway.clone()),
            (Some(place), false) => {
                unusable.swap_remove(place);
            }
            _ => {}
        }
    }

    fn unusable(&self) -> MutexGuard<'_, Vec<Gateway>> {
        self.unusable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a gateway takes our connections and knows us; the reason why not. It is not sent anywhere.
pub async fn ask(net: &dyn Net, gateway: &Gateway, time: Duration) -> Result<(), Failure> {
    let reached = reach(net, gateway, time).await;
    reached.map(drop).map_err(|error| trouble::gateway(gateway, &error))
}

async fn connect(
    net: &dyn Net,
    gateway: &Gateway,
    (from, to): (IpAddr, SocketAddr),
    time: Duration,
) -> Result<BoxStream, GatewayError> {
    let mut stream = reach(net, gateway, time).await?;
    match gateway.protocol {
        GatewayProtocol::Socks5 { .. } => {
            let connecting = socks5::connect(&mut *stream, to);
            in_time(time, connecting).await.map_err(GatewayError::Connect)?;
        }
        GatewayProtocol::ProxyHeader => {
            let header = proxy_header(from, to).ok_or(GatewayError::NoCommonFamily)?;
            // Fits into what the kernel holds of a new connection: it does not wait for anybody.
            stream.write_all(&header).await.map_err(GatewayError::Unreachable)?;
            stream.flush().await.map_err(GatewayError::Unreachable)?;
        }
    }
    Ok(stream)
}

/// A connection to the gateway, to which we are known.
async fn reach(
    net: &dyn Net,
    gateway: &Gateway,
    time: Duration,
) -> Result<BoxStream, GatewayError> {
    // The kernel chooses an address of this machine that reaches it.
    let connecting = net.connect(IpAddr::V4(Ipv4Addr::UNSPECIFIED), gateway.address);
    let connected = timeout(time, connecting).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let mut stream = connected.map_err(GatewayError::Unreachable)?;
    if let GatewayProtocol::Socks5 { credentials } = &gateway.protocol {
        let login = credentials.as_ref().map(read_credentials).transpose();
        let login = login.map_err(GatewayError::Credentials)?;
        let asking = socks5::log_in(&mut *stream, login.as_ref());
        in_time(time, asking).await.map_err(GatewayError::LogIn)?;
    }
    Ok(stream)
}

async fn in_time(
    time: Duration,
    talk: impl Future<Output = Result<(), SocksError>>,
) -> Result<(), SocksError> {
    let late = |_| Err(SocksError::Lost(io::ErrorKind::TimedOut.into()));
    timeout(time, talk).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scope;
    use crate::outside::{BoxFuture, BoxListener};
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    const TIME: Duration = Duration::from_secs(30);

    /// A network with one gateway, which says this and then nothing more; `None`: nobody listens there.
    struct OneGateway {
        says: Mutex<Option<&'static [u8]>>,
        heard: tokio::sync::mpsc::UnboundedSender<DuplexStream>,
    }

    impl Net for OneGateway {
        fn listen(&self, _address: SocketAddr) -> io::Result<BoxListener> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn connect(&self, from: IpAddr, _to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
            assert!(from.is_unspecified(), "the source's address is not on this machine");
            let says = *self.says.lock().unwrap();
            Box::pin(async move {
                let says = says.ok_or(io::ErrorKind::ConnectionRefused)?;
                let (ours, mut theirs) = duplex(1024);
                theirs.write_all(says).await.unwrap();
                let _ = self.heard.send(theirs);
                Ok(Box::new(ours) as BoxStream)
            })
        }

        fn has_address(&self, _address: IpAddr) -> bool {
            false
        }
    }

    fn gateway(via: &str) -> Gateway {
        let text = format!(
            "[server]\nhostname = \"r.example.pe\"\n[[listener]]\nname = \"in\"\nbind = [\"127.0.0.1:25\"]\n\
             tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"far\"\naddress = \"192.0.2.7\"\n\
             helo = \"m7.example.pe\"\nvia = \"{via}\"\n"
        );
        let config = relay_config::load(&text, "t.toml").unwrap().config;
        config.sources[0].via.clone().unwrap()
    }

    fn world(
        says: Option<&'static [u8]>,
    ) -> (Arc<dyn Net>, Arc<OneGateway>, tokio::sync::mpsc::UnboundedReceiver<DuplexStream>) {
        let (heard, hearing) = tokio::sync::mpsc::unbounded_channel();
        let net = Arc::new(OneGateway { says: Mutex::new(says), heard });
        (Arc::clone(&net) as Arc<dyn Net>, net, hearing)
    }

    fn ends() -> (IpAddr, SocketAddr) {
        ("192.0.2.7".parse().unwrap(), "198.51.100.25:25".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn whose_fault_it_is() {
        let check = async |says: Option<&'static [u8]>, scope: Scope, usable: bool| {
            let (gateways, gateway) = (Gateways::default(), gateway("socks5://10.0.0.5:1080"));
            let (net, _, _hearing) = world(says);
            let failed = gateways.connect(&*net, &gateway, ends(), TIME).await.err().unwrap();
            assert_eq!(failed.scope, scope, "{says:?}: {failed:?}");
            assert_eq!(gateways.is_usable(&gateway), usable, "{says:?}: {failed:?}");
        };
        check(None, Scope::Path, false).await;
        // It is silent; speaks something else; wants a password.
        check(Some(b""), Scope::Path, false).await;
        check(Some(b"220 mx ready\r\n"), Scope::Path, false).await;
        check(Some(b"\x05\xff"), Scope::Path, false).await;
        // It may not connect there; cannot; hears nothing of the destination.
        check(Some(b"\x05\0\x05\x02\0\x01"), Scope::Path, true).await;
        check(Some(b"\x05\0\x05\x05\0\x01"), Scope::Session, true).await;
        check(Some(b"\x05\0"), Scope::Session, true).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_was_of_no_use_is_asked_until_it_is() {
        let (gateways, gateway) = (Gateways::default(), gateway("socks5://10.0.0.5:1080"));
        let mut source = Source::new("far".into(), ends().0, "m7.example.pe".to_owned());
        source.via = Some(gateway.clone());
        let sources = [Arc::new(source)];
        let (net, one, _hearing) = world(None);
        assert!(gateways.connect(&*net, &gateway, ends(), TIME).await.is_err());
        gateways.ask_again(&net, &sources, TIME).await;
        assert!(!gateways.is_usable(&gateway));
        *one.says.lock().unwrap() = Some(b"\x05\xff");
        gateways.ask_again(&net, &sources, TIME).await;
        assert!(!gateways.is_usable(&gateway), "it does not know us");
        *one.says.lock().unwrap() = Some(b"\x05\0");
        gateways.ask_again(&net, &sources, TIME).await;
        assert!(gateways.is_usable(&gateway));
        // One that is configured no more is forgotten.
        *one.says.lock().unwrap() = None;
        assert!(gateways.connect(&*net, &gateway, ends(), TIME).await.is_err());
        gateways.ask_again(&net, &[], TIME).await;
        assert!(gateways.unusable().is_empty());
    }

    #[tokio::test]
    async fn a_header_waits_for_nothing() {
        let gateway = gateway("haproxy://10.0.0.5:2525");
        let (net, _, mut hearing) = world(Some(b""));
        let stream = Gateways::default().connect(&*net, &gateway, ends(), TIME).await.unwrap();
        drop(stream);
        let mut heard = Vec::new();
        hearing.recv().await.unwrap().read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, proxy_header(ends().0, ends().1).unwrap());
    }
}
