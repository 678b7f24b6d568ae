//! People who may open the web: names, hashes of passwords, roles, second factors. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::{Role, json, second};

/// People at most: those of an institution who look after its mail, many times over.
pub const USERS_MAX: usize = 500;
/// Octets of a name.
const NAME_MAX: usize = 64;
/// Characters of a password at least: what NIST SP 800-63B asks of one that may stand alone is eight; twelve bear a
/// theft of the hashes, too.
pub const PASSWORD_MIN: usize = 12;
/// Octets of a password at most: nobody types more, and hashing takes its time.
const PASSWORD_MAX: usize = 1_024;
/// Networks that are remembered of each person: those of an office, a home and a telephone, and some more.
const NETWORKS_MAX: usize = 16;

/// What is kept of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The name, in lower case.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// argon2id, as a PHC string.
    pub(super) hash: String,
    /// When they were added, in milliseconds since 1970.
    pub created: u64,
    /// By whom.
    pub created_by: String,
    /// When they last came in, in milliseconds since 1970.
    #[serde(default)]
    pub last_login: Option<u64>,
    /// From where they came in, the last at the end: what others guess from elsewhere does not keep them out here.
    #[serde(default)]
    pub(super) networks: Vec<IpAddr>,
    /// Their second factor, when they have one.
    #[serde(default)]
    pub(super) second: Option<SecondFactor>,
}

/// A second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecondFactor {
    /// What the application on the telephone knows, too.
    pub secret: Vec<u8>,
    /// The last step whose code was used: it serves once.
    pub used: Option<u64>,
    /// Hashes of the codes on paper that are left.
    pub paper: Vec<String>,
}

impl UserRecord {
    /// As it is stored.
    pub(super) fn to_bytes(&self) -> Bytes {
        json(self)
    }

    /// Whether a code is asked for beside the password.
    pub fn has_second_factor(&self) -> bool {
        self.second.is_some()
    }

    /// Codes on paper that are left.
    pub fn paper_codes(&self) -> usize {
        self.second.as_ref().map_or(0, |second| second.paper.len())
    }

    /// Uses a code, of the application or on paper, if it is right.
    pub(super) fn use_code(&mut self, code: &str, now: Timestamp) -> bool {
        let Some(second) = &mut self.second else { return false };
        if let Some(step) = second::step(&second.secret, code, now, second.used) {
            second.used = Some(step);
            return true;
        }
        let hash = second::paper_hash(code);
        let before = second.paper.len();
        second.paper.retain(|known| *known != hash);
        second.paper.len() < before
    }

    /// They came in.
    pub(super) fn came_in(&mut self, from: IpAddr, now: Timestamp) {
        self.last_login = Some(now.as_millis());
        self.networks.retain(|known| *known != from);
        self.networks.push(from);
        if self.networks.len() > NETWORKS_MAX {
            self.networks.remove(0);
        }
    }
}

/// Somebody who is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRequest {
    /// The name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The password.
    pub password: String,
}

/// Why a person cannot be added or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The name cannot be one.
    #[error(
        "\"{0}\" is no name of a user: write 1 to {NAME_MAX} of a-z, 0-9, \".\", \"_\", \"-\" and \"@\""
    )]
    Name(String),
    /// Another has it.
    #[error("there is a user of this name: remove it first, or choose another name")]
    Exists,
    /// The password is easily guessed.
    #[error(
        "the password needs at least {PASSWORD_MIN} characters; three or four words are a good one"
    )]
    Short,
    /// Nobody types that.
    #[error("the password has more than {PASSWORD_MAX} octets")]
    Long,
    /// Everybody would try that first.
    #[error("the password is, or holds little more than, the name of the user: choose another")]
    Guessable,
    /// Too many.
    #[error("there are {USERS_MAX} users already: remove those who are gone")]
    TooMany,
    /// Nobody.
    #[error("there is no user of this name; `tambo user list` names them")]
    NoSuchUser,
    /// The code of a second factor is not right.
    #[error("the code is not right: look at the clock of the telephone, and type the next one")]
    Code,
    /// Too many passwords are being hashed.
    #[error("too many passwords wait to be checked: try again in a moment")]
    Busy,
    /// The disk said no.
    #[error("{0}")]
    NotWritten(String),
}

/// All people.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: BTreeMap<String, UserRecord>,
}

impl Users {
    /// One from disk.
    pub(super) fn restore(&mut self, value: &[u8]) -> Result<(), String> {
        let record: UserRecord =
            serde_json::from_slice(value).map_err(|error| error.to_string())?;
        self.put(record);
        Ok(())
    }

    /// Whether somebody of this name can be added. Returns the name as it is kept.
    pub(super) fn check(&self, request: &UserRequest) -> Result<String, UserError> {
        let name = request.name.trim().to_ascii_lowercase();
        let fits = (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
        if !fits {
            return Err(UserError::Name(request.name.chars().take(NAME_MAX).collect()));
        }
        if self.by_name.contains_key(&name) {
            return Err(UserError::Exists);
        }
        if self.by_name.len() >= USERS_MAX {
            limit_hit("users");
            return Err(UserError::TooMany);
        }
        check_password(&name, &request.password)?;
        Ok(name)
    }

    /// Adds or replaces one.
    pub(super) fn put(&mut self, record: UserRecord) {
        self.by_name.insert(record.name.clone(), record);
    }

    /// Removes one.
    pub(super) fn remove(&mut self, name: &str) -> Option<UserRecord> {
        self.by_name.remove(name)
    }

    /// The one of this name.
    pub(super) fn get(&self, name: &str) -> Option<&UserRecord> {
        self.by_name.get(name)
    }

    /// All, by name.
    pub(super) fn list(&self) -> Vec<UserRecord> {
        self.by_name.values().cloned().collect()
    }
}

/// Whether it is hard enough to guess.
pub(super) fn check_password(name: &str, password: &str) -> Result<(), UserError> {
    if password.chars().count() < PASSWORD_MIN {
        return Err(UserError::Short);
    }
    if password.len() > PASSWORD_MAX {
        return Err(UserError::Long);
    }
    let rest = password.to_lowercase().replace(name, "");
    if rest.chars().count() < PASSWORD_MIN / 2 {
        return Err(UserError::Guessable);
    }
    Ok(())
}

const KEY_PREFIX: &[u8] = b"user/";

/// Where a person is kept in the State family.
pub(super) fn key(name: &str) -> Vec<u8> {
    [KEY_PREFIX, name.as_bytes()].concat()
}

/// All of their keys: from here to there.
pub(super) fn keys() -> (Vec<u8>, Vec<u8>) {
    (KEY_PREFIX.to_vec(), b"user0".to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn record(name: &str) -> UserRecord {
        UserRecord {
            name: name.to_owned(),
            role: Role::Reader,
            hash: String::new(),
            created: 1,
            created_by: "test".to_owned(),
            last_login: None,
            networks: Vec::new(),
            second: None,
        }
    }

    #[test]
    fn names_and_passwords_that_are_taken_or_guessed_are_refused() {
        let mut users = Users::default();
        users.put(record("ana"));
        let check = |name: &str, password: &str, expected: Result<&str, UserError>| {
            let request = UserRequest {
                name: name.to_owned(),
                role: Role::Reader,
                password: password.to_owned(),
            };
            assert_eq!(users.check(&request), expected.map(str::to_owned), "{name} {password}");
        };
        let good = "cuatro palabras bien largas";
        check(" Eva.Q@muni.gob.pe ", good, Ok("eva.q@muni.gob.pe"));
        check("Ana", good, Err(UserError::Exists));
        check("", good, Err(UserError::Name(String::new())));
        check("eva quispe", good, Err(UserError::Name("eva quispe".to_owned())));
        check("eva", "corta", Err(UserError::Short));
        check("eva", "ñññññññññññ", Err(UserError::Short));
        check("evaristo-quispe", "Evaristo-Quispe1", Err(UserError::Guessable));
        check("eva", &"x".repeat(1_025), Err(UserError::Long));
        for number in 1..USERS_MAX {
            users.put(record(&format!("u{number}")));
        }
        let request =
            UserRequest { name: "eva".to_owned(), role: Role::Reader, password: good.to_owned() };
        assert_eq!(users.check(&request), Err(UserError::TooMany));
    }

    #[test]
    fn a_code_serves_once_and_so_does_one_on_paper() {
        let mut user = record("ana");
        assert!(!user.use_code("", Timestamp::from_millis(0)), "who has none has no code");
        user.second = Some(SecondFactor {
            secret: b"12345678901234567890".to_vec(),
            used: None,
            paper: vec![second::paper_hash("abcd-efgh-ijkm-npqr")],
        });
        let now = Timestamp::from_millis(59_000);
        assert!(user.use_code("287082", now) && !user.use_code("287082", now));
        assert!(!user.use_code("", now) && !user.use_code("abcd-efgh", now));
        assert!(user.use_code("ABCD efgh ijkm npqr", now));
        assert!(!user.use_code("abcd-efgh-ijkm-npqr", now));
        assert_eq!(user.paper_codes(), 0);
        let mut users = Users::default();
        users.restore(&user.to_bytes()).unwrap();
        assert_eq!(users.get("ana"), Some(&user));
    }
}
