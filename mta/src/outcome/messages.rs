//! Finds messages, each with what became of it, page by page in the order in which they were accepted.
//!
//! A message stands where the first event about it does. What is asked of a message itself (sender, account,
//! tag …) is seen there; what is asked of its way (recipient, site, source …) must be so of one of its events.

use memchr::memmem::Finder;

use crate::message::{Event, EventKind, Id};
use crate::queue::Queue;
use crate::spool::event_index::Term;
use crate::spool::{Spool, SpoolError};

use super::filter::{Field, Filter};
use super::search::{Found, Page, Range, Search, ids, read};

/// Events of one message that are looked at: a thousand recipients with some attempts each.
const EVENTS_MAX: usize = 5_000;

/// Events that one question reads: fewer than where events are looked for, because those of each message are looked up one by
/// one. Some 0.03 s of one core.
const READ_MAX: usize = 3_000;
/// What stands in every event of this kind and in no other: quotation marks within a text have a backslash before them.
const ACCEPTED: &[u8] = b"\"type\":\"accepted\"";

/// A message that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundMessage {
    /// Its id.
    pub id: Id,
    /// What happened, oldest first; never nothing.
    pub events: Vec<Event>,
    /// Something of it is left to do.
    pub waits: bool,
}

/// Finds messages that `keep` takes, too. Types of events in the filter say nothing. Blocks.
pub fn search_messages(
    queue: &Queue,
    search: &Search,
    keep: &dyn Fn(&FoundMessage) -> bool,
) -> Result<Found<FoundMessage>, SpoolError> {
    let spool = &*queue.spool();
    let filter = &search.filter;
    let (of_message, of_way): (Vec<_>, Vec<_>) =
        filter.fields.iter().partition(|(field, _)| field.is_of_message());
    let is = |wanted: &[&(Field, Vec<String>)], event: &Event| {
        wanted.iter().all(|(field, values)| field.is_any(event, values))
    };
    let mut page = Page::new(search.limit, READ_MAX);
    let mut visit = |event: Event, page: &mut Page<FoundMessage>| {
        let Some(id) = event.message.filter(|_| event.kind == EventKind::Accepted) else {
            return Ok(());
        };
        if !is(&of_message, &event) || !stands_for(spool, filter, id, &event)? {
            return Ok(());
        }
        let events = events_of(spool, id)?;
        page.read += events.len();
        if !events.iter().any(|event| is(&of_way, event)) {
            return Ok(());
        }
        let found = FoundMessage { id, events, waits: queue.is_waiting(id)? };
        if keep(&found) {
            page.rows.push(found);
        }
        Ok(())
    };
    let range = Range::of(search);
    if let Some(prefixes) = plan(filter) {
        page.by_index(spool, &prefixes, range, &mut visit)?;
    } else {
        let accepted = Finder::new(ACCEPTED);
        page.by_time(spool, range, &|text| accepted.find(text).is_some(), &mut visit)?;
    }
    Ok(page.found())
}

/// Entries of the index that know an event of each message that is meant; `None`: there are none.
fn plan(filter: &Filter) -> Option<Vec<Vec<u8>>> {
    let indexed = [Field::Message, Field::MessageId, Field::Recipient, Field::Tag, Field::Sender];
    indexed.into_iter().find_map(|field| {
        let value = filter.value(field)?;
        Some(field.term(value).map(Term::prefix).into_iter().collect())
    })
}

/// Whether the message stands at this event: there is one for each recipient.
fn stands_for(
    spool: &dyn Spool,
    filter: &Filter,
    id: Id,
    event: &Event,
) -> Result<bool, SpoolError> {
    if let Some(recipient) = filter.value(Field::Recipient) {
        // There is one to that recipient.
        return Ok(event.recipient.as_ref().is_some_and(|to| to.eq_ignore_ascii_case(recipient)));
    }
    let first = ids(spool, &Term::Message(id).prefix(), Range::ALL, 1)?;
    Ok(first.first() == Some(&event.id))
}

fn events_of(spool: &dyn Spool, id: Id) -> Result<Vec<Event>, SpoolError> {
    let mut events = Vec::new();
    for id in ids(spool, &Term::Message(id).prefix(), Range::ALL, EVENTS_MAX)? {
        events.extend(read(spool, id)?);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::filter::Filter;
    use crate::queue::tests::World;

    #[tokio::test(start_paused = true)]
    async fn a_message_is_found_once_by_whatever_names_it() {
        let world = World::new();
        let mut messages = Vec::new();
        for number in 0..3 {
            messages.push(world.accept(&format!("ana{number}@x.pe")).await);
        }
        let mut delivered = Event::new(world.queue.next_id(), EventKind::Delivered);
        delivered.message = Some(messages[1]);
        delivered.recipient = Some("ana1@x.pe".to_owned());
        delivered.site = Some("google".to_owned());
        world.queue.record(&[delivered]).unwrap();
        let check = |fields: &[(Field, &str)], limit, expected: &[usize]| {
            let fields = fields.iter().map(|(field, value)| (*field, vec![(*value).to_owned()]));
            let filter = Filter { fields: fields.collect(), ..Filter::default() };
            let (mut found, mut from) = (Vec::new(), None);
            loop {
                let search = Search { filter: filter.clone(), newest_first: true, from, limit };
                let page = search_messages(&world.queue, &search, &|found| found.waits).unwrap();
                assert!(page.rows.len() <= limit);
                found.extend(page.rows.iter().map(|row| row.id));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            let expected: Vec<Id> = expected.iter().map(|place| messages[*place]).collect();
            assert_eq!(found, expected, "{filter:?}");
        };
        for limit in [1, 2, 10] {
            check(&[], limit, &[2, 1, 0]);
            check(&[(Field::Domain, "x.pe")], limit, &[2, 1, 0]);
            check(&[(Field::Recipient, "ANA0@x.pe")], limit, &[0]);
            check(&[(Field::Site, "google")], limit, &[1]);
            check(&[(Field::Site, "google"), (Field::Recipient, "ana1@x.pe")], limit, &[1]);
            check(&[(Field::Site, "google"), (Field::Recipient, "ana0@x.pe")], limit, &[]);
            check(&[(Field::Message, &messages[2].to_string())], limit, &[2]);
            check(&[(Field::Message, "nothing")], limit, &[]);
        }
    }
}
