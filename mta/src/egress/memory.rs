//! What egress must not forget when the relay stops: blocks of caps, suspensions, warm-up, what was learned,
//! halts, who stands where. Written as small records of the state family; whoever is asked for one that may
//! send more (a block) waits until it is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::Item;
use super::books::Egress;
use super::budget::Reserved;
use super::halts::{Halt, Halted};
use super::limits::Limits;
use super::path::{Path, PathRecord};
use super::site::{Destination, Site};
use super::sources::{PoolChanges, Standing};

/// Paths of silent sites that are remembered from before the start; of more, the rest is forgotten.
const PATHS_MAX: usize = 200_000;
/// The version that is written before each value.
const VERSION: u8 = 1;
/// Before every key in the state family.
const PREFIX: &str = "egress/";

/// A record that is written, or removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// Where.
    pub key: Vec<u8>,
    /// What; `None`: it is removed.
    pub value: Option<Bytes>,
    of: Of,
    reserved: Option<Reserved>,
}

/// A record as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Where.
    pub key: Vec<u8>,
    /// What.
    pub value: Bytes,
}

/// What a record is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Of {
    Path(Arc<str>, Arc<str>),
    Site(Arc<str>),
    Source(Arc<str>),
    Pool(Arc<str>),
    Halt(Arc<str>, Halted),
}

/// What is known from before the start and not used yet, and what is not on disk.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    paths: BTreeMap<Arc<str>, BTreeMap<Arc<str>, PathRecord>>,
    sites: BTreeMap<Arc<str>, Reserved>,
    count: usize,
    unsaved: BTreeSet<Of>,
}

impl Remembered {
    pub(super) fn unsaved(&mut self, site: &str, source: &str) {
        self.unsaved.insert(Of::Path(site.into(), source.into()));
    }

    pub(super) fn unsaved_site(&mut self, site: &str) {
        self.unsaved.insert(Of::Site(site.into()));
    }

    pub(super) fn unsaved_source(&mut self, source: &str) {
        self.unsaved.insert(Of::Source(source.into()));
    }

    pub(super) fn unsaved_pool(&mut self, pool: &str) {
        self.unsaved.insert(Of::Pool(pool.into()));
    }

    /// A site is used again: its paths are as they were left.
    pub(super) fn restore<T>(
        &mut self,
        name: &str,
        site: &mut Site<T>,
        limits: &Limits,
        started: Timestamp,
    ) {
        if let Some(reserved) = self.sites.remove(name) {
            site.budget = super::budget::Budget::restored(reserved);
        }
        for (source, record) in self.paths.remove(name).unwrap_or_default() {
            self.count -= 1;
            site.paths.insert(source, Path::restored(record, limits, started));
        }
    }

    /// Paths of sites that have been silent since the start: site, source, and what was kept.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &PathRecord)> {
        let sites = self.paths.iter();
        sites.flat_map(|(site, paths)| paths.iter().map(move |(source, it)| (site, source, it)))
    }

    /// What was kept of one of them.
    pub(super) fn path(&self, site: &str, source: &str) -> Option<&PathRecord> {
        self.paths.get(site)?.get(source)
    }

    /// Whether something is remembered of a site.
    pub(super) fn has_site(&self, site: &str) -> bool {
        self.paths.contains_key(site) || self.sites.contains_key(site)
    }

    fn add(&mut self, site: Arc<str>, source: Arc<str>, record: PathRecord) {
        if self.count >= PATHS_MAX {
            limit_hit("remembered_paths");
            return;
        }
        let before = self.paths.entry(site).or_default().insert(source, record);
        self.count += usize::from(before.is_none());
    }
}

impl<T: Item> Egress<T> {
    /// Where the records begin in the state family.
    pub fn keys() -> &'static [u8] {
        PREFIX.as_bytes()
    }

    /// Takes what was kept, before anything is sent. Returns the keys of records that cannot be read: they
    /// are of a later version, or damaged.
    pub fn restore(&mut self, kept: Vec<Kept>) -> Vec<String> {
        let mut unread = Vec::new();
        for Kept { key, value } in kept {
            if self.restore_one(&key, &value).is_none() {
                unread.push(String::from_utf8_lossy(&key).into_owned());
            }
        }
        self.find_vacancies();
        unread
    }

    fn restore_one(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let of: Of = serde_json::from_slice(key.strip_prefix(PREFIX.as_bytes())?).ok()?;
        match of {
            Of::Path(site, source) => self.remembered.add(site, source, decode(value)?),
            Of::Site(site) => {
                self.remembered.sites.insert(site, decode(value)?);
            }
            Of::Source(source) => {
                self.sources.set_standing(&source, decode::<Standing>(value)?);
            }
            Of::Pool(pool) => self.sources.restore_pool(&pool, decode::<PoolChanges>(value)?),
            Of::Halt(site, what) => self.halts.restore(site, what, decode::<Halt>(value)?),
        }
        Some(())
    }

    /// A set of hosts was replaced by another of the same people: what is known of sources at the one holds for
    /// the other, unless that is known itself.
    pub fn inherit(&mut self, before: &str, to: &Destination, now: Timestamp) {
        let known = match self.sites.get(before) {
            Some(site) => site.paths.iter().filter(|(_, path)| path.is_worth_keeping(now)),
            None => return,
        };
        let known: Vec<(Arc<str>, PathRecord)> =
            known.map(|(source, path)| (Arc::clone(source), path.record())).collect();
        let limits: Limits = super::books::limits_of(&self.settings.providers, &to.kind, "");
        for (source, record) in known {
            match self.sites.get_mut(&to.site) {
                Some(site) if site.paths.contains_key(&source) => continue,
                Some(site) => {
                    let path = Path::restored(record, &limits, self.started);
                    site.paths.insert(Arc::clone(&source), path);
                }
                None => self.remembered.add(Arc::clone(&to.site), Arc::clone(&source), record),
            }
            self.remembered.unsaved(&to.site, &source);
        }
    }

    /// Whether something waits to be written.
    pub fn has_unsaved(&self) -> bool {
        !self.remembered.unsaved.is_empty() || !self.halts.changed.is_empty()
    }

    /// What must be written now; [`Egress::saved`] tells when it is on disk.
    pub fn to_save(&mut self, now: Timestamp) -> Vec<Saving> {
        let mut unsaved = std::mem::take(&mut self.remembered.unsaved);
        let halts = std::mem::take(&mut self.halts.changed);
        unsaved.extend(halts.into_iter().map(|(site, what)| Of::Halt(site, what)));
        unsaved.into_iter().filter_map(|of| self.saving(of, now)).collect()
    }

    fn saving(&self, of: Of, now: Timestamp) -> Option<Saving> {
        let mut reserved = None;
        let value = match &of {
            Of::Path(site, source) => {
                let path = self.sites.get(site)?.paths.get(source)?;
                reserved = Some(path.budget.to_save());
                path.is_worth_keeping(now).then(|| encode(&path.record()))
            }
            Of::Site(site) => {
                let budget = self.sites.get(site)?.budget.to_save();
                reserved = Some(budget);
                Some(encode(&budget))
            }
            Of::Source(source) => {
                let standing = self.sources.standing(source)?;
                (*standing != Standing::Good).then(|| encode(standing))
            }
            Of::Pool(pool) => self.sources.pool_changes(pool).map(encode),
            Of::Halt(site, what) => self.halts.get(&(Arc::clone(site), what.clone())).map(encode),
        };
        // Names are text, so a key is text, and one that people can read.
        let name = serde_json::to_vec(&of).ok()?;
        let key = [PREFIX.as_bytes(), &name].concat();
        Some(Saving { key, value, of, reserved })
    }

    /// These are on disk: what they reserve may be used.
    pub fn saved(&mut self, savings: &[Saving]) {
        for Saving { of, reserved, .. } in savings {
            let Some(reserved) = *reserved else { continue };
            match of {
                Of::Path(site, source) => {
                    let path = self.sites.get_mut(site).and_then(|it| it.paths.get_mut(source));
                    if let Some(path) = path {
                        path.budget.saved(reserved);
                    }
                }
                Of::Site(site) => {
                    if let Some(site) = self.sites.get_mut(site) {
                        site.budget.saved(reserved);
                    }
                }
                Of::Source(_) | Of::Pool(_) | Of::Halt(..) => {}
            }
        }
    }

    /// These could not be written: they are asked for again.
    pub fn not_saved(&mut self, savings: Vec<Saving>) {
        self.remembered.unsaved.extend(savings.into_iter().map(|saving| saving.of));
    }

    /// Everything that paths count by the way (what was accepted today) and that has changed since it was
    /// written: once in a while.
    pub fn note_counts(&mut self, since: Timestamp) {
        for (name, site) in &self.sites {
            for (source, path) in &site.paths {
                if path.warm_up.is_some() && path.last_used >= since {
                    self.remembered.unsaved.insert(Of::Path(Arc::clone(name), Arc::clone(source)));
                }
            }
        }
    }
}

fn encode(value: &impl Serialize) -> Bytes {
    match postcard::to_extend(value, vec![VERSION]) {
        Ok(bytes) => bytes.into(),
        // Writing to a Vec cannot run out of room and our types have no maps of unknown length.
        Err(error) => unreachable!("a record that cannot be encoded: {error}"),
    }
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    match value.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}
