//! One transaction: what we say to a server and what its replies lead to. Pure: replies in, moves out.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bytes::Bytes;

use crate::message::{
    Address, BodyType, Failure, Message, Outcome, Priority, Recipient, Reply, encode_xtext,
};
use crate::smtp::stuffed;

use super::Content;
use super::opening::Capabilities;
use super::steps::Move;
use super::trouble::{self, Moment};

/// Octets of a message that go out together with its envelope by BDAT, before it is known whether
/// anybody there is taken: that saves a round trip, and so much is lost when nobody is.
const TOGETHER_OCTETS_MAX: u64 = 32 * 1024;

/// One message to some recipients.
#[derive(Debug)]
pub struct Transaction {
    /// What is to be said, in order.
    script: VecDeque<(Moment, Vec<Bytes>)>,
    /// Commands that were sent and not answered.
    expected: VecDeque<Moment>,
    pipelining: bool,
    /// The message goes by BDAT, within the script.
    chunked: bool,
    /// What goes out when DATA is answered.
    content: Vec<Bytes>,
    outcomes: Vec<Option<Outcome>>,
    /// Places of the recipients that are told to the server and not answered yet.
    asked: VecDeque<usize>,
    mail_failed: bool,
    content_sent: bool,
}

impl Transaction {
    /// Refuses at once what the server cannot take.
    pub fn new(
        message: &Message,
        content: &Content,
        recipients: &[&Recipient],
        capabilities: &Capabilities,
    ) -> Result<Self, Failure> {
        let size = content.size;
        if let Some(size_max) = capabilities.size_max.filter(|size_max| size > *size_max) {
            return Err(trouble::too_big(size, size_max));
        }
        if content.body_type == BodyType::EightBit && !capabilities.eight_bit {
            return Err(trouble::not_eight_bit());
        }
        if needs_utf8(message) && !capabilities.utf8 {
            return Err(trouble::not_utf8());
        }
        let mut transaction = Self {
            script: VecDeque::with_capacity(recipients.len() + 2),
            expected: VecDeque::new(),
            pipelining: capabilities.pipelining,
            chunked: capabilities.chunking,
            content: Vec::new(),
            outcomes: vec![None; recipients.len()],
            asked: VecDeque::with_capacity(recipients.len()),
            mail_failed: false,
            content_sent: false,
        };
        for (place, recipient) in recipients.iter().enumerate() {
            if recipient.address.needs_utf8() && !capabilities.utf8 {
                let refused = Outcome::Failed(trouble::not_utf8());
                if let Some(outcome) = transaction.outcomes.get_mut(place) {
                    *outcome = Some(refused);
                }
            } else {
                transaction.asked.push_back(place);
            }
        }
        transaction.write_script(message, content, recipients, capabilities);
        Ok(transaction)
    }

    fn write_script(
        &mut self,
        message: &Message,
        content: &Content,
        recipients: &[&Recipient],
        capabilities: &Capabilities,
    ) {
        let asked: Vec<&Recipient> =
            self.asked.iter().filter_map(|place| recipients.get(*place).copied()).collect();
        let line = |text: String| vec![Bytes::from(text + "\r\n")];
        let utf8 = needs_utf8(message) || asked.iter().any(|it| it.address.needs_utf8());
        self.script
            .push_back((Moment::Mail, line(mail_command(message, content, utf8, capabilities))));
        for recipient in asked {
            self.script.push_back((Moment::Rcpt, line(rcpt_command(recipient, capabilities))));
        }
        if self.chunked {
            let mut pieces = line(format!("BDAT {} LAST", content.size));
            pieces.extend_from_slice(&content.pieces);
            let moment =
                if content.size <= TOGETHER_OCTETS_MAX { Moment::Final } else { Moment::Body };
            self.script.push_back((moment, pieces));
            return;
        }
        self.script.push_back((Moment::Data, line("DATA".to_owned())));
        if content.leading_dots {
            self.content = stuffed(&content.pieces);
        } else {
            self.content.clone_from(&content.pieces);
        }
        self.content.push(Bytes::from_static(b".\r\n"));
    }

    /// The first octets: all commands at once where the server allows it. Nobody is left to ask
    /// for when the server cannot be told any of the addresses.
    pub fn start(&mut self) -> Move {
        if self.asked.is_empty() {
            return Move::Done;
        }
        self.send_commands()
    }

    /// What the next reply is about.
    pub fn moment(&self) -> Moment {
        self.expected.front().copied().unwrap_or(Moment::Final)
    }

    /// A reply came.
    pub fn reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        let moment = self.expected.pop_front().unwrap_or(Moment::Final);
        if reply.code == 421 {
            return Err(trouble::refused(moment, reply));
        }
        match moment {
            Moment::Mail => self.mail_reply(reply)?,
            Moment::Rcpt => self.rcpt_reply(reply)?,
            Moment::Data => return self.data_reply(reply),
            Moment::Reset => return Ok(Move::Done),
            _ => return self.final_reply(reply),
        }
        if !self.expected.is_empty() {
            return Ok(Move::Read);
        }
        if self.taken() == 0 && (self.mail_failed || self.asked.is_empty()) {
            // Nobody is left to send to.
            return Ok(self.reset());
        }
        Ok(self.send_commands())
    }

    /// The connection failed: what had no outcome yet has this one.
    pub fn broken(mut self, failure: &Failure) -> Vec<Outcome> {
        self.fail_rest(failure);
        self.finish()
    }

    /// What became of each recipient.
    pub fn finish(self) -> Vec<Outcome> {
        let missing = || Outcome::Failed(trouble::timed_out(Moment::Final));
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }

    /// The message itself has gone out, so a lost connection may mean a duplicate.
    pub fn content_sent(&self) -> bool {
        self.content_sent
    }

    /// Makes room for the next message: servers keep a transaction that did not get to its end.
    fn reset(&mut self) -> Move {
        self.script.clear();
        self.expected.push_back(Moment::Reset);
        Move::Send(vec![Bytes::from_static(b"RSET\r\n")])
    }

    /// All that may go out now: up to a message that waits for the answers about its envelope.
    fn send_commands(&mut self) -> Move {
        let mut pieces: Vec<Bytes> = Vec::new();
        while let Some((moment, command)) = self.script.pop_front() {
            if moment == Moment::Body && !pieces.is_empty() {
                self.script.push_front((moment, command));
                break;
            }
            let is_content = matches!(moment, Moment::Body | Moment::Final);
            self.content_sent |= is_content;
            self.expected.push_back(if is_content { Moment::Final } else { moment });
            pieces.extend(command);
            if !self.pipelining {
                break;
            }
        }
        Move::Send(joined(pieces))
    }

    fn mail_reply(&mut self, reply: Reply) -> Result<(), Failure> {
        match reply.code {
            200..=299 => Ok(()),
            400.. => {
                self.mail_failed = true;
                self.fail_rest(&trouble::refused(Moment::Mail, reply));
                Ok(())
            }
            _ => Err(trouble::unexpected(Moment::Mail, &reply)),
        }
    }

    fn rcpt_reply(&mut self, reply: Reply) -> Result<(), Failure> {
        let Some(outcome) = self.asked.pop_front().and_then(|place| self.outcomes.get_mut(place))
        else {
            return Ok(());
        };
        match reply.code {
            _ if self.mail_failed => Ok(()),
            200..=299 => Ok(()),
            400.. => {
                *outcome = Some(Outcome::Failed(trouble::refused(Moment::Rcpt, reply)));
                Ok(())
            }
            _ => Err(trouble::unexpected(Moment::Rcpt, &reply)),
        }
    }

    fn data_reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        match reply.code {
            354 => {
                self.content_sent = true;
                self.expected.push_back(Moment::Final);
                // It asks for a message although it refused everybody: an empty one ends that
                // (RFC 2920 section 3.1), and whatever it answers counts for nobody.
                let nothing = || vec![Bytes::from_static(b".\r\n")];
                let content =
                    if self.taken() == 0 { nothing() } else { std::mem::take(&mut self.content) };
                Ok(Move::Send(content))
            }
            400.. => {
                self.fail_rest(&trouble::refused(Moment::Data, reply));
                Ok(self.reset())
            }
            _ => Err(trouble::unexpected(Moment::Data, &reply)),
        }
    }

    fn final_reply(&mut self, reply: Reply) -> Result<Move, Failure> {
        match reply.code {
            200..=299 => {
                for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                    *outcome = Some(Outcome::Delivered(reply.clone()));
                }
                Ok(Move::Done)
            }
            400.. => {
                self.fail_rest(&trouble::refused(Moment::Final, reply));
                // After a BDAT that failed only RSET may follow (RFC 3030 section 3).
                Ok(if self.chunked { self.reset() } else { Move::Done })
            }
            _ => Err(trouble::unexpected(Moment::Final, &reply)),
        }
    }

    /// Recipients that the server has not refused.
    fn taken(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_none()).count()
    }

    fn fail_rest(&mut self, failure: &Failure) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Outcome::Failed(failure.clone()));
        }
    }
}

/// Whatever its recipients are, the message can only go to a server that offers SMTPUTF8.
fn needs_utf8(message: &Message) -> bool {
    message.utf8_headers || message.sender.0.as_ref().is_some_and(Address::needs_utf8)
}

fn mail_command(
    message: &Message,
    content: &Content,
    utf8: bool,
    capabilities: &Capabilities,
) -> String {
    let mut command = format!("MAIL FROM:<{}>", message.sender);
    if capabilities.size {
        let _ = write!(command, " SIZE={}", content.size);
    }
    if content.body_type == BodyType::EightBit {
        command.push_str(" BODY=8BITMIME");
    }
    if utf8 {
        command.push_str(" SMTPUTF8");
    }
    if capabilities.dsn {
        if let Some(returns) = message.returns {
            let _ = write!(command, " RET={}", returns.as_parameter());
        }
        if let Some(id) = &message.envelope_id {
            let _ = write!(command, " ENVID={}", encode_xtext(id));
        }
    }
    if capabilities.priorities && message.priority != Priority::default() {
        let _ = write!(command, " MT-PRIORITY={}", message.priority.value());
    }
    command
}

fn rcpt_command(recipient: &Recipient, capabilities: &Capabilities) -> String {
    let mut command = format!("RCPT TO:<{}>", recipient.address);
    if capabilities.dsn {
        if let Some(notify) = recipient.parameters.notify {
            let _ = write!(command, " NOTIFY={}", notify.as_parameter());
        }
        if let Some(original) = &recipient.parameters.original {
            let _ = write!(command, " ORCPT={}", original.as_parameter());
        }
    }
    command
}

/// Short pieces at the front joined, so that a group of commands is one buffer.
fn joined(pieces: Vec<Bytes>) -> Vec<Bytes> {
    let commands = pieces.iter().take_while(|piece| piece.len() <= COMMAND_OCTETS_MAX).count();
    if commands < 2 {
        return pieces;
    }
    let mut out = vec![Bytes::from(pieces[..commands].concat())];
    out.extend_from_slice(&pieces[commands..]);
    out
}

/// A command with all its parameters is not longer.
const COMMAND_OCTETS_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::super::steps::testing::{reply, sent};
    use super::*;
    use crate::message::{
        Notify, OriginalRecipient, RecipientParameters, RecipientState, ReturnContent, ReversePath,
        examples,
    };

    fn message(body_type: BodyType) -> Message {
        let sender = ReversePath::NULL;
        Message { sender, leading_dots: true, body_type, ..examples::message() }
    }

    fn recipients(addresses: &[&str]) -> Vec<Recipient> {
        let recipient = |text: &&str| Recipient {
            address: Address::parse(text).unwrap(),
            parameters: RecipientParameters::default(),
            state: RecipientState::Queued,
            personal: None,
        };
        addresses.iter().map(recipient).collect()
    }

    fn begin(
        message: &Message,
        body: &'static str,
        recipients: &[Recipient],
        capabilities: &Capabilities,
    ) -> Result<Transaction, Failure> {
        let content = Content::new(message, None, &[Bytes::from(body)]);
        let recipients: Vec<&Recipient> = recipients.iter().collect();
        Transaction::new(message, &content, &recipients, capabilities)
    }

    fn transaction(pipelining: bool, to: &[&str]) -> Transaction {
        let capabilities = Capabilities { pipelining, size: true, ..Capabilities::default() };
        let message = message(BodyType::SevenBit);
        begin(&message, "\r\n.a\r\n", &recipients(to), &capabilities).unwrap()
    }

    fn codes(outcomes: Vec<Outcome>) -> String {
        outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Delivered(reply) => reply.code.to_string(),
                Outcome::Failed(failure) => failure.reply.code.to_string(),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn everything_in_one_write_where_allowed() {
        let mut one = transaction(true, &["a@x.pe", "b@x.pe"]);
        let all = "MAIL FROM:<> SIZE=19\r\nRCPT TO:<a@x.pe>\r\nRCPT TO:<b@x.pe>\r\nDATA\r\n";
        assert_eq!(sent(Ok(one.start())), all);
        assert_eq!(sent(one.reply(reply("250 ok"))), "Read");
        assert_eq!(sent(one.reply(reply("550 5.1.1 no"))), "Read");
        assert_eq!(sent(one.reply(reply("250 ok"))), "Read");
        assert_eq!(sent(one.reply(reply("354 go"))), "Received: x\r\n\r\n..a\r\n.\r\n");
        assert_eq!(sent(one.reply(reply("250 taken"))), "Done");
        assert_eq!(codes(one.finish()), "550 250");
    }

    #[test]
    fn one_by_one_elsewhere() {
        let mut one = transaction(false, &["a@x.pe", "b@x.pe"]);
        assert_eq!(sent(Ok(one.start())), "MAIL FROM:<> SIZE=19\r\n");
        assert_eq!(sent(one.reply(reply("250 ok"))), "RCPT TO:<a@x.pe>\r\n");
        assert_eq!(sent(one.reply(reply("450 4.2.0 later"))), "RCPT TO:<b@x.pe>\r\n");
        assert_eq!(sent(one.reply(reply("450 4.2.0 later"))), "RSET\r\n");
        assert_eq!(sent(one.reply(reply("250 ok"))), "Done");
        assert_eq!(codes(one.finish()), "450 450");
        let mut refused = transaction(false, &["a@x.pe"]);
        refused.start();
        assert_eq!(sent(refused.reply(reply("550 5.7.1 you"))), "RSET\r\n");
        assert_eq!(sent(refused.reply(reply("250 ok"))), "Done");
        assert_eq!(codes(refused.finish()), "550");
    }

    #[test]
    fn a_server_that_refuses_all_and_asks_for_the_message_gets_an_empty_one() {
        let mut one = transaction(true, &["a@x.pe"]);
        one.start();
        let _ = one.reply(reply("550 5.7.1 sender"));
        let _ = one.reply(reply("503 5.5.1 mail first"));
        assert_eq!(sent(one.reply(reply("354 go"))), ".\r\n");
        assert_eq!(sent(one.reply(reply("250 odd"))), "Done");
        assert_eq!(codes(one.finish()), "550");
    }

    #[test]
    fn what_breaks_in_the_middle() {
        let mut one = transaction(true, &["a@x.pe", "b@x.pe"]);
        one.start();
        let _ = one.reply(reply("250 ok"));
        let _ = one.reply(reply("550 5.1.1 no"));
        let failure = one.reply(reply("421 4.3.2 bye")).unwrap_err();
        assert_eq!(codes(one.broken(&failure)), "550 421");
    }

    #[test]
    fn what_a_server_cannot_take_is_not_sent() {
        let to = recipients(&["a@x.pe"]);
        let check = |message: &Message, capabilities: Capabilities, expected: &str| {
            let refused = begin(message, "\r\n", &to, &capabilities).unwrap_err();
            assert_eq!(refused.reply.enhanced.unwrap().to_string(), expected);
        };
        let none = Capabilities::default;
        let small = Capabilities { size: true, size_max: Some(10), ..none() };
        check(&message(BodyType::SevenBit), small, "5.3.4");
        check(&message(BodyType::EightBit), none(), "5.6.3");
        let utf8_headers = Message { utf8_headers: true, ..message(BodyType::SevenBit) };
        check(&utf8_headers, none(), "5.6.7");
        let sender = ReversePath(Some(Address::parse("ñu@x.pe").unwrap()));
        check(&Message { sender, ..message(BodyType::SevenBit) }, none(), "5.6.7");
    }

    #[test]
    fn an_address_beyond_ascii_fails_alone_where_it_cannot_be_told() {
        let to = recipients(&["ñu@x.pe", "b@x.pe"]);
        let message = message(BodyType::SevenBit);
        let all = |utf8| Capabilities { pipelining: true, utf8, ..Capabilities::default() };
        let mut old = begin(&message, "\r\n", &to, &all(false)).unwrap();
        assert_eq!(sent(Ok(old.start())), "MAIL FROM:<>\r\nRCPT TO:<b@x.pe>\r\nDATA\r\n");
        for text in ["250 ok", "250 ok", "354 go", "250 taken"] {
            let _ = old.reply(reply(text)).unwrap();
        }
        assert_eq!(codes(old.finish()), "550 250");
        let mut new = begin(&message, "\r\n", &to, &all(true)).unwrap();
        assert_eq!(
            sent(Ok(new.start())),
            "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<ñu@x.pe>\r\nRCPT TO:<b@x.pe>\r\nDATA\r\n"
        );
        let mut nobody = begin(&message, "\r\n", &to[..1], &all(false)).unwrap();
        assert_eq!(sent(Ok(nobody.start())), "Done");
        assert_eq!(codes(nobody.finish()), "550");
    }

    #[test]
    fn what_senders_ask_is_passed_on_to_those_who_understand() {
        let message = Message {
            returns: Some(ReturnContent::Headers),
            envelope_id: Some("a=1".to_owned()),
            priority: Priority::new(-2),
            ..message(BodyType::SevenBit)
        };
        let mut to = recipients(&["a@x.pe", "b@x.pe"]);
        to[0].parameters = RecipientParameters {
            notify: Notify::parse("NEVER"),
            original: OriginalRecipient::parse("rfc822;z@x.pe"),
        };
        let capabilities = Capabilities {
            pipelining: true,
            dsn: true,
            priorities: true,
            ..Capabilities::default()
        };
        let mut one = begin(&message, "\r\n", &to, &capabilities).unwrap();
        assert_eq!(
            sent(Ok(one.start())),
            "MAIL FROM:<> RET=HDRS ENVID=a+3D1 MT-PRIORITY=-2\r\n\
             RCPT TO:<a@x.pe> NOTIFY=NEVER ORCPT=rfc822;z@x.pe\r\nRCPT TO:<b@x.pe>\r\nDATA\r\n"
        );
        let plain = Capabilities { pipelining: true, ..Capabilities::default() };
        let mut one = begin(&message, "\r\n", &to, &plain).unwrap();
        assert_eq!(
            sent(Ok(one.start())),
            "MAIL FROM:<>\r\nRCPT TO:<a@x.pe>\r\nRCPT TO:<b@x.pe>\r\nDATA\r\n"
        );
    }

    #[test]
    fn chunks_go_out_with_the_envelope_when_they_are_small() {
        let message = message(BodyType::SevenBit);
        let capabilities =
            Capabilities { pipelining: true, chunking: true, ..Capabilities::default() };
        let to = recipients(&["a@x.pe", "b@x.pe"]);
        let mut one = begin(&message, "\r\n.a\r\n", &to, &capabilities).unwrap();
        assert_eq!(
            sent(Ok(one.start())),
            "MAIL FROM:<>\r\nRCPT TO:<a@x.pe>\r\nRCPT TO:<b@x.pe>\r\n\
             BDAT 19 LAST\r\nReceived: x\r\n\r\n.a\r\n"
        );
        assert!(one.content_sent());
        for (text, expected) in [
            ("250 ok", "Read"),
            ("550 5.1.1 no", "Read"),
            ("250 ok", "Read"),
            ("250 taken", "Done"),
        ] {
            assert_eq!(sent(one.reply(reply(text))), expected);
        }
        assert_eq!(codes(one.finish()), "550 250");

        let mut nobody = begin(&message, "\r\n", &to[..1], &capabilities).unwrap();
        nobody.start();
        for text in ["250 ok", "550 5.1.1 no"] {
            assert_eq!(sent(nobody.reply(reply(text))), "Read");
        }
        assert_eq!(sent(nobody.reply(reply("503 5.5.1 nobody to send to"))), "RSET\r\n");
        assert_eq!(sent(nobody.reply(reply("250 ok"))), "Done");
        assert_eq!(codes(nobody.finish()), "550");
    }

    #[test]
    fn large_chunks_wait_for_the_answers_about_the_envelope() {
        let message = message(BodyType::SevenBit);
        let body: &'static str = Box::leak("x\r\n".repeat(20_000).into_boxed_str());
        let capabilities =
            Capabilities { pipelining: true, chunking: true, ..Capabilities::default() };
        let to = recipients(&["a@x.pe"]);
        let mut one = begin(&message, body, &to, &capabilities).unwrap();
        assert_eq!(sent(Ok(one.start())), "MAIL FROM:<>\r\nRCPT TO:<a@x.pe>\r\n");
        assert!(!one.content_sent());
        let _ = one.reply(reply("250 ok"));
        assert!(sent(one.reply(reply("250 ok"))).starts_with("BDAT 60013 LAST\r\nReceived"));
        assert_eq!(sent(one.reply(reply("452 4.3.1 full"))), "RSET\r\n");
        assert_eq!(sent(one.reply(reply("250 ok"))), "Done");
        assert_eq!(codes(one.finish()), "452");
        let mut refused = begin(&message, body, &to, &capabilities).unwrap();
        refused.start();
        let _ = refused.reply(reply("250 ok"));
        assert_eq!(sent(refused.reply(reply("550 5.1.1 no"))), "RSET\r\n");
    }
}
