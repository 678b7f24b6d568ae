//! Replies of whom it takes more than one: how many have come, and whether that is enough. Pure.
//!
//! Key in the State family: `suppression/count/` and the subject; the value is JSON. A delivery forgets it.

use bytes::Bytes;
use relay_config::config::SuppressionRules;
use relay_config::responses::{Action, SOFT_HITS, SOFT_SPAN};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::message::{Address, Timestamp};

use super::entry::{Cause, Entry, Subject};

const PREFIX: &[u8] = b"suppression/count/";
const END: &[u8] = b"suppression/count0";
/// Characters of a reply that an entry keeps: enough to judge it by.
const WHY_MAX: usize = 300;

/// What came of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A server took mail for it.
    Delivered(&'a Address),
    /// A rule says that it, or its domain, is to be suppressed.
    Refused {
        /// Whom the rule blames.
        subject: Subject,
        /// [`Action::Suppress`] or [`Action::SoftSuppress`].
        action: Action,
        /// The rule.
        rule: &'a str,
        /// What the server said.
        reply: &'a str,
    },
}

/// Replies about one subject that have not been enough yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Replies that `suppress` counts.
    hard: u32,
    /// Replies that `soft-suppress` counts …
    soft: u32,
    /// … since when, in milliseconds since 1970.
    soft_since: u64,
    /// When the last of either came.
    last: u64,
}

impl Hits {
    /// Counts a reply. Returns the entry if that is enough.
    pub fn hear(
        &mut self,
        heard: &Heard<'_>,
        rules: &SuppressionRules,
        now: Timestamp,
    ) -> Option<Entry> {
        let Heard::Refused { subject, action, rule, reply } = heard else { return None };
        self.last = now.as_millis();
        let enough = match action {
            Action::Suppress { hits } => {
                self.hard = self.hard.saturating_add(1);
                self.hard >= *hits
            }
            Action::SoftSuppress => {
                if self.soft == 0 {
                    self.soft_since = now.as_millis();
                }
                self.soft = self.soft.saturating_add(1);
                let span = now.since(Timestamp::from_millis(self.soft_since));
                self.soft >= SOFT_HITS && span >= SOFT_SPAN
            }
            _ => false,
        };
        let why: String = reply.chars().take(WHY_MAX).collect();
        enough.then(|| Entry {
            subject: subject.clone(),
            account: None,
            since: now,
            until: rules.keep.map(|keep| now.after(keep)),
            cause: Cause::Reply,
            who: None,
            why,
            rule: Some((*rule).to_owned()),
        })
    }

    /// Whether nothing was added for so long.
    pub fn is_old(&self, now: Timestamp, kept: Duration) -> bool {
        now.since(Timestamp::from_millis(self.last)) > kept
    }

    pub(super) fn to_bytes(self) -> Bytes {
        serde_json::to_vec(&self).unwrap_or_default().into()
    }

    /// Reads one; `None`: the key is another's, or the record is damaged.
    pub(super) fn of(key: &[u8], value: &[u8]) -> Option<Self> {
        key.strip_prefix(PREFIX)?;
        serde_json::from_slice(value).ok()
    }
}

/// Where the count of a subject is kept.
pub(super) fn key(subject: &Subject) -> Vec<u8> {
    [PREFIX, subject.as_str().as_bytes()].concat()
}

/// All of their keys: from here to there.
pub(super) fn keys() -> (Vec<u8>, Vec<u8>) {
    (PREFIX.to_vec(), END.to_vec())
}
