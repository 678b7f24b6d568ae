//! Whether the name of each source's address leads back to it, and is the one in its EHLO: receivers ask that of an
//! address before they hear a word of it, and many refuse it otherwise.
//!
//! Looked at in the background, one source at a time and slowly; what was found last is kept with its time, so nobody
//! who asks waits for the DNS. What it means, `egress/vetting.rs` knows, by which a standby is judged too. Nothing is
//! done about a source whose names are wrong: mail that is taken all the same goes on, and a person mends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relay_config::config::Source;
use tokio::time::{Instant, MissedTickBehavior};

use crate::egress::vetting::{Check, Verdict, examine_names, verdict};
use crate::message::Timestamp;

use super::{Dispatch, vetting};

/// How often it is looked whether a source is due, and so how far apart two of them are: a question or three to the DNS.
const APART: Duration = Duration::from_secs(2);
/// What was found is as old as this at most: records of addresses change once in years.
const EVERY: Duration = Duration::from_hours(1);
/// What could not be found out is asked again after this.
const AGAIN: Duration = Duration::from_mins(5);
/// Whoever asks for a look gets the last one when it is no older: a button that is pressed ten times asks once.
const FRESH: Duration = Duration::from_secs(5);
/// Names of an address that are kept. One is right; a thousand help nobody.
const NAMES_MAX: usize = 5;

/// What was found of the names of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// When it was found out.
    pub at: Timestamp,
    /// Names of its public address.
    pub pointers: Vec<String>,
    /// Each check.
    pub checks: Vec<Check>,
    /// The name of the address is the one in EHLO.
    pub is_helo: bool,
}

impl Named {
    /// What all checks say together.
    pub fn verdict(&self) -> Verdict {
        verdict(&self.checks)
    }
}

/// What is known of all sources.
#[derive(Default)]
pub(super) struct Names {
    /// By source; those of the configuration, no others.
    seen: Mutex<BTreeMap<Arc<str>, Seen>>,
    /// One at a time asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Seen {
    /// What it was about: another address or name is looked at anew.
    of: Arc<Source>,
    when: Instant,
    named: Named,
}

impl Seen {
    fn is_of(&self, source: &Source) -> bool {
        self.of.public == source.public && self.of.helo == source.helo
    }

    fn due(&self) -> Instant {
        let unknown = self.named.verdict() == Verdict::Later;
        self.when + if unknown { AGAIN } else { EVERY }
    }
}

impl Names {
    fn get(&self, source: &Source) -> Option<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&source.name).filter(|seen| seen.is_of(source)).cloned()
    }

    /// The source that has waited longest for its turn, if one is due. Forgets those that are gone.
    fn next(&self, sources: &[Arc<Source>], now: Instant) -> Option<Arc<Source>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|name, _| sources.iter().any(|source| source.name == *name));
        let due = |source: &Arc<Source>| {
            let known = seen.get(&source.name).filter(|seen| seen.is_of(source));
            known.map(Seen::due)
        };
        let first = sources.iter().min_by_key(|source| due(source))?;
        due(first).is_none_or(|due| due <= now).then(|| Arc::clone(first))
    }

    fn keep(&self, seen: Seen) {
        let mut known = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(Arc::clone(&seen.of.name), seen);
    }
}

impl Dispatch {
    /// What was found last of the names of a source; `None`: it had no turn yet.
    pub fn named(&self, source: &Source) -> Option<Named> {
        self.names.get(source).map(|seen| seen.named)
    }

    /// Looks at the names of all sources in turn, for ever.
    pub async fn watch_names(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(APART);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sources = self.config.get().sources.clone();
            if let Some(source) = self.names.next(&sources, Instant::now()) {
                self.find_names(&source).await;
            }
        }
    }

    /// Looks at the names of a source now; `None`: there is no such source.
    pub async fn look_at_names(&self, name: &str) -> Option<Named> {
        let config = self.config.get();
        let source = config.sources.iter().find(|known| *known.name == *name)?;
        Some(self.find_names(source).await)
    }

    async fn find_names(&self, source: &Arc<Source>) -> Named {
        let _turn = self.names.asking.lock().await;
        if let Some(seen) = self.names.get(source)
            && seen.when.elapsed() < FRESH
        {
            return seen.named;
        }
        let found = vetting::names(source, &*self.connector.dns).await;
        let checks = examine_names(source, &found);
        let mut pointers = found.pointers.unwrap_or_default();
        pointers.truncate(NAMES_MAX);
        let is_helo = pointers.len() == 1
            && pointers
                .iter()
                .all(|name| name.trim_end_matches('.').eq_ignore_ascii_case(&source.helo));
        let named = Named { at: self.queue.now(), pointers, checks, is_helo };
        let seen = Seen { of: Arc::clone(source), when: Instant::now(), named: named.clone() };
        self.names.keep(seen);
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::vetting::{Outcome, What};

    fn source(name: &str, helo: &str) -> Arc<Source> {
        let text = format!(
            "[server]\nhostname = \"r.example.pe\"\n[[listener]]\nname = \"in\"\nbind = [\"127.0.0.1:25\"]\n\
             tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"{name}\"\n\
             address = \"192.0.2.1\"\nhelo = \"{helo}\"\n"
        );
        let loaded = relay_config::load(&text, "tambo.toml");
        Arc::clone(&loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).config.sources[0])
    }

    fn seen(of: &Arc<Source>, when: Instant, outcome: Outcome) -> Seen {
        let checks = vec![Check { what: What::Pointer, outcome }];
        let named = Named { at: Timestamp::default(), pointers: vec![], checks, is_helo: false };
        Seen { of: Arc::clone(of), when, named }
    }

    #[test]
    fn each_source_has_its_turn_and_what_is_unknown_has_it_sooner() {
        let names = Names::default();
        let sources = [source("a", "a.example.pe"), source("b", "b.example.pe")];
        let start = Instant::now();
        let next = |names: &Names, after: Duration| {
            names.next(&sources, start + after).map(|source| source.name.to_string())
        };
        assert_eq!(next(&names, Duration::ZERO).as_deref(), Some("a"));
        names.keep(seen(&sources[0], start, Outcome::Passed));
        assert_eq!(next(&names, Duration::ZERO).as_deref(), Some("b"));
        names.keep(seen(&sources[1], start, Outcome::Unknown("no answer".to_owned())));
        assert_eq!(next(&names, AGAIN / 2), None);
        assert_eq!(next(&names, AGAIN).as_deref(), Some("b"));
        names.keep(seen(&sources[1], start + AGAIN, Outcome::Passed));
        assert_eq!(next(&names, EVERY).as_deref(), Some("a"));
        // Another name in EHLO is another question; who is gone is forgotten.
        let renamed = [source("a", "other.example.pe")];
        assert!(names.get(&renamed[0]).is_none());
        assert_eq!(
            names.next(&renamed, start).map(|it| it.helo.clone()),
            Some("other.example.pe".into())
        );
        assert_eq!(names.seen.lock().unwrap().len(), 1);
    }
}
