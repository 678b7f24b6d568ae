//! Informes: a day or a month in figures, and as files. Rebotes: what came back, why and from whom.

use std::time::Duration;

use axum::extract::{Extension, Query, State};

use crate::admin::{
    NumbersBy, NumbersQuery, NumbersRow, NumbersStep, Problem, ReportFormat, ReportLanguage,
    ReportQuery,
};
use crate::message::Timestamp;

use super::forms::{filled, link};
use super::frame::Frame;
use super::list::{ListPage, Steps, over_time};
use super::table::{Asked, Item, Table, as_file, table};
use super::texts::Lang;
use super::{Answer, Web};

/// Reports that are a click away: the key of a query, its value and the key of its name.
const CHOICES: [(&str, &str, &str); 4] = [
    ("day", "today", "tables.today"),
    ("day", "yesterday", "tables.yesterday"),
    ("month", "this", "tables.this-month"),
    ("month", "last", "tables.last-month"),
];
/// Times of Rebotes: the word of `since` and the key of its name.
const TIMES: [(&str, &str); 4] = [
    ("24h", "pages.last-day"),
    ("7d", "pages.last-week"),
    ("30d", "pages.last-month"),
    ("90d", "tables.last-quarter"),
];

/// What is asked of a report.
fn question(f: &Frame, asked: &Asked) -> ReportQuery {
    let of = |key: &str| asked.get(key).and_then(|it| filled(it));
    let (day, month) = (of("day"), of("month"));
    let day = if day.is_none() && month.is_none() { Some("today".to_owned()) } else { day };
    ReportQuery {
        day,
        month,
        zone: Some(f.zone_name.clone()),
        language: Some(match f.lang {
            Lang::Es => ReportLanguage::Es,
            Lang::En => ReportLanguage::En,
        }),
        ..ReportQuery::default()
    }
}

/// Informes.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let question = question(&f, &asked);
    let chosen = [("day", question.day.clone()), ("month", question.month.clone())];
    let report = web.front.control.report(question).await?;
    let mut page = ListPage::new(&f, "frame.reports", "tables.reports-lead");
    let is = |key: &str, value: &str| {
        chosen.iter().any(|(known, chosen)| *known == key && chosen.as_deref() == Some(value))
    };
    page.tabs.push(
        CHOICES
            .map(|(key, value, name)| {
                (link("/reports", &[(key, value)]), f.t(name).to_owned(), is(key, value))
            })
            .to_vec(),
    );
    page.figures = sums(&f, &report.all);
    let title = if report.is_of_a_day() { "tables.by-hour" } else { "tables.by-day" };
    if let Some((from, until)) = span(&f, &report.from, &report.to) {
        let steps = Steps { from, until, days: !report.is_of_a_day() };
        page.chart = over_time(&f, title, &report.times, steps);
    }
    let pairs: Vec<(&str, &str)> =
        chosen.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect();
    for (format, name) in
        [("xlsx", "tables.as-xlsx"), ("csv", "tables.as-csv"), ("text", "tables.as-text")]
    {
        let href = link("/reports/file", &[&pairs[..], &[("format", format)]].concat());
        page.files.push((href, f.t(name).to_owned()));
    }
    page.tables.push(numbers(&f, NumbersBy::None, title, &report.times));
    for part in &report.parts {
        page.tables.push(numbers(&f, part.by, by(part.by).0, &part.rows));
    }
    page.answered("/reports", &asked)
}

/// A report as a file.
pub(super) async fn file(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let format = match asked.get("format").map(String::as_str) {
        Some("csv") => ReportFormat::Csv,
        Some("text") => ReportFormat::Text,
        _ => ReportFormat::Xlsx,
    };
    let report = web.front.control.report(question(&f, &asked)).await?;
    let written = report.written(format).map_err(Problem::unavailable)?;
    let (kind, ending) = format.kind();
    let days = if report.is_of_a_day() {
        report.from.clone()
    } else {
        format!("{}-{}", report.from, report.to)
    };
    Ok(as_file(written, kind, &format!("tambo-{days}.{ending}")))
}

/// From the beginning of one day to the last moment of another, where who looks is.
fn span(f: &Frame, from: &str, to: &str) -> Option<(Timestamp, Timestamp)> {
    let day = |text: &str| text.parse::<jiff::civil::Date>().ok();
    let begins =
        |date: jiff::civil::Date| f.instant(date.to_datetime(jiff::civil::Time::midnight()));
    let until = begins(day(to)?.tomorrow().ok()?)?;
    Some((begins(day(from)?)?, until.before(Duration::from_millis(1))))
}

/// What of all that ended was delivered, and the like.
pub(super) fn sums(f: &Frame, row: &NumbersRow) -> Vec<(&'static str, String)> {
    let refused = row.bounced + row.expired;
    let ended = row.delivered + refused + row.suppressed;
    vec![
        (f.t("tables.accepted"), f.number(row.accepted)),
        (f.t("now.k0"), f.number(row.delivered)),
        (f.t("now.k1"), f.number(row.deferred)),
        (f.t("now.k2"), f.number(refused)),
        (f.t("tables.delivered-share"), Item::share(row.delivered, ended).text),
    ]
}

/// By what sums are: the title of the table, and the heading of its first column.
fn by(by: NumbersBy) -> (&'static str, &'static str) {
    match by {
        NumbersBy::None => ("tables.by-hour", "tables.time"),
        NumbersBy::Provider => ("tables.by-provider", "tables.provider"),
        NumbersBy::Source => ("tables.by-source", "pages.source"),
        NumbersBy::Pool => ("pages.by-pool", "pages.pool"),
        NumbersBy::Account => ("pages.by-account", "pages.account"),
        NumbersBy::Category => ("tables.by-category", "tables.cause"),
        NumbersBy::Tag => ("pages.by-tag", "pages.tag"),
        NumbersBy::Domain => ("pages.by-domain", "pages.domain"),
    }
}

/// The columns that all tables of sums have. Where mail goes, and from where, is not known when it is accepted: those
/// tables have no such column, and no row of what was accepted alone.
pub(super) fn numbers(
    f: &Frame,
    what: NumbersBy,
    title: &'static str,
    rows: &[NumbersRow],
) -> Table {
    let goes = matches!(what, NumbersBy::Provider | NumbersBy::Source);
    let mut headings = vec![
        f.t(by(what).1).to_owned(),
        format!("@{}", f.t("tables.accepted")),
        format!("@{}", f.t("now.k0")),
        format!("@{}", f.t("now.k1")),
        format!("@{}", f.t("now.k2")),
        format!("@{}", f.t("tables.suppressed")),
        format!("@{}", f.t("tables.refused-share")),
    ];
    if goes {
        headings.remove(1);
    }
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let row = |row: &NumbersRow| {
        let refused = row.bounced + row.expired;
        let name = if what == NumbersBy::None {
            Item::time(f, &row.from)
        } else {
            Item::text(name(f, what, &row.name))
        };
        let mut items = vec![
            name,
            Item::count(f, row.accepted),
            Item::count(f, row.delivered),
            Item::count(f, row.deferred),
            Item::count(f, refused),
            Item::count(f, row.suppressed),
            Item::share(refused, row.delivered + refused),
        ];
        if goes {
            items.remove(1);
        }
        items
    };
    let ended = |row: &&NumbersRow| {
        !goes || row.delivered + row.deferred + row.bounced + row.expired + row.suppressed > 0
    };
    let empty = f.t("tables.no-mail");
    Table::new(f.t(title), empty, &headings).with(rows.iter().filter(ended).map(row).collect())
}

/// The name of whom sums are, in words where it is one of ours.
fn name(f: &Frame, what: NumbersBy, name: &str) -> String {
    match name {
        "" | "none" => f
            .t(match what {
                NumbersBy::Tag => "tables.no-tag",
                NumbersBy::Source => "tables.no-source",
                _ => "tables.nobody",
            })
            .to_owned(),
        "other" => f.t("tables.others").to_owned(),
        name if what == NumbersBy::Category => f.word("category", name),
        name => name.to_owned(),
    }
}

/// Rebotes.
pub(super) async fn bounces(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let since = asked.get("since").map(String::as_str);
    let since = TIMES.iter().find(|(word, _)| Some(*word) == since).map_or("7d", |(word, _)| *word);
    let ask = |by: NumbersBy, step: NumbersStep| asking(&f, by, step, Some(since.to_owned()));
    let step = if since == "24h" { NumbersStep::Hour } else { NumbersStep::Day };
    let [times, categories, providers, tags, domains] = together(
        &web,
        [
            ask(NumbersBy::None, step),
            ask(NumbersBy::Category, NumbersStep::All),
            ask(NumbersBy::Provider, NumbersStep::All),
            ask(NumbersBy::Tag, NumbersStep::All),
            ask(NumbersBy::Domain, NumbersStep::All),
        ],
    )
    .await?;
    let mut page = ListPage::new(&f, "frame.bounces", "tables.bounces-lead");
    page.tabs.push(
        TIMES
            .map(|(word, name)| {
                (link("/bounces", &[("since", word)]), f.t(name).to_owned(), word == since)
            })
            .to_vec(),
    );
    let title = if since == "24h" { "tables.by-hour" } else { "tables.by-day" };
    let hours =
        since.strip_suffix('d').and_then(|days| days.parse().ok()).map_or(24, |it: u64| it * 24);
    page.chart = over_time(&f, title, &times, Steps::last(&f, hours, since != "24h"));
    page.tables.push(of_categories(&f, &categories));
    page.tables.push(numbers(&f, NumbersBy::Provider, "tables.by-provider", &providers));
    page.tables.push(of_domains(&f, since, &domains));
    page.tables.push(numbers(&f, NumbersBy::Tag, "pages.by-tag", &tags));
    page.files.push(("/suppression".to_owned(), f.t("tables.suppression-link").to_owned()));
    page.files.push((
        link("/messages", &[("state", "bounced"), ("since", since)]),
        f.t("tables.bounced-link").to_owned(),
    ));
    page.answered("/bounces", &asked)
}

fn of_categories(f: &Frame, rows: &[NumbersRow]) -> Table {
    let headings = [
        f.t("tables.cause").to_owned(),
        format!("@{}", f.t("now.k2")),
        format!("@{}", f.t("now.k1")),
    ];
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut rows: Vec<&NumbersRow> = rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.bounced + row.expired, row.deferred)));
    let row = |row: &&NumbersRow| {
        vec![
            Item::text(name(f, NumbersBy::Category, &row.name)),
            Item::count(f, row.bounced + row.expired),
            Item::count(f, row.deferred),
        ]
    };
    Table::new(f.t("tables.by-category"), f.t("tables.no-refusals"), &headings)
        .with(rows.iter().map(row).collect())
}

/// Domains that mail came back from, those of most first; each leads to the messages.
fn of_domains(f: &Frame, since: &str, rows: &[NumbersRow]) -> Table {
    let mut rows: Vec<&NumbersRow> = rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bounced + row.expired));
    let row = |row: &&NumbersRow| {
        let item = Item::text(name(f, NumbersBy::Domain, &row.name));
        let is_one = !["other", "none", ""].contains(&row.name.as_str());
        let asked = [("by", "domain"), ("q", &*row.name), ("state", "bounced"), ("since", since)];
        vec![
            if is_one { item.to(link("/messages", &asked)) } else { item },
            Item::count(f, row.bounced),
            Item::count(f, row.expired),
        ]
    };
    let headings = ["pages.domain", "@event.bounced", "@event.expired"];
    table(f, "pages.by-domain", "tables.no-refusals", &headings)
        .with(rows.iter().map(row).collect())
}

/// A question about sums, in the zone of who looks.
pub(super) fn asking(
    f: &Frame,
    by: NumbersBy,
    step: NumbersStep,
    from: Option<String>,
) -> NumbersQuery {
    let (step, by, zone) = (Some(step), Some(by), Some(f.zone_name.clone()));
    NumbersQuery { from, to: None, step, by, zone }
}

/// The answers to several.
pub(super) async fn together<const COUNT: usize>(
    web: &Web,
    questions: [NumbersQuery; COUNT],
) -> Result<[Vec<NumbersRow>; COUNT], Problem> {
    let mut answers = web.front.control.numbers_together(questions.to_vec()).await?.into_iter();
    Ok(std::array::from_fn(|_| answers.next().unwrap_or_default()))
}

/// Today, for Ahora: everything, and by provider.
pub(super) async fn today(
    web: &Web,
    f: &Frame,
) -> Result<(NumbersRow, Vec<NumbersRow>, Vec<NumbersRow>), Problem> {
    let midnight = f.zoned(f.now).map(|now| now.date().to_string());
    let questions = [
        asking(f, NumbersBy::None, NumbersStep::All, midnight.clone()),
        asking(f, NumbersBy::Provider, NumbersStep::All, midnight),
        asking(f, NumbersBy::None, NumbersStep::Hour, Some("24h".to_owned())),
    ];
    let [all, providers, hours] = together(web, questions).await?;
    Ok((all.into_iter().next().unwrap_or_default(), providers, hours))
}
