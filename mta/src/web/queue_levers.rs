//! The levers of Cola: retry, hold, release, move, bounce; of what waits, and of what comes where that is held, too.
//!
//! Each shows first how many deliveries it touches.

use axum::extract::{Extension, Form, Query, State};
use serde::Deserialize;

use crate::access::Person;
use crate::admin::{Acted, Action, HoldOrder, Order, Problem, QueueQuery, orders};

use super::ask::AskPage;
use super::deliveries::Which;
use super::forms::{filled, link};
use super::frame::{Frame, shown};
use super::gate;
use super::list::Field;
use super::orders::reason;
use super::{Answer, Web};

/// An order as the form sends it.
#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(flatten)]
    which: Which,
    action: String,
    #[serde(default)]
    hours: String,
    /// What comes is meant, too.
    #[serde(default)]
    also: String,
    /// The pool that it is moved to.
    #[serde(default)]
    to: String,
    #[serde(default)]
    why: String,
}

impl Sent {
    fn action(&self) -> Result<Action, Problem> {
        serde_json::from_value(self.action.as_str().into()).map_err(|_| {
            Problem::question(format!(
                "\"{}\" is nothing that can be done to the queue",
                self.action
            ))
        })
    }

    fn lasts_seconds(&self) -> Option<u64> {
        let hours: Option<u64> = filled(&self.hours).and_then(|hours| hours.parse().ok());
        hours.map(|it| it.saturating_mul(3_600))
    }

    fn order(&self, f: &Frame, dry_run: bool, why: String) -> Result<Order, Problem> {
        let action = self.action()?;
        let query: QueueQuery = self.which.query();
        if query.means_everything() {
            return Err(Problem::question(f.t("actions.names-nothing")));
        }
        Ok(Order {
            action,
            query,
            all: false,
            dry_run,
            why,
            until: None,
            for_seconds: self.lasts_seconds().filter(|_| action == Action::Hold),
            pool: filled(&self.to).filter(|_| action == Action::Move),
            who: String::new(),
        })
    }
}

/// What a lever is called, does and leaves undone; keys of the catalogue.
struct Lever {
    title: &'static str,
    what: &'static str,
    undo: &'static str,
    button: &'static str,
}

fn lever(action: Action) -> Lever {
    let [title, what, undo, button] = match action {
        Action::Retry => {
            ["actions.retry-title", "actions.retry-what", "actions.retry-undo", "actions.retry"]
        }
        Action::Hold => {
            ["actions.hold-title", "actions.hold-what", "actions.hold-undo", "actions.hold"]
        }
        Action::Release => [
            "actions.release-title",
            "actions.release-what",
            "actions.release-undo",
            "actions.release",
        ],
        Action::Bounce => {
            ["actions.bounce-title", "actions.bounce-what", "actions.bounce-undo", "actions.bounce"]
        }
        Action::Reroute => [
            "actions.reroute-title",
            "actions.reroute-what",
            "actions.reroute-undo",
            "actions.reroute",
        ],
        Action::Move => {
            ["actions.move-title", "actions.move-what", "actions.move-undo", "actions.move"]
        }
    };
    Lever { title, what, undo, button }
}

/// How many it would be done to.
pub(super) async fn ask(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Query(sent): Query<Sent>,
) -> Answer {
    let mut order = sent.order(&f, true, String::new())?;
    let action = order.action;
    let pools: Vec<String> = web.front.control.pools().into_iter().map(|it| it.name).collect();
    if action == Action::Move {
        // Which one is chosen below; how many are meant is the same for each.
        order.pool = pools.first().cloned();
    }
    let acted: Acted = orders::of_queue(&web.front, person.caller, order).await?;
    let pairs = sent.which.pairs();
    let mut hidden: Vec<(&'static str, String)> =
        pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    hidden.retain(|(_, value)| !value.is_empty());
    hidden.push(("action", sent.action.clone()));
    let to = Field {
        choices: pools.into_iter().map(|name| (name.clone(), name)).collect(),
        ..Field::line("move", "to", f.t("actions.move-to"))
    };
    // What comes can be held although nothing waits yet.
    let comes = action == Action::Hold && sent.which.kind().is_some();
    let Lever { title, what, undo, button } = lever(action);
    Ok(shown(&AskPage {
        title: f.t(title).to_owned(),
        explains: vec![sent.which.words(&f), f.t(what).to_owned()],
        count: Some(f.say("actions.touches", &[&f.number(acted.matched as u64)])),
        possible: acted.matched > 0 || comes,
        undo: f.t(undo).to_owned(),
        place: "/queue/act".to_owned(),
        hidden,
        fields: Vec::from_iter((action == Action::Move).then_some(to)),
        tick: comes.then(|| ("also", f.t("actions.hold-also"))),
        needs_reason: true,
        lasts: action == Action::Hold,
        grave: matches!(action, Action::Bounce | Action::Hold),
        button: f.t(button).to_owned(),
        back: link("/queue/deliveries", &pairs),
        f,
    }))
}

/// Does it.
pub(super) async fn act(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(sent): Form<Sent>,
) -> Answer {
    let order = sent.order(&f, false, reason(&f, &sent.why)?)?;
    let back = link("/queue/deliveries", &sent.which.pairs());
    if order.action == Action::Hold && !sent.also.is_empty() {
        let no_kind = || Problem::question(f.t("actions.no-kind"));
        let standing = HoldOrder {
            kind: sent.which.kind().ok_or_else(no_kind)?,
            all: false,
            dry_run: false,
            why: order.why,
            until: None,
            for_seconds: order.for_seconds,
            who: String::new(),
        };
        let made = orders::of_hold(&web.front, person.caller, standing).await?;
        let said = f.say("actions.hold-stands", &[&f.number(made.acted.done as u64)]);
        return Ok(gate::done(&web, "/queue", &said));
    }
    let acted = orders::of_queue(&web.front, person.caller, order).await?;
    Ok(gate::done(&web, &back, &told(&f, &acted)))
}

/// What was done, in words.
pub(super) fn told(f: &Frame, acted: &Acted) -> String {
    let (done, matched) = (f.number(acted.done as u64), f.number(acted.matched as u64));
    let said = f.say("actions.queue-done", &[&done, &matched]);
    let Some(refused) = acted.refused.first() else { return said };
    let count = f.number(acted.refused_count as u64);
    format!("{said} {}", f.say("actions.queue-refused", &[&count, &refused.why]))
}
