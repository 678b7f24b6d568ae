//! How mail servers and the DNS misbehave.

use std::net::IpAddr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::plan::{CALM_AFTER, random};

/// What the DNS says in place of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsFault {
    /// SERVFAIL, at once.
    ServerFailure,
    /// Nothing, until we lose patience.
    Timeout,
    /// NXDOMAIN.
    NoSuchName,
}

/// Whether a host offers STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// No.
    None,
    /// Yes.
    Works,
    /// Yes, and leaves in the middle of the handshake.
    Leaves,
    /// Yes, and answers the handshake with something else.
    Garbage,
}

/// A mail server.
pub struct HostPlan {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Hosts of one site share the limits of it.
    pub site: usize,
    /// It refuses each connection, for ever.
    pub dead: bool,
    /// It refuses connections in this time.
    pub refuses: Option<(Duration, Duration)>,
    /// This share of its sessions meets a fault …
    pub fault_share: f64,
    /// … until then, and from then on everything is well.
    pub troubled_until: Duration,
    /// Encryption.
    pub tls: Tls,
    /// It offers PIPELINING.
    pub pipelining: bool,
    /// It offers CHUNKING.
    pub chunking: bool,
    /// It waits before each reply.
    pub delay: Duration,
    /// At most so many octets go through its connections at a time; it may be 1.
    pub piece: usize,
    /// It takes a recipient from a source only so long after the first try from there.
    pub greylist: Option<Duration>,
    /// It says so, with the time.
    pub greylist_says_when: bool,
    /// RCPT that it takes in one transaction.
    pub recipients_max: Option<usize>,
}

impl HostPlan {
    /// One that does everything right.
    pub fn quiet(name: &str, place: usize) -> Self {
        Self {
            name: name.to_owned(),
            address: IpAddr::from([192, 0, 2, u8::try_from(place + 1).unwrap()]),
            site: place,
            dead: false,
            refuses: None,
            fault_share: 0.0,
            troubled_until: Duration::ZERO,
            tls: Tls::None,
            pipelining: true,
            chunking: false,
            delay: Duration::from_millis(20),
            piece: usize::MAX,
            greylist: None,
            greylist_says_when: false,
            recipients_max: None,
        }
    }

    /// One as the seed has it.
    pub fn draw(seed: u64, name: &str, place: usize, site: usize) -> Self {
        let mut host = Self { site, ..Self::quiet(name, place) };
        let of = |what: &str| random(seed, (what, place));
        let until = |random: &mut StdRng| CALM_AFTER.mul_f64(random.random_range(0.01..0.9));
        let mut faults = of("faults");
        if faults.random_bool(0.7) {
            host.fault_share = *[0.1, 0.3, 0.6, 0.95].choose(&mut faults).unwrap();
            host.troubled_until = until(&mut faults);
        }
        host.dead = of("dead").random_bool(0.03);
        let mut refusals = of("refused");
        if refusals.random_bool(0.2) {
            let (a, b) = (until(&mut refusals), until(&mut refusals));
            host.refuses = Some((a.min(b), a.max(b)));
            host.troubled_until = host.troubled_until.max(a).max(b);
        }
        host.tls = *[Tls::None, Tls::None, Tls::None, Tls::Works, Tls::Leaves, Tls::Garbage]
            .choose(&mut of("TLS"))
            .unwrap();
        let mut wire = of("wire");
        host.pipelining = wire.random_bool(0.7);
        host.chunking = wire.random_bool(0.3);
        host.piece = *[1, 3, 40, usize::MAX, usize::MAX].choose(&mut wire).unwrap();
        host.delay = Duration::from_millis(*[1, 20, 200, 3_000].choose(&mut wire).unwrap());
        let mut grey = of("greylisting");
        if grey.random_bool(0.3) {
            host.greylist = Some(Duration::from_secs(grey.random_range(30..360)));
            host.greylist_says_when = grey.random_bool(0.5);
        }
        let mut most = of("recipients");
        host.recipients_max = most.random_bool(0.2).then(|| most.random_range(1..8));
        host
    }
}

/// A moment of a session, as a server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before its first words.
    Greeting,
    /// EHLO.
    Hello,
    /// The first MAIL.
    Mail,
    /// A MAIL after a message was taken.
    MailAgain,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// While the message arrives.
    Body,
    /// After the final dot, or the last octet of BDAT.
    Final,
    /// QUIT.
    Quit,
}

/// What it does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Says 421 and leaves.
    Goodbye,
    /// Says 451.
    Later,
    /// Leaves without a word.
    Vanish,
    /// Says nothing until everybody has lost patience.
    Stall,
    /// Says something that is no reply.
    Garbage,
    /// Takes the message and does this (after the final dot; elsewhere as without).
    TakeAnd(After),
}

/// What follows a message that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Leaves without a word.
    Vanish,
    /// Says nothing.
    Stall,
    /// Says something that is no reply.
    Garbage,
}

/// What goes wrong in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset after so many octets in both directions.
    Cut(u64),
    /// The server does something else than what it should.
    At(Step, Deed),
}

impl Fault {
    /// Any of them.
    pub fn draw(random: &mut StdRng) -> Self {
        if random.random_bool(0.35) {
            return Self::Cut(random.random_range(0..1_600));
        }
        let steps = [
            Step::Greeting,
            Step::Hello,
            Step::Mail,
            Step::MailAgain,
            Step::Rcpt,
            Step::Data,
            Step::Body,
            Step::Final,
            Step::Final,
            Step::Quit,
        ];
        let step = *steps.choose(random).unwrap();
        let takes = [After::Vanish, After::Stall, After::Garbage].map(Deed::TakeAnd);
        let others = [Deed::Goodbye, Deed::Goodbye, Deed::Later, Deed::Vanish, Deed::Stall];
        let mut deeds = [&others[..], &[Deed::Garbage]].concat();
        if step == Step::Final {
            deeds.extend(takes);
        }
        Self::At(step, *deeds.choose(random).unwrap())
    }
}

/// What a mailbox does with mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Takes it.
    Takes,
    /// 550.
    Refuses,
    /// 45x until then.
    Defers(Duration),
    /// The same, and says in how many seconds to come back.
    DefersFor(Duration, u64),
    /// 45x for ever.
    NeverTakes,
}

/// What a recipient of this name does with mail, in this seed.
pub fn verdict(seed: u64, recipient: &str) -> Verdict {
    let mut random = random(seed, ("recipient", recipient));
    match random.random_range(0..100) {
        0..8 => Verdict::Refuses,
        8..18 => Verdict::Defers(CALM_AFTER.mul_f64(random.random_range(0.0..0.5))),
        18..26 => {
            let until = CALM_AFTER.mul_f64(random.random_range(0.0..0.5));
            Verdict::DefersFor(until, random.random_range(60..1_500))
        }
        // In some seeds only: such mail takes hours until it expires.
        26..28 if self::random(seed, "never").random_bool(0.25) => Verdict::NeverTakes,
        _ => Verdict::Takes,
    }
}

/// From when on this recipient takes mail; `None`: never.
pub fn takes_from(seed: u64, recipient: &str) -> Option<Duration> {
    match verdict(seed, recipient) {
        Verdict::Takes => Some(Duration::ZERO),
        Verdict::Defers(until) | Verdict::DefersFor(until, _) => Some(until),
        Verdict::Refuses | Verdict::NeverTakes => None,
    }
}
