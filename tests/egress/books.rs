//! What must hold at each step, kept apart from what the relay believes: it counts for itself, and goes on over a crash.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use mta::egress::Limits;
use mta::message::Timestamp;
use relay_config::Config;
use relay_config::config::{SendDay, SendWindow, WarmUpSchedule};
use relay_config::responses::{Blame, Verdict};

use crate::plan::Plan;
use crate::providers::Reply;
use crate::relay::{ADDRESSES, PROVIDERS, address};

/// A message before a crash may have been to so many recipients, whose spacing is forgotten with it.
const SLACK: u32 = 8;
const MINUTE: Duration = Duration::from_mins(1);

/// What really happens on paths and at sites.
#[derive(Debug)]
pub struct Books {
    paths: HashMap<(usize, Ipv4Addr), Path>,
    sites: HashMap<usize, Site>,
    window: SendWindow,
    day: Option<SendDay>,
    schedule: Option<Arc<WarmUpSchedule>>,
    cold: Vec<Ipv4Addr>,
    /// Most connections to one site at a time.
    pub most: u32,
}

#[derive(Debug, Default)]
struct Path {
    open: u32,
    opens: Lately,
    carried: Lately,
    warmth: Warmth,
}

#[derive(Debug, Default)]
struct Site {
    open: u32,
    opens: Lately,
}

/// What happened within a span before now.
#[derive(Debug, Default)]
struct Lately {
    times: VecDeque<(Timestamp, u32)>,
    sum: u32,
}

/// The day of the schedule that a path can be on at most, if no trouble ever held it.
#[derive(Debug, Default, Clone, Copy)]
struct Warmth {
    today: i32,
    counted: usize,
    used: u32,
    accepted: u32,
}

impl Lately {
    /// How much there was; this is added.
    fn add(&mut self, span: Duration, count: u32, now: Timestamp) -> u32 {
        while let Some((at, before)) = self.times.front().copied()
            && at.after(span) <= now
        {
            self.times.pop_front();
            self.sum -= before;
        }
        let before = self.sum;
        self.times.push_back((now, count));
        self.sum += count;
        before
    }
}

impl Warmth {
    fn cap(self, caps: &[u32]) -> u32 {
        caps.get(self.counted).copied().unwrap_or(u32::MAX)
    }

    fn turn(&mut self, today: i32, caps: &[u32]) {
        if today <= self.today {
            return;
        }
        let cap = self.cap(caps);
        let counts = self.today > 0 && self.accepted >= cap - cap / 4;
        let counted = self.counted + usize::from(counts);
        *self = Self { today, counted, ..Self::default() };
    }
}

impl Books {
    /// Nothing has happened yet.
    pub fn new(config: &Config, plan: Plan) -> Self {
        let pool = &config.pools[0];
        Self {
            paths: HashMap::new(),
            sites: HashMap::new(),
            window: pool.send_window.clone(),
            day: None,
            schedule: pool.warm_up.clone(),
            cold: (0..ADDRESSES).filter(|it| plan.is_cold(*it)).map(address).collect(),
            most: 0,
        }
    }

    /// A connection begins: no limit of the destination is exceeded (design, invariant 7).
    pub fn open(&mut self, place: usize, from: Ipv4Addr, limits: &Limits, now: Timestamp) {
        let path = self.paths.entry((place, from)).or_default();
        path.open += 1;
        let (open, minute) = (path.open, path.opens.add(MINUTE, 1, now));
        assert!(open <= limits.connections, "{open} connections from {from} to {place}");
        check_minute(minute, limits.connections_per_minute, place);
        let site = self.sites.entry(place).or_default();
        site.open += 1;
        let (open, minute) = (site.open, site.opens.add(MINUTE, 1, now));
        assert!(open <= limits.connections_total, "{open} connections to {place}");
        check_minute(minute, limits.connections_per_minute_total, place);
        self.most = self.most.max(open);
    }

    /// It has ended.
    pub fn close(&mut self, place: usize, from: Ipv4Addr) {
        self.paths.get_mut(&(place, from)).expect("it was opened").open -= 1;
        self.sites.get_mut(&place).expect("it was opened").open -= 1;
    }

    /// Recipients are offered: neither a rate nor the cap of the day is exceeded.
    pub fn carry(
        &mut self,
        place: usize,
        from: Ipv4Addr,
        recipients: u32,
        limits: &Limits,
        now: Timestamp,
    ) {
        let today = self.today(now);
        let caps = self.caps(place, from);
        let path = self.paths.entry((place, from)).or_default();
        if let Some(rate) = limits.rate {
            let before = path.carried.add(rate.per, recipients, now);
            let most = rate.count + SLACK;
            assert!(before <= most, "{from} to {place}: {before} recipients and {recipients} more");
        }
        path.warmth.turn(today, &caps);
        path.warmth.used += recipients;
        let (used, cap) = (path.warmth.used, path.warmth.cap(&caps));
        let day = path.warmth.counted + 1;
        assert!(used <= cap, "{from} to {place}: {used} recipients of {cap} on day {day}");
        if let Some(cap) = limits.per_day {
            assert!(used <= cap, "{from} to {place}: {used} recipients of {cap} a day");
        }
    }

    /// Of those, so many were taken.
    pub fn accepted(&mut self, place: usize, from: Ipv4Addr, recipients: u32, now: Timestamp) {
        let today = self.today(now);
        let caps = self.caps(place, from);
        let path = self.paths.entry((place, from)).or_default();
        path.warmth.turn(today, &caps);
        path.warmth.accepted += recipients;
    }

    /// Days of the schedule that were really earned by each cold source at a site.
    pub fn earned(&self, place: usize) -> impl Iterator<Item = usize> {
        let of = move |ip: &Ipv4Addr| self.paths.get(&(place, *ip));
        self.cold.iter().map(move |ip| of(ip).map_or(0, |path| path.warmth.counted))
    }

    fn today(&mut self, now: Timestamp) -> i32 {
        let millis = now.as_millis();
        match &self.day {
            Some(day) if day.contains(millis) => day.number,
            _ => self.day.insert(self.window.day_of(millis)).number,
        }
    }

    /// None: it is warm, or there is no warm-up.
    fn caps(&self, place: usize, from: Ipv4Addr) -> Arc<[u32]> {
        match &self.schedule {
            Some(schedule) if self.cold.contains(&from) => {
                Arc::clone(schedule.caps_at(PROVIDERS.get(place).copied()))
            }
            _ => Arc::from([]),
        }
    }
}

fn check_minute(before: u32, most: Option<u32>, place: usize) {
    let most = most.unwrap_or(u32::MAX);
    assert!(
        before < most.saturating_add(1),
        "{before} connections and one more in a minute to {place}"
    );
}

/// A connection carries its message of this number.
pub fn check_carried(number: u32, limits: &Limits) {
    let most = limits.messages_per_connection;
    assert!(number <= most, "message {number} over a connection, of {most}");
}

/// Mail ends for its recipients: only what blames them may do that (invariant 8).
pub fn check_failed(reply: &Reply, verdict: &Verdict) {
    let blamed = verdict
        .scope
        .iter()
        .all(|blame| !matches!(blame, Blame::Source | Blame::Netblock | Blame::SendingDomain));
    assert!(blamed, "mail failed, and nobody said that of the recipient: {}", reply.line());
}

/// Whether the recipient alone is blamed, or nobody at all: that must cost no source anything.
pub fn blames_recipient_alone(verdict: &Verdict) -> bool {
    !verdict.scope.is_empty()
        && verdict.scope.iter().all(|blame| {
            matches!(blame, Blame::Recipient | Blame::RecipientDomain | Blame::Triplet)
        })
}
