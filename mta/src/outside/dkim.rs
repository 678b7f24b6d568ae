//! Private keys that sign mail (DKIM, RFC 6376). What is signed with which of them is decided
//! elsewhere (`policy`); here is what a key is asked for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use relay_config::config::{DkimKey, Place};

use crate::message::Timestamp;

/// Octets of one string of a TXT record (RFC 1035 section 3.3.14).
const STRING_OCTETS_MAX: usize = 255;

/// Opens the files that keys are in.
pub trait DkimKeys: Send + Sync {
    /// All of these keys, or what is amiss with each that can't be used.
    fn open(&self, keys: &[Arc<DkimKey>]) -> Result<OpenKeys, Vec<KeyFlaw>>;
}

/// Keys that can sign.
pub struct OpenKeys {
    /// Signs with them.
    pub signer: Arc<dyn Signer>,
    /// What will surprise, though it works.
    pub warnings: Vec<KeyFlaw>,
}

/// Signs with open keys; they are named by their place among those that were opened.
pub trait Signer: Send + Sync {
    /// A whole DKIM-Signature field, CRLF included. Takes as long as a processor needs for it (RSA
    /// about a millisecond): not on the threads that everything else runs on.
    fn sign(&self, key: usize, unsigned: &Unsigned) -> Result<Bytes, SigningError>;

    /// The public half of a key.
    fn public_key(&self, key: usize) -> Option<&PublicKey>;
}

/// What a signature is made over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// h=: names of header fields, one more time than there are such fields where none may be added.
    pub names: Vec<&'static str>,
    /// Those fields in that order, in relaxed form (RFC 6376 section 3.4.2).
    pub fields: Vec<u8>,
    /// bh=: SHA-256 of the body in relaxed form (section 3.4.4).
    pub body_hash: [u8; 32],
    /// t=
    pub time: Timestamp,
}

/// A key did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a DKIM key did not sign: {0}")]
pub struct SigningError(pub String);

/// Why a key can't be used, or what is unwise about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFlaw {
    /// Where the configuration names it.
    pub place: Place,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub mend: String,
}

impl fmt::Display for KeyFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, path, message, mend } = self;
        write!(f, "{place}: dkim.private_key: {} {message}; {mend}", path.display())
    }
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// rsa-sha256 (RFC 6376 section 3.3.2): every receiver knows it.
    Rsa,
    /// ed25519-sha256 (RFC 8463): short and fast, not known everywhere.
    Ed25519,
}

impl Algorithm {
    /// As in k= and in labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// What receivers check signatures with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// How its private half signs.
    pub algorithm: Algorithm,
    /// As p= has them, before base64: `SubjectPublicKeyInfo` of an RSA key, the bare 32 octets of an
    /// Ed25519 key (RFC 8463 section 4).
    pub octets: Vec<u8>,
}

impl PublicKey {
    /// The TXT record that publishes it (RFC 6376 section 3.6.1).
    pub fn record(&self) -> String {
        format!("v=DKIM1; k={}; p={}", self.algorithm.name(), STANDARD.encode(&self.octets))
    }

    /// The record in strings that a TXT record can hold; receivers join them.
    pub fn record_strings(&self) -> Vec<String> {
        let record = self.record();
        // All of it is ASCII.
        let strings = record.as_bytes().chunks(STRING_OCTETS_MAX);
        strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_cut_into_strings_that_join_to_it() {
        let key = PublicKey { algorithm: Algorithm::Rsa, octets: vec![0xfb; 294] };
        let strings = key.record_strings();
        assert_eq!(strings.iter().map(String::len).collect::<Vec<_>>(), [255, 155]);
        assert_eq!(strings.concat(), key.record());
        assert!(key.record().starts_with("v=DKIM1; k=rsa; p=+/v7"));
        let short = PublicKey { algorithm: Algorithm::Ed25519, octets: vec![0; 32] };
        assert_eq!(
            short.record_strings(),
            ["v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
        );
    }
}
