//! What one list says of one subject: what is settled, and what waits to be confirmed.

use std::net::Ipv4Addr;
use std::time::Duration;

use relay_config::blocklists::{ListAction, Listing, Reading};
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;

use super::health::TOLD_AFTER;

/// When a confirmation came too early, or before the list was proved well: the next one.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What a list answered, as it is kept: what that means, the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub answers: Vec<Ipv4Addr>,
    pub text: Option<String>,
}

/// What a list says, with what it is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Clear,
    Listed(Listing, Option<String>),
}

/// What is known of a subject.
#[derive(Debug)]
pub(super) struct Standing {
    /// What holds, and since when; `None`: the list has not said anything yet.
    settled: Option<(Verdict, Timestamp)>,
    /// What the last answers say instead, and since when.
    pending: Option<(Verdict, Timestamp)>,
    /// Since when answers say nothing.
    unknown: Option<Unknown>,
}

#[derive(Debug)]
struct Unknown {
    since: Timestamp,
    told: bool,
}

/// What an answer has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Something that needs a second answer, not before then.
    Doubt(Timestamp),
    /// It is listed, or listed otherwise than it was.
    Listed,
    /// It is no longer listed, as it had been since then.
    Released(Timestamp),
    /// For long nothing has been known; since when, and why.
    Unknown(Timestamp, String),
}

/// What is needed to confirm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    /// Time between two answers.
    pub confirm_after: Duration,
    /// When the list was last seen to work.
    pub proved: Option<Timestamp>,
}

impl Standing {
    /// Nothing is known yet, since then.
    pub(super) fn new(now: Timestamp) -> Self {
        let unknown = Some(Unknown { since: now, told: false });
        Self { settled: None, pending: None, unknown }
    }

    /// A listing that was confirmed before a restart.
    pub(super) fn remembered(listing: Listing, text: Option<String>, since: Timestamp) -> Self {
        let settled = Some((Verdict::Listed(listing, text), since));
        Self { settled, pending: None, unknown: None }
    }

    /// What an answer changes.
    pub(super) fn hear(
        &mut self,
        reading: Reading,
        text: Option<String>,
        proof: Proof,
        now: Timestamp,
    ) -> Change {
        let verdict = match reading {
            Reading::Unknown(why) => return self.nothing_heard(why, now),
            Reading::Clear => Verdict::Clear,
            Reading::Listed(listing) => Verdict::Listed(listing, text),
        };
        self.unknown = None;
        if self.agrees(&verdict) {
            self.pending = None;
            // The words may have changed; since when it holds has not.
            let since = self.settled.take().map_or(now, |(_, since)| since);
            self.settled = Some((verdict, since));
            return Change::None;
        }
        let first = match self.pending.take() {
            // A clock that was set back does not hold up the second answer.
            Some((pending, since)) if pending.supports(&verdict) => since.min(now),
            _ => {
                self.pending = Some((verdict, now));
                return Change::Doubt(now.after(proof.confirm_after));
            }
        };
        let soonest = first.after(proof.confirm_after);
        if now < soonest || proof.proved.is_none_or(|proved| proved < first) {
            self.pending = Some((verdict, first));
            return Change::Doubt(soonest.max(now.after(AGAIN_AFTER.min(proof.confirm_after))));
        }
        let before = self.settled.replace((verdict, first));
        match (&self.settled, before) {
            (Some((Verdict::Clear, _)), Some((_, since))) => Change::Released(since),
            (Some((Verdict::Listed(..), since)), Some((Verdict::Listed(..), earlier))) => {
                // Listed otherwise is still listed since it first was.
                let since = earlier.min(*since);
                self.settled = self.settled.take().map(|(verdict, _)| (verdict, since));
                Change::Listed
            }
            _ => Change::Listed,
        }
    }

    /// The list does not work: what it said lately was worth nothing, what was settled stays.
    pub(super) fn distrust(&mut self) {
        self.pending = None;
    }

    /// The listing that holds, and since when.
    pub(super) fn listed(&self) -> Option<(&Listing, Option<&String>, Timestamp)> {
        match &self.settled {
            Some((Verdict::Listed(listing, text), since)) => Some((listing, text.as_ref(), *since)),
            _ => None,
        }
    }

    /// Reads a listing by what the configuration says now. `false`: it no longer is one.
    pub(super) fn read_again(&mut self, read: impl FnOnce(&[Ipv4Addr]) -> Reading) -> bool {
        self.pending = None;
        if let Some((Verdict::Listed(listing, _), _)) = &mut self.settled {
            let Reading::Listed(now) = read(&listing.answers) else {
                self.settled = None;
                return false;
            };
            *listing = now;
        }
        true
    }

    /// Whether it is listed, once and not confirmed: since when, and what it would lead to.
    pub(super) fn suspected(&self) -> Option<(Timestamp, ListAction)> {
        match &self.pending {
            Some((Verdict::Listed(listing, _), since)) => Some((*since, listing.action)),
            _ => None,
        }
    }

    /// Whether something waits to be confirmed.
    pub(super) fn doubted(&self) -> bool {
        self.pending.is_some()
    }

    /// Since when nothing is known.
    pub(super) fn unknown_since(&self) -> Option<Timestamp> {
        self.unknown.as_ref().map(|unknown| unknown.since)
    }

    fn nothing_heard(&mut self, why: String, now: Timestamp) -> Change {
        let unknown = self.unknown.get_or_insert(Unknown { since: now, told: false });
        if unknown.told || now.since(unknown.since) < TOLD_AFTER {
            return Change::None;
        }
        unknown.told = true;
        Change::Unknown(unknown.since, why)
    }

    fn agrees(&self, verdict: &Verdict) -> bool {
        match (&self.settled, verdict) {
            (None | Some((Verdict::Clear, _)), Verdict::Clear) => true,
            (Some((Verdict::Listed(before, _), _)), Verdict::Listed(now, _)) => {
                before.answers == now.answers
            }
            _ => false,
        }
    }
}

impl Verdict {
    /// Whether a later verdict may rest on this one: it says the same, or less.
    fn supports(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Clear, Self::Clear) => true,
            (Self::Listed(first, _), Self::Listed(second, _)) => second.action <= first.action,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn hear(standing: &mut Standing, minute: u32, answer: &str, proved: Option<u32>) -> String {
        let at = |minute: u32| Timestamp::from_millis(0).after(MINUTE * minute);
        let listing = |answer: &str| Listing {
            answers: vec![answer.parse().unwrap()],
            meanings: vec![Arc::from("listed")],
            action: ListAction::Act,
        };
        let reading = match answer {
            "" => Reading::Clear,
            "?" => Reading::Unknown("nothing".to_owned()),
            answer => Reading::Listed(listing(answer)),
        };
        let proof = Proof { confirm_after: MINUTE * 5, proved: proved.map(at) };
        match standing.hear(reading, None, proof, at(minute)) {
            Change::None => "nothing".to_owned(),
            Change::Doubt(again) => format!("again at {}", again.as_millis() / 60_000),
            Change::Listed => "listed".to_owned(),
            Change::Released(_) => "released".to_owned(),
            Change::Unknown(..) => "unknown".to_owned(),
        }
    }

    /// Minute, answer, when the list was last seen to work → what follows.
    #[test]
    fn what_a_second_answer_needs() {
        let mut standing = Standing::new(Timestamp::from_millis(0));
        for (minute, answer, proved, expected) in [
            (0, "", Some(0), "nothing"),
            (10, "127.0.0.2", Some(0), "again at 15"),
            // Too early, however well the list.
            (14, "127.0.0.2", Some(14), "again at 15"),
            // Not proved since the first: asked again soon.
            (15, "127.0.0.2", Some(9), "again at 15"),
            (16, "127.0.0.2", None, "again at 16"),
            (17, "?", Some(10), "nothing"),
            (18, "127.0.0.2", Some(10), "listed"),
            (19, "127.0.0.2", Some(10), "nothing"),
            (30, "", Some(30), "again at 35"),
            (34, "", Some(34), "again at 35"),
            (36, "", Some(29), "again at 36"),
            (37, "127.0.0.2", Some(37), "nothing"),
            (50, "", Some(50), "again at 55"),
            (55, "", Some(50), "released"),
            // The clock is set back.
            (99, "127.0.0.2", Some(99), "again at 104"),
            (60, "127.0.0.2", Some(99), "again at 65"),
        ] {
            let found = hear(&mut standing, minute, answer, proved);
            assert_eq!(found, expected, "{minute} {answer} {proved:?}");
        }
    }
}
