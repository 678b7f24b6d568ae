//! What comes of TLS handshakes, in the words of metrics: the same on both sides. Whether it matters
//! that one failed is decided elsewhere.

use std::io;

use tokio_rustls::rustls::{self, ProtocolVersion};

/// Each result with its meaning.
pub(crate) const RESULTS: [(&str, &str); 5] = [
    ("TLSv1.2", "done"),
    ("TLSv1.3", "done"),
    ("certificate", "the certificate does not hold"),
    ("timeout", "it took too long"),
    ("failed", "anything else: no version or cipher in common, the other side closed"),
];

/// The word for a handshake: its version, or why it failed.
pub(crate) fn result(ended: Result<Option<ProtocolVersion>, &io::Error>) -> &'static str {
    match ended {
        Ok(Some(ProtocolVersion::TLSv1_2)) => "TLSv1.2",
        // There are no others: both sides offer these two.
        Ok(_) => "TLSv1.3",
        Err(error) if error.kind() == io::ErrorKind::TimedOut => "timeout",
        Err(error) => {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
            match cause {
                Some(rustls::Error::InvalidCertificate(_)) => "certificate",
                _ => "failed",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_word() {
        let check = |ended: Result<Option<ProtocolVersion>, io::Error>, expected: &str| {
            let found = result(ended.as_ref().map(|version| *version));
            assert_eq!(found, expected);
            assert!(RESULTS.iter().any(|(word, _)| *word == expected));
        };
        check(Ok(Some(ProtocolVersion::TLSv1_2)), "TLSv1.2");
        check(Ok(Some(ProtocolVersion::TLSv1_3)), "TLSv1.3");
        check(Err(io::ErrorKind::TimedOut.into()), "timeout");
        check(Err(io::ErrorKind::UnexpectedEof.into()), "failed");
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        check(Err(io::Error::new(io::ErrorKind::InvalidData, expired)), "certificate");
        let other = rustls::Error::HandshakeNotComplete;
        check(Err(io::Error::new(io::ErrorKind::InvalidData, other)), "failed");
    }
}
