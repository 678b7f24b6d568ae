//! Accepts connections on all addresses of all listeners.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use relay_config::Config;
use relay_config::config::{Listener, ListenerTls};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::current::Current;
use crate::outside::{BoxListener, BoxStream, Net};
use crate::policy::Policy;
use crate::queue::Queue;
use crate::wire::Watches;

use super::auth::Authenticator;
use super::gate::{Gate, Pass};
use super::tls::{ServerTls, TlsFileError};
use super::{arrival, driver, tls};

/// After accepting failed (no file descriptors), it is tried again this much later.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Time to tell a client that there is no room.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(2);

/// What all sessions share.
pub struct Shared {
    /// Where mail goes.
    pub queue: Arc<Queue>,
    /// What a reload replaces.
    pub terms: Current<Terms>,
    /// Checks passwords.
    pub authenticator: Arc<Authenticator>,
    /// Who watches conversations.
    pub watches: Arc<Watches>,
    /// Becomes true when the relay stops.
    pub stop: watch::Receiver<bool>,
}

/// On which terms clients are served; a session takes them as they are when it starts.
pub struct Terms {
    /// Who may send.
    pub policy: Arc<Policy>,
    /// The certificate.
    pub tls: Option<ServerTls>,
    /// What each listener offers, by name.
    pub listeners: HashMap<Arc<str>, Arc<Listener>>,
}

impl Terms {
    /// From the configuration.
    pub fn new(config: &Config, policy: Arc<Policy>) -> Result<Self, TlsFileError> {
        let listeners = config.listeners.iter();
        let tls = config.tls.as_ref().map(ServerTls::load).transpose()?;
        Ok(Self {
            policy,
            tls,
            listeners: listeners
                .map(|listener| (Arc::clone(&listener.name), Arc::clone(listener)))
                .collect(),
        })
    }
}

impl Terms {
    /// They hold from now on: metrics tell until when the certificate does.
    pub fn tell(&self) {
        tls::shown(self.tls.as_ref());
    }
}

/// All listeners, bound.
pub struct Listeners {
    bound: Vec<(BoxListener, Arc<Listener>)>,
    gate: Arc<Gate>,
}

impl Listeners {
    /// Binds all addresses, or says which one cannot be bound.
    pub fn bind(
        net: &dyn Net,
        listeners: &[Arc<Listener>],
        connections_max: u32,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut bound = Vec::new();
        for listener in listeners {
            for address in &listener.bind {
                let open = net.listen(*address).map_err(|error| (*address, error))?;
                bound.push((open, Arc::clone(listener)));
            }
        }
        Ok(Self { bound, gate: Arc::new(Gate::new(connections_max)) })
    }

    /// Where mail comes in: name of the listener and address.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.bound
            .iter()
            .filter_map(|(open, listener)| {
                Some((Arc::clone(&listener.name), open.local_address().ok()?))
            })
            .collect()
    }

    /// Accepts until the relay stops; returns when the last session has ended.
    pub async fn run(self, shared: Arc<Shared>) {
        let mut loops = JoinSet::new();
        for (open, listener) in self.bound {
            loops.spawn(accept_loop(open, listener, Arc::clone(&self.gate), Arc::clone(&shared)));
        }
        while loops.join_next().await.is_some() {}
    }
}

async fn accept_loop(
    open: BoxListener,
    bound: Arc<Listener>,
    gate: Arc<Gate>,
    shared: Arc<Shared>,
) {
    let mut sessions = JoinSet::new();
    let mut stop = shared.stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = open.accept() => accepted,
            Some(_) = sessions.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        // One that the configuration no longer has goes on as it was until the relay is restarted.
        let listener = shared.terms.get().listeners.get(&bound.name).cloned();
        let listener = listener.unwrap_or_else(|| Arc::clone(&bound));
        match accepted {
            Ok((stream, peer)) if arrival::is_proxy(&listener, peer.ip()) => {
                let pass = gate.enter_unannounced(&listener);
                sessions.spawn(admit_announced(stream, peer, pass, listener, Arc::clone(&shared)));
            }
            Ok((stream, client)) => {
                let pass = gate.enter(&listener, client.ip());
                sessions.spawn(admit(stream, client, pass, listener, Arc::clone(&shared)));
            }
            Err(error) => {
                tracing::warn!(%error, listener = %listener.name, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(open);
    while sessions.join_next().await.is_some() {}
}

/// What the gate said.
type Entry = Result<Pass, &'static str>;

/// Serves a client that was let in.
async fn admit(
    stream: BoxStream,
    client: SocketAddr,
    entry: Entry,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
) {
    match entry {
        Ok(pass) => {
            driver::serve(stream, client, listener, shared).await;
            drop(pass);
        }
        Err(limit) => turn_away(stream, client, limit, &listener).await,
    }
}

/// The same for a client that a load balancer announces.
async fn admit_announced(
    stream: BoxStream,
    peer: SocketAddr,
    entry: Entry,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
) {
    let pass = match entry {
        Ok(pass) => pass,
        Err(limit) => return turn_away(stream, peer, limit, &listener).await,
    };
    let mut stop = shared.stop.clone();
    let announced = tokio::select! {
        announced = arrival::announced(stream, peer, &listener) => announced,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    if let Some((stream, client)) = announced {
        let entry = pass.announce(&listener, client.ip());
        admit(stream, client, entry, listener, shared).await;
    }
}

/// Tells a client that there is no room for it.
async fn turn_away(
    mut stream: BoxStream,
    client: SocketAddr,
    limit: &'static str,
    listener: &Listener,
) {
    tracing::warn!(%client, listener = %listener.name, limit, "turned away");
    if listener.tls != ListenerTls::Implicit {
        let text = b"421 4.7.0 Too many connections; try again later\r\n";
        // Who does not listen is not waited for.
        let _ = tokio::time::timeout(TURN_AWAY_TIMEOUT, stream.write_all(text)).await;
    }
}
