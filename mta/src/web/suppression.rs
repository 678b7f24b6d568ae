//! Lista de supresión: whom nothing is sent to; put on it and taken off.

use axum::extract::{Extension, Form, Query, State};
use serde::Deserialize;

use crate::access::{Person, Scope};
use crate::admin::{
    SuppressionOrder, SuppressionQuery, SuppressionRemoval, SuppressionRow, orders,
};

use super::forms::{filled, link};
use super::frame::Frame;
use super::gate;
use super::list::{Field, FormBlock, ListPage};
use super::orders::reason;
use super::table::{Asked, Cut, Gathering, Item, table};
use super::{Answer, Web};

/// Entries of a page.
const ROWS: usize = 200;

/// The list.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let of = |key: &str| asked.get(key).and_then(|it| filled(it));
    let control = &web.front.control;
    // What is looked for is an address or a domain.
    let find = of("find");
    let (rows, next) = if let Some(address) = find.as_ref().filter(|it| it.contains('@')) {
        (control.suppressions_of(address.clone()).await?, None)
    } else {
        let mut gathering = Gathering::new(&asked);
        while gathering.goes_on() {
            let from = gathering.from();
            let query = SuppressionQuery {
                domain: find.clone(),
                cause: of("cause"),
                limit: Some(ROWS),
                from,
                ..SuppressionQuery::default()
            };
            let page = control.suppressions(query).await?;
            gathering.take(page.rows, page.next);
        }
        gathering.done()
    };
    let mut page = ListPage::new(&f, "tables.suppression", "tables.suppression-lead");
    page.tabs.push(vec![
        ("/suppression".to_owned(), f.t("tables.all").to_owned(), of("cause").is_none()),
        cause(&f, "reply", "tables.by-reply", of("cause")),
        cause(&f, "order", "tables.by-order", of("cause")),
    ]);
    let headings = [
        "tables.address",
        "pages.account",
        "pages.since-when",
        "pages.until-when",
        "tables.cause",
        "tables.why",
    ];
    let rows = rows.iter().map(|row| line(&f, row)).collect();
    let table = table(&f, "tables.suppression", "tables.suppression-empty", &headings).with(rows);
    page.tables.push(table.cut(Cut { next, finds: true, ..Cut::default() }));
    if f.may(Scope::Operate) {
        page.forms = forms(&f);
    }
    page.answered("/suppression", &asked)
}

fn cause(
    f: &Frame,
    word: &str,
    name: &'static str,
    asked: Option<String>,
) -> (String, String, bool) {
    (link("/suppression", &[("cause", word)]), f.t(name).to_owned(), asked.as_deref() == Some(word))
}

fn line(f: &Frame, row: &SuppressionRow) -> Vec<Item> {
    let time = |at: &Option<String>| {
        at.as_ref().map_or_else(|| Item::text(f.t("frame.none")), |at| Item::time(f, at))
    };
    vec![
        Item::text(&row.address),
        Item::text(row.account.as_deref().unwrap_or(f.t("tables.all-accounts"))),
        Item::time(f, &row.since),
        time(&row.until),
        Item::text(f.t(if row.cause == "reply" { "tables.by-reply" } else { "tables.by-order" })),
        Item::text(&row.why),
    ]
}

fn forms(f: &Frame) -> Vec<FormBlock> {
    let lines = Field { lines: true, ..Field::line("add", "addresses", f.t("tables.addresses")) };
    vec![
        FormBlock {
            title: f.t("tables.suppress-title").to_owned(),
            about: f.t("tables.suppress-about").to_owned(),
            place: "/suppression/add".to_owned(),
            fields: vec![lines, Field::line("add", "why", f.t("frame.why"))],
            button: f.t("tables.suppress").to_owned(),
            grave: true,
        },
        FormBlock {
            title: f.t("tables.unsuppress-title").to_owned(),
            about: f.t("tables.unsuppress-about").to_owned(),
            place: "/suppression/remove".to_owned(),
            fields: vec![Field::line("remove", "address", f.t("tables.address"))],
            button: f.t("tables.unsuppress").to_owned(),
            grave: false,
        },
    ]
}

#[derive(Deserialize)]
pub(super) struct AddForm {
    addresses: String,
    #[serde(default)]
    why: String,
}

/// Puts addresses on it.
pub(super) async fn add(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<AddForm>,
) -> Answer {
    let parts = form.addresses.split(|it: char| it.is_whitespace() || it == ',' || it == ';');
    let addresses: Vec<String> = parts.filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let why = reason(&f, &form.why)?;
    let order =
        SuppressionOrder { addresses, account: None, for_seconds: None, why, who: String::new() };
    let done = orders::of_suppression(&web.front, person.caller, order).await?;
    let said = f.say(
        "tables.suppressed-done",
        &[&f.number(done.added as u64), &f.number(done.replaced as u64)],
    );
    Ok(gate::done(&web, "/suppression", &said))
}

#[derive(Deserialize)]
pub(super) struct RemoveForm {
    address: String,
}

/// Takes an address off it.
pub(super) async fn remove(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<RemoveForm>,
) -> Answer {
    let address = form.address.trim().to_owned();
    let removal = SuppressionRemoval::default();
    let removed =
        orders::of_unsuppression(&web.front, person.caller, address.clone(), removal).await?;
    let count = f.number(removed.len() as u64);
    Ok(gate::done(&web, "/suppression", &f.say("tables.unsuppressed-done", &[&address, &count])))
}
