//! The suppression list, as it is asked for and changed from outside.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::admin::{
    ADDRESSES_MAX, ControlError, Page, SuppressionOrder, SuppressionQuery, SuppressionRemoval,
    SuppressionRow, SuppressionsAdded,
};
use crate::message::{Address, Domain};
use crate::spool::{SpoolError, off_thread};
use crate::suppression::{Cause, Entry, Subject};

use super::RelayControl;
use super::sources::not_done;

/// Rows of a page when nobody says.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;
/// Characters of a reason: an entry is one of up to a million.
const WHY_MAX: usize = 300;
/// Addresses that cannot be, of those that are named.
const WRONG_NAMED_MAX: usize = 10;

impl RelayControl {
    pub(super) async fn suppression_page(
        &self,
        query: SuppressionQuery,
    ) -> Result<Page<SuppressionRow>, ControlError> {
        let limit = query.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(question(format!("limit is a number from 1 to {PAGE_MAX}")));
        }
        let from = match &query.from {
            None => Vec::new(),
            Some(from) => URL_SAFE_NO_PAD
                .decode(from)
                .map_err(|_| question("from is not the `next` of a page before"))?,
        };
        let cause = match query.cause.as_deref() {
            None => None,
            Some("reply") => Some(Cause::Reply),
            Some("order") => Some(Cause::Order),
            Some(_) => return Err(question("cause is one of reply, order")),
        };
        let domain = match query.domain.as_deref() {
            None => None,
            Some(name) => {
                let domain = Domain::parse(name.trim_start_matches('@'));
                let domain = domain.map_err(|error| question(format!("{name}: {error}")))?;
                Some(Subject::of_domain(&domain))
            }
        };
        let account = query.account;
        let wanted = move |entry: &Entry| {
            account.as_ref().is_none_or(|account| entry.account.as_ref() == Some(account))
                && cause.is_none_or(|cause| entry.cause == cause)
                && domain.as_ref().is_none_or(|it| entry.subject.as_str().ends_with(it.as_str()))
        };
        let (entries, next) = self
            .read_list(move |me| {
                me.dispatch.suppressions().page(&*me.queue.spool(), &from, limit, &wanted)
            })
            .await?;
        let rows = entries.iter().map(row).collect();
        Ok(Page { rows, next: next.map(|key| URL_SAFE_NO_PAD.encode(key)) })
    }

    /// The entries of one subject; there is at least one.
    pub(super) async fn suppression_rows(
        &self,
        name: &str,
    ) -> Result<Vec<SuppressionRow>, ControlError> {
        let entries = self.entries_of(name).await?;
        Ok(entries.iter().map(row).collect())
    }

    /// What the list says of an address: its own entries and those of its domain, for all accounts first.
    pub(super) async fn entries_about(
        &self,
        address: &Address,
    ) -> Result<Vec<Entry>, ControlError> {
        let subjects = [Subject::of(address), Subject::of_domain(address.domain())];
        let read = move |me: Self| {
            let (spool, now) = (me.queue.spool(), me.queue.now());
            let mut entries = Vec::new();
            for subject in &subjects {
                entries.extend(me.dispatch.suppressions().of(&*spool, subject)?);
            }
            entries.retain(|entry| !entry.is_over(now));
            entries.sort_by_key(|entry| entry.account.is_some());
            Ok(entries)
        };
        self.read_list(read).await
    }

    async fn entries_of(&self, name: &str) -> Result<Vec<Entry>, ControlError> {
        let subject = subject(name)?;
        let wanted = subject.clone();
        let found = self
            .read_list(move |me| me.dispatch.suppressions().of(&*me.queue.spool(), &wanted))
            .await?;
        if found.is_empty() {
            let what = if subject.is_domain() { "all of " } else { "" };
            return Err(ControlError::NotFound(format!(
                "{what}{} is not on the suppression list",
                subject.as_str().trim_start_matches('@')
            )));
        }
        Ok(found)
    }

    pub(super) async fn add_suppressions(
        &self,
        order: SuppressionOrder,
    ) -> Result<SuppressionsAdded, ControlError> {
        let count = order.addresses.len();
        if !(1..=ADDRESSES_MAX).contains(&count) {
            return Err(question(format!(
                "addresses holds {count}: write 1 to {ADDRESSES_MAX} at a time"
            )));
        }
        if order.why.chars().count() > WHY_MAX || order.why.chars().any(char::is_control) {
            return Err(question(format!("`why` is one line of at most {WHY_MAX} characters")));
        }
        if let Some(account) = &order.account
            && !self.config.get().accounts.iter().any(|known| *known.name == **account)
        {
            return Err(question(format!("there is no account \"{account}\"")));
        }
        let mut subjects = subjects(&order.addresses)?;
        subjects.sort();
        subjects.dedup();
        let now = self.queue.now();
        let until = order.for_seconds.map(|seconds| now.after(Duration::from_secs(seconds.max(1))));
        let make = |subject| Entry {
            subject,
            account: order.account.clone(),
            since: now,
            until,
            cause: Cause::Order,
            who: Some(order.who.clone()),
            why: order.why.clone(),
            rule: None,
        };
        let entries: Vec<Entry> = subjects.into_iter().map(make).collect();
        let before = self.dispatch.suppressions().len();
        self.dispatch.add_suppressions(&entries).await.map_err(not_done)?;
        let added = self.dispatch.suppressions().len().saturating_sub(before).min(entries.len());
        Ok(SuppressionsAdded { added, replaced: entries.len() - added })
    }

    pub(super) async fn remove_suppressions(
        &self,
        name: &str,
        removal: SuppressionRemoval,
        who: &str,
    ) -> Result<Vec<SuppressionRow>, ControlError> {
        let mut entries = self.entries_of(name).await?;
        if let Some(account) = &removal.account {
            entries.retain(|entry| entry.account.as_ref() == Some(account));
            if entries.is_empty() {
                let why = format!("{name} is not on the suppression list of the account {account}");
                return Err(ControlError::NotFound(why));
            }
        }
        self.dispatch.remove_suppressions(&entries, who).await.map_err(not_done)?;
        Ok(entries.iter().map(row).collect())
    }

    /// Reads the list where waiting for a disk holds nobody up.
    async fn read_list<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let (me, spool) = (self.clone(), self.queue.spool());
        let read = off_thread(&*spool, move || work(me)).await;
        read.flatten().map_err(|error| ControlError::Spool(error.to_string()))
    }
}

fn subjects(addresses: &[String]) -> Result<Vec<Subject>, ControlError> {
    let (mut subjects, mut wrong) = (Vec::with_capacity(addresses.len()), Vec::new());
    for address in addresses {
        match Subject::parse(address) {
            Ok(subject) => subjects.push(subject),
            Err(error) => wrong.push(format!("\"{address}\": {error}")),
        }
    }
    if wrong.is_empty() {
        return Ok(subjects);
    }
    let count = wrong.len();
    wrong.truncate(WRONG_NAMED_MAX);
    let more = if count > wrong.len() { " …" } else { "" };
    Err(question(format!(
        "{count} of them cannot be, so none was taken: {}{more}",
        wrong.join("; ")
    )))
}

fn subject(name: &str) -> Result<Subject, ControlError> {
    Subject::parse(name).map_err(|error| question(format!("{name}: {error}")))
}

fn question(why: impl Into<String>) -> ControlError {
    ControlError::Question(why.into())
}

pub(super) fn row(entry: &Entry) -> SuppressionRow {
    let cause = match entry.cause {
        Cause::Order => "order",
        Cause::Reply => "reply",
    };
    SuppressionRow {
        address: entry.subject.to_string(),
        account: entry.account.clone(),
        since: entry.since.to_rfc3339(),
        until: entry.until.map(crate::message::Timestamp::to_rfc3339),
        cause: cause.to_owned(),
        who: entry.who.clone(),
        why: entry.why.clone(),
        rule: entry.rule.clone(),
    }
}
