//! Configuración: the tokens with which programs use the API.

use askama::Template;
use axum::extract::{Extension, Form, Query, State};
use serde::Deserialize;

use crate::access::{Person, Scope};
use crate::admin::{Problem, TokenOrder, orders};
use crate::message::Timestamp;

use super::ask::AskPage;
use super::forms::{filled, link};
use super::frame::{Frame, shown};
use super::gate;
use super::list::{Field, FormBlock};
use super::settings::begun;
use super::table::{Asked, Item, table};
use super::{Answer, Web};

/// How long a token can be made to last: days, and the key of its name. A year is the most that is offered, for whoever
/// got hold of it must lose it some day; without an end there are those of the command line.
const LASTS: [(&str, &str); 4] = [
    ("30", "tables.days-30"),
    ("90", "tables.days-90"),
    ("365", "tables.days-365"),
    ("", "tables.until-revoked"),
];

/// The tokens, with a form to make one.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut page = begun(&f, "/settings/tokens", "tables.tokens-lead");
    let time = |at: Option<String>, none: &'static str| {
        at.as_ref().map_or_else(|| Item::text(f.t(none)), |at| Item::time(&f, at))
    };
    let rows = web.front.access.tokens().into_iter().map(|(row, used)| {
        let scopes: Vec<String> =
            row.scopes.iter().map(|scope| f.word("scope", scope.word())).collect();
        let expires = row.expires.map(|at| Timestamp::from_millis(at).to_rfc3339());
        vec![
            Item::text(&row.name),
            Item::text(scopes.join(", ")),
            Item::text(row.account.as_deref().unwrap_or("")),
            Item::text(row.created_by),
            time(expires, "tables.never"),
            time(used.map(Timestamp::to_rfc3339), "tables.not-since-start"),
            Item::levers(vec![(
                link("/settings/tokens/revoke", &[("name", &row.name)]),
                f.t("tables.revoke"),
            )]),
        ]
    });
    let headings = [
        "pages.name",
        "tables.scopes",
        "pages.account",
        "tables.added-by",
        "tables.ends",
        "door.seen",
        "",
    ];
    page.tables
        .push(table(&f, "tables.tokens", "tables.no-tokens", &headings).with(rows.collect()));
    page.forms.push(form(&web, &f));
    page.answered("/settings/tokens", &asked)
}

fn form(web: &Web, f: &Frame) -> FormBlock {
    let field = |key, name, choices| Field { choices, ..Field::line("token", key, f.t(name)) };
    let scopes = Scope::ALL.map(|scope| {
        let name = f.say("tables.scope-may", &[&f.word("scope", scope.word())]);
        (scope.word().to_owned(), name)
    });
    let mut accounts = vec![(String::new(), f.t("frame.none").to_owned())];
    let names = web.front.control.accounts().into_iter().map(|it| it.name);
    accounts.extend(names.map(|name| (name.clone(), name)));
    let lasts = LASTS.map(|(days, key)| (days.to_owned(), f.t(key).to_owned()));
    FormBlock {
        title: f.t("tables.token-title").to_owned(),
        about: f.t("tables.token-about").to_owned(),
        place: "/settings/tokens/add".to_owned(),
        fields: vec![
            Field::line("token", "name", f.t("pages.name")),
            field("scope", "tables.scopes", scopes.to_vec()),
            field("account", "tables.token-account", accounts),
            Field { value: "90".to_owned(), ..field("days", "tables.ends", lasts.to_vec()) },
        ],
        button: f.t("tables.token-add").to_owned(),
        grave: false,
    }
}

#[derive(Deserialize)]
pub(super) struct AddForm {
    name: String,
    scope: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    days: String,
}

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    f: Frame,
    name: String,
    token: String,
}

/// Makes one, and shows its text this once.
pub(super) async fn add(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<AddForm>,
) -> Answer {
    let days = filled(&form.days).map(|days| days.parse::<u64>());
    let days = days.transpose().map_err(|_| Problem::question(f.t("tables.days-wrong")))?;
    let scope: Scope = form.scope.parse().map_err(Problem::question)?;
    let order = TokenOrder {
        name: form.name.trim().to_owned(),
        scopes: vec![scope],
        account: filled(&form.account),
        expires_in_seconds: days.map(|days| days.saturating_mul(24 * 3_600)),
    };
    let made = orders::token_made(&web.front, person.caller, order).await?;
    Ok(shown(&TokenPage { name: made.row.name, token: made.token, f }))
}

#[derive(Deserialize)]
pub(super) struct Which {
    name: String,
}

/// Which one is to be ended.
pub(super) async fn ask(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(Which { name }): Query<Which>,
) -> Answer {
    let known = web.front.access.tokens().into_iter().find(|(row, _)| row.name == name);
    let (_, used) = known.ok_or_else(|| Problem::not_found(f.say("tables.no-token", &[&name])))?;
    let used =
        used.map_or_else(|| f.t("tables.not-since-start").to_owned(), |at| f.ago(&at.to_rfc3339()));
    Ok(shown(&AskPage {
        title: f.say("tables.revoke-title", &[&name]),
        explains: vec![f.say("tables.revoke-what", &[&used])],
        undo: f.t("tables.revoke-undo").to_owned(),
        place: "/settings/tokens/revoke".to_owned(),
        hidden: vec![("name", name)],
        count: None,
        possible: true,
        fields: Vec::new(),
        tick: None,
        needs_reason: false,
        lasts: false,
        grave: true,
        button: f.t("tables.revoke").to_owned(),
        back: "/settings/tokens".to_owned(),
        f,
    }))
}

/// Ends it.
pub(super) async fn revoke(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(Which { name }): Form<Which>,
) -> Answer {
    let row = orders::token_revoked(&web.front, person.caller, name).await?;
    Ok(gate::done(&web, "/settings/tokens", &f.say("tables.revoked", &[&row.name])))
}
