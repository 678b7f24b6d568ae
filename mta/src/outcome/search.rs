//! Finds events among those that the spool keeps, page by page.
//!
//! The index is used where it knows all events that are meant: by message, Message-ID and recipient, and by sender and
//! tag of what was accepted or rejected. Otherwise events are read in order of time, of a sender or tag from the
//! first that the index knows on. An answer ends when its page is full or when it has read as much as one may;
//! the next goes on where it ended.

use std::ops::ControlFlow;

use crate::message::{Event, EventKind, Id};
use crate::spool::event_index::Term;
use crate::spool::{Family, Spool, SpoolError};

use super::filter::{Field, Filter};

/// Events that one question reads, however few of them are meant: some 0.1 s of one core.
pub(super) const READ_MAX: usize = 20_000;
/// Events that are passed over after a glance, to one that is read.
const GLANCES: usize = 10;
/// Messages that a Message-ID may stand for.
pub(super) const MESSAGES_MAX: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Which events, or messages.
    pub filter: Filter,
    /// The newest first.
    pub newest_first: bool,
    /// Where the page before ended.
    pub from: Option<Id>,
    /// Rows of the page at most.
    pub limit: usize,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where it ended, when there may be more.
    pub next: Option<Id>,
    /// It ended because it had read as much as one question may.
    pub stopped: bool,
}

/// Finds events. Blocks.
pub fn search(spool: &dyn Spool, search: &Search) -> Result<Found<Event>, SpoolError> {
    let filter = &search.filter;
    let mut page = Page::new(search.limit, READ_MAX);
    let mut visit = |event: Event, page: &mut Page<Event>| {
        if filter.takes(&event) {
            page.rows.push(event);
        }
        Ok(())
    };
    let mut range = Range::of(search);
    match events_plan(spool, filter)? {
        Plan::Index(prefixes) => page.by_index(spool, &prefixes, range, &mut visit)?,
        Plan::Time(since) => {
            range.begin_at(since);
            page.by_time(spool, range, &|_| true, &mut visit)?;
        }
        Plan::Nothing => {}
    }
    Ok(page.found())
}

/// How what is meant is found.
enum Plan {
    /// By entries of the index that begin so.
    Index(Vec<Vec<u8>>),
    /// By reading all events, from this one on.
    Time(Option<Id>),
    /// There is nothing.
    Nothing,
}

fn events_plan(spool: &dyn Spool, filter: &Filter) -> Result<Plan, SpoolError> {
    for field in [Field::Message, Field::Recipient] {
        if let Some(value) = filter.value(field) {
            let prefix = field.term(value).map(Term::prefix);
            return Ok(prefix.map_or(Plan::Nothing, |prefix| Plan::Index(vec![prefix])));
        }
    }
    if let Some(message_id) = filter.value(Field::MessageId) {
        // The index knows what was accepted or rejected: the rest is found by the messages.
        let own = Term::MessageId(message_id).prefix();
        let mut prefixes = Vec::new();
        for id in ids(spool, &own, Range::ALL, MESSAGES_MAX)? {
            let event = read(spool, id)?;
            prefixes.extend(event.and_then(|it| it.message).map(|id| Term::Message(id).prefix()));
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes.push(own);
        return Ok(Plan::Index(prefixes));
    }
    let indexed = |kind: &EventKind| matches!(kind, EventKind::Accepted | EventKind::Rejected);
    let all_indexed = !filter.kinds.is_empty() && filter.kinds.iter().all(indexed);
    let mut since: Option<Id> = None;
    for field in [Field::Tag, Field::Sender] {
        let Some(prefix) = filter.value(field).and_then(|it| Some(field.term(it)?.prefix())) else {
            continue;
        };
        if all_indexed {
            return Ok(Plan::Index(vec![prefix]));
        }
        match ids(spool, &prefix, Range::ALL, 1)?.first() {
            Some(first) => since = since.max(Some(*first)),
            None => return Ok(Plan::Nothing),
        }
    }
    Ok(Plan::Time(since))
}

/// Ids that are looked at, in which order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    from: Id,
    /// Not included.
    until: Id,
    down: bool,
}

impl Range {
    pub(super) const ALL: Self = Self { from: Id::ZERO, until: Id::MAX, down: false };

    /// What is left of a search.
    pub(super) fn of(search: &Search) -> Self {
        let mut range = Self { down: search.newest_first, ..Self::ALL };
        range.begin_at(search.filter.since.map(Id::first_at));
        range.end_at(search.filter.until.map(Id::first_at));
        if search.newest_first {
            range.end_at(search.from);
        } else {
            range.begin_at(search.from.map(Id::successor));
        }
        range
    }

    fn begin_at(&mut self, from: Option<Id>) {
        self.from = from.map_or(self.from, |from| from.max(self.from));
    }

    fn end_at(&mut self, until: Option<Id>) {
        self.until = until.map_or(self.until, |until| until.min(self.until));
    }
}

/// A page that is being filled.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    limit: usize,
    /// Events that are read at most.
    read_max: usize,
    /// Events that were read.
    pub(super) read: usize,
    glanced: usize,
    last: Option<Id>,
    stopped: bool,
    full: bool,
}

/// What a page does with an event that was read.
type Visit<'a, T> = dyn FnMut(Event, &mut Page<T>) -> Result<(), SpoolError> + 'a;

impl<T> Page<T> {
    pub(super) fn new(limit: usize, read_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            limit,
            read_max,
            read: 0,
            glanced: 0,
            last: None,
            stopped: false,
            full: false,
        }
    }

    /// Whether the page ends before this event, which is the next.
    fn ends(&mut self) -> bool {
        self.full = self.rows.len() >= self.limit;
        self.stopped = !self.full && self.read >= self.read_max;
        self.full || self.stopped
    }

    /// Fills it with what the index knows.
    pub(super) fn by_index(
        &mut self,
        spool: &dyn Spool,
        prefixes: &[Vec<u8>],
        range: Range,
        visit: &mut Visit<'_, T>,
    ) -> Result<(), SpoolError> {
        let mut all = Vec::new();
        for prefix in prefixes {
            all.extend(ids(spool, prefix, range, self.read_max + 1)?);
        }
        all.sort_unstable();
        if range.down {
            all.reverse();
        }
        all.dedup();
        for id in all {
            if self.ends() {
                break;
            }
            self.read += 1;
            if let Some(event) = read(spool, id)? {
                visit(event, self)?;
            }
            self.last = Some(id);
        }
        Ok(())
    }

    /// Fills it with all events in order; those of which a look at the octets tells that they are not meant are not
    /// read, and count for little.
    pub(super) fn by_time(
        &mut self,
        spool: &dyn Spool,
        range: Range,
        may: &dyn Fn(&[u8]) -> bool,
        visit: &mut Visit<'_, T>,
    ) -> Result<(), SpoolError> {
        let mut failed = Ok(());
        let mut each = |key: &[u8], value: &[u8]| {
            if self.ends() {
                return ControlFlow::Break(());
            }
            self.last = key.try_into().ok().map(Id::from_bytes).or(self.last);
            if !may(value) {
                self.glanced += 1;
                self.read += usize::from(self.glanced.is_multiple_of(GLANCES));
                return ControlFlow::Continue(());
            }
            self.read += 1;
            if let Ok(event) = serde_json::from_slice::<Event>(value) {
                failed = visit(event, self);
            }
            if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let (from, until) = (range.from.to_bytes(), range.until.to_bytes());
        if range.down {
            spool.scan_back(Family::Events, &from, &until, &mut each)?;
        } else {
            spool.scan(Family::Events, &from, &until, &mut each)?;
        }
        failed
    }

    pub(super) fn found(self) -> Found<T> {
        let next = self.last.filter(|_| self.full || self.stopped);
        Found { rows: self.rows, next, stopped: self.stopped }
    }
}

/// Ids that stand in the index under this, in order; at most so many.
pub(super) fn ids(
    spool: &dyn Spool,
    prefix: &[u8],
    range: Range,
    count_max: usize,
) -> Result<Vec<Id>, SpoolError> {
    let mut ids = Vec::new();
    let (from, until) =
        ([prefix, &range.from.to_bytes()].concat(), [prefix, &range.until.to_bytes()].concat());
    let mut each = |key: &[u8], _: &[u8]| {
        let id = key.get(prefix.len()..).and_then(|id| <[u8; 8]>::try_from(id).ok());
        ids.extend(id.map(Id::from_bytes));
        if ids.len() < count_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if range.down {
        spool.scan_back(Family::EventIndex, &from, &until, &mut each)?;
    } else {
        spool.scan(Family::EventIndex, &from, &until, &mut each)?;
    }
    Ok(ids)
}

/// An event, unless it has been forgotten or cannot be read.
pub(super) fn read(spool: &dyn Spool, id: Id) -> Result<Option<Event>, SpoolError> {
    let bytes = spool.get(Family::Events, &id.to_bytes())?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Timestamp;
    use crate::spool::{MemorySpool, event_index};

    const START: u64 = 1_795_525_500_000;

    fn id(number: u64) -> Id {
        Id::first_at(Timestamp::from_millis(START + number))
    }

    /// Fifty messages: number 10·n is accepted, 10·n + 1 and 10·n + 2 are its attempts.
    fn spool() -> MemorySpool {
        let spool = MemorySpool::new();
        for message in 0..50 {
            for (step, kind) in
                [EventKind::Accepted, EventKind::Deferred, EventKind::Delivered].iter().enumerate()
            {
                let mut event = Event::new(id(10 * message + step as u64), *kind);
                event.message = Some(id(10 * message));
                event.message_id = Some(format!("m{}@x.pe", message / 2));
                event.sender = Some(format!("s{}@x.pe", message % 5));
                event.recipient = Some(format!("r{}@y.pe", message % 10));
                event.account = Some(if message < 25 { "web" } else { "crm" }.to_owned());
                event.tags = vec!["all".to_owned(), format!("t{}", message % 3)];
                event.site = (step > 0).then(|| "google".to_owned());
                spool.write(&event_index::operations(&event)).unwrap();
            }
        }
        spool
    }

    fn filter(text: &[(&str, &str)]) -> Filter {
        let mut filter = Filter::default();
        for (name, value) in text {
            match *name {
                "type" => filter.kinds.push(EventKind::named(value).unwrap()),
                "since" => filter.since = Some(id(value.parse().unwrap()).time()),
                "until" => filter.until = Some(id(value.parse().unwrap()).time()),
                _ => filter.fields.push((Field::named(name).unwrap(), vec![(*value).to_owned()])),
            }
        }
        filter
    }

    #[test]
    fn whatever_the_way_what_is_found_is_what_the_filter_takes() {
        let spool = spool();
        let mut all: Vec<Event> = Vec::new();
        spool
            .scan(Family::Events, &[], &[u8::MAX; 9], &mut |_, value| {
                all.push(serde_json::from_slice(value).unwrap());
                ControlFlow::Continue(())
            })
            .unwrap();
        let message = id(110).to_string();
        let questions: [(&[(&str, &str)], usize); 18] = [
            (&[], 150),
            (&[("message", &message)], 3),
            (&[("message", "none")], 0),
            (&[("message_id", "M3@x.pe")], 6),
            (&[("message_id", "m3@x.pe"), ("type", "delivered")], 2),
            (&[("recipient", "R4@y.pe")], 15),
            (&[("recipient", "r4@y.pe"), ("sender", "s4@x.pe"), ("account", "crm")], 6),
            (&[("sender", "s1@x.pe")], 30),
            (&[("sender", "s1@x.pe"), ("type", "accepted")], 10),
            (&[("sender", "nobody@x.pe")], 0),
            (&[("tag", "t1")], 51),
            (&[("tag", "t1"), ("type", "accepted"), ("type", "rejected")], 17),
            (&[("tag", "t1"), ("sender", "s1@x.pe")], 12),
            (&[("account", "web"), ("type", "deferred")], 25),
            (&[("site", "google"), ("since", "200")], 60),
            (&[("since", "200"), ("until", "211")], 4),
            (&[("domain", "Y.pe"), ("until", "10")], 3),
            (&[("recipient", "r4@y.pe"), ("since", "140"), ("until", "341")], 7),
        ];
        for (text, count) in questions {
            let filter = filter(text);
            for (newest_first, limit) in [(true, 1000), (false, 1000), (true, 1), (false, 4)] {
                let (mut found, mut from) = (Vec::new(), None);
                loop {
                    let question = Search { filter: filter.clone(), newest_first, from, limit };
                    let page = search(&spool, &question).unwrap();
                    assert!(page.rows.len() <= limit && !page.stopped);
                    found.extend(page.rows);
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
                let mut expected: Vec<Event> =
                    all.iter().filter(|event| filter.takes(event)).cloned().collect();
                if newest_first {
                    expected.reverse();
                }
                assert_eq!(expected.len(), count, "{text:?}");
                assert!(found == expected, "{text:?}, newest first: {newest_first}, {limit}");
            }
        }
    }

    #[test]
    fn a_question_that_reads_too_much_stops_and_goes_on() {
        let spool = MemorySpool::new();
        let count = READ_MAX as u64 + 10;
        let mut operations = Vec::new();
        for number in 0..count {
            let mut event = Event::new(id(number), EventKind::Deferred);
            event.recipient = Some("r@y.pe".to_owned());
            event.account = (number == count - 1).then(|| "web".to_owned());
            operations.extend(event_index::operations(&event));
        }
        spool.write(&operations).unwrap();
        for text in [&[("account", "web")][..], &[("account", "web"), ("recipient", "r@y.pe")]] {
            let mut question = Search { filter: filter(text), limit: 5, ..Search::default() };
            let page = search(&spool, &question).unwrap();
            assert_eq!(page.rows.len(), 0);
            assert_eq!((page.next, page.stopped), (Some(id(READ_MAX as u64 - 1)), true));
            question.from = page.next;
            let page = search(&spool, &question).unwrap();
            assert_eq!((page.rows.len(), page.next, page.stopped), (1, None, false));
        }
    }
}
