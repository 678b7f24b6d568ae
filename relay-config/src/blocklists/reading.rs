//! What the answers of a list mean.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Blocklist, Code, ListAction};

/// What a list says about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It is not listed.
    Clear,
    /// It is listed.
    Listed(Listing),
    /// Nothing: the reason, for people.
    Unknown(String),
}

/// What a listing says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The answers that count, in order.
    pub answers: Vec<Ipv4Addr>,
    /// What they mean, the same only once.
    pub meanings: Vec<Arc<str>>,
    /// The strongest of what they lead to.
    pub action: ListAction,
}

impl Blocklist {
    /// What these A records mean. None is "not listed"; that nobody answered is for the caller to tell.
    pub fn read(&self, answers: &[Ipv4Addr]) -> Reading {
        if let Some(refusal) = self.refusal(answers) {
            return Reading::Unknown(refusal);
        }
        let mut answers = answers.to_vec();
        answers.sort_unstable();
        answers.dedup();
        let Some(first) = answers.first().copied() else { return Reading::Clear };
        let codes: Vec<&Code> = answers.iter().flat_map(|answer| self.codes_of(*answer)).collect();
        answers.retain(|answer| self.codes_of(*answer).next().is_some());
        let Some(action) = codes.iter().map(|code| code.action).max() else {
            return Reading::Unknown(format!("{first} is no answer that counts as a listing"));
        };
        let mut meanings: Vec<Arc<str>> = Vec::new();
        for code in codes {
            if !meanings.contains(&code.meaning) {
                meanings.push(Arc::clone(&code.meaning));
            }
        }
        Reading::Listed(Listing { answers, meanings, action })
    }

    /// What an answer says: the first code that has it; where answers are sums, each that does.
    fn codes_of(&self, answer: Ipv4Addr) -> impl Iterator<Item = &Code> {
        let most = if self.bitmask { usize::MAX } else { 1 };
        self.codes.iter().filter(move |code| self.has(answer, code)).take(most)
    }

    fn has(&self, answer: Ipv4Addr, code: &Code) -> bool {
        if !self.bitmask {
            return (code.first..=code.last).contains(&answer);
        }
        let (answer, code) = (u32::from(answer), u32::from(code.first));
        answer >> 8 == code >> 8 && answer & code & 0xff != 0
    }

    /// Why these A records speak of us who ask, or come from no list at all; `None`: they speak of the
    /// subject.
    pub fn refusal(&self, answers: &[Ipv4Addr]) -> Option<String> {
        answers.iter().find_map(|answer| self.refusal_of(*answer))
    }

    fn refusal_of(&self, answer: Ipv4Addr) -> Option<String> {
        let why = match answer.octets() {
            [127, 255, 255, 252] => "the zone is misspelt",
            [127, 255, 255, 254] => {
                "asked through a public resolver, which it refuses: use one of your own"
            }
            [127, 255, 255, 255] => "asked too often: it refuses us",
            [127, 255, 255, _] => "an error",
            [127, 0, 0, 1] if self.bitmask => "it refuses to answer us",
            [127, ..] => return None,
            _ => {
                "not an answer of a list (RFC 5782 section 2.1): somebody else answers in its place"
            }
        };
        Some(format!("{answer}: {why}"))
    }
}
