//! Makes keys.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::outside::dkim::{Algorithm, PublicKey};

/// Letters of a line of PEM (RFC 7468 section 2).
const PEM_LINE_OCTETS: usize = 64;

/// What kind of key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySize {
    /// An RSA key of 2048 bits: two strings of a TXT record.
    Rsa2048,
    /// Of 3072 bits.
    Rsa3072,
    /// Of 4096 bits, the most that receivers must check (RFC 8301 section 3.2).
    Rsa4096,
    /// An Ed25519 key.
    Ed25519,
}

/// A key that was made.
pub struct NewKey {
    /// The private half: PKCS #8 (RFC 5208) in PEM.
    pub pem: String,
    /// The public half.
    pub public: PublicKey,
}

/// Makes a key. RSA takes up to some seconds.
pub fn generate(size: KeySize) -> Result<NewKey, String> {
    let failed = |_: Unspecified| "the system gives no random numbers".to_owned();
    let rsa = |size| -> Result<NewKey, Unspecified> {
        let pair = RsaKeyPair::generate(size)?;
        let der = AsDer::<Pkcs8V1Der<'static>>::as_der(&pair)?;
        let octets = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key())?.as_ref().to_vec();
        let public = PublicKey { algorithm: Algorithm::Rsa, octets };
        Ok(NewKey { pem: pem(der.as_ref()), public })
    };
    match size {
        KeySize::Rsa2048 => rsa(rsa::KeySize::Rsa2048),
        KeySize::Rsa3072 => rsa(rsa::KeySize::Rsa3072),
        KeySize::Rsa4096 => rsa(rsa::KeySize::Rsa4096),
        KeySize::Ed25519 => ed25519(),
    }
    .map_err(failed)
}

fn ed25519() -> Result<NewKey, Unspecified> {
    let pair = Ed25519KeyPair::generate()?;
    // Version 1, without the public half: OpenSSL does not read version 2.
    let der = pair.to_pkcs8v1()?;
    let octets = pair.public_key().as_ref().to_vec();
    let public = PublicKey { algorithm: Algorithm::Ed25519, octets };
    Ok(NewKey { pem: pem(der.as_ref()), public })
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(PEM_LINE_OCTETS) {
        // Base64 is ASCII.
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
