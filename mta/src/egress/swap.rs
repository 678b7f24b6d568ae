//! A source that is blamed everywhere leaves its pools, and a standby that passes its checks takes its place. Never more
//! than a share of a pool in a day, and never for what a domain, a content or a recipient is blamed for:
//! a train of new addresses is what a spammer looks like.

use std::sync::Arc;
use std::time::Duration;

use crate::message::Timestamp;

use super::Item;
use super::books::Egress;
use super::decision::{Decision, DecisionKind, span};
use super::sources::Standing;

const DAY: Duration = Duration::from_hours(24);

/// A pool that wants a standby for a source that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The pool.
    pub pool: Arc<str>,
    /// Who left.
    pub left: Arc<str>,
    /// Standbys of the pool that may send, in order; their checks are not made yet.
    pub candidates: Vec<Arc<str>>,
}

impl Wanted {
    /// Whether it is the same vacancy.
    pub fn is_same(&self, other: &Self) -> bool {
        self.pool == other.pool && self.left == other.left
    }
}

/// What an operator may do to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceLever {
    /// Nothing is sent from it.
    Suspend {
        /// Who and why.
        why: String,
        /// `None`: until resumed.
        until: Option<Timestamp>,
    },
    /// It takes nothing new; what is in use ends.
    Drain {
        /// Who and why.
        why: String,
    },
    /// It sends again; what was quarantined waits as standby.
    Resume {
        /// Who and why.
        why: String,
    },
}

impl<T: Item> Egress<T> {
    /// A source is blamed everywhere: it leaves its pools, unless too many have left today.
    pub fn quarantine(&mut self, source: &Arc<str>, evidence: &str, now: Timestamp) {
        if matches!(self.sources.standing(source), Some(Standing::Quarantined { .. }) | None) {
            return;
        }
        let pools = self.sources.pools_of(source);
        if let Some(full) = pools.iter().find(|pool| self.swaps_left(pool, now) == 0) {
            self.refuse_quarantine(source, full, evidence, now);
            return;
        }
        self.sources.leave(source, now);
        let why = evidence.to_owned();
        self.sources
            .set_standing(source, Standing::Quarantined { why, since: now, clean_since: None });
        self.remembered.unsaved_source(source);
        for pool in &pools {
            self.remembered.unsaved_pool(pool);
            if self.settings.swap.automatic {
                let wanted = self.blames.wanted.entry(Arc::clone(pool)).or_default();
                wanted.push(Arc::clone(source));
            }
        }
        self.redeal_all(now);
        let names: Vec<&str> = pools.iter().map(|pool| &**pool).collect();
        let replaced = if self.settings.swap.automatic {
            "a standby that passes its checks takes its place".to_owned()
        } else {
            format!("`tambo sources swap {source}` brings a standby in (`swap.automatic` is off)")
        };
        let text = format!(
            "{source} has left {}: {evidence}. Its mail goes from the other sources; {replaced}. It waits as standby \
             once it has been clean for {}; ask for its removal from the lists that name it",
            if names.is_empty() { "no pool".to_owned() } else { names.join(", ") },
            span(self.settings.swap.clean_for)
        );
        self.decisions.push(Decision::new(DecisionKind::Quarantined, text).source(source));
    }

    fn refuse_quarantine(
        &mut self,
        source: &Arc<str>,
        full: &Arc<str>,
        evidence: &str,
        now: Timestamp,
    ) {
        if !self.blames.may_alert("quarantine", source, now) {
            return;
        }
        let text = format!(
            "{source} should leave its pools and stays: {evidence}; as many sources of {full} have left today as \
             `swap.share` allows. So many at once is rarely the fault of addresses: look at what is sent, and to \
             whom. `tambo sources swap {source}` replaces it all the same"
        );
        self.decisions.push(Decision::new(DecisionKind::Alert, text).source(source));
    }

    /// Sources of a pool that may still be replaced today.
    pub fn swaps_left(&self, pool: &str, now: Timestamp) -> usize {
        let Some(config) = self.sources.pool_config(pool) else { return 0 };
        let allowed = self.settings.swap.most_in_a_day(config.sources.len());
        let gone = self.sources.left_within(pool, DAY, now);
        allowed.saturating_sub(gone)
    }

    /// Pools that want a standby.
    pub fn wanted(&self) -> Vec<Wanted> {
        let of = |(pool, left): (&Arc<str>, &Vec<Arc<str>>)| {
            let candidates = self.sources.standby(pool).iter();
            let candidates = candidates.filter(|name| self.sources.is_usable(name)).cloned();
            Some(Wanted {
                pool: Arc::clone(pool),
                left: Arc::clone(left.first()?),
                candidates: candidates.collect(),
            })
        };
        self.blames.wanted.iter().filter_map(of).collect()
    }

    /// A standby passed its checks: it takes the place. `false`: it does not wait for that pool.
    pub fn join(&mut self, wanted: &Wanted, standby: &Arc<str>) -> bool {
        self.take_place(wanted, standby, "it passed its checks")
    }

    /// A standby takes the place, for this reason.
    pub(super) fn take_place(
        &mut self,
        wanted: &Wanted,
        standby: &Arc<str>,
        because: &str,
    ) -> bool {
        let Wanted { pool, left, .. } = wanted;
        if !self.sources.join(pool, standby) {
            return false;
        }
        self.answered(pool, left);
        self.remembered.unsaved_pool(pool);
        let text = format!(
            "{standby} takes the place of {left} in {pool}: {because}, and starts or resumes its own warm-up"
        );
        let decision = Decision::new(DecisionKind::Swapped, text).source(standby).pool(pool);
        self.decisions.push(decision);
        true
    }

    /// No standby passed: the pool goes on with fewer, and says so. `why` names each with what it failed. The
    /// place stays vacant: a standby that passes later takes it.
    pub fn goes_on_with_fewer(&mut self, wanted: &Wanted, why: &str) {
        let Wanted { pool, left, .. } = wanted;
        let count = self.sources.active(pool).len();
        let text = format!(
            "{pool} goes on with {count} sources: no standby can take the place of {left}. {why}"
        );
        let decision = Decision::new(DecisionKind::Fewer, text).source(left).pool(pool);
        self.decisions.push(decision);
    }

    /// Places that were vacant before the start are vacant still.
    pub(super) fn find_vacancies(&mut self) {
        if !self.settings.swap.automatic {
            return;
        }
        for (pool, left) in self.sources.vacancies() {
            self.blames.wanted.entry(pool).or_default().push(left);
        }
    }

    pub(super) fn answered(&mut self, pool: &Arc<str>, left: &Arc<str>) {
        if let Some(wanted) = self.blames.wanted.get_mut(pool) {
            wanted.retain(|name| name != left);
            if wanted.is_empty() {
                self.blames.wanted.remove(pool);
            }
        }
    }

    /// An acting list names a source, or does so no longer.
    pub fn listed(&mut self, source: &Arc<str>, evidence: Option<&str>, now: Timestamp) {
        match evidence {
            Some(evidence) => {
                self.blames.listed.insert(Arc::clone(source));
                self.quarantine(source, evidence, now);
            }
            None => {
                self.blames.listed.remove(source);
            }
        }
    }

    /// Sources that the blocklists should be asked about at once.
    pub fn take_to_check(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.blames.to_check).into_iter().collect()
    }

    /// Looks after the quarantined: who has been clean long enough waits as standby again.
    pub fn review_quarantine(&mut self, now: Timestamp) {
        let clean_for = self.settings.swap.clean_for;
        for listed in self.sources.list() {
            let name = &listed.source.name;
            let Standing::Quarantined { why, since, clean_since } = listed.standing else {
                continue;
            };
            let blocked = self.blames.last_block(name).unwrap_or(since).max(since);
            let clean = !self.blames.listed.contains(name);
            let clean_now = clean.then(|| clean_since.unwrap_or(blocked).max(blocked));
            if clean_now.is_some_and(|clean| now.since(clean) >= clean_for) {
                let clean = span(clean_for);
                let because = format!("nothing has spoken against it for {clean}");
                self.return_to_standby(name, &because);
            } else if clean_now != clean_since {
                let standing = Standing::Quarantined { why, since, clean_since: clean_now };
                self.sources.set_standing(name, standing);
                self.remembered.unsaved_source(name);
            }
        }
    }

    fn return_to_standby(&mut self, source: &Arc<str>, because: &str) {
        self.sources.set_standing(source, Standing::Good);
        self.remembered.unsaved_source(source);
        self.blames.forgive(source);
        for pool in self.sources.return_as_standby(source) {
            self.remembered.unsaved_pool(&pool);
        }
        let text = format!("{source} waits as standby again: {because}");
        self.decisions.push(Decision::new(DecisionKind::Returned, text).source(source));
    }

    /// An operator acts on a source. Returns the sentence that says what was done, or why it cannot be.
    pub fn pull_source_lever(
        &mut self,
        source: &Arc<str>,
        lever: SourceLever,
        now: Timestamp,
    ) -> Result<String, String> {
        let standing = self.sources.standing(source).cloned();
        let Some(standing) = standing else { return Err(format!("there is no source {source}")) };
        let quarantined = matches!(standing, Standing::Quarantined { .. });
        if quarantined && !matches!(lever, SourceLever::Resume { .. }) {
            return Err(format!("{source} is quarantined: it sends nothing"));
        }
        let (standing, kind, text) = match lever {
            SourceLever::Suspend { why, until } => {
                let how_long = until.map_or_else(
                    || "until it is resumed".to_owned(),
                    |until| format!("for {}", span(until.since(now))),
                );
                let text = format!("{source} sends nothing {how_long}: {why}");
                (Standing::Suspended { why, until }, DecisionKind::Suspended, text)
            }
            SourceLever::Drain { why } => {
                let text = format!("{source} takes nothing new, what is in use ends: {why}");
                (Standing::Draining { why }, DecisionKind::Suspended, text)
            }
            SourceLever::Resume { .. } if standing == Standing::Good => {
                return Err(format!("{source} is not stopped"));
            }
            SourceLever::Resume { why } => {
                if quarantined {
                    self.return_to_standby(source, &why);
                    return Ok(format!(
                        "{source} is no longer quarantined and waits as standby; `tambo sources swap OTHER --with {source}` makes it active"
                    ));
                }
                let text = format!("{source} sends again: {why}");
                (Standing::Good, DecisionKind::Resumed, text)
            }
        };
        self.sources.set_standing(source, standing);
        self.remembered.unsaved_source(source);
        self.redeal_all(now);
        self.decisions.push(Decision::new(kind, text.clone()).source(source));
        Ok(text)
    }

    /// An operator swaps: the source leaves its pools whatever the share of the day.
    pub fn swap_out(
        &mut self,
        source: &Arc<str>,
        why: &str,
        now: Timestamp,
    ) -> Result<Vec<Wanted>, String> {
        if self.sources.standing(source).is_none() {
            return Err(format!("there is no source {source}"));
        }
        let pools = self.sources.leave(source, now);
        if pools.is_empty() {
            return Err(format!("{source} is active in no pool"));
        }
        let standing = Standing::Quarantined { why: why.to_owned(), since: now, clean_since: None };
        self.sources.set_standing(source, standing);
        self.remembered.unsaved_source(source);
        for pool in &pools {
            self.remembered.unsaved_pool(pool);
            self.blames.wanted.entry(Arc::clone(pool)).or_default().push(Arc::clone(source));
        }
        self.redeal_all(now);
        let text = format!("{source} has left its pools: {why}");
        self.decisions.push(Decision::new(DecisionKind::Quarantined, text).source(source));
        let wanted = self.wanted();
        Ok(wanted.into_iter().filter(|wanted| wanted.left == *source).collect())
    }
}
