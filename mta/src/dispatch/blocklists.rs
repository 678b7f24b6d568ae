//! Asks blocklists: the questions of the monitor become look-ups, their answers findings.
//!
//! What to ask when, and what an answer means, `egress/blocklist` knows; what is done about a finding, the
//! caller. Here are the resolver, the clock, and the keys of zones: a name with a key in it is made for
//! one look-up, and what comes back is rid of it before anybody sees it.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use relay_config::Config;
use relay_config::blocklists::{Blocklist, KEY, KeyFile, Reading};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::egress::blocklist::{
    Answer, Finding, Listed, Memory, Monitor, Question, Standing, Subject,
};
use crate::metrics::{self, Label, Labelled, NamedGauges, Names, Topic};
use crate::outside::{DnsError, MailDns, WallClock};

/// Time for one question, its text included. The resolver gives up sooner.
const QUESTION_TIME_MAX: Duration = Duration::from_mins(1);
/// However far away the next question is, the clock is looked at again after this: it may be set.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// Octets of a key: one label of the DNS (RFC 1035 section 2.3.4).
const KEY_OCTETS_MAX: usize = 63;

static ANSWERS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let results = [
        ("clear", "not listed"),
        ("listed", "listed, be it not confirmed yet"),
        ("unknown", "no answer, an error, or one that means nothing known"),
    ];
    let help =
        "What blocklists answered about our addresses and domains; their tests are not counted";
    let labels = vec![Label::known("result", &results)];
    metrics::counters(Topic::Sources, "tambo_blocklist_answers_total", help, labels)
});
static LISTED: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "Addresses and domains of ours that a blocklist lists, confirmed";
    let list = Label::names("list", Names::Blocklists);
    metrics::named_gauges(Topic::Sources, "tambo_blocklist_listed", help, vec![list])
});
static IGNORED: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "1 while a blocklist does not work and is ignored";
    let list = Label::names("list", Names::Blocklists);
    metrics::named_gauges(Topic::Sources, "tambo_blocklist_ignored", help, vec![list])
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&ANSWERS, &LISTED, &IGNORED]);
}

/// The key of a zone in lower case, or why there is none.
type Key = Result<Arc<str>, String>;

/// The lists, and who asks them.
pub struct Blocklists {
    dns: Arc<dyn MailDns>,
    clock: Arc<dyn WallClock>,
    monitor: Mutex<Monitor>,
    /// The key of each list that has one, or why it cannot be read.
    keys: Mutex<HashMap<Arc<str>, Key>>,
    /// Something may be due sooner than it was.
    sooner: Notify,
}

impl Blocklists {
    /// With what was remembered of before ([`Blocklists::memory`]). Nothing is asked until
    /// [`Blocklists::configure`] says whom, and [`Blocklists::run`] runs.
    pub fn new(memory: Memory, dns: Arc<dyn MailDns>, clock: Arc<dyn WallClock>) -> Self {
        let monitor = Mutex::new(Monitor::new(memory));
        Self { dns, clock, monitor, keys: Mutex::default(), sooner: Notify::new() }
    }

    /// At the start and at a reload: which lists are asked about whom. Reads the keys.
    pub fn configure(&self, config: &Config) -> Vec<Finding> {
        let keyed = config.blocklists.iter().filter_map(|list| Some((list, list.key.as_ref()?)));
        let keys: HashMap<_, _> =
            keyed.map(|(list, file)| (Arc::clone(&list.name), read_key(file))).collect();
        for (list, key) in &keys {
            if let Err(error) = key {
                tracing::error!(%list, %error, "a blocklist cannot be asked");
            }
        }
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        let mut monitor = self.monitor();
        let findings = monitor.configure(&config.blocklists, &subjects(config), self.clock.now());
        count(&monitor);
        drop(monitor);
        self.sooner.notify_one();
        findings
    }

    /// Asks until it is dropped, and tells what is found.
    pub async fn run(&self, tell: impl Fn(Finding)) {
        let mut open = JoinSet::new();
        loop {
            let now = self.clock.now();
            let (due, next) = {
                let mut monitor = self.monitor();
                (monitor.due(now), monitor.next_due(now))
            };
            for question in due {
                let key = self.key(&question);
                open.spawn(ask(Arc::clone(&self.dns), question, key));
            }
            let wait = next.map_or(SLEEP_MAX, |next| next.since(now).min(SLEEP_MAX));
            tokio::select! {
                Some(done) = open.join_next(), if !open.is_empty() => match done {
                    Ok((question, answer)) => self.answered(&question, answer, &tell),
                    // The monitor asks again what is never answered.
                    Err(error) => tracing::error!(%error, "a question to a blocklist has failed"),
                },
                () = self.sooner.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Asks every list about it at once, as when a server said that it is listed.
    pub fn ask_now(&self, subject: &Subject) {
        self.monitor().ask_now(subject, self.clock.now());
        self.sooner.notify_one();
    }

    /// What each list that is asked about it says of a subject.
    pub fn standings(&self, subject: &Subject) -> Vec<Standing> {
        self.monitor().standings(subject)
    }

    /// Every listing that is confirmed, as findings: what a pool should know at the start.
    pub fn listed(&self) -> Vec<Finding> {
        self.monitor().listed().map(Finding::Listed).collect()
    }

    /// Each list that is asked, why it is ignored if it is, and whom it lists.
    pub fn lists(&self) -> Vec<(Arc<str>, Option<String>, Vec<Listed>)> {
        let monitor = self.monitor();
        let all: Vec<Listed> = monitor.listed().collect();
        let its = |name: &Arc<str>| all.iter().filter(|it| it.list == *name).cloned().collect();
        let lists = monitor.lists();
        lists
            .map(|(list, fault)| {
                (Arc::clone(&list.name), fault.map(str::to_owned), its(&list.name))
            })
            .collect()
    }

    /// What is listed, confirmed: as often as there are lists that say so.
    pub(super) fn listed_subjects(&self) -> Vec<Subject> {
        self.monitor().listed().map(|listed| listed.subject).collect()
    }

    /// What to keep over a restart; it changes with each listing that is found or ends.
    pub fn memory(&self) -> Memory {
        self.monitor().memory()
    }

    fn answered(&self, question: &Question, answer: Answer, tell: &impl Fn(Finding)) {
        let mut monitor = self.monitor();
        let findings = monitor.answered(question, answer, self.clock.now());
        count(&monitor);
        drop(monitor);
        for finding in findings {
            tell(finding);
        }
    }

    fn key(&self, question: &Question) -> Result<Option<Arc<str>>, String> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(&question.list.name).filter(|_| question.list.key.is_some());
        key.cloned().transpose()
    }

    fn monitor(&self) -> MutexGuard<'_, Monitor> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom lists are asked about: the addresses of sources as others see them, and the domains that mail
/// comes from, those above the names in `senders` among them.
pub fn subjects(config: &Config) -> BTreeSet<Subject> {
    let addresses = config.sources.iter().map(|source| source.public);
    let addresses = addresses.filter(|address: &IpAddr| !address.is_unspecified());
    let domains = config.sending_domains().into_iter().chain(config.parents_of_senders());
    let domains = domains.map(|domain| Subject::Domain(domain.into()));
    addresses.map(Subject::Address).chain(domains).collect()
}

fn count(monitor: &Monitor) {
    let lists: Vec<(&Arc<Blocklist>, Option<&str>)> = monitor.lists().collect();
    let listed: Vec<Arc<str>> = monitor.listed().map(|listed| listed.list).collect();
    LISTED.set_all(lists.iter().map(|(list, _)| {
        let count = listed.iter().filter(|name| **name == list.name).count();
        (Some(&*list.name), [count as u64])
    }));
    IGNORED
        .set_all(lists.iter().map(|(list, fault)| (Some(&*list.name), [fault.is_some().into()])));
}

fn read_key(file: &KeyFile) -> Key {
    let path = file.path.display();
    let text = std::fs::read_to_string(&file.path)
        .map_err(|error| format!("{}: {path}: {error}", file.place))?;
    let key = text.lines().next().unwrap_or_default().trim();
    let fits = (1..=KEY_OCTETS_MAX).contains(&key.len())
        && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    if fits {
        Ok(key.to_ascii_lowercase().into())
    } else {
        // What stands there may be a key all the same: it is not repeated.
        Err(format!("{}: the first line of {path} is no key", file.place))
    }
}

/// Looks one question up.
async fn ask(
    dns: Arc<dyn MailDns>,
    question: Question,
    key: Result<Option<Arc<str>>, String>,
) -> (Question, Answer) {
    let answer = match key {
        Err(why) => Answer::Unavailable(why),
        Ok(key) => {
            let found = look_up(&*dns, &question, key.as_deref());
            let found = tokio::time::timeout(QUESTION_TIME_MAX, found).await;
            found.unwrap_or_else(|_| Answer::Unavailable("no answer in time".to_owned()))
        }
    };
    if question.wants_text() {
        let result = match &answer {
            Answer::Unavailable(_) => "unknown",
            Answer::Records { addresses, .. } => match question.list.read(addresses) {
                Reading::Clear => "clear",
                Reading::Listed(_) => "listed",
                Reading::Unknown(_) => "unknown",
            },
        };
        ANSWERS.count(&[result]);
    }
    (question, answer)
}

async fn look_up(dns: &dyn MailDns, question: &Question, key: Option<&str>) -> Answer {
    let name = question.name(key);
    let addresses = match dns.listing(&name).await {
        Ok(answer) => answer.records,
        Err(DnsError::NoSuchName | DnsError::NoRecords) => Vec::new(),
        Err(error @ DnsError::Unavailable(_)) => {
            return Answer::Unavailable(without_key(&error.to_string(), key));
        }
    };
    let listed = matches!(question.list.read(&addresses), Reading::Listed(_));
    let mut text = None;
    if listed && question.wants_text() {
        // A listing without words is a listing all the same.
        let texts = dns.texts(&name).await.map(|answer| answer.records).unwrap_or_default();
        text = texts.into_iter().next().map(|text| without_key(&text, key));
    }
    Answer::Records { addresses, text }
}

/// A stranger's words, in which nobody finds the key: names are written as they are asked.
fn without_key(text: &str, key: Option<&str>) -> String {
    let Some(key) = key else { return text.to_owned() };
    // Lower case has the same length, octet by octet, in ASCII only.
    let lower = text.to_ascii_lowercase();
    let mut clean = String::new();
    let mut from = 0;
    for (at, found) in lower.match_indices(key) {
        clean.push_str(text.get(from..at).unwrap_or_default());
        clean.push_str(KEY);
        from = at + found.len();
    }
    clean.push_str(text.get(from..).unwrap_or_default());
    clean
}

#[cfg(test)]
mod tests;
