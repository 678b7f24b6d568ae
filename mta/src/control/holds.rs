//! Standing holds, as they are ordered and ended from outside.

use std::time::Duration;

use crate::admin::{Acted, ControlError, HoldMade, HoldOrder, HoldRow, MailKind, QueueQuery};
use crate::message::{Id, Timestamp};
use crate::queue::{Kind, Lever, StandingHold};

use super::RelayControl;

/// What could not be released (the spool failed for a moment, or it was in other hands) is tried again so much later.
const AGAIN: Duration = Duration::from_mins(1);

impl RelayControl {
    pub(super) fn hold_rows(&self) -> Vec<HoldRow> {
        self.queue.standing_holds().iter().map(row).collect()
    }

    /// Holds mail of a kind: first what comes, then what waits, so that nothing slips through between.
    pub(super) async fn hold_kind(&self, order: HoldOrder) -> Result<HoldMade, ControlError> {
        let until = self.end(order.until.as_deref(), order.for_seconds)?;
        let query = meant(&order.kind);
        if order.dry_run {
            return Ok(HoldMade { hold: None, acted: self.count(query).await? });
        }
        let (who, why) = (order.who, order.why);
        let made = self.queue.stand(kind(order.kind), (who.clone(), why.clone()), until).await;
        let hold = made.map_err(|error| ControlError::Refused(error.to_string()))?;
        let lever = Lever::Hold { who, why, until, standing: Some(hold.id) };
        // What is held already has its reason; what is in flight is held when it has to wait.
        let query = QueueQuery { held: Some(false), ..query };
        let acted = self.pull_on_all(query, &lever).await?;
        Ok(HoldMade { hold: Some(row(&hold)), acted })
    }

    /// Ends a standing hold. It is forgotten when all that it held is released, also over a restart.
    pub(super) async fn end_hold_of(&self, name: &str) -> Result<Acted, ControlError> {
        let nothing = || ControlError::NotFound(format!("there is no standing hold {name}"));
        let id: Id = name.trim().parse().map_err(|_| nothing())?;
        let begun = self.queue.begin_to_end_standing(id).await;
        if !begun.map_err(|error| ControlError::Spool(error.to_string()))? {
            return Err(nothing());
        }
        self.let_go(id).await
    }

    /// Ends what a life before this one began to end. Returns when it is done.
    pub async fn go_on_ending_holds(&self) {
        let ending = || self.queue.standing_holds().into_iter().find(|hold| hold.ending);
        while let Some(hold) = ending() {
            if let Err(error) = self.let_go(hold.id).await {
                tracing::error!(hold = %hold.id, %error, "what a standing hold held cannot be released yet");
                tokio::time::sleep(AGAIN).await;
            } else if ending().is_some_and(|it| it.id == hold.id) {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Releases what a standing hold holds, and forgets it when nothing is left: what could not be released (it was
    /// in other hands) would be held for ever by a name that nobody can order anything by.
    async fn let_go(&self, id: Id) -> Result<Acted, ControlError> {
        let query = QueueQuery { standing: Some(id.to_string()), ..QueueQuery::default() };
        let acted = self.pull_on_all(query.clone(), &Lever::EndStanding(id)).await?;
        if self.count(query).await?.matched == 0 {
            let forgotten = self.queue.forget_standing(id).await;
            forgotten.map_err(|error| ControlError::Spool(error.to_string()))?;
        }
        Ok(acted)
    }
}

/// What waits of a kind.
fn meant(kind: &MailKind) -> QueueQuery {
    let MailKind { site, domain, account, tag, sender, pool } = kind.clone();
    QueueQuery { domain, site, pool, account, tag, sender, ..QueueQuery::default() }
}

fn kind(kind: MailKind) -> Kind {
    let MailKind { site, domain, account, tag, sender, pool } = kind;
    Kind { site, domain, account, tag, sender, pool }
}

pub(super) fn row(hold: &StandingHold) -> HoldRow {
    let Kind { site, domain, account, tag, sender, pool } = hold.kind.clone();
    HoldRow {
        id: hold.id.to_string(),
        kind: MailKind { site, domain, account, tag, sender, pool },
        since: hold.since.to_rfc3339(),
        who: hold.who.clone(),
        why: hold.why.clone(),
        until: hold.until.map(Timestamp::to_rfc3339),
        ending: hold.ending,
    }
}
