//! Standing holds: mail of a kind is held, what waits now and what comes later, until somebody releases it or a
//! time is over.
//!
//! Dispatch asks before a delivery gets its place at a site. What matches is marked as held by that standing hold and
//! leaves memory; to end the standing hold is to find what carries its mark. A hold whose time is over lets its deliveries
//! go by themselves, as any hold does.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::message::{Delivery, EventKind, Hold, Id, Message, Timestamp};
use crate::metrics::limit_hit;
use crate::spool::{CommitError, Family, Operation, Spool, SpoolError};

use super::{Queue, Ready};

/// Standing holds at a time: each delivery is compared with each of them.
pub const STANDING_HOLDS_MAX: usize = 200;
/// Key: this and the id. Value: the standing hold, as JSON.
const PREFIX: &[u8] = b"queue/hold/";

/// Which mail: what is named must all be so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kind {
    /// The site that it goes to.
    pub site: Option<String>,
    /// The domain of a recipient, or the routing domain.
    pub domain: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// One of its tags.
    pub tag: Option<String>,
    /// MAIL FROM.
    pub sender: Option<String>,
    /// The pool that it leaves by.
    pub pool: Option<String>,
}

/// Where a delivery is about to go.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The site.
    pub site: &'a str,
    /// The pool.
    pub pool: &'a str,
}

/// How much mail is of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// Only that of an account, of a tag or of a sender.
    Some,
    /// All.
    All,
}

impl Kind {
    /// Whether a delivery is of this kind.
    pub fn takes(&self, delivery: &Delivery, message: &Message, place: &Place<'_>) -> bool {
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
        };
        same(&self.site, place.site)
            && same(&self.pool, place.pool)
            && same(&self.account, &message.account)
            && self.may_take(delivery)
            && self.tag.as_ref().is_none_or(|tag| message.tags.contains(tag))
            && (self.sender.is_none() || same(&self.sender, &message.sender.to_string()))
    }

    /// Whether it may be, as far as the routing domain of a delivery alone tells: that is the domain of its
    /// recipients, as an A-label, unless a route leads to a smarthost.
    pub fn may_go_to(&self, routing_domain: &str) -> bool {
        self.domain.as_deref().is_none_or(|wanted| {
            wanted.eq_ignore_ascii_case(routing_domain)
                || !wanted.is_ascii()
                || relay_config::routes::is_smarthost(routing_domain)
        })
    }

    /// Whether it may be, as far as the delivery alone tells.
    pub fn may_take(&self, delivery: &Delivery) -> bool {
        let Some(wanted) = self.domain.as_deref() else { return true };
        let mut domains = delivery.recipients.iter().map(|it| it.address.domain().as_str());
        wanted.eq_ignore_ascii_case(&delivery.domain)
            || domains.any(|it| wanted.eq_ignore_ascii_case(it))
    }

    /// Whether mail to these domains would be of this kind at a place, as far as that can be said before there is any.
    pub fn would_take(&self, domains: [&str; 2], place: &Place<'_>) -> Takes {
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
        };
        let to_domain =
            |wanted: &str| domains.iter().any(|domain| wanted.eq_ignore_ascii_case(domain));
        let there = same(&self.site, place.site) && same(&self.pool, place.pool);
        if !there || !self.domain.as_deref().is_none_or(to_domain) {
            return Takes::Nothing;
        }
        let parted = self.account.is_some() || self.tag.is_some() || self.sender.is_some();
        if parted { Takes::Some } else { Takes::All }
    }

    /// It names nothing, and so means all mail.
    pub fn means_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Mail of a kind is held, also what comes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingHold {
    /// Its name.
    pub id: Id,
    /// Which mail.
    pub kind: Kind,
    /// Since when.
    pub since: Timestamp,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
    /// It ends by itself.
    pub until: Option<Timestamp>,
    /// It has ended; what it held is being released.
    pub ending: bool,
}

impl StandingHold {
    /// Whether mail is held by it now.
    pub fn holds(&self, now: Timestamp) -> bool {
        !self.ending && self.until.is_none_or(|until| until > now)
    }

    /// As it stands at a delivery.
    pub fn hold(&self, now: Timestamp) -> Hold {
        Hold {
            since: now,
            who: self.who.clone(),
            why: self.why.clone(),
            until: self.until,
            standing: Some(self.id),
        }
    }

    fn key(id: Id) -> Vec<u8> {
        [PREFIX, &id.to_bytes()].concat()
    }

    fn put(&self) -> Operation {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Operation::Put(Family::State, Self::key(self.id), json.into())
    }
}

/// Why a standing hold was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// There are too many.
    #[error(
        "there are {STANDING_HOLDS_MAX} standing holds, as many as there may be: release those that are of no use"
    )]
    TooMany,
    /// The spool said no.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Reads the standing holds that were left.
pub(super) fn read(spool: &dyn Spool) -> Result<Vec<StandingHold>, SpoolError> {
    let mut holds = Vec::new();
    let until = super::keys::after_prefix(PREFIX.to_vec());
    spool.scan(Family::State, PREFIX, &until, &mut |_, value| {
        match serde_json::from_slice(value) {
            Ok(hold) => holds.push(hold),
            Err(error) => {
                tracing::error!(%error, "a standing hold cannot be read and is passed over");
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(holds)
}

impl Queue {
    /// Those that there are, oldest first; those whose time is over are not among them.
    pub fn standing_holds(&self) -> Vec<StandingHold> {
        let now = self.now();
        let all = self.standing.get();
        all.iter().filter(|hold| hold.ending || hold.holds(now)).cloned().collect()
    }

    /// The standing hold that keeps a delivery which is about to go there.
    pub fn held_by(&self, ready: &Ready, place: &Place<'_>) -> Option<Hold> {
        let all = self.standing.get();
        if all.is_empty() {
            return None;
        }
        let now = self.now();
        let takes = |it: &&StandingHold| it.kind.takes(&ready.delivery, &ready.message, place);
        let found = all.iter().filter(|hold| hold.holds(now)).find(takes);
        found.map(|hold| hold.hold(now))
    }

    /// From now on mail of a kind is held. Durable when it returns. What waits already is left to the caller.
    pub async fn stand(
        &self,
        kind: Kind,
        (who, why): (String, String),
        until: Option<Timestamp>,
    ) -> Result<StandingHold, NotMade> {
        let _turn = self.standing_turn.lock().await;
        let now = self.now();
        let (mut kept, over): (Vec<_>, Vec<_>) = (self.standing.get().iter().cloned())
            .partition(|hold: &StandingHold| hold.ending || hold.holds(now));
        if kept.len() >= STANDING_HOLDS_MAX {
            limit_hit("standing_holds");
            return Err(NotMade::TooMany);
        }
        let (id, since, ending) = (self.next_id(), now, false);
        let hold = StandingHold { id, kind, since, who, why, until, ending };
        let mut operations: Vec<Operation> = over
            .iter()
            .map(|hold| Operation::Delete(Family::State, StandingHold::key(hold.id)))
            .collect();
        operations.push(hold.put());
        self.committer.commit(operations).await?;
        kept.push(hold.clone());
        self.standing.set(kept);
        Ok(hold)
    }

    /// A standing hold takes nothing more. Durable when it returns. `false`: there is none of this name.
    pub async fn begin_to_end_standing(&self, id: Id) -> Result<bool, CommitError> {
        let _turn = self.standing_turn.lock().await;
        let mut all: Vec<StandingHold> = self.standing.get().to_vec();
        let Some(hold) = all.iter_mut().find(|hold| hold.id == id) else { return Ok(false) };
        hold.ending = true;
        let operation = hold.put();
        self.committer.commit(vec![operation]).await?;
        // Whoever looks from now on for what it held finds all of it.
        let _gate = self.standing_gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.standing.set(all);
        Ok(true)
    }

    /// Nothing is held by it any more.
    pub async fn forget_standing(&self, id: Id) -> Result<(), CommitError> {
        let _turn = self.standing_turn.lock().await;
        let key = StandingHold::key(id);
        self.committer.commit(vec![Operation::Delete(Family::State, key)]).await?;
        let all: Vec<StandingHold> =
            self.standing.get().iter().filter(|hold| hold.id != id).cloned().collect();
        self.standing.set(all);
        Ok(())
    }

    /// Holds a delivery that was about to go. Durable within 10 ms.
    pub fn set_aside(&self, mut ready: Ready, hold: Hold) -> Result<(), CommitError> {
        let _gate = self.standing_gate.lock().unwrap_or_else(PoisonError::into_inner);
        if hold.standing.is_some_and(|id| !self.stands(id)) {
            self.give_back(&ready);
            return Ok(());
        }
        ready.delivery.hold = Some(hold);
        self.held.more();
        let operations = self.rewrite(&ready, Some(EventKind::Held), None);
        self.committer.ride(operations)?;
        let again = ready.delivery.listed();
        self.leaves(&ready, again);
        Ok(())
    }

    /// Whether the standing hold of this name holds mail now.
    pub(super) fn stands(&self, id: Id) -> bool {
        let now = self.now();
        self.standing.get().iter().any(|hold| hold.id == id && hold.holds(now))
    }
}

impl Ready {
    /// The pool that it asks for: that to which an operator moved it, else its message's.
    pub fn pool(&self) -> Option<&str> {
        pool(&self.delivery, &self.message)
    }
}

/// The pool that a delivery asks for.
pub fn pool<'a>(delivery: &'a Delivery, message: &'a Message) -> Option<&'a str> {
    delivery.pool.as_deref().or(message.pool.as_deref())
}
