//! The world that mail goes to, as models: providers with hidden rules, small servers, and the
//! blocklist that they share.
//!
//! Pure: a time and a question in, a reply and how long it took out; the same seed and the same
//! questions give the same replies. The models were written before the policy that is tried on
//! them and share no number with it. They do not judge content: what a domain is struck for
//! comes from the seed. They keep no message.

mod address;
mod blocklist;
mod domain;
mod greylist;
mod history;
mod judge;
mod outages;
mod provider;
mod replies;
mod rules;
mod standing;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

use mta::message::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use blocklist::Blocklist;
pub use domain::Strike;
pub use provider::Provider;
pub use replies::{Reply, Why};
pub use rules::{Kind, Moment};

/// Domains that mail comes from.
pub const SENDING_DOMAINS: [&str; 5] = [
    "avisos.example.pe",
    "boletin.example.pe",
    "eventos.example.pe",
    "tramites.example.pe",
    "example.pe",
];

/// The large providers; small servers come after them.
pub const LARGE: [Kind; 4] = [Kind::Google, Kind::MicrosoftConsumer, Kind::Office365, Kind::Yahoo];

/// Share of seeds in which some large provider strikes a sending domain.
const STRIKES: f64 = 0.5;

/// Everybody who takes mail.
#[derive(Debug)]
pub struct Internet {
    /// The large ones in the order of [`LARGE`], then the small ones.
    pub providers: Vec<Provider>,
    /// What they share.
    pub list: Blocklist,
}

/// Whom a transaction is from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sender {
    /// Place in [`SENDING_DOMAINS`].
    pub domain: usize,
    /// Which address of it.
    pub local: u32,
}

impl Sender {
    /// The whole address as a number.
    fn number(self) -> u64 {
        (self.domain as u64) << 32 | u64::from(self.local)
    }
}

/// A connection to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId {
    provider: usize,
    place: usize,
}

/// What came of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Yes,
    /// It was refused in words; with 421 the connection is over.
    No(Reply),
    /// The connection is over, without a word.
    Gone,
}

/// An answer and the time that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// What came.
    pub answer: Answer,
    /// After so long.
    pub after: Duration,
}

impl Internet {
    /// The world of a seed, with so many small servers.
    pub fn draw(seed: u64, small: usize, start: Timestamp) -> Self {
        let kinds = LARGE.into_iter().chain(std::iter::repeat_n(Kind::Small, small));
        let draw = |(number, kind)| Provider::draw(number, kind, seed, start);
        let mut providers: Vec<Provider> = kinds.enumerate().map(draw).collect();
        let mut random = StdRng::seed_from_u64(!seed);
        if random.random_bool(STRIKES) {
            let struck = random.random_range(0..LARGE.len());
            let strike = Strike::draw(&mut random, start, SENDING_DOMAINS.len());
            providers[struck].strike = Some(strike);
        }
        Self { providers, list: Blocklist::draw(&mut random) }
    }

    /// An address connects to a provider.
    pub fn connect(
        &mut self,
        provider: usize,
        from: Ipv4Addr,
        now: Timestamp,
    ) -> (Option<SessionId>, Said) {
        let (place, said) = self.providers[provider].connect(from, &mut self.list, now);
        (place.map(|place| SessionId { provider, place }), said)
    }

    /// A transaction begins.
    pub fn mail(&mut self, id: SessionId, sender: Sender, now: Timestamp) -> Said {
        self.providers[id.provider].mail(id.place, sender, &mut self.list, now)
    }

    /// A recipient of it.
    pub fn rcpt(&mut self, id: SessionId, recipient: u64, now: Timestamp) -> Said {
        self.providers[id.provider].rcpt(id.place, recipient, &mut self.list, now)
    }

    /// The message itself.
    pub fn data(&mut self, id: SessionId, now: Timestamp) -> Said {
        self.providers[id.provider].data(id.place, &mut self.list, now)
    }

    /// The connection ends.
    pub fn quit(&mut self, id: SessionId) {
        self.providers[id.provider].quit(id.place);
    }
}
