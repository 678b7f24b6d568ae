//! The second factor: codes that an application on a telephone shows (RFC 6238), and codes on paper for when it is
//! lost. Pure.

use aws_lc_rs::digest::{SHA256, digest};
use totp_rs::{Builder, Secret, Totp};

use crate::message::Timestamp;

use super::audit::hexadecimal;

/// Octets of a secret, as RFC 4226 section 4 recommends.
pub(super) const SECRET_OCTETS: usize = 20;
/// Random octets of a code on paper: nobody guesses 80 bits, not even from its hash.
pub(super) const PAPER_OCTETS: usize = 10;
/// Codes on paper; each serves once.
pub(super) const PAPER_CODES: usize = 10;
/// Letters and digits that nobody confuses: no `l`, `o`, `0`, `1`.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// `otpauth://…`, which an application reads as a picture; nothing: it cannot be one.
pub(super) fn address(secret: &[u8], user: &str, issuer: &str) -> Option<String> {
    // A colon parts issuer and name.
    let issuer = issuer.replace(':', " ");
    let codes = Builder::new().with_secret(secret_of(secret));
    let codes = codes.with_account_name(user).with_issuer(Some(issuer.as_str())).build().ok()?;
    codes.to_url().ok()
}

/// The secret as people type it.
pub(super) fn typed(secret: &[u8]) -> String {
    secret_of(secret).to_base32()
}

/// The step of a code that holds now, or held one step ago or will in one: clocks differ. A step that was used, or one
/// before it, holds no longer.
pub(super) fn step(secret: &[u8], code: &str, now: Timestamp, used: Option<u64>) -> Option<u64> {
    let code: String = code.chars().filter(|it| !it.is_whitespace()).collect();
    let found = codes(secret)?.check(&code, now.as_millis() / 1000)?;
    (Some(found) > used).then_some(found)
}

fn codes(secret: &[u8]) -> Option<Totp> {
    Builder::new().with_secret(secret_of(secret)).with_account_name("x").build().ok()
}

fn secret_of(octets: &[u8]) -> Secret {
    Secret::new(octets.into())
}

/// A code on paper of random octets: `abcd-efgh-jkmn-pqrs`.
pub(super) fn paper(random: &[u8; PAPER_OCTETS]) -> String {
    let mut text = String::new();
    let bits = random.iter().fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
    for place in 0..16 {
        if place > 0 && place % 4 == 0 {
            text.push('-');
        }
        let index = usize::try_from(bits >> (place * 5) & 31).unwrap_or(0);
        text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
    }
    text
}

/// What is kept of a code on paper; however it was typed.
pub(super) fn paper_hash(code: &str) -> String {
    let code: String = code.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    hexadecimal(digest(&SHA256, code.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, SHA-1, the last six digits.
    #[test]
    fn codes_are_those_of_the_standard_and_serve_once() {
        let secret = b"12345678901234567890";
        let table = [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")];
        for (seconds, code) in table {
            let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
            let found = step(secret, code, at(seconds), None);
            assert_eq!(found, Some(seconds / 30), "{seconds}");
            assert_eq!(step(secret, code, at(seconds), found), None, "it was used");
            assert_eq!(step(secret, code, at(seconds + 30), None), found, "clocks differ");
            assert_eq!(step(secret, code, at(seconds + 90), None), None, "it is over");
        }
        let now = Timestamp::from_millis(59_000);
        assert_eq!(step(secret, "287 082", now, None), Some(1));
        assert!(
            ["", "28708", "2870822", "28708a"]
                .iter()
                .all(|it| step(secret, it, now, None).is_none())
        );
    }

    #[test]
    fn an_application_is_told_whose_codes_they_are() {
        let secret = [7; SECRET_OCTETS];
        let address = address(&secret, "ana", "relay.example.pe").unwrap();
        assert!(address.starts_with("otpauth://totp/relay.example.pe:ana?"), "{address}");
        assert!(address.contains(&format!("secret={}", typed(&secret))), "{address}");
    }

    #[test]
    fn codes_on_paper_are_read_as_people_write_them() {
        let code = paper(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 255]);
        assert_eq!(code.len(), 19, "{code}");
        assert_eq!(paper_hash(&code), paper_hash(&code.to_uppercase().replace('-', " ")));
        assert_ne!(paper_hash(&code), paper_hash(&paper(&[1; PAPER_OCTETS])));
    }
}
