//! The certificate that listeners show.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use prometheus::IntGauge;
use relay_config::config::TlsFiles;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

use crate::message::Timestamp;
use crate::metrics::{self, Topic};

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFileError {
    /// A file cannot be read as PEM.
    #[error("{0} cannot be read: {1}")]
    File(String, String),
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("certificate and private key cannot be used: {0}")]
    Unusable(String),
}

/// Accepts TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    expires: Option<Timestamp>,
}

static EXPIRES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "When the certificate of listeners ends, or one that it rests on, since the epoch of Unix; 0: there is none";
    metrics::gauge(Topic::Intake, "tambo_certificate_expires_seconds", help)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&EXPIRES]);
}

/// From now on listeners show this certificate, or none.
pub(super) fn shown(tls: Option<&ServerTls>) {
    let expires = tls.and_then(|tls| tls.expires);
    metrics::set(&EXPIRES, expires.map_or(0, |at| at.as_millis() / 1000));
}

impl ServerTls {
    /// Reads the files.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsFileError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| file_error(&files.certificate, error))?;
        if chain.is_empty() {
            return Err(file_error(&files.certificate, "it has no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&files.private_key)
            .map_err(|error| file_error(&files.private_key, error))?;
        let expires = chain.iter().filter_map(|certificate| not_after(certificate)).min();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| TlsFileError::Unusable(error.to_string()))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), expires })
    }

    /// What accepts it.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// `TLSv1.3 TLS_AES_256_GCM_SHA384`
pub(super) fn describe(connection: &ServerConnection) -> String {
    let version = connection.protocol_version().and_then(|version| version.as_str());
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    format!("{} {}", version.unwrap_or("TLS").replace("TLSv1_", "TLSv1."), suite.unwrap_or(""))
}

fn file_error(path: &Path, error: impl ToString) -> TlsFileError {
    TlsFileError::File(path.display().to_string(), error.to_string())
}

/// Until when a certificate holds (RFC 5280 section 4.1): its structure is walked to `validity`, whose second part it is.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Number, algorithm, issuer.
    for kind in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, kind)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, until) = element(validity, UTC_TIME).or_else(|| element(validity, GENERALIZED_TIME))?;
    let text = match element(until, UTC_TIME) {
        // Two digits of the year: from 1950 to 2049.
        Some((text, _)) => {
            let text = str::from_utf8(text).ok()?;
            let century = if text < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        None => str::from_utf8(element(until, GENERALIZED_TIME)?.0).ok()?.to_owned(),
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let seconds = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_second();
    Some(Timestamp::from_millis(u64::try_from(seconds).ok()?.saturating_mul(1000)))
}

/// Tags of DER (X.690).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of the first element, if it is of this kind, and what follows it.
fn element(octets: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (tag, octets) = octets.split_first()?;
    let (length, octets) = octets.split_first()?;
    let (length, octets) = match *length {
        short @ 0..0x80 => (usize::from(short), octets),
        long => {
            let (length, octets) = octets.split_at_checked(usize::from(long & 0x7f))?;
            let add =
                |sum: usize, octet: &u8| sum.checked_mul(256)?.checked_add(usize::from(*octet));
            (length.iter().try_fold(0, add)?, octets)
        }
    };
    (*tag == kind).then(|| octets.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let head = match u8::try_from(length) {
            Ok(short @ 0..0x80) => vec![kind, short],
            Ok(long) => vec![kind, 0x81, long],
            Err(_) => {
                let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
                vec![kind, 0x82, high, low]
            }
        };
        [&head, content].concat()
    }

    fn certificate(version: bool, issuer: usize, times: &[(u8, &str)]) -> Vec<u8> {
        let times: Vec<u8> =
            times.iter().flat_map(|(kind, text)| der(*kind, text.as_bytes())).collect();
        let parts = [
            if version { der(VERSION, &der(INTEGER, &[2])) } else { Vec::new() },
            der(INTEGER, &[1, 2, 3]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, &vec![0; issuer]),
            der(SEQUENCE, &times),
            der(SEQUENCE, b"what follows"),
        ];
        der(SEQUENCE, &[der(SEQUENCE, &parts.concat()), der(SEQUENCE, b"signed")].concat())
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let from = (UTC_TIME, "250101000000Z");
        let check = |until: (u8, &str), expected: Option<&str>| {
            for (version, issuer) in [(true, 5), (false, 200), (true, 700)] {
                let found = not_after(&certificate(version, issuer, &[from, until]));
                assert_eq!(found.map(Timestamp::to_rfc3339).as_deref(), expected, "{until:?}");
            }
        };
        check((UTC_TIME, "270305102030Z"), Some("2027-03-05T10:20:30.000Z"));
        check((UTC_TIME, "490101000000Z"), Some("2049-01-01T00:00:00.000Z"));
        check((GENERALIZED_TIME, "20520101000000Z"), Some("2052-01-01T00:00:00.000Z"));
        check((UTC_TIME, "991231235959Z"), Some("1999-12-31T23:59:59.000Z"));
        check((UTC_TIME, "never"), None);
        check((INTEGER, "270305102030Z"), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole =
            certificate(true, 300, &[(UTC_TIME, "250101000000Z"), (UTC_TIME, "270305102030Z")]);
        for length in 0..whole.len() {
            let cut = not_after(&whole[..length]);
            assert_eq!(cut, None, "cut at {length}");
        }
        assert_eq!(not_after(&[SEQUENCE, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}
