//! Which events are meant: by whom and what they are about, what happened, and when.

use crate::message::{Event, EventKind, Timestamp};
use crate::spool::event_index::Term;

/// What events must be; all of it. Nothing said: every event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these types; of none, all.
    pub kinds: Vec<EventKind>,
    /// Fields, each with the values of which it must have one.
    pub fields: Vec<(Field, Vec<String>)>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// A field of an event that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Tambo's id of the message.
    Message,
    /// Content of Message-ID, without angle brackets.
    MessageId,
    /// Address of the recipient.
    Recipient,
    /// Domain of the recipient.
    Domain,
    /// MAIL FROM.
    Sender,
    /// One of the tags.
    Tag,
    /// Account.
    Account,
    /// Listener that it came in by.
    Listener,
    /// Pool.
    Pool,
    /// Where its mail really goes.
    Site,
    /// Provider of the site.
    Provider,
    /// Source that was used.
    Source,
    /// What a reply is about.
    Category,
    /// Rule that classified it.
    Rule,
}

impl Filter {
    /// Whether this event is meant.
    pub fn takes(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.since.is_none_or(|since| event.id.time() >= since)
            && self.until.is_none_or(|until| event.id.time() < until)
            && self.fields.iter().all(|(field, values)| field.is_any(event, values))
    }

    /// The one value that a field must have.
    pub fn value(&self, wanted: Field) -> Option<&str> {
        let (_, values) = self.fields.iter().find(|(field, _)| *field == wanted)?;
        let [value] = &values[..] else { return None };
        Some(value)
    }
}

impl Field {
    /// All of them under the names that questions have for them: those of the events.
    pub const ALL: [(&str, Self); 14] = [
        ("message", Self::Message),
        ("message_id", Self::MessageId),
        ("recipient", Self::Recipient),
        ("domain", Self::Domain),
        ("sender", Self::Sender),
        ("tag", Self::Tag),
        ("account", Self::Account),
        ("listener", Self::Listener),
        ("pool", Self::Pool),
        ("site", Self::Site),
        ("provider", Self::Provider),
        ("source", Self::Source),
        ("category", Self::Category),
        ("rule", Self::Rule),
    ];

    /// The field with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    /// Whether the event has one of these values there.
    pub fn is_any(self, event: &Event, values: &[String]) -> bool {
        let is = |text: &str| values.iter().any(|value| value.eq_ignore_ascii_case(text));
        let text = match self {
            Self::Message => return event.message.is_some_and(|id| is(&id.to_string())),
            Self::Tag => return event.tags.iter().any(|tag| values.contains(tag)),
            Self::Domain => {
                let domain = event.recipient.as_ref().and_then(|to| to.rsplit_once('@'));
                return domain.is_some_and(|(_, domain)| is(domain));
            }
            Self::MessageId => &event.message_id,
            Self::Recipient => &event.recipient,
            Self::Sender => &event.sender,
            Self::Account => &event.account,
            Self::Listener => &event.listener,
            Self::Pool => &event.pool,
            Self::Site => &event.site,
            Self::Provider => &event.provider,
            Self::Source => &event.source,
            Self::Category => &event.category,
            Self::Rule => &event.rule,
        };
        text.as_deref().is_some_and(is)
    }

    /// The term of the index that finds events by this field.
    pub fn term(self, value: &str) -> Option<Term<'_>> {
        match self {
            Self::Message => value.parse().ok().map(Term::Message),
            Self::MessageId => Some(Term::MessageId(value)),
            Self::Recipient => Some(Term::Recipient(value)),
            Self::Sender => Some(Term::Sender(value)),
            Self::Tag => Some(Term::Tag(value)),
            _ => None,
        }
    }

    /// Whether all events about a message have the same value there.
    pub fn is_of_message(self) -> bool {
        matches!(
            self,
            Self::Message
                | Self::MessageId
                | Self::Sender
                | Self::Tag
                | Self::Account
                | Self::Listener
        )
    }
}
