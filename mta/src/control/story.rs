//! The whole story of a message, and who waits, in groups.

use std::collections::BTreeMap;

use crate::admin::{
    ControlError, GroupBy, GroupRow, QueueQuery, QueueSummary, RecipientRow, Row, Story, WaitingRow,
};
use crate::message::{Address, Event, EventKind, Id, Timestamp};
use crate::outcome::{self, Question};
use crate::queue::{Census, Group, QueueRow};

use super::{RelayControl, explain};

/// Recipients that a story tells of.
const RECIPIENTS_MAX: usize = 1_000;
/// Deliveries of a story for which it is found out what they wait for: each may ask the DNS.
const EXPLAINED_MAX: usize = 20;

impl RelayControl {
    /// The story of the message with this id, ours or that of its header.
    pub(super) async fn story_of(&self, name: &str) -> Result<Story, ControlError> {
        let spool = |error: crate::spool::SpoolError| ControlError::Spool(error.to_string());
        self.queue.barrier().await.map_err(|error| ControlError::Spool(error.to_string()))?;
        let (queue, name) = (std::sync::Arc::clone(&self.queue), name.to_owned());
        let look = move || {
            let mut ids = super::queue::ids_of(&queue, &name)?;
            // Of several messages with one Message-ID, the newest.
            let Some(id) = ids.pop() else { return Err(nothing(&name)) };
            let events = outcome::trace(&*queue.spool(), &Question::Message(id)).map_err(spool)?;
            let rows = queue.of_message(id).map_err(spool)?;
            if events.is_empty() && rows.is_empty() {
                return Err(nothing(&name));
            }
            Ok((id, events, rows))
        };
        let found = crate::spool::off_thread(&*self.queue.spool(), look).await.map_err(spool)?;
        let (id, events, rows) = found?;
        let mut waiting = Vec::with_capacity(rows.len());
        for (number, row) in rows.iter().enumerate() {
            let waits_for = if number < EXPLAINED_MAX {
                self.waits_for(row, &events).await
            } else {
                simply(row, &events, self.queue.now()).unwrap_or_else(|| "its turn".to_owned())
            };
            waiting.push(WaitingRow { delivery: self.row(row), waits_for });
        }
        Ok(story(id, events, waiting))
    }

    /// The one thing that a delivery waits for.
    async fn waits_for(&self, row: &QueueRow, events: &[Event]) -> String {
        if let Some(known) = simply(row, events, self.queue.now()) {
            return known;
        }
        let first = row.delivery.recipients.first().map(|it| &it.address);
        let Some(address): Option<&Address> = first else { return "nothing".to_owned() };
        let found = self.dispatch.explain(address, row.pool()).await;
        let explained = explain::explanation(address, &found);
        match (explained.goes, row.active) {
            (true, true) => format!(
                "its turn at {}: {} deliveries stand in line there, and it goes from {}",
                explained.site.unwrap_or_default(),
                explained.waiting,
                explained.source.unwrap_or_default()
            ),
            (true, false) => "it is read from disk and goes in a moment".to_owned(),
            (false, _) => explained.verdict,
        }
    }

    /// Who waits.
    pub(super) async fn summary_by(&self, by: GroupBy) -> Result<QueueSummary, ControlError> {
        let census = self.queue.census().await;
        let census = census.map_err(|error| ControlError::Spool(error.to_string()))?;
        let groups = match by {
            GroupBy::Site => self.by_site(&census),
            GroupBy::Domain => rows(&census.domains),
            GroupBy::Account => rows(&census.accounts),
            GroupBy::Tag => rows(&census.tags),
            GroupBy::Pool => {
                let default = self.config.get().delivery.pool.to_string();
                let mut pools: BTreeMap<String, Group> = BTreeMap::new();
                for (name, group) in &census.pools {
                    let name = if name.is_empty() { default.clone() } else { name.clone() };
                    pools.entry(name).or_default().add(group);
                }
                rows(&pools)
            }
        };
        Ok(QueueSummary {
            counted_at: census.at.to_rfc3339(),
            all: group_row("", &census.all),
            groups,
        })
    }

    /// How many are meant, where one name says which, the queue is so deep that it takes long to count them, and they were
    /// counted a minute ago.
    pub(super) fn counted_before(&self, query: &QueueQuery) -> Option<usize> {
        let QueueQuery { domain, site, pool, account, tag, .. } = query.clone();
        let named = QueueQuery { domain, site, pool, account, tag, ..QueueQuery::default() };
        let asked = QueueQuery { limit: None, ..query.clone() };
        if named != asked {
            return None;
        }
        let census = self.queue.slow_census()?;
        let deliveries = |group: &Group| group.deliveries;
        let all = census.all.deliveries;
        let found = match (&named.domain, &named.site, &named.pool, &named.account, &named.tag) {
            (None, None, None, None, None) => Some(all),
            (Some(it), None, None, None, None) => {
                census.domains.get(&it.to_lowercase()).map(deliveries)
            }
            (None, Some(it), None, None, None) => {
                let known = self.by_site(&census).into_iter().find(|row| row.group == *it);
                known.map(|row| row.deliveries)
            }
            (None, None, None, Some(it), None) => census.accounts.get(it).map(deliveries),
            (None, None, None, None, Some(it)) => census.tags.get(it).map(deliveries),
            _ => None,
        };
        found.and_then(|count| usize::try_from(count).ok())
    }

    fn by_site(&self, census: &Census) -> Vec<GroupRow> {
        let mut sites: BTreeMap<String, Group> = BTreeMap::new();
        for (domain, group) in &census.domains {
            let site = self.dispatch.site_of(domain).unwrap_or_else(|| domain.clone());
            sites.entry(site).or_default().add(group);
        }
        rows(&sites)
    }
}

fn nothing(name: &str) -> ControlError {
    ControlError::NotFound(format!(
        "no message {name} is known: events are kept for the time of `events.keep`, and `GET /api/v1/trace` finds \
         messages by address and tag"
    ))
}

/// What a delivery waits for, where it alone tells.
fn simply(row: &QueueRow, events: &[Event], now: Timestamp) -> Option<String> {
    let delivery = &row.delivery;
    if let Some(hold) = &delivery.hold {
        return Some(match hold.until {
            None => format!("somebody to release it: held by {}", hold.words()),
            Some(until) => {
                format!("the end of its hold, {}: held by {}", until.to_rfc3339(), hold.words())
            }
        });
    }
    if delivery.due <= now {
        return None;
    }
    let of_it = |event: &&Event| {
        event.recipient.as_ref().is_some_and(|address| {
            delivery.recipients.iter().any(|it| it.address.to_string() == *address)
        })
    };
    let until = delivery.due.to_rfc3339();
    let last = events.iter().rev().find(of_it);
    match last.filter(|event| event.kind == EventKind::Waiting) {
        Some(event) => {
            let why = event.detail.clone().unwrap_or_default();
            Some(format!("a limit, until {until}: {why}"))
        }
        None => Some(match &delivery.last {
            Some(last) => {
                format!("its next attempt, at {until}: the last answer was {}", last.reply)
            }
            None => format!("its time to be sent, {until}"),
        }),
    }
}

fn story(id: Id, events: Vec<Event>, waiting: Vec<WaitingRow>) -> Story {
    let about = events.iter().find(|event| event.kind == EventKind::Accepted);
    let row: Option<&Row> = waiting.first().map(|row| &row.delivery);
    let text = |of_event: Option<String>, of_row: Option<String>| of_event.or(of_row);
    Story {
        message: id.to_string(),
        message_id: text(
            about.and_then(|event| event.message_id.clone()),
            row.and_then(|row| row.message_id.clone()),
        ),
        sender: text(
            about.and_then(|event| event.sender.clone()),
            row.map(|row| row.sender.clone()),
        ),
        accepted: id.time().to_rfc3339(),
        send_at: text(
            about.and_then(|event| event.next_attempt.clone()),
            row.and_then(|row| row.send_at.clone()),
        ),
        listener: about.and_then(|event| event.listener.clone()),
        account: text(
            about.and_then(|event| event.account.clone()),
            row.map(|row| row.account.clone()),
        ),
        pool: events.iter().rev().find_map(|event| event.pool.clone()),
        tags: about
            .map(|event| event.tags.clone())
            .or(row.map(|row| row.tags.clone()))
            .unwrap_or_default(),
        size: about.and_then(|event| event.size).or(row.map(|row| row.size)),
        state: if waiting.is_empty() { "ended" } else { "waiting" }.to_owned(),
        recipients: recipients(&events),
        waiting,
        events,
    }
}

/// The last that is known of each recipient, in the order in which they came.
pub(super) fn recipients(events: &[Event]) -> Vec<RecipientRow> {
    let mut rows: Vec<RecipientRow> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        let Some(address) = &event.recipient else { continue };
        let row = RecipientRow {
            address: address.clone(),
            state: event.kind.word().to_owned(),
            since: event.time.clone(),
            reply: event.reply.clone().or_else(|| event.detail.clone()),
        };
        match places.get(address.as_str()) {
            Some(place) => {
                if let Some(known) = rows.get_mut(*place) {
                    *known = row;
                }
            }
            None if rows.len() < RECIPIENTS_MAX => {
                places.insert(address, rows.len());
                rows.push(row);
            }
            None => {}
        }
    }
    rows
}

fn rows<'a>(groups: impl IntoIterator<Item = (&'a String, &'a Group)>) -> Vec<GroupRow> {
    groups.into_iter().map(|(name, group)| group_row(name, group)).collect()
}

fn group_row(name: &str, group: &Group) -> GroupRow {
    GroupRow {
        group: name.to_owned(),
        deliveries: group.deliveries,
        recipients: group.recipients,
        held: group.held,
        deferred: group.deferred,
        octets: group.octets,
        oldest: group.oldest.map(Timestamp::to_rfc3339),
        next_attempt: group.next.map(Timestamp::to_rfc3339),
        last_reply: group.last.as_ref().map(|(_, reply)| reply.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, kind: EventKind, to: &str) -> Event {
        let mut event = Event::new(Id::first_at(Timestamp::from_millis(number)), kind);
        event.recipient = Some(to.to_owned());
        event
    }

    #[test]
    fn a_recipient_is_in_the_state_that_the_last_event_says() {
        let mut deferred = event(3, EventKind::Deferred, "a@x.pe");
        deferred.reply = Some("450 later".to_owned());
        let events = [
            event(1, EventKind::Accepted, "a@x.pe"),
            event(2, EventKind::Accepted, "b@x.pe"),
            deferred,
            event(4, EventKind::Delivered, "b@x.pe"),
        ];
        let rows = recipients(&events);
        let told: Vec<(&str, &str, Option<&str>)> = rows
            .iter()
            .map(|row| (row.address.as_str(), row.state.as_str(), row.reply.as_deref()))
            .collect();
        assert_eq!(
            told,
            [("a@x.pe", "deferred", Some("450 later")), ("b@x.pe", "delivered", None)]
        );
        let many: Vec<Event> = (0..2 * RECIPIENTS_MAX as u64)
            .map(|number| event(number, EventKind::Accepted, &format!("{number}@x.pe")))
            .collect();
        assert_eq!(recipients(&many).len(), RECIPIENTS_MAX);
    }
}
