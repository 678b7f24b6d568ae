//! What an operator does to sources, and asks of them. Each change is told as an event and is on disk when it
//! returns; what was waiting gets another look at once.

use std::sync::Arc;

use relay_config::config::Source;

use crate::egress::vetting::{Check, Outcome, Verdict, verdict};
use crate::egress::{
    Coming, Egress, Halt, Halted, Leaving, Listed, Mailing, PathLever, PathState, Share, SiteKind,
    SourceLever,
};
use crate::message::{Domain, Message, Timestamp};

use super::hearing::operations;
use super::item::{Waiting, campaign, sending_domain};
use super::{Dispatch, destination};

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// It makes no sense, or must not be.
    #[error("{0}")]
    Refused(String),
    /// It was done, and could not be written down.
    #[error("it is so until the relay stops, for it could not be written down: {0}")]
    NotWritten(String),
}

/// A swap that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwapOrder {
    /// Who leaves.
    pub source: String,
    /// This standby, and no other.
    pub with: Option<String>,
    /// Nothing is changed.
    pub dry_run: bool,
    /// The operator answers for checks that do not pass.
    pub force: bool,
    /// Who and why.
    pub why: String,
}

/// What a swap is, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Each pool that the source leaves.
    pub pools: Vec<PoolSwap>,
    /// Why it cannot be; `None`: it can.
    pub obstacle: Option<String>,
    /// It was done.
    pub done: bool,
}

/// A swap in one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSwap {
    /// The pool as it was found.
    pub leaving: Leaving,
    /// Standbys that were looked at, to the first that passed, and what was found.
    pub looked_at: Vec<Looked>,
    /// Who comes.
    pub comes: Option<Arc<Source>>,
    /// It comes though its checks do not pass.
    pub forced: bool,
}

/// A standby that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Which.
    pub source: Arc<Source>,
    /// What its checks say together.
    pub verdict: Verdict,
    /// Each of them.
    pub checks: Vec<Check>,
}

impl Dispatch {
    /// A source, and each of its paths that is in use or remembered.
    pub fn source(&self, name: &str) -> Option<(Listed, Vec<PathState>)> {
        let now = self.queue.now();
        let state = self.state();
        let listed =
            state.egress.sources().list().into_iter().find(|it| *it.source.name == *name)?;
        Some((listed, state.egress.paths(|source| source == name, now)))
    }

    /// Paths that are not as they should be, or where a server has taught us to send less.
    pub fn paths_amiss(&self) -> Vec<PathState> {
        let now = self.queue.now();
        self.state().egress.paths_amiss(now)
    }

    /// Every path that warms up of the sources of a pool, or of all.
    pub fn paths_warming(&self, pool: Option<&str>) -> Vec<PathState> {
        let now = self.queue.now();
        let mut paths = self.state().egress.paths_warming(now);
        paths.retain(|path| pool.is_none_or(|pool| path.pool.as_deref() == Some(pool)));
        paths
    }

    /// Each blocklist that is asked, why it is ignored if it is, and whom it lists.
    pub fn blocklists(
        &self,
    ) -> Vec<(Arc<str>, Option<String>, Vec<crate::egress::blocklist::Listed>)> {
        self.blocklists.lists()
    }

    /// What is halted where.
    pub fn halts(&self) -> Vec<(Arc<str>, Halted, Halt)> {
        self.state().egress.halts(self.queue.now())
    }

    /// How many days a mailing takes from a pool.
    pub fn mailing(&self, pool: &str, mix: &[Share]) -> Result<Mailing, NotDone> {
        let now = self.queue.now();
        self.state().egress.mailing(pool, mix, now).map_err(NotDone::Refused)
    }

    /// An operator acts on a source. Returns what was done, in a sentence.
    pub async fn pull_source_lever(
        &self,
        source: &str,
        lever: SourceLever,
    ) -> Result<String, NotDone> {
        let source: Arc<str> = source.into();
        self.change(|egress, now| egress.pull_source_lever(&source, lever, now)).await
    }

    /// An operator acts on a source at one site: a provider, a site as it is shown, or a domain whose mail
    /// goes there.
    pub async fn pull_path_lever(
        &self,
        source: &str,
        at: &str,
        lever: PathLever,
    ) -> Result<String, NotDone> {
        let (site, kind) = self.place_of(at).await.map_err(NotDone::Refused)?;
        let source: Arc<str> = source.into();
        self.change(|egress, now| egress.pull_path_lever(&site, &kind, &source, lever, now)).await
    }

    /// An operator has a sending domain or a campaign go on at a site. Returns the site and what was halted.
    pub async fn release(
        &self,
        at: &str,
        name: &str,
        why: &str,
    ) -> Result<(Arc<str>, Vec<Halted>), NotDone> {
        let site: Arc<str> = at.into();
        let released = self.change(|egress, now| egress.release(&site, name, why, now)).await?;
        Ok((site, released))
    }

    /// Takes a source out of its pools and a standby in, or says what would come of it.
    pub async fn swap(&self, order: &SwapOrder) -> Result<Swap, NotDone> {
        let with = order.with.as_deref();
        let now = self.queue.now();
        let leaving = self.state().egress.may_swap(&order.source, with, now);
        let mut pools = Vec::new();
        for leaving in leaving.map_err(NotDone::Refused)? {
            pools.push(self.look_at_standbys(leaving, order.force).await);
        }
        let obstacle = pools.iter().find_map(|pool| obstacle(pool, order.force));
        let mut swap = Swap { pools, obstacle, done: false };
        if order.dry_run || swap.obstacle.is_some() {
            return Ok(swap);
        }
        let coming: Vec<Coming> = swap.pools.iter().filter_map(coming).collect();
        let source: Arc<str> = order.source.as_str().into();
        self.change(|egress, now| egress.swap_by_hand(&source, &coming, &order.why, now)).await?;
        swap.done = true;
        Ok(swap)
    }

    /// Looks at the standbys of a pool in order, to the first that passes.
    async fn look_at_standbys(&self, leaving: Leaving, force: bool) -> PoolSwap {
        let mut pool = PoolSwap { leaving, looked_at: Vec::new(), comes: None, forced: false };
        for source in &pool.leaving.candidates {
            let Some(checks) = self.vet(&source.name).await else { continue };
            let verdict = verdict(&checks);
            pool.looked_at.push(Looked { source: Arc::clone(source), verdict, checks });
            if verdict == Verdict::Passes {
                pool.comes = Some(Arc::clone(source));
                return pool;
            }
        }
        if force {
            pool.comes = pool.looked_at.first().map(|looked| Arc::clone(&looked.source));
            pool.forced = pool.comes.is_some();
        }
        pool
    }

    /// The site that an operator means.
    async fn place_of(&self, at: &str) -> Result<(Arc<str>, SiteKind), String> {
        {
            let state = self.state();
            if let Some(route) = state.routes.values().find(|route| *route.site == *at) {
                let to = destination(route);
                return Ok((to.site, to.kind));
            }
            if let Some(kind) = state.egress.kind_of_known(at) {
                return Ok((at.into(), kind));
            }
        }
        let nothing = |why: String| {
            format!(
                "nothing is known of a site {at} ({why}); write a provider, a site as `tambo explain ADDRESS` \
                 shows it, or a domain of recipients"
            )
        };
        let domain = Domain::parse(at).map_err(|error| nothing(error.to_string()))?;
        let found = self.resolver.get().route(domain.as_str(), self.queue.now()).await;
        let route = found.map_err(|failure| nothing(failure.cause))?;
        let to = destination(&route);
        Ok((to.site, to.kind))
    }

    /// Changes egress: told, on disk, and everything that waits looked at again.
    async fn change<R>(
        &self,
        act: impl FnOnce(&mut Egress<Waiting>, Timestamp) -> Result<R, String>,
    ) -> Result<R, NotDone> {
        // What is to be written is taken under the lock under which it changes: nobody else writes it meanwhile.
        let (done, savings) = {
            let mut state = self.state();
            let now = self.queue.now();
            let done = act(&mut state.egress, now).map_err(NotDone::Refused)?;
            (done, state.egress.to_save(now))
        };
        self.tell_decisions();
        let written = self.queue.commit_state(operations(&savings)).await;
        {
            let mut state = self.state();
            match &written {
                Ok(()) => state.egress.saved(&savings),
                Err(_) => state.egress.not_saved(savings),
            }
        }
        if self.may_start() {
            let waiting = self.state().egress.waiting_sites();
            self.balance_all(&waiting);
        }
        written.map_err(|error| NotDone::NotWritten(error.to_string()))?;
        Ok(done)
    }
}

/// Whether a message is what was halted.
pub fn is_halted_as(message: &Message, halted: &[Halted]) -> bool {
    halted.iter().any(|what| match what {
        Halted::Domain(domain) => sending_domain(message) == Some(domain.as_str()),
        Halted::Campaign(name) => campaign(message) == name,
    })
}

/// Why nobody can come in a pool.
fn obstacle(pool: &PoolSwap, force: bool) -> Option<String> {
    if pool.comes.is_some() {
        return None;
    }
    let name = &pool.leaving.pool;
    if pool.leaving.candidates.is_empty() {
        return Some(format!(
            "no standby waits for {name}: `tambo sources suspend` stops the source, and the pool goes on with fewer"
        ));
    }
    let later = pool.looked_at.iter().any(|looked| looked.verdict == Verdict::Later);
    let hope =
        if later { " Something could not be found out yet: try again in a while." } else { "" };
    (!force).then(|| {
        format!("no standby of {name} passes its checks: mend what they say, or answer for it with --force.{hope}")
    })
}

fn coming(pool: &PoolSwap) -> Option<Coming> {
    let source = pool.comes.as_ref()?;
    let looked = pool.looked_at.iter().find(|looked| looked.source.name == source.name)?;
    let because = if pool.forced {
        let failed = looked.checks.iter().filter(|check| check.outcome != Outcome::Passed);
        let failed: Vec<String> = failed.map(|check| check.what.to_string()).collect();
        format!("an operator answers for what is not as it should be ({})", failed.join(", "))
    } else {
        "it passed its checks".to_owned()
    };
    let (pool, standby) = (Arc::clone(&pool.leaving.pool), Arc::clone(&source.name));
    Some(Coming { pool, standby, because })
}
