//! One list: when it is asked what, and what its answers change.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use relay_config::Blocklist;
use relay_config::blocklists::Reading;

use crate::message::Timestamp;

use super::finding::{Ended, Finding, Listed};
use super::health::{Health, Told};
use super::question::{About, Answer, Question, Subject};
use super::standing::{Change, Evidence, Proof, Standing as Known};
use super::{Remembered, Standing, State};

/// A question that was not answered by then never will be: it is asked again.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(2);
/// The first round, after a start or when a list works again, is quicker than the others.
const FIRST_ROUND_MAX: Duration = Duration::from_mins(5);
/// A list that fails is looked at again after this.
const TEST_AGAIN_MAX: Duration = Duration::from_mins(5);
/// Octets that are kept of what a list says in words: more than one character string of the DNS holds.
const TEXT_OCTETS_MAX: usize = 300;

/// A list and what is known from it.
#[derive(Debug)]
pub(super) struct List {
    config: Arc<Blocklist>,
    /// Rounds are counted from here.
    begun: Timestamp,
    health: Health,
    must: Turn,
    must_not: Turn,
    subjects: BTreeMap<Subject, Watched>,
}

#[derive(Debug)]
struct Watched {
    known: Known,
    turn: Turn,
}

/// When something is asked.
#[derive(Debug)]
struct Turn {
    /// Its place in a round of `every`.
    phase: Duration,
    next: Timestamp,
    /// Since when it is open.
    asked: Option<Timestamp>,
}

impl List {
    pub(super) fn new(config: Arc<Blocklist>, now: Timestamp) -> Self {
        let turn = || Turn { phase: Duration::ZERO, next: now, asked: None };
        let health = Health::new(config.test.is_some());
        let subjects = BTreeMap::new();
        Self { config, begun: now, health, must: turn(), must_not: turn(), subjects }
    }

    pub(super) fn config(&self) -> &Arc<Blocklist> {
        &self.config
    }

    pub(super) fn has_zone(&self, zone: &str) -> bool {
        self.config.zone == zone
    }

    pub(super) fn fault(&self) -> Option<&str> {
        self.health.fault()
    }

    /// The list as it is configured now; see [`super::Monitor::configure`].
    pub(super) fn configure(
        mut self,
        config: Arc<Blocklist>,
        subjects: &[&Subject],
        remembered: Vec<Remembered>,
        now: Timestamp,
    ) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        if self.config != config {
            if self.config.test != config.test {
                self.health = Health::new(config.test.is_some());
                (self.must.next, self.must_not.next) = (now, now);
            }
            self.config = config;
            findings.extend(self.read_again());
        }
        let mut before = std::mem::take(&mut self.subjects);
        let fitting: Vec<&&Subject> = subjects.iter().filter(|it| it.fits(&self.config)).collect();
        let parts = u32::try_from(fitting.len()).unwrap_or(u32::MAX).saturating_add(1);
        for (part, subject) in (1..).zip(fitting) {
            let phase = self.config.every / parts * part;
            let watched = if let Some(mut watched) = before.remove(subject) {
                watched.turn.phase = phase;
                watched
            } else {
                let next = now.after(first_round(&self.config) / parts * part);
                Watched { known: Known::new(now), turn: Turn { phase, next, asked: None } }
            };
            self.subjects.insert((*subject).clone(), watched);
        }
        for (subject, watched) in before {
            findings.extend(self.released(&subject, &watched.known, Ended::NoLongerAsked));
        }
        findings.extend(remembered.into_iter().filter_map(|it| self.remember(it)));
        (self, findings)
    }

    /// Nobody asks it any more.
    pub(super) fn close(self) -> Vec<Finding> {
        let ended = |(subject, watched): (&Subject, &Watched)| {
            self.released(subject, &watched.known, Ended::NoLongerAsked)
        };
        self.subjects.iter().filter_map(ended).collect()
    }

    /// How many questions are open.
    pub(super) fn open(&self, now: Timestamp) -> usize {
        self.turns(now).filter(|(_, turn)| turn.is_open(now)).count()
    }

    /// What may be asked, and since when.
    pub(super) fn due(&self, now: Timestamp) -> Vec<(Timestamp, Question)> {
        let due = self.turns(now).filter(|(_, turn)| !turn.is_open(now));
        let due = due.filter(|(_, turn)| turn.next <= now || turn.next > self.latest(now));
        let question = |about: About| Question { list: Arc::clone(&self.config), about };
        due.map(|(about, turn)| (turn.next, question(about))).collect()
    }

    /// When [`List::due`] has something; when `full`, only what is open and will be given up.
    pub(super) fn next_due(&self, now: Timestamp, full: bool) -> Option<Timestamp> {
        let next = self.turns(now).filter_map(|(_, turn)| match turn.asked {
            Some(asked) if turn.is_open(now) => Some(asked.after(ANSWER_TIME_MAX)),
            _ if full => None,
            _ => Some(turn.next.min(self.latest(now))),
        });
        next.min()
    }

    pub(super) fn asked(&mut self, about: &About, now: Timestamp) {
        if let Some(turn) = self.turn(about) {
            turn.asked = Some(now);
        }
    }

    pub(super) fn ask_now(&mut self, subject: &Subject, now: Timestamp) {
        let Some(watched) = self.subjects.get_mut(subject) else { return };
        watched.turn.hasten(now);
        self.must.hasten(now);
        self.must_not.hasten(now);
    }

    /// What an answer means.
    pub(super) fn answered(
        &mut self,
        about: &About,
        answer: Answer,
        now: Timestamp,
    ) -> Vec<Finding> {
        // An answer that nobody waits for is one too many: it was heard, or given up.
        let Some(asked) = self.turn(about).and_then(|turn| turn.asked.take()) else {
            return Vec::new();
        };
        match about {
            About::MustList => self.tested(true, asked, answer, now),
            About::MustNotList => self.tested(false, asked, answer, now),
            About::Subject(subject) => self.heard(subject, answer, now).into_iter().collect(),
        }
    }

    pub(super) fn standing(&self, subject: &Subject) -> Option<Standing> {
        let known = &self.subjects.get(subject)?.known;
        let state = if let Some(listed) = self.listing(subject, known) {
            State::Listed(listed)
        } else if let Some(why) = self.health.lasting_fault() {
            State::Ignored(why.to_owned())
        } else if let Some((since, action)) = known.suspected() {
            State::Suspected(since, action)
        } else if let Some(since) = known.unknown_since() {
            State::Unknown(since)
        } else {
            State::Clear
        };
        Some(Standing { list: Arc::clone(&self.config), state })
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = Listed> {
        let subjects = self.subjects.iter();
        subjects.filter_map(|(subject, watched)| self.listing(subject, &watched.known))
    }

    pub(super) fn remembered(&self) -> impl Iterator<Item = Remembered> {
        self.listed().map(|listed| Remembered {
            list: listed.list,
            zone: self.config.zone.clone(),
            subject: listed.subject,
            evidence: Evidence { answers: listed.answers, text: listed.text },
            since: listed.since,
        })
    }

    fn tested(
        &mut self,
        must: bool,
        asked: Timestamp,
        answer: Answer,
        now: Timestamp,
    ) -> Vec<Finding> {
        let answered = matches!(answer, Answer::Records { .. });
        let result = self.examine(must, answer);
        let failed = result.is_err();
        if failed && answered {
            // It answers, and wrongly: what it said lately is worth nothing.
            for watched in self.subjects.values_mut() {
                watched.known.distrust();
            }
        }
        let was_proved = self.health.proved().is_some();
        let told = self.health.tested(must, asked, result, now);
        if !was_proved && self.health.proved().is_some() {
            self.begin_round(now);
        }
        let (every, begun) = (self.config.every, self.begun);
        let turn = if must { &mut self.must } else { &mut self.must_not };
        turn.next = turn.next_place(begun, every, now);
        if failed {
            turn.hasten(now.after(every.min(TEST_AGAIN_MAX)));
        }
        let list = Arc::clone(&self.config.name);
        let finding = told.map(|told| match told {
            Told::Broken(since, why) => Finding::ListBroken { list, since, why },
            Told::Well(since) => Finding::ListWell { list, since },
        });
        finding.into_iter().collect()
    }

    /// Whether a test was passed, or what is wrong.
    fn examine(&self, must: bool, answer: Answer) -> Result<(), String> {
        let addresses = match answer {
            Answer::Unavailable(why) => return Err(why),
            Answer::Records { addresses, .. } => addresses,
        };
        if let Some(why) = self.config.refusal(&addresses) {
            return Err(why);
        }
        match (must, addresses.first()) {
            (true, Some(_)) | (false, None) => Ok(()),
            (true, None) => {
                let test = self.config.test.as_deref().unwrap_or_default();
                Err(format!("it does not list {test}, which every list of its kind does"))
            }
            (false, Some(answer)) => {
                Err(format!("it lists what no list may ({answer}), perhaps everything"))
            }
        }
    }

    fn heard(&mut self, subject: &Subject, answer: Answer, now: Timestamp) -> Option<Finding> {
        let (reading, text) = match answer {
            Answer::Unavailable(why) => (Reading::Unknown(why), None),
            Answer::Records { addresses, text } => {
                (self.config.read(&addresses), text.as_deref().and_then(clean))
            }
        };
        let (every, begun) = (self.config.every, self.begun);
        let confirm_after = self.config.confirm_after;
        let proof = Proof { confirm_after, proved: self.health.proved() };
        let watched = self.subjects.get_mut(subject)?;
        let change = watched.known.hear(reading, text, proof, now);
        watched.turn.next = watched.turn.next_place(begun, every, now);
        match change {
            Change::None => {
                if watched.known.doubted() {
                    watched.turn.hasten(now.after(confirm_after));
                }
                None
            }
            Change::Doubt(again) => {
                watched.turn.next = again;
                // That the list works is to be shown after the first answer and before the second.
                self.must.hasten(now);
                self.must_not.hasten(now);
                None
            }
            Change::Listed => self
                .subjects
                .get(subject)
                .and_then(|watched| self.listing(subject, &watched.known))
                .map(Finding::Listed),
            Change::Released(since) => Some(Finding::Released {
                list: Arc::clone(&self.config.name),
                subject: subject.clone(),
                since,
                why: Ended::NotListed,
            }),
            Change::Unknown(since, why) => Some(Finding::Unknown {
                list: Arc::clone(&self.config.name),
                subject: subject.clone(),
                since,
                why,
            }),
        }
    }

    /// Asks about everybody, spread over a first round.
    fn begin_round(&mut self, now: Timestamp) {
        let (round, every) = (first_round(&self.config), self.config.every);
        for watched in self.subjects.values_mut() {
            let share = watched.turn.phase.div_duration_f64(every);
            watched.turn.next = now.after(round.mul_f64(share.clamp(0.0, 1.0)));
        }
    }

    /// Reads what is known by codes that have changed.
    fn read_again(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut subjects = std::mem::take(&mut self.subjects);
        for (subject, watched) in &mut subjects {
            let before = self.listing(subject, &watched.known);
            let released = self.released(subject, &watched.known, Ended::NoLongerCounts);
            let read = |answers: &[Ipv4Addr]| self.config.read(answers);
            if !watched.known.read_again(read) {
                findings.extend(released);
                continue;
            }
            let after = self.listing(subject, &watched.known);
            if after != before {
                findings.extend(after.map(Finding::Listed));
            }
        }
        self.subjects = subjects;
        findings
    }

    /// Puts a listing of before a restart back; says so when it has ended meanwhile.
    fn remember(&mut self, remembered: Remembered) -> Option<Finding> {
        let Remembered { list, subject, evidence, since, .. } = remembered;
        let reading = self.config.read(&evidence.answers);
        let watched = self.subjects.get_mut(&subject);
        let (Some(watched), Reading::Listed(listing)) = (watched, reading) else {
            let watched = self.subjects.contains_key(&subject);
            let why = if watched { Ended::NoLongerCounts } else { Ended::NoLongerAsked };
            return Some(Finding::Released { list, subject, since, why });
        };
        watched.known = Known::remembered(listing, evidence.text, since);
        None
    }

    fn listing(&self, subject: &Subject, known: &Known) -> Option<Listed> {
        let (listing, text, since) = known.listed()?;
        Some(Listed {
            list: Arc::clone(&self.config.name),
            subject: subject.clone(),
            answers: listing.answers.clone(),
            meanings: listing.meanings.clone(),
            text: text.cloned(),
            action: listing.action,
            delisting: self.config.delisting.clone(),
            since,
        })
    }

    fn released(&self, subject: &Subject, known: &Known, why: Ended) -> Option<Finding> {
        let (_, _, since) = known.listed()?;
        let list = Arc::clone(&self.config.name);
        Some(Finding::Released { list, subject: subject.clone(), since, why })
    }

    /// What is asked at all: our own only while the list is believed.
    fn turns(&self, now: Timestamp) -> impl Iterator<Item = (About, &Turn)> {
        let must = self.config.test.is_some().then_some((About::MustList, &self.must));
        let believed = self.health.proved().is_some();
        let subjects = self.subjects.iter().filter(move |(_, it)| believed || it.turn.is_open(now));
        let subjects = subjects.map(|(it, watched)| (About::Subject(it.clone()), &watched.turn));
        must.into_iter().chain([(About::MustNotList, &self.must_not)]).chain(subjects)
    }

    fn turn(&mut self, about: &About) -> Option<&mut Turn> {
        match about {
            About::MustList => Some(&mut self.must),
            About::MustNotList => Some(&mut self.must_not),
            About::Subject(subject) => {
                self.subjects.get_mut(subject).map(|watched| &mut watched.turn)
            }
        }
    }

    /// Later than this nothing is ever put off: beyond it lies only what a clock that was set back has left.
    fn latest(&self, now: Timestamp) -> Timestamp {
        now.after(self.config.every.saturating_mul(2)).after(self.config.confirm_after)
    }
}

impl Turn {
    fn is_open(&self, now: Timestamp) -> bool {
        self.asked.is_some_and(|asked| now.since(asked) < ANSWER_TIME_MAX)
    }

    fn hasten(&mut self, to: Timestamp) {
        self.next = self.next.min(to);
    }

    /// Its next place in a round, at least half a round from now.
    fn next_place(&self, begun: Timestamp, every: Duration, now: Timestamp) -> Timestamp {
        let first = begun.after(self.phase);
        let missing = now.after(every / 2).since(first).as_millis();
        let rounds = missing.div_ceil(every.as_millis().max(1));
        first.after(every.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)))
    }
}

fn first_round(config: &Blocklist) -> Duration {
    config.every.min(FIRST_ROUND_MAX)
}

/// Text of a stranger, short and without what could move a cursor.
fn clean(text: &str) -> Option<String> {
    let spoken = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().map(spoken).collect();
    let end = text.floor_char_boundary(TEXT_OCTETS_MAX);
    let text = text.get(..end).unwrap_or_default().trim().to_owned();
    (!text.is_empty()).then_some(text)
}
