//! What was seen from outside the relay, and what must be true of it (design, section 1). Whatever is not is
//! written down as a violation, with the time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mta::message::{Id, Timestamp};

use super::client;
use super::plan::{ConfigPlan, HOME, PATIENCE};
use super::world::World;

/// What rides is written so long after it was handed in.
const RIDE: Duration = Duration::from_millis(10);
/// From what a relay decides until it is seen on the disk, or at a server, at most.
pub const SOON: Duration = Duration::from_millis(200);
/// A connection takes so long to come up, at most: to connect, for three replies, and a handshake.
const COMING_UP: Duration = Duration::from_mins(17);
/// From the permission to send to some recipients until the server is asked for the first of them: some replies
/// of the slowest server.
const UNTIL_ASKED: Duration = Duration::from_secs(15);

/// Sender and recipient: each try of a client has a sender of its own, so this is a message.
type Pair = (String, String);
/// A message and one of its recipients.
pub type Recipient = (Id, String);
/// A copy at a server.
pub type CopyId = Vec<(Recipient, usize)>;

/// All of it.
#[derive(Default)]
pub struct Books {
    /// What the relay has taken on.
    pub obligations: BTreeMap<Recipient, Obligation>,
    /// What clients were told.
    acknowledged: Vec<(Id, Vec<String>)>,
    /// When recipients may be asked for again.
    pub not_before: BTreeMap<Pair, Timestamp>,
    /// Seconds that a server wanted to be left alone with a recipient, and whether the relay has heard of it
    /// for sure.
    pub wishes: BTreeMap<Pair, (u64, bool)>,
    /// Recipients that were refused for good.
    pub refused: BTreeSet<Pair>,
    /// Domains of which the DNS has said that they do not exist.
    pub not_found: BTreeMap<String, Duration>,
    greylisted: BTreeMap<(usize, IpAddr, String, String), Duration>,
    pub copies: BTreeMap<Recipient, Vec<Copy>>,
    lives: Vec<LifeEnd>,
    open: BTreeMap<usize, BTreeMap<IpAddr, usize>>,
    /// The same at the last reload, and when that was.
    open_before: (Duration, BTreeMap<usize, BTreeMap<IpAddr, usize>>),
    /// Configurations that were in force in this life; the last one is.
    configs: Vec<ConfigPlan>,
    /// When a source may ask a site for more recipients.
    free_at: BTreeMap<(usize, IpAddr), (String, Duration)>,
    sessions: BTreeMap<usize, u64>,
    /// When the relay was last started, reloaded or had room again.
    pub disturbed: Duration,
    /// How far the clock has been set back.
    pub set_back: Duration,
    violations: Vec<String>,
    taken: usize,
}

/// A recipient that the relay has accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Obligation {
    /// When.
    pub since: Duration,
    /// Final events.
    pub ends: u32,
}

/// A message that a server has taken for a recipient.
#[derive(Debug, Clone, Copy)]
pub struct Copy {
    life: usize,
    heard: Heard,
}

/// Whether the relay has heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    NotYet,
    Perhaps,
    At(Duration),
}

/// How a life of the relay ended.
#[derive(Debug, Clone, Copy)]
struct LifeEnd {
    /// What it was told after this may be forgotten.
    remembers_until: Duration,
}

/// What a server said of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RcptAnswer {
    /// Never.
    Refused,
    /// Not now; not for so many seconds.
    Later(Option<u64>),
    /// Not in this transaction.
    TooMany,
}

impl Books {
    /// What must be true is not.
    pub fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// The first violation.
    pub fn first_violation(&self) -> Option<&str> {
        self.violations.first().map(String::as_str)
    }

    /// Messages that servers took, duplicates included, and recipients that were accepted.
    pub fn counts(&self) -> (usize, usize) {
        (self.taken, self.obligations.len())
    }

    /// The number of a new session at a host, over all lives.
    pub fn next_session(&mut self, host: usize) -> u64 {
        let number = self.sessions.entry(host).or_default();
        *number += 1;
        *number
    }

    /// A life of the relay begins with this configuration.
    pub fn begins(&mut self, world: &World, config: &ConfigPlan) {
        self.open.clear();
        self.open_before = <_>::default();
        self.configs = vec![config.clone()];
        self.disturbed = world.now();
    }

    /// The relay goes on by another configuration.
    pub fn reloaded(&mut self, world: &World, config: &ConfigPlan) {
        self.configs.push(config.clone());
        self.open_before = (world.now(), self.open.clone());
        self.disturbed = world.now();
        self.free_at.clear();
    }

    /// Somebody sets the wall clock. What has been due before may be in the relay's hands, and is due.
    pub fn clock_set(&mut self, before: Timestamp, seconds: i64) {
        self.not_before.retain(|_, due| *due > before);
        if seconds < 0 {
            self.set_back += Duration::from_secs(seconds.unsigned_abs());
        }
        self.free_at.clear();
    }

    /// A life of the relay has ended. What it was told in the time of one ride and two syncs before `since`
    /// may not be on disk; `since`: when the disk began to fail, or the power went off. `None`: it was
    /// stopped, and had time to write everything.
    pub fn ended(&mut self, world: &World, since: Option<Duration>) {
        let window = RIDE + 2 * world.plan.sync_takes + Duration::from_millis(2);
        let remembers_until = since.map_or(Duration::MAX, |since| since.saturating_sub(window));
        self.lives.push(LifeEnd { remembers_until });
        self.wishes.clear();
    }

    /// A client was answered 250.
    pub fn acknowledged(&mut self, id: Id, recipients: &[String]) {
        self.acknowledged.push((id, recipients.to_vec()));
    }

    /// A connection is being opened.
    pub fn connects(&mut self, world: &World, site: usize, source: IpAddr) {
        let Some(config) = self.configs.last().filter(|_| !world.is_dark()) else { return };
        let (mut most, mut most_total) = (config.connections, config.connections_total);
        // What was coming up at a reload ends as it began, with a second attempt in clear if need be.
        let (at, before) = &self.open_before;
        if let Some(before) = before.get(&site).filter(|_| world.now() < *at + COMING_UP) {
            most = most.max(before.get(&source).copied().unwrap_or_default());
            most_total = most_total.max(before.values().sum());
        }
        let open = self.open.entry(site).or_default();
        let own = open.entry(source).or_default();
        *own += 1;
        let (own, total) = (*own, open.values().sum::<usize>());
        if own > most || total > most_total {
            self.violated(format!(
                "{own} connections from {source} to site {site} ({most} allowed), {total} altogether ({most_total})"
            ));
        }
    }

    /// Either end has let go of it.
    pub fn disconnects(&mut self, site: usize, source: IpAddr) {
        if let Some(own) = self.open.get_mut(&site).and_then(|open| open.get_mut(&source)) {
            *own = own.saturating_sub(1);
        }
    }

    /// A transaction begins, the `number`th of its connection.
    pub fn transaction(&mut self, world: &World, number: u32) {
        let most = self.configs.iter().map(|config| config.messages).max().unwrap_or_default();
        if number > most && !world.is_dark() {
            self.violated(format!("{number} messages in one connection, {most} are allowed"));
        }
    }

    /// A server is asked for a recipient.
    pub fn asked(
        &mut self,
        world: &World,
        site: usize,
        source: IpAddr,
        sender: &str,
        recipient: &str,
    ) {
        if world.is_dark() {
            return;
        }
        let pair = (sender.to_owned(), recipient.to_owned());
        let (wall, now) = (world.wall(), world.now());
        if let Some(due) = self.not_before.get(&pair).filter(|due| wall < **due) {
            let early = due.since(wall);
            self.violated(format!("{recipient} of {sender} is tried {early:?} too early"));
        }
        let rate = self.configs.last().and_then(|config| config.rate);
        // Notices have one recipient each, and no sender to tell them apart.
        let Some(rate) = rate.filter(|_| !sender.is_empty()) else { return };
        let fresh = (String::new(), Duration::ZERO);
        let (last, free_at) = self.free_at.get(&(site, source)).cloned().unwrap_or(fresh);
        let early = free_at.saturating_sub(now + UNTIL_ASKED);
        if last != sender && !early.is_zero() {
            self.violated(format!(
                "{source} asks site {site} {early:?} faster than {rate} a minute"
            ));
        }
        let free_at = free_at.max(now) + Duration::from_mins(1) / rate;
        self.free_at.insert((site, source), (sender.to_owned(), free_at));
    }

    /// The server has said no.
    pub fn answered(
        &mut self,
        world: &World,
        sender: &str,
        recipient: &str,
        answer: RcptAnswer,
        certain: bool,
    ) {
        if world.is_dark() {
            return;
        }
        let pair = (sender.to_owned(), recipient.to_owned());
        match answer {
            RcptAnswer::Refused => {
                self.refused.insert(pair);
            }
            RcptAnswer::Later(Some(seconds)) => {
                self.wishes.insert(pair, (seconds, certain));
            }
            RcptAnswer::Later(_) | RcptAnswer::TooMany => {}
        }
    }

    /// How long a greylisting host still wants to be left alone; from the first try of a source on.
    pub fn greylists(
        &mut self,
        host: usize,
        source: IpAddr,
        sender: &str,
        recipient: &str,
        now: Duration,
        wait: Duration,
    ) -> Option<Duration> {
        let key = (host, source, sender.to_owned(), recipient.to_owned());
        let first = *self.greylisted.entry(key).or_insert(now);
        (first + wait).checked_sub(now).filter(|left| !left.is_zero())
    }

    /// The DNS has said that a domain does not exist.
    pub fn not_found(&mut self, now: Duration, domain: &str) {
        self.not_found.insert(domain.to_owned(), now);
    }

    /// A server takes a message. `certain`: the relay hears of it.
    pub fn took(
        &mut self,
        world: &World,
        sender: &str,
        recipients: &[String],
        data: &[u8],
        certain: bool,
    ) -> Option<CopyId> {
        if world.is_dark() {
            return None;
        }
        self.taken += 1;
        let text = String::from_utf8_lossy(data);
        let Some(id) = id_of(&text) else {
            self.violated(format!("a message of {sender} has no id in Received: {text:.300}"));
            return None;
        };
        if !sender.is_empty() {
            self.check_content(world, id, sender, &text);
        }
        let life = self.lives.len();
        let heard = if certain { Heard::NotYet } else { Heard::Perhaps };
        let mut copy = Vec::new();
        for recipient in recipients {
            let key = (id, recipient.clone());
            if !self.obligations.contains_key(&key) {
                self.violated(format!("{id} is sent to {recipient}, for whom it was not accepted"));
            }
            let before = self.copies.get(&key).map_or(&[][..], Vec::as_slice);
            if let Some(known) = before.iter().find(|copy| !self.may_be_repeated(copy)) {
                self.violated(format!("{recipient} gets {id} again, after {known:?}"));
            }
            let copies = self.copies.entry(key.clone()).or_default();
            copies.push(Copy { life, heard });
            copy.push((key, copies.len() - 1));
        }
        Some(copy)
    }

    /// The reply to it is on its way, or could not be sent because the relay had let go.
    pub fn replied(&mut self, world: &World, copy: CopyId, sent: bool) {
        if world.is_dark() {
            return;
        }
        let now = world.now();
        for (recipient, place) in copy {
            if let Some(copy) = self.copies.get_mut(&recipient).and_then(|it| it.get_mut(place))
                && copy.heard == Heard::NotYet
            {
                copy.heard = if sent { Heard::At(now) } else { Heard::Perhaps };
            }
        }
    }

    /// Whether another copy may follow (design, invariant 1): the relay has not heard for sure that this one
    /// was taken, or its life ended before it was told, or in the moment after.
    fn may_be_repeated(&self, copy: &Copy) -> bool {
        let end = self.lives.get(copy.life);
        match copy.heard {
            Heard::Perhaps => true,
            Heard::NotYet => end.is_some(),
            Heard::At(at) => end.is_some_and(|end| at >= end.remembers_until),
        }
    }

    /// It is the message that was sent, signed once.
    fn check_content(&mut self, world: &World, id: Id, sender: &str, text: &str) {
        let number = sender.strip_prefix('s').and_then(|rest| rest.split_once('t'));
        let number: Option<usize> = number.and_then(|(number, _)| number.parse().ok());
        let submission = number.and_then(|number| world.plan.submissions.get(number));
        let (Some(number), Some(submission)) = (number, submission) else {
            return self.violated(format!("{id} comes from {sender}, who sent nothing"));
        };
        let body = client::text(number, submission.octets);
        if !text.ends_with(&format!("\r\nSubject: {number}\r\n\r\n{body}")) {
            self.violated(format!("the text of {id} is not what was sent"));
        }
        let below = text.split_once("+0000\r\n").map_or("", |(_, below)| below);
        let signatures = text.matches("DKIM-Signature: key=0; t=").count();
        if signatures != 1 || !below.starts_with("DKIM-Signature: ") {
            self.violated(format!("{id} has {signatures} signatures"));
        }
    }

    /// Whether mail for a recipient might well have been brought there before it expired.
    pub fn could_have_been_delivered(
        &self,
        world: &World,
        recipient: &str,
        since: Duration,
    ) -> Option<Duration> {
        let domain = recipient.rsplit('@').next().unwrap_or_default();
        let calm = world.plan.domains.get(domain)?.calm?;
        let mailbox = if domain == HOME {
            Duration::ZERO
        } else {
            super::faults::takes_from(world.plan.seed, recipient)?
        };
        let from = calm.max(mailbox).max(since).max(self.disturbed);
        let late = world.now().saturating_sub(from + PATIENCE + self.set_back);
        (!late.is_zero()).then_some(late)
    }

    /// Nothing is left to do.
    pub fn check_end(&mut self) {
        for ((id, recipient), obligation) in std::mem::take(&mut self.obligations) {
            if obligation.ends != 1 {
                let ends = obligation.ends;
                self.violated(format!("{recipient} of {id} has ended {ends} times"));
            }
        }
    }

    /// What clients were told still stands.
    pub fn check_acknowledged(&mut self) {
        let lost = self.acknowledged.iter().flat_map(|(id, recipients)| {
            recipients.iter().map(|recipient| (*id, recipient.clone()))
        });
        let lost: Vec<Recipient> = lost.filter(|it| !self.obligations.contains_key(it)).collect();
        for (id, recipient) in lost {
            self.violated(format!("{recipient} of {id} was answered 250 and is lost"));
        }
    }
}

/// The relay's id of a message, from its first Received field.
fn id_of(text: &str) -> Option<Id> {
    let (_, rest) = text.split_once("id ")?;
    rest.get(..13)?.parse().ok()
}
