//! BDAT (RFC 3030): a message in pieces of announced size, without dots and without 354.
//!
//! The octets of a piece follow its command whatever the answer, so those of a piece that is not
//! wanted are read and thrown away: they are never taken for commands.

use bytes::{Buf, BytesMut};

use crate::message::Reply;

use super::super::incoming::Incoming;
use super::super::replies::reply;
use super::{Session, State, Step, Waiting};

impl Session {
    pub(super) fn bdat(&mut self, size: u64, last: bool) -> Option<Step> {
        let problem = match &self.transaction {
            None => Some(reply(503, (5, 5, 1), "Start with MAIL")),
            Some(transaction) if transaction.recipients.is_empty() => {
                Some(reply(554, (5, 5, 1), "No valid recipients"))
            }
            Some(_) => None,
        };
        if let Some(then) = problem {
            self.state = State::Skip { left: size, then };
            return None;
        }
        let transaction = self.transaction.as_mut()?;
        if let Some(mut incoming) = transaction.arriving.take() {
            incoming.start_chunk(size, last);
            self.state = State::Data(incoming);
            return None;
        }
        let announced = transaction.parameters.size.or(last.then_some(size));
        self.state = State::Waiting(Waiting::RoomForChunk { size, last });
        Some(Step::Reserve(Incoming::first_reservation(announced)))
    }

    /// A piece is whole and is not the last.
    pub(super) fn chunk_done(&mut self, incoming: Box<Incoming>) -> Option<Step> {
        if let Some(refusal) = incoming.refusal().cloned() {
            return self.refuse(&incoming, &refusal);
        }
        self.state = State::Command;
        if let Some(transaction) = &mut self.transaction {
            transaction.arriving = Some(incoming);
        }
        self.say(&reply(250, (2, 0, 0), "Ok, go on"));
        None
    }

    /// Throws octets away until the piece is over, then says why.
    pub(super) fn skip(&mut self, left: u64, then: Reply, input: &mut BytesMut) -> Option<Step> {
        let here = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        input.advance(here);
        let left = left - here as u64;
        if left > 0 {
            self.state = State::Skip { left, then };
            return Some(Step::Read);
        }
        self.state = State::Command;
        self.refused(&then);
        None
    }

    /// Whether pieces of a message have come: only BDAT, RSET and the end of the session may follow.
    pub(super) fn is_arriving(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.arriving.is_some())
    }

    /// The transaction is over without a message; what was stored of one goes.
    pub(super) fn forget_transaction(&mut self) {
        if let Some(incoming) = self.transaction.take().and_then(|it| it.arriving) {
            self.discard = incoming.discard();
        }
    }
}
