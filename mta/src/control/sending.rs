//! Mail that programs hand in: checked as a client's is, made into messages, accepted all together or not at all.

use std::sync::Arc;

use bytes::Bytes;
use relay_config::Config;

use crate::admin::{ControlError, SendOrder, Sent, UndefinedVariable};
use crate::compose::{
    self, Addressee, Checked, Content, Letter, Limits, MESSAGE_MAX, Mistake, Parts,
};
use crate::message::{
    Address, BodyType, Event, EventKind, Id, Priority, RecipientParameters, ReversePath,
    Submission, SubmittedBody, Timestamp,
};
use crate::policy::{self, Grant, HeaderFlaw, Headers, Policy, Trace};
use crate::queue::{Batch, Queue, Refusal, SharedBody};
use crate::spool::off_thread;

use super::RelayControl;
use super::keys::{Answered, Named, ids};

/// The listener of mail that came this way, in events and in Received.
const LISTENER: &str = "api";

impl RelayControl {
    /// Accepts what was handed in: it is on disk when this returns.
    pub(super) async fn send_letter(&self, order: SendOrder) -> Result<Sent, ControlError> {
        let policy = self.dispatch.policy();
        let grant = granted(&policy, order.account.as_deref())?;
        let named = match &order.key {
            None => None,
            Some(key) => {
                let begun = self.keys.begin(&self.queue, &grant.name, key, &order.digest).await?;
                match begun {
                    Ok(named) => Some(named),
                    Err(sent) => return Ok(sent),
                }
            }
        };
        self.queue.is_accepting().map_err(refused)?;
        let asked = Asked {
            letter: order.letter,
            limits: limits(&self.config.get()),
            grant,
            policy,
            client: order.client,
            digest: order.digest,
        };
        let (queue, asked) = (Arc::clone(&self.queue), Arc::new(asked));
        let work = Arc::clone(&asked);
        let made = off_thread(&*self.queue.spool(), move || made(&queue, &work)).await;
        let made = made.map_err(|error| ControlError::Spool(error.to_string()))?;
        let made = made.inspect_err(|error| self.tell_refused(&asked, error))?;
        self.accept(&asked, made, named).await
    }

    async fn accept(
        &self,
        asked: &Asked,
        mut made: Made,
        named: Option<Named>,
    ) -> Result<Sent, ControlError> {
        let now = self.queue.now();
        let count = made.batch.submissions.len();
        let fits = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let load = (fits(count), fits(made.sent.recipients));
        if let Err(over) = asked.policy.take_quota_of(&asked.grant, load, now) {
            let why = format!(
                "the account may send {} {}: send later, or less",
                over.value,
                over.limit.replace('_', " ")
            );
            let error = ControlError::TooMuch(why);
            self.tell_refused(asked, &error);
            return Err(error);
        }
        made.sent.warnings.extend(self.too_much_for_its_day(&made.batch.submissions));
        let first = made.batch.submissions.first().map_or(Id::ZERO, |it| it.id);
        if let Some(named) = &named {
            let answered = Answered::new(now, asked.digest, first, count, &made.sent);
            made.batch.along.extend(named.answered(&answered));
        }
        if let Err(refusal) = self.queue.accept_all(made.batch).await {
            asked.policy.return_quota_of(&asked.grant, load, now);
            return Err(refused(refusal));
        }
        if let Some(named) = named {
            named.done();
        }
        Ok(Sent { ids: ids(first, count), ..made.sent })
    }

    /// What is refused by the terms of the account is told, as it is of a client.
    fn tell_refused(&self, asked: &Asked, error: &ControlError) {
        let (code, enhanced) = match error {
            ControlError::TooMuch(_) => (450, "4.7.1"),
            _ => (550, "5.7.1"),
        };
        let mut event = Event::new(self.queue.next_id(), EventKind::Rejected);
        event.listener = Some(LISTENER.to_owned());
        event.client = asked.client;
        event.account = Some(asked.grant.name.to_string());
        event.sender = Some(asked.letter.from_text());
        event.code = Some(code);
        event.enhanced = Some(enhanced.to_owned());
        event.reply = Some(error.to_string());
        if let Err(error) = self.queue.record(&[event]) {
            tracing::warn!(%error, "a refusal is not recorded");
        }
    }
}

/// A request with all that decides about it.
struct Asked {
    letter: Letter,
    limits: Limits,
    grant: Grant,
    policy: Arc<Policy>,
    client: Option<std::net::IpAddr>,
    digest: [u8; 32],
}

/// What is ready to be accepted, and what is answered then.
struct Made {
    batch: Batch,
    sent: Sent,
}

fn granted(policy: &Policy, account: Option<&str>) -> Result<Grant, ControlError> {
    let Some(account) = account else {
        let why = "mail is sent as an account: `tambo token create --scope send --account NAME` makes a token that does";
        return Err(ControlError::Forbidden(why.to_owned()));
    };
    policy.grant_of(account).ok_or_else(|| {
        ControlError::Forbidden(format!("the account \"{account}\" of this token is gone"))
    })
}

fn limits(config: &Config) -> Limits {
    let recipients = config.limits.recipients_per_request;
    Limits {
        recipients_max: usize::try_from(recipients).unwrap_or(usize::MAX),
        message_max: MESSAGE_MAX,
    }
}

fn refused(refusal: Refusal) -> ControlError {
    ControlError::Spool(format!("{refusal}: nothing was accepted, try again later"))
}

/// Checks a request and makes its messages.
fn made(queue: &Queue, asked: &Asked) -> Result<Made, ControlError> {
    let now = queue.now();
    let checked =
        compose::check(&asked.letter, asked.limits, now).map_err(ControlError::Mistakes)?;
    let mistakes = mistakes(asked, &checked);
    if !mistakes.is_empty() {
        return Err(ControlError::Mistakes(mistakes));
    }
    let batch = if checked.personal {
        one_for_each(queue, asked, &checked, now)
    } else {
        one_for_all(queue, asked, &checked, now)?
    };
    Ok(Made { batch, sent: sent(checked) })
}

/// What the account may not do.
fn mistakes(asked: &Asked, checked: &Checked) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut wrong = |pointer: &str, detail: &str| {
        found.push(Mistake { pointer: pointer.to_owned(), detail: detail.to_owned() });
    };
    let grant = &asked.grant;
    if !grant.may_send_as(&checked.from) {
        wrong("/from", "this account may not send from that address");
    }
    if let Some(pool) = &checked.pool {
        if !asked.policy.has_pool(pool) {
            wrong("/pool", "there is no pool of this name");
        } else if !grant.allow_headers && grant.pool.as_deref() != Some(pool.as_str()) {
            wrong(
                "/pool",
                "this account may not choose its pool: `allow_headers` of the account lets it",
            );
        }
    }
    if checked.priority > Priority::default() && !grant.allow_headers {
        wrong(
            "/priority",
            "this account may not go before others: `allow_headers` of the account lets it",
        );
    }
    found
}

fn sent(checked: Checked) -> Sent {
    let undefined = checked.undefined.into_iter();
    Sent {
        ids: Vec::new(),
        recipients: checked.to.len(),
        duplicates: checked.duplicates,
        send_at: checked.send_at.map(Timestamp::to_rfc3339),
        undefined: undefined
            .map(|it| UndefinedVariable {
                variable: it.variable,
                recipients: it.recipients,
                first: it.first,
            })
            .collect(),
        warnings: checked.warnings,
        replayed: false,
    }
}

/// Each gets a message of its own, which is made when it is sent: what it is made of is stored once.
fn one_for_each(queue: &Queue, asked: &Asked, checked: &Checked, now: Timestamp) -> Batch {
    let Content::Parts(parts) = &checked.content else { return Batch::default() };
    let count = checked.to.len() as u64;
    let template = queue.next_ids(count + 1);
    let octets = parts.to_bytes();
    let shared = SharedBody { id: template, last: template.further(count), octets };
    let (chunks, size) = (shared.chunks(), shared.octets.len() as u64);
    let headers = Headers { has_date: true, ..Headers::default() };
    let one = |(number, to): (u64, &Addressee)| {
        let id = template.further(number);
        let utf8 = to.address.needs_utf8() || needs_utf8(parts);
        Submission {
            body: SubmittedBody::Template { id: template, chunks, size },
            prefix: prefix(asked, id, Some(&to.address), &headers, utf8, now),
            // It is not known yet whether some line starts with a dot.
            leading_dots: true,
            utf8_headers: utf8,
            from_domain: Some(checked.from.domain().to_string()),
            personal: Some(to.personal.clone()),
            ..submission(asked, checked, id, std::slice::from_ref(to))
        }
    };
    let submissions = (1..).zip(&checked.to).map(one).collect();
    Batch { submissions, shared: Some(shared), ..Batch::default() }
}

/// All get the same.
fn one_for_all(
    queue: &Queue,
    asked: &Asked,
    checked: &Checked,
    now: Timestamp,
) -> Result<Batch, ControlError> {
    let id = queue.next_id();
    let wrong = |pointer: &str, detail: String| {
        ControlError::Mistakes(vec![Mistake { pointer: pointer.to_owned(), detail }])
    };
    let (octets, leading_dots, eight_bit) = match &checked.content {
        Content::Raw { octets, leading_dots, eight_bit } => {
            (octets.clone(), *leading_dots, *eight_bit)
        }
        Content::Parts(parts) => {
            let octets = Bytes::from(parts.write(id));
            let dots =
                octets.starts_with(b".") || memchr::memmem::find(&octets, b"\r\n.").is_some();
            (octets, dots, false)
        }
    };
    if octets.len() as u64 > MESSAGE_MAX {
        crate::metrics::limit_hit("message_size");
        return Err(wrong("", format!("the message is larger than {MESSAGE_MAX} octets")));
    }
    let end = memchr::memmem::find(&octets, b"\r\n\r\n").map_or(octets.len(), |place| place + 2);
    let section = octets.slice(..end);
    if !policy::is_field(section.split(|octet| *octet == b'\n').next().unwrap_or_default()) {
        return Err(wrong("/raw", "it does not begin with a header field".to_owned()));
    }
    let may = |address: &Address| asked.grant.may_send_as(address);
    let bound: Option<&dyn Fn(&Address) -> bool> =
        if asked.grant.binds_senders() { Some(&may) } else { None };
    let examined = policy::examine(&section, asked.grant.allow_headers, bound).map_err(|flaw| {
        wrong(
            "/raw",
            match flaw {
                HeaderFlaw::Tambo(what) => what.to_owned(),
                HeaderFlaw::From(who) => {
                    format!("this account may not write with this From: {who}")
                }
            },
        )
    })?;
    let headers = examined.headers;
    let utf8 = match &checked.content {
        Content::Raw { .. } => headers.eight_bit,
        Content::Parts(parts) => needs_utf8(parts),
    };
    let only = if let [one] = &checked.to[..] { Some(&one.address) } else { None };
    let plain = submission(asked, checked, id, &checked.to);
    let submission = Submission {
        prefix: prefix(asked, id, only, &headers, utf8, now),
        body: SubmittedBody::Whole(vec![examined.kept, octets.slice(end..)]),
        leading_dots,
        body_type: if eight_bit { BodyType::EightBit } else { BodyType::SevenBit },
        utf8_headers: utf8,
        from_domain: headers.from_domain,
        foreign_signature: headers.signed,
        pool: checked.pool.clone().or(headers.pool).or(plain.pool),
        tags: if plain.tags.is_empty() { headers.tags } else { plain.tags },
        message_id: if headers.has_message_id { headers.message_id } else { plain.message_id },
        ..plain
    };
    Ok(Batch { submissions: vec![submission], ..Batch::default() })
}

/// What does not depend on the content.
fn submission(asked: &Asked, checked: &Checked, id: Id, to: &[Addressee]) -> Submission {
    let own_id = id.message_id(&asked.policy.hostname);
    let recipients = to.iter().map(|it| (it.address.clone(), RecipientParameters::default()));
    let pool = checked.pool.clone().or_else(|| asked.grant.pool.as_ref().map(ToString::to_string));
    Submission {
        id,
        sender: ReversePath(Some(checked.from.clone())),
        recipients: recipients.collect(),
        prefix: Bytes::new(),
        body: SubmittedBody::Whole(Vec::new()),
        leading_dots: false,
        body_type: BodyType::SevenBit,
        utf8_headers: false,
        returns: None,
        envelope_id: None,
        from_domain: None,
        foreign_signature: false,
        listener: LISTENER.to_owned(),
        client: asked.client,
        account: asked.grant.name.to_string(),
        pool,
        tags: checked.tags.clone(),
        priority: checked.priority,
        message_id: Some(own_id),
        send_at: checked.send_at,
        personal: None,
    }
}

fn prefix(
    asked: &Asked,
    id: Id,
    recipient: Option<&Address>,
    headers: &Headers,
    utf8: bool,
    time: Timestamp,
) -> Bytes {
    let trace = Trace {
        hostname: &asked.policy.hostname,
        helo: "",
        // Whoever reads the message has no use for the addresses of an institution's servers.
        client: None,
        protocol: Some("HTTP"),
        extended: true,
        utf8,
        tls: None,
        authenticated: true,
        listener: LISTENER,
        id,
        recipient,
        time,
    };
    policy::received(&trace, headers, false)
}

/// Somebody in the header section has an address beyond ASCII.
fn needs_utf8(parts: &Parts) -> bool {
    let mut all = parts.to.iter().chain(&parts.cc).chain(&parts.reply_to);
    parts.from.address.needs_utf8() || all.any(|mailbox| mailbox.address.needs_utf8())
}
