//! Finds the story of a message, or of a recipient, among the events.

use std::ops::ControlFlow;

use crate::message::{Event, Id};
use crate::spool::event_index::Term;
use crate::spool::{Family, Spool, SpoolError};

/// Events that an answer holds; of more, the newest.
const EVENTS_MAX: usize = 1000;
/// Messages that a Message-ID may stand for.
const MESSAGES_MAX: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Tambo's id of a message.
    Message(Id),
    /// A recipient's or sender's address.
    Address(String),
    /// The Message-ID header, without angle brackets.
    MessageId(String),
    /// A tag.
    Tag(String),
}

impl Question {
    /// From what a person typed: an id, `<message-id>`, `tag:TAG`, or an address.
    pub fn parse(text: &str) -> Vec<Self> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return vec![Self::Message(id)];
        }
        if let Some(tag) = text.strip_prefix("tag:") {
            return vec![Self::Tag(tag.to_owned())];
        }
        let inside = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
        match inside {
            Some(inside) => {
                vec![Self::MessageId(inside.to_owned()), Self::Address(inside.to_owned())]
            }
            None => vec![Self::Address(text.to_owned()), Self::MessageId(text.to_owned())],
        }
    }
}

/// The events that answer, oldest first. Blocks.
pub fn trace(spool: &dyn Spool, question: &Question) -> Result<Vec<Event>, SpoolError> {
    match question {
        Question::Message(id) => {
            find(spool, Term::Message(*id), |event| event.message == Some(*id))
        }
        Question::Address(address) => {
            let is = |text: &Option<String>| {
                text.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(address))
            };
            let mut events = find(spool, Term::Recipient(address), |event| is(&event.recipient))?;
            events.extend(find(spool, Term::Sender(address), |event| is(&event.sender))?);
            events.sort_by_key(|event| event.id);
            events.dedup_by_key(|event| event.id);
            Ok(events)
        }
        Question::MessageId(message_id) => {
            let is = |event: &Event| {
                event.message_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(message_id))
            };
            let accepted = find(spool, Term::MessageId(message_id), is)?;
            let mut messages: Vec<Id> = accepted.iter().filter_map(|event| event.message).collect();
            messages.sort_unstable();
            messages.dedup();
            messages.truncate(MESSAGES_MAX);
            let mut events: Vec<Event> =
                accepted.into_iter().filter(|event| event.message.is_none()).collect();
            for id in messages {
                events.extend(trace(spool, &Question::Message(id))?);
            }
            events.sort_by_key(|event| event.id);
            Ok(events)
        }
        Question::Tag(tag) => find(spool, Term::Tag(tag), |event| event.tags.contains(tag)),
    }
}

/// Hashes may collide, so each event is looked at.
fn find(
    spool: &dyn Spool,
    term: Term<'_>,
    is: impl Fn(&Event) -> bool,
) -> Result<Vec<Event>, SpoolError> {
    let prefix = term.prefix();
    let until = [&prefix[..], &[u8::MAX; 9]].concat();
    let mut ids: Vec<[u8; 8]> = Vec::new();
    spool.scan_back(Family::EventIndex, &prefix, &until, &mut |key, _| {
        ids.extend(key.get(prefix.len()..).and_then(|id| <[u8; 8]>::try_from(id).ok()));
        if ids.len() < EVENTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut events = Vec::with_capacity(ids.len());
    for id in ids.iter().rev() {
        let Some(bytes) = spool.get(Family::Events, id)? else { continue };
        if let Ok(event) = serde_json::from_slice::<Event>(&bytes)
            && is(&event)
        {
            events.push(event);
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{EventKind, Timestamp};
    use crate::spool::{MemorySpool, event_index};

    #[test]
    fn events_are_found_by_everything_that_names_them() {
        let spool = MemorySpool::default();
        let id = |n| Id::first_at(Timestamp::from_millis(n));
        let mut accepted = Event::new(id(1), EventKind::Accepted);
        accepted.message = Some(id(0));
        accepted.message_id = Some("m@x".to_owned());
        accepted.sender = Some("s@x.pe".to_owned());
        accepted.recipient = Some("Ana@y.pe".to_owned());
        accepted.tags = vec!["acto".to_owned()];
        let mut delivered = Event::new(id(2), EventKind::Delivered);
        delivered.message = Some(id(0));
        delivered.recipient = Some("Ana@y.pe".to_owned());
        for event in [&accepted, &delivered] {
            spool.write(&event_index::operations(event)).unwrap();
        }
        let check = |text: &str, expected: &[Id]| {
            let found: Vec<Id> = Question::parse(text)
                .iter()
                .map(|question| trace(&spool, question).unwrap())
                .find(|events| !events.is_empty())
                .unwrap_or_default()
                .iter()
                .map(|event| event.id)
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        let both = [id(1), id(2)];
        check(&id(0).to_string(), &both);
        check("<m@x>", &both);
        check("m@x", &both);
        check("ana@y.pe", &both);
        check("s@x.pe", &both[..1]);
        check("tag:acto", &both[..1]);
        check("nobody@y.pe", &[]);
    }
}
