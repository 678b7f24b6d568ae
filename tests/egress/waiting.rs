//! A message that waits in egress, with what egress must know of it: as dispatch wraps a delivery.

use mta::egress::Item;

use crate::providers::SENDING_DOMAINS;
use crate::relay::NAMES;
use crate::traffic::Letter;

/// What the messages of each account are part of.
const CAMPAIGNS: [&str; 3] = ["citas", "boletines", "eventos"];

/// What waits for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub number: u32,
    letter: Letter,
}

impl Waiting {
    /// This message, as it stands.
    pub fn new(number: u32, letter: &Letter) -> Self {
        Self { number, letter: *letter }
    }
}

impl Item for Waiting {
    fn recipients(&self) -> u32 {
        self.letter.waiting.count_ones()
    }

    fn sending_domain(&self) -> Option<&str> {
        Some(SENDING_DOMAINS[self.letter.sender.domain])
    }

    fn campaign(&self) -> &str {
        campaign(&self.letter)
    }

    fn same_source(&self) -> Option<&str> {
        self.refused_source().filter(|_| self.letter.same_source)
    }

    fn refused_source(&self) -> Option<&str> {
        self.letter.last_source.map(|source| NAMES[usize::from(source)])
    }

    fn other_source(&self) -> bool {
        self.letter.other_source
    }
}

/// What a message is part of.
pub fn campaign(letter: &Letter) -> &'static str {
    CAMPAIGNS[usize::from(letter.account)]
}
