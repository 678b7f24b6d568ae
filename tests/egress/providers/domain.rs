//! What one provider knows of one sending domain, whatever the address.

use std::net::Ipv4Addr;
use std::time::Duration;

use mta::message::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;

use super::history::History;
use super::rules::Rules;
use super::standing::Standing;

/// A sending domain at one provider.
#[derive(Debug)]
pub struct Domain {
    /// How much comes.
    pub history: History,
    /// What is thought of it.
    pub standing: Standing,
    /// From which addresses it came today, and how many recipients.
    pub today: Vec<(Ipv4Addr, u32)>,
    /// Days on which it was found to be spread thin.
    pub snowshoe_days: u32,
}

impl Domain {
    /// Of a sender that has been around.
    pub fn new(rules: &Rules) -> Self {
        Self {
            history: History::default(),
            standing: Standing::new(&rules.reputation),
            today: Vec::new(),
            snowshoe_days: 0,
        }
    }

    /// Recipients were taken from this address. What the address was refused for does not count
    /// against the domain.
    pub fn accept(&mut self, from: Ipv4Addr, recipients: u32, now: Timestamp) {
        (0..recipients).for_each(|_| self.history.offer(now));
        self.history.accept(recipients);
        match self.today.iter_mut().find(|(address, _)| *address == from) {
            Some((_, count)) => *count += recipients,
            None => self.today.push((from, recipients)),
        }
    }
}

/// A domain falls from grace for what its mail says: from no address is it taken, and each new
/// address that tries makes it last longer.
#[derive(Debug, Clone)]
pub struct Strike {
    /// Which domain.
    pub domain: usize,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends, as it looks now.
    pub until: Timestamp,
    /// What each new address adds.
    pub each_adds: Duration,
    /// How many new addresses have tried.
    pub new_addresses: u32,
}

impl Strike {
    /// Somewhere in the second to fifth week.
    pub fn draw(random: &mut StdRng, start: Timestamp, domains: usize) -> Self {
        let hours = Duration::from_hours;
        let from = start.after(hours(random.random_range(9 * 24..34 * 24)));
        Self {
            domain: random.random_range(0..domains),
            from,
            until: from.after(hours(random.random_range(20..96))),
            each_adds: hours(random.random_range(5..20)),
            new_addresses: 0,
        }
    }

    /// Whether it is on.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// An address that the domain had not used before tries it.
    pub fn worsen(&mut self) {
        self.until = self.until.after(self.each_adds);
        self.new_addresses += 1;
    }
}
