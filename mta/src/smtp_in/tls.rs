//! The certificate that listeners show.

use std::path::Path;
use std::sync::Arc;

use relay_config::config::TlsFiles;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

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
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| TlsFileError::Unusable(error.to_string()))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
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
