//! The adapter: the egress of the relay, called as dispatch calls it. Whatever changes in that
//! interface changes here and nowhere else in the simulation.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mta::egress::{Action, ConnectionId, Egress, Limits, Pull, Refused, SiteKind, Sources};
use mta::message::{Failure, Lane, Priority, Timestamp};
use mta::queue::schedule::Schedule;
use relay_config::Config;
use relay_config::responses::Verdict;

use crate::traffic::Letter;

/// Sources of the pool.
pub const SOURCES: u8 = 18;
/// Sources that wait to replace one.
pub const STANDBYS: u8 = 4;
/// The sources stand in networks of so many.
const IN_A_NETWORK: u8 = 12;

/// How a pool is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Each source in turn, whatever was heard; only the limits hold.
    RoundRobin,
}

impl Policy {
    /// What can be compared.
    pub const ALL: [Self; 1] = [Self::RoundRobin];

    /// For the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
        }
    }
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How the pool is used.
    pub policy: Policy,
    /// Active sources in it.
    pub sources: u8,
    /// Of these, so many have been known to the providers for long, and carried all the mail.
    pub known: u8,
    /// Connections to a site, over all sources; `None`: as the relay has it.
    pub connections_total: Option<u32>,
}

impl Plan {
    /// A third of the sources is known: the relay was given twelve more.
    pub fn usual(policy: Policy) -> Self {
        Self { policy, sources: SOURCES, known: SOURCES / 3, connections_total: None }
    }
}

/// Why a message cannot wait at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// The site could not be reached a moment ago.
    Unreachable,
}

/// The part of the relay that is tried.
pub struct Relay {
    egress: Egress<u32>,
    config: Arc<Config>,
    pool: Arc<str>,
}

impl Relay {
    /// A relay that has just started.
    pub fn start(plan: Plan) -> Self {
        let config = Arc::new(config(plan));
        Self { egress: egress(&config), pool: Arc::clone(&config.delivery.pool), config }
    }

    /// The power went: it starts afresh with what it had stored. Round-robin stores nothing.
    pub fn restart(&mut self) {
        self.egress = egress(&self.config);
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

    /// What it must keep to at a site, whatever happens.
    pub fn limits(&self, _site: &str) -> Limits {
        (&self.config.delivery.limits).into()
    }

    /// A message waits for the site.
    pub fn push(
        &mut self,
        site: &Arc<str>,
        number: u32,
        letter: &Letter,
        now: Timestamp,
    ) -> Result<(), NotNow> {
        let key = (Arc::clone(site), lane(letter));
        let pushed = self.egress.push((site, SiteKind::Mx), &self.pool, key, number, now);
        pushed.map_err(|(_, refused)| match refused {
            Refused::Unreachable(_) => NotNow::Unreachable,
            Refused::NoSource => unreachable!("every source has its address here"),
        })
    }

    /// A message goes back to the head of its lane.
    pub fn push_back(&mut self, site: &Arc<str>, number: u32, letter: &Letter) {
        self.egress.push_back(site, &self.pool, (Arc::clone(site), lane(letter)), number);
    }

    /// Which connections to wake or open at the site.
    pub fn balance(&mut self, site: &Arc<str>, now: Timestamp) -> Vec<Action> {
        self.egress.balance(site, now)
    }

    /// A connection is up.
    pub fn opened(&mut self, id: ConnectionId) {
        self.egress.opened(id);
    }

    /// A connection did not come up. Returns the messages that failed with it.
    pub fn failed_to_open(
        &mut self,
        id: ConnectionId,
        failure: &Failure,
        _verdict: Option<&Verdict>,
        now: Timestamp,
    ) -> Vec<u32> {
        self.egress.failed_to_open(id, failure, now)
    }

    /// What a connection does next.
    pub fn pull(
        &mut self,
        id: ConnectionId,
        now: Timestamp,
        recipients: impl Fn(&u32) -> usize,
    ) -> Pull<u32> {
        self.egress.pull(id, now, recipients)
    }

    /// Recipients of a message were taken, or were not and this is what was meant. Round-robin does
    /// not listen.
    #[expect(clippy::unused_self, reason = "the place where a policy that listens hears")]
    pub fn heard(
        &mut self,
        _id: ConnectionId,
        _letter: &Letter,
        _verdict: Option<&Verdict>,
        _recipients: u32,
        _now: Timestamp,
    ) {
    }

    /// A connection says goodbye.
    pub fn closing(&mut self, id: ConnectionId) {
        self.egress.closing(id);
    }

    /// A connection has ended. Returns the sites that may want another one now, in turn.
    pub fn closed(&mut self, id: ConnectionId) -> Option<Arc<str>> {
        self.egress.closed(id)
    }

    /// A site that had to wait for a connection of the relay's, and may have it now.
    pub fn next_with_room(&mut self) -> Option<Arc<str>> {
        self.egress.next_with_room()
    }

    /// Sites to look after: called once in a while.
    pub fn keep_house(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        self.egress.sweep(now);
        self.egress.waiting_sites()
    }

    /// How many sources have been replaced; round-robin replaces none.
    #[expect(clippy::unused_self, reason = "the place where a policy that swaps tells")]
    pub fn swaps(&self) -> u32 {
        0
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

/// The public address of a source, as servers see it.
pub fn seen(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("every source of the simulation has an IPv4 address"),
    }
}

fn egress(config: &Config) -> Egress<u32> {
    let sources = Sources::new(&config.sources, &config.pools, |_| true);
    let connections = usize::try_from(config.delivery.connections).unwrap_or(usize::MAX);
    Egress::new(sources, (&config.delivery.limits).into(), connections)
}

fn lane(letter: &Letter) -> Lane {
    let priority = Priority::new(if letter.urgent { 5 } else { 0 });
    Lane { priority, account: u32::from(letter.account), tag: letter.account }
}

fn config(plan: Plan) -> Config {
    let mut text = String::from(
        "[server]\nhostname = \"relay.example.pe\"\n[[listener]]\nname = \"relay\"\n\
         bind = [\"10.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n",
    );
    for number in 0..SOURCES + STANDBYS {
        let _ = write!(
            text,
            "[[source]]\nname = \"ip-{:02}\"\naddress = \"{}\"\nhelo = \"m{number}.example.pe\"\n",
            number + 1,
            address(number)
        );
    }
    let names = |range: std::ops::Range<u8>| {
        range.map(|number| format!("\"ip-{:02}\"", number + 1)).collect::<Vec<_>>().join(", ")
    };
    let _ = write!(
        text,
        "[[pool]]\nname = \"bulk\"\nsources = [{}]\nstandby = [{}]\nrotation = \"{}\"\n\
         [delivery]\npool = \"bulk\"\n",
        names(0..plan.sources),
        names(SOURCES..SOURCES + STANDBYS),
        plan.policy.name(),
    );
    if let Some(most) = plan.connections_total {
        let _ = write!(text, "[delivery.limits]\nconnections_total = {most}\n");
    }
    match relay_config::load(&text, "egress.toml") {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:#?}"),
    }
}
