//! Who may ask and act: scopes, tokens, people with their sessions, how often, and the book of what was changed.
//!
//! [`Access`] joins the pure parts with the spool, where tokens, passwords and sessions are kept as hashes, and with
//! the audit log, a file of its own. What a route needs is said where routes are (`admin/api`).

mod allowance;
pub mod audit;
mod guesses;
mod people;
mod role;
mod scope;
mod second;
mod sessions;
mod tokens;
mod users;

pub use allowance::{Allowances, TooOften};
pub use audit::{AuditEntry, AuditLog, AuditReport};
pub use people::{Entered, Outside, Person};
pub use role::Role;
pub use scope::Scope;
pub use sessions::{LASTS, SessionRecord, form_key};
pub use tokens::{TOKEN_PREFIX, TokenError, TokenRecord, TokenRequest, Tokens};
pub use users::{PASSWORD_MIN, UserError, UserRecord, UserRequest};

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;

use crate::message::Timestamp;
use crate::metrics::limit_hit;
use crate::outside::WallClock;
use crate::queue::Queue;
use crate::spool::{Family, Operation};

use people::People;

/// Requests that one caller may make in a second, over some seconds: a script that injects ten thousand mails
/// one by one is served, one that runs wild is not.
const REQUESTS_PER_SECOND: u32 = 500;
/// What a caller who was silent may ask at once.
const REQUESTS_AT_ONCE: u32 = 2_000;
/// Wrong tokens that one address may show in a minute: nobody guesses 256 bits, but the log stays readable.
const WRONG_TOKENS_PER_MINUTE: u32 = 20;
/// Addresses whose wrong tokens are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the token or of the person.
    pub name: String,
    /// What may be done.
    pub scopes: Vec<Scope>,
    /// The account that mail is sent as.
    pub account: Option<String>,
    /// Where the request came from: an address, or `socket`.
    pub from: String,
}

impl Caller {
    /// Somebody at the control socket, which the relay's own user alone can open: everything is allowed.
    pub fn local(name: String) -> Self {
        Self { name, scopes: Scope::ALL.to_vec(), account: None, from: "socket".to_owned() }
    }

    /// Somebody who sent the program a signal: who, the system does not say.
    pub fn signal() -> Self {
        let from = "signal".to_owned();
        Self { name: "the system".to_owned(), scopes: Scope::ALL.to_vec(), account: None, from }
    }

    /// Whether this is allowed.
    pub fn may(&self, needed: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.includes(needed))
    }
}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token, or none that is known (any more).
    #[error("this needs a token that is known here")]
    Unknown,
    /// Too many requests, or too many wrong tokens.
    #[error("too many requests: try again in {} s", .0.seconds())]
    TooOften(TooOften),
}

/// Who may ask and act on this relay.
pub struct Access {
    queue: Arc<Queue>,
    clock: Arc<dyn WallClock>,
    tokens: Mutex<Tokens>,
    requests: Mutex<Allowances<String>>,
    wrong: Mutex<Allowances<IpAddr>>,
    people: People,
    audit: AuditLog,
}

impl Access {
    /// Reads the tokens from the spool and opens the audit log in `data_dir`. Blocks.
    pub fn open(
        queue: Arc<Queue>,
        clock: Arc<dyn WallClock>,
        data_dir: &Path,
    ) -> Result<Self, String> {
        let mut tokens = Tokens::default();
        let (from, until) = tokens::keys();
        let mut flaw = None;
        queue
            .spool()
            .scan(Family::State, &from, &until, &mut |_, value| {
                if let Err(error) = tokens.restore(value) {
                    flaw = Some(format!("a token in the spool cannot be read: {error}"));
                }
                ControlFlow::Continue(())
            })
            .map_err(|error| error.to_string())?;
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
        Ok(Self {
            audit: AuditLog::open(data_dir)?,
            people: People::open(&queue)?,
            queue,
            clock,
            tokens: Mutex::new(tokens),
            requests: Mutex::new(Allowances::new(
                f64::from(REQUESTS_PER_SECOND),
                REQUESTS_AT_ONCE,
                tokens::TOKENS_MAX + 1,
            )),
            wrong: Mutex::new(Allowances::new(
                f64::from(WRONG_TOKENS_PER_MINUTE) / 60.0,
                WRONG_TOKENS_PER_MINUTE,
                ADDRESSES_MAX,
            )),
        })
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who shows this token from this address. A known token passes whatever others showed from there: behind one
    /// address there may be a whole institution.
    pub fn caller(&self, token: Option<&str>, from: IpAddr) -> Result<Caller, Denied> {
        let now = self.clock.now();
        let from = from.to_canonical();
        // Who forgot a token is no guesser.
        let token = token.ok_or(Denied::Unknown)?;
        let Some(found) = locked(&self.tokens).find(token, now) else {
            let counted = locked(&self.wrong).take(&from, now);
            return Err(match counted {
                Ok(()) => Denied::Unknown,
                Err(wait) => {
                    limit_hit("wrong_tokens");
                    Denied::TooOften(wait)
                }
            });
        };
        let leave = locked(&self.requests).take(&found.name, now);
        if let Err(wait) = leave {
            limit_hit("api_requests");
            return Err(Denied::TooOften(wait));
        }
        Ok(Caller {
            name: found.name,
            scopes: found.scopes,
            account: found.account,
            from: from.to_string(),
        })
    }

    /// The tokens, by name.
    pub fn tokens(&self) -> Vec<(TokenRecord, Option<Timestamp>)> {
        locked(&self.tokens).list()
    }

    /// Makes a token; its text is told this once. On disk when it returns.
    pub async fn create_token(
        &self,
        request: TokenRequest,
        by: &str,
    ) -> Result<(String, TokenRecord), TokenError> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| TokenError::NotWritten("the system has no random numbers".to_owned()))?;
        let made = locked(&self.tokens).create(request, &secret, by, self.clock.now())?;
        let (key, value) = (tokens::key(&made.1.name), made.1.to_bytes());
        let written =
            self.queue.commit_state(vec![Operation::Put(Family::State, key, value)]).await;
        if let Err(error) = written {
            locked(&self.tokens).revoke(&made.1.name);
            return Err(TokenError::NotWritten(error.to_string()));
        }
        Ok(made)
    }

    /// Ends a token at once. On disk when it returns.
    pub async fn revoke_token(&self, name: &str) -> Result<TokenRecord, TokenError> {
        let record = locked(&self.tokens).revoke(name).ok_or(TokenError::NoSuchToken)?;
        let key = tokens::key(name);
        let written = self.queue.commit_state(vec![Operation::Delete(Family::State, key)]).await;
        written.map_err(|error| TokenError::NotWritten(error.to_string()))?;
        Ok(record)
    }

    /// Writes into the audit log what somebody is about to change; it is on disk when this returns. Returns the
    /// entry's number, by which its outcome is told.
    pub async fn note(
        self: &Arc<Self>,
        caller: &Caller,
        what: &str,
        order: serde_json::Value,
    ) -> Result<u64, String> {
        let entry = audit::Draft {
            time: self.clock.now().to_rfc3339(),
            who: caller.name.clone(),
            from: caller.from.clone(),
            what: what.to_owned(),
            order,
            of: None,
        };
        self.append(entry).await
    }

    /// Writes what became of it.
    pub async fn note_outcome(
        self: &Arc<Self>,
        caller: &Caller,
        of: u64,
        outcome: serde_json::Value,
    ) -> Result<u64, String> {
        let entry = audit::Draft {
            time: self.clock.now().to_rfc3339(),
            who: caller.name.clone(),
            from: caller.from.clone(),
            what: "outcome".to_owned(),
            order: outcome,
            of: Some(of),
        };
        self.append(entry).await
    }

    /// Entries of the audit log, newest first, before this number. Blocks.
    pub fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, String> {
        self.audit.page(before, limit)
    }

    async fn append(self: &Arc<Self>, entry: audit::Draft) -> Result<u64, String> {
        let me = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || me.audit.append(entry)).await;
        written.map_err(|error| error.to_string())?
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value of the State family that is read as it was written.
fn json<T: serde::Serialize>(value: &T) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes.into(),
        // Our records have text keys and no numbers that JSON lacks.
        Err(error) => unreachable!("a record that cannot be encoded: {error}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::queue::tests::World;

    /// Nobody has a token yet.
    pub fn access() -> (Arc<Access>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new();
        let clock = Arc::clone(&world.clock) as Arc<dyn WallClock>;
        let access = Access::open(Arc::clone(&world.queue), clock, folder.path()).unwrap();
        (Arc::new(access), folder)
    }

    #[tokio::test]
    async fn tokens_are_known_after_a_restart_and_guessers_are_slowed() {
        let (access, folder) = access();
        let request = TokenRequest {
            name: "web".to_owned(),
            scopes: vec![Scope::Read],
            ..TokenRequest::default()
        };
        let (text, _) = access.create_token(request, "ana").await.unwrap();
        let clock = Arc::clone(&access.clock);
        let again = Access::open(Arc::clone(&access.queue), clock, folder.path()).unwrap();
        let from = "192.0.2.7".parse().unwrap();
        for number in 0..WRONG_TOKENS_PER_MINUTE {
            let found = again.caller(Some(&format!("tambo_{number}")), from);
            assert_eq!(found, Err(Denied::Unknown));
        }
        let found = again.caller(Some("tambo_x"), from);
        assert!(matches!(found, Err(Denied::TooOften(_))), "{found:?}");
        let caller = again.caller(Some(&text), from).unwrap();
        assert_eq!((&*caller.name, &*caller.from), ("web", "192.0.2.7"));
        assert!(caller.may(Scope::Read) && !caller.may(Scope::Operate));
        assert_eq!(again.caller(None, from), Err(Denied::Unknown));

        again.revoke_token("web").await.unwrap();
        assert_ne!(again.caller(Some(&text), "192.0.2.8".parse().unwrap()), Ok(caller));
        assert_eq!(again.revoke_token("web").await, Err(TokenError::NoSuchToken));
        let clock = Arc::clone(&access.clock);
        let last = Access::open(Arc::clone(&access.queue), clock, folder.path()).unwrap();
        assert!(last.tokens().is_empty());
    }

    #[tokio::test]
    async fn who_asks_too_often_waits() {
        let (access, _folder) = access();
        let request = TokenRequest {
            name: "wild".to_owned(),
            scopes: vec![Scope::Read],
            ..TokenRequest::default()
        };
        let (text, _) = access.create_token(request, "ana").await.unwrap();
        let from = "192.0.2.7".parse().unwrap();
        for _ in 0..REQUESTS_AT_ONCE {
            assert!(access.caller(Some(&text), from).is_ok());
        }
        assert!(matches!(access.caller(Some(&text), from), Err(Denied::TooOften(_))));
    }
}
