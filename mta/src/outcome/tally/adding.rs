//! Events become sums.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::message::{Id, Timestamp};
use crate::spool::{Operation, Spool, SpoolError};

use super::page::{By, Grain, NONE, OTHER, Page, Tags, put, read, tags_key};
use super::sums::Sums;

/// What is looked at of an event.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    account: Option<String>,
    pool: Option<String>,
    recipient: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    site: Option<String>,
    provider: Option<String>,
    source: Option<String>,
    category: Option<String>,
    size: Option<u64>,
    seconds: Option<f64>,
}

impl Told {
    /// What it adds; `None`: it is not counted.
    fn sums(&self) -> Option<Sums> {
        let mut sums = Sums::default();
        match &*self.kind {
            "accepted" => sums.accepted = 1,
            "delivered" => {
                sums.delivered = 1;
                sums.octets = self.size.unwrap_or(0);
                sums.took(self.seconds.unwrap_or(0.0));
            }
            "deferred" => sums.deferred = 1,
            "bounced" => sums.bounced = 1,
            "expired" => sums.expired = 1,
            "suppressed" => sums.suppressed = 1,
            "complaint" => sums.complaints = 1,
            _ => return None,
        }
        Some(sums)
    }

    /// Domain of the recipient.
    fn domain(&self) -> String {
        let domain = self.recipient.as_deref().and_then(|it| it.rsplit_once('@'));
        domain.map_or_else(|| NONE.to_owned(), |(_, domain)| domain.to_ascii_lowercase())
    }

    fn provider(&self) -> &str {
        let unnamed = if self.site.is_some() { OTHER } else { NONE };
        self.provider.as_deref().unwrap_or(unnamed)
    }
}

/// What some events add to the sums.
#[derive(Debug, Default)]
pub(super) struct Delta(BTreeMap<(Grain, u32), Page>);

impl Delta {
    /// Adds an event. Mail that names no pool goes from `pool`.
    pub(super) fn add(&mut self, id: Id, line: &[u8], pool: &str, now: Timestamp) {
        let Ok(event) = serde_json::from_slice::<Told>(line) else { return };
        let Some(sums) = event.sums() else { return };
        let time = id.time();
        for grain in [Grain::Minute, Grain::Hour] {
            if now.since(time) >= grain.kept() {
                continue;
            }
            let page = self.0.entry((grain, grain.number(time))).or_default();
            page.of(By::Provider, event.provider()).add(&sums);
            if grain == Grain::Minute {
                continue;
            }
            page.of(By::Source, event.source.as_deref().unwrap_or(NONE)).add(&sums);
            page.of(By::Pool, event.pool.as_deref().unwrap_or(pool)).add(&sums);
            page.of(By::Account, event.account.as_deref().unwrap_or(NONE)).add(&sums);
            if sums.deferred + sums.bounced + sums.expired > 0 {
                page.of(By::Category, event.category.as_deref().unwrap_or(NONE)).add(&sums);
            }
            if sums.bounced + sums.expired > 0 {
                page.of(By::Domain, &event.domain()).add(&sums);
            }
            for tag in &event.tags {
                page.of(By::Tag, tag).add(&sums);
            }
            if event.tags.is_empty() {
                page.of(By::Tag, NONE).add(&sums);
            }
        }
    }

    /// What to write so that they are among what is kept.
    pub(super) fn operations(self, spool: &dyn Spool) -> Result<Vec<Operation>, SpoolError> {
        let mut operations = Vec::with_capacity(self.0.len() + 2);
        let mut days: BTreeMap<Vec<u8>, Tags> = BTreeMap::new();
        for ((grain, number), more) in self.0 {
            let mut tags = Tags::default();
            if grain == Grain::Hour {
                let key = tags_key(number);
                tags = match days.get(&key) {
                    Some(known) => known.clone(),
                    None => read(spool, &key)?,
                };
                if tags.welcome(more.tags()) {
                    days.insert(key, tags.clone());
                }
            }
            let key = grain.key(number);
            let mut page: Page = read(spool, &key)?;
            page.add(&more, &tags);
            operations.push(put(key, &page));
        }
        operations.extend(days.into_iter().map(|(key, tags)| put(key, &tags)));
        Ok(operations)
    }
}
