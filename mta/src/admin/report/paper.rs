//! A report as a file: lines for a terminal, CSV, a workbook.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::sheet::{Cell, Sheet, workbook};
use crate::admin::{NumbersBy, NumbersRow};

use super::words::{Words, words};
use super::{Report, ReportPart};

/// Columns of a terminal.
const WIDTH: usize = 80;

/// What a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// The figures, for programs.
    #[default]
    Json,
    /// Lines of 80 columns.
    Text,
    /// One table with all figures.
    Csv,
    /// A workbook with a table for each part, and charts.
    Xlsx,
}

impl ReportFormat {
    /// Media type and ending of the name of a file.
    pub fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application/json", "json"),
            Self::Text => ("text/plain; charset=utf-8", "txt"),
            Self::Csv => ("text/csv; charset=utf-8", "csv"),
            Self::Xlsx => {
                ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx")
            }
        }
    }

    /// What a header `Accept` asks for first of what there is.
    pub fn accepted(header: &str) -> Option<Self> {
        let wanted = header.split(',').map(|it| it.split(';').next().unwrap_or_default().trim());
        let all = [Self::Json, Self::Text, Self::Csv, Self::Xlsx];
        wanted.into_iter().find_map(|wanted| {
            all.into_iter().find(|it| it.kind().0.split(';').next() == Some(wanted))
        })
    }
}

impl Report {
    /// As it is asked for.
    pub fn written(&self, format: ReportFormat) -> Result<Vec<u8>, String> {
        match format {
            ReportFormat::Json => serde_json::to_vec(self).map_err(|error| error.to_string()),
            ReportFormat::Text => Ok(self.text().into_bytes()),
            ReportFormat::Csv => Ok(self.flat().to_csv()),
            ReportFormat::Xlsx => workbook(&self.sheets()),
        }
    }

    /// For people at a terminal.
    fn text(&self) -> String {
        let words = words(self.language);
        let mut text = format!("{} {}\n{} ({})\n", words.title, self.relay, self.time(), self.zone);
        text.push_str(&format!("{}: {}\n", words.made, self.made));
        if self.times.is_empty() {
            text.push_str(&format!("\n{}\n", words.nothing));
            return text;
        }
        text.push('\n');
        let summary = self.summary();
        let widest = summary.rows.iter().filter_map(|row| row.first());
        let widest = widest.map(|cell| cell.shown().chars().count()).max().unwrap_or(0);
        for row in &summary.rows {
            let [what, value] = &row[..] else { continue };
            text.push_str(&format!("  {:<widest$}  {:>15}\n", what.shown(), value.shown()));
        }
        for sheet in self.narrow() {
            text.push_str(&format!("\n{}\n", sheet.title));
            text.push_str(&sheet.to_text(WIDTH));
        }
        for note in words.notes {
            text.push_str(&format!("\n{note}"));
        }
        text.push('\n');
        text
    }

    fn time(&self) -> String {
        if self.is_of_a_day() {
            return self.from.clone();
        }
        format!("{} {} {}", self.from, words(self.language).to, self.to)
    }

    /// What is said of all.
    fn summary(&self) -> Sheet {
        let (words, all) = (words(self.language), &self.all);
        let mut sheet = Sheet::new(words.summary, &[words.what, words.value]);
        let counts = figures(words).into_iter().zip(counts(all));
        sheet.rows.extend(counts.map(|(heading, cell)| vec![heading.into(), cell]));
        sheet
    }

    /// Tables of few columns.
    fn narrow(&self) -> Vec<Sheet> {
        let words = words(self.language);
        let outcomes = [words.delivered, words.deferred, words.bounced, words.expired];
        let mut sheets = Vec::new();
        let headings = [&[self.times_heading().1, words.accepted], &outcomes[..]].concat();
        let mut times =
            Sheet::new(self.times_heading().0, &[&headings[..], &[words.share_short]].concat());
        times.rows.extend(self.times.iter().map(|row| {
            let mut cells = vec![self.moment(row).into(), row.accepted.into()];
            cells.extend(outcome_cells(row));
            cells
        }));
        sheets.push(times);
        for part in self.parts.iter().filter(|part| !part.rows.is_empty()) {
            let mut sheet = if part.by == NumbersBy::Category {
                let headings = [words.name, words.bounced, words.expired, words.deferred];
                Sheet::new(words.part(part.by), &headings)
            } else {
                let headings = [&[words.name], &outcomes[..], &[words.share_short]].concat();
                Sheet::new(words.part(part.by), &headings)
            };
            sheet.rows.extend(part.rows.iter().map(|row| {
                let mut cells = vec![words.named(part.by, &row.name).into()];
                if part.by == NumbersBy::Category {
                    cells.extend([row.bounced, row.expired, row.deferred].map(Cell::from));
                } else {
                    cells.extend(outcome_cells(row));
                }
                cells
            }));
            sheets.push(sheet);
        }
        sheets
    }

    /// A workbook's sheets: a summary, the days, each part.
    fn sheets(&self) -> Vec<Sheet> {
        let words = words(self.language);
        let mut summary = self.summary();
        let about = [
            (words.title, self.relay.clone()),
            (self.times_heading().1, self.time()),
            ("", self.zone.clone()),
            (words.made, self.made.clone()),
        ];
        let about = about.map(|(what, value)| vec![what.into(), value.into()]);
        summary.rows.splice(0..0, about);
        summary.rows.extend(words.notes.map(|note| vec![note.into()]));
        let mut sheets = vec![summary];
        let mut add =
            |title: &str, first: &str, rows: Vec<(String, &NumbersRow)>, drawn: &[u16]| {
                let headings = [&[first], &figures(words)[..]].concat();
                let mut sheet = Sheet::new(title, &headings).drawing(drawn);
                sheet.rows.extend(rows.into_iter().map(|(name, row)| line(name, row)));
                sheets.push(sheet);
            };
        let (title, first) = self.times_heading();
        let times = self.times.iter().map(|row| (self.moment(row), row)).collect();
        add(title, first, times, &[2, 4, 5]);
        for part in &self.parts {
            add(words.part(part.by), words.name, named(words, part), drawn(part.by));
        }
        sheets
    }

    /// Everything in one table, for programs.
    fn flat(&self) -> Sheet {
        let words = words(self.language);
        let headings = [&[words.by, words.name], &figures(words)[..]].concat();
        let mut sheet = Sheet::new(words.title, &headings);
        let mut add = |by: &str, name: String, row: &NumbersRow| {
            let mut cells = vec![by.into()];
            cells.extend(line(name, row));
            sheet.rows.push(cells);
        };
        add(words.summary, self.time(), &self.all);
        for row in &self.times {
            add(self.times_heading().0, self.moment(row), row);
        }
        for part in &self.parts {
            for (name, row) in named(words, part) {
                add(words.part(part.by), name, row);
            }
        }
        sheet
    }

    fn times_heading(&self) -> (&'static str, &'static str) {
        let words = words(self.language);
        if self.is_of_a_day() { (words.by_hour, words.hour) } else { (words.by_day, words.day) }
    }

    /// `2026-11-24`, or `08:00` of a single day.
    fn moment(&self, row: &NumbersRow) -> String {
        let place = if self.is_of_a_day() { 11..16 } else { 0..10 };
        row.from.get(place).unwrap_or(&row.from).to_owned()
    }
}

fn named<'a>(words: &'static Words, part: &'a ReportPart) -> Vec<(String, &'a NumbersRow)> {
    part.rows.iter().map(|row| (words.named(part.by, &row.name).to_owned(), row)).collect()
}

/// What is drawn: delivered, bounced, expired; of causes what is bounced and deferred.
fn drawn(by: NumbersBy) -> &'static [u16] {
    match by {
        NumbersBy::Category => &[3, 4],
        _ => &[2, 4, 5],
    }
}

/// Headings of [`counts`].
fn figures(words: &Words) -> [&'static str; 11] {
    [
        words.accepted,
        words.delivered,
        words.deferred,
        words.bounced,
        words.expired,
        words.suppressed,
        words.complaints,
        words.octets,
        words.share,
        words.median,
        words.p95,
    ]
}

fn counts(row: &NumbersRow) -> [Cell; 11] {
    [
        row.accepted.into(),
        row.delivered.into(),
        row.deferred.into(),
        row.bounced.into(),
        row.expired.into(),
        row.suppressed.into(),
        row.complaints.into(),
        row.octets.into(),
        row.delivered_share().map_or(Cell::Nothing, Cell::Share),
        row.median_seconds.map_or(Cell::Nothing, Cell::Number),
        row.p95_seconds.map_or(Cell::Nothing, Cell::Number),
    ]
}

fn line(name: String, row: &NumbersRow) -> Vec<Cell> {
    let mut cells = vec![name.into()];
    cells.extend(counts(row));
    cells
}

fn outcome_cells(row: &NumbersRow) -> [Cell; 5] {
    [
        row.delivered.into(),
        row.deferred.into(),
        row.bounced.into(),
        row.expired.into(),
        row.delivered_share().map_or(Cell::Nothing, Cell::Share),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ReportLanguage;

    fn row(from: &str, name: &str, delivered: u64) -> NumbersRow {
        NumbersRow {
            from: from.to_owned(),
            name: name.to_owned(),
            accepted: delivered + 3,
            delivered,
            bounced: 1,
            median_seconds: Some(1.5),
            ..NumbersRow::default()
        }
    }

    fn report(language: ReportLanguage) -> Report {
        let long = "una-etiqueta-de-campana-muy-larga-que-nadie-acorta-noviembre-2026";
        let part = |by, rows| ReportPart { by, rows };
        let at = "2026-11-01T00:00:00-05:00";
        Report {
            relay: "relay.example.pe".to_owned(),
            from: "2026-11-01".to_owned(),
            to: "2026-11-30".to_owned(),
            zone: "America/Lima".to_owned(),
            language,
            made: "2026-12-01T08:00:00-05:00".to_owned(),
            all: row(at, "", 12_345_678),
            times: vec![row(at, "", 12_345_678), row("2026-11-02T00:00:00-05:00", "", 0)],
            parts: vec![
                part(NumbersBy::Provider, vec![row(at, "google", 9_345_678), row(at, "other", 1)]),
                part(NumbersBy::Category, vec![row(at, "bad-mailbox", 0), row(at, "our-own", 0)]),
                part(NumbersBy::Tag, vec![row(at, long, 12_345_678), row(at, "=1+1", 1)]),
            ],
        }
    }

    #[test]
    fn a_report_fits_a_terminal_in_both_languages() {
        for (language, words) in [
            (
                ReportLanguage::Es,
                [
                    "Por proveedor",
                    "otros",
                    "Rebotados",
                    "2026-11-01 a 2026-11-30",
                    "\nel buzón no existe ",
                    "\nour-own ",
                ],
            ),
            (
                ReportLanguage::En,
                [
                    "By provider",
                    "others",
                    "Bounced",
                    "2026-11-01 to 2026-11-30",
                    "\nthere is no such mailbox ",
                    "\nour-own ",
                ],
            ),
        ] {
            let text = report(language).text();
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!(text.contains("12,345,678") && text.contains("99.9 %"), "{text}");
        }
        let none = Report { times: Vec::new(), ..report(ReportLanguage::Es) };
        assert!(none.text().contains("no hubo correo"));
    }

    #[test]
    fn a_day_is_told_by_the_hour() {
        let mut day = report(ReportLanguage::Es);
        day.to.clone_from(&day.from);
        day.times[0].from = "2026-11-01T08:00:00-05:00".to_owned();
        let text = day.text();
        assert!(text.contains("Por hora") && text.contains("\n08:00 "), "{text}");
    }

    #[test]
    fn csv_is_one_table_and_a_workbook_has_a_sheet_for_each_part() {
        let report = report(ReportLanguage::En);
        let csv = String::from_utf8(report.written(ReportFormat::Csv).unwrap()).unwrap();
        let commas = |line: &str| line.matches(',').count();
        assert!(csv.lines().all(|line| commas(line) == 12), "{csv}");
        assert!(csv.contains("\r\nBy provider,google,9345681,9345678,"), "{csv}");
        assert!(csv.contains("deferrals by cause,there is no such mailbox,"), "{csv}");
        assert!(csv.contains("By tag,'=1+1,"), "{csv}");
        let titles: Vec<String> = report.sheets().into_iter().map(|sheet| sheet.title).collect();
        let causes = "Bounces and deferrals by cause";
        assert_eq!(titles, ["Summary", "By day", "By provider", causes, "By tag"]);
        assert!(report.written(ReportFormat::Xlsx).unwrap().starts_with(b"PK"));
    }

    #[test]
    fn a_header_chooses() {
        for (header, expected) in [
            ("text/csv", Some(ReportFormat::Csv)),
            ("text/html, text/plain;q=0.5, */*", Some(ReportFormat::Text)),
            (
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                Some(ReportFormat::Xlsx),
            ),
            ("*/*", None),
        ] {
            assert_eq!(ReportFormat::accepted(header), expected, "{header}");
        }
    }
}
