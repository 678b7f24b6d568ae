//! People come in: password, code, session; and those who may are added, changed and removed.
//!
//! All of it is on disk when it returns. Passwords are checked off the async threads, so many at a time and so many
//! waiting; whoever guesses waits (`guesses.rs`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;

use crate::message::Timestamp;
use crate::metrics::limit_hit;
use crate::password::{hash_password, is_password};
use crate::queue::Queue;
use crate::spool::{Family, Operation};

use super::guesses::Guesses;
use super::sessions::{self, Beginning, SessionRecord, Sessions};
use super::users::{self, SecondFactor, UserError, UserRecord, UserRequest, Users, check_password};
use super::{Access, Caller, Role, TooOften, locked, second};

/// Passwords that are hashed at a time: mail has the other cores.
const HASHED_AT_ONCE: usize = 2;
/// Passwords that wait for it: a second's worth.
const WAITING_MAX: u32 = 32;
/// Secrets of second factors that are shown and not confirmed yet: one for each person who sits before the page.
const SHOWN_MAX: usize = 1_000;

/// Hashed in place of a password that is not there, so that names cannot be told by time.
static DECOY: LazyLock<String> = LazyLock::new(|| hash_password("decoy").unwrap_or_default());

/// Somebody with a session.
#[derive(Debug, Clone)]
pub struct Person {
    /// As whom orders are written down.
    pub caller: Caller,
    /// What they may do.
    pub role: Role,
    /// Tells this session from others.
    pub session: String,
    /// They have a second factor.
    pub has_second_factor: bool,
}

/// What came of a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// They are in: the text of the session.
    In(String),
    /// A code is asked for: the text of a session that is good for nothing else.
    Half(String),
}

/// Why somebody does not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    /// Name, password or code.
    #[error("that is not right")]
    Wrong,
    /// Too many wrong ones.
    #[error("too many wrong ones: try again in {} s", .0.seconds())]
    TooOften(TooOften),
    /// Too many passwords are being checked.
    #[error("too many passwords wait to be checked: try again in a moment")]
    Busy,
    /// The time for the code is over, or there was none to type.
    #[error("it took too long: begin again")]
    Over,
    /// The disk said no.
    #[error("{0}")]
    NotWritten(String),
}

/// What is known of people.
pub(super) struct People {
    users: Mutex<Users>,
    sessions: Mutex<Sessions>,
    guesses: Mutex<Guesses>,
    /// Secrets that are shown and not confirmed yet.
    shown: Mutex<HashMap<String, Vec<u8>>>,
    cores: Arc<Semaphore>,
    waiting: AtomicU32,
}

impl People {
    /// Reads them from the spool. Blocks.
    pub(super) fn open(queue: &Queue) -> Result<Self, String> {
        let (mut users, mut sessions) = (Users::default(), Sessions::default());
        restore(queue, users::keys(), |value| users.restore(value))?;
        restore(queue, sessions::keys(), |value| sessions.restore(value))?;
        Ok(Self {
            users: Mutex::new(users),
            sessions: Mutex::new(sessions),
            guesses: Mutex::new(Guesses::new()),
            shown: Mutex::new(HashMap::new()),
            cores: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
            waiting: AtomicU32::new(0),
        })
    }

    /// Does what takes a core; nothing: too many wait.
    async fn off<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            limit_hit("login_queue");
            return None;
        }
        let permit = Arc::clone(&self.cores).acquire_owned().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let permit = permit.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.ok()
    }
}

fn restore(
    queue: &Queue,
    (from, until): (Vec<u8>, Vec<u8>),
    mut one: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut flaw = None;
    let scanned = queue.spool().scan(Family::State, &from, &until, &mut |_, value| {
        if let Err(error) = one(value) {
            flaw = Some(format!("a user or session in the spool cannot be read: {error}"));
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|error| error.to_string())?;
    flaw.map_or(Ok(()), Err)
}

impl Access {
    /// The people, by name.
    pub fn users(&self) -> Vec<UserRecord> {
        locked(&self.people.users).list()
    }

    /// Adds somebody.
    pub async fn add_user(&self, request: UserRequest, by: &str) -> Result<UserRecord, UserError> {
        let name = locked(&self.people.users).check(&request)?;
        let password = request.password.clone();
        let hash = self.people.off(move || hash_password(&password)).await;
        let hash = hash.ok_or(UserError::Busy)?.map_err(UserError::NotWritten)?;
        let record = UserRecord {
            name,
            role: request.role,
            hash,
            created: self.clock.now().as_millis(),
            created_by: by.to_owned(),
            last_login: None,
            networks: Vec::new(),
            second: None,
        };
        {
            // Another may have been faster.
            let mut users = locked(&self.people.users);
            users.check(&request)?;
            users.put(record.clone());
        }
        if let Err(error) = self.keep(&record).await {
            locked(&self.people.users).remove(&record.name);
            return Err(error);
        }
        Ok(record)
    }

    /// Gives somebody another password; all of their sessions end but `but`.
    pub async fn set_password(
        &self,
        name: &str,
        password: String,
        but: Option<&str>,
    ) -> Result<UserRecord, UserError> {
        let name = name.to_ascii_lowercase();
        self.user(&name)?;
        check_password(&name, &password)?;
        let hash = self.people.off(move || hash_password(&password)).await;
        let hash = hash.ok_or(UserError::Busy)?.map_err(UserError::NotWritten)?;
        let record = self.change(&name, |record| record.hash = hash).await?;
        self.end_sessions(|it| it.user == name && Some(it.id()) != but).await?;
        Ok(record)
    }

    /// Whether this is the password of somebody who is in already; guesses are counted as at login.
    pub async fn confirm_password(&self, person: &Person, password: String) -> Result<(), Outside> {
        let name = person.caller.name.clone();
        let from = person.caller.from.parse().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        self.check(&name, password, from).await.map(|_| ())
    }

    /// Gives somebody another role. It holds for their sessions, too, from their next request on.
    pub async fn set_role(&self, name: &str, role: Role) -> Result<UserRecord, UserError> {
        self.change(&name.to_ascii_lowercase(), |record| record.role = role).await
    }

    /// Takes a second factor away.
    pub async fn drop_second_factor(&self, name: &str) -> Result<UserRecord, UserError> {
        self.change(&name.to_ascii_lowercase(), |record| record.second = None).await
    }

    /// Removes somebody, whose sessions end.
    pub async fn remove_user(&self, name: &str) -> Result<UserRecord, UserError> {
        let name = name.to_ascii_lowercase();
        let removed = locked(&self.people.users).remove(&name).ok_or(UserError::NoSuchUser)?;
        let operation = Operation::Delete(Family::State, users::key(&name));
        let written = self.queue.commit_state(vec![operation]).await;
        written.map_err(|error| UserError::NotWritten(error.to_string()))?;
        self.end_sessions(|it| it.user == name).await?;
        Ok(removed)
    }

    /// Begins a second factor: its secret as an address for an application, and as people type it. It holds once a
    /// code of it is confirmed.
    pub fn show_second_factor(&self, name: &str, issuer: &str) -> Option<(String, String)> {
        let mut fresh = [0; second::SECRET_OCTETS];
        SystemRandom::new().fill(&mut fresh).ok()?;
        let mut shown = locked(&self.people.shown);
        if shown.len() >= SHOWN_MAX {
            limit_hit("second_factors_shown");
            shown.clear();
        }
        // Who reloads the page sees the same.
        let secret = shown.entry(name.to_owned()).or_insert_with(|| fresh.to_vec());
        Some((second::address(secret, name, issuer)?, second::typed(secret)))
    }

    /// The secret that is shown to somebody is theirs, if the code is of it. Returns the codes on paper, this once.
    pub async fn confirm_second_factor(
        &self,
        name: &str,
        code: &str,
    ) -> Result<Vec<String>, UserError> {
        let secret = locked(&self.people.shown).get(name).cloned().ok_or(UserError::Code)?;
        let now = self.clock.now();
        let used = second::step(&secret, code, now, None).ok_or(UserError::Code)?;
        let mut codes = Vec::new();
        for _ in 0..second::PAPER_CODES {
            let mut random = [0; second::PAPER_OCTETS];
            let filled = SystemRandom::new().fill(&mut random);
            filled.map_err(|_| UserError::NotWritten(NO_RANDOM.to_owned()))?;
            codes.push(second::paper(&random));
        }
        let paper = codes.iter().map(|code| second::paper_hash(code)).collect();
        let factor = SecondFactor { secret, used: Some(used), paper };
        self.change(name, |record| record.second = Some(factor)).await?;
        locked(&self.people.shown).remove(name);
        Ok(codes)
    }

    /// Checks name and password, and begins a session: a whole one, or half of one where a code is asked for.
    pub async fn log_in(
        &self,
        name: &str,
        password: String,
        from: IpAddr,
        agent: &str,
    ) -> Result<Entered, Outside> {
        let name = name.trim().to_lowercase();
        let record = self.check(&name, password, from).await?;
        let half = record.second.is_some();
        let text = self.begin(&record.name, from, agent, half).await?;
        Ok(if half { Entered::Half(text) } else { Entered::In(text) })
    }

    /// Checks the code, and makes a whole session of half of one; its text is another.
    pub async fn enter_code(
        &self,
        half: &str,
        code: &str,
        from: IpAddr,
        agent: &str,
    ) -> Result<String, Outside> {
        let now = self.clock.now();
        let found = locked(&self.people.sessions).find(half, false, now);
        let (session, _) = found.filter(|(it, _)| it.half).ok_or(Outside::Over)?;
        self.may_try(&session.user, from, now)?;
        let right = {
            let mut users = locked(&self.people.users);
            let mut record = users.get(&session.user).cloned().ok_or(Outside::Over)?;
            let right = record.use_code(code, now);
            users.put(record);
            right
        };
        if !right {
            locked(&self.people.guesses).wrong(&session.user, network_of(from), now);
            tracing::warn!(user = %session.user, %from, "a wrong code at the web");
            return Err(Outside::Wrong);
        }
        let ended = self.end_sessions(|it| it.hash == session.hash).await;
        ended.map_err(|error| Outside::NotWritten(error.to_string()))?;
        self.begin(&session.user, from, agent, false).await
    }

    /// Whose session this is; `used`: it is a person who asks, not a page that looks on.
    pub async fn person(&self, text: &str, from: IpAddr, used: bool) -> Option<Person> {
        let (session, tell) = locked(&self.people.sessions).find(text, used, self.clock.now())?;
        let record = locked(&self.people.users).get(&session.user).cloned()?;
        if session.half {
            return None;
        }
        if tell {
            let value = session.to_bytes();
            let put = Operation::Put(Family::State, sessions::key(&session.hash), value);
            // A session that is forgotten a little early after a crash is no harm.
            let _ = self.queue.commit_state(vec![put]).await;
        }
        Some(Person {
            caller: Caller {
                name: record.name.clone(),
                scopes: record.role.scopes(),
                account: None,
                from: from.to_canonical().to_string(),
            },
            role: record.role,
            session: session.id().to_owned(),
            has_second_factor: record.has_second_factor(),
        })
    }

    /// Sessions that are open, the last used first.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        locked(&self.people.sessions).list(self.clock.now())
    }

    /// Ends the sessions that are meant; returns how many.
    pub async fn end_sessions(
        &self,
        which: impl Fn(&SessionRecord) -> bool,
    ) -> Result<usize, UserError> {
        let ended = locked(&self.people.sessions).end(which);
        let count = ended.len();
        self.forget(ended).await.map_err(UserError::NotWritten)?;
        Ok(count)
    }

    async fn begin(
        &self,
        name: &str,
        from: IpAddr,
        agent: &str,
        half: bool,
    ) -> Result<String, Outside> {
        let now = self.clock.now();
        let mut secret = [0; 32];
        let filled = SystemRandom::new().fill(&mut secret);
        filled.map_err(|_| Outside::NotWritten(NO_RANDOM.to_owned()))?;
        let beginning = Beginning {
            user: name.to_owned(),
            from: from.to_canonical().to_string(),
            agent: agent.to_owned(),
            half,
        };
        let (text, session, ended) = locked(&self.people.sessions).begin(beginning, &secret, now);
        let value = session.to_bytes();
        let mut operations =
            vec![Operation::Put(Family::State, sessions::key(&session.hash), value)];
        operations
            .extend(ended.iter().map(|it| Operation::Delete(Family::State, sessions::key(it))));
        if !half {
            locked(&self.people.guesses).right(name, network_of(from));
            let mut users = locked(&self.people.users);
            if let Some(mut record) = users.get(name).cloned() {
                record.came_in(network_of(from), now);
                let value = record.to_bytes();
                operations.push(Operation::Put(Family::State, users::key(name), value));
                users.put(record);
            }
        }
        let written = self.queue.commit_state(operations).await;
        written.map_err(|error| Outside::NotWritten(error.to_string()))?;
        Ok(text)
    }

    fn may_try(&self, name: &str, from: IpAddr, now: Timestamp) -> Result<(), Outside> {
        let network = network_of(from);
        let known =
            locked(&self.people.users).get(name).is_some_and(|it| it.networks.contains(&network));
        let leave = locked(&self.people.guesses).may_try(name, network, known, now);
        leave.map_err(Outside::TooOften)
    }

    async fn check(
        &self,
        name: &str,
        password: String,
        from: IpAddr,
    ) -> Result<UserRecord, Outside> {
        let now = self.clock.now();
        self.may_try(name, from, now)?;
        let record = locked(&self.people.users).get(name).cloned();
        let hash = record.as_ref().map(|record| record.hash.clone());
        let right = self.people.off(move || {
            is_password(&password, hash.as_deref().unwrap_or(&DECOY)) && hash.is_some()
        });
        if let (true, Some(record)) = (right.await.ok_or(Outside::Busy)?, record) {
            return Ok(record);
        }
        locked(&self.people.guesses).wrong(name, network_of(from), now);
        let name: String = name.chars().filter(|it| !it.is_control()).take(64).collect();
        tracing::warn!(user = %name, %from, "a wrong password at the web");
        Err(Outside::Wrong)
    }

    fn user(&self, name: &str) -> Result<UserRecord, UserError> {
        locked(&self.people.users).get(name).cloned().ok_or(UserError::NoSuchUser)
    }

    async fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut UserRecord),
    ) -> Result<UserRecord, UserError> {
        let record = {
            let mut users = locked(&self.people.users);
            let mut record = users.get(name).cloned().ok_or(UserError::NoSuchUser)?;
            change(&mut record);
            users.put(record.clone());
            record
        };
        self.keep(&record).await?;
        Ok(record)
    }

    async fn keep(&self, record: &UserRecord) -> Result<(), UserError> {
        let put = Operation::Put(Family::State, users::key(&record.name), record.to_bytes());
        let written = self.queue.commit_state(vec![put]).await;
        written.map_err(|error| UserError::NotWritten(error.to_string()))
    }

    async fn forget(&self, ended: Vec<String>) -> Result<(), String> {
        let delete = |hash: &String| Operation::Delete(Family::State, sessions::key(hash));
        let operations: Vec<Operation> = ended.iter().map(delete).collect();
        if operations.is_empty() {
            return Ok(());
        }
        self.queue.commit_state(operations).await.map_err(|error| error.to_string())
    }
}

const NO_RANDOM: &str = "the system has no random numbers";

/// Who has one IPv6 address has its /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests;
