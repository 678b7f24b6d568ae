//! Retenciones: mail of a kind that is held, what waits and what comes, until somebody releases it.

use axum::extract::{Extension, Form, Query, State};
use serde::Deserialize;

use crate::access::Person;
use crate::admin::{HoldRow, MailKind, Problem, QueueQuery, orders};

use super::ask::AskPage;
use super::forms::link;
use super::frame::{Frame, shown};
use super::gate;
use super::queue_levers::told;
use super::table::{Item, Table, table};
use super::{Answer, Web};

/// The standing holds, each with what releases it.
pub(super) fn table_of(f: &Frame, holds: Vec<HoldRow>) -> Table {
    let headings =
        ["pages.held-mail", "tables.who", "tables.why", "pages.since-when", "pages.until-when", ""];
    let rows = holds.into_iter().map(|hold| {
        let until = match &hold.until {
            _ if hold.ending => Item::text(f.t("pages.hold-ending")),
            Some(until) => Item::time(f, until),
            None => Item::text(f.t("pages.until-released")),
        };
        let release = link("/queue/holds/release", &[("id", &hold.id)]);
        let levers = (f.operates() && !hold.ending).then(|| (release, f.t("actions.release")));
        vec![
            Item::text(words(f, &hold.kind))
                .to(link("/queue/deliveries", &[("standing", &hold.id)])),
            Item::text(hold.who),
            Item::text(hold.why),
            Item::time(f, &hold.since),
            until,
            Item::levers(Vec::from_iter(levers)),
        ]
    });
    table(f, "pages.standing-holds", "tables.nothing", &headings).with(rows.collect())
}

/// `Destino: google, Etiqueta: boletin`.
fn words(f: &Frame, kind: &MailKind) -> String {
    let parts = [
        ("pages.site", &kind.site),
        ("pages.domain", &kind.domain),
        ("pages.account", &kind.account),
        ("pages.tag", &kind.tag),
        ("pages.sender", &kind.sender),
        ("pages.pool", &kind.pool),
    ];
    let named = |(key, value): (&'static str, &Option<String>)| {
        value.as_ref().map(|value| format!("{}: {value}", f.t(key)))
    };
    let parts: Vec<String> = parts.into_iter().filter_map(named).collect();
    if parts.is_empty() { f.t("pages.all-mail").to_owned() } else { parts.join(", ") }
}

#[derive(Deserialize)]
pub(super) struct Which {
    id: String,
}

/// How much a release lets go.
pub(super) async fn ask(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(Which { id }): Query<Which>,
) -> Answer {
    let control = &web.front.control;
    let known = control.standing_holds().into_iter().find(|it| it.id == id);
    let hold = known.ok_or_else(|| Problem::not_found(f.t("actions.no-hold")))?;
    let query =
        QueueQuery { standing: Some(id.clone()), limit: Some(COUNTED), ..QueueQuery::default() };
    let page = control.queue(query).await?;
    let more = if page.next.is_some() { "+" } else { "" };
    let count = format!("{}{more}", f.number(page.rows.len() as u64));
    let since = (f.time(&hold.since), hold.who.clone(), hold.why.clone());
    Ok(shown(&AskPage {
        title: f.t("actions.end-hold-title").to_owned(),
        explains: vec![
            words(&f, &hold.kind),
            f.say("actions.end-hold-since", &[&since.0, &since.1, &since.2]),
            f.t("actions.end-hold-what").to_owned(),
        ],
        count: Some(f.say("actions.touches", &[&count])),
        possible: true,
        undo: f.t("actions.end-hold-undo").to_owned(),
        place: "/queue/holds/release".to_owned(),
        hidden: vec![("id", id)],
        fields: Vec::new(),
        tick: None,
        needs_reason: false,
        lasts: false,
        grave: false,
        button: f.t("actions.release").to_owned(),
        back: "/queue".to_owned(),
        f,
    }))
}

/// Deliveries that are counted before a hold is released: the page says "or more" beyond.
const COUNTED: usize = 1_000;

/// Releases it.
pub(super) async fn release(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(Which { id }): Form<Which>,
) -> Answer {
    let acted = orders::hold_ended(&web.front, person.caller, id).await?;
    Ok(gate::done(&web, "/queue", &told(&f, &acted)))
}
