//! Brings together who blames a source and who can take its place: blocklists are asked, what they find
//! goes to egress, and a pool that has lost a source gets a standby that passes its checks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use relay_config::blocklists::ListAction;
use relay_config::config::Source;
use tokio::time::{Instant, MissedTickBehavior};

use crate::egress::blocklist::{Finding, Listed, Memory, Subject};
use crate::egress::vetting::{Check, Outcome, Verdict, verdict};
use crate::egress::{Decision, DecisionKind, Wanted};
use crate::spool::{Family, Operation, Spool};

use super::{Dispatch, vetting};

/// How often pools that want a standby are looked after.
const EVERY: Duration = Duration::from_secs(1);
/// Standbys about which something could not be found out are looked at again after this …
const AGAIN: Duration = Duration::from_secs(30);
/// … and when nothing has come of it for so long, that is said. Those that failed are looked at again
/// after as long, for what they failed may have been mended.
const GIVE_UP: Duration = Duration::from_hours(1);
/// Where the listings that are known are kept.
const LISTINGS: &[u8] = b"blocklists";

impl Dispatch {
    /// Asks the blocklists, for ever.
    pub async fn watch_lists(self: Arc<Self>) {
        let known = self.blocklists.listed();
        for finding in known {
            self.mark_listed(&finding);
        }
        let me = &self;
        self.blocklists.run(|finding| me.found(finding)).await;
    }

    /// A list has something to say.
    pub(super) fn found(&self, finding: Finding) {
        let kind = match &finding {
            Finding::Listed(listed) => self.listed(listed),
            Finding::Released { subject, .. } => {
                self.released(subject);
                DecisionKind::Resumed
            }
            Finding::ListWell { .. } => DecisionKind::Resumed,
            Finding::Unknown { .. } | Finding::ListBroken { .. } => DecisionKind::Alert,
        };
        let subject = match &finding {
            Finding::Listed(listed) => Some(&listed.subject),
            Finding::Released { subject, .. } | Finding::Unknown { subject, .. } => Some(subject),
            Finding::ListBroken { .. } | Finding::ListWell { .. } => None,
        };
        let sources = subject.map_or_else(Vec::new, |subject| self.sources_of(subject));
        let decision = Decision::new(kind, finding.to_string());
        let told = match sources.first() {
            Some(source) => decision.source(&source.name),
            None => decision,
        };
        self.tell(vec![told]);
        self.tell_decisions();
        self.keep_listings();
    }

    /// A confirmed listing: of an address, on a list that acts, it costs the source its place. One of a
    /// domain never does: another address would only make it worse.
    fn listed(&self, listed: &Listed) -> DecisionKind {
        let acts = listed.action == ListAction::Act;
        let is_address = matches!(listed.subject, Subject::Address(_));
        if acts && is_address {
            let evidence = listed.to_string();
            for source in self.sources_of(&listed.subject) {
                let now = self.queue.now();
                self.state().egress.listed(&source.name, Some(&evidence), now);
            }
        }
        match listed.action {
            ListAction::Inform => DecisionKind::Listed,
            ListAction::Act | ListAction::Warn => DecisionKind::Alert,
        }
    }

    /// What was confirmed before the start is known, and not told again.
    fn mark_listed(&self, finding: &Finding) {
        if let Finding::Listed(listed) = finding
            && listed.action == ListAction::Act
        {
            let evidence = listed.to_string();
            for source in self.sources_of(&listed.subject) {
                self.state().egress.listed(&source.name, Some(&evidence), self.queue.now());
            }
        }
    }

    /// One list has let go of a subject: it is clean once no other acting list has it.
    fn released(&self, subject: &Subject) {
        let others = self.blocklists.listed();
        let still = others.iter().any(|finding| {
            matches!(finding, Finding::Listed(it) if it.subject == *subject && it.action == ListAction::Act)
        });
        if still {
            return;
        }
        for source in self.sources_of(subject) {
            self.state().egress.listed(&source.name, None, self.queue.now());
        }
    }

    fn sources_of(&self, subject: &Subject) -> Vec<Arc<Source>> {
        let Subject::Address(address) = subject else { return Vec::new() };
        let address: &IpAddr = address;
        let config = self.config.get();
        config.sources.iter().filter(|source| source.public == *address).cloned().collect()
    }

    fn keep_listings(&self) {
        let value = match postcard::to_stdvec(&self.blocklists.memory()) {
            Ok(value) => value.into(),
            Err(error) => return tracing::error!(%error, "listings cannot be written down"),
        };
        let kept = Operation::Put(Family::State, LISTINGS.to_vec(), value);
        if let Err(error) = self.queue.write_state(vec![kept]) {
            tracing::error!(%error, "listings could not be written down");
        }
    }

    /// Looks after pools that have lost a source, for ever.
    pub async fn replace_sources(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut vacancies: Vec<Vacancy> = Vec::new();
        loop {
            ticks.tick().await;
            for source in self.state().egress.take_to_check() {
                let config = self.config.get();
                if let Some(source) = config.sources.iter().find(|it| it.name == source) {
                    self.blocklists.ask_now(&vetting::subject(source));
                }
            }
            let wanted = self.state().egress.wanted();
            vacancies.retain(|known| wanted.iter().any(|it| it.is_same(&known.wanted)));
            for wanted in wanted {
                let known = vacancies.iter().position(|known| known.wanted.is_same(&wanted));
                let known = match known {
                    Some(place) => vacancies.remove(place),
                    None => Vacancy { wanted: wanted.clone(), since: Instant::now(), again: None },
                };
                let mut vacancy = Vacancy { wanted, ..known };
                if vacancy.again.is_none_or(|again| again <= Instant::now()) {
                    let last = vacancy.since.elapsed() >= GIVE_UP;
                    match self.replace(&vacancy.wanted, last).await {
                        Replaced::Yes => continue,
                        Replaced::NotYet => vacancy.again = Some(Instant::now() + AGAIN),
                        Replaced::No => vacancy.again = Some(Instant::now() + GIVE_UP),
                    }
                }
                vacancies.push(vacancy);
            }
        }
    }

    /// Puts the first standby that passes in the place of the source that left.
    async fn replace(&self, wanted: &Wanted, last: bool) -> Replaced {
        let mut failed = Vec::new();
        let mut later = false;
        for candidate in &wanted.candidates {
            let Some(checks) = self.vet(candidate).await else { continue };
            match verdict(&checks) {
                Verdict::Passes => {
                    let joined = self.state().egress.join(wanted, candidate);
                    if joined {
                        self.save_egress().await;
                        self.tell_decisions();
                        let sites = self.state().egress.waiting_sites();
                        self.balance_all(&sites);
                        return Replaced::Yes;
                    }
                }
                Verdict::Fails => failed.push(reasons(candidate, &checks)),
                Verdict::Later => {
                    later = true;
                    failed.push(reasons(candidate, &checks));
                }
            }
        }
        if later && !last {
            return Replaced::NotYet;
        }
        let why = if failed.is_empty() {
            "There is no standby left: add one to `standby` of the pool".to_owned()
        } else {
            failed.join("; ")
        };
        self.state().egress.goes_on_with_fewer(wanted, &why);
        self.save_egress().await;
        self.tell_decisions();
        Replaced::No
    }

    /// What is found out about a source now; `None`: there is no such source.
    pub async fn vet(&self, source: &str) -> Option<Vec<Check>> {
        let config = self.config.get();
        let source = config.sources.iter().find(|known| *known.name == *source)?;
        let standings = self.blocklists.standings(&vetting::subject(source));
        let connector = &self.connector;
        Some(vetting::vet(source, &config, &connector.dns, &*connector.net, standings).await)
    }
}

/// A place in a pool that nobody has taken.
struct Vacancy {
    wanted: Wanted,
    since: Instant,
    again: Option<Instant>,
}

/// Whether a place was taken.
enum Replaced {
    Yes,
    /// Something could not be found out.
    NotYet,
    /// Nobody can.
    No,
}

/// Listings that were confirmed before the start.
pub(super) fn remembered(spool: &dyn Spool) -> Memory {
    match spool.get(Family::State, LISTINGS) {
        Ok(None) => Memory::default(),
        Ok(Some(value)) => postcard::from_bytes(&value).unwrap_or_else(|error| {
            tracing::error!(%error, "listings that were known cannot be read; the lists are asked again");
            Memory::default()
        }),
        Err(error) => {
            tracing::error!(%error, "listings that were known cannot be read; the lists are asked again");
            Memory::default()
        }
    }
}

fn reasons(candidate: &str, checks: &[Check]) -> String {
    let amiss = checks.iter().filter(|check| check.outcome != Outcome::Passed);
    let amiss: Vec<String> = amiss.map(ToString::to_string).collect();
    format!("{candidate} does not pass: {}", amiss.join("; "))
}
