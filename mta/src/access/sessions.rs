//! Sessions of people in the web: begun at login, kept as hashes, ended by time, by hand or with the password. Pure.
//!
//! The text of a session is 256 random bits in a cookie, so one round of SHA-256 keeps it (as it does tokens).

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::audit::hexadecimal;
use super::json;

/// A session that nobody uses ends after this: long enough for a meeting, too short for the night.
pub const IDLE: Duration = Duration::from_hours(2);
/// Every session ends after this: a working day.
pub const LASTS: Duration = Duration::from_hours(12);
/// Time to type the code of the second factor.
const HALF_LASTS: Duration = Duration::from_mins(5);
/// A session is written anew when it was last used so long before what is on disk.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// Sessions of one person: more than anybody has browsers. The one that was not used longest ends.
const OF_A_USER_MAX: usize = 20;
/// Characters of the browser's name that are kept.
const AGENT_MAX: usize = 200;

/// What is kept of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// SHA-256 of its text, in hexadecimal.
    pub(super) hash: String,
    /// Whose it is.
    pub user: String,
    /// When it began, in milliseconds since 1970.
    pub created: u64,
    /// When it was last used, about, in milliseconds since 1970.
    pub seen: u64,
    /// The address that it began from.
    pub from: String,
    /// What the browser calls itself.
    pub agent: String,
    /// The password was right, and the code of the second factor is still to come.
    pub(super) half: bool,
}

impl SessionRecord {
    /// Tells it from others without giving it away.
    pub fn id(&self) -> &str {
        self.hash.get(..16).unwrap_or(&self.hash)
    }

    /// As it is stored.
    pub(super) fn to_bytes(&self) -> Bytes {
        json(self)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let lasts = if self.half { HALF_LASTS } else { LASTS };
        now.since(Timestamp::from_millis(self.created)) >= lasts
            || now.since(Timestamp::from_millis(self.seen)) >= IDLE
    }
}

/// Who begins a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Beginning {
    pub user: String,
    pub from: String,
    pub agent: String,
    pub half: bool,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_hash: HashMap<String, SessionRecord>,
}

impl Sessions {
    /// One from disk.
    pub(super) fn restore(&mut self, value: &[u8]) -> Result<(), String> {
        let record: SessionRecord =
            serde_json::from_slice(value).map_err(|error| error.to_string())?;
        self.by_hash.insert(record.hash.clone(), record);
        Ok(())
    }

    /// Begins one of 32 random octets. Returns its text, what is kept of it, and those that end for it.
    pub(super) fn begin(
        &mut self,
        of: Beginning,
        secret: &[u8; 32],
        now: Timestamp,
    ) -> (String, SessionRecord, Vec<String>) {
        let mut ended: Vec<String> = self
            .by_hash
            .values()
            .filter(|record| record.is_over(now))
            .map(|record| record.hash.clone())
            .collect();
        let others = self.by_hash.values().filter(|it| it.user == of.user && !it.is_over(now));
        if others.clone().count() >= OF_A_USER_MAX
            && let Some(oldest) = others.min_by_key(|record| record.seen)
        {
            limit_hit("sessions_of_a_user");
            ended.push(oldest.hash.clone());
        }
        for hash in &ended {
            self.by_hash.remove(hash);
        }
        let text = URL_SAFE_NO_PAD.encode(secret);
        let record = SessionRecord {
            hash: hash(&text),
            user: of.user,
            created: now.as_millis(),
            seen: now.as_millis(),
            from: of.from,
            agent: of.agent.chars().filter(|it| !it.is_control()).take(AGENT_MAX).collect(),
            half: of.half,
        };
        self.by_hash.insert(record.hash.clone(), record.clone());
        (text, record, ended)
    }

    /// The session with this text, if it is not over; remembers that it was used if it is. `true`: the disk should
    /// hear of it, too.
    pub(super) fn find(
        &mut self,
        text: &str,
        used: bool,
        now: Timestamp,
    ) -> Option<(SessionRecord, bool)> {
        let record = self.by_hash.get_mut(&hash(text)).filter(|record| !record.is_over(now))?;
        let stale = now.since(Timestamp::from_millis(record.seen)) >= TOLD_EVERY;
        if used && stale {
            record.seen = now.as_millis();
        }
        Some((record.clone(), used && stale))
    }

    /// Ends those that are meant; returns their hashes.
    pub(super) fn end(&mut self, which: impl Fn(&SessionRecord) -> bool) -> Vec<String> {
        let ended = self.by_hash.values().filter(|record| which(record));
        let ended: Vec<String> = ended.map(|record| record.hash.clone()).collect();
        for hash in &ended {
            self.by_hash.remove(hash);
        }
        ended
    }

    /// Those that are open, the last used first.
    pub(super) fn list(&self, now: Timestamp) -> Vec<SessionRecord> {
        let open = self.by_hash.values().filter(|record| !record.half && !record.is_over(now));
        let mut open: Vec<SessionRecord> = open.cloned().collect();
        open.sort_by(|a, b| b.seen.cmp(&a.seen).then_with(|| a.hash.cmp(&b.hash)));
        open
    }
}

/// What forms of a session carry: who cannot read its pages does not know it.
pub fn form_key(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("form {text}").as_bytes()))
}

const KEY_PREFIX: &[u8] = b"session/";

/// Where a session is kept in the State family.
pub(super) fn key(hash: &str) -> Vec<u8> {
    [KEY_PREFIX, hash.as_bytes()].concat()
}

/// All of their keys: from here to there.
pub(super) fn keys() -> (Vec<u8>, Vec<u8>) {
    (KEY_PREFIX.to_vec(), b"session0".to_vec())
}

pub(super) fn hash(text: &str) -> String {
    hexadecimal(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn of(user: &str, half: bool) -> Beginning {
        Beginning { user: user.to_owned(), half, ..Beginning::default() }
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_after_a_day_of_work() {
        let mut sessions = Sessions::default();
        let (text, record, _) = sessions.begin(of("ana", false), &[1; 32], NOW);
        assert!(!String::from_utf8_lossy(&record.to_bytes()).contains(&text), "only its hash");
        let mut again = Sessions::default();
        again.restore(&record.to_bytes()).unwrap();
        let mut now = NOW;
        assert!(again.find(&text, true, now.after(IDLE)).is_none(), "nobody used it");
        while now < NOW.after(LASTS) {
            assert!(again.find(&text, true, now).is_some());
            now = now.after(IDLE / 2);
        }
        assert!(again.find(&text, true, now).is_none(), "it has lasted long enough");
        assert!(again.find("", true, NOW).is_none() && again.find(&text[1..], true, NOW).is_none());
    }

    #[test]
    fn looking_on_is_no_use_and_a_half_session_is_short() {
        let mut sessions = Sessions::default();
        let (text, _, _) = sessions.begin(of("ana", false), &[1; 32], NOW);
        let (half, _, _) = sessions.begin(of("eva", true), &[2; 32], NOW);
        let later = NOW.after(IDLE / 2);
        assert!(!sessions.find(&text, false, later).unwrap().1);
        assert!(sessions.find(&text, false, NOW.after(IDLE)).is_none());
        assert!(sessions.find(&half, true, NOW.after(HALF_LASTS / 2)).is_some());
        assert!(sessions.find(&half, true, NOW.after(HALF_LASTS)).is_none());
        assert_eq!(sessions.list(NOW).len(), 1, "a half one is none yet");
        let (found, tell) = sessions.find(&text, true, later).unwrap();
        assert!(tell && found.seen == later.as_millis());
        assert!(!sessions.find(&text, true, later).unwrap().1, "the disk knows");
    }

    #[test]
    fn memory_is_bounded_for_each_person() {
        let mut sessions = Sessions::default();
        let mut first = String::new();
        for number in 0..=OF_A_USER_MAX {
            let secret = [u8::try_from(number).unwrap(); 32];
            let now = NOW.after(Duration::from_secs(number as u64));
            let (text, _, ended) = sessions.begin(of("ana", false), &secret, now);
            assert_eq!(ended.len(), usize::from(number == OF_A_USER_MAX));
            if number == 0 {
                first = text;
            }
        }
        assert!(sessions.find(&first, true, NOW).is_none(), "the oldest has ended");
        let (text, record, _) = sessions.begin(of("eva", false), &[99; 32], NOW);
        assert_eq!(sessions.end(|it| it.user == "ana").len(), OF_A_USER_MAX);
        assert!(sessions.find(&text, true, NOW).is_some());
        assert_eq!(sessions.end(|it| it.id() == record.id()), [record.hash]);
        let (_, _, ended) = sessions.begin(of("x", false), &[3; 32], NOW.after(LASTS));
        assert!(ended.is_empty());
    }

    #[test]
    fn forms_of_each_session_carry_something_else() {
        assert_ne!(form_key("a"), form_key("b"));
        assert!(!form_key("secret").contains("secret"));
    }
}
