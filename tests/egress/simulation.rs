//! Weeks of a relay in a world that it does not know, event by event, on a virtual clock.
//!
//! It does what dispatch and queue do around egress: tries again by the schedule, puts back what must wait,
//! writes what must not be forgotten, gives up what is too old; and once in a while the power goes.
//! Connections live in `connections.rs`. There is no runtime and no message, only their numbers. What
//! must hold at each step is asserted in `books.rs`.
//!
//! Dispatch looks at every waiting site each second. Here a site is looked at when something happens
//! there, and when egress says that time alone changes something ([`Relay::wakes`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mta::egress::{ConnectionId, DecisionKind};
use mta::message::Timestamp;
use mta::queue::schedule::Schedule;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::books::Books;
use crate::figures::Figures;
use crate::letters::{Letters, Why};
use crate::link::Link;
use crate::plan::Plan;
use crate::providers::{Internet, SENDING_DOMAINS};
use crate::reader::Reader;
use crate::relay::{NotNow, Relay, Write, address, number_of};
use crate::traffic::{A_DAY, SMALL, Traffic, share_of};

/// Midnight of the institution: 05:00 UTC.
pub const START: Timestamp = Timestamp::from_millis(1_795_582_800_000);
/// A day.
pub const DAY: Duration = Duration::from_hours(24);
/// How often the relay looks after what nobody else does.
const HOUSE_EVERY: Duration = Duration::from_secs(10);
/// Of these looks, one in so many is at what is over.
const SWEPT_EVERY: u64 = 6;
/// And one in so many at all sites that wait, whether something wakes them or not.
const BALANCED_EVERY: u64 = 30;
/// A site that waits is looked at no oftener than dispatch does.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When an operator looks after what waits for one.
const MORNING: Duration = Duration::from_hours(9);
/// Time until something is on disk.
pub const SYNC: Duration = Duration::from_millis(10);
/// A relay that lost its power is up again after this.
const RESTART: Duration = Duration::from_secs(30);
/// In each stretch of so long the power goes once.
const CRASH_EVERY: Duration = Duration::from_hours(15 * 24);
/// Blocks of so long ago may be what quarantined a source: the time of `swap.within`, and some for the replies.
const EVIDENCE: Duration = Duration::from_hours(26);

/// What happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A message is accepted.
    Arrival,
    /// A connection came up or failed, in this life of the relay.
    Banner(u32, ConnectionId),
    /// A transaction has ended.
    Answer(u32, ConnectionId),
    /// A connection that waits looks again, unless it was woken meanwhile.
    Look(u32, ConnectionId, u32),
    /// A connection is closed.
    Closed(u32, ConnectionId),
    /// Something is on disk; a connection may have waited for it.
    Written(u32, Write, Option<ConnectionId>),
    /// A site that sleeps wakes.
    Wake(u32, usize),
    /// The relay looks after things.
    House(u64),
    /// A day ends.
    Midnight,
    /// An operator comes to work.
    Morning,
    /// The power goes.
    Crash,
}

/// A relay and the world around it.
pub struct Simulation {
    pub(crate) now: Timestamp,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    sequence: u64,
    /// Deliveries that are due in a second: they are far too many for the other queue.
    due: BTreeMap<u64, Vec<u32>>,
    pub(crate) life: u32,
    /// The policy.
    pub relay: Relay,
    pub(crate) reader: Reader,
    schedule: Schedule,
    random: StdRng,
    traffic: Traffic,
    /// What has not ended.
    pub letters: Letters,
    pub(crate) links: BTreeMap<ConnectionId, Link>,
    pub(crate) sites: Vec<Arc<str>>,
    pub(crate) places: HashMap<Arc<str>, usize>,
    /// When each site wakes.
    wakes: Vec<Option<Timestamp>>,
    /// What must hold, and how near it came.
    pub books: Books,
    /// What came of it.
    pub figures: Figures,
    /// The world.
    pub internet: Internet,
}

impl Simulation {
    /// The world and the traffic of a seed, with a relay that goes by this policy.
    pub fn new(seed: u64, plan: Plan, days: u64) -> Self {
        Self::within(Internet::draw(seed, SMALL, START), seed, plan, days)
    }

    /// The traffic of a seed in a world that somebody made.
    pub fn within(mut internet: Internet, seed: u64, plan: Plan, days: u64) -> Self {
        acquaint(&mut internet, plan);
        let relay = Relay::start(plan, START);
        let sites = relay.sites();
        let places = sites.iter().enumerate().map(|(place, site)| (Arc::clone(site), place));
        let mut simulation = Self {
            now: START,
            events: BinaryHeap::new(),
            sequence: 0,
            due: BTreeMap::new(),
            life: 0,
            reader: Reader::new(Arc::clone(&relay.config().responses)),
            schedule: relay.schedule(),
            random: StdRng::seed_from_u64(seed),
            traffic: Traffic::new(seed, START, A_DAY),
            letters: Letters::default(),
            links: BTreeMap::new(),
            places: places.collect(),
            wakes: vec![None; sites.len()],
            sites,
            books: Books::new(relay.config(), plan),
            figures: Figures::new(START),
            internet,
            relay,
        };
        let part = CRASH_EVERY.min(DAY * u32::try_from(days).unwrap_or(u32::MAX));
        let mut from = START;
        while from < START.after(DAY * u32::try_from(days).unwrap_or(u32::MAX)) {
            let after = Duration::from_secs(simulation.random.random_range(0..part.as_secs()));
            simulation.at(from.after(after), Event::Crash);
            from = from.after(part);
        }
        simulation.at(simulation.traffic.next_at(), Event::Arrival);
        simulation.at(START.after(HOUSE_EVERY), Event::House(1));
        simulation.at(START.after(DAY), Event::Midnight);
        simulation.at(START.after(MORNING), Event::Morning);
        simulation
    }

    /// So many days pass.
    pub fn run(&mut self, days: u64) {
        let end = START.after(DAY * u32::try_from(days).unwrap_or(u32::MAX));
        while let Some(Reverse((time, _, _))) = self.events.peek() {
            let time = *time;
            if let Some(entry) = self.due.first_entry()
                && second(*entry.key()) <= time.min(end)
            {
                self.now = second(*entry.key());
                for number in entry.remove() {
                    self.ready(number);
                }
            } else if time <= end
                && let Some(Reverse((_, _, event))) = self.events.pop()
            {
                self.now = time;
                self.happen(event);
            } else {
                break;
            }
        }
        self.figures.waiting_recipients = self.letters.recipients();
    }

    pub(crate) fn at(&mut self, time: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => {
                let letter = self.traffic.take();
                self.at(self.traffic.next_at(), Event::Arrival);
                self.figures.accepted(letter.place, letter.count(), self.now);
                let number = self.letters.add(letter);
                self.ready(number);
            }
            Event::Banner(life, id) if life == self.life => self.banner(id),
            Event::Answer(life, id) if life == self.life => self.answer(id),
            Event::Look(life, id, generation) if life == self.life => {
                if self.links.get(&id).is_some_and(|link| link.generation == generation) {
                    self.work(id);
                }
            }
            Event::Closed(life, id) if life == self.life => self.closed(id),
            Event::Written(life, write, id) if life == self.life => {
                self.relay.written(write);
                if let Some(id) = id {
                    self.work(id);
                }
            }
            Event::Wake(life, place) if life == self.life => {
                if self.wakes[place] == Some(self.now) {
                    self.wakes[place] = None;
                    let site = Arc::clone(&self.sites[place]);
                    self.balance(&site);
                }
            }
            Event::House(number) => self.keep_house(number),
            Event::Midnight => {
                self.at(self.now.after(DAY), Event::Midnight);
                self.figures.midnight(self.letters.count(), self.relay.swaps(), self.now);
            }
            Event::Morning => {
                self.at(self.now.after(DAY), Event::Morning);
                self.figures.acts += self.relay.operate(self.now);
                self.check_decisions();
            }
            Event::Crash => self.crash(),
            // Of a life that has ended.
            Event::Banner(..)
            | Event::Answer(..)
            | Event::Look(..)
            | Event::Closed(..)
            | Event::Written(..)
            | Event::Wake(..) => {}
        }
    }

    fn keep_house(&mut self, number: u64) {
        self.at(self.now.after(HOUSE_EVERY), Event::House(number + 1));
        if number.is_multiple_of(SWEPT_EVERY) {
            self.relay.keep_house(self.now);
        }
        let joined = self.relay.look_after_sources(&self.internet.list, self.now);
        if let Some(write) = self.relay.write(self.now) {
            self.at(self.now.after(SYNC), Event::Written(self.life, write, None));
        }
        self.check_decisions();
        if joined || number.is_multiple_of(BALANCED_EVERY) {
            for site in self.relay.waiting_sites() {
                self.balance(&site);
            }
        }
    }

    /// A source is only quarantined when it is really listed, or really blocked by several.
    pub(crate) fn check_decisions(&mut self) {
        for decision in std::mem::take(&mut self.relay.decisions) {
            let Some(source) =
                decision.source.filter(|_| decision.kind == DecisionKind::Quarantined)
            else {
                continue;
            };
            let ip = address(number_of(&source));
            let wanted = self.relay.config().swap.blamed_sites as usize;
            let lately = self.now.before(EVIDENCE);
            let blocks = self.internet.providers.iter().filter(|provider| {
                let address = provider.addresses.get(&ip);
                let mut blocks = address.into_iter().flat_map(|it| &it.standing.blocks);
                blocks.any(|block| block.until > lately)
            });
            let truly = self.internet.list.lists(ip, lately) || blocks.count() >= wanted;
            let text = decision.text;
            assert!(truly, "{source} was quarantined for what nobody holds against it: {text}");
        }
    }

    /// A delivery is due: it gets its place at the site.
    pub(crate) fn ready(&mut self, number: u32) {
        let Some(letter) = self.letters.get(number).copied() else { return };
        if self.now >= letter.accepted.after(self.relay.config().delivery.expire_after) {
            self.figures.expired(letter.count(), self.now);
            self.letters.end(number);
            return;
        }
        let place = usize::from(letter.place);
        self.letters.is_ready(number);
        match self.relay.push(place, number, &letter, self.now) {
            Ok(()) => {
                let site = Arc::clone(&self.sites[place]);
                self.balance(&site);
            }
            Err(NotNow::Unreachable) => {
                self.figures.deferred(letter.count(), self.now);
                self.later(number, None, Why::Retries);
            }
            Err(NotNow::NoSource) => self.later(number, None, Why::Retries),
            Err(NotNow::Waits(waits)) => self.postpone(number, waits.until, Why::Ours(waits.why)),
        }
    }

    /// A limit of ours keeps it: that is no attempt.
    pub(crate) fn postpone(&mut self, number: u32, until: Timestamp, why: Why) {
        let Some(letter) = self.letters.get(number) else { return };
        let expires = letter.accepted.after(self.relay.config().delivery.expire_after);
        self.figures.postponed += 1;
        self.letters.is_due(number, why);
        self.due_at(until.min(expires), number);
    }

    /// A delivery is tried again by the schedule, not before a reply said.
    pub(crate) fn later(&mut self, number: u32, not_before: Option<Duration>, why: Why) {
        let Some(letter) = self.letters.get_mut(number) else { return };
        letter.attempts += 1;
        let expires = letter.accepted.after(self.relay.config().delivery.expire_after);
        let next = self.schedule.next(letter.attempts, not_before, self.now, &mut self.random);
        self.letters.is_due(number, why);
        self.due_at(next.min(expires), number);
    }

    pub(crate) fn due_at(&mut self, time: Timestamp, number: u32) {
        let time = time.max(self.now).as_millis().div_ceil(1000);
        self.due.entry(time).or_default().push(number);
    }

    /// A site that waits is looked at again when egress says so.
    pub(crate) fn sleep(&mut self, site: &Arc<str>) {
        let Some(at) = self.relay.wakes(site, self.now) else { return };
        let at = at.max(self.now.after(LOOK_EVERY));
        let place = self.places[site];
        if self.wakes[place].is_none_or(|before| before > at || before <= self.now) {
            self.wakes[place] = Some(at);
            self.at(at, Event::Wake(self.life, place));
        }
    }

    /// The power goes. What was in flight is tried again; what a server had taken, it gets twice.
    fn crash(&mut self) {
        self.life += 1;
        for link in std::mem::take(&mut self.links).into_values() {
            self.books.close(link.place, link.from);
            link.session.into_iter().for_each(|session| self.internet.quit(session));
            if let Some((_, told)) = link.carries {
                self.figures.twice += u64::from(told.taken.count_ones());
            }
        }
        self.wakes.fill(None);
        let random = &mut self.random;
        self.relay.restart(|| random.random_bool(0.5), self.now);
        for number in self.letters.restart() {
            self.due_at(self.now.after(RESTART), number);
        }
    }
}

/// The providers know the sources that have always carried the mail, and the sending domains.
fn acquaint(internet: &mut Internet, plan: Plan) {
    for (place, provider) in internet.providers.iter_mut().enumerate() {
        let a_day = f64::from(A_DAY) * share_of(place);
        for source in 0..plan.known {
            let each = a_day / f64::from(plan.known);
            provider.acquaint(address(source), each, START.before(DAY * 200));
        }
        for domain in 0..SENDING_DOMAINS.len() {
            provider.acquaint_domain(domain, a_day / SENDING_DOMAINS.len() as f64);
        }
    }
}

fn second(number: u64) -> Timestamp {
    Timestamp::from_millis(number * 1000)
}
