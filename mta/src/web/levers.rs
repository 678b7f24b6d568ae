//! The levers of Direcciones IP: suspend, resume, drain, swap; and the release of what is halted.
//!
//! Nothing is done by a link: each lever shows first what it would do and what can be undone, and asks for a reason.

use askama::Template;
use axum::extract::{Extension, Form, Path, Query, State};
use serde::Deserialize;

use crate::access::Person;
use crate::admin::{
    Problem, ReleaseOrder, SourceAction, SourceOrder, SourceRow, SwapAnswer, SwapOrder, orders,
};

use super::ask::AskPage;
use super::forms::{escaped, filled};
use super::frame::{Frame, shown};
use super::gate;
use super::orders::reason;
use super::{Answer, Web};

#[derive(Deserialize)]
pub(super) struct ActQuery {
    action: String,
    #[serde(default)]
    at: String,
}

fn action(word: &str) -> Result<SourceAction, Problem> {
    serde_json::from_value(word.into()).map_err(|_| {
        Problem::question(format!("\"{word}\" is nothing that can be done to a source"))
    })
}

/// What suspend, resume or drain would do.
pub(super) async fn ask(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Path(name): Path<String>,
    Query(query): Query<ActQuery>,
) -> Answer {
    let row = web.front.control.source(name.clone()).await?.source;
    let (title, explains, undo, button) = match action(&query.action)? {
        SourceAction::Suspend => (
            "actions.suspend-title",
            "actions.suspend-what",
            "actions.suspend-undo",
            "actions.suspend",
        ),
        SourceAction::Resume => {
            ("actions.resume-title", "actions.resume-what", "actions.resume-undo", "actions.resume")
        }
        SourceAction::Drain => {
            ("actions.drain-title", "actions.drain-what", "actions.drain-undo", "actions.drain")
        }
    };
    let pools = row.pools.join(", ");
    let at = filled(&query.at);
    let mut lines = vec![f.t(explains).to_owned()];
    if let Some(at) = &at {
        lines.push(f.say("actions.only-at", &[at]));
    } else if !row.pools.is_empty() {
        lines.push(f.say("actions.in-pools", &[&pools, &others(&web, &row).await?]));
    }
    Ok(shown(&AskPage {
        title: f.say(title, &[&row.name, &row.public]),
        explains: lines,
        undo: f.t(undo).to_owned(),
        place: format!("/sources/{}/act", escaped(&name)),
        hidden: vec![("action", query.action), ("at", at.unwrap_or_default())],
        count: None,
        possible: true,
        fields: Vec::new(),
        tick: None,
        needs_reason: true,
        lasts: title == "actions.suspend-title",
        grave: title != "actions.resume-title",
        button: f.t(button).to_owned(),
        back: format!("/sources/{}", escaped(&name)),
        f,
    }))
}

/// How many others of its pools may send.
async fn others(web: &Web, row: &SourceRow) -> Result<String, gate::Trouble> {
    let sources = web.front.control.sources().await?;
    let others = sources.iter().filter(|it| {
        it.name != row.name
            && it.state == "active"
            && it.pools.iter().any(|pool| row.pools.contains(pool))
    });
    Ok(others.count().to_string())
}

#[derive(Deserialize)]
pub(super) struct ActForm {
    action: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    hours: String,
    #[serde(default)]
    why: String,
}

/// Suspends, resumes or drains.
pub(super) async fn act(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Path(name): Path<String>,
    Form(form): Form<ActForm>,
) -> Answer {
    let action = action(&form.action)?;
    let hours: Option<u64> = filled(&form.hours).and_then(|hours| hours.parse().ok());
    let order = SourceOrder {
        action,
        at: filled(&form.at),
        for_seconds: hours
            .map(|it| it.saturating_mul(3_600))
            .filter(|_| action == SourceAction::Suspend),
        why: reason(&f, &form.why)?,
    };
    orders::of_source(&web.front, person.caller, name.clone(), order).await?;
    let said = match action {
        SourceAction::Suspend => "actions.suspended",
        SourceAction::Resume => "actions.resumed",
        SourceAction::Drain => "actions.drained",
    };
    Ok(gate::done(&web, &format!("/sources/{}", escaped(&name)), &f.say(said, &[&name])))
}

struct CheckLine {
    what: String,
    outcome: String,
    passed: bool,
    found: String,
    mend: Option<String>,
}

struct PoolLine {
    words: String,
    standbys: Vec<(String, String, Vec<CheckLine>)>,
    stopped: Vec<String>,
}

#[derive(Template)]
#[template(path = "swap.html")]
struct SwapPage {
    f: Frame,
    name: String,
    public: String,
    back: String,
    place: String,
    obstacle: Option<String>,
    possible: bool,
    forced: bool,
    pools: Vec<PoolLine>,
    clean_for: String,
    standbys: Vec<String>,
    with: String,
}

#[derive(Deserialize, Default)]
pub(super) struct SwapQuery {
    #[serde(default)]
    with: String,
    #[serde(default)]
    force: String,
}

/// What a swap would do, as the dry run tells it.
pub(super) async fn ask_swap(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Path(name): Path<String>,
    Query(query): Query<SwapQuery>,
) -> Answer {
    let row = web.front.control.source(name.clone()).await?.source;
    let order = SwapOrder {
        with: filled(&query.with),
        dry_run: true,
        force: !query.force.is_empty(),
        why: "dry run".to_owned(),
    };
    let forced = order.force;
    let answer = orders::of_swap(&web.front, person.caller, name.clone(), order).await?;
    let sources = web.front.control.sources().await?;
    let standbys = sources
        .into_iter()
        .filter(|it| it.standby.iter().any(|pool| row.pools.contains(pool)))
        .map(|it| it.name);
    let page = SwapPage {
        public: row.public,
        back: format!("/sources/{}", escaped(&name)),
        place: format!("/sources/{}/swap", escaped(&name)),
        possible: answer.obstacle.is_none(),
        forced,
        pools: pool_lines(&f, &answer),
        clean_for: super::frame::span(answer.clean_for_seconds),
        obstacle: answer.obstacle,
        standbys: standbys.collect(),
        with: query.with,
        name,
        f,
    };
    Ok(shown(&page))
}

fn pool_lines(f: &Frame, answer: &SwapAnswer) -> Vec<PoolLine> {
    let line = |pool: &crate::admin::SwapPool| {
        let waiting = f.number(pool.waiting as u64);
        let words = match &pool.comes {
            Some(comes) => {
                f.say("actions.swap-comes", &[&pool.pool, &answer.source, comes, &waiting])
            }
            None => f.say("actions.swap-nobody", &[&pool.pool, &waiting]),
        };
        let left = (pool.swaps_left.to_string(), pool.swaps_allowed.to_string());
        PoolLine {
            words: format!("{words} {}", f.say("actions.swaps-left", &[&left.0, &left.1])),
            standbys: pool
                .looked_at
                .iter()
                .map(|standby| {
                    let checks = standby.checks.iter().map(|check| CheckLine {
                        what: check_name(f, &check.what),
                        outcome: f.word("outcome", &check.outcome),
                        passed: check.outcome == "passed",
                        found: check.found.clone().unwrap_or_default(),
                        mend: check.mend.clone(),
                    });
                    let verdict = f.word("outcome", &standby.verdict);
                    (standby.name.clone(), verdict, checks.collect())
                })
                .collect(),
            stopped: pool
                .stopped
                .iter()
                .map(|(name, state)| format!("{name}: {}", f.word("state", state)))
                .collect(),
        }
    };
    answer.pools.iter().map(line).collect()
}

/// What was looked at, in the language of who looks.
fn check_name(f: &Frame, what: &str) -> String {
    let named = |key, start| Some(f.say(key, &[what.strip_prefix(start)?]));
    named("actions.check-spf", "SPF of ")
        .or_else(|| named("actions.check-list", "blocklist "))
        .unwrap_or_else(|| f.word("check", what))
}

#[derive(Deserialize)]
pub(super) struct SwapForm {
    #[serde(default)]
    with: String,
    #[serde(default)]
    force: String,
    #[serde(default)]
    why: String,
}

/// Swaps.
pub(super) async fn swap(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Path(name): Path<String>,
    Form(form): Form<SwapForm>,
) -> Answer {
    let order = SwapOrder {
        with: filled(&form.with),
        dry_run: false,
        force: !form.force.is_empty(),
        why: reason(&f, &form.why)?,
    };
    let answer = orders::of_swap(&web.front, person.caller, name.clone(), order).await?;
    if let Some(obstacle) = answer.obstacle {
        return Err(Problem::conflict(obstacle).into());
    }
    let comes: Vec<String> = answer.pools.into_iter().filter_map(|pool| pool.comes).collect();
    let said = if comes.is_empty() {
        f.say("actions.swapped-out", &[&name])
    } else {
        f.say("actions.swapped", &[&name, &comes.join(", ")])
    };
    Ok(gate::done(&web, "/sources", &said))
}

#[derive(Deserialize)]
pub(super) struct ReleaseQuery {
    site: String,
    name: String,
}

/// What the release of a halt would do.
pub(super) async fn ask_release(
    Extension(f): Extension<Frame>,
    Query(query): Query<ReleaseQuery>,
) -> Answer {
    Ok(shown(&AskPage {
        title: f.say("actions.halt-title", &[&query.name, &query.site]),
        explains: vec![f.t("actions.halt-what").to_owned()],
        undo: f.t("actions.halt-undo").to_owned(),
        place: "/halts/release".to_owned(),
        hidden: vec![("site", query.site), ("name", query.name)],
        count: None,
        possible: true,
        fields: Vec::new(),
        tick: None,
        needs_reason: true,
        lasts: false,
        grave: false,
        button: f.t("actions.release").to_owned(),
        back: "/".to_owned(),
        f,
    }))
}

#[derive(Deserialize)]
pub(super) struct ReleaseForm {
    site: String,
    name: String,
    #[serde(default)]
    why: String,
}

/// Has it go on.
pub(super) async fn release(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<ReleaseForm>,
) -> Answer {
    let why = reason(&f, &form.why)?;
    let order = ReleaseOrder { site: form.site, name: form.name, why };
    let released = orders::of_release(&web.front, person.caller, order).await?;
    let count = f.number(released.at_once as u64);
    Ok(gate::done(&web, "/", &f.say("actions.halt-done", &[&count])))
}
