//! The adapter: the egress of the relay, called as dispatch calls it. Whatever changes in that
//! interface changes here and nowhere else in the simulation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mta::egress::{
    Action, ConnectionId, Decision, DecisionKind, Destination, Egress, Halted, Health, Heard, Kept,
    Limits, PathLever, Pull, Refused, Said, Saving, Settings, SiteKind, SiteView, Sources, Waits,
};
use mta::message::{Failure, Lane, Priority, Timestamp};
use mta::queue::schedule::Schedule;
use relay_config::Config;
use relay_config::responses::Verdict;

use crate::monitor::Monitor;
use crate::plan::{self, Plan, Policy};
use crate::providers::{Blocklist, LARGE, SENDING_DOMAINS};
use crate::traffic::{Letter, SMALL};
use crate::waiting::{Waiting, campaign};

/// Sources of the pool.
pub const SOURCES: u8 = 18;
/// Sources that wait to replace one.
pub const STANDBYS: u8 = 4;
/// Both.
pub const ADDRESSES: u8 = SOURCES + STANDBYS;
/// The sources stand in networks of so many.
const IN_A_NETWORK: u8 = 12;
/// Their names, from the first.
pub const NAMES: [&str; ADDRESSES as usize] = [
    "ip-01", "ip-02", "ip-03", "ip-04", "ip-05", "ip-06", "ip-07", "ip-08", "ip-09", "ip-10",
    "ip-11", "ip-12", "ip-13", "ip-14", "ip-15", "ip-16", "ip-17", "ip-18", "ip-19", "ip-20",
    "ip-21", "ip-22",
];
/// The large providers as the relay knows them.
pub const PROVIDERS: [&str; LARGE.len()] = ["google", "outlook-consumer", "office365", "yahoo"];
/// Counts of the day are written at least so often.
const COUNTS_EVERY: Duration = Duration::from_secs(20);

/// Why a message cannot wait at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotNow {
    /// The site could not be reached a moment ago.
    Unreachable,
    /// No source of the pool may send.
    NoSource,
    /// A limit of ours, or a halt, keeps it on disk.
    Waits(Waits),
}

/// Something to be written. What it reserves may be used once it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write(u64);

/// The part of the relay that is tried.
pub struct Relay {
    egress: Egress<Waiting>,
    config: Arc<Config>,
    policy: Policy,
    pool: Arc<str>,
    destinations: Vec<Destination>,
    disk: BTreeMap<Vec<u8>, Kept>,
    writes: BTreeMap<Write, Vec<Saving>>,
    monitor: Monitor,
    /// What it decided, by kind, over all its lives.
    pub decided: BTreeMap<&'static str, u32>,
    /// Decisions that nobody has looked at yet.
    pub decisions: Vec<Decision>,
}

impl Relay {
    /// A relay that has just started.
    pub fn start(plan: Plan, now: Timestamp) -> Self {
        let config = Arc::new(plan::config(plan));
        Self {
            egress: egress(&config, now),
            pool: Arc::clone(&config.delivery.pool),
            policy: plan.policy,
            destinations: destinations(),
            disk: BTreeMap::new(),
            writes: BTreeMap::new(),
            monitor: Monitor::new(),
            decided: BTreeMap::new(),
            decisions: Vec::new(),
            config,
        }
    }

    /// The power went: it starts afresh with what it had stored. Of what was being written each batch is on
    /// disk or is not, as `lucky` says.
    pub fn restart(&mut self, mut lucky: impl FnMut() -> bool, now: Timestamp) {
        for savings in std::mem::take(&mut self.writes).into_values() {
            if lucky() {
                self.store(&savings);
            }
        }
        self.egress = egress(&self.config, now);
        let unread = self.egress.restore(self.disk.values().cloned().collect());
        assert_eq!(unread, [""; 0], "what was written can be read");
        for source in self.monitor.listed().collect::<Vec<_>>() {
            let name = NAMES[usize::from(source)].into();
            self.egress.listed(&name, Some("it was listed before the start"), now);
        }
    }

    fn store(&mut self, savings: &[Saving]) {
        for Saving { key, value, .. } in savings {
            match value {
                Some(value) => {
                    let kept = Kept { key: key.clone(), value: value.clone() };
                    self.disk.insert(key.clone(), kept);
                }
                None => {
                    self.disk.remove(key);
                }
            }
        }
    }

    /// What it is configured with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// When failed mail is tried again.
    pub fn schedule(&self) -> Schedule {
        let delivery = &self.config.delivery;
        Schedule { delays: delivery.retry.clone(), jitter: delivery.retry_jitter }
    }

    /// The sites, in the order of the providers.
    pub fn sites(&self) -> Vec<Arc<str>> {
        self.destinations.iter().map(|to| Arc::clone(&to.site)).collect()
    }

    /// What it must keep to at a site, whatever happens.
    pub fn limits(&self, place: usize) -> Limits {
        self.config.providers.limits(PROVIDERS.get(place).copied(), &self.pool).into()
    }

    /// A message waits for the site.
    pub fn push(
        &mut self,
        place: usize,
        number: u32,
        letter: &Letter,
        now: Timestamp,
    ) -> Result<(), NotNow> {
        let to = &self.destinations[place];
        let key = (Arc::clone(&to.site), lane(letter));
        let waiting = Waiting::new(number, letter);
        let pushed = self.egress.push(to, &self.pool, key, waiting, now);
        pushed.map_err(|(_, refused)| match refused {
            Refused::Unreachable(_) => NotNow::Unreachable,
            Refused::NoSource => NotNow::NoSource,
            Refused::Waits(waits) => NotNow::Waits(waits),
        })
    }

    /// A message goes back to the head of its lane.
    pub fn push_back(&mut self, place: usize, number: u32, letter: &Letter, now: Timestamp) {
        let to = &self.destinations[place];
        let key = (Arc::clone(&to.site), lane(letter));
        self.egress.push_back(to, &self.pool, key, Waiting::new(number, letter), now);
    }

    /// Which connections to wake or open at the site.
    pub fn balance(&mut self, site: &Arc<str>, now: Timestamp) -> Vec<Action> {
        self.egress.balance(site, now)
    }

    /// When that should be asked again if nothing else happens there.
    pub fn wakes(&self, site: &str, now: Timestamp) -> Option<Timestamp> {
        self.egress.wakes(site, now)
    }

    /// A connection is up.
    pub fn opened(&mut self, id: ConnectionId, now: Timestamp) {
        self.egress.opened(id, now);
    }

    /// A connection did not come up. Returns the messages that failed with it.
    pub fn failed_to_open(
        &mut self,
        id: ConnectionId,
        failure: &Failure,
        now: Timestamp,
    ) -> Vec<u32> {
        let failed = self.egress.failed_to_open(id, failure, now);
        self.tell();
        failed.into_iter().map(|waiting| waiting.number).collect()
    }

    /// What a connection does next.
    pub fn pull(&mut self, id: ConnectionId, now: Timestamp) -> Pull<Waiting> {
        self.egress.pull(id, now)
    }

    /// Something must be written. It is on disk when [`Relay::written`] was told.
    pub fn write(&mut self, now: Timestamp) -> Option<Write> {
        let savings = self.egress.to_save(now);
        if savings.is_empty() {
            return None;
        }
        let write = Write(self.writes.last_key_value().map_or(0, |(last, _)| last.0 + 1));
        self.writes.insert(write, savings);
        Some(write)
    }

    /// It is on disk.
    pub fn written(&mut self, write: Write) {
        if let Some(savings) = self.writes.remove(&write) {
            self.store(&savings);
            self.egress.saved(&savings);
        }
    }

    /// What came of a message through a path: recipients that were taken, and what was said of the others. Returns
    /// messages that may not go on now. Round-robin does not listen.
    pub fn heard(
        &mut self,
        through: (usize, &Arc<str>, u32),
        letter: Option<&Letter>,
        accepted: u32,
        said: &[(Arc<Verdict>, u32, String)],
        now: Timestamp,
    ) -> Vec<(u32, Waits)> {
        if self.policy == Policy::RoundRobin {
            return Vec::new();
        }
        let (place, source, transactions) = through;
        let site = Arc::clone(&self.destinations[place].site);
        let said = said.iter().map(|(verdict, recipients, reply)| Said {
            verdict,
            recipients: *recipients,
            reply,
        });
        let heard = Heard {
            site: &site,
            source,
            pool: &self.pool,
            sending_domain: letter.map(|letter| SENDING_DOMAINS[letter.sender.domain]),
            campaign: letter.map_or("", campaign),
            recipient_domain: if letter.is_some() { &site } else { "" },
            accepted,
            said: said.collect(),
            transactions,
        };
        self.egress.heard(&heard, now);
        if !self.tell() || letter.is_none() {
            return Vec::new();
        }
        let stopped = self.egress.take_halted(&site, now);
        stopped.into_iter().map(|(waiting, waits)| (waiting.number, waits)).collect()
    }

    /// What was decided since the last time. Whether something was halted.
    fn tell(&mut self) -> bool {
        let decisions = self.egress.take_decisions();
        let halted = decisions.iter().any(|it| it.kind == DecisionKind::Halted);
        for decision in decisions {
            *self.decided.entry(decision.kind.word()).or_default() += 1;
            self.decisions.push(decision);
        }
        halted
    }

    /// A connection says goodbye.
    pub fn closing(&mut self, id: ConnectionId) {
        self.egress.closing(id);
    }

    /// A connection has ended. Returns the sites that may want another one now, in turn.
    pub fn closed(&mut self, id: ConnectionId, now: Timestamp) -> Option<Arc<str>> {
        self.egress.closed(id, now)
    }

    /// A site that had to wait for a connection of the relay's, and may have it now.
    pub fn next_with_room(&mut self) -> Option<Arc<str>> {
        self.egress.next_with_room()
    }

    /// Looks after sources: lists are asked, vacant places taken by standbys, which all pass. Whether sites that
    /// wait want another look.
    pub fn look_after_sources(&mut self, list: &Blocklist, now: Timestamp) -> bool {
        if self.policy == Policy::RoundRobin {
            return false;
        }
        for source in self.egress.take_to_check() {
            self.monitor.ask_now(number_of(&source));
        }
        for (source, listed) in self.monitor.look(list, now) {
            let name = NAMES[usize::from(source)].into();
            let evidence = listed.then_some("the shared list names it");
            self.egress.listed(&name, evidence, now);
        }
        let mut joined = false;
        for wanted in self.egress.wanted() {
            if let Some(standby) = wanted.candidates.first() {
                joined |= self.egress.join(&wanted, standby);
            }
        }
        self.tell();
        joined
    }

    /// Looks after what is over and what must not be forgotten: called once in a while.
    pub fn keep_house(&mut self, now: Timestamp) {
        self.egress.sweep(now);
        self.egress.review_quarantine(now);
        self.egress.note_counts(now.before(COUNTS_EVERY));
        self.tell();
        let stranded = self.egress.take_stranded();
        assert!(stranded.is_empty(), "no pool is ever left without a source");
    }

    /// What waits for a person: paths that are suspended, and domains and campaigns that are halted, until somebody
    /// says otherwise. An operator has asked for a ban to be lifted, or mended what was to be mended, and tries
    /// it. Returns how often.
    pub fn operate(&mut self, now: Timestamp) -> usize {
        let halts = self.egress.halts(now).into_iter().filter(|(.., halt)| halt.until().is_none());
        let halts: Vec<(Arc<str>, Halted)> = halts.map(|(site, what, _)| (site, what)).collect();
        let mut acts = halts.len();
        for (site, what) in halts {
            let (Halted::Domain(name) | Halted::Campaign(name)) = what;
            let released = self.egress.release(&site, &name, "it was mended", now);
            assert!(released.is_ok(), "{released:?}");
        }
        for place in 0..self.destinations.len() {
            let to = self.destinations[place].clone();
            for path in self.view(place, now).paths {
                if !matches!(path.health, Health::Suspended { until: None, .. }) {
                    continue;
                }
                let lever = PathLever::Resume { why: "the ban was lifted".to_owned() };
                let name = &path.source.name;
                let resumed = self.egress.pull_path_lever(&to.site, &to.kind, name, lever, now);
                assert!(resumed.is_ok(), "{resumed:?}");
                acts += 1;
            }
        }
        self.tell();
        acts
    }

    /// Sites where something waits.
    pub fn waiting_sites(&self) -> Vec<Arc<str>> {
        self.egress.waiting_sites()
    }

    /// A site as people see it.
    pub fn view(&self, place: usize, now: Timestamp) -> SiteView {
        self.egress.view(&self.destinations[place], &self.pool, now)
    }

    /// How a source stands at a site: its health, and what it may do there.
    pub fn standing(
        &self,
        place: usize,
        source: &str,
        now: Timestamp,
    ) -> (Health, u32, u32, Option<u32>) {
        let view = self.view(place, now);
        let path = view.paths.iter().find(|path| *path.source.name == *source);
        path.map_or((Health::Active, 0, 0, None), |path| {
            (path.health, path.connections, path.messages, path.cap)
        })
    }

    /// How many sources have been replaced.
    pub fn swaps(&self) -> u32 {
        self.decided.get(DecisionKind::Swapped.word()).copied().unwrap_or(0)
    }

    /// How long an unused connection stays open.
    pub fn idle_timeout(&self) -> Duration {
        self.config.delivery.idle_timeout
    }
}

/// The address of a source, from 0; those of standbys follow.
pub fn address(number: u8) -> Ipv4Addr {
    let [network, host] = if number >= SOURCES {
        [2, 1 + number - SOURCES]
    } else {
        [number / IN_A_NETWORK, 1 + number % IN_A_NETWORK]
    };
    match network {
        0 => Ipv4Addr::new(198, 51, 100, host),
        1 => Ipv4Addr::new(203, 0, 113, host),
        _ => Ipv4Addr::new(192, 0, 2, host),
    }
}

/// The number of a source.
pub fn number_of(name: &str) -> u8 {
    let place = (0..).zip(NAMES).find(|(_, known)| *known == name);
    place.expect("every source has its name").0
}

/// The public address of a source, as servers see it.
pub fn seen(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("every source of the simulation has an IPv4 address"),
    }
}

fn egress(config: &Config, now: Timestamp) -> Egress<Waiting> {
    let sources = Sources::new(&config.sources, &config.pools, |_| true);
    let settings = Settings {
        providers: config.providers.clone(),
        connections_max: usize::try_from(config.delivery.connections).unwrap_or(usize::MAX),
        swap: config.swap.clone(),
    };
    Egress::new(sources, settings, now)
}

fn destinations() -> Vec<Destination> {
    let large = PROVIDERS.map(|name| (name.to_owned(), SiteKind::Provider(name.into())));
    let small = (0..SMALL).map(|number| (format!("mx.s{number}.example"), SiteKind::Mx));
    let all = large.into_iter().chain(small);
    all.map(|(name, kind)| {
        let site: Arc<str> = name.into();
        Destination { host_set: Arc::clone(&site), site, kind }
    })
    .collect()
}

fn lane(letter: &Letter) -> Lane {
    let priority = Priority::new(if letter.urgent { 5 } else { 0 });
    Lane { priority, account: u32::from(letter.account), tag: letter.account }
}
