//! The forecast of warm-up: how many days a mailing takes from a pool as it is now. What is answered comes from the same
//! place as `tambo sources forecast`; here it is asked by shares of providers, which are those of the last thirty days
//! until somebody writes others.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Extension, Query, State};

use crate::admin::{
    ForecastAnswer, ForecastQuestion, NumbersBy, NumbersQuery, NumbersRow, NumbersStep, Problem,
};

use super::forms::filled;
use super::frame::{Frame, shown};
use super::list::Chart;
use super::table::{Asked, Item, Table, arranged};
use super::{Answer, Web, chart};

/// Recipients of a mailing when nobody says: to each citizen of a province.
const RECIPIENTS: u64 = 100_000;
/// More than there are people.
const RECIPIENTS_MAX: u64 = 10_000_000_000;
/// Everybody who is no known provider.
const OTHER: &str = "other";
/// What is taken for the mix where nothing was sent yet: what public institutions that write to citizens see. In
/// percent, of providers that the configuration knows.
const USUAL: [(&str, u32); 4] =
    [("google", 60), ("outlook-consumer", 25), ("yahoo", 5), (OTHER, 10)];
/// Providers with less than this share, in tenths of a percent, are asked for only on demand.
const SMALL: u32 = 5;

/// A provider and its share, in tenths of a percent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    site: String,
    name: String,
    tenths: u32,
}

impl Part {
    /// As a field of a form has it: `62.5`.
    fn percent(&self) -> String {
        match (self.tenths / 10, self.tenths % 10) {
            (whole, 0) => whole.to_string(),
            (whole, tenth) => format!("{whole}.{tenth}"),
        }
    }
}

#[derive(Template)]
#[template(path = "forecast.html")]
struct ForecastPage {
    f: Frame,
    pools: Vec<(String, bool)>,
    recipients: String,
    /// Those that matter, and the others.
    parts: Vec<Part>,
    rest: Vec<Part>,
    measured: bool,
    verdict: String,
    ends: bool,
    chart: Option<Chart>,
    notes: Vec<String>,
    tables: Vec<Table>,
}

/// The page.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let control = &web.front.control;
    let known: Vec<(String, String)> = control
        .providers()
        .into_iter()
        .filter(|it| it.name != OTHER)
        .map(|it| (it.title.clone().unwrap_or_else(|| it.name.clone()), it.name))
        .map(|(title, name)| (name, title))
        .chain([(OTHER.to_owned(), f.t("tables.others").to_owned())])
        .collect();
    let recipients = match asked.get("recipients").and_then(|it| filled(it)) {
        Some(text) => number(&text)
            .filter(|it| (1..=RECIPIENTS_MAX).contains(it))
            .ok_or_else(|| Problem::question(f.say("sources.wrong-number", &[&text])))?,
        None => RECIPIENTS,
    };
    let (shares, measured) = match shares_of(&f, &asked)? {
        Some(shares) => (shares, false),
        None => usual(&sent(&web).await?, &known),
    };
    let pools = control.pools();
    let pool = asked.get("pool").and_then(|it| filled(it));
    let mix = mix(recipients, &shares);
    let question = ForecastQuestion { pool, mix };
    let answer = control.forecast(question).await?;
    let part = |(site, name): (String, String)| {
        let tenths = shares.get(&site).copied().unwrap_or(0);
        Part { site, name, tenths }
    };
    let parts = known.into_iter().map(part);
    let (mut parts, rest): (Vec<Part>, Vec<Part>) =
        parts.partition(|part| part.tenths >= SMALL || part.site == OTHER);
    parts.sort_by_key(|part| (part.site == OTHER, std::cmp::Reverse(part.tenths)));
    let table = days(&f, &answer, recipients);
    let tables = match arranged(vec![table], "/forecast", &asked)? {
        Ok(tables) => tables,
        Err(file) => return Ok(file),
    };
    let page = ForecastPage {
        pools: pools.into_iter().map(|it| (it.name.clone(), it.name == answer.pool)).collect(),
        recipients: recipients.to_string(),
        parts,
        rest,
        measured,
        verdict: verdict(&f, &answer, recipients),
        ends: answer.done_on.is_some(),
        chart: drawn(&f, &answer),
        notes: answer.notes,
        tables,
        f,
    };
    Ok(shown(&page))
}

/// `100000`, `100,000` or `100 000`.
fn number(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|it| !it.is_whitespace() && *it != ',').collect();
    digits.parse().ok()
}

/// The shares that somebody wrote, `share-google=62.5`, in tenths; nothing: nobody did.
fn shares_of(f: &Frame, asked: &Asked) -> Result<Option<BTreeMap<String, u32>>, Problem> {
    let mut shares = BTreeMap::new();
    for (key, text) in asked {
        let (Some(site), Some(text)) = (key.strip_prefix("share-"), filled(text)) else { continue };
        let tenths = tenths(&text)
            .ok_or_else(|| Problem::question(f.say("sources.wrong-number", &[&text])))?;
        shares.insert(site.to_owned(), tenths);
    }
    if shares.is_empty() {
        return Ok(None);
    }
    if shares.values().all(|tenths| *tenths == 0) {
        return Err(Problem::question(f.t("sources.no-shares")));
    }
    Ok(Some(shares))
}

/// `62.5`, `62,5` or `62`, in tenths; no more than all.
fn tenths(text: &str) -> Option<u32> {
    let text = text.trim_end_matches('%').trim().replace(',', ".");
    let (whole, tenth) = text.split_once('.').unwrap_or((&text, "0"));
    let (whole, tenth): (u32, u32) = (whole.parse().ok()?, tenth.get(..1)?.parse().ok()?);
    let tenths = whole.checked_mul(10)?.checked_add(tenth)?;
    (tenths <= 1_000).then_some(tenths)
}

/// What went to each provider in thirty days.
async fn sent(web: &Web) -> Result<Vec<NumbersRow>, Problem> {
    let query = NumbersQuery {
        from: Some("30d".to_owned()),
        step: Some(NumbersStep::All),
        by: Some(NumbersBy::Provider),
        ..NumbersQuery::default()
    };
    Ok(web.front.control.numbers(query).await?)
}

/// Shares of what was sent, in tenths of a percent; and whether anything was.
fn usual(sent: &[NumbersRow], known: &[(String, String)]) -> (BTreeMap<String, u32>, bool) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let is_known = |name: &str| known.iter().any(|(site, _)| site == name);
    for row in sent {
        let site = if is_known(&row.name) { row.name.as_str() } else { OTHER };
        *counts.entry(site).or_default() += row.delivered + row.bounced;
    }
    let all: u64 = counts.values().sum();
    if all == 0 {
        let usual = USUAL.iter().filter(|(site, _)| is_known(site));
        return (usual.map(|(site, percent)| ((*site).to_owned(), percent * 10)).collect(), false);
    }
    let tenths = |count: u64| {
        let tenths = (u128::from(count) * 2_000 + u128::from(all)) / (2 * u128::from(all));
        u32::try_from(tenths).unwrap_or(1_000)
    };
    let shares = counts.iter().map(|(site, count)| ((*site).to_owned(), tenths(*count)));
    (shares.filter(|(_, tenths)| *tenths > 0).collect(), true)
}

/// Shares of so many recipients, as the relay is asked. They need not add up to a hundred.
fn mix(recipients: u64, shares: &BTreeMap<String, u32>) -> String {
    let all: u128 = shares.values().map(|it| u128::from(*it)).sum();
    let mut parts = Vec::new();
    let (mut summed, mut given) = (0_u128, 0_u128);
    for (site, tenths) in shares.iter().filter(|(_, tenths)| **tenths > 0) {
        // What was given so far is always the rounded part of the whole: nobody is lost.
        summed += u128::from(*tenths);
        let until = u128::from(recipients) * summed / all;
        if until > given {
            parts.push(format!("{site}={}", until - given));
        }
        given = until;
    }
    parts.join(",")
}

/// `30/11/2026` of a date of an answer.
fn date(f: &Frame, text: &str) -> String {
    let Ok(date) = text.parse::<jiff::civil::Date>() else { return text.to_owned() };
    match f.lang {
        super::texts::Lang::Es => date.strftime("%d/%m/%Y").to_string(),
        super::texts::Lang::En => text.to_owned(),
    }
}

fn verdict(f: &Frame, answer: &ForecastAnswer, recipients: u64) -> String {
    let pool = answer.pool.as_str();
    if let Some(done) = &answer.done_on {
        let days = answer.days.len();
        let key = if days <= 1 { "sources.takes-a-day" } else { "sources.takes-days" };
        let values = [f.number(recipients), pool.to_owned(), f.number(days as u64), date(f, done)];
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        return f.say(key, &values);
    }
    let left = answer.left.iter().filter(|(_, left)| **left > 0);
    let left: Vec<String> =
        left.map(|(site, left)| format!("{} → {site}", f.number(*left))).collect();
    f.say("sources.never-ends", &[pool, &left.join(", ")])
}

fn drawn(f: &Frame, answer: &ForecastAnswer) -> Option<Chart> {
    let values: Vec<[u64; 1]> = answer.days.iter().map(|day| [day.total]).collect();
    let most = values.iter().map(|it| it[0]).max()?;
    let [first, last] = [answer.days.first(), answer.days.last()]
        .map(|day| day.map_or_else(String::new, |day| date(f, &day.date)));
    let about = f.say("sources.chart-about", &[&first, &last, &f.number(most)]);
    Some(Chart {
        title: f.t("sources.chart").to_owned(),
        kinds: ["", "", ""],
        top: f.number(chart::top(most)),
        svg: chart::bars(f.t("sources.chart"), &about, &values),
        first,
        last,
    })
}

/// A row for each day: what goes, how much of all that is until then, and to whom.
fn days(f: &Frame, answer: &ForecastAnswer, recipients: u64) -> Table {
    let mut headings = vec![
        format!("@{}", f.t("pages.day")),
        f.t("sources.date").to_owned(),
        format!("@{}", f.t("pages.recipients")),
        format!("@{}", f.t("sources.until-then")),
    ];
    headings.extend(answer.sites.iter().map(|site| match site.as_str() {
        OTHER => format!("@{}", f.t("tables.others")),
        site => format!("@{site}"),
    }));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut until_then = 0;
    let mut rows = Vec::new();
    for (number, day) in answer.days.iter().enumerate() {
        until_then += day.total;
        let mut row = vec![
            Item::count(f, number as u64 + 1),
            Item::text(date(f, &day.date)),
            Item::count(f, day.total),
            Item::share(until_then, recipients),
        ];
        row.extend(answer.sites.iter().map(|site| {
            let sent = day.sent.get(site).copied().unwrap_or(0);
            Item::count(f, sent)
        }));
        rows.push(row);
    }
    Table::new(f.t("sources.by-day"), f.t("sources.nothing-goes"), &headings).with(rows)
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::super::texts::Lang;
    use super::*;
    use crate::admin::ForecastDay;

    fn shares(parts: &[(&str, u32)]) -> BTreeMap<String, u32> {
        parts.iter().map(|(site, tenths)| ((*site).to_owned(), *tenths)).collect()
    }

    fn known() -> Vec<(String, String)> {
        ["google", "yahoo", OTHER].map(|name| (name.to_owned(), name.to_owned())).to_vec()
    }

    #[test]
    fn a_mix_gives_everybody_a_place_whatever_the_shares_add_up_to() {
        assert_eq!(mix(1_000, &shares(&[("google", 600), ("other", 400)])), "google=600,other=400");
        assert_eq!(mix(100, &shares(&[("a", 333), ("b", 333), ("c", 333)])), "a=33,b=33,c=34");
        assert_eq!(mix(10, &shares(&[("a", 0), ("b", 5)])), "b=10");
        assert_eq!(mix(1, &shares(&[("a", 500), ("b", 500)])), "b=1", "nobody gets nothing");
        assert_eq!(mix(RECIPIENTS_MAX, &shares(&[("a", 1_000)])), format!("a={RECIPIENTS_MAX}"));
    }

    #[test]
    fn shares_are_those_of_what_was_sent_and_usual_ones_before() {
        let row = |name: &str, delivered, bounced| NumbersRow {
            name: name.to_owned(),
            delivered,
            bounced,
            ..NumbersRow::default()
        };
        let sent =
            [row("google", 610, 10), row("gone", 100, 0), row("none", 0, 0), row("other", 280, 0)];
        let expected = shares(&[("google", 620), ("other", 380)]);
        assert_eq!(usual(&sent, &known()), (expected, true));
        let expected = shares(&[("google", 600), ("yahoo", 50), ("other", 100)]);
        assert_eq!(usual(&[row("none", 0, 0)], &known()), (expected, false));
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(
            [number("100,000"), number("1 000"), number("x")],
            [Some(100_000), Some(1_000), None]
        );
        let written = ["62.5", "62,5 %", "62", "0.04", "100", "100.1", "-1", "", "62."];
        let expected =
            [Some(625), Some(625), Some(620), Some(0), Some(1_000), None, None, None, None];
        assert_eq!(written.map(tenths), expected);
        let part = |tenths| Part { site: String::new(), name: String::new(), tenths }.percent();
        assert_eq!([part(625), part(620), part(5)], ["62.5", "62", "0.5"]);
    }

    #[test]
    fn the_answer_is_told_in_words_a_chart_and_a_table() {
        let f = frame(Lang::Es);
        let day = |date: &str, total| ForecastDay {
            date: date.to_owned(),
            sent: BTreeMap::from([("google".to_owned(), total)]),
            total,
        };
        let answer = ForecastAnswer {
            pool: "bulk".to_owned(),
            sites: vec!["google".to_owned()],
            days: vec![day("2026-12-01", 400), day("2026-12-02", 600)],
            done_on: Some("2026-12-02".to_owned()),
            left: BTreeMap::new(),
            notes: Vec::new(),
        };
        let said = verdict(&f, &answer, 1_000);
        assert!(said.contains("1,000") && said.contains("02/12/2026"), "{said}");
        let table = days(&f, &answer, 1_000);
        let cells: Vec<&str> = table.rows[1].iter().map(|it| it.text.as_str()).collect();
        assert_eq!(cells, ["2", "02/12/2026", "600", "100.0 %", "600"]);
        let chart = drawn(&f, &answer).unwrap();
        assert_eq!((chart.svg.matches("<rect").count(), chart.top.as_str()), (2, "1,000"));
        let left = BTreeMap::from([("google".to_owned(), 7)]);
        let said = verdict(&f, &ForecastAnswer { done_on: None, left, ..answer }, 1_000);
        assert!(said.contains("7 → google"), "{said}");
    }
}
