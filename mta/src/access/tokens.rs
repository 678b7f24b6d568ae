//! Tokens of the API: made here, shown once, kept as hashes.
//!
//! A token holds 256 random bits, so one round of SHA-256 keeps it as well as a slow hash would: there is
//! nothing to guess. (Passwords, which people choose, are another matter: `smtp_in/auth.rs`.)

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::{Scope, json};

/// What every token begins with, so that people and scanners of leaked secrets know what they see.
pub const TOKEN_PREFIX: &str = "tambo_";
/// Tokens at most: one for each program and person of an institution, many times over.
pub const TOKENS_MAX: usize = 1_000;
/// Octets of a token's name.
const NAME_MAX: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// What it is called in lists and in the audit log.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Vec<Scope>,
    /// The account that it sends as; needed for [`Scope::Send`].
    pub account: Option<String>,
    /// When it ends; `None`: when it is revoked.
    pub expires: Option<Timestamp>,
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text, in hexadecimal.
    hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The account that it sends as.
    pub account: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// By whom.
    pub created_by: String,
    /// When it ends, in milliseconds since 1970.
    pub expires: Option<u64>,
}

impl TokenRecord {
    /// As it is stored.
    pub fn to_bytes(&self) -> Bytes {
        json(self)
    }
}

/// Why there is no such token, or none is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The name cannot be one.
    #[error(
        "\"{0}\" is no name of a token: write 1 to {NAME_MAX} of a-z, A-Z, 0-9, \".\", \"_\" and \"-\""
    )]
    Name(String),
    /// Another has it.
    #[error("there is a token of this name: revoke it first, or choose another name")]
    Exists,
    /// It may do nothing.
    #[error("a token needs at least one scope: read, send, operate or admin")]
    NoScope,
    /// It sends as nobody.
    #[error("a token that sends needs the account that it sends as")]
    NoAccount,
    /// It would be over before it begins.
    #[error("it would have ended already")]
    Over,
    /// Too many.
    #[error("there are {TOKENS_MAX} tokens already: revoke those that nobody uses")]
    TooMany,
    /// Nothing to revoke.
    #[error("there is no token of this name; `tambo token list` names them")]
    NoSuchToken,
    /// The disk said no.
    #[error("{0}")]
    NotWritten(String),
}

/// All tokens.
#[derive(Debug, Default)]
pub struct Tokens {
    by_name: BTreeMap<String, (TokenRecord, Option<Timestamp>)>,
    by_hash: HashMap<String, String>,
}

impl Tokens {
    /// One from disk.
    pub fn restore(&mut self, value: &[u8]) -> Result<(), String> {
        let record: TokenRecord =
            serde_json::from_slice(value).map_err(|error| error.to_string())?;
        self.add(record);
        Ok(())
    }

    /// Makes one of 32 random octets. Returns its text and what is kept of it.
    pub fn create(
        &mut self,
        request: TokenRequest,
        secret: &[u8; 32],
        by: &str,
        now: Timestamp,
    ) -> Result<(String, TokenRecord), TokenError> {
        let TokenRequest { name, mut scopes, account, expires } = request;
        let fits = (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !fits {
            return Err(TokenError::Name(name.chars().take(NAME_MAX).collect()));
        }
        if self.by_name.get(&name).is_some_and(|(record, _)| !is_over(record, now)) {
            return Err(TokenError::Exists);
        }
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        if scopes.contains(&Scope::Send) && account.is_none() {
            return Err(TokenError::NoAccount);
        }
        if expires.is_some_and(|expires| expires <= now) {
            return Err(TokenError::Over);
        }
        if self.by_name.len() >= TOKENS_MAX && !self.by_name.contains_key(&name) {
            limit_hit("tokens");
            return Err(TokenError::TooMany);
        }
        let text = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        self.revoke(&name);
        let record = TokenRecord {
            name,
            hash: hash(&text),
            scopes,
            account,
            created: now.as_millis(),
            created_by: by.to_owned(),
            expires: expires.map(Timestamp::as_millis),
        };
        self.add(record.clone());
        Ok((text, record))
    }

    /// Forgets one.
    pub fn revoke(&mut self, name: &str) -> Option<TokenRecord> {
        let (record, _) = self.by_name.remove(name)?;
        self.by_hash.remove(&record.hash);
        Some(record)
    }

    /// The token with this text, if it has not ended; remembers that it was used.
    pub fn find(&mut self, text: &str, now: Timestamp) -> Option<TokenRecord> {
        let name = self.by_hash.get(&hash(text))?;
        let (record, used) = self.by_name.get_mut(name)?;
        if is_over(record, now) {
            return None;
        }
        *used = Some(now);
        Some(record.clone())
    }

    /// All, by name, each with when it was last used since the relay was started.
    pub fn list(&self) -> Vec<(TokenRecord, Option<Timestamp>)> {
        self.by_name.values().cloned().collect()
    }

    fn add(&mut self, record: TokenRecord) {
        self.by_hash.insert(record.hash.clone(), record.name.clone());
        self.by_name.insert(record.name.clone(), (record, None));
    }
}

fn is_over(record: &TokenRecord, now: Timestamp) -> bool {
    record.expires.is_some_and(|expires| expires <= now.as_millis())
}

const KEY_PREFIX: &[u8] = b"token/";

/// Where a token is kept in the State family.
pub(super) fn key(name: &str) -> Vec<u8> {
    [KEY_PREFIX, name.as_bytes()].concat()
}

/// All of their keys: from here to there.
pub(super) fn keys() -> (Vec<u8>, Vec<u8>) {
    (KEY_PREFIX.to_vec(), b"token0".to_vec())
}

fn hash(text: &str) -> String {
    super::audit::hexadecimal(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn request(name: &str, scopes: &[Scope]) -> TokenRequest {
        TokenRequest { name: name.to_owned(), scopes: scopes.to_vec(), ..TokenRequest::default() }
    }

    #[test]
    fn a_token_is_known_until_it_is_revoked_or_ends() {
        let mut tokens = Tokens::default();
        let later = NOW.after(std::time::Duration::from_secs(10));
        let wanted = TokenRequest { expires: Some(later), ..request("web", &[Scope::Read]) };
        let (text, record) = tokens.create(wanted, &[7; 32], "ana", NOW).unwrap();
        assert!(text.starts_with(TOKEN_PREFIX) && text.len() == 6 + 43);
        assert!(!String::from_utf8_lossy(&record.to_bytes()).contains(&text[6..]), "only its hash");
        assert_eq!(tokens.find(&text, NOW).unwrap().name, "web");
        assert_eq!(tokens.list()[0].1, Some(NOW));
        assert_eq!(tokens.find(&text, later), None, "it has ended");
        assert_eq!(tokens.find(&text[..text.len() - 1], NOW), None);
        assert_eq!(tokens.find("", NOW), None);

        let mut again = Tokens::default();
        again.restore(&record.to_bytes()).unwrap();
        assert_eq!(again.find(&text, NOW), Some(record));
        assert!(again.revoke("web").is_some());
        assert_eq!(again.find(&text, NOW), None);
        assert!(again.revoke("web").is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut tokens = Tokens::default();
        tokens.create(request("a", &[Scope::Read]), &[1; 32], "x", NOW).unwrap();
        let check = |tokens: &mut Tokens, request: TokenRequest, expected: &TokenError| {
            let found = tokens.create(request, &[2; 32], "x", NOW).unwrap_err();
            assert_eq!(&found, expected);
        };
        let wrong = |name: &str| TokenError::Name(name.to_owned());
        check(&mut tokens, request("", &[Scope::Read]), &wrong(""));
        check(&mut tokens, request("a/b", &[Scope::Read]), &wrong("a/b"));
        check(&mut tokens, request("a", &[Scope::Read]), &TokenError::Exists);
        check(&mut tokens, request("b", &[]), &TokenError::NoScope);
        check(&mut tokens, request("b", &[Scope::Send]), &TokenError::NoAccount);
        let over = TokenRequest { expires: Some(NOW), ..request("b", &[Scope::Read]) };
        check(&mut tokens, over, &TokenError::Over);
        for number in 1..TOKENS_MAX {
            let request = request(&format!("t{number}"), &[Scope::Read]);
            tokens.create(request, &[3; 32], "x", NOW).unwrap();
        }
        check(&mut tokens, request("b", &[Scope::Read]), &TokenError::TooMany);
    }
}
