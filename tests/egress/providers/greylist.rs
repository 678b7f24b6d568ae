//! Greylisting: who is not known comes again later, with the same sender, from the same address.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::net::Ipv4Addr;
use std::time::Duration;

use mta::message::Timestamp;

use super::rules::Greylisting;

/// Triplets that wait are looked through this often, and those that are too old leave.
const SWEEP: Duration = Duration::from_hours(24);

/// Address, sender, recipient.
type Triplet = (Ipv4Addr, u64, u64);
/// Without a random key: the same seed gives the same story.
type Hasher = BuildHasherDefault<std::hash::DefaultHasher>;

/// Who has been seen.
#[derive(Debug, Default)]
pub struct Greylist {
    first: HashMap<Triplet, Timestamp, Hasher>,
    passed: BTreeMap<Ipv4Addr, u32>,
    swept: Timestamp,
    /// How often somebody was put off.
    pub put_off: u64,
}

impl Greylist {
    /// Whether it may pass.
    pub fn passes(&mut self, rules: &Greylisting, triplet: Triplet, now: Timestamp) -> bool {
        let passed = self.passed.entry(triplet.0).or_default();
        if *passed >= rules.trusts_after {
            return true;
        }
        if self.swept.after(SWEEP) <= now {
            self.first.retain(|_, first| first.after(rules.forgets) > now);
            self.swept = now;
        }
        let first = *self.first.entry(triplet).or_insert(now);
        if first.after(rules.forgets) <= now {
            self.first.insert(triplet, now);
        } else if first.after(rules.delay) <= now {
            *passed += 1;
            self.first.remove(&triplet);
            return true;
        }
        self.put_off += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_triplet_passes_later_and_a_known_address_at_once() {
        let rules = Greylisting {
            delay: Duration::from_mins(5),
            forgets: Duration::from_hours(30),
            trusts_after: 2,
        };
        let minutes = |minutes| Timestamp::from_millis(0).after(Duration::from_mins(minutes));
        let mut list = Greylist::default();
        let mut check = |address: u8, sender, recipient, minute, expected: bool| {
            let triplet = (Ipv4Addr::new(198, 51, 100, address), sender, recipient);
            let passes = list.passes(&rules, triplet, minutes(minute));
            assert_eq!(passes, expected, "{address} {sender} {recipient} at {minute}");
        };
        check(1, 10, 20, 0, false);
        check(1, 10, 20, 4, false);
        check(2, 10, 20, 6, false);
        check(1, 11, 20, 6, false);
        check(1, 10, 21, 6, false);
        check(1, 10, 20, 6, true);
        check(1, 11, 20, 60 * 31, false);
        check(1, 11, 20, 60 * 31 + 5, true);
        check(1, 99, 99, 60 * 31 + 6, true);
        check(2, 99, 99, 60 * 31 + 6, false);
    }
}
