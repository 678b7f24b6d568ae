//! The hidden numbers of a provider, drawn from the seed.
//!
//! They are drawn wide on purpose: what providers publish is little, what they do changes. None of
//! them is read by the relay, and none of the relay's numbers is read here.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// Whose manners a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reputation of address, network and domain; speaks after DATA.
    Google,
    /// Small steps for newcomers; speaks at MAIL.
    MicrosoftConsumer,
    /// Many tenants behind one door; speaks at RCPT.
    Office365,
    /// Few messages in a connection; speaks at the banner.
    Yahoo,
    /// One server of somebody: often greylists, often asks a blocklist.
    Small,
}

/// A moment of the dialog at which a server can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Before anything was said.
    Banner,
    /// After MAIL.
    Mail,
    /// After RCPT.
    Rcpt,
    /// After the message.
    Data,
}

/// What a provider goes by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Connections of one address at a time.
    pub connections: u32,
    /// Connections of everybody at a time.
    pub connections_in_all: u32,
    /// Transactions in one connection.
    pub messages_per_connection: u32,
    /// Recipients of one address in a minute.
    pub per_minute: u32,
    /// Recipients of one address in an hour.
    pub per_hour: u32,
    /// Recipients of all addresses of a /24 in an hour.
    pub netblock_per_hour: Option<u32>,
    /// What an address may send in a day.
    pub address: Growth,
    /// What a sending domain may send in a day, from all addresses.
    pub domain: Option<Growth>,
    /// What is thought of whom.
    pub reputation: Reputation,
    /// How long one waits after a refusal.
    pub patience: Duration,
    /// So many attempts in that time are no offence: others were on their way.
    pub tries: u32,
    /// Puts strangers off.
    pub greylisting: Option<Greylisting>,
    /// Looks for mail that is spread thin.
    pub snowshoe: Option<Snowshoe>,
    /// Asks the shared blocklist.
    pub asks_list: bool,
    /// Where it says what it thinks of the sender.
    pub speaks_at: Moment,
    /// Share of the addresses that we write to which do not exist.
    pub unknown: f64,
    /// Share of the mailboxes that are full for some days.
    pub full: f64,
    /// Time to the banner.
    pub connects_in: Duration,
    /// Time to any other reply.
    pub answers_in: Duration,
}

/// How much may come in a day, and how fast that grows.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Recipients a day of somebody unknown.
    pub newcomer: f64,
    /// So many times what it is known for may come on the next day.
    pub factor: f64,
    /// More is never tolerated.
    pub ceiling: f64,
    /// Share of what it is known for that an idle day costs.
    pub forgets: f64,
    /// Share of a day's that may come in one hour.
    pub in_an_hour: f64,
    /// So many times the tolerated is put off but not resented.
    pub leeway: f64,
}

/// What conduct costs; reputation goes from 0 to 1.
#[derive(Debug, Clone)]
pub struct Reputation {
    /// Of somebody unknown.
    pub newcomer: f64,
    /// Sending twice what is tolerated costs this.
    pub over: f64,
    /// Each recipient that does not exist, where they are more than `unknown_share`.
    pub unknown: f64,
    /// Share of a day's recipients that may be unknown.
    pub unknown_share: f64,
    /// As many attempts against advice as are tolerated in a day cost this.
    pub impatient: f64,
    /// Being found to spread mail thin.
    pub snowshoe: f64,
    /// A day without harm brings this back.
    pub heals: f64,
    /// Below it less is tolerated.
    pub slow_below: f64,
    /// Below it nothing is taken for a while.
    pub block_below: f64,
    /// Length of the first block (4xx).
    pub temporary: Duration,
    /// Length of a block for good reasons (5xx); it doubles when repeated.
    pub permanent: Duration,
}

/// Of (address, sender, recipient).
#[derive(Debug, Clone)]
pub struct Greylisting {
    /// A second attempt counts after this.
    pub delay: Duration,
    /// And before this.
    pub forgets: Duration,
    /// Messages after which an address is known.
    pub trusts_after: u32,
}

/// Many addresses, all new, each with little of one domain.
#[derive(Debug, Clone)]
pub struct Snowshoe {
    /// So many addresses are a pattern.
    pub addresses: usize,
    /// So many recipients a day are little.
    pub little: u32,
    /// An address is new for this long.
    pub new_for: Duration,
}

impl Rules {
    /// The numbers of one provider.
    pub fn draw(kind: Kind, random: &mut StdRng) -> Self {
        let mut rules = Self::common(random);
        match kind {
            Kind::Google => rules.google(random),
            Kind::MicrosoftConsumer => rules.microsoft_consumer(random),
            Kind::Office365 => rules.office365(random),
            Kind::Yahoo => rules.yahoo(random),
            Kind::Small => rules.small(random),
        }
        rules
    }

    /// Takes everything from anybody; tests change the one number that they are about.
    pub fn easy() -> Self {
        let growth = Growth {
            newcomer: 1e6,
            factor: 2.0,
            ceiling: 1e7,
            forgets: 0.1,
            in_an_hour: 1.0,
            leeway: 1.2,
        };
        Self {
            connections: 1000,
            connections_in_all: 1000,
            messages_per_connection: 1000,
            per_minute: 100_000,
            per_hour: 100_000,
            netblock_per_hour: None,
            address: growth,
            domain: None,
            reputation: Reputation {
                newcomer: 0.7,
                over: 0.3,
                unknown: 0.01,
                unknown_share: 0.05,
                impatient: 0.4,
                snowshoe: 0.2,
                heals: 0.03,
                slow_below: 0.5,
                block_below: 0.3,
                temporary: Duration::from_hours(2),
                permanent: Duration::from_hours(24),
            },
            patience: Duration::from_mins(5),
            tries: 3,
            greylisting: None,
            snowshoe: None,
            asks_list: false,
            speaks_at: Moment::Rcpt,
            unknown: 0.0,
            full: 0.0,
            connects_in: Duration::from_millis(100),
            answers_in: Duration::from_millis(20),
        }
    }

    fn common(random: &mut StdRng) -> Self {
        let block_below = random.random_range(0.28..0.38);
        Self {
            connections: 10,
            connections_in_all: 100,
            messages_per_connection: 100,
            per_minute: random.random_range(70..200),
            per_hour: random.random_range(1500..4000),
            netblock_per_hour: None,
            address: Growth {
                newcomer: 100.0,
                factor: random.random_range(1.45..2.0),
                ceiling: random.random_range(12_000.0..60_000.0),
                forgets: random.random_range(0.03..0.11),
                in_an_hour: random.random_range(0.17..0.34),
                leeway: random.random_range(1.15..1.45),
            },
            domain: None,
            reputation: Reputation {
                newcomer: random.random_range(0.68..0.80),
                over: random.random_range(0.12..0.4),
                unknown: random.random_range(0.001..0.004),
                unknown_share: random.random_range(0.035..0.07),
                impatient: random.random_range(0.15..0.5),
                snowshoe: random.random_range(0.1..0.2),
                heals: random.random_range(0.015..0.045),
                slow_below: block_below + random.random_range(0.14..0.24),
                block_below,
                temporary: minutes(random, 70, 420),
                permanent: minutes(random, 14 * 60, 60 * 60),
            },
            patience: minutes(random, 3, 11),
            tries: random.random_range(6..16),
            greylisting: None,
            snowshoe: None,
            asks_list: false,
            speaks_at: Moment::Rcpt,
            unknown: random.random_range(0.002..0.012),
            full: random.random_range(0.001..0.005),
            connects_in: Duration::from_millis(random.random_range(40..220)),
            answers_in: Duration::from_millis(random.random_range(15..90)),
        }
    }

    fn google(&mut self, random: &mut StdRng) {
        self.connections = random.random_range(7..22);
        self.connections_in_all = random.random_range(60..160);
        self.messages_per_connection = random.random_range(60..130);
        self.netblock_per_hour = Some(random.random_range(5200..13_000));
        self.address.newcomer = random.random_range(85.0..210.0);
        self.domain = Some(Growth {
            newcomer: random.random_range(4200.0..11_500.0),
            factor: random.random_range(1.55..2.4),
            ceiling: random.random_range(40_000.0..120_000.0),
            forgets: random.random_range(0.02..0.06),
            in_an_hour: random.random_range(0.2..0.34),
            leeway: random.random_range(1.2..1.5),
        });
        self.snowshoe = Some(snowshoe(random));
        self.speaks_at = Moment::Data;
    }

    fn microsoft_consumer(&mut self, random: &mut StdRng) {
        self.connections = random.random_range(6..16);
        self.connections_in_all = random.random_range(50..120);
        self.messages_per_connection = random.random_range(52..90);
        self.per_minute = random.random_range(22..48);
        self.per_hour = random.random_range(620..1450);
        self.netblock_per_hour = Some(random.random_range(3200..7600));
        self.address.newcomer = random.random_range(42.0..115.0);
        self.address.factor = random.random_range(1.38..1.8);
        self.address.ceiling = random.random_range(7000.0..24_000.0);
        self.asks_list = true;
        self.speaks_at = Moment::Mail;
    }

    fn office365(&mut self, random: &mut StdRng) {
        self.connections = random.random_range(8..21);
        self.connections_in_all = random.random_range(50..130);
        self.messages_per_connection = random.random_range(45..110);
        self.address.newcomer = random.random_range(95.0..260.0);
        self.address.factor = random.random_range(1.5..2.2);
        self.asks_list = true;
        self.snowshoe = Some(snowshoe(random));
    }

    fn yahoo(&mut self, random: &mut StdRng) {
        self.connections = random.random_range(5..13);
        self.connections_in_all = random.random_range(40..110);
        self.messages_per_connection = random.random_range(12..38);
        self.per_hour = random.random_range(850..2300);
        self.address.newcomer = random.random_range(65.0..170.0);
        self.address.factor = random.random_range(1.42..1.9);
        self.address.ceiling = random.random_range(9000.0..30_000.0);
        self.asks_list = true;
        self.speaks_at = Moment::Banner;
    }

    fn small(&mut self, random: &mut StdRng) {
        self.connections = random.random_range(2..9);
        self.connections_in_all = random.random_range(8..32);
        self.messages_per_connection = random.random_range(12..60);
        self.per_minute = random.random_range(18..70);
        self.per_hour = random.random_range(240..1100);
        self.address.newcomer = random.random_range(140.0..420.0);
        self.address.factor = random.random_range(2.0..4.0);
        self.address.ceiling = random.random_range(900.0..4500.0);
        self.address.in_an_hour = random.random_range(0.3..0.6);
        self.asks_list = random.random_bool(0.55);
        self.greylisting = random.random_bool(0.45).then(|| Greylisting {
            delay: Duration::from_secs(random.random_range(55..640)),
            forgets: Duration::from_hours(random.random_range(26..60)),
            trusts_after: random.random_range(4..13),
        });
        if random.random_bool(0.2) {
            self.speaks_at = Moment::Banner;
        }
    }
}

fn snowshoe(random: &mut StdRng) -> Snowshoe {
    Snowshoe {
        addresses: random.random_range(8..14),
        little: random.random_range(12..34),
        new_for: Duration::from_hours(24 * random.random_range(5..12)),
    }
}

fn minutes(random: &mut StdRng, least: u64, most: u64) -> Duration {
    Duration::from_mins(random.random_range(least..most))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn numbers_come_from_the_seed_and_differ_with_it() {
        let kinds =
            [Kind::Google, Kind::MicrosoftConsumer, Kind::Office365, Kind::Yahoo, Kind::Small];
        for kind in kinds {
            let drawn = |seed| format!("{:?}", Rules::draw(kind, &mut StdRng::seed_from_u64(seed)));
            assert_eq!(drawn(1), drawn(1));
            assert_ne!(drawn(1), drawn(2), "{kind:?}");
        }
        for seed in 0..200 {
            for kind in kinds {
                let rules = Rules::draw(kind, &mut StdRng::seed_from_u64(seed));
                let thoughts = &rules.reputation;
                assert!(rules.connections <= rules.connections_in_all);
                assert!(rules.per_minute <= rules.per_hour);
                assert!(thoughts.block_below < thoughts.slow_below);
                assert!(thoughts.slow_below < thoughts.newcomer, "a stranger is not suspect");
                assert!(rules.address.newcomer < rules.address.ceiling);
            }
        }
    }
}
