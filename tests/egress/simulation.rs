//! Weeks of a relay in a world that it does not know, event by event, on a virtual clock.
//!
//! It does what dispatch and queue do around egress: opens and wakes connections, lets them pull,
//! reads replies, tries again by the schedule, gives up what is too old; and once in a while the
//! power goes. There is no runtime and no message, only their numbers. What must hold at each step
//! is asserted in `books.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mta::egress::{Action, ConnectionId, Pull};
use mta::message::Timestamp;
use mta::queue::schedule::Schedule;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay_config::responses::Mail;

use crate::books::{Books, check_carried, check_failed};
use crate::figures::Figures;
use crate::letters::Letters;
use crate::link::{Link, Told, transact};
use crate::providers::{Answer, Internet, LARGE, Moment, SENDING_DOMAINS};
use crate::reader::{Reader, not_up};
use crate::relay::{NotNow, Plan, Relay, address, seen};
use crate::traffic::{A_DAY, Letter, SMALL, Traffic, share_of};

/// Midnight of the institution: 05:00 UTC.
pub const START: Timestamp = Timestamp::from_millis(1_795_582_800_000);
/// A day.
pub const DAY: Duration = Duration::from_hours(24);
/// How often the relay looks after what nobody else does.
const HOUSE_EVERY: Duration = Duration::from_secs(10);
/// A relay that lost its power is up again after this.
const RESTART: Duration = Duration::from_secs(30);
/// In each stretch of so long the power goes once.
const CRASH_EVERY: Duration = Duration::from_hours(15 * 24);
/// Time that QUIT takes.
const GOODBYE: Duration = Duration::from_millis(40);

/// What happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
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
    /// The relay looks after things.
    House,
    /// A day ends.
    Midnight,
    /// The power goes.
    Crash,
}

/// A relay and the world around it.
pub struct Simulation {
    now: Timestamp,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    sequence: u64,
    /// Deliveries that are due in a second: they are far too many for the other queue.
    due: BTreeMap<u64, Vec<u32>>,
    life: u32,
    relay: Relay,
    reader: Reader,
    schedule: Schedule,
    random: StdRng,
    traffic: Traffic,
    letters: Letters,
    links: BTreeMap<ConnectionId, Link>,
    sites: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize>,
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
        let mut internet = Internet::draw(seed, SMALL, START);
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
        let relay = Relay::start(plan);
        let large = LARGE.iter().map(|kind| format!("{kind:?}").to_lowercase().into());
        let small = (0..SMALL).map(|number| format!("mx.s{number}.example").into());
        let sites: Vec<Arc<str>> = large.chain(small).collect();
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
            sites,
            books: Books::default(),
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
        simulation.at(START.after(HOUSE_EVERY), Event::House);
        simulation.at(START.after(DAY), Event::Midnight);
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

    fn at(&mut self, time: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => {
                let letter = self.traffic.take();
                self.at(self.traffic.next_at(), Event::Arrival);
                self.figures.accepted(letter.count(), self.now);
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
            Event::House => {
                self.at(self.now.after(HOUSE_EVERY), Event::House);
                for site in self.relay.keep_house(self.now) {
                    self.balance(&site);
                }
            }
            Event::Midnight => {
                self.at(self.now.after(DAY), Event::Midnight);
                self.figures.midnight(self.letters.count(), self.relay.swaps(), self.now);
            }
            Event::Crash => self.crash(),
            // Of a life that has ended.
            Event::Banner(..) | Event::Answer(..) | Event::Look(..) | Event::Closed(..) => {}
        }
    }

    /// A delivery is due: it gets its place at the site.
    fn ready(&mut self, number: u32) {
        let Some(letter) = self.letters.get(number).copied() else { return };
        if self.now >= letter.accepted.after(self.relay.config().delivery.expire_after) {
            self.figures.expired(letter.count(), self.now);
            self.letters.end(number);
            return;
        }
        let site = Arc::clone(&self.sites[usize::from(letter.place)]);
        self.letters.is_ready(number);
        match self.relay.push(&site, number, &letter, self.now) {
            Ok(()) => self.balance(&site),
            Err(NotNow::Unreachable) => {
                self.figures.deferred(letter.count(), self.now);
                self.later(number, None);
            }
        }
    }

    /// A delivery is tried again by the schedule, not before a reply said.
    fn later(&mut self, number: u32, not_before: Option<Duration>) {
        let Some(letter) = self.letters.get_mut(number) else { return };
        letter.attempts += 1;
        let expires = letter.accepted.after(self.relay.config().delivery.expire_after);
        let next = self.schedule.next(letter.attempts, not_before, self.now, &mut self.random);
        self.letters.is_due(number);
        self.due_at(next.min(expires), number);
    }

    fn due_at(&mut self, time: Timestamp, number: u32) {
        let time = time.max(self.now).as_millis().div_ceil(1000);
        self.due.entry(time).or_default().push(number);
    }

    fn balance(&mut self, site: &Arc<str>) {
        for action in self.relay.balance(site, self.now) {
            match action {
                Action::Wake(id) => self.work(id),
                Action::Open { connection, site, source } => {
                    let place = self.places[&site];
                    let from = seen(source.public);
                    self.books.open(place, from, &self.relay.limits(&site));
                    let (session, said) = self.internet.connect(place, from, self.now);
                    self.links.insert(connection, Link::new(place, from, session, said.answer));
                    self.at(self.now.after(said.after), Event::Banner(self.life, connection));
                }
            }
        }
    }

    fn banner(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get(&id) else { return };
        let (place, answer) = (link.place, link.greeting);
        if answer == Answer::Yes {
            self.relay.opened(id);
            self.work(id);
            return;
        }
        let reply = if let Answer::No(reply) = answer { Some(reply) } else { None };
        let verdict = reply.map(|reply| self.reader.read(&reply, Moment::Banner));
        let failure = not_up(reply.as_ref());
        let failed = self.relay.failed_to_open(id, &failure, verdict.as_deref(), self.now);
        let site = Arc::clone(&self.sites[place]);
        self.balance(&site);
        for number in failed {
            let Some(letter) = self.letters.get(number).copied() else { continue };
            let told = match reply {
                Some(reply) => Told::all_refused(&letter, reply, Moment::Banner),
                None => Told::all_gone(&letter),
            };
            self.conclude(id, number, &told);
        }
        self.closed(id);
    }

    /// A connection pulls until there is nothing more to do now.
    fn work(&mut self, id: ConnectionId) {
        loop {
            let letters = &self.letters;
            let count = |number: &u32| letters.get(*number).map_or(0, Letter::count);
            let pulled = self.relay.pull(id, self.now, count);
            let Some(link) = self.links.get_mut(&id) else { return };
            link.generation += 1;
            let generation = link.generation;
            let idle = self.relay.idle_timeout();
            match pulled {
                Pull::Deliver(number) => {
                    if self.begin(id, number) {
                        return;
                    }
                }
                Pull::Wait(until) if until.since(self.now) <= idle => {
                    return self.at(until, Event::Look(self.life, id, generation));
                }
                Pull::Idle if !std::mem::replace(&mut link.idle, true) => {
                    let until = self.now.after(idle);
                    return self.at(until, Event::Look(self.life, id, generation));
                }
                Pull::Idle | Pull::Wait(_) | Pull::Close => return self.goodbye(id),
            }
        }
    }

    /// One message over the connection; false: it was too old.
    fn begin(&mut self, id: ConnectionId, number: u32) -> bool {
        let Some(letter) = self.letters.get(number).copied() else { return false };
        if self.now >= letter.accepted.after(self.relay.config().delivery.expire_after) {
            self.figures.expired(letter.count(), self.now);
            self.letters.end(number);
            return false;
        }
        let Some(link) = self.links.get_mut(&id) else { return false };
        link.carried += 1;
        link.idle = false;
        check_carried(link.carried, &self.relay.limits(&self.sites[link.place]));
        let Some(session) = link.session else { return false };
        let (told, after) = transact(&mut self.internet, session, &letter, self.now);
        link.carries = Some((number, told));
        self.letters.is_in_flight(number);
        self.at(self.now.after(after), Event::Answer(self.life, id));
        true
    }

    fn answer(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some((number, told)) = link.carries.take() else { return };
        let (open, left) = (told.open, link.carried > 1);
        let place = link.place;
        let again = !open && left && told.untouched();
        match self.letters.get_mut(number).filter(|letter| again && !letter.given_back) {
            Some(letter) => {
                // The server had left an old connection: at once over a new one.
                letter.given_back = true;
                let letter = *letter;
                self.hear(id, &letter, &told);
                self.letters.is_ready(number);
                self.relay.push_back(&self.sites[place], number, &letter);
            }
            None => self.conclude(id, number, &told),
        }
        if open {
            self.work(id);
        } else {
            self.relay.closing(id);
            let site = Arc::clone(&self.sites[place]);
            self.balance(&site);
            self.closed(id);
        }
    }

    /// The relay hears what was said, recipient by recipient.
    fn hear(&mut self, id: ConnectionId, letter: &Letter, told: &Told) -> (u8, Option<Duration>) {
        let (mut waits, mut not_before) = (told.gone, None);
        if told.taken != 0 {
            self.relay.heard(id, letter, None, told.taken.count_ones(), self.now);
        }
        for (mask, reply, moment) in &told.refused {
            let verdict = self.reader.read(reply, *moment);
            self.relay.heard(id, letter, Some(&verdict), mask.count_ones(), self.now);
            match verdict.mail {
                Mail::Fail => check_failed(reply, &verdict),
                Mail::Wait | Mail::Retry(None) => waits |= mask,
                Mail::Retry(after) => {
                    waits |= mask;
                    not_before = not_before.max(after);
                }
            }
        }
        (waits, not_before)
    }

    /// An attempt has ended.
    fn conclude(&mut self, id: ConnectionId, number: u32, told: &Told) {
        let Some(letter) = self.letters.get(number).copied() else { return };
        let (waits, not_before) = self.hear(id, &letter, told);
        let count = |mask: u8| mask.count_ones() as usize;
        let taken = count(told.taken);
        self.figures.sent(taken, self.now.since(letter.accepted), self.now);
        self.figures.deferred(count(waits), self.now);
        self.figures.failed(letter.count() - taken - count(waits), self.now);
        if waits == 0 {
            return self.letters.end(number);
        }
        if let Some(letter) = self.letters.get_mut(number) {
            letter.waiting = waits;
            letter.given_back = false;
        }
        self.later(number, not_before);
    }

    fn goodbye(&mut self, id: ConnectionId) {
        self.relay.closing(id);
        let Some(link) = self.links.get(&id) else { return };
        let site = Arc::clone(&self.sites[link.place]);
        self.at(self.now.after(GOODBYE), Event::Closed(self.life, id));
        self.balance(&site);
    }

    fn closed(&mut self, id: ConnectionId) {
        if let Some(link) = self.links.remove(&id) {
            self.books.close(link.place, link.from);
            link.session.into_iter().for_each(|session| self.internet.quit(session));
        }
        let own = self.relay.closed(id);
        while let Some(site) = self.relay.next_with_room() {
            self.balance(&site);
        }
        if let Some(site) = own {
            self.balance(&site);
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
        self.relay.restart();
        for number in self.letters.restart() {
            self.due_at(self.now.after(RESTART), number);
        }
    }
}

fn second(number: u64) -> Timestamp {
    Timestamp::from_millis(number * 1000)
}
