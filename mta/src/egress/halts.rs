//! Sending domains and campaigns that a site will have nothing of, from whatever source. Going on from other
//! sources would only make it worse, so their mail waits there, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::decision::Decision;
use super::push::{LOOK_AGAIN, Waits, WaitsFor};

/// Halts that are remembered; of more, the oldest ends.
const HALTS_MAX: usize = 1_000;
/// What is halted begins slowly afterwards: the first goes at once, the next after this, each sooner than
/// the one before.
const RAMP_FIRST: Duration = Duration::from_mins(1);
/// A ramp ends after this: from then on only the limits of the site hold.
const RAMP_LASTS: Duration = Duration::from_hours(4);

/// What is halted at a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Halted {
    /// All mail of a sending domain.
    Domain(String),
    /// All mail of a campaign.
    Campaign(String),
}

/// A halt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Halt {
    rule: String,
    said: String,
    since: Timestamp,
    /// `None`: until an operator releases it.
    until: Option<Timestamp>,
    ramp: bool,
    /// Turns that were given since it ended, while it ramps up.
    turns: u32,
}

/// All halts, by site.
#[derive(Debug, Default)]
pub(super) struct Halts {
    halts: BTreeMap<(Arc<str>, Halted), Halt>,
    /// Those that must be written, or removed, on disk.
    pub(super) changed: BTreeSet<(Arc<str>, Halted)>,
}

impl Halt {
    pub(super) fn new(
        rule: &str,
        said: &str,
        now: Timestamp,
        until: Option<Timestamp>,
        ramp: bool,
    ) -> Self {
        let (rule, said) = (rule.to_owned(), said.to_owned());
        Self { rule, said, since: now, until, ramp, turns: 0 }
    }

    /// The rule that knew the reply.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What the peer said.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Until when; `None`: until an operator releases it.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Until when the next of its mail waits.
    pub(super) fn waits(&mut self, now: Timestamp) -> Waits {
        let until = self.next_turn(now).min(now.after(LOOK_AGAIN));
        Waits { until, why: WaitsFor::Halted(self.rule.clone()) }
    }

    /// When the next of its mail may be looked at again. While it ramps up each asks for the turn after the
    /// one before: they come with growing speed.
    fn next_turn(&mut self, now: Timestamp) -> Timestamp {
        let Some(until) = self.until else { return Timestamp::MAX };
        // What is looked at several times before the end takes its turn at the last time.
        if !self.ramp || until.since(now) > LOOK_AGAIN {
            return until;
        }
        // The n-th goes after the sum of first / k for k up to n: about first × ln(n).
        let turns = f64::from(self.turns);
        self.turns = self.turns.saturating_add(1);
        let after = RAMP_FIRST.mul_f64(20.0 * (1.0 + turns / 20.0).ln());
        until.max(now).after(after.min(RAMP_LASTS))
    }

    /// Whether it keeps mail at this time.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Halts {
    /// Whether mail of this domain or campaign is halted at the site.
    pub(super) fn holds(
        &self,
        site: &Arc<str>,
        domain: Option<&str>,
        campaign: &str,
        now: Timestamp,
    ) -> bool {
        keys(site, domain, campaign).any(|key| self.halts.get(&key).is_some_and(|it| it.holds(now)))
    }

    /// What halts mail of this domain or campaign at the site.
    pub(super) fn find(
        &mut self,
        site: &Arc<str>,
        domain: Option<&str>,
        campaign: &str,
        now: Timestamp,
    ) -> Option<&mut Halt> {
        if self.halts.is_empty() {
            return None;
        }
        let found = keys(site, domain, campaign)
            .find(|key| self.halts.get(key).is_some_and(|halt| halt.holds(now)))?;
        self.halts.get_mut(&found)
    }

    /// Halts something. `false`: it is halted at least so long already.
    pub(super) fn add(&mut self, site: &Arc<str>, what: Halted, halt: Halt) -> bool {
        let key = (Arc::clone(site), what);
        if let Some(before) = self.halts.get(&key)
            && before.holds(halt.since)
            && before.until.is_none_or(|before| halt.until.is_some_and(|until| until <= before))
        {
            return false;
        }
        if self.halts.len() >= HALTS_MAX {
            limit_hit("halts");
            let oldest = self.halts.iter().min_by_key(|(_, halt)| halt.since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.halts.remove(&oldest);
                self.changed.insert(oldest);
            }
        }
        self.changed.insert(key.clone());
        self.halts.insert(key, halt);
        true
    }

    /// An operator has it go on.
    pub(super) fn release(&mut self, site: &Arc<str>, what: &Halted) -> Option<Halt> {
        let key = (Arc::clone(site), what.clone());
        let halt = self.halts.remove(&key)?;
        self.changed.insert(key);
        Some(halt)
    }

    /// Those of which mail waits.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&(Arc<str>, Halted), &Halt)> {
        self.halts.iter()
    }

    pub(super) fn get(&self, key: &(Arc<str>, Halted)) -> Option<&Halt> {
        self.halts.get(key)
    }

    /// As it was found on disk.
    pub(super) fn restore(&mut self, site: Arc<str>, what: Halted, halt: Halt) {
        self.halts.insert((site, what), halt);
    }

    /// Ends those whose time is over.
    pub(super) fn sweep(&mut self, now: Timestamp, decisions: &mut Vec<Decision>) {
        let changed = &mut self.changed;
        self.halts.retain(|key, halt| {
            let holds = halt.holds(now);
            if !holds {
                changed.insert(key.clone());
                decisions.push(Decision::released(&key.0, &key.1));
            }
            holds
        });
    }
}

/// What mail may be halted as.
fn keys(
    site: &Arc<str>,
    domain: Option<&str>,
    campaign: &str,
) -> impl Iterator<Item = (Arc<str>, Halted)> {
    let domain = domain.map(|domain| Halted::Domain(domain.to_owned()));
    let campaign = (!campaign.is_empty()).then(|| Halted::Campaign(campaign.to_owned()));
    let site = Arc::clone(site);
    domain.into_iter().chain(campaign).map(move |what| (Arc::clone(&site), what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn domain(name: &str) -> Halted {
        Halted::Domain(name.to_owned())
    }

    #[test]
    fn a_halt_is_of_one_site_and_ends() {
        let site: Arc<str> = "google".into();
        let day = NOW.after(Duration::from_hours(24));
        let mut halts = Halts::default();
        assert!(halts.add(&site, domain("x.pe"), Halt::new("G08", "no", NOW, Some(day), false)));
        let found = |halts: &mut Halts, site: &str, domain: &str, at| {
            halts.find(&site.into(), Some(domain), "c", at).map(|halt| halt.next_turn(at))
        };
        assert_eq!(found(&mut halts, "google", "x.pe", NOW), Some(day));
        assert_eq!(found(&mut halts, "yahoo", "x.pe", NOW), None);
        assert_eq!(found(&mut halts, "google", "y.pe", NOW), None);
        assert_eq!(found(&mut halts, "google", "x.pe", day), None);
        let again = Halt::new("G08", "no", NOW, Some(NOW.after(Duration::from_hours(1))), false);
        assert!(!halts.add(&site, domain("x.pe"), again), "it is halted longer already");
        let mut decisions = Vec::new();
        halts.sweep(day, &mut decisions);
        assert_eq!((decisions.len(), halts.iter().count(), halts.changed.len()), (1, 0, 1));
    }

    #[test]
    fn what_ramps_up_comes_with_growing_speed() {
        let mut halt = Halt::new("G02", "no", NOW, Some(NOW), true);
        let turns: Vec<u64> = (0..200).map(|_| halt.next_turn(NOW).since(NOW).as_secs()).collect();
        assert_eq!(turns[0], 0);
        assert!((55..=60).contains(&turns[1]), "{turns:?}");
        let steps: Vec<u64> = turns.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.is_sorted_by(|a, b| a + 1 >= *b), "{steps:?}");
        assert!(steps[190] <= 6);
    }
}
