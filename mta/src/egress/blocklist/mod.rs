//! Watches what blocklists say of our addresses and domains: what to ask when, and what follows. Pure.
//!
//! A list is believed only while it lists what it must and does not list what it must not (RFC 5782
//! section 5), and one answer is no reason to act: a second that says the same has to follow, at
//! least `confirm_after` later, with the list proved well in between. No answer, or one that is not
//! known, leaves what was known before. Questions are spread over `every`, so that a stranger's server
//! sees a trickle.
//!
//! [`Monitor::due`] says what to ask, [`Monitor::answered`] takes what was found and says what it means
//! ([`Finding`]). What is done about it, and who looks the names up, is decided elsewhere.

mod finding;
mod health;
mod list;
mod question;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use relay_config::Blocklist;
use relay_config::blocklists::ListAction;
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use list::List;

pub use finding::{Ended, Finding, Listed};
pub use question::{About, Answer, Question, Subject};

/// Questions that are open at a time, over all lists: they share one resolver with the mail.
const OPEN_MAX: usize = 8;
/// Subjects that are watched: each is asked about at every list, and all are looked through for what is
/// due. Eighteen sources and their domains are a tenth of it.
const SUBJECTS_MAX: usize = 500;

/// Every list and what is known from it.
#[derive(Debug, Default)]
pub struct Monitor {
    lists: BTreeMap<Arc<str>, List>,
    /// What was known before a restart, until the lists are known.
    memory: Memory,
}

/// What must not be forgotten at a restart: a listing that was confirmed stays one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(Vec<Remembered>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    list: Arc<str>,
    zone: String,
    subject: Subject,
    evidence: standing::Evidence,
    since: Timestamp,
}

/// What one list knows of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The list.
    pub list: Arc<Blocklist>,
    /// What it says.
    pub state: State,
}

/// What a list says of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was not asked yet, or did not answer; it has been so since then.
    Unknown(Timestamp),
    /// The list itself does not work and is ignored; the reason, for people.
    Ignored(String),
    /// Not listed.
    Clear,
    /// Listed once, at that time; with what it would lead to.
    Suspected(Timestamp, ListAction),
    /// Listed, confirmed.
    Listed(Listed),
}

impl Monitor {
    /// With what was remembered; it holds as soon as [`Monitor::configure`] says which lists there are.
    pub fn new(memory: Memory) -> Self {
        Self { lists: BTreeMap::new(), memory }
    }

    /// Says which lists are asked about whom. What is known of those that stay, stays. Listings that are
    /// no longer watched, or no longer count, end: the findings say so.
    pub fn configure(
        &mut self,
        lists: &[Arc<Blocklist>],
        subjects: &BTreeSet<Subject>,
        now: Timestamp,
    ) -> Vec<Finding> {
        if subjects.len() > SUBJECTS_MAX {
            limit_hit("blocklist_subjects");
        }
        let subjects: Vec<&Subject> = subjects.iter().take(SUBJECTS_MAX).collect();
        let mut before = std::mem::take(&mut self.lists);
        let mut findings = Vec::new();
        for config in lists {
            let list = match before.remove(&config.name) {
                Some(list) if list.has_zone(&config.zone) => list,
                other => {
                    findings.extend(other.into_iter().flat_map(List::close));
                    List::new(Arc::clone(config), now)
                }
            };
            let remembered = self.memory.take(config);
            let (list, found) = list.configure(Arc::clone(config), &subjects, remembered, now);
            findings.extend(found);
            self.lists.insert(Arc::clone(&config.name), list);
        }
        findings.extend(before.into_values().flat_map(List::close));
        let forgotten = std::mem::take(&mut self.memory).0.into_iter();
        findings.extend(forgotten.map(|it| Finding::Released {
            list: it.list,
            subject: it.subject,
            since: it.since,
            why: Ended::NoLongerAsked,
        }));
        findings
    }

    /// What to ask now. Each is answered with [`Monitor::answered`]; one that never is, is asked again.
    pub fn due(&mut self, now: Timestamp) -> Vec<Question> {
        let open: usize = self.lists.values().map(|list| list.open(now)).sum();
        let room = OPEN_MAX.saturating_sub(open);
        let mut due: Vec<(Timestamp, Question)> =
            self.lists.values().flat_map(|list| list.due(now)).collect();
        due.sort_by_key(|(since, _)| *since);
        due.truncate(room);
        let due: Vec<Question> = due.into_iter().map(|(_, question)| question).collect();
        for question in &due {
            if let Some(list) = self.lists.get_mut(&question.list.name) {
                list.asked(&question.about, now);
            }
        }
        due
    }

    /// When [`Monitor::due`] will have something, if no answer comes before; `None`: never.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let open: usize = self.lists.values().map(|list| list.open(now)).sum();
        // Without room for another question only one that is given up makes some.
        let full = open >= OPEN_MAX;
        self.lists.values().filter_map(|list| list.next_due(now, full)).min()
    }

    /// What an answer means. Of a question that is no longer asked: nothing.
    pub fn answered(
        &mut self,
        question: &Question,
        answer: Answer,
        now: Timestamp,
    ) -> Vec<Finding> {
        let list = self.lists.get_mut(&question.list.name);
        let list = list.filter(|list| list.has_zone(&question.list.zone));
        list.map_or_else(Vec::new, |list| list.answered(&question.about, answer, now))
    }

    /// Asks about a subject at once, as when a server said that it is listed.
    pub fn ask_now(&mut self, subject: &Subject, now: Timestamp) {
        for list in self.lists.values_mut() {
            list.ask_now(subject, now);
        }
    }

    /// What each list that is asked about it says of a subject.
    pub fn standings(&self, subject: &Subject) -> Vec<Standing> {
        self.lists.values().filter_map(|list| list.standing(subject)).collect()
    }

    /// Every listing that is confirmed.
    pub fn listed(&self) -> impl Iterator<Item = Listed> {
        self.lists.values().flat_map(List::listed)
    }

    /// Lists that are asked, and why each that is ignored is.
    pub fn lists(&self) -> impl Iterator<Item = (&Arc<Blocklist>, Option<&str>)> {
        self.lists.values().map(|list| (list.config(), list.fault()))
    }

    /// What to keep over a restart; it changes with every [`Finding::Listed`] and [`Finding::Released`].
    pub fn memory(&self) -> Memory {
        let kept = self.lists.values().flat_map(List::remembered);
        Memory(kept.chain(self.memory.0.iter().cloned()).collect())
    }
}

impl Memory {
    /// Takes out what is of this list.
    fn take(&mut self, list: &Blocklist) -> Vec<Remembered> {
        let is_its = |it: &Remembered| *it.list == *list.name && it.zone == list.zone;
        let (its, others) = std::mem::take(&mut self.0).into_iter().partition(is_its);
        self.0 = others;
        its
    }
}
