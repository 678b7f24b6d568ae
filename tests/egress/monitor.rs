//! What the relay finds on the shared blocklist: asked now and then, believed at the second positive.

use std::time::Duration;

use mta::message::Timestamp;

use crate::providers::Blocklist;
use crate::relay::{ADDRESSES, address};

/// How often each address is asked about.
const EVERY: Duration = Duration::from_mins(15);
/// A second positive counts that long after the first.
const CONFIRMED_AFTER: Duration = Duration::from_mins(5);

/// What is known of each source, by number.
#[derive(Debug)]
pub struct Monitor {
    sources: [Known; ADDRESSES as usize],
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    next: Timestamp,
    first: Option<Timestamp>,
    listed: bool,
}

impl Monitor {
    /// Nobody is listed.
    pub fn new() -> Self {
        Self { sources: [Known::default(); ADDRESSES as usize] }
    }

    /// A source should be asked about at once.
    pub fn ask_now(&mut self, source: u8) {
        let known = &mut self.sources[usize::from(source)];
        if known.first.is_none() {
            known.next = Timestamp::default();
        }
    }

    /// Asks about everybody whose time it is. Returns who was listed (`true`) or released.
    pub fn look(&mut self, list: &Blocklist, now: Timestamp) -> Vec<(u8, bool)> {
        let mut found = Vec::new();
        for (number, known) in (0..).zip(&mut self.sources) {
            if known.next > now {
                continue;
            }
            let positive = list.lists(address(number), now);
            known.next = now.after(EVERY);
            match known.first.filter(|_| positive) {
                _ if !positive => {
                    known.first = None;
                    if std::mem::take(&mut known.listed) {
                        found.push((number, false));
                    }
                }
                None => {
                    known.first = Some(now);
                    known.next = now.after(CONFIRMED_AFTER);
                }
                Some(first) if !known.listed && now.since(first) >= CONFIRMED_AFTER => {
                    known.listed = true;
                    found.push((number, true));
                }
                Some(_) => {}
            }
        }
        found
    }

    /// Who is known to be listed.
    pub fn listed(&self) -> impl Iterator<Item = u8> {
        (0..).zip(&self.sources).filter(|(_, known)| known.listed).map(|(number, _)| number)
    }
}
