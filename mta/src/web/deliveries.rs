//! Entregas: what waits, one by one.

use axum::extract::{Extension, Query, State};
use serde::Deserialize;

use crate::admin::{MailKind, QueueQuery, Row};

use super::forms::{filled, link};
use super::frame::Frame;
use super::list::{Field, Filters, ListPage};
use super::queue::told;
use super::table::{Asked, Cut, Gathering, Item, table};
use super::{Answer, Web};

/// Deliveries of a page.
const ROWS: usize = 50;
/// Deliveries that are read at once for a file.
const ROWS_AT_ONCE: usize = 1_000;

/// Which deliveries are meant, as links and forms carry it.
#[derive(Deserialize, Default, Clone)]
pub(super) struct Which {
    #[serde(default)]
    message: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    pool: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    sender: String,
    #[serde(default)]
    held: String,
    #[serde(default)]
    standing: String,
}

impl Which {
    /// As links and forms carry it.
    pub(super) fn pairs(&self) -> [(&'static str, &str); 9] {
        [
            ("message", &self.message),
            ("site", &self.site),
            ("pool", &self.pool),
            ("domain", &self.domain),
            ("account", &self.account),
            ("tag", &self.tag),
            ("sender", &self.sender),
            ("held", &self.held),
            ("standing", &self.standing),
        ]
    }

    /// The same as a question about the queue.
    pub(super) fn query(&self) -> QueueQuery {
        QueueQuery {
            message: filled(&self.message),
            domain: filled(&self.domain),
            site: filled(&self.site),
            pool: filled(&self.pool),
            account: filled(&self.account),
            tag: filled(&self.tag),
            sender: filled(&self.sender),
            held: self.held.parse().ok(),
            standing: filled(&self.standing),
            limit: None,
            from: None,
        }
    }

    /// The same as a kind of mail, which comes later, too; nothing: it is not one.
    pub(super) fn kind(&self) -> Option<MailKind> {
        let waits = [&self.message, &self.held, &self.standing];
        if waits.iter().any(|it| !it.is_empty()) {
            return None;
        }
        let kind = MailKind {
            site: filled(&self.site),
            domain: filled(&self.domain),
            account: filled(&self.account),
            tag: filled(&self.tag),
            sender: filled(&self.sender),
            pool: filled(&self.pool),
        };
        (kind != MailKind::default()).then_some(kind)
    }

    /// In words: `Dominio: gmail.com, Etiqueta: boletin`.
    pub(super) fn words(&self, f: &Frame) -> String {
        let names = [
            "pages.message",
            "pages.site",
            "pages.pool",
            "pages.domain",
            "pages.account",
            "pages.tag",
            "pages.sender",
            "pages.held",
            "pages.standing",
        ];
        let parts = self.pairs().into_iter().zip(names).filter(|((_, value), _)| !value.is_empty());
        let parts: Vec<String> =
            parts.map(|((_, value), name)| format!("{}: {value}", f.t(name))).collect();
        parts.join(", ")
    }
}

/// Deliveries that wait, one by one.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(which): Query<Which>,
    Query(asked): Query<Asked>,
) -> Answer {
    let limit = Some(if asked.contains_key("file") { ROWS_AT_ONCE } else { ROWS });
    let mut gathering = Gathering::new(&asked);
    while gathering.goes_on() {
        let from = gathering.from();
        let query = QueueQuery { limit, from, ..which.query() };
        let page = web.front.control.queue(query).await?;
        gathering.take(page.rows, page.next);
    }
    let (rows, next) = gathering.done();
    let mut page = ListPage::new(&f, "pages.deliveries", "pages.deliveries-lead");
    page.crumbs.push(("/queue", f.t("frame.queue")));
    page.filters = Some(filters(&f, &which));
    if f.operates() && !which.query().means_everything() && !rows.is_empty() {
        let to = |action| link("/queue/act", &[&which.pairs()[..], &[("action", action)]].concat());
        let words = [
            ("retry", "actions.retry"),
            ("hold", "actions.hold"),
            ("release", "actions.release"),
            ("move", "actions.move"),
            ("bounce", "actions.bounce"),
        ];
        let levers = words.map(|(action, name)| (to(action), f.t(name)));
        page.levers = Some((f.say("pages.with-all", &[&which.words(&f)]), levers.to_vec()));
    }
    let headings = [
        "pages.recipients",
        "pages.sender",
        "pages.state",
        "pages.accepted",
        "pages.next",
        "pages.last-reply",
    ];
    let rows = rows.into_iter().map(|row| line(&f, row)).collect();
    let table = table(&f, "pages.deliveries", "pages.none-waits", &headings).with(rows);
    page.tables.push(table.cut(Cut { next, ..Cut::default() }));
    page.answered("/queue/deliveries", &asked)
}

fn filters(f: &Frame, which: &Which) -> Filters {
    let field = |key, name, value: &str| Field {
        value: value.to_owned(),
        ..Field::line("which", key, f.t(name))
    };
    let held = [("", "pages.any"), ("true", "pages.only-held"), ("false", "pages.not-held")];
    let held = Field {
        choices: held.map(|(value, key)| (value.to_owned(), f.t(key).to_owned())).to_vec(),
        ..field("held", "pages.held", &which.held)
    };
    Filters {
        place: "/queue/deliveries",
        fields: vec![
            field("site", "pages.site", &which.site),
            field("pool", "pages.pool", &which.pool),
            field("domain", "pages.domain", &which.domain),
            field("account", "pages.account", &which.account),
            field("tag", "pages.tag", &which.tag),
            field("sender", "pages.sender", &which.sender),
            held,
        ],
        button: f.t("frame.filter"),
        clear: !which.query().means_everything(),
    }
}

fn line(f: &Frame, row: Row) -> Vec<Item> {
    let first = row.recipients.first().cloned().unwrap_or_default();
    let meaning = row.last_category.zip(row.last_rule);
    let meaning = meaning.map(|(category, rule)| told(f, &category, &rule));
    let others = row.recipients.len().saturating_sub(1);
    let others = (others > 0).then(|| f.say("pages.and-others", &[&f.number(others as u64)]));
    let recipients = Item::text(row.recipients.join(" ")).shown_as(first).with_note(others);
    vec![
        recipients.to(format!("/messages/{}", row.message)),
        Item::text(row.sender),
        Item::text(f.word("delivery", &row.state)).with_state(&row.state).with_note(row.held),
        Item::time(f, &row.accepted),
        Item::ago(f, row.next_attempt.as_ref()),
        Item::reply(f, row.last_reply.as_ref()).with_note(meaning),
    ]
}
