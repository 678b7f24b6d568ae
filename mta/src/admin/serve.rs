//! HTTP on `admin.bind` and at the control socket: connections that are counted, requests that come in time.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::metrics::limit_hit;

use super::api::Origin;
use super::patient::Patient;

/// Connections at a time: pages that stay open to see live what happens, scripts, Prometheus. Each costs a few tens
/// of kilobytes.
const CONNECTIONS_MAX: usize = 512;
/// What accepts TLS at this moment: a reload brings another certificate. Nothing: there is none.
pub type Acceptors = Arc<dyn Fn() -> Option<TlsAcceptor> + Send + Sync>;

/// Time for the head of a request, and before it for a handshake of TLS.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of the head of a request.
const HEAD_MAX: usize = 64 * 1024;
/// Wait after a connection that could not be accepted, as when files run out.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(super) trait Door: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one, and where it comes from.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Origin)>> + Send;
}

impl Door for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<(Self::Stream, Origin)> {
        let (stream, address) = self.accept().await?;
        let _ = stream.set_nodelay(true);
        let from: IpAddr = address.ip().to_canonical();
        Ok((stream, Origin::Network(from)))
    }
}

impl Door for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<(Self::Stream, Origin)> {
        let (stream, _) = self.accept().await?;
        Ok((stream, Origin::Socket))
    }
}

/// Answers until it is dropped; over TLS where there is something that accepts it.
pub(super) async fn serve(door: impl Door, router: Router, tls: Option<Acceptors>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, origin) = match door.next().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection of the admin interface could not be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            // Closed without a word: to write one could take as long as the peer likes.
            limit_hit("admin_connections");
            continue;
        };
        let router = router.clone().layer(Extension(origin));
        match &tls {
            None => connections.spawn(converse(stream, router, permit)),
            Some(acceptors) => {
                let Some(acceptor) = acceptors() else { continue };
                connections.spawn(async move {
                    match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, router, permit).await,
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "a TLS handshake of the admin interface failed");
                        }
                        Err(_) => tracing::debug!("a TLS handshake of the admin interface took too long"),
                    }
                })
            }
        };
    }
}

async fn converse<S>(stream: S, router: Router, _permit: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let served: Result<(), hyper::Error> = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the admin interface ended badly");
    }
}
