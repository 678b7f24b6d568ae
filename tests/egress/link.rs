//! One connection of the relay to a provider, and what was said over it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use mta::message::Timestamp;

use crate::providers::{Answer, Internet, Moment, Reply, Said, SessionId};
use crate::traffic::Letter;

/// A connection, from the attempt to open it until it is closed.
#[derive(Debug)]
pub struct Link {
    /// Number of the provider.
    pub place: usize,
    /// The source that it comes from.
    pub source: Arc<str>,
    /// Its address.
    pub from: Ipv4Addr,
    /// At the provider, when it came up.
    pub session: Option<SessionId>,
    /// What came of the attempt.
    pub greeting: Answer,
    /// Messages that it has carried.
    pub carried: u32,
    /// Recipients that it offers now.
    pub offered: u8,
    /// The one that it carries, and what will have been said.
    pub carries: Option<(u32, Told)>,
    /// It had nothing to do when it last looked.
    pub idle: bool,
    /// Changes whenever it does something, so that an alarm set before is known to be old.
    pub generation: u32,
}

impl Link {
    /// A connection that is coming up.
    pub fn new(
        place: usize,
        source: Arc<str>,
        from: Ipv4Addr,
        session: Option<SessionId>,
        greeting: Answer,
    ) -> Self {
        Self {
            place,
            source,
            from,
            session,
            greeting,
            carried: 0,
            offered: 0,
            carries: None,
            idle: false,
            generation: 0,
        }
    }
}

/// What came of a message. Masks have one bit for each recipient, as in [`Letter::waiting`].
#[derive(Debug, Default)]
pub struct Told {
    /// Taken.
    pub taken: u8,
    /// Refused in words.
    pub refused: Vec<(u8, Reply, Moment)>,
    /// Nothing was said: the connection broke, or it was not begun.
    pub gone: u8,
    /// The connection can go on.
    pub open: bool,
}

impl Told {
    /// Refused for all recipients alike, by a server that leaves.
    pub fn all_refused(letter: &Letter, reply: Reply, moment: Moment) -> Self {
        Self { refused: vec![(letter.waiting, reply, moment)], ..Self::default() }
    }

    /// Nobody was heard.
    pub fn all_gone(letter: &Letter) -> Self {
        Self { gone: letter.waiting, ..Self::default() }
    }

    /// Whether no recipient was judged: the connection ended before.
    pub fn untouched(&self) -> bool {
        self.taken == 0 && self.refused.iter().all(|(_, reply, _)| reply.code() == 421)
    }

    fn hear(&mut self, said: &Said, mask: u8, moment: Moment) -> bool {
        match said.answer {
            Answer::Yes => return true,
            Answer::No(reply) => {
                self.refused.push((mask, reply, moment));
                self.open &= reply.code() != 421;
            }
            Answer::Gone => {
                self.gone |= mask;
                self.open = false;
            }
        }
        false
    }
}

/// Offers a message to the recipients that wait. Returns what was said and how long it took.
pub fn transact(
    internet: &mut Internet,
    session: SessionId,
    letter: &Letter,
    now: Timestamp,
) -> (Told, Duration) {
    let mut told = Told { open: true, ..Told::default() };
    let said = internet.mail(session, letter.sender, now);
    let mut took = said.after;
    if !told.hear(&said, letter.waiting, Moment::Mail) {
        return (told, took);
    }
    let mut named = 0;
    for place in 0..8_u8 {
        let mask = letter.waiting & (1 << place);
        if mask == 0 {
            continue;
        }
        if !told.open {
            told.gone |= mask;
            continue;
        }
        let said = internet.rcpt(session, letter.first + u64::from(place), now.after(took));
        took += said.after;
        if told.hear(&said, mask, Moment::Rcpt) {
            named |= mask;
        }
    }
    if !told.open {
        told.gone |= named;
    } else if named != 0 {
        let said = internet.data(session, now.after(took));
        took += said.after;
        if told.hear(&said, named, Moment::Data) {
            told.taken = named;
        }
    }
    (told, took)
}
