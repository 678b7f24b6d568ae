//! Direcciones IP: the sources, and how each stands where. What can be done to them stands in `levers.rs`.

use std::collections::{BTreeMap, HashMap};

use askama::Template;
use axum::extract::{Extension, Path, Query, State};

use crate::admin::{
    BlocklistRow, ListingRow, NamesRow, NumbersBy, NumbersRow, NumbersStep, PathRow, Problem,
    RefusalRow, SourceRow, WarmUpRow,
};

use super::chart;
use super::forms::escaped;
use super::frame::{Frame, shown};
use super::table::{Asked, Item, Table, arranged};
use super::{Answer, Web, gate, reports};

/// A warm-up at a provider, as it is drawn.
struct Warmth {
    site: String,
    day: String,
    bar: String,
    used: String,
    warm_on: String,
    held: Option<String>,
}

struct Line {
    row: SourceRow,
    href: String,
    state: String,
    until: Option<String>,
    warm_up: Vec<Warmth>,
    more_warm_up: usize,
    listed: Vec<String>,
    names: NamesLine,
    today: Vec<(&'static str, String)>,
}

/// What the DNS says of the names of a source, in a word, its colour, and what stands beside it.
struct NamesLine {
    word: String,
    state: &'static str,
    detail: String,
    mend: Option<String>,
}

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    f: Frame,
    lines: Vec<Line>,
    pools: Vec<String>,
    pool: String,
    tables: Vec<Table>,
}

/// All sources.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let control = &web.front.control;
    let pool = asked.get("pool").cloned().unwrap_or_default();
    let figures = Figures::read(&web, &f).await?;
    let mut warm_up: BTreeMap<String, Vec<WarmUpRow>> = BTreeMap::new();
    for row in control.warm_up(None).await? {
        warm_up.entry(row.source.clone()).or_default().push(row);
    }
    let lists = control.blocklists();
    let pools: Vec<String> = control.pools().into_iter().map(|pool| pool.name).collect();
    let meant = |row: &SourceRow| {
        pool.is_empty() || row.pools.contains(&pool) || row.standby.contains(&pool)
    };
    let mut lines: Vec<Line> = Vec::new();
    for row in control.sources().await?.into_iter().filter(meant) {
        let rows = warm_up.remove(&row.name).unwrap_or_default();
        // Providers come first; each is one bar.
        let drawn: Vec<Warmth> = rows.iter().take(6).map(|it| warmth(&f, it)).collect();
        lines.push(Line {
            href: format!("/sources/{}", escaped(&row.name)),
            state: f.word("state", &row.state),
            until: row.until.as_ref().map(|until| f.time(until)),
            more_warm_up: rows.len().saturating_sub(drawn.len()),
            warm_up: drawn,
            listed: listed(&lists, &row).into_iter().map(|(list, _)| list).collect(),
            names: names_line(&f, row.names.as_ref()),
            today: rates(&f, figures.today.get(&row.name)),
            row,
        });
    }
    let table = figures.table(&f, lines.iter().map(|line| &line.row));
    match arranged(vec![table], "/sources", &asked)? {
        Ok(tables) => Ok(shown(&SourcesPage { f, lines, pools, pool, tables })),
        Err(file) => Ok(file),
    }
}

/// What each source sent, as it is added up: today where who looks is, and in the last 24 hours.
struct Figures {
    today: HashMap<String, NumbersRow>,
    day: HashMap<String, NumbersRow>,
}

impl Figures {
    async fn read(web: &Web, f: &Frame) -> Result<Self, Problem> {
        let midnight = f.zoned(f.now).map(|now| now.date().to_string());
        let ask = |from| reports::asking(f, NumbersBy::Source, NumbersStep::All, from);
        let questions = [ask(midnight), ask(Some("24h".to_owned()))];
        let [today, day] = reports::together(web, questions)
            .await?
            .map(|rows| rows.into_iter().map(|row| (row.name.clone(), row)).collect());
        Ok(Self { today, day })
    }

    fn table<'a>(&self, f: &Frame, sources: impl Iterator<Item = &'a SourceRow>) -> Table {
        let mut headings = vec![f.t("pages.source").to_owned(), f.t("pages.state").to_owned()];
        for when in ["tables.today", "sources.last-day"] {
            let what = ["sources.sent", "sources.put-off-rate", "tables.refused-share"];
            headings.extend(what.map(|what| format!("@{} · {}", f.t(what), f.t(when))));
        }
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let none = NumbersRow::default();
        let row = |row: &SourceRow| {
            let mut items = vec![
                Item::text(&row.name).to(format!("/sources/{}", escaped(&row.name))),
                Item::text(f.word("state", &row.state)).with_state(&row.state),
            ];
            for sums in [&self.today, &self.day] {
                let it = sums.get(&row.name).unwrap_or(&none);
                items.push(Item::count(f, it.delivered));
                items.push(Item::share(it.deferred, attempts(it)));
                items.push(Item::share(it.bounced, attempts(it)));
            }
            items
        };
        Table::new(f.t("sources.figures"), f.t("pages.no-sources"), &headings)
            .with(sources.map(row).collect())
    }
}

/// Recipients that were tried: what expired was tried before.
fn attempts(row: &NumbersRow) -> u64 {
    row.delivered + row.deferred + row.bounced
}

/// Delivered, and of what was tried the share put off and refused; nothing: nothing was tried.
fn rates(f: &Frame, row: Option<&NumbersRow>) -> Vec<(&'static str, String)> {
    let Some(row) = row.filter(|row| attempts(row) > 0) else { return Vec::new() };
    let share = |part: u64| Item::share(part, attempts(row)).text;
    vec![
        (f.t("now.k0"), f.number(row.delivered)),
        (f.t("now.k1"), share(row.deferred)),
        (f.t("now.k2"), share(row.bounced)),
    ]
}

fn names_line(f: &Frame, names: Option<&NamesRow>) -> NamesLine {
    let Some(names) = names else {
        let word = f.word("names", "later");
        return NamesLine { word, state: "waiting", detail: String::new(), mend: None };
    };
    let state = match names.verdict.as_str() {
        "fits" => "active",
        "fails" => "suspended",
        _ => "slowed",
    };
    let amiss = names.checks.iter().find(|check| check.outcome != "passed");
    let found = amiss.and_then(|check| {
        Some(format!("{}: {}", f.word("check", &check.what), check.found.as_ref()?))
    });
    NamesLine {
        word: f.word("names", &names.verdict),
        state,
        detail: found.unwrap_or_else(|| names.pointers.join(", ")),
        mend: amiss.and_then(|check| check.mend.clone()),
    }
}

fn warmth(f: &Frame, row: &WarmUpRow) -> Warmth {
    let cap = row.cap.unwrap_or(0);
    Warmth {
        site: row.provider.clone().unwrap_or_else(|| row.site.clone()),
        day: f.say("pages.day-of", &[&row.day.to_string(), &row.days.to_string()]),
        bar: chart::share(u64::from(row.used), u64::from(cap)),
        used: format!(
            "{} / {}",
            f.number(row.used),
            row.cap.map_or("∞".to_owned(), |it| f.number(it))
        ),
        warm_on: row.warm_on.clone(),
        held: row.held.clone(),
    }
}

fn listed(lists: &[BlocklistRow], row: &SourceRow) -> Vec<(String, ListingRow)> {
    let mut found = Vec::new();
    for list in lists {
        for listing in &list.listed {
            if listing.subject == row.public || listing.subject == row.address {
                found.push((list.name.clone(), listing.clone()));
            }
        }
    }
    found
}

struct PathLine {
    site: String,
    state: String,
    trouble: bool,
    until: Option<String>,
    rule: Option<String>,
    reply: Option<String>,
    since: Option<String>,
    used: String,
    bar: String,
    day: Option<String>,
    kept: Option<String>,
    open: u32,
    limits: Vec<String>,
    last_used: Option<String>,
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    f: Frame,
    row: SourceRow,
    state: String,
    until: Option<String>,
    levers: Vec<(String, &'static str)>,
    paths: Vec<PathLine>,
    left_out: usize,
    listed: Vec<(String, ListingRow)>,
    warm_up: Vec<Warmth>,
    names: NamesLine,
    looked: Option<(String, String)>,
    look: Option<String>,
    sent: Vec<(&'static str, Vec<(&'static str, String)>)>,
    tables: Vec<Table>,
}

/// A source and how it stands at each destination.
pub(super) async fn one(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let control = &web.front.control;
    let answer = control.source(name.clone()).await?;
    let row = answer.source;
    let place = format!("/sources/{}", escaped(&name));
    let tables = match arranged(vec![refusals(&f, &answer.refusals)], &place, &asked)? {
        Ok(tables) => tables,
        Err(file) => return Ok(file),
    };
    let figures = Figures::read(&web, &f).await?;
    let looked = row.names.as_ref().map(|names| (f.time(&names.at), f.ago(&names.at)));
    let mut warm_up = control.warm_up(None).await?;
    warm_up.retain(|it| it.source == name);
    let page = SourcePage {
        state: f.word("state", &row.state),
        until: row.until.as_ref().map(|until| f.time(until)),
        levers: levers(&f, &row),
        paths: answer.paths.iter().map(|path| path_line(&f, path)).collect(),
        left_out: answer.paths_left_out,
        listed: listed(&control.blocklists(), &row),
        warm_up: warm_up.iter().map(|it| warmth(&f, it)).collect(),
        names: names_line(&f, row.names.as_ref()),
        looked,
        look: f.operates().then(|| format!("{place}/names")),
        sent: [("tables.today", &figures.today), ("sources.last-day", &figures.day)]
            .map(|(when, sums)| (f.t(when), rates(&f, sums.get(&name))))
            .to_vec(),
        tables,
        row,
        f,
    };
    Ok(shown(&page))
}

/// Looks at its names now.
pub(super) async fn look_at_names(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Path(name): Path<String>,
) -> Answer {
    let names = web.front.control.look_at_names(name.clone()).await?;
    let word = f.word("names", &names.verdict);
    let said = f.say("sources.looked", &[&name, &word]);
    Ok(gate::done(&web, &format!("/sources/{}", escaped(&name)), &said))
}

/// What was refused last, in the words of who refused.
fn refusals(f: &Frame, rows: &[RefusalRow]) -> Table {
    let headings = [
        f.t("sources.reply").to_owned(),
        f.t("pages.site").to_owned(),
        f.t("tables.cause").to_owned(),
        f.t("sources.rule").to_owned(),
        f.t("sources.outcome").to_owned(),
        format!("@{}", f.t("pages.recipients")),
        f.t("sources.last-time").to_owned(),
    ];
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let row = |row: &RefusalRow| {
        let state = if row.for_good { "bounced" } else { "deferred" };
        vec![
            Item::text(&row.reply),
            Item::text(&row.site),
            Item::text(f.word("category", &row.category)),
            Item::text(&row.rule),
            Item::text(f.word("state", state)).with_state(state),
            Item::count(f, row.times),
            Item::time(f, &row.at),
        ]
    };
    Table::new(f.t("sources.refusals"), f.t("sources.no-refusals"), &headings)
        .with(rows.iter().map(row).collect())
}

/// What can be done to it as it is.
fn levers(f: &Frame, row: &SourceRow) -> Vec<(String, &'static str)> {
    if !f.operates() {
        return Vec::new();
    }
    let place = format!("/sources/{}", escaped(&row.name));
    let act = |action: &str| format!("{place}/act?action={action}");
    let mut levers = Vec::new();
    let runs = ["active", "standby"].contains(&row.state.as_str());
    if runs {
        levers.push((act("suspend"), f.t("actions.suspend")));
        levers.push((act("drain"), f.t("actions.drain")));
    } else {
        levers.push((act("resume"), f.t("actions.resume")));
    }
    if !row.pools.is_empty() {
        levers.push((format!("{place}/swap"), f.t("actions.swap")));
    }
    levers
}

fn path_line(f: &Frame, path: &PathRow) -> PathLine {
    let day = path.warm_up_day.zip(path.warm_up_days);
    PathLine {
        site: path.site.clone(),
        state: f.word("state", &path.state),
        trouble: path.state != "active",
        until: path.until.as_ref().map(|it| f.time(it)),
        rule: path.rule.clone(),
        reply: path.reply.clone(),
        since: path.since.as_ref().map(|it| f.time(it)),
        used: match path.cap {
            Some(cap) => format!("{} / {}", f.number(path.used), f.number(cap)),
            None => f.number(path.used),
        },
        bar: path.cap.map_or(String::new(), |cap| chart::share(path.used.into(), cap.into())),
        day: day.map(|(day, days)| f.say("pages.day-of", &[&day.to_string(), &days.to_string()])),
        kept: path.kept.clone(),
        open: path.open,
        limits: path
            .limits
            .iter()
            .filter(|it| it.now != it.configured)
            .map(|it| f.say("pages.limit-learned", &[&it.name, &it.now, &it.configured]))
            .collect(),
        last_used: path.last_used.as_ref().map(|it| f.ago(it)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::super::texts::Lang;
    use super::*;
    use crate::admin::CheckRow;

    #[test]
    fn names_are_told_in_a_word_with_what_is_to_be_mended() {
        let f = frame(Lang::Es);
        let told = |verdict: &str, checks: Vec<CheckRow>| {
            let names = NamesRow {
                at: "2026-12-01T14:00:00Z".to_owned(),
                verdict: verdict.to_owned(),
                pointers: vec!["m.example.pe".to_owned()],
                checks,
            };
            let line = names_line(&f, Some(&names));
            (line.word, line.state, line.detail, line.mend)
        };
        let (word, state, detail, mend) = told("fits", Vec::new());
        assert_eq!((state, detail.as_str(), mend), ("active", "m.example.pe", None));
        assert_ne!(word, "fits", "it has words of its own");
        let failed = CheckRow {
            what: "PTR".to_owned(),
            outcome: "failed".to_owned(),
            found: Some("none".to_owned()),
            expected: Some("one".to_owned()),
            mend: Some("publish it".to_owned()),
        };
        let (_, state, detail, mend) = told("fails", vec![failed]);
        assert_eq!((state, detail.as_str()), ("suspended", "Registro PTR: none"));
        assert_eq!(mend.as_deref(), Some("publish it"));
        assert_eq!(names_line(&f, None).state, "waiting");
    }

    #[test]
    fn rates_are_of_what_was_tried() {
        let f = frame(Lang::Es);
        let row = NumbersRow {
            delivered: 90,
            deferred: 8,
            bounced: 2,
            expired: 50,
            ..NumbersRow::default()
        };
        let told: Vec<String> = rates(&f, Some(&row)).into_iter().map(|it| it.1).collect();
        assert_eq!(told, ["90", "8.0 %", "2.0 %"]);
        let only_expired = NumbersRow { expired: 5, ..NumbersRow::default() };
        assert!(rates(&f, Some(&only_expired)).is_empty() && rates(&f, None).is_empty());
    }
}
