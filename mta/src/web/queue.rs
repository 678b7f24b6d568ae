//! Cola: what waits, in groups, and the standing holds. What can be done to it stands in `deliveries.rs`.

use std::cmp::Ordering;

use axum::extract::{Extension, Query, State};

use crate::admin::{Control, GroupBy, GroupRow, Meaning};
use crate::message::Timestamp;

use super::forms::{filled, link};
use super::frame::Frame;
use super::holds;
use super::list::ListPage;
use super::table::{Asked, Cut, Item, Table, order, table};
use super::{Answer, Web};

/// Groups of a page.
const GROUPS: usize = 100;
/// By what waiting mail is shown: the word and the key of its name.
const BY: [(GroupBy, &str, &str); 5] = [
    (GroupBy::Site, "site", "pages.by-site"),
    (GroupBy::Domain, "domain", "pages.by-domain"),
    (GroupBy::Account, "account", "pages.by-account"),
    (GroupBy::Tag, "tag", "pages.by-tag"),
    (GroupBy::Pool, "pool", "pages.by-pool"),
];
/// The columns that groups are sorted by, besides their name.
const DELIVERIES: usize = 1;
const HELD: usize = 2;
const OLDEST: usize = 3;
const NEXT: usize = 4;

/// Groups that wait, the largest first.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(mut asked): Query<Asked>,
) -> Answer {
    let wanted = asked.get("by").map_or("", String::as_str);
    let known = BY.into_iter().find(|(_, word, _)| *word == wanted);
    let (by, word, _) = known.unwrap_or(BY[0]);
    asked.insert("by".to_owned(), word.to_owned());
    // Said, so that the heading shows it.
    asked.entry("sort".to_owned()).or_insert_with(|| format!("-{DELIVERIES}"));
    let summary = web.front.control.summary(by).await?;
    let mut page = ListPage::new(&f, "frame.queue", "pages.queue-lead");
    let all = &summary.all;
    let oldest = all.oldest.as_ref().map_or_else(|| f.t("frame.none").to_owned(), |at| f.ago(at));
    page.figures = vec![
        (f.t("pages.waiting"), f.number(all.deliveries)),
        (f.t("pages.recipients"), f.number(all.recipients)),
        (f.t("pages.deferred"), f.number(all.deferred)),
        (f.t("pages.held"), f.number(all.held)),
        (f.t("pages.oldest"), oldest),
    ];
    page.hints.push((f.say("pages.counted", &[&f.ago(&summary.counted_at)]), String::new()));
    let held = (all.held > 0).then(|| link("/queue/deliveries", &[("held", "true")]));
    page.hints.extend(held.map(|href| (f.t("pages.see-held").to_owned(), href)));
    page.tabs.push(
        BY.map(|(_, tab, key)| (link("/queue", &[("by", tab)]), f.t(key).to_owned(), tab == word))
            .to_vec(),
    );
    page.tables.push(groups(&*web.front.control, &f, word, summary.groups, &asked));
    let standing = web.front.control.standing_holds();
    if !standing.is_empty() {
        page.tables.push(holds::table_of(&f, standing));
    }
    page.answered("/queue", &asked)
}

/// The groups that are asked for. Only those of a page become cells: there can be one for each domain.
fn groups(
    control: &dyn Control,
    f: &Frame,
    by: &str,
    mut groups: Vec<GroupRow>,
    asked: &Asked,
) -> Table {
    let finds = groups.len() > 10;
    // A table beside it may be meant.
    let mine = asked.get("t").is_none_or(|table| table == "0");
    let of = |key: &str| mine.then(|| asked.get(key).and_then(|it| filled(it))).flatten();
    if let Some(find) = of("find") {
        let find = find.to_lowercase();
        groups.retain(|row| row.group.to_lowercase().contains(&find));
    }
    let (down, column) = of("sort").map_or((true, Some(DELIVERIES)), |sort| order(&sort));
    groups.sort_by(|a, b| {
        let order = compared(column, a, b);
        if down { order.reverse() } else { order }
    });
    let at = of("at").and_then(|at| at.parse().ok()).unwrap_or(0_usize);
    let end = at.saturating_add(GROUPS);
    let whole = mine && asked.contains_key("file");
    let next = (end < groups.len() && !whole).then(|| end.to_string());
    let rows = if whole { groups.as_slice() } else { groups.get(at..).unwrap_or_default() };
    let rows = rows.iter().take(if whole { usize::MAX } else { GROUPS });
    let headings = [
        "pages.name",
        "@pages.waiting",
        "@pages.held",
        "pages.oldest",
        "pages.next",
        "pages.last-reply",
        "",
    ];
    let title = BY.iter().find(|(_, word, _)| *word == by).map_or("", |(_, _, key)| key);
    let table = table(f, title, "pages.queue-empty", &headings);
    let meaning = |row: &GroupRow| control.meaning(row.last_reply.as_deref()?);
    let rows = rows.map(|row| line(f, by, row, meaning(row))).collect();
    table.with(rows).cut(Cut { next, sorts: (0..=NEXT).collect(), finds })
}

fn compared(column: Option<usize>, a: &GroupRow, b: &GroupRow) -> Ordering {
    let by = match column {
        Some(HELD) => a.held.cmp(&b.held),
        Some(OLDEST) => a.oldest.cmp(&b.oldest),
        Some(NEXT) => a.next_attempt.cmp(&b.next_attempt),
        Some(DELIVERIES) => a.deliveries.cmp(&b.deliveries),
        _ => Ordering::Equal,
    };
    by.then_with(|| a.group.cmp(&b.group))
}

fn line(f: &Frame, by: &str, row: &GroupRow, meaning: Option<Meaning>) -> Vec<Item> {
    let meaning = meaning.map(|it| told(f, it.category, &it.rule));
    // Of no name, as of mail without a tag, deliveries cannot be asked for.
    let asked = !row.group.is_empty();
    let name = if asked { row.group.clone() } else { f.t("pages.no-name").to_owned() };
    let mut named = Item::text(name);
    if asked {
        named = named.to(link("/queue/deliveries", &[(by, &row.group)]));
    }
    let due = |at: &String| Timestamp::parse_rfc3339(at).is_some_and(|at| at <= f.now);
    let mut next = Item::ago(f, row.next_attempt.as_ref());
    // What is due stands in line.
    if row.next_attempt.as_ref().is_some_and(due) {
        next = next.shown_as(f.t("pages.in-line"));
    }
    vec![
        named,
        Item::count(f, row.deliveries),
        Item::count(f, row.held),
        Item::ago(f, row.oldest.as_ref()),
        next,
        Item::reply(f, row.last_reply.as_ref()).with_note(meaning),
        Item::levers(levers(f, by, row)),
    ]
}

/// What a reply means, in words, and the rule that says so.
pub(super) fn told(f: &Frame, category: &str, rule: &str) -> String {
    format!("{} ({rule})", f.word("category", category))
}

fn levers(f: &Frame, by: &str, row: &GroupRow) -> Vec<(String, &'static str)> {
    if row.group.is_empty() || !f.operates() {
        return Vec::new();
    }
    let to = |action| link("/queue/act", &[("action", action), (by, &row.group)]);
    let mut levers = vec![(to("retry"), f.t("actions.retry"))];
    if row.held < row.deliveries {
        levers.push((to("hold"), f.t("actions.hold")));
    }
    if row.held > 0 {
        levers.push((to("release"), f.t("actions.release")));
    }
    levers.push((to("move"), f.t("actions.move")));
    levers.push((to("bounce"), f.t("actions.bounce")));
    levers
}
