//! What a seed means: who sends what when, who takes it under which conditions, and what goes wrong.
//!
//! Each kind of trouble is drawn from a generator of its own, so that each seed is another mixture, and a new
//! kind changes nothing of what the others draw.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::faults::{DnsFault, HostPlan};

/// Where the relay listens.
pub const LISTENER: &str = "10.0.0.1:25";
/// Where all mail comes from, and notices go.
pub const HOME: &str = "x.example";
/// Age at which mail expires.
pub const EXPIRE_AFTER: Duration = Duration::from_hours(7);
/// Nothing new goes wrong after this, but for those who never take anything.
pub const CALM_AFTER: Duration = Duration::from_mins(80);
/// What a relay may need from the moment at which a peer would take a message until it has brought it there:
/// an hour for which a silent or slowed path rests, its probes, an hour until what waits on disk is looked at
/// again, and the longest delay of the schedule with its jitter.
pub const PATIENCE: Duration = Duration::from_mins(200);

/// All of it.
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// Recipient domains, by name.
    pub domains: BTreeMap<String, DomainPlan>,
    /// Mail servers.
    pub hosts: Vec<HostPlan>,
    /// What the operator has in force, first at start and then after each reload.
    pub configs: Vec<ConfigPlan>,
    /// What clients have to send.
    pub submissions: Vec<Submission>,
    /// What is done to the relay and its machine, in order of time.
    pub acts: Vec<(Duration, Act)>,
    /// Time that a sync takes.
    pub sync_takes: Duration,
    /// One call of the signer in so many fails.
    pub signing_fails_every: u32,
}

/// A recipient domain.
pub struct DomainPlan {
    /// Its hosts by preference, each list from a time on.
    pub exchanges: Vec<(Duration, Vec<usize>)>,
    /// What the DNS says instead, in a time.
    pub dns: Vec<(Duration, Duration, DnsFault)>,
    /// From when on its servers take what their recipients take; `None`: never.
    pub calm: Option<Duration>,
}

/// A configuration, and what of it is checked.
#[derive(Clone)]
pub struct ConfigPlan {
    /// The file.
    pub text: String,
    /// Connections of one source to one site.
    pub connections: usize,
    /// Connections of all sources to one site.
    pub connections_total: usize,
    /// Transactions in one connection.
    pub messages: u32,
    /// Recipients of one source at one site in a minute.
    pub rate: Option<u32>,
    /// Delays after the first, second … attempt.
    pub retry: Vec<Duration>,
}

/// Share of a delay that jitter may take.
pub const JITTER: f64 = 0.1;

/// A message that a client wants to be rid of.
pub struct Submission {
    /// From when on.
    pub at: Duration,
    /// To whom.
    pub recipients: Vec<String>,
    /// Octets of its text.
    pub octets: usize,
}

/// What happens to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The power goes off.
    Crash,
    /// The same, right after so many more writes, before they are synced.
    CrashAfterWrites(u32),
    /// The same, right after so many more syncs, before anybody hears of it.
    CrashAfterSyncs(u32),
    /// Syncs fail.
    FailSync,
    /// The disk is full all of a sudden.
    FailWrite,
    /// The disk is almost full.
    LowDisk,
    /// It is not any more.
    DiskFreed,
    /// The operator stops and starts it.
    Stop,
    /// The configuration of this number comes into force.
    Reload(usize),
    /// The wall clock is set, by so many seconds.
    SetClock(i64),
}

/// A generator for one thing of a seed.
pub fn random(seed: u64, what: impl Hash) -> StdRng {
    let mut hasher = DefaultHasher::new();
    (seed, what).hash(&mut hasher);
    StdRng::seed_from_u64(hasher.finish())
}

impl Plan {
    /// What this seed means. `first_retry`: the first delay of the schedule, where a test wants another.
    pub fn draw(seed: u64, first_retry: Option<Duration>) -> Self {
        let (domains, hosts) = draw_domains(seed);
        let configs = draw_configs(seed, first_retry);
        let submissions = draw_submissions(seed, &domains);
        let acts = draw_acts(seed, configs.len());
        let mut random = random(seed, "machine");
        let sync_takes = Duration::from_millis(random.random_range(1..25));
        let signing_fails_every = random.random_range(15..60);
        Self { seed, domains, hosts, configs, submissions, acts, sync_takes, signing_fails_every }
    }

    /// The host that listens at an address.
    pub fn host_at(&self, address: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.address == address)
    }

    /// The shortest delay that any of the configurations allows after this attempt (from 1).
    pub fn retry_min(&self, attempt: u32) -> Duration {
        let place = attempt.saturating_sub(1) as usize;
        let delay = |config: &ConfigPlan| *config.retry.get(place).or(config.retry.last()).unwrap();
        self.configs.iter().map(delay).min().unwrap().mul_f64(1.0 - JITTER)
    }
}

fn minutes(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_secs(random.random_range(range.start * 60..range.end * 60))
}

fn draw_domains(seed: u64) -> (BTreeMap<String, DomainPlan>, Vec<HostPlan>) {
    let mut hosts = vec![HostPlan::quiet("mx.x.example", 0)];
    let mut domains = BTreeMap::new();
    let home = DomainPlan {
        exchanges: vec![(Duration::ZERO, vec![0])],
        dns: Vec::new(),
        calm: Some(Duration::ZERO),
    };
    domains.insert(HOME.to_owned(), home);
    let mut shape = random(seed, "sites");
    let mut sites: Vec<Vec<usize>> = Vec::new();
    for site in 1..=shape.random_range(4..7_usize) {
        let count = if shape.random_bool(0.35) { 2 } else { 1 };
        let set = (0..count).map(|number| {
            let name = format!("mx{number}.site{site}.example");
            let place = hosts.len();
            hosts.push(HostPlan::draw(seed, &name, place, site));
            place
        });
        let set: Vec<usize> = set.collect();
        sites.push(set);
    }
    let mut moves = random(seed, "changed MX");
    let mut dns = random(seed, "DNS");
    for number in 0..shape.random_range(4..9) {
        let set = sites.choose(&mut shape).unwrap().clone();
        let mut exchanges = vec![(Duration::ZERO, set)];
        if moves.random_bool(0.15) {
            let other = sites.choose(&mut moves).unwrap().clone();
            exchanges.push((minutes(&mut moves, 2..60), other));
        }
        let faults = draw_dns(&mut dns);
        let calm = calm(&exchanges, &faults, &hosts);
        let plan = DomainPlan { exchanges, dns: faults, calm };
        domains.insert(format!("d{number}.example"), plan);
    }
    (domains, hosts)
}

fn draw_dns(random: &mut StdRng) -> Vec<(Duration, Duration, DnsFault)> {
    let mut faults = Vec::new();
    for fault in [DnsFault::ServerFailure, DnsFault::Timeout, DnsFault::NoSuchName] {
        let share = if fault == DnsFault::NoSuchName { 0.04 } else { 0.2 };
        if random.random_bool(share) {
            let from = minutes(random, 0..40);
            faults.push((from, from + minutes(random, 1..40), fault));
        }
    }
    if random.random_bool(0.03) {
        faults.push((Duration::ZERO, Duration::MAX, DnsFault::ServerFailure));
    }
    faults
}

/// From when on a domain's mail can be brought there.
fn calm(
    exchanges: &[(Duration, Vec<usize>)],
    dns: &[(Duration, Duration, DnsFault)],
    hosts: &[HostPlan],
) -> Option<Duration> {
    let (moved, last) = exchanges.last()?;
    let alive: Vec<_> = last.iter().filter(|host| !hosts[**host].dead).collect();
    if alive.is_empty() || dns.iter().any(|(_, until, _)| *until == Duration::MAX) {
        return None;
    }
    let troubles = alive.iter().map(|host| hosts[**host].troubled_until);
    let names = dns.iter().map(|(_, until, _)| *until);
    troubles.chain(names).chain([*moved]).max()
}

fn draw_configs(seed: u64, first_retry: Option<Duration>) -> Vec<ConfigPlan> {
    let mut random = random(seed, "configuration");
    let sources = random.random_range(2..7_usize);
    let mut retry: Vec<u64> = [[120, 300, 600, 1200], [180, 240, 480, 900], [60, 300, 900, 1500]]
        .choose(&mut random)
        .unwrap()
        .to_vec();
    if let Some(first) = first_retry {
        retry[0] = first.as_secs();
    }
    let count = random.random_range(1..4);
    let rotation = *["adaptive", "round-robin"].choose(&mut random).unwrap();
    let config = |number: usize| {
        let mut names: Vec<usize> = (1..=sources).collect();
        names.shuffle(&mut random);
        // Sources come and go, but one at least stays.
        let used = if number == 0 { sources } else { random.random_range(1..=sources) };
        names.truncate(used);
        names.sort_unstable();
        let connections = random.random_range(1..4);
        let connections_total = random.random_range(connections..7);
        let rate = random.random_bool(0.3).then(|| random.random_range(20..120));
        let messages = random.random_range(1..20);
        if number > 0 && first_retry.is_none() && random.random_bool(0.3) {
            retry[0] += 30;
        }
        let mut plan = ConfigPlan {
            text: String::new(),
            connections,
            connections_total,
            messages,
            rate,
            retry: retry.iter().map(|secs| Duration::from_secs(*secs)).collect(),
        };
        plan.text = config_text(&plan, &names, rotation);
        plan
    };
    (0..count).map(config).collect()
}

fn config_text(plan: &ConfigPlan, sources: &[usize], rotation: &str) -> String {
    let retry: Vec<String> =
        plan.retry.iter().map(|delay| format!("\"{}s\"", delay.as_secs())).collect();
    let mut text = format!(
        "[server]\nhostname = \"relay.{HOME}\"\nmin_free_space = \"1MiB\"\n\
         [[listener]]\nname = \"relay\"\nbind = [\"{LISTENER}\"]\ntls = \"off\"\n\
         relay_from = [\"10.0.0.0/8\"]\n\
         [[dkim]]\ndomain = \"{HOME}\"\nselector = \"s\"\nprivate_key = \"none\"\n\
         [delivery]\nretry = [{}]\nretry_jitter = {JITTER}\nexpire_after = \"{}s\"\n\
         delay_notice_after = \"90m\"\n\
         [delivery.limits]\nconnections = {}\nconnections_total = {}\n\
         messages_per_connection = {}\n",
        retry.join(", "),
        EXPIRE_AFTER.as_secs(),
        plan.connections,
        plan.connections_total,
        plan.messages,
    );
    if let Some(rate) = plan.rate {
        let _ = writeln!(text, "rate = \"{rate}/m\"");
    }
    for number in sources {
        let _ = write!(
            text,
            "[[source]]\nname = \"ip-{number}\"\naddress = \"198.51.100.{number}\"\n\
             helo = \"m{number}.{HOME}\"\n"
        );
    }
    let names: Vec<String> = sources.iter().map(|number| format!("\"ip-{number}\"")).collect();
    let _ = write!(
        text,
        "[[pool]]\nname = \"bulk\"\nsources = [{}]\nrotation = \"{rotation}\"\n",
        names.join(", ")
    );
    text
}

fn draw_submissions(seed: u64, domains: &BTreeMap<String, DomainPlan>) -> Vec<Submission> {
    let mut random = random(seed, "submissions");
    let names: Vec<&String> = domains.keys().filter(|name| *name != HOME).collect();
    let busy = minutes(&mut random, 1..40);
    let draw = |number: usize| {
        let most = [1, 1, 2, 5, 50].choose(&mut random).copied().unwrap();
        let count = random.random_range(1..=most);
        let recipient = |place: usize, random: &mut StdRng| {
            format!("r{number}x{place}@{}", names.choose(random).unwrap())
        };
        let large = random.random_bool(0.01);
        Submission {
            at: busy.mul_f64(random.random_range(0.0..1.0)),
            recipients: (0..count).map(|place| recipient(place, &mut random)).collect(),
            octets: if large { 600_000 } else { random.random_range(0..3_000) },
        }
    };
    (0..30).map(draw).collect()
}

fn draw_acts(seed: u64, configs: usize) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    let mut of = |kind: &str, share: f64, most: u32, act: &mut dyn FnMut(&mut StdRng) -> Act| {
        let mut random = random(seed, kind);
        for _ in 0..most {
            if random.random_bool(share) {
                // Early, while there is most to do, or at any time.
                let most = *[3, 15, 70].choose(&mut random).unwrap();
                let at = Duration::from_millis(random.random_range(0..most * 60_000));
                acts.push((at, act(&mut random)));
            }
        }
    };
    of("crash", 0.3, 2, &mut |_| Act::Crash);
    of("crash after writes", 0.3, 2, &mut |random| {
        Act::CrashAfterWrites(random.random_range(1..30))
    });
    of("crash after syncs", 0.3, 2, &mut |random| Act::CrashAfterSyncs(random.random_range(1..30)));
    of("failed sync", 0.25, 1, &mut |_| Act::FailSync);
    of("failed write", 0.2, 1, &mut |_| Act::FailWrite);
    of("stop", 0.25, 1, &mut |_| Act::Stop);
    of("low disk", 0.25, 1, &mut |_| Act::LowDisk);
    of("reload", 0.7, 3, &mut |random| Act::Reload(random.random_range(0..configs)));
    of("clock forward", 0.2, 2, &mut |random| Act::SetClock(random.random_range(1..5_400)));
    of("clock back", 0.2, 2, &mut |random| Act::SetClock(-random.random_range(1..2_400_i64)));
    let mut random = random(seed, "disk freed");
    let freed: Vec<_> =
        acts.iter().filter(|(_, act)| *act == Act::LowDisk).map(|(at, _)| *at).collect();
    for at in freed {
        acts.push((at + minutes(&mut random, 0..10), Act::DiskFreed));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}
