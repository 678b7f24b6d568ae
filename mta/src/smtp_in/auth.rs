//! Checks passwords: argon2id off the async threads, one at a time per core, a bounded queue
//! before them, right passwords remembered for five minutes, guessing slowed and stopped.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand::SystemRandom};
use prometheus::IntCounter;
use relay_config::config::Account;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::metrics::{self, Label, Labelled, Topic, limit_hit};
use crate::password::{hash_password, is_password};
use crate::policy::Policy;

use super::sasl::Login;
use super::session::Verdict;

/// Passwords that are checked at a time, if there are cores for them: 80 in a second, in 80 MB. Guessing gets no more.
const CHECKS_AT_ONCE_MAX: usize = 4;
/// How long a right password is remembered.
const REMEMBER: Duration = Duration::from_mins(5);
/// Wrong passwords are counted over this time.
const FAILURE_WINDOW: Duration = Duration::from_mins(15);
/// Addresses and names whose failures are remembered; the oldest are forgotten first.
const FAILURES_KEPT_MAX: usize = 20_000;
/// Right passwords remembered.
const REMEMBERED_MAX: usize = 10_000;
/// A wrong password is answered later with each failure, up to this.
const SLOW_MAX: Duration = Duration::from_secs(5);

static CHECKS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Passwords that clients gave (AUTH), by result";
    let results = [
        ("right", "checked now"),
        ("remembered", "the same as a right one a while ago"),
        ("wrong", "wrong, or nobody has that name"),
        ("busy", "not checked: too many wait"),
        ("blocked", "not checked: too many wrong ones before"),
    ];
    let result = Label::known("result", &results);
    metrics::counters(Topic::Intake, "tambo_password_checks_total", help, vec![result])
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&CHECKS]);
}

/// Checks the passwords of the accounts of one configuration; a reload makes a new one.
pub struct Authenticator {
    cores: Arc<Semaphore>,
    waiting: AtomicU32,
    waiting_max: u32,
    failures_max: u32,
    key: hmac::Key,
    state: Mutex<State>,
    /// Verified in place of a hash that is not there, so that names cannot be told by time.
    decoy: String,
}

#[derive(Default)]
struct State {
    /// Keyed hash of name and password → until when.
    remembered: HashMap<[u8; 32], Instant>,
    failures: HashMap<Guesser, VecDeque<Instant>>,
}

/// Whose guesses are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Guesser {
    Address(IpAddr),
    Account(Arc<str>),
}

/// Made once in a process: a hash takes the time that a password check takes.
static DECOY: LazyLock<Result<String, String>> = LazyLock::new(|| hash_password("decoy"));

impl Authenticator {
    /// As many checks run at a time as there are cores, four at most; `waiting_max` wait, `failures_max` wrong ones are borne.
    pub fn new(cores: usize, waiting_max: u32, failures_max: u32) -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system gives no random numbers".to_owned())?;
        Ok(Self {
            cores: Arc::new(Semaphore::new(cores.clamp(1, CHECKS_AT_ONCE_MAX))),
            waiting: AtomicU32::new(0),
            waiting_max,
            failures_max,
            key,
            state: Mutex::new(State::default()),
            decoy: DECOY.clone()?,
        })
    }

    /// Whether the password is right. Slow when it is wrong.
    pub async fn verify(&self, policy: &Policy, login: Login, client: IpAddr) -> Verdict {
        let fingerprint = self.fingerprint(&login);
        let account = policy.account(&login.name).filter(|account| account.password_hash.is_some());
        if let Some(account) = account
            && self.is_remembered(&fingerprint)
        {
            return result("remembered", Verdict::Right(Arc::clone(account)));
        }
        // Names that nobody has are counted by address only: anybody can invent them.
        let mut guessers = vec![Guesser::Address(network_of(client))];
        guessers.extend(account.map(|account| Guesser::Account(Arc::clone(&account.name))));
        let failures = self.failures(&guessers);
        if failures >= self.failures_max {
            limit_hit("password_failures");
            return result("blocked", Verdict::Blocked);
        }
        let verdict = self.check(account, login.password).await;
        match &verdict {
            Verdict::Right(_) => self.remember(fingerprint),
            Verdict::Wrong => {
                self.failed(guessers);
                tracing::warn!(%client, "wrong password");
                tokio::time::sleep(SLOW_MAX.min(Duration::from_secs(1) * (failures + 1))).await;
            }
            Verdict::Busy | Verdict::Blocked => {}
        }
        verdict
    }

    async fn check(&self, account: Option<&Arc<Account>>, password: String) -> Verdict {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            limit_hit("password_queue");
            return result("busy", Verdict::Busy);
        }
        let permit = Arc::clone(&self.cores).acquire_owned().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let Ok(permit) = permit else { return result("busy", Verdict::Busy) };
        let hash = account.and_then(|account| account.password_hash.clone());
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        // The permit goes along: a session that leaves does not free the core that it still uses.
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            is_password(&password, &hash)
        });
        match (checked.await, account) {
            (Ok(true), Some(account)) => result("right", Verdict::Right(Arc::clone(account))),
            (Ok(_), _) => result("wrong", Verdict::Wrong),
            (Err(_), _) => result("busy", Verdict::Busy),
        }
    }

    fn fingerprint(&self, login: &Login) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(login.name.len() as u64).to_be_bytes());
        context.update(login.name.as_bytes());
        context.update(login.password.as_bytes());
        let tag = context.sign();
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(tag.as_ref());
        fingerprint
    }

    fn is_remembered(&self, fingerprint: &[u8; 32]) -> bool {
        self.state().remembered.get(fingerprint).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, fingerprint: [u8; 32]) {
        let now = Instant::now();
        let mut state = self.state();
        if state.remembered.len() >= REMEMBERED_MAX {
            state.remembered.retain(|_, until| *until > now);
        }
        if state.remembered.len() < REMEMBERED_MAX {
            state.remembered.insert(fingerprint, now + REMEMBER);
        } else {
            limit_hit("passwords_remembered");
        }
    }

    /// Wrong passwords lately: those from the address or those for the name, whichever are more.
    fn failures(&self, guessers: &[Guesser]) -> u32 {
        let now = Instant::now();
        let mut state = self.state();
        let count = |guesser| {
            let Some(times) = state.failures.get_mut(guesser) else { return 0 };
            times.retain(|time| now.duration_since(*time) < FAILURE_WINDOW);
            u32::try_from(times.len()).unwrap_or(u32::MAX)
        };
        guessers.iter().map(count).max().unwrap_or(0)
    }

    fn failed(&self, guessers: Vec<Guesser>) {
        let now = Instant::now();
        let mut state = self.state();
        for guesser in guessers {
            if state.failures.len() >= FAILURES_KEPT_MAX && !state.failures.contains_key(&guesser) {
                limit_hit("password_failures_kept");
                let last = |times: &VecDeque<Instant>| times.back().copied();
                let oldest = state.failures.iter().min_by_key(|(_, times)| last(times));
                if let Some(oldest) = oldest.map(|(oldest, _)| oldest.clone()) {
                    state.failures.remove(&oldest);
                }
            }
            let times = state.failures.entry(guesser).or_default();
            times.push_back(now);
            if times.len() > self.failures_max as usize {
                times.pop_front();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn result(label: &str, verdict: Verdict) -> Verdict {
    CHECKS.count(&[label]);
    verdict
}

/// Who has one IPv6 address has its /64.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hash: &str) -> Policy {
        let text = format!(
            "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
             relay_from = [\"10.0.0.0/8\"]\n[[account]]\nname = \"ana\"\npassword_hash = \"{hash}\"\n"
        );
        Policy::new(&relay_config::load(&text, "t").unwrap().config)
    }

    fn login(name: &str, password: &str) -> Login {
        Login { name: name.to_owned(), password: password.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn right_wrong_and_blocked() {
        let policy = policy(&hash_password("secreto").unwrap());
        let authenticator = Authenticator::new(1, 10, 3).unwrap();
        let here: IpAddr = "192.0.2.7".parse().unwrap();
        let there: IpAddr = "192.0.2.8".parse().unwrap();
        let verify = |name: &'static str, password: &'static str, from| {
            authenticator.verify(&policy, login(name, password), from)
        };
        assert!(matches!(verify("ana", "secreto", here).await, Verdict::Right(_)));
        assert!(matches!(verify("eva", "x", there).await, Verdict::Wrong));
        for _ in 0..3 {
            assert!(matches!(verify("ana", "x", here).await, Verdict::Wrong));
        }
        assert!(matches!(verify("ana", "x", here).await, Verdict::Blocked));
        assert!(
            matches!(verify("ana", "y", there).await, Verdict::Blocked),
            "the name is guessed at"
        );
        // Who has proved it a moment ago goes on.
        assert!(matches!(verify("ana", "secreto", there).await, Verdict::Right(_)));
        tokio::time::advance(FAILURE_WINDOW).await;
        assert!(matches!(verify("ana", "x", here).await, Verdict::Wrong));
    }
}
