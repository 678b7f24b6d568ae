//! The blocklist that providers share: it lists an address when two of them have blocked it
//! within a day, and delists it after days in which nobody has blocked it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use mta::message::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;

/// Two blocks within this are a listing.
const TOGETHER: Duration = Duration::from_hours(24);

/// A time in which an address was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// The address.
    pub address: Ipv4Addr,
    /// When it was listed.
    pub from: Timestamp,
    /// When it is delisted, if nobody blocks it until then.
    pub until: Timestamp,
}

/// Whom it lists.
#[derive(Debug)]
pub struct Blocklist {
    silence: Duration,
    /// The last block of each address by each provider.
    blocks: BTreeMap<Ipv4Addr, BTreeMap<usize, Timestamp>>,
    /// The last listing of each address.
    last: BTreeMap<Ipv4Addr, usize>,
    /// All listings there were.
    pub listings: Vec<Listing>,
}

impl Blocklist {
    /// Lists nobody; delists after days that the seed tells.
    pub fn draw(random: &mut StdRng) -> Self {
        Self::new(Duration::from_hours(random.random_range(55..130)))
    }

    /// Lists nobody; delists after so much silence.
    pub fn new(silence: Duration) -> Self {
        let (blocks, last) = (BTreeMap::new(), BTreeMap::new());
        Self { silence, blocks, last, listings: Vec::new() }
    }

    /// A provider has blocked an address.
    pub fn report(&mut self, address: Ipv4Addr, provider: usize, now: Timestamp) {
        let blocks = self.blocks.entry(address).or_default();
        blocks.insert(provider, now);
        let together = blocks.values().filter(|time| time.after(TOGETHER) > now).count();
        let until = now.after(self.silence);
        let running = self.last.get(&address).and_then(|place| self.listings.get_mut(*place));
        if let Some(running) = running.filter(|listing| listing.until > now) {
            running.until = until;
        } else if together >= 2 {
            self.last.insert(address, self.listings.len());
            self.listings.push(Listing { address, from: now, until });
        }
    }

    /// Whether it is listed now.
    pub fn lists(&self, address: Ipv4Addr, now: Timestamp) -> bool {
        let last = self.last.get(&address).and_then(|place| self.listings.get(*place));
        last.is_some_and(|listing| listing.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_providers_in_a_day_list_and_days_of_silence_delist() {
        let hours = |hours| Timestamp::from_millis(0).after(Duration::from_hours(hours));
        let bad = Ipv4Addr::new(198, 51, 100, 1);
        let mut list = Blocklist::new(Duration::from_hours(72));
        list.report(bad, 1, hours(0));
        list.report(bad, 1, hours(1));
        assert!(!list.lists(bad, hours(1)), "one provider is one opinion");
        list.report(bad, 2, hours(30));
        assert!(!list.lists(bad, hours(30)), "not within a day");
        list.report(bad, 1, hours(50));
        assert!(list.lists(bad, hours(50)));
        assert!(!list.lists(Ipv4Addr::new(198, 51, 100, 2), hours(50)));
        list.report(bad, 1, hours(80));
        assert!(list.lists(bad, hours(140)), "it was blocked again");
        assert!(!list.lists(bad, hours(152)));
        let expected = Listing { address: bad, from: hours(50), until: hours(152) };
        assert_eq!(list.listings, [expected]);
        list.report(bad, 3, hours(200));
        assert!(!list.lists(bad, hours(200)), "it begins anew");
    }
}
