//! MAIL, RCPT and DATA: one message of a session.

use bytes::BytesMut;

use crate::message::{
    AddressError, BodyType, Priority, RecipientParameters, Reply, ReversePath, Submission,
    Timestamp,
};
use crate::metrics::limit_hit;
use crate::policy::{self, Grant};
use crate::smtp::{CommandError, MailParameters, Path, Received};

use super::super::incoming::{Incoming, Move};
use super::super::replies::{self, reply};
use super::{Rejection, Session, State, Step, Transaction, Waiting, count};

/// Only who may use our headers may go before others (RFC 6710 section 4.1 lets a server decide);
/// anybody may stand back. Whether that changed what was asked for.
fn lower_priority(parameters: &mut MailParameters, grant: Option<&Grant>) -> bool {
    let normal = Priority::default();
    let too_high = parameters.priority.is_some_and(|asked| asked > normal)
        && !grant.is_some_and(|grant| grant.allow_headers);
    if too_high {
        parameters.priority = Some(normal);
    }
    too_high
}

/// Refusals of one session that become events; more say nothing new.
const REJECTIONS_MAX: usize = 100;

impl Session {
    pub(super) fn mail(&mut self, path: Path, mut parameters: MailParameters, now: Timestamp) {
        let listener = &self.setup.listener;
        if self.helo.is_none() {
            return self.say(&reply(503, (5, 5, 1), "Start with EHLO"));
        }
        if self.transaction.is_some() {
            return self.say(&reply(
                503,
                (5, 5, 1),
                "A message is being sent already; RSET gives it up",
            ));
        }
        if self.messages >= listener.limits.messages_per_connection {
            limit_hit("messages_per_connection");
            self.state = State::Closed;
            return self.say(&reply(
                421,
                (4, 7, 0),
                "Enough messages in this session; connect again",
            ));
        }
        if let Some(refusal) = self.refusal {
            return self.refused(&replies::refusal(refusal));
        }
        let grant = self.setup.policy.grant(listener, self.client, self.login.as_ref());
        if grant.is_none() && listener.auth {
            return self.say(&reply(530, (5, 7, 0), "Authentication is required"));
        }
        let sender = match path {
            Path::Mailbox(address) => ReversePath(Some(address)),
            Path::Null | Path::Postmaster => ReversePath::NULL,
        };
        let size_max = listener.limits.message_size.0;
        let checked = match (&grant, &sender.0) {
            _ if parameters.size.is_some_and(|size| size > size_max) => {
                limit_hit("message_size");
                Err(reply(552, (5, 3, 4), format!("The message is larger than {size_max} octets")))
            }
            (Some(grant), Some(address)) if !grant.may_send_as(address) => {
                Err(reply(553, (5, 7, 1), "This account may not send from that address"))
            }
            (Some(grant), _) => {
                self.setup.policy.check_quota(grant, 0, now).map_err(replies::over_quota)
            }
            (None, _) => Ok(()),
        };
        if let Err(refused) = checked {
            let name = grant.map(|grant| grant.name.to_string());
            self.reject(name, Some(sender.to_string()), None, &refused);
            return self.say(&refused);
        }
        let changed = lower_priority(&mut parameters, grant.as_ref());
        self.transaction =
            Some(Transaction { sender, parameters, recipients: Vec::new(), grant, arriving: None });
        if changed {
            self.say(&reply(
                250,
                (2, 3, 6),
                "Ok, with the priority 0: this account may not ask for more",
            ));
        } else {
            self.say(&reply(250, (2, 1, 0), "Ok"));
        }
    }

    pub(super) fn rcpt(&mut self, path: Path, parameters: RecipientParameters, now: Timestamp) {
        let Some(transaction) = &self.transaction else {
            return self.say(&reply(503, (5, 5, 1), "Start with MAIL"));
        };
        if self.is_arriving() {
            return self.say(&reply(503, (5, 5, 1), "The message has begun; RSET gives it up"));
        }
        let policy = &self.setup.policy;
        let (address, postmaster) = match path {
            Path::Mailbox(address) => (address, false),
            Path::Postmaster | Path::Null => (policy.postmaster.clone(), true),
        };
        let count = count(&transaction.recipients);
        let checked = if address.needs_utf8() && !transaction.parameters.utf8 {
            let needs_utf8 = CommandError::Address(AddressError::NeedsUtf8);
            Err(replies::command_error(&needs_utf8, false))
        } else if count >= self.setup.listener.limits.recipients_per_message {
            limit_hit("recipients_per_message");
            Err(reply(452, (4, 5, 3), "Too many recipients; send the rest with another message"))
        } else {
            match &transaction.grant {
                Some(grant) => {
                    policy.check_quota(grant, count + 1, now).map_err(replies::over_quota)
                }
                None if postmaster => Ok(()),
                None => Err(reply(550, (5, 7, 1), "Relaying denied: this relay does not know you")),
            }
        };
        if let Err(refused) = checked {
            let name = transaction.grant.as_ref().map(|grant| grant.name.to_string());
            let sender = transaction.sender.to_string();
            self.reject(name, Some(sender), Some(address.to_string()), &refused);
            return self.say(&refused);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.recipients.push((address, parameters));
        }
        self.say(&reply(250, (2, 1, 5), "Ok"));
    }

    pub(super) fn start_data(&mut self, input: &mut BytesMut) -> Option<Step> {
        match &self.transaction {
            None => {
                self.say(&reply(503, (5, 5, 1), "Start with MAIL"));
                None
            }
            Some(transaction) if transaction.recipients.is_empty() => {
                self.say(&reply(554, (5, 5, 1), "No valid recipients"));
                None
            }
            Some(_) if self.is_arriving() => {
                self.say(&reply(503, (5, 5, 1), "The message came by BDAT; end it with BDAT LAST"));
                None
            }
            Some(_) if !input.is_empty() => {
                // RFC 2920 3.1: DATA ends a group. What follows is a message that was not asked for;
                // its lines are not obeyed.
                input.clear();
                self.say(&reply(554, (5, 5, 0), "You sent the message before it was asked for"));
                Some(self.close())
            }
            Some(transaction) => {
                let octets = Incoming::first_reservation(transaction.parameters.size);
                self.state = State::Waiting(Waiting::RoomForData);
                Some(Step::Reserve(octets))
            }
        }
    }

    pub(super) fn data(
        &mut self,
        mut incoming: Box<Incoming>,
        input: &mut BytesMut,
        now: Timestamp,
    ) -> Option<Step> {
        let ended = incoming.receive(input) == Received::End;
        let transaction = self.transaction.as_ref();
        let grant = transaction.and_then(|transaction| transaction.grant.as_ref());
        match incoming.advance(ended, grant, &self.setup) {
            Move::Read if incoming.chunk_has_come() => self.chunk_done(incoming),
            Move::Read => {
                self.state = State::Data(incoming);
                Some(Step::Read)
            }
            Move::Reserve(octets) => {
                self.state = State::Waiting(Waiting::RoomForMore(incoming));
                Some(Step::Reserve(octets))
            }
            Move::Store(number, chunk) => {
                let id = incoming.id();
                self.state = State::Waiting(Waiting::Stored(incoming));
                Some(Step::Store { id, number, chunk })
            }
            Move::Refuse(refused) => self.refuse(&incoming, &refused),
            Move::Finish => {
                let recipients =
                    transaction.map_or(0, |transaction| count(&transaction.recipients));
                let quota = grant.map(|grant| self.setup.policy.take_quota(grant, recipients, now));
                if let Some(Err(over)) = quota {
                    return self.refuse(&incoming, &replies::over_quota(over));
                }
                let submission = self.submission(&mut incoming, now);
                self.hear_mail();
                self.state = State::Waiting(Waiting::Accepted);
                Some(Step::Accept(Box::new(submission)))
            }
        }
    }

    /// The message is not taken; what was stored of it goes.
    pub(super) fn refuse(&mut self, incoming: &Incoming, refused: &Reply) -> Option<Step> {
        if let Some(transaction) = self.transaction.take() {
            let name = transaction.grant.as_ref().map(|grant| grant.name.to_string());
            self.reject(name, Some(transaction.sender.to_string()), None, refused);
        }
        self.state = State::Command;
        self.say(refused);
        incoming.discard()
    }

    pub(super) fn submission(&mut self, incoming: &mut Incoming, now: Timestamp) -> Submission {
        let transaction = self.transaction.as_ref();
        let listener = &self.setup.listener;
        let recipients = transaction.map(|t| t.recipients.clone()).unwrap_or_default();
        let asked = transaction.map(|transaction| &transaction.parameters);
        let (helo, extended) = self.helo.clone().unwrap_or_default();
        let (headers, headless) = incoming.take_headers();
        let trace = policy::Trace {
            hostname: &self.setup.policy.hostname,
            helo: &helo,
            client: (!listener.hide_client).then_some(self.client),
            protocol: None,
            extended,
            utf8: asked.is_some_and(|asked| asked.utf8),
            tls: self.tls.as_deref(),
            authenticated: self.login.is_some(),
            listener: &listener.name,
            id: incoming.id(),
            recipient: if let [(one, _)] = &recipients[..] { Some(one) } else { None },
            time: now,
        };
        let prefix = policy::received(&trace, &headers, headless);
        let own_id = || incoming.id().message_id(&self.setup.policy.hostname);
        let grant = transaction.and_then(|t| t.grant.as_ref());
        let eight_bit = incoming.eight_bit();
        Submission {
            id: incoming.id(),
            sender: transaction.map_or(ReversePath::NULL, |t| t.sender.clone()),
            recipients,
            prefix,
            leading_dots: incoming.leading_dots(),
            body_type: if eight_bit { BodyType::EightBit } else { BodyType::SevenBit },
            utf8_headers: headers.eight_bit && asked.is_some_and(|asked| asked.utf8),
            returns: asked.and_then(|asked| asked.returns),
            envelope_id: asked.and_then(|asked| asked.envelope_id.clone()),
            from_domain: headers.from_domain,
            foreign_signature: headers.signed,
            listener: listener.name.to_string(),
            client: Some(self.client),
            account: grant.map_or(&listener.name, |grant| &grant.name).to_string(),
            pool: headers
                .pool
                .or_else(|| grant.and_then(|g| g.pool.as_ref().map(ToString::to_string))),
            tags: headers.tags,
            priority: headers
                .priority
                .or_else(|| asked.and_then(|asked| asked.priority))
                .unwrap_or_default(),
            message_id: if headers.has_message_id { headers.message_id } else { Some(own_id()) },
            body: incoming.take_body(),
            send_at: None,
            personal: None,
        }
    }

    pub(super) fn reject(
        &mut self,
        account: Option<String>,
        sender: Option<String>,
        recipient: Option<String>,
        reply: &Reply,
    ) {
        if let Some(account) = account
            && self.rejections.len() < REJECTIONS_MAX
        {
            self.rejections.push(Rejection { account, sender, recipient, reply: reply.clone() });
        }
    }
}
