//! Who signs a message (DKIM, RFC 6376), and what of it: everything but the work of the key itself.
//!
//! The domain of the first mailbox in From chooses: its own keys, else those of the nearest domain
//! above it that has any, which DMARC takes as aligned (RFC 7489 section 3.1.1, relaxed). All keys of
//! that domain sign. Both forms are relaxed: what servers on the way do to spaces and to the names
//! of fields breaks nothing. There is no l=: whoever adds to a body breaks the signature.

mod covered;
mod relaxed;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use prometheus::{Histogram, IntCounter};
use relay_config::config::DkimKey;

use crate::message::Timestamp;
use crate::metrics::{self, Label, Labelled, Topic};
use crate::outside::dkim::Algorithm;
use crate::outside::{Signer, SigningError, Unsigned};

static SIGNATURES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let algorithm = Label::known(
        "algorithm",
        &[(Algorithm::Rsa.name(), "rsa-sha256"), (Algorithm::Ed25519.name(), "ed25519-sha256")],
    );
    let help = "DKIM signatures made";
    metrics::counters(Topic::Delivery, "tambo_dkim_signatures_total", help, vec![algorithm])
});
static SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25];
    let help = "Time to sign a message with all keys of its domain";
    metrics::histogram(Topic::Delivery, "tambo_dkim_seconds", help, &buckets)
});
static FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Times that a DKIM key did not sign";
    metrics::counter(Topic::Delivery, "tambo_dkim_failures_total", help)
});
static UNSIGNED: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let reason = Label::known(
        "reason",
        &[("no_from", "its From has no mailbox"), ("no_key", "nobody here signs for its From")],
    );
    let help = "Messages that went without a DKIM signature of ours";
    metrics::counters(Topic::Delivery, "tambo_dkim_unsigned_total", help, vec![reason])
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&SIGNATURES, &SECONDS, &FAILURES, &UNSIGNED]);
}

/// The keys of this relay, by domain.
pub struct Signing {
    signer: Arc<dyn Signer>,
    /// Places of a domain's keys among all.
    keys: HashMap<String, Vec<usize>>,
}

impl Signing {
    /// `signer` has opened these keys, in this order.
    pub fn new(keys: &[Arc<DkimKey>], signer: Arc<dyn Signer>) -> Self {
        let mut domains: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            domains.entry(key.domain.clone()).or_default().push(place);
        }
        Self { signer, keys: domains }
    }

    /// Whether mail from this domain is signed. One that is not is counted when `first` is said.
    pub fn signs(&self, from_domain: Option<&str>, first: bool) -> bool {
        let signs = from_domain.is_some_and(|domain| !self.keys_of(domain).is_empty());
        if !signs && first {
            let reason = if from_domain.is_some() { "no_key" } else { "no_from" };
            UNSIGNED.count(&[reason]);
        }
        signs
    }

    /// DKIM-Signature fields for a message, one for each key of its domain, as they stand above it;
    /// `None` when it has no keys. `pieces` are what is sent below the Received field. Takes as
    /// long as a processor needs for it.
    pub fn sign(
        &self,
        from_domain: &str,
        pieces: &[Bytes],
        now: Timestamp,
    ) -> Result<Option<Bytes>, SigningError> {
        let keys = self.keys_of(from_domain);
        if keys.is_empty() {
            return Ok(None);
        }
        let timer = SECONDS.start_timer();
        let (header, body) = split(pieces);
        let (names, fields) = covered::covered(&header);
        let body_hash = relaxed::body_hash(&body);
        let unsigned = Unsigned { names, fields, body_hash, time: now };
        let mut signatures = BytesMut::new();
        for key in keys {
            let signature = self.signer.sign(*key, &unsigned).inspect_err(|_| FAILURES.inc())?;
            signatures.extend_from_slice(&signature);
            if let Some(public) = self.signer.public_key(*key) {
                SIGNATURES.count(&[public.algorithm.name()]);
            }
        }
        timer.observe_duration();
        Ok(Some(signatures.freeze()))
    }

    /// The keys of the domain, or of the nearest one above it that has any.
    fn keys_of(&self, from_domain: &str) -> &[usize] {
        let mut domain = from_domain;
        loop {
            if let Some(keys) = self.keys.get(domain) {
                return keys;
            }
            match domain.split_once('.') {
                Some((_, parent)) => domain = parent,
                None => return &[],
            }
        }
    }
}

/// Header section and body of a message in pieces, without the empty line between them.
fn split(pieces: &[Bytes]) -> (Vec<u8>, Vec<&[u8]>) {
    let mut header: Vec<u8> = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let before = header.len();
        header.extend_from_slice(piece);
        let Some(end) = header_end(&header, before.saturating_sub(3)) else { continue };
        let mut body: Vec<&[u8]> = vec![&piece[end + 2 - before..]];
        body.extend(pieces.iter().skip(number + 1).map(|piece| &piece[..]));
        header.truncate(end);
        return (header, body);
    }
    (header, Vec::new())
}

/// Where the empty line starts that ends a header section, if it is there at or after `from`.
fn header_end(text: &[u8], from: usize) -> Option<usize> {
    if from == 0 && text.starts_with(b"\r\n") {
        return Some(0);
    }
    memchr::memmem::find(&text[from..], b"\r\n\r\n").map(|place| from + place + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::dkim::PublicKey;
    use std::sync::Mutex;

    /// Writes down what it is asked to sign.
    #[derive(Default)]
    struct Scribe(Mutex<Vec<Unsigned>>);

    impl Signer for Scribe {
        fn sign(&self, key: usize, unsigned: &Unsigned) -> Result<Bytes, SigningError> {
            self.0.lock().unwrap().push(unsigned.clone());
            Ok(format!("key {key}\r\n").into())
        }

        fn public_key(&self, _key: usize) -> Option<&PublicKey> {
            None
        }
    }

    fn signing(domains: &[&str]) -> (Arc<Scribe>, Signing) {
        let mut text = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"a\"\n\
            bind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n"
            .to_owned();
        for (number, domain) in domains.iter().enumerate() {
            text.push_str(&format!(
                "[[dkim]]\ndomain = \"{domain}\"\nselector = \"s{number}\"\nprivate_key = \"k\"\n"
            ));
        }
        let keys = relay_config::load(&text, "t").unwrap().config.dkim;
        let scribe = Arc::new(Scribe::default());
        (Arc::clone(&scribe), Signing::new(&keys, scribe))
    }

    #[test]
    fn the_domain_of_from_chooses_or_the_nearest_above_it() {
        let (_, signing) = signing(&["x.pe", "acto.x.pe", "x.pe", "y.pe"]);
        let check = |from: &str, keys: &str| {
            let body = [Bytes::from_static(b"From: a\r\n\r\n")];
            let signed = signing.sign(from, &body, Timestamp::from_millis(5)).unwrap();
            let signed = signed.map(|fields| String::from_utf8(fields.to_vec()).unwrap());
            assert_eq!(signed.unwrap_or_default().replace("\r\n", " ").trim(), keys, "{from}");
            assert_eq!(signing.signs(Some(from), true), !keys.is_empty(), "{from}");
        };
        check("x.pe", "key 0 key 2");
        check("acto.x.pe", "key 1");
        check("a.b.acto.x.pe", "key 1");
        check("otro.x.pe", "key 0 key 2");
        check("y.pe", "key 3");
        check("yx.pe", "");
        check("pe", "");
        check("[127.0.0.1]", "");
        assert!(!signing.signs(None, false));
    }

    #[test]
    fn header_and_body_are_told_apart_wherever_pieces_are_cut() {
        let text = b"From: a\r\nTo: b\r\n\r\nbody\r\n\r\nmore\r\n";
        for first in 0..text.len() {
            for second in first..text.len() {
                let cut = [&text[..first], &text[first..second], &text[second..]];
                let pieces = cut.map(Bytes::copy_from_slice);
                let (header, body) = split(&pieces);
                assert_eq!(header, b"From: a\r\nTo: b\r\n", "{first} {second}");
                assert_eq!(body.concat(), b"body\r\n\r\nmore\r\n", "{first} {second}");
            }
        }
        let check = |text: &'static str, header: &str, body: &str| {
            let pieces = [Bytes::from(text)];
            let (found, rest) = split(&pieces);
            let found = (String::from_utf8(found).unwrap(), rest.concat());
            assert_eq!(found, (header.to_owned(), body.as_bytes().to_vec()), "{text:?}");
        };
        check("\r\nbody\r\n", "", "body\r\n");
        check("From: a\r\n", "From: a\r\n", "");
        check("From: a\r\n\r\n", "From: a\r\n", "");
        check("", "", "");
    }

    #[test]
    fn keys_are_given_fields_body_and_time() {
        let (scribe, signing) = signing(&["x.pe"]);
        let pieces = ["Date: now\r\n", "FROM:  a\r\n\tb \r\n\r\nbody \r\n", "\r\n"];
        let pieces = pieces.map(Bytes::from);
        signing.sign("x.pe", &pieces, Timestamp::from_millis(5_999)).unwrap();
        let asked = scribe.0.lock().unwrap();
        assert_eq!(asked[0].fields, b"from:a b\r\ndate:now\r\n");
        assert_eq!(asked[0].names[..2], ["From", "From"]);
        assert_eq!(asked[0].body_hash, relaxed::body_hash(&[b"body\r\n"]));
        assert_eq!(asked[0].time, Timestamp::from_millis(5_999));
    }
}
