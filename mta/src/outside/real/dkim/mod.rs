//! DKIM keys in PEM files: opened here, made in `generate.rs`, put to work in `sign.rs`.

mod generate;
mod sign;

pub use generate::{KeySize, NewKey, generate};

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use mail_auth::common::crypto::{Ed25519Key, RsaKey};
use relay_config::config::DkimKey;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::outside::dkim::{Algorithm, DkimKeys, KeyFlaw, OpenKeys, PublicKey};

use sign::{FileSigner, OpenKey};

/// Octets of a file that may be a key: one of 16384 bits has 13 KiB.
const FILE_OCTETS_MAX: u64 = 64 * 1024;
/// Receivers need not check longer RSA keys (RFC 8301 section 3.2).
const RSA_BITS_CHECKED: usize = 4096;

/// Keys in files.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeyFiles;

impl DkimKeys for KeyFiles {
    fn open(&self, keys: &[Arc<DkimKey>]) -> Result<OpenKeys, Vec<KeyFlaw>> {
        let (mut open, mut flaws, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            let flaw = |(message, mend): Flaw| KeyFlaw {
                place: key.place.clone(),
                path: key.private_key.clone(),
                message,
                mend,
            };
            match open_key(key) {
                Ok((opened, unwise)) => {
                    open.push(opened);
                    warnings.extend(unwise.into_iter().map(flaw));
                }
                Err(why) => flaws.push(flaw(why)),
            }
        }
        if flaws.is_empty() {
            Ok(OpenKeys { signer: Arc::new(FileSigner(open)), warnings })
        } else {
            Err(flaws)
        }
    }
}

/// What is wrong, and what to do.
type Flaw = (String, String);

fn open_key(key: &DkimKey) -> Result<(OpenKey, Vec<Flaw>), Flaw> {
    let path = &key.private_key;
    let (pem, mode) = read(path).map_err(|error| unreadable(&error, key))?;
    let mut unwise = Vec::new();
    if mode & 0o006 != 0 {
        let mend = format!("run `chmod o= {}`", path.display());
        unwise.push(("is open to everybody on this machine".to_owned(), mend));
    }
    if pem.len() as u64 > FILE_OCTETS_MAX {
        return Err(("is too large for a key".to_owned(), name_another()));
    }
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key(&pem))?;
    let (signing, public, bits) = parse(&der)?;
    if bits > RSA_BITS_CHECKED {
        let message = format!("holds an RSA key of {bits} bits, which not every receiver checks");
        unwise.push((message, "make one of 2048 bits with `tambo dkim keygen`".to_owned()));
    }
    let opened =
        OpenKey { domain: key.domain.clone(), selector: key.selector.clone(), signing, public };
    Ok((opened, unwise))
}

/// The octets and the permissions of a file.
fn read(path: &Path) -> std::io::Result<(Vec<u8>, u32)> {
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut octets = Vec::new();
    file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets)?;
    Ok((octets, mode))
}

fn unreadable(error: &std::io::Error, key: &DkimKey) -> Flaw {
    let path = key.private_key.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => (
            "is not there".to_owned(),
            format!(
                "make it with `tambo dkim keygen --domain {} --selector {} --out {path}`",
                key.domain, key.selector
            ),
        ),
        std::io::ErrorKind::PermissionDenied => (
            "may not be read by this user".to_owned(),
            "give file and folder to the user or the group that the relay runs as".to_owned(),
        ),
        _ => (format!("cannot be read: {error}"), name_another()),
    }
}

/// Why PEM has no private key for us.
fn no_key(pem: &[u8]) -> Flaw {
    let holds = |label: &str| memchr::memmem::find(pem, label.as_bytes()).is_some();
    if holds("BEGIN ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        let mend =
            "nobody can type its password when the relay starts: decrypt it with `openssl pkey`";
        return ("is encrypted".to_owned(), mend.to_owned());
    }
    if holds("PUBLIC KEY-----") {
        let message = "holds the public key, which belongs into the DNS".to_owned();
        return (message, "name the file of the private key".to_owned());
    }
    ("holds no private key in PEM".to_owned(), name_another())
}

fn name_another() -> String {
    "name a file with an RSA or Ed25519 key; `tambo dkim keygen` makes one".to_owned()
}

/// The key, its public half, and the bits of an RSA key.
fn parse(
    der: &PrivateKeyDer<'_>,
) -> Result<(mail_auth::common::crypto::DkimKey, PublicKey, usize), Flaw> {
    let rsa = match der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => {
            // One that OpenSSL wrote lacks the public half, which is worked out.
            if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()) {
                let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der());
                let octets = pair.public_key().as_ref().to_vec();
                let public = PublicKey { algorithm: Algorithm::Ed25519, octets };
                return Ok((key.map_err(unusable)?.into(), public, 0));
            }
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        }
        _ => return Err(unusable("it is of a kind that DKIM does not know")),
    };
    let rsa = rsa.map_err(|rejected| match rejected.to_string().as_str() {
        // Our cryptography does not sign with what receivers have stopped to trust.
        "TooSmall" => (
            "holds an RSA key of less than 2048 bits".to_owned(),
            "make a new one with a new selector: `tambo dkim keygen`".to_owned(),
        ),
        why => unusable(why),
    })?;
    let bits = rsa.public_modulus_len() * 8;
    let octets = rsa.public_key().as_der().map_err(unusable)?.as_ref().to_vec();
    let key = RsaKey::from_key_der(der.clone_key()).map_err(unusable)?;
    Ok((key.into(), PublicKey { algorithm: Algorithm::Rsa, octets }, bits))
}

fn unusable(why: impl std::fmt::Display) -> Flaw {
    (format!("holds a key that cannot be used ({why})"), name_another())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::path::PathBuf;

    use aws_lc_rs::digest::{SHA256, digest};
    use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use relay_config::config::Place;

    use crate::message::Timestamp;
    use crate::outside::Unsigned;

    fn key(path: PathBuf) -> Arc<DkimKey> {
        let place = Place { file: "tambo.toml".into(), line: 7, column: 15 };
        let (domain, selector) = ("x.pe".to_owned(), "s".to_owned());
        Arc::new(DkimKey { domain, selector, private_key: path, place })
    }

    /// Written by OpenSSL 3.
    fn file(name: &str) -> PathBuf {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        Path::new(&folder).join("src/outside/real/dkim/testdata").join(name)
    }

    fn flaw_of(path: PathBuf) -> String {
        let Err(flaws) = KeyFiles.open(&[key(path)]) else { panic!("it is open") };
        assert_eq!(flaws.len(), 1);
        let text = flaws[0].to_string();
        assert!(text.starts_with("tambo.toml:7:15: dkim.private_key: /"), "{text}");
        text
    }

    #[test]
    fn keys_that_openssl_wrote_are_read() {
        let check = |name: &str, algorithm: Algorithm, public_end: &str| {
            let open = KeyFiles.open(&[key(file(name))]);
            let open = open.unwrap_or_else(|flaws| panic!("{name}: {flaws:?}"));
            let public = open.signer.public_key(0).unwrap();
            assert_eq!(public.algorithm, algorithm, "{name}");
            assert!(public.record().ends_with(public_end), "{name}: {}", public.record());
        };
        check("pkcs1.pem", Algorithm::Rsa, "RCjxp1lcsL+wmnUfQyAkSroWpkUfPIZ6tQIDAQAB");
        check("pkcs8.pem", Algorithm::Rsa, "IDAQAB");
        let ed25519 = "k=ed25519; p=YAYbNpPmnxjUucGpvkg+fYJngXBZCt3kf8TkCOdAjMo=";
        check("ed25519.pem", Algorithm::Ed25519, ed25519);
    }

    #[test]
    fn what_is_no_key_says_why() {
        let check = |name: &str, expected: &str| {
            let text = flaw_of(file(name));
            assert!(text.contains(expected), "{text}");
        };
        check("short.pem", "holds an RSA key of less than 2048 bits; make a new one");
        check("ec.pem", "holds a key that cannot be used");
        check("sec1.pem", "holds a key that cannot be used");
        check("encrypted.pem", "is encrypted; ");
        check("public.pem", "holds the public key, ");
        check(
            "nowhere.pem",
            "is not there; make it with `tambo dkim keygen --domain x.pe --selector s --out /",
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pem");
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
        assert!(flaw_of(path.clone()).contains("holds no private key in PEM; "));
        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert!(flaw_of(path).contains("is too large for a key; "));
        assert!(flaw_of(folder.path().to_owned()).contains("cannot be read: "));
    }

    #[test]
    fn all_flaws_are_told_at_once_and_a_key_for_everybody_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pem");
        std::fs::write(&path, generate(KeySize::Ed25519).unwrap().pem).unwrap();
        let mode = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let warnings = || {
            let open = KeyFiles.open(&[key(path.clone())]).unwrap_or_else(|_| panic!("not open"));
            open.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        mode(0o640);
        assert_eq!(warnings(), "");
        mode(0o644);
        assert!(warnings().contains("k.pem is open to everybody on this machine; run `chmod o= /"));
        let keys = [key(file("short.pem")), key(path.clone()), key(file("nowhere.pem"))];
        let Err(flaws) = KeyFiles.open(&keys) else { panic!("they are open") };
        assert_eq!(flaws.len(), 2);
    }

    /// The value of a tag of the field, without folds.
    fn tag(field: &str, name: &str) -> String {
        let value = field.trim_end().split(';').find_map(|tag| {
            let (found, value) = tag.trim().split_once('=')?;
            (found.trim_start_matches("DKIM-Signature: ") == name).then_some(value)
        });
        value.unwrap_or_else(|| panic!("no {name} in {field}")).split_whitespace().collect()
    }

    #[test]
    fn a_key_that_was_made_signs_and_its_public_half_agrees() {
        let folder = tempfile::tempdir().unwrap();
        for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Ed25519] {
            let path = folder.path().join("k.pem");
            let made = generate(size).unwrap();
            assert!(made.pem.lines().all(|line| line.len() <= 64), "{}", made.pem);
            std::fs::write(&path, &made.pem).unwrap();
            let open = KeyFiles.open(&[key(path)]).unwrap_or_else(|_| panic!("not open"));
            assert_eq!(open.signer.public_key(0), Some(&made.public));
            let unsigned = Unsigned {
                names: vec!["From", "From"],
                fields: b"from:a\r\n".to_vec(),
                body_hash: [9; 32],
                time: Timestamp::from_millis(1_795_525_500_999),
            };
            let field = open.signer.sign(0, &unsigned).unwrap();
            let field = std::str::from_utf8(&field).unwrap();
            assert!(
                field.ends_with(";\r\n") && field.lines().all(|line| line.len() < 100),
                "{field}"
            );
            let tags = ["v", "d", "s", "c", "h", "t", "bh"].map(|name| tag(field, name));
            let hash = STANDARD.encode([9; 32]);
            let wanted =
                ["1", "x.pe", "s", "relaxed/relaxed", "From:From", "1795525500", &hash[..]];
            assert_eq!(tags, wanted);
            // What receivers hash: the field without the value of b=, in relaxed form.
            let (start, rest) = field.split_once(" b=").unwrap();
            assert!(rest.trim_end().ends_with(';'));
            let words: Vec<&str> = start.split_whitespace().collect();
            let relaxed = words.join(" ").replacen("DKIM-Signature: ", "dkim-signature:", 1);
            let hashed = format!("from:a\r\n{relaxed} b=;");
            let signature = STANDARD.decode(tag(field, "b")).unwrap();
            let public = &made.public.octets;
            let good = if size == KeySize::Ed25519 {
                let hash = digest(&SHA256, hashed.as_bytes());
                UnparsedPublicKey::new(&ED25519, public).verify(hash.as_ref(), &signature)
            } else {
                let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
                key.verify(hashed.as_bytes(), &signature)
            };
            assert!(good.is_ok(), "{size:?}: {field}");
        }
        assert!(
            KeyFiles
                .open(&[])
                .unwrap_or_else(|_| panic!("not open"))
                .signer
                .public_key(0)
                .is_none()
        );
    }
}
