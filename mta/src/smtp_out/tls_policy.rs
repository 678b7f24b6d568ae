//! TLS towards servers: opportunistic (RFC 7435) for mail servers of the world, whose names
//! nobody vouches for; verified where the operator requires it. Servers whose TLS is broken are
//! remembered, so that each message does not pay for finding out.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::message::Timestamp;
use crate::metrics::{self, Label, Labelled, Topic, limit_hit};
use crate::outside::BoxStream;
use crate::smtp::handshake;

use super::timeouts;

/// Hosts whose broken TLS is remembered.
const BROKEN_MAX: usize = 10_000;
/// Hosts that are remembered to want TLS.
const WANTED_MAX: usize = 10_000;
/// How long: who has asked for TLS once seldom takes that back, and a month later is asked again.
const WANTED_MEMORY: Duration = Duration::from_hours(24 * 30);

static HANDSHAKES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "TLS handshakes with servers, by version or why there was none";
    let (name, result) =
        ("tambo_outbound_tls_handshakes_total", Label::known("result", &handshake::RESULTS));
    metrics::counters(Topic::Connections, name, help, vec![result])
});
static HANDSHAKE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let (name, help) = ("tambo_outbound_tls_seconds", "Time of a TLS handshake with a server");
    metrics::histogram(Topic::Connections, name, help, &metrics::NETWORK_SECONDS)
});

/// Certificate authorities of the system, read once in a process.
static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&HANDSHAKES, &HANDSHAKE_SECONDS]);
}

/// Both kinds of TLS, and what is known of peers.
pub struct TlsClients {
    unverified: TlsConnector,
    verified: TlsConnector,
    broken: Mutex<HashMap<String, Timestamp>>,
    wanted: Mutex<HashMap<String, Timestamp>>,
}

impl TlsClients {
    /// Verification trusts the system's certificate authorities.
    pub fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unverified = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(Arc::clone(&provider))))
            .with_no_client_auth();
        let verified = ClientConfig::builder()
            .with_root_certificates(Arc::clone(&ROOTS))
            .with_no_client_auth();
        Self {
            unverified: TlsConnector::from(Arc::new(unverified)),
            verified: TlsConnector::from(Arc::new(verified)),
            broken: Mutex::default(),
            wanted: Mutex::default(),
        }
    }

    /// The handshake. Returns the encrypted stream and what it is, as `TLSv1.3 TLS_AES_…`.
    pub async fn handshake(
        &self,
        stream: BoxStream,
        host: &str,
        verify: bool,
    ) -> io::Result<(BoxStream, String)> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = if verify { &self.verified } else { &self.unverified };
        let begun = Instant::now();
        let shaken = tokio::time::timeout(timeouts::HANDSHAKE, connector.connect(name, stream));
        let shaken = shaken.await.unwrap_or_else(|late| Err(late.into()));
        let version = shaken.as_ref().map(|stream| stream.get_ref().1.protocol_version());
        HANDSHAKES.count(&[handshake::result(version)]);
        let stream = shaken?;
        HANDSHAKE_SECONDS.observe(begun.elapsed().as_secs_f64());
        let description = describe(stream.get_ref().1);
        Ok((Box::new(stream), description))
    }

    /// TLS that checks certificates, for whoever speaks something else than SMTP.
    pub fn verified(&self) -> TlsConnector {
        self.verified.clone()
    }

    /// Remembers that the host's TLS does not work.
    pub fn remember_broken(&self, host: &str, memory: Duration, now: Timestamp) {
        remember(&self.broken, host, now.after(memory), now, (BROKEN_MAX, "broken_tls"));
    }

    /// Whether the host's TLS did not work a while ago.
    pub fn is_broken(&self, host: &str, now: Timestamp) -> bool {
        is_remembered(&self.broken, host, now)
    }

    /// Remembers that the host has refused mail because it came in clear.
    pub fn remember_wanted(&self, host: &str, now: Timestamp) {
        let until = now.after(WANTED_MEMORY);
        remember(&self.wanted, host, until, now, (WANTED_MAX, "wanted_tls"));
    }

    /// Whether the host refuses mail in clear: then broken TLS is no reason to send it so.
    pub fn is_wanted(&self, host: &str, now: Timestamp) -> bool {
        is_remembered(&self.wanted, host, now)
    }
}

fn remember(
    hosts: &Mutex<HashMap<String, Timestamp>>,
    host: &str,
    until: Timestamp,
    now: Timestamp,
    (most, limit): (usize, &'static str),
) {
    let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    if hosts.len() >= most {
        hosts.retain(|_, until| *until > now);
        if hosts.len() >= most {
            limit_hit(limit);
            return;
        }
    }
    hosts.insert(host.to_owned(), until);
}

fn is_remembered(hosts: &Mutex<HashMap<String, Timestamp>>, host: &str, now: Timestamp) -> bool {
    let hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    hosts.get(host).is_some_and(|until| *until > now)
}

impl Default for TlsClients {
    fn default() -> Self {
        Self::new()
    }
}

fn describe(connection: &ClientConnection) -> String {
    let version = connection.protocol_version().and_then(|version| version.as_str());
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    format!("{} {}", version.unwrap_or("TLS").replace("TLSv1_", "TLSv1."), suite.unwrap_or(""))
}

/// Takes any certificate: MX names come from an unsigned DNS, so verifying them would prove
/// nothing. The handshake's own signatures are still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
