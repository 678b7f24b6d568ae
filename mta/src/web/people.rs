//! Configuración: who may open the web, and who is in it now.

use axum::extract::{Extension, Form, Query, State};
use serde::Deserialize;

use crate::access::{Person, Role};
use crate::admin::{Problem, UserChange, UserOrder, orders};
use crate::message::Timestamp;

use super::ask::AskPage;
use super::forms::link;
use super::frame::{Frame, shown};
use super::gate;
use super::list::{Field, FormBlock};
use super::settings::begun;
use super::table::{Asked, Item, table};
use super::{Answer, Web};

/// Who may open the web, with forms to add, change and remove.
pub(super) async fn users(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut page = begun(&f, "/settings/users", "tables.users-lead");
    let people: Vec<_> = web.front.access.users().into_iter().map(orders::row).collect();
    let names: Vec<(String, String)> =
        people.iter().map(|row| (row.name.clone(), row.name.clone())).collect();
    let rows = people.into_iter().map(|row| {
        vec![
            Item::text(row.name),
            Item::text(f.word("role", row.role.word())),
            Item::text(f.t(if row.second_factor { "tables.yes" } else { "tables.no" })),
            Item::text(row.created_by),
            row.last_login
                .as_ref()
                .map_or_else(|| Item::text(f.t("tables.never")), |at| Item::time(&f, at)),
        ]
    });
    let headings =
        ["door.name", "tables.role", "door.second-title", "tables.added-by", "tables.last-login"];
    page.tables.push(table(&f, "tables.users", "tables.nothing", &headings).with(rows.collect()));
    let time = |millis| Timestamp::from_millis(millis).to_rfc3339();
    let rows = web.front.access.sessions().into_iter().map(|row| {
        vec![
            Item::text(&row.user),
            Item::text(&row.from),
            Item::time(&f, &time(row.created)),
            Item::time(&f, &time(row.seen)),
            Item::text(&row.agent),
            Item::levers(vec![(
                link("/settings/sessions/end", &[("id", row.id())]),
                f.t("door.end"),
            )]),
        ]
    });
    let headings = ["door.name", "door.from", "door.began", "door.seen", "door.browser", ""];
    page.tables.push(table(&f, "door.sessions", "tables.nothing", &headings).with(rows.collect()));
    page.forms = user_forms(&f, names);
    page.answered("/settings/users", &asked)
}

fn user_forms(f: &Frame, names: Vec<(String, String)>) -> Vec<FormBlock> {
    let roles = Role::ALL.map(|role| (role.word().to_owned(), f.word("role", role.word())));
    let choice =
        |form: &str, key: &'static str, name: &'static str, choices: &[(String, String)]| Field {
            choices: choices.to_vec(),
            ..Field::line(form, key, f.t(name))
        };
    let changes = [
        "role-reader",
        "role-operator",
        "role-administrator",
        "no-second-factor",
        "end-sessions",
        "remove",
    ];
    let changes = changes.map(|word| (word.to_owned(), f.word("change", word)));
    let min = crate::access::PASSWORD_MIN.to_string();
    let password =
        Field { kind: "password", ..Field::line("add", "password", &f.say("door.new", &[&min])) };
    vec![
        FormBlock {
            title: f.t("tables.add-title").to_owned(),
            about: f.t("tables.add-about").to_owned(),
            place: "/settings/users/add".to_owned(),
            fields: vec![
                Field::line("add", "name", f.t("door.name")),
                choice("add", "role", "tables.role", &roles),
                password,
            ],
            button: f.t("tables.add").to_owned(),
            grave: false,
        },
        FormBlock {
            title: f.t("tables.change-title").to_owned(),
            about: f.t("tables.change-about").to_owned(),
            place: "/settings/users/change".to_owned(),
            fields: vec![
                choice("change", "name", "door.name", &names),
                choice("change", "what", "tables.what", &changes),
            ],
            button: f.t("tables.change").to_owned(),
            grave: true,
        },
    ]
}

#[derive(Deserialize)]
pub(super) struct AddForm {
    name: String,
    role: String,
    password: String,
}

/// Adds somebody.
pub(super) async fn add_user(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<AddForm>,
) -> Answer {
    let role: Role = form.role.parse().map_err(Problem::question)?;
    let order = UserOrder { name: form.name, role, password: form.password };
    let row = orders::added(&web.front, person.caller, order).await?;
    Ok(gate::done(&web, "/settings/users", &f.say("tables.user-added", &[&row.name])))
}

#[derive(Deserialize)]
pub(super) struct ChangeForm {
    name: String,
    what: String,
}

/// Changes or removes somebody.
pub(super) async fn change_user(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<ChangeForm>,
) -> Answer {
    let (front, caller, name) = (&web.front, person.caller, form.name);
    let change = match form.what.as_str() {
        "remove" => {
            orders::removed(front, caller, name.clone()).await?;
            return Ok(gate::done(
                &web,
                "/settings/users",
                &f.say("tables.user-removed", &[&name]),
            ));
        }
        "end-sessions" => {
            orders::sessions_ended(front, caller, name.clone()).await?;
            return Ok(gate::done(
                &web,
                "/settings/users",
                &f.say("tables.user-changed", &[&name]),
            ));
        }
        "no-second-factor" => UserChange { second_factor: Some(false), ..UserChange::default() },
        what => {
            let role = what.strip_prefix("role-").unwrap_or(what).parse();
            UserChange { role: Some(role.map_err(Problem::question)?), ..UserChange::default() }
        }
    };
    orders::changed(front, caller, name.clone(), change).await?;
    Ok(gate::done(&web, "/settings/users", &f.say("tables.user-changed", &[&name])))
}

#[derive(Deserialize)]
pub(super) struct Session {
    id: String,
}

/// Whose session it is that is to be ended.
pub(super) async fn ask_session(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(Session { id }): Query<Session>,
) -> Answer {
    let known = web.front.access.sessions().into_iter().find(|it| it.id() == id);
    let session = known.ok_or_else(|| Problem::not_found(f.t("tables.no-session")))?;
    let seen = f.ago(&Timestamp::from_millis(session.seen).to_rfc3339());
    Ok(shown(&AskPage {
        title: f.say("tables.end-session-title", &[&session.user]),
        explains: vec![
            f.say("tables.end-session-what", &[&session.from, &seen]),
            session.agent.clone(),
        ],
        undo: f.t("tables.end-session-undo").to_owned(),
        place: "/settings/sessions/end".to_owned(),
        hidden: vec![("id", id)],
        count: None,
        possible: true,
        fields: Vec::new(),
        tick: None,
        needs_reason: false,
        lasts: false,
        grave: true,
        button: f.t("door.end").to_owned(),
        back: "/settings/users".to_owned(),
        f,
    }))
}

/// Ends it.
pub(super) async fn end_session(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(Session { id }): Form<Session>,
) -> Answer {
    let ended = orders::session_ended(&web.front, person.caller, id).await?;
    let said = if ended { "tables.session-ended" } else { "tables.no-session" };
    Ok(gate::done(&web, "/settings/users", f.t(said)))
}
