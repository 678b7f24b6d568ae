//! Finds events and messages for those who ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay_config::values::parse_duration;

use crate::admin::{ControlError, EventQuery, Found, MessageQuery, MessageRow};
use crate::message::{Event, EventKind, Id, Timestamp};
use crate::outcome::{self, Field, Filter, FoundMessage, Search};
use crate::spool::{SpoolError, off_thread};

use super::RelayControl;
use super::story::recipients;

/// Rows of a page when nobody says.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;

impl RelayControl {
    /// A page of events.
    pub(super) async fn found_events(
        &self,
        query: EventQuery,
    ) -> Result<Found<Event>, ControlError> {
        let mut search =
            self.search(query.fields(), (query.since.as_deref(), query.until.as_deref()))?;
        search.filter.kinds = kinds(query.kind.as_deref())?;
        paged(&mut search, query.limit, query.from.as_deref(), query.sort.as_deref())?;
        let spool = self.queue.spool();
        let found = self.read(move || outcome::search(&*spool, &search)).await?;
        Ok(page(found, |event| event))
    }

    /// A page of messages.
    pub(super) async fn found_messages(
        &self,
        query: MessageQuery,
    ) -> Result<Found<MessageRow>, ControlError> {
        let mut search =
            self.search(query.fields(), (query.since.as_deref(), query.until.as_deref()))?;
        paged(&mut search, query.limit, query.from.as_deref(), query.sort.as_deref())?;
        let state = query.state.as_deref().map(State::parse).transpose()?;
        let queue = Arc::clone(&self.queue);
        let asked = query.recipient;
        let look = move || {
            let keep = |found: &FoundMessage| state.is_none_or(|state| state.is_of(found));
            outcome::search_messages(&queue, &search, &keep)
        };
        let found = self.read(look).await?;
        Ok(page(found, |message| row(&message, asked.as_deref())))
    }

    /// Reads everything that was handed in before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, ControlError> {
        self.queue.barrier().await.map_err(|error| ControlError::Spool(error.to_string()))?;
        let found = off_thread(&*self.queue.spool(), look).await.flatten();
        found.map_err(|error| ControlError::Spool(error.to_string()))
    }

    /// What is asked of fields and times.
    pub(super) fn search<'a>(
        &self,
        fields: impl Iterator<Item = (&'static str, &'a str)>,
        (since, until): (Option<&str>, Option<&str>),
    ) -> Result<Search, ControlError> {
        let fields = fields.filter_map(|(name, value)| {
            let field = Field::named(name)?;
            let value = match field {
                Field::MessageId => value.trim().trim_start_matches('<').trim_end_matches('>'),
                Field::Sender if value == "<>" => "",
                _ => value,
            };
            Some((field, vec![value.to_owned()]))
        });
        let now = self.queue.now();
        let time =
            |key: &str, text: Option<&str>| text.map(|text| parse_time(key, text, now)).transpose();
        let filter = Filter {
            kinds: Vec::new(),
            fields: fields.collect(),
            since: time("since", since)?,
            until: time("until", until)?,
        };
        Ok(Search { filter, ..Search::default() })
    }
}

/// `bounced,expired`
pub(super) fn kinds(text: Option<&str>) -> Result<Vec<EventKind>, ControlError> {
    let words = text.into_iter().flat_map(|text| text.split(',')).map(str::trim);
    words
        .map(|word| {
            EventKind::named(word).ok_or_else(|| {
                let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.word()).collect();
                let known = known.join(", ");
                ControlError::Question(format!("\"{word}\" is no type; types are {known}"))
            })
        })
        .collect()
}

pub(super) fn parse_time(key: &str, text: &str, now: Timestamp) -> Result<Timestamp, ControlError> {
    let ago = || parse_duration(text).ok().map(|ago| now.before(ago));
    Timestamp::parse(text).or_else(ago).ok_or_else(|| {
        let like = "write 2026-11-24T13:05:00Z, 2026-11-24, or 2h for two hours ago";
        ControlError::Question(format!("{key} is no time: {like}"))
    })
}

fn paged(
    search: &mut Search,
    limit: Option<usize>,
    from: Option<&str>,
    sort: Option<&str>,
) -> Result<(), ControlError> {
    let question = |why: String| ControlError::Question(why);
    search.limit = limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&search.limit) {
        return Err(question(format!("limit is a number from 1 to {PAGE_MAX}")));
    }
    search.from = from.map(cursor).transpose()?;
    search.newest_first = match sort {
        None | Some("-id") => true,
        Some("id") => false,
        Some(_) => return Err(question("sort is `id` or `-id`".to_owned())),
    };
    Ok(())
}

/// The event that a page ended with.
pub(super) fn cursor(text: &str) -> Result<Id, ControlError> {
    let wrong = |_| ControlError::Question("from is not the `next` of a page before".to_owned());
    text.parse().map_err(wrong)
}

fn page<T, R>(found: outcome::Found<T>, row: impl Fn(T) -> R) -> Found<R> {
    Found {
        rows: found.rows.into_iter().map(row).collect(),
        next: found.next.map(|id| id.to_string()),
        stopped: found.stopped,
    }
}

/// In which state a message must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Ended,
    /// One of its recipients is.
    Recipient(EventKind),
}

impl State {
    fn parse(word: &str) -> Result<Self, ControlError> {
        match word {
            "waiting" => Ok(Self::Waiting),
            "ended" => Ok(Self::Ended),
            _ => EventKind::named(word).map(Self::Recipient).ok_or_else(|| {
                let why = "state is waiting, ended, or the type of an event, as delivered";
                ControlError::Question(why.to_owned())
            }),
        }
    }

    fn is_of(self, found: &FoundMessage) -> bool {
        match self {
            Self::Waiting => found.waits,
            Self::Ended => !found.waits,
            Self::Recipient(kind) => {
                recipients(&found.events).iter().any(|row| row.state == kind.word())
            }
        }
    }
}

fn row(found: &FoundMessage, asked: Option<&str>) -> MessageRow {
    let first = found.events.first();
    let text = |of: fn(&Event) -> &Option<String>| first.and_then(|event| of(event).clone());
    let rows = recipients(&found.events);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for row in &rows {
        *counts.entry(row.state.clone()).or_default() += 1;
    }
    let wanted =
        rows.iter().find(|row| asked.is_none_or(|asked| asked.eq_ignore_ascii_case(&row.address)));
    let last = found.events.last();
    let replied =
        found.events.iter().rev().find_map(|event| event.reply.as_ref().or(event.detail.as_ref()));
    MessageRow {
        message: found.id.to_string(),
        message_id: text(|event| &event.message_id),
        sender: text(|event| &event.sender),
        accepted: found.id.time().to_rfc3339(),
        listener: text(|event| &event.listener),
        account: text(|event| &event.account),
        pool: found.events.iter().rev().find_map(|event| event.pool.clone()),
        tags: first.map(|event| event.tags.clone()).unwrap_or_default(),
        size: first.and_then(|event| event.size),
        state: if found.waits { "waiting" } else { "ended" }.to_owned(),
        recipient: wanted.map(|row| row.address.clone()),
        recipients: counts,
        last: last.map(|event| event.time.clone()).unwrap_or_default(),
        last_reply: replied.cloned(),
    }
}
