//! A page of figures, a chart, forms and tables: Informes, Rebotes, Proveedores and Configuración are made of it.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::response::Response;

use crate::admin::NumbersRow;
use crate::message::Timestamp;

use super::chart;
use super::frame::{Frame, shown};
use super::gate::Trouble;
use super::table::{Asked, Table, arranged};

/// A chart with what stands around it.
pub(super) struct Chart {
    pub title: String,
    pub kinds: [&'static str; 3],
    pub top: String,
    pub svg: String,
    pub first: String,
    pub last: String,
}

/// A field of a form.
#[derive(Default)]
pub(super) struct Field {
    pub id: String,
    pub key: &'static str,
    pub name: String,
    pub kind: &'static str,
    pub needed: bool,
    pub lines: bool,
    pub choices: Vec<(String, String)>,
    /// What is chosen or written already.
    pub value: String,
    /// It takes more room than others.
    pub wide: bool,
}

impl Field {
    /// A line of text that is needed.
    pub(super) fn line(form: &str, key: &'static str, name: &str) -> Self {
        let (id, name) = (format!("{form}-{key}"), name.to_owned());
        Self { id, key, name, kind: "text", needed: true, ..Self::default() }
    }
}

/// A form.
pub(super) struct FormBlock {
    pub title: String,
    pub about: String,
    pub place: String,
    pub fields: Vec<Field>,
    pub button: String,
    pub grave: bool,
}

/// A form that asks for other rows.
pub(super) struct Filters {
    pub place: &'static str,
    pub fields: Vec<Field>,
    pub button: &'static str,
    /// Something is asked for that can be taken back.
    pub clear: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListPage {
    pub f: Frame,
    pub title: String,
    pub lead: String,
    /// The pages above it: path and name.
    pub crumbs: Vec<(&'static str, &'static str)>,
    /// Things to know, each with a path that leads further, or none.
    pub hints: Vec<(String, String)>,
    pub filters: Option<Filters>,
    /// What can be done to all that is shown.
    pub levers: Option<(String, Vec<(String, &'static str)>)>,
    pub tabs: Vec<Vec<(String, String, bool)>>,
    pub figures: Vec<(&'static str, String)>,
    pub chart: Option<Chart>,
    pub files: Vec<(String, String)>,
    pub forms: Vec<FormBlock>,
    pub tables: Vec<Table>,
}

impl ListPage {
    /// An empty one.
    pub(super) fn new(f: &Frame, title: &'static str, lead: &'static str) -> Self {
        Self {
            title: f.t(title).to_owned(),
            lead: f.t(lead).to_owned(),
            f: f.clone(),
            crumbs: Vec::new(),
            hints: Vec::new(),
            filters: None,
            levers: None,
            tabs: Vec::new(),
            figures: Vec::new(),
            chart: None,
            files: Vec::new(),
            forms: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// It, or the file that was asked for.
    pub(super) fn answered(mut self, path: &str, asked: &Asked) -> Result<Response, Trouble> {
        match arranged(std::mem::take(&mut self.tables), path, asked)? {
            Ok(tables) => Ok(shown(&Self { tables, ..self })),
            Err(file) => Ok(file),
        }
    }
}

/// Steps of a chart at most: a year of days.
const STEPS_MAX: usize = 400;

/// From when to when a chart goes, and in what steps.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// Days of who looks; otherwise hours.
    pub(super) days: bool,
}

impl Steps {
    /// The last hours, or days, up to now.
    pub(super) fn last(f: &Frame, hours: u64, days: bool) -> Self {
        let from = f.now.before(Duration::from_hours(hours));
        Self { from, until: f.now, days }
    }

    /// When each begins.
    fn begin(self, f: &Frame) -> Vec<Timestamp> {
        let mut begin = Vec::new();
        let Some(first) = f.zoned(self.from) else { return begin };
        let midnight = first.date().to_datetime(jiff::civil::Time::midnight());
        let hour = if self.days { 0 } else { i32::from(first.hour()) };
        for step in 0..i32::try_from(STEPS_MAX).unwrap_or(i32::MAX) {
            let later = if self.days {
                jiff::Span::new().days(step)
            } else {
                jiff::Span::new().hours(hour + step)
            };
            let at = midnight.checked_add(later).ok().and_then(|at| f.instant(at));
            let Some(at) = at.filter(|at| *at <= self.until) else { break };
            begin.push(at);
        }
        begin
    }

    /// `30/11/2026`, and the hour where it is one.
    fn name(self, f: &Frame, at: Timestamp) -> String {
        if self.days { f.date(at) } else { format!("{} {}", f.date(at), f.clock(at)) }
    }
}

/// Delivered, put off and refused over time; a step without mail is an empty one.
pub(super) fn over_time(
    f: &Frame,
    title: &'static str,
    rows: &[NumbersRow],
    steps: Steps,
) -> Option<Chart> {
    let begin = steps.begin(f);
    let known: HashMap<Timestamp, &NumbersRow> =
        rows.iter().filter_map(|row| Some((Timestamp::parse_rfc3339(&row.from)?, row))).collect();
    let of = |row: &&NumbersRow| [row.delivered, row.deferred, row.bounced + row.expired];
    let values: Vec<[u64; 3]> = begin.iter().map(|at| known.get(at).map_or([0; 3], of)).collect();
    let most = values.iter().map(|it| it.iter().sum()).max()?;
    let delivered = values.iter().map(|it| it[0]).sum::<u64>();
    let about = f.say("tables.chart-about", &[&f.number(delivered)]);
    let name = |at: Option<&Timestamp>| at.map_or_else(String::new, |at| steps.name(f, *at));
    Some(Chart {
        title: f.t(title).to_owned(),
        kinds: [f.t("now.k0"), f.t("now.k1"), f.t("now.k2")],
        top: f.number(chart::top(most)),
        svg: chart::bars(f.t(title), &about, &values),
        first: name(begin.first()),
        last: name(begin.last()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::super::texts::Lang;
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn each_hour_and_each_day_has_its_room_where_who_looks_is() {
        let f = frame(Lang::Es);
        let begin = |from, until, days| -> Vec<String> {
            let steps = Steps { from: at(from), until: at(until), days };
            steps.begin(&f).iter().map(|it| steps.name(&f, *it)).collect()
        };
        // Lima is five hours behind.
        let hours = begin("2026-12-01T03:20:00Z", "2026-12-01T06:10:00Z", false);
        let expected =
            ["30/11/2026 22:00", "30/11/2026 23:00", "01/12/2026 00:00", "01/12/2026 01:00"];
        assert_eq!(hours, expected);
        let days = begin("2026-11-30T04:59:00Z", "2026-12-02T05:00:00Z", true);
        assert_eq!(days, ["29/11/2026", "30/11/2026", "01/12/2026", "02/12/2026"]);
        assert_eq!(begin("2020-01-01T12:00:00Z", "2026-12-02T05:00:00Z", true).len(), STEPS_MAX);
    }

    #[test]
    fn a_step_without_mail_is_an_empty_one() {
        let f = frame(Lang::Es);
        let row = NumbersRow {
            from: "2026-11-30T23:00:00-05:00".to_owned(),
            delivered: 7,
            bounced: 1,
            expired: 2,
            ..NumbersRow::default()
        };
        let (from, until) = (at("2026-12-01T03:00:00Z"), at("2026-12-01T06:59:00Z"));
        let steps = Steps { from, until, days: false };
        let chart = over_time(&f, "tables.by-hour", &[row], steps).unwrap();
        assert_eq!((&*chart.top, &*chart.first), ("10", "30/11/2026 22:00"));
        // The second of four, a quarter of the width each.
        let places: Vec<&str> = chart.svg.split(" x=\"").skip(1).map(|it| &it[..3]).collect();
        assert_eq!(places, ["180", "180"], "{}", chart.svg);
    }
}
