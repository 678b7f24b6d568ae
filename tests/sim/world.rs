//! Clock, names, streams and keys that exist in memory only.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mta::message::Timestamp;
use mta::outside::dkim::{KeyFlaw, OpenKeys, PublicKey};
use mta::outside::net::Listen;
use mta::outside::{
    Answer, BoxFuture, BoxListener, BoxStream, DkimKeys, DnsError, MailDns, Mx, Net, Signer,
    SigningError, Unsigned, WallClock,
};
use relay_config::config::DkimKey;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Octets that are on their way in one direction at most.
const PIPE_OCTETS: usize = 64 * 1024;

/// Wall time that follows the runtime's paused time.
pub struct SimClock {
    start: Timestamp,
    since: Instant,
}

impl SimClock {
    /// It is `start` now.
    pub fn starting(start: Timestamp) -> Self {
        Self { start, since: Instant::now() }
    }
}

impl WallClock for SimClock {
    fn now(&self) -> Timestamp {
        self.start.after(self.since.elapsed())
    }
}

/// Each domain has one mail server, `mx.domain`.
pub struct SimDns(pub HashMap<String, IpAddr>);

impl MailDns for SimDns {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Answer<Vec<Mx>>, DnsError>> {
        let host = format!("mx.{domain}");
        let known = self.0.contains_key(&host);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !known {
                return Err(DnsError::NoSuchName);
            }
            let records = vec![Mx { preference: 10, host }];
            Ok(Answer { records, ttl: Duration::from_mins(5), authentic: false })
        })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Answer<Vec<IpAddr>>, DnsError>> {
        let found = self.0.get(host).copied();
        Box::pin(async move {
            let records = vec![found.ok_or(DnsError::NoSuchName)?];
            Ok(Answer { records, ttl: Duration::from_mins(5), authentic: false })
        })
    }
}

/// One call in so many fails.
const SIGNING_FAILS_EVERY: u32 = 40;

/// Keys that sign with a number, and fail once in a while.
#[derive(Clone, Default)]
pub struct SimKeys(Arc<Mutex<Signings>>);

#[derive(Default)]
struct Signings {
    calls: u32,
    /// How often the same fields were signed.
    done: BTreeMap<Vec<u8>, u32>,
}

impl SimKeys {
    /// How often one message was signed at most, and how often signing failed.
    pub fn most_and_failed(&self) -> (u32, u32) {
        let signings = self.0.lock().unwrap();
        let most = signings.done.values().max().copied().unwrap_or_default();
        (most, signings.calls / SIGNING_FAILS_EVERY)
    }
}

impl DkimKeys for SimKeys {
    fn open(&self, _keys: &[Arc<DkimKey>]) -> Result<OpenKeys, Vec<KeyFlaw>> {
        Ok(OpenKeys { signer: Arc::new(self.clone()), warnings: Vec::new() })
    }
}

impl Signer for SimKeys {
    fn sign(&self, key: usize, unsigned: &Unsigned) -> Result<Bytes, SigningError> {
        let mut signings = self.0.lock().unwrap();
        signings.calls += 1;
        if signings.calls.is_multiple_of(SIGNING_FAILS_EVERY) {
            return Err(SigningError("the key is on holiday".to_owned()));
        }
        let times = signings.done.entry(unsigned.fields.clone()).or_default();
        *times += 1;
        Ok(format!("DKIM-Signature: key={key}; t={}\r\n", unsigned.time.as_millis()).into())
    }

    fn public_key(&self, _key: usize) -> Option<&PublicKey> {
        None
    }
}

type Arrivals = UnboundedSender<(BoxStream, SocketAddr)>;

/// Streams between those who listen and those who connect.
#[derive(Clone, Default)]
pub struct SimNet {
    listeners: Arc<Mutex<HashMap<SocketAddr, Arrivals>>>,
    ports: Arc<Mutex<u16>>,
}

struct SimListener {
    address: SocketAddr,
    arrivals: tokio::sync::Mutex<UnboundedReceiver<(BoxStream, SocketAddr)>>,
}

impl Net for SimNet {
    fn listen(&self, address: SocketAddr) -> io::Result<BoxListener> {
        let (sender, arrivals) = unbounded_channel();
        self.listeners.lock().unwrap().insert(address, sender);
        Ok(Box::new(SimListener { address, arrivals: tokio::sync::Mutex::new(arrivals) }))
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let listener = self.listeners.lock().unwrap().get(&to).cloned().ok_or_else(refused)?;
            let port = {
                let mut ports = self.ports.lock().unwrap();
                *ports = ports.wrapping_add(1);
                *ports
            };
            let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
            listener
                .send((Box::new(theirs), SocketAddr::new(from, port)))
                .map_err(|_| refused())?;
            Ok(Box::new(ours) as BoxStream)
        })
    }

    fn has_address(&self, _address: IpAddr) -> bool {
        true
    }
}

impl Listen for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            self.arrivals.lock().await.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
