//! Proveedores and Configuración: limits and what servers taught; what is in force, accounts, the audit log.

use axum::extract::{Extension, Query, State};

use crate::access::{Person, Scope};
use crate::admin::{AmissRow, Problem, orders};

use super::forms::{escaped, link};
use super::frame::Frame;
use super::gate;
use super::list::{FormBlock, ListPage};
use super::table::{Asked, Cut, Gathering, Item, table};
use super::{Answer, Web};

/// Entries of the audit log on a page.
const ENTRIES: usize = 100;

/// Proveedores.
pub(super) async fn providers(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let control = &web.front.control;
    let mut page = ListPage::new(&f, "frame.providers", "tables.providers-lead");
    let (mut troubles, mut learned) = (Vec::new(), Vec::new());
    for AmissRow { source, path } in control.paths_amiss() {
        let href = format!("/sources/{}", escaped(&source));
        if path.state != "active" {
            troubles.push(vec![
                Item::text(&path.site),
                Item::text(&source).to(href.clone()),
                Item::text(f.word("state", &path.state)).with_state("suspended"),
                path.until
                    .as_ref()
                    .map_or_else(|| Item::text(f.t("frame.none")), |at| Item::time(&f, at)),
                Item::text(path.reply.as_deref().unwrap_or("")),
                Item::text(path.rule.as_deref().unwrap_or("")),
            ]);
        }
        for limit in path.limits.iter().filter(|limit| limit.now != limit.configured) {
            learned.push(vec![
                Item::text(&path.site),
                Item::text(&source).to(href.clone()),
                Item::text(&limit.name),
                Item::text(&limit.now),
                Item::text(&limit.configured),
            ]);
        }
    }
    let headings = [
        "pages.site",
        "pages.source",
        "pages.state",
        "pages.until-when",
        "tables.said",
        "tables.rule",
    ];
    page.tables.push(table(&f, "tables.troubles", "tables.no-troubles", &headings).with(troubles));
    let headings =
        ["pages.site", "pages.source", "tables.limit", "tables.in-force", "tables.configured"];
    page.tables.push(table(&f, "tables.learned", "tables.no-learned", &headings).with(learned));
    let mut limits = Vec::new();
    for provider in control.providers() {
        let name = provider.title.as_ref().unwrap_or(&provider.name);
        for limit in &provider.limits {
            limits.push(vec![
                Item::text(if provider.name == "other" { f.t("tables.others") } else { name }),
                Item::text(&limit.name),
                Item::text(&limit.value),
                Item::text(&limit.origin),
            ]);
        }
    }
    let headings = ["tables.provider", "tables.limit", "tables.in-force", "tables.origin"];
    page.tables.push(table(&f, "tables.limits", "tables.no-limits", &headings).with(limits));
    page.answered("/providers", &asked)
}

/// Tabs of Configuración: path, name, need.
const TABS: [(&str, &str, Scope); 5] = [
    ("/settings", "tables.settings", Scope::Read),
    ("/settings/accounts", "tables.accounts", Scope::Read),
    ("/settings/users", "tables.users", Scope::Admin),
    ("/settings/tokens", "tables.tokens", Scope::Admin),
    ("/settings/audit", "tables.audit", Scope::Admin),
];

/// The page of a tab, with all tabs above it.
pub(super) fn begun(f: &Frame, here: &str, lead: &'static str) -> ListPage {
    let mut page = ListPage::new(f, "frame.settings", lead);
    let shown = TABS.into_iter().filter(|(_, _, need)| f.may(*need));
    page.tabs.push(
        shown
            .map(|(path, name, _)| (path.to_owned(), f.t(name).to_owned(), path == here))
            .collect(),
    );
    page
}

/// What is in force.
pub(super) async fn in_force(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut page = begun(&f, "/settings", "tables.settings-lead");
    let rows = web.front.control.settings().into_iter().map(|row| {
        let section =
            if row.number > 1 { format!("{} {}", row.section, row.number) } else { row.section };
        vec![
            Item::text(section),
            Item::text(row.key),
            Item::text(row.value.as_deref().unwrap_or(f.t("frame.none"))),
            Item::text(if row.origin == "default" { f.t("tables.default") } else { &row.origin }),
        ]
    });
    let headings = ["tables.section", "tables.key", "tables.value", "tables.origin"];
    page.tables
        .push(table(&f, "tables.settings", "tables.nothing", &headings).with(rows.collect()));
    if f.may(Scope::Operate) {
        page.forms.push(FormBlock {
            title: f.t("tables.reload-title").to_owned(),
            about: f.t("tables.reload-about").to_owned(),
            place: "/settings/reload".to_owned(),
            fields: Vec::new(),
            button: f.t("tables.reload").to_owned(),
            grave: false,
        });
    }
    page.answered("/settings", &asked)
}

/// Reads the configuration again.
pub(super) async fn reload(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
) -> Answer {
    let done = orders::of_reload(&web.front, person.caller).await?;
    let mut said = f.t("tables.reloaded").to_owned();
    for (key, words) in
        [("tables.waits-for-restart", done.waits_for_restart), ("tables.warnings", done.warnings)]
    {
        if !words.is_empty() {
            said = format!("{said} {}", f.say(key, &[&words.join("; ")]));
        }
    }
    Ok(gate::done(&web, "/settings", &said))
}

/// Who submits mail, and the pools.
pub(super) async fn accounts(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut page = begun(&f, "/settings/accounts", "tables.accounts-lead");
    let rows = web.front.control.accounts().into_iter().map(|row| {
        vec![
            Item::text(row.name),
            Item::text(f.t(if row.has_password { "tables.yes" } else { "tables.no" })),
            Item::text(row.networks.join(", ")),
            Item::text(row.senders.join(", ")),
            Item::text(row.pool.as_deref().unwrap_or(f.t("pages.default-pool"))),
        ]
    });
    let headings =
        ["pages.account", "door.password", "tables.networks", "tables.senders", "pages.pool"];
    page.tables
        .push(table(&f, "tables.accounts", "tables.no-accounts", &headings).with(rows.collect()));
    let rows = web.front.control.pools().into_iter().map(|row| {
        vec![
            Item::text(&row.name).to(link("/sources", &[("pool", &row.name)])),
            Item::text(row.sources.join(", ")),
            Item::text(row.standby.join(", ")),
            Item::text(row.warm_up.as_deref().unwrap_or(f.t("frame.none"))),
            Item::text(row.send_window),
        ]
    });
    let headings =
        ["pages.pool", "frame.sources", "tables.standbys", "pages.warm-up", "tables.window"];
    page.tables.push(table(&f, "tables.pools", "tables.nothing", &headings).with(rows.collect()));
    page.answered("/settings/accounts", &asked)
}

/// Who changed what, the newest first.
pub(super) async fn audit(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let unavailable = |error: String| Problem::unavailable(error);
    let mut gathering = Gathering::new(&asked);
    while gathering.goes_on() {
        let from = gathering.from();
        let before: Option<u64> = from.and_then(|it| it.parse().ok());
        let access = web.front.access.clone();
        let read = tokio::task::spawn_blocking(move || access.audit(before, ENTRIES)).await;
        let entries = read.map_err(|error| unavailable(error.to_string()))?.map_err(unavailable)?;
        let last = entries.last().filter(|it| entries.len() == ENTRIES && it.number > 1);
        let next = last.map(|it| it.number.to_string());
        gathering.take(entries, next);
    }
    let (entries, next) = gathering.done();
    let mut page = begun(&f, "/settings/audit", "tables.audit-lead");
    let rows = entries.into_iter().map(|entry| {
        let what = match entry.of {
            Some(of) => f.say("tables.outcome-of", &[&of.to_string()]),
            None => entry.what,
        };
        vec![
            Item::count(&f, entry.number),
            Item::time(&f, &entry.time),
            Item::text(entry.who),
            Item::text(entry.from),
            Item::text(what),
            Item::text(if entry.order.is_null() { String::new() } else { entry.order.to_string() }),
        ]
    });
    let headings = [
        "tables.number",
        "pages.when",
        "tables.who",
        "door.from",
        "tables.what-done",
        "tables.order",
    ];
    let table = table(&f, "tables.audit", "tables.nothing", &headings).with(rows.collect());
    page.tables.push(table.cut(Cut { next, ..Cut::default() }));
    page.answered("/settings/audit", &asked)
}
