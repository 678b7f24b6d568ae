//! Every message that has not ended, and where it is.

use std::collections::BTreeMap;

use mta::egress::WaitsFor;

use crate::traffic::Letter;

/// Why a message is not on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has just been accepted, or the relay has just started.
    Fresh,
    /// It was refused for now, or nobody was reached.
    Retries,
    /// Something of ours keeps it.
    Ours(WaitsFor),
}

/// Where a message is. It is in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Its time comes.
    Due(Why),
    /// Egress has it.
    Ready,
    /// A connection carries it.
    InFlight,
}

/// Messages by number; numbers are used again.
#[derive(Debug, Default)]
pub struct Letters {
    held: Vec<Option<(Letter, State)>>,
    free: Vec<u32>,
}

impl Letters {
    /// A message comes.
    pub fn add(&mut self, letter: Letter) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            u32::try_from(self.held.len() - 1).expect("fewer than four billion messages wait")
        });
        self.held[number as usize] = Some((letter, State::Due(Why::Fresh)));
        number
    }

    /// The message of a number.
    pub fn get(&self, number: u32) -> Option<&Letter> {
        self.held[number as usize].as_ref().map(|(letter, _)| letter)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Letter> {
        self.held[number as usize].as_mut().map(|(letter, _)| letter)
    }

    /// Nothing of it is left to do.
    pub fn end(&mut self, number: u32) {
        let ended = self.held[number as usize].take();
        assert!(ended.is_some(), "a message ends once");
        self.free.push(number);
    }

    /// It was due, or comes back from a connection that ended.
    pub fn is_ready(&mut self, number: u32) {
        self.turn(number, |from| matches!(from, State::Due(_) | State::InFlight), State::Ready);
    }

    /// It was pulled.
    pub fn is_in_flight(&mut self, number: u32) {
        self.turn(number, |from| *from == State::Ready, State::InFlight);
    }

    /// It is tried again later.
    pub fn is_due(&mut self, number: u32, why: Why) {
        self.turn(number, |from| matches!(from, State::Ready | State::InFlight), State::Due(why));
    }

    fn turn(&mut self, number: u32, from: impl Fn(&State) -> bool, to: State) {
        let (_, state) = self.held[number as usize].as_mut().expect("it has not ended");
        assert!(from(state), "message {number} goes from {state:?} to {to:?}");
        *state = to;
    }

    /// The relay starts afresh: what it had at hand is due. Returns that.
    pub fn restart(&mut self) -> Vec<u32> {
        let mut due = Vec::new();
        for (number, held) in (0..).zip(&mut self.held) {
            if let Some((_, state)) = held
                && !matches!(state, State::Due(_))
            {
                *state = State::Due(Why::Fresh);
                due.push(number);
            }
        }
        due
    }

    /// How many have not ended.
    pub fn count(&self) -> usize {
        self.held.len() - self.free.len()
    }

    /// Messages that wait, by what for.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for (_, state) in self.held.iter().flatten() {
            let reason = match state {
                State::Due(Why::Fresh) => "nothing".to_owned(),
                State::Due(Why::Retries) => "its next attempt".to_owned(),
                State::Due(Why::Ours(why)) => why.sentence(),
                State::Ready => "its turn".to_owned(),
                State::InFlight => "an answer".to_owned(),
            };
            *reasons.entry(reason).or_default() += 1;
        }
        reasons
    }

    /// Recipients that wait.
    pub fn recipients(&self) -> u64 {
        let held = self.held.iter().flatten();
        held.map(|(letter, _)| u64::from(letter.waiting.count_ones())).sum()
    }
}
