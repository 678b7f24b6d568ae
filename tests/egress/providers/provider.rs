//! One provider: connections come, mail is offered, and it says what it thinks of it.
//!
//! `judge.rs` decides, this file keeps the dialog. Hard limits are refused and counted here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use mta::message::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::address::Address;
use super::blocklist::Blocklist;
use super::domain::{Domain, Strike};
use super::greylist::Greylist;
use super::history::Window;
use super::outages::{self, Outage, Trouble};
use super::replies::{Reply, Why, forms};
use super::rules::{Kind, Moment, Rules};
use super::{Answer, SENDING_DOMAINS, Said, Sender};

/// How long one waits for a provider that says nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// A day of a provider.
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Full mailboxes are emptied after so many days.
const FULL_DAYS: u64 = 3;

/// Somebody who takes mail.
#[derive(Debug)]
pub struct Provider {
    /// Its number in the simulation.
    pub number: usize,
    /// Whose manners it has.
    pub kind: Kind,
    /// What it goes by; hidden from the relay.
    pub rules: Rules,
    /// Whom it knows.
    pub addresses: BTreeMap<Ipv4Addr, Address>,
    /// Which sending domains it knows.
    pub domains: Vec<Domain>,
    /// Its troubles.
    pub outages: Vec<Outage>,
    /// The domain that it will not have for a time.
    pub strike: Option<Strike>,
    /// Whom it put off.
    pub greylist: Greylist,
    /// How often its limits were overstepped.
    pub violations: Violations,
    /// Recipients from each /24 in the hour.
    pub(super) netblocks: BTreeMap<[u8; 3], Window>,
    salt: u64,
    start: Timestamp,
    day: u64,
    open: u32,
    sessions: Vec<Option<Session>>,
    free: Vec<usize>,
    random: StdRng,
}

/// Hard limits that were overstepped, each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Violations {
    /// Connections of one address.
    pub connections: u64,
    /// Connections of everybody.
    pub connections_in_all: u64,
    /// Transactions in one connection.
    pub messages_per_connection: u64,
}

/// A connection that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) address: Ipv4Addr,
    pub(super) sender: Sender,
    messages: u32,
    recipients: u32,
}

impl Provider {
    /// The provider of this number and kind, with the numbers and troubles that the seed gives it.
    pub fn draw(number: usize, kind: Kind, seed: u64, start: Timestamp) -> Self {
        // Neighbouring seeds and numbers give generators that have nothing to do with each other.
        let mixed = mix(seed ^ mix(number as u64 + 1));
        let mut random = StdRng::seed_from_u64(mixed);
        let rules = Rules::draw(kind, &mut random);
        let (most, longest) = match kind {
            Kind::Small => (4, Duration::from_hours(9)),
            _ => (3, Duration::from_mins(100)),
        };
        let outages = outages::draw(&mut random, start, most, longest);
        Self { outages, ..Self::with(number, kind, rules, mixed, start) }
    }

    /// A provider that goes by these rules and has no troubles.
    pub fn with(number: usize, kind: Kind, rules: Rules, seed: u64, start: Timestamp) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let salt = random.random();
        // Its day begins at an hour of its own.
        let start = start.before(Duration::from_mins(random.random_range(0..24 * 60)));
        Self {
            number,
            kind,
            addresses: BTreeMap::new(),
            domains: SENDING_DOMAINS.iter().map(|_| Domain::new(&rules)).collect(),
            rules,
            outages: Vec::new(),
            strike: None,
            greylist: Greylist::default(),
            violations: Violations::default(),
            netblocks: BTreeMap::new(),
            salt,
            start,
            day: 0,
            open: 0,
            sessions: Vec::new(),
            free: Vec::new(),
            random,
        }
    }

    /// It has known an address for long, for so many recipients a day.
    pub fn acquaint(&mut self, ip: Ipv4Addr, a_day: f64, since: Timestamp) {
        let rules = &self.rules;
        let address = self.addresses.entry(ip).or_insert_with(|| Address::new(rules, since));
        address.first_seen = since;
        address.history.known_for(a_day);
        address.standing.prove();
        (0..SENDING_DOMAINS.len()).for_each(|domain| {
            address.carries(domain);
        });
    }

    /// It has known a sending domain for long, for so many recipients a day.
    pub fn acquaint_domain(&mut self, domain: usize, a_day: f64) {
        if let Some(domain) = self.domains.get_mut(domain) {
            domain.history.known_for(a_day);
            domain.standing.prove();
        }
    }

    /// Whether there is such a mailbox.
    pub fn has(&self, recipient: u64) -> bool {
        share(mix(recipient ^ self.salt)) >= self.rules.unknown
    }

    /// Whether the mailbox is full today; it is for some days at a time.
    pub fn is_full(&self, recipient: u64) -> bool {
        share(mix(recipient ^ self.salt.rotate_left(17) ^ (self.day / FULL_DAYS))) < self.rules.full
    }

    /// Somebody connects.
    pub fn connect(
        &mut self,
        from: Ipv4Addr,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> (Option<usize>, Said) {
        self.turn_days(list, now);
        let after = self.takes(self.rules.connects_in);
        match outages::trouble(&self.outages, now) {
            Some(Trouble::Silent) => return (None, Said { answer: Answer::Gone, after: SILENCE }),
            Some(Trouble::Down) => return (None, Said { answer: Answer::Gone, after }),
            Some(Trouble::Busy) => {
                let reply = self.reply(Why::Trouble, from, Sender::default(), 0);
                return (None, Said { answer: Answer::No(reply), after });
            }
            Some(Trouble::Failing) | None => {}
        }
        if let Some(why) = self.objects_to_connection(from, list, now) {
            let reply = self.refuse(why, from, Sender::default(), 0, now);
            return (None, Said { answer: Answer::No(reply), after });
        }
        self.open += 1;
        let address = self.address(from, now);
        address.open += 1;
        address.conduct.connections += 1;
        address.conduct.most_at_once = address.conduct.most_at_once.max(address.open);
        let session =
            Session { address: from, sender: Sender::default(), messages: 0, recipients: 0 };
        let place = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        self.sessions[place] = Some(session);
        (Some(place), Said { answer: Answer::Yes, after })
    }

    fn objects_to_connection(
        &mut self,
        from: Ipv4Addr,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Option<Why> {
        let open_of_address = self.address(from, now).open;
        if open_of_address >= self.rules.connections {
            self.violations.connections += 1;
            return Some(Why::Connections);
        }
        if self.open >= self.rules.connections_in_all {
            self.violations.connections_in_all += 1;
            return Some(Why::Connections);
        }
        if self.rules.speaks_at > Moment::Banner {
            return None;
        }
        self.attempted(from, list, now);
        self.judge_address(from, list, now)
    }

    /// A transaction begins.
    pub fn mail(
        &mut self,
        id: usize,
        sender: Sender,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Said {
        self.turn_days(list, now);
        let Some(mut session) = self.session(id, now) else { return self.gone(id) };
        let after = self.takes(self.rules.answers_in);
        if session.messages >= self.rules.messages_per_connection {
            self.violations.messages_per_connection += 1;
            return self.no(id, Why::EnoughForConnection, 0, after, now);
        }
        session = Session { sender, messages: session.messages + 1, recipients: 0, ..session };
        self.sessions[id] = Some(session);
        let conduct = &mut self.address(session.address, now).conduct;
        conduct.most_in_one = conduct.most_in_one.max(session.messages);
        if self.rules.speaks_at > Moment::Banner {
            self.attempted(session.address, list, now);
        }
        match self.judge_sender_at(Moment::Mail, &session, list, now) {
            Some(why) => self.no(id, why, 0, after, now),
            None => Said { answer: Answer::Yes, after },
        }
    }

    /// A recipient of the transaction.
    pub fn rcpt(
        &mut self,
        id: usize,
        recipient: u64,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Said {
        let Some(session) = self.session(id, now) else { return self.gone(id) };
        let after = self.takes(self.rules.answers_in);
        let judged = self.judge_sender_at(Moment::Rcpt, &session, list, now);
        if let Some(why) = judged.or_else(|| self.judge_recipient(&session, recipient, list, now)) {
            return self.no(id, why, recipient, after, now);
        }
        self.sessions[id] = Some(Session { recipients: session.recipients + 1, ..session });
        Said { answer: Answer::Yes, after }
    }

    /// The message, for the recipients that were taken.
    pub fn data(&mut self, id: usize, list: &mut Blocklist, now: Timestamp) -> Said {
        let Some(session) = self.session(id, now) else { return self.gone(id) };
        let after = self.takes(self.rules.answers_in * 3);
        if outages::trouble(&self.outages, now) == Some(Trouble::Failing) {
            return self.no(id, Why::Trouble, 0, after, now);
        }
        if let Some(why) = self.judge_sender_at(Moment::Data, &session, list, now) {
            return self.no(id, why, 0, after, now);
        }
        let day = usize::try_from(self.day).unwrap_or(usize::MAX);
        self.address(session.address, now).accepted(session.recipients, day);
        if let Some(domain) = self.domains.get_mut(session.sender.domain) {
            domain.accept(session.address, session.recipients, now);
        }
        self.sessions[id] = Some(Session { recipients: 0, ..session });
        Said { answer: Answer::Yes, after }
    }

    /// The connection ends.
    pub fn quit(&mut self, id: usize) {
        let Some(session) = self.sessions.get_mut(id).and_then(Option::take) else { return };
        self.free.push(id);
        self.open -= 1;
        if let Some(address) = self.addresses.get_mut(&session.address) {
            address.open -= 1;
        }
    }

    /// The session, unless the provider broke it off.
    fn session(&self, id: usize, now: Timestamp) -> Option<Session> {
        let trouble = outages::trouble(&self.outages, now);
        let broken = matches!(trouble, Some(Trouble::Silent | Trouble::Down));
        self.sessions.get(id).copied().flatten().filter(|_| !broken)
    }

    fn gone(&mut self, id: usize) -> Said {
        self.quit(id);
        Said { answer: Answer::Gone, after: self.rules.answers_in }
    }

    fn no(&mut self, id: usize, why: Why, rcpt: u64, after: Duration, now: Timestamp) -> Said {
        let Some(session) = self.sessions.get(id).copied().flatten() else { return self.gone(id) };
        let reply = self.refuse(why, session.address, session.sender, rcpt, now);
        if reply.code() == 421 {
            self.quit(id);
        }
        Said { answer: Answer::No(reply), after }
    }

    fn refuse(
        &mut self,
        why: Why,
        ip: Ipv4Addr,
        sender: Sender,
        rcpt: u64,
        now: Timestamp,
    ) -> Reply {
        let reply = self.reply(why, ip, sender, rcpt);
        let rules = &self.rules;
        if let Some(address) = self.addresses.get_mut(&ip) {
            if why.is_about_address() {
                address.told_to_wait(rules, now);
            }
            let conduct = &mut address.conduct;
            if reply.code() < 500 { conduct.deferred += 1 } else { conduct.refused += 1 }
        }
        reply
    }

    fn reply(&mut self, why: Why, address: Ipv4Addr, sender: Sender, recipient: u64) -> Reply {
        let forms = forms(self.kind, why);
        let form = forms[self.random.random_range(0..forms.len())];
        let token = self.random.random();
        Reply { why, form, address, domain: sender.domain, recipient, token }
    }

    pub(super) fn address(&mut self, ip: Ipv4Addr, now: Timestamp) -> &mut Address {
        let rules = &self.rules;
        self.addresses.entry(ip).or_insert_with(|| Address::new(rules, now))
    }

    /// One chance in so many, as a share.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability.clamp(0.0, 1.0))
    }

    fn takes(&mut self, about: Duration) -> Duration {
        about.mul_f64(self.random.random_range(0.8..1.6))
    }

    /// Days that have ended since somebody last came.
    fn turn_days(&mut self, list: &mut Blocklist, now: Timestamp) {
        let millis = now.as_millis().saturating_sub(self.start.as_millis());
        while self.day < millis / DAY_MILLIS {
            self.day += 1;
            self.turn_day(list, now);
        }
    }
}

/// Spreads numbers that are near each other (the finalizer of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number as a share of all numbers.
fn share(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}
