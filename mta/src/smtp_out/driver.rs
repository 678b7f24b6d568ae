//! Moves octets between a server and what `opening` and `transaction` say; knows timeouts, decides nothing.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use prometheus::{Histogram, IntCounter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::message::{Failure, Message, Outcome, Recipient, Reply};
use crate::metrics::{self, Label, Labelled, Topic};
use crate::outside::BoxStream;

use super::Content;
use super::ear::{Ear, Said};
use super::opening::{Capabilities, Opening};
use super::reply_reader::ReplyReader;
use super::steps::Move;
use super::timeouts;
use super::transaction::Transaction;
use super::trouble::{self, Moment};

static TRANSACTION_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "Time of a transaction with a server, from MAIL to the last reply, whatever it said";
    let name = "tambo_transaction_seconds";
    metrics::histogram(Topic::Connections, name, help, &metrics::NETWORK_SECONDS)
});
static REPLIES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Replies of servers, by the first digit of their code";
    let classes = [("2", "done"), ("3", "go on (DATA, AUTH)"), ("4", "not now"), ("5", "no")];
    let class = Label::known("class", &classes);
    metrics::counters(Topic::Connections, "tambo_replies_total", help, vec![class])
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&TRANSACTION_SECONDS, &REPLIES]);
}

/// An open connection to a server.
pub struct Connection {
    wire: Wire,
    /// What the server offers.
    pub capabilities: Capabilities,
    /// Host that is spoken to.
    pub host: String,
    /// Its address.
    pub address: IpAddr,
    /// Protocol and cipher suite; `None` in clear.
    pub tls: Option<String>,
}

/// What came of a transaction.
#[derive(Debug)]
pub struct Transacted {
    /// One for each recipient, in their order.
    pub outcomes: Vec<Outcome>,
    /// The connection may carry the next message.
    pub usable: bool,
}

/// A stream with the replies that come over it.
pub(super) struct Wire {
    stream: BoxStream,
    input: BytesMut,
    reader: ReplyReader,
    ear: Option<Ear>,
}

impl Wire {
    pub(super) fn new(stream: BoxStream, ear: Option<Ear>) -> Self {
        let (input, reader) = (BytesMut::with_capacity(4096), ReplyReader::default());
        Self { stream, input, reader, ear }
    }

    pub(super) fn into_stream(self) -> BoxStream {
        self.stream
    }

    /// Goes through an opening until it wants TLS (`false`) or is done (`true`).
    pub(super) async fn open(
        &mut self,
        opening: &mut Opening,
        first: Option<Move>,
    ) -> Result<bool, Failure> {
        let mut step = first.unwrap_or(Move::Read);
        loop {
            match step {
                Move::Done => return Ok(true),
                // What is in the buffer was said in clear: it does not survive.
                Move::StartTls => {
                    self.input.clear();
                    return Ok(false);
                }
                Move::Send(pieces) => self.write(pieces, opening.moment()).await?,
                Move::Read => {}
            }
            let reply = self.reply(opening.moment()).await?;
            step = opening.reply(reply)?;
        }
    }

    async fn reply(&mut self, moment: Moment) -> Result<Reply, Failure> {
        self.reply_or(moment, moment).await
    }

    /// A reply; `lost` is what a lost connection interrupted, `late` what took too long.
    async fn reply_or(&mut self, lost: Moment, late: Moment) -> Result<Reply, Failure> {
        let limit = match late {
            Moment::Data => timeouts::DATA,
            Moment::Final => timeouts::FINAL,
            _ => timeouts::REPLY,
        };
        match tokio::time::timeout(limit, self.next_reply(lost)).await {
            Ok(reply) => reply,
            Err(_) => Err(trouble::timed_out(late)),
        }
    }

    async fn next_reply(&mut self, moment: Moment) -> Result<Reply, Failure> {
        loop {
            let found = self.reader.next(&mut self.input);
            if let Some(reply) = found.map_err(|garbage| trouble::garbage(moment, garbage))? {
                count(&reply);
                if let Some(ear) = &self.ear {
                    ear.hears(&Said::Reply(&reply));
                }
                return Ok(reply);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(trouble::lost(moment, &io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(trouble::lost(moment, &error)),
            }
        }
    }

    /// Sends pieces without copying them together. A server that closes in the middle may have
    /// said why: that counts for more than the broken connection.
    async fn write(&mut self, pieces: Vec<Bytes>, moment: Moment) -> Result<(), Failure> {
        if let Some(ear) = &self.ear {
            ear.hears_lines(&pieces, moment);
        }
        let mut pieces = Pieces(pieces.into());
        while pieces.has_remaining() {
            let written =
                tokio::time::timeout(timeouts::BLOCK, self.stream.write_buf(&mut pieces)).await;
            let error = match written {
                Ok(Ok(0)) => io::ErrorKind::WriteZero.into(),
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => error,
                Err(_) => return Err(trouble::timed_out(moment)),
            };
            return Err(
                match tokio::time::timeout(timeouts::QUIT, self.next_reply(moment)).await {
                    Ok(Ok(reply)) if !reply.is_positive() => trouble::refused(moment, reply),
                    _ => trouble::lost(moment, &error),
                },
            );
        }
        match tokio::time::timeout(timeouts::BLOCK, self.stream.flush()).await {
            Ok(flushed) => flushed.map_err(|error| trouble::lost(moment, &error)),
            Err(_) => Err(trouble::timed_out(moment)),
        }
    }
}

impl Connection {
    pub(super) fn new(
        wire: Wire,
        capabilities: Capabilities,
        (host, address): (String, IpAddr),
        tls: Option<String>,
    ) -> Self {
        Self { wire, capabilities, host, address, tls }
    }

    /// Another hears from now on what is said, or nobody.
    pub fn listen(&mut self, ear: Option<Ear>) {
        self.wire.ear = ear;
    }

    /// One transaction: the message to these recipients.
    pub async fn deliver(
        &mut self,
        message: &Message,
        content: &Content,
        recipients: &[&Recipient],
    ) -> Transacted {
        let made = Transaction::new(message, content, recipients, &self.capabilities);
        let mut transaction = match made {
            Ok(transaction) => transaction,
            Err(failure) => {
                let outcomes = vec![Outcome::Failed(failure); recipients.len()];
                return Transacted { outcomes, usable: true };
            }
        };
        let begun = Instant::now();
        match self.transact(&mut transaction).await {
            Ok(()) => {
                TRANSACTION_SECONDS.observe(begun.elapsed().as_secs_f64());
                Transacted { outcomes: transaction.finish(), usable: true }
            }
            Err(failure) => Transacted { outcomes: transaction.broken(&failure), usable: false },
        }
    }

    async fn transact(&mut self, transaction: &mut Transaction) -> Result<(), Failure> {
        let mut step = transaction.start();
        loop {
            match step {
                Move::Done => return Ok(()),
                Move::Send(pieces) => {
                    let moment = if transaction.content_sent() {
                        Moment::Body
                    } else {
                        transaction.moment()
                    };
                    self.wire.write(pieces, moment).await?;
                }
                Move::Read | Move::StartTls => {}
            }
            // A message that went out with its envelope (BDAT) may be taken whatever reply was being
            // waited for. Only a connection that ends before any of them was gone before.
            let (lost, late) = match (transaction.content_sent(), transaction.moment()) {
                (true, Moment::Mail) => (Moment::Mail, Moment::Final),
                (true, _) => (Moment::Final, Moment::Final),
                (false, moment) => (moment, moment),
            };
            let reply = self.wire.reply_or(lost, late).await?;
            step = transaction.reply(reply)?;
        }
    }

    /// Asks whether a mail from `sender` to `recipient` would be taken; nothing is sent.
    pub async fn ask(&mut self, sender: &str, recipient: &str) -> Result<(), Failure> {
        let lines = [
            (Moment::Mail, format!("MAIL FROM:<{sender}>\r\n")),
            (Moment::Rcpt, format!("RCPT TO:<{recipient}>\r\n")),
            (Moment::Reset, "RSET\r\n".to_owned()),
        ];
        for (moment, line) in lines {
            self.wire.write(vec![line.into()], moment).await?;
            let reply = self.wire.reply(moment).await?;
            if !reply.is_positive() {
                return Err(trouble::refused(moment, reply));
            }
        }
        Ok(())
    }

    /// Waits until the server closes or says something unasked, or the time is over. An idle
    /// connection on which anything happens is of no more use.
    pub async fn watch(&mut self, limit: Duration) {
        let mut octet = [0; 1];
        // Whatever it is, the connection ends.
        let _ = tokio::time::timeout(limit, self.wire.stream.read(&mut octet)).await;
    }

    /// Says goodbye.
    pub async fn quit(mut self) {
        let said = self.wire.write(vec![Bytes::from_static(b"QUIT\r\n")], Moment::Final);
        if matches!(tokio::time::timeout(timeouts::QUIT, said).await, Ok(Ok(()))) {
            // Its answer and its leaving are awaited so that it, not we, keeps the socket in TIME_WAIT.
            let reply = self.wire.reply(Moment::Final);
            let _ = tokio::time::timeout(timeouts::QUIT, reply).await;
        }
        let _ = tokio::time::timeout(timeouts::QUIT, self.wire.stream.shutdown()).await;
    }
}

fn count(reply: &Reply) {
    let class = match reply.code {
        200..300 => "2",
        300..400 => "3",
        400..500 => "4",
        _ => "5",
    };
    REPLIES.count(&[class]);
}

/// Pieces of octets, written together.
struct Pieces(VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn has_remaining(&self) -> bool {
        self.0.iter().any(|piece| !piece.is_empty())
    }

    fn chunk(&self) -> &[u8] {
        self.0.iter().find(|piece| !piece.is_empty()).map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.0.iter().filter(|piece| !piece.is_empty());
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.0.front_mut() {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Address, RecipientParameters, RecipientState, Scope, examples};

    #[test]
    fn pieces_are_one_buffer() {
        let mut pieces = Pieces(["ab", "", "cde"].map(Bytes::from_static_str).into());
        assert_eq!((pieces.remaining(), pieces.chunk()), (5, &b"ab"[..]));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(pieces.chunks_vectored(&mut slices), 2);
        pieces.advance(3);
        assert_eq!((pieces.remaining(), pieces.chunk()), (2, &b"de"[..]));
        pieces.advance(2);
        assert!(!pieces.has_remaining());
    }

    /// What a server that says this, and then nothing (or closes), makes of a small message by BDAT.
    async fn delivered_to(says: &str, closes: bool) -> Failure {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let capabilities =
            Capabilities { pipelining: true, chunking: true, ..Capabilities::default() };
        let wire = Wire::new(Box::new(ours), None);
        let mut connection =
            Connection::new(wire, capabilities, ("mx".to_owned(), [192, 0, 2, 1].into()), None);
        theirs.write_all(says.as_bytes()).await.unwrap();
        let kept = if closes {
            theirs.shutdown().await.unwrap();
            None
        } else {
            Some(theirs)
        };
        let message = examples::message();
        let content = Content::new(&message, None, &[Bytes::from("\r\nx\r\n")]);
        let recipient = Recipient {
            address: Address::parse("a@x.pe").unwrap(),
            parameters: RecipientParameters::default(),
            state: RecipientState::Queued,
            personal: None,
        };
        let transacted = connection.deliver(&message, &content, &[&recipient]).await;
        drop(kept);
        match &transacted.outcomes[..] {
            [Outcome::Failed(failure)] => failure.clone(),
            other => unreachable!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_out_with_its_envelope_may_have_been_taken() {
        for (says, closes, may_be_taken) in [
            ("", true, false),
            ("", false, true),
            ("250 ok\r\n", true, true),
            ("250 ok\r\n", false, true),
            ("250 ok\r\n250 ok\r\n", false, true),
        ] {
            let failure = delivered_to(says, closes).await;
            let duplicate = failure.cause.contains("duplicate");
            assert_eq!(duplicate, may_be_taken, "{says:?} {closes} {failure:?}");
            let scope = if may_be_taken { Scope::Message } else { Scope::Session };
            assert_eq!(failure.scope, scope, "{says:?} {closes}");
        }
    }

    trait FromStaticStr {
        fn from_static_str(text: &'static str) -> Self;
    }

    impl FromStaticStr for Bytes {
        fn from_static_str(text: &'static str) -> Self {
            Bytes::from_static(text.as_bytes())
        }
    }
}
