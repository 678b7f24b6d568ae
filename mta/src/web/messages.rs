//! Mensajes: found by whatever names them; the whole story of one; why it waits; where mail to an address would go.

use askama::Template;
use axum::extract::{Extension, Path, Query, State};
use serde::Deserialize;

use crate::admin::{Explanation, MessageQuery, MessageRow, Row, Story};
use crate::message::{Event, Timestamp};

use super::forms::{filled, link};
use super::frame::{Frame, shown};
use super::list::{Field, Filters, ListPage};
use super::table::{Asked, Cut, Gathering, Item, table};
use super::{Answer, Web};

/// Messages of a page.
const ROWS: usize = 50;
/// Messages that are read at once for a file.
const ROWS_AT_ONCE: usize = 1_000;
/// What can be searched by: the word and the key of its name.
const FIELDS: [(&str, &str); 6] = [
    ("recipient", "pages.recipient"),
    ("sender", "pages.sender"),
    ("message", "pages.message-id"),
    ("domain", "pages.domain"),
    ("tag", "pages.tag"),
    ("account", "pages.account"),
];
/// What can have become of it: the word of `state`.
const STATES: [&str; 7] = ["", "waiting", "ended", "delivered", "deferred", "bounced", "expired"];
/// How far back: the word of `since` and the key of its name.
const SINCE: [(&str, &str); 5] = [
    ("1h", "pages.last-hour"),
    ("24h", "pages.last-day"),
    ("7d", "pages.last-week"),
    ("30d", "pages.last-month"),
    ("", "pages.always"),
];

/// A search, as links and the form carry it.
#[derive(Deserialize, Default)]
pub(super) struct Search {
    #[serde(default)]
    by: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    since: Option<String>,
}

/// The search and what it found.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(search): Query<Search>,
    Query(mut asked): Query<Asked>,
) -> Answer {
    let by =
        FIELDS.iter().find(|(word, _)| *word == search.by).map_or("recipient", |(word, _)| *word);
    let since = search.since.clone().unwrap_or_else(|| "24h".to_owned());
    // Links carry it also where it was not chosen.
    asked.insert("since".to_owned(), since.clone());
    let limit = Some(if asked.contains_key("file") { ROWS_AT_ONCE } else { ROWS });
    let mut stopped = false;
    let mut gathering = Gathering::new(&asked);
    while gathering.goes_on() {
        let from = gathering.from();
        let query = MessageQuery { limit, from, ..query(by, &search, &since) };
        let found = web.front.control.messages(query).await?;
        stopped = found.stopped;
        gathering.take(found.rows, found.next);
    }
    let (rows, next) = gathering.done();
    let mut page = ListPage::new(&f, "frame.messages", "pages.messages-lead");
    page.filters = Some(filters(&f, by, &search, since));
    page.hints.push((f.t("pages.explain-link").to_owned(), "/explain".to_owned()));
    if stopped {
        page.hints.push((f.t("pages.stopped").to_owned(), String::new()));
    }
    let headings =
        ["pages.accepted", "pages.recipient", "pages.sender", "pages.state", "pages.last-reply"];
    let rows = rows.into_iter().map(|row| line(&f, row)).collect();
    let table = table(&f, "frame.messages", "pages.none-found", &headings).with(rows);
    page.tables.push(table.cut(Cut { next, ..Cut::default() }));
    page.answered("/messages", &asked)
}

fn query(by: &str, search: &Search, since: &str) -> MessageQuery {
    let mut query = MessageQuery {
        state: filled(&search.state),
        since: filled(since),
        ..MessageQuery::default()
    };
    let q = filled(&search.q).map(|it| it.trim_matches(['<', '>']).to_owned());
    match by {
        "sender" => query.sender = q,
        // Tambo's ids have no at sign.
        "message" if q.as_ref().is_some_and(|it| it.contains('@')) => query.message_id = q,
        "message" => query.message = q,
        "domain" => query.domain = q,
        "tag" => query.tag = q,
        "account" => query.account = q,
        _ => query.recipient = q,
    }
    query
}

fn filters(f: &Frame, by: &str, search: &Search, since: String) -> Filters {
    let field = |key, name, value: &str, choices| Field {
        value: value.to_owned(),
        choices,
        ..Field::line("search", key, f.t(name))
    };
    let named = |pairs: &[(&str, &'static str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(word, key)| ((*word).to_owned(), f.t(key).to_owned())).collect()
    };
    let states = STATES.map(|word| {
        let any = || f.t("pages.any").to_owned();
        (word.to_owned(), if word.is_empty() { any() } else { f.word("state", word) })
    });
    let what = Field { wide: true, ..field("q", "pages.search-what", &search.q, Vec::new()) };
    Filters {
        place: "/messages",
        fields: vec![
            field("by", "pages.search-by", by, named(&FIELDS)),
            what,
            field("state", "pages.state", &search.state, states.to_vec()),
            field("since", "pages.since", &since, named(&SINCE)),
        ],
        button: f.t("pages.search"),
        clear: false,
    }
}

fn line(f: &Frame, row: MessageRow) -> Vec<Item> {
    let counts = row.recipients.iter();
    let counts: Vec<String> = counts
        .map(|(state, count)| format!("{} {}", f.number(*count), f.word("recipient", state)))
        .collect();
    vec![
        Item::time(f, &row.accepted).to(format!("/messages/{}", row.message)),
        Item::text(row.recipient.unwrap_or_default()),
        Item::text(row.sender.unwrap_or_default()),
        Item::text(f.word("state", &row.state))
            .with_state(&row.state)
            .with_note(Some(counts.join(", "))),
        Item::reply(f, row.last_reply.as_ref()),
    ]
}

struct Waits {
    row: Row,
    /// What it waits for, in the language of who looks.
    words: String,
    /// The same as the relay says it, where that tells more.
    said: Option<String>,
    levers: Vec<(String, &'static str)>,
}

struct Happened {
    at: String,
    kind: String,
    word: &'static str,
    recipient: String,
    place: String,
    reply: Option<String>,
    category: Option<String>,
    rule: Option<String>,
    detail: Option<String>,
}

#[derive(Template)]
#[template(path = "story.html")]
struct StoryPage {
    f: Frame,
    story: Story,
    state: String,
    waits: Vec<Waits>,
    recipients: Vec<(String, String, String, String)>,
    events: Vec<Happened>,
    size: String,
}

/// The whole story of a message.
pub(super) async fn story(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Path(id): Path<String>,
) -> Answer {
    let story = web.front.control.story(id).await?;
    let waits = story.waiting.iter().map(|it| waits(&f, &it.delivery, &it.waits_for)).collect();
    let recipients = story.recipients.iter().map(|it| {
        let reply = it.reply.clone().unwrap_or_default();
        (it.address.clone(), f.word("recipient", &it.state), f.time(&it.since), reply)
    });
    let page = StoryPage {
        state: f.word("state", &story.state),
        waits,
        recipients: recipients.collect(),
        events: story.events.iter().map(|event| happened(&f, event)).collect(),
        size: story.size.map_or_else(|| f.t("frame.none").to_owned(), |size| f.octets(size)),
        story,
        f,
    };
    Ok(shown(&page))
}

/// The one thing that a delivery waits for.
fn waits(f: &Frame, row: &Row, said: &str) -> Waits {
    let due = row.next_attempt.as_deref().and_then(Timestamp::parse_rfc3339);
    let later = row.next_attempt.as_ref().filter(|_| due.is_some_and(|due| due > f.now));
    let (words, said) = match (row.state.as_str(), later) {
        ("held", _) => {
            let held = row.held.as_deref().unwrap_or("");
            let words = match &row.held_until {
                None => f.say("pages.waits-held", &[held]),
                Some(until) => f.say("pages.waits-held-until", &[held, &f.time(until)]),
            };
            (words, None)
        }
        ("active", _) => (f.t("pages.waits-active").to_owned(), None),
        (_, Some(at)) => {
            let (at, ago) = (f.time(at), f.ago(at));
            match (&row.last_reply, &row.send_at) {
                // A limit stands in the way: which, the relay's sentence says.
                _ if said.starts_with("a limit") => {
                    (f.say("pages.waits-limit", &[&at, &ago]), Some(said))
                }
                (Some(reply), _) => (f.say("pages.waits-attempt", &[&at, &ago, reply]), None),
                (None, Some(_)) => (f.say("pages.waits-time", &[&at, &ago]), None),
                (None, None) => (f.say("pages.waits-until", &[&at, &ago]), Some(said)),
            }
        }
        (_, None) => (f.t("pages.waits-turn").to_owned(), Some(said)),
    };
    let mut levers = Vec::new();
    if f.operates() {
        let to = |action| link("/queue/act", &[("action", action), ("message", &row.message)]);
        let first = if row.state == "held" {
            ("release", "actions.release")
        } else {
            ("hold", "actions.hold")
        };
        levers.push((to(first.0), f.t(first.1)));
        levers.push((to("retry"), f.t("actions.retry")));
        levers.push((to("bounce"), f.t("actions.bounce")));
    }
    Waits { row: row.clone(), words, said: said.map(str::to_owned), levers }
}

fn happened(f: &Frame, event: &Event) -> Happened {
    let parts = [&event.source, &event.mx, &event.site];
    let mut place: Vec<&str> = parts.into_iter().filter_map(|it| it.as_deref()).collect();
    place.dedup();
    Happened {
        at: f.time(&event.time),
        kind: f.word("event", event.kind.word()),
        word: event.kind.word(),
        recipient: event.recipient.clone().unwrap_or_default(),
        place: place.join(" → "),
        reply: event.reply.clone(),
        category: event.category.as_ref().map(|it| f.word("category", it)),
        rule: event.rule.clone(),
        detail: event.detail.clone().filter(|it| event.reply.as_ref() != Some(it)),
    }
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    f: Frame,
    recipient: String,
    pools: Vec<(String, bool)>,
    found: Option<Explanation>,
}

#[derive(Deserialize)]
pub(super) struct ExplainQuery {
    #[serde(default)]
    recipient: String,
    #[serde(default)]
    pool: String,
}

/// Where mail to an address would go now, and what stands in its way.
pub(super) async fn explain(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(query): Query<ExplainQuery>,
) -> Answer {
    let control = &web.front.control;
    let found = match filled(&query.recipient) {
        Some(recipient) => Some(control.explain(recipient, filled(&query.pool)).await?),
        None => None,
    };
    let pools = control.pools().into_iter().map(|it| (it.name.clone(), it.name == query.pool));
    let pools = pools.collect();
    Ok(shown(&ExplainPage { f, recipient: query.recipient, pools, found }))
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::super::texts::Lang;
    use super::*;

    #[test]
    fn what_a_message_waits_for_is_told_in_the_language_of_who_looks() {
        let row = |state: &str, next: Option<&str>| Row {
            message: "m1".to_owned(),
            delivery: 0,
            message_id: None,
            sender: String::new(),
            recipients: vec!["a@x.pe".to_owned()],
            domain: "x.pe".to_owned(),
            site: "x.pe".to_owned(),
            state: state.to_owned(),
            attempts: 1,
            next_attempt: next.map(str::to_owned),
            last_reply: Some("450 mañana".to_owned()),
            last_category: None,
            last_rule: None,
            held: Some("ana: prueba".to_owned()),
            standing: None,
            pool: "bulk".to_owned(),
            held_until: None,
            send_at: None,
            accepted: String::new(),
            account: String::new(),
            tags: Vec::new(),
            size: 1,
        };
        let later = Some("2026-12-01T15:30:00Z");
        let check = |lang, row: &Row, said: &str, expected: &str| {
            let told = waits(&frame(lang), row, said);
            assert!(told.words.contains(expected), "{}", told.words);
            told.said
        };
        check(Lang::Es, &row("held", None), "", "retenido por ana: prueba");
        check(Lang::En, &row("held", None), "", "held by ana: prueba");
        check(Lang::Es, &row("deferred", later), "", "en 30 min");
        check(Lang::Es, &row("deferred", later), "", "450 mañana");
        let said = check(Lang::Es, &row("queued", later), "a limit, until then: the cap", "límite");
        assert_eq!(said.as_deref(), Some("a limit, until then: the cap"));
        check(Lang::En, &row("queued", Some("2026-12-01T14:30:00Z")), "x", "turn");
    }
}
