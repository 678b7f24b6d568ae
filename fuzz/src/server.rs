//! A server that says what the input holds: it answers each group of commands with the next of its answers, cut
//! anywhere, and closes when it has none. And the conversation with it, as `smtp_out/driver.rs` has it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use mta::message::{Failure, Fault, Message, Outcome, Recipient, Reply, Retry, Scope};
use mta::smtp_out::Content;
use mta::smtp_out::opening::{Opening, TlsWish};
use mta::smtp_out::reply_reader::ReplyReader;
use mta::smtp_out::steps::Move;
use mta::smtp_out::transaction::Transaction;

use crate::cut::Cut;

/// What both sides have said, before a handshake and after it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Talk {
    /// By the relay.
    pub relay: [Vec<u8>; 2],
    /// By the server, as far as it was read.
    pub server: [Vec<u8>; 2],
}

/// A connection to the server.
pub struct Conversation {
    answers: VecDeque<Vec<u8>>,
    /// Of the answer that is being given.
    pieces: VecDeque<Vec<u8>>,
    cut: Cut,
    /// The relay has spoken since the last answer.
    asked: bool,
    encrypted: bool,
    reader: ReplyReader,
    input: BytesMut,
    talk: Talk,
}

impl Conversation {
    /// The server greets with the first answer.
    pub fn new(answers: &[&[u8]], cut: Cut) -> Self {
        Self {
            answers: answers.iter().map(|answer| answer.to_vec()).collect(),
            pieces: VecDeque::new(),
            cut,
            asked: true,
            encrypted: false,
            reader: ReplyReader::default(),
            input: BytesMut::new(),
            talk: Talk::default(),
        }
    }

    /// Everything that was said.
    pub fn talk(self) -> Talk {
        self.talk
    }

    /// From the greeting to what became of each recipient, and whether the connection is of more use.
    pub fn run(
        &mut self,
        (wish, login): (TlsWish, Option<(String, String)>),
        (message, content, recipients): (&Message, &Content, &[&Recipient]),
    ) -> Result<(Vec<Outcome>, bool), Failure> {
        let mut opening = Opening::new("relay.example.pe", wish, login);
        if !self.open(&mut opening, Move::Read)? {
            self.encrypted = true;
            self.pieces.clear();
            self.reader = ReplyReader::default();
            let first = opening.tls_started();
            self.open(&mut opening, first)?;
        }
        let made = Transaction::new(message, content, recipients, &opening.capabilities);
        let mut transaction = match made {
            Ok(transaction) => transaction,
            Err(failure) => return Ok((vec![Outcome::Failed(failure); recipients.len()], true)),
        };
        match self.transact(&mut transaction) {
            Ok(()) => Ok((transaction.finish(), true)),
            Err(failure) => Ok((transaction.broken(&failure), false)),
        }
    }

    /// Until TLS is wanted (`false`) or mail may be sent.
    fn open(&mut self, opening: &mut Opening, first: Move) -> Result<bool, Failure> {
        let mut step = first;
        loop {
            match step {
                Move::Done => return Ok(true),
                Move::StartTls => {
                    self.input.clear();
                    return Ok(false);
                }
                Move::Send(pieces) => self.write(&pieces),
                Move::Read => {}
            }
            step = opening.reply(self.reply()?)?;
        }
    }

    fn transact(&mut self, transaction: &mut Transaction) -> Result<(), Failure> {
        let mut step = transaction.start();
        loop {
            match step {
                Move::Done => return Ok(()),
                Move::Send(pieces) => self.write(&pieces),
                Move::Read | Move::StartTls => {}
            }
            step = transaction.reply(self.reply()?)?;
        }
    }

    fn write(&mut self, pieces: &[Bytes]) {
        self.asked = true;
        self.talk.relay[usize::from(self.encrypted)].extend(pieces.concat());
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        loop {
            match self.reader.next(&mut self.input) {
                Err(garbage) => return Err(broken(format!("{garbage:?}"))),
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => self.read()?,
            }
        }
    }

    fn read(&mut self) -> Result<(), Failure> {
        if self.pieces.is_empty()
            && std::mem::take(&mut self.asked)
            && let Some(answer) = self.answers.pop_front()
        {
            self.pieces = self.cut.pieces(&answer).into_iter().map(<[u8]>::to_vec).collect();
        }
        let piece = self.pieces.pop_front().ok_or_else(|| broken("closed".to_owned()))?;
        self.input.extend_from_slice(&piece);
        self.talk.server[usize::from(self.encrypted)].extend(piece);
        Ok(())
    }
}

fn broken(cause: String) -> Failure {
    Failure {
        scope: Scope::Session,
        fault: Fault::Peer,
        retry: Retry::NextHost,
        reply: Reply::from_lines(451, std::iter::once("4.4.2 the connection broke")),
        phase: None,
        cause,
    }
}
