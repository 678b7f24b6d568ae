//! Reports of days and months.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use relay_config::config::Config;
use relay_config::reports::Language;

use crate::admin::{
    ControlError, NumbersBy, NumbersQuery, NumbersRow, NumbersStep, Report, ReportLanguage,
    ReportPart, ReportQuery,
};
use crate::message::Timestamp;

use super::RelayControl;
use super::numbers::{local, question, told, zone};

/// By what a report is divided when nobody says.
const PARTS: [NumbersBy; 5] = [
    NumbersBy::Provider,
    NumbersBy::Source,
    NumbersBy::Account,
    NumbersBy::Tag,
    NumbersBy::Category,
];

/// Days of a report: sums are kept for 400.
const DAYS_MAX: i32 = 400;

impl RelayControl {
    /// What happened in the days that are asked for.
    pub(super) async fn report_of(&self, query: &ReportQuery) -> Result<Report, ControlError> {
        let config = self.config.get();
        let zone_name = query.zone.clone().unwrap_or_else(|| config.reports.zone.clone());
        let there = zone(Some(&zone_name))?;
        let now = self.queue.now();
        let (first, last) = days(query, today(now, &there))?;
        let after = last.tomorrow().map_err(|_| question("the time has no end"))?;
        let asked = |step, by| NumbersQuery {
            from: Some(first.to_string()),
            to: Some(after.to_string()),
            step: Some(step),
            by: Some(by),
            zone: Some(zone_name.clone()),
        };
        let step = if first == last { NumbersStep::Hour } else { NumbersStep::Day };
        let divided = parts_asked(query.by.as_deref())?;
        let mut questions =
            vec![asked(NumbersStep::All, NumbersBy::None), asked(step, NumbersBy::None)];
        questions.extend(divided.iter().map(|by| asked(NumbersStep::All, *by)));
        let mut answers = self.number_rows_together(&questions).await?.into_iter();
        let all = answers.next().unwrap_or_default();
        let times = answers.next().unwrap_or_default();
        let part = |(by, rows)| ReportPart { by, rows: sorted(by, rows) };
        let parts = divided.into_iter().zip(answers).map(part).collect();
        Ok(Report {
            relay: config.server.hostname.clone(),
            from: first.to_string(),
            to: last.to_string(),
            language: query.language.unwrap_or_else(|| language(&config)),
            made: told(now, &there),
            zone: zone_name,
            all: all.into_iter().next().unwrap_or_default(),
            times,
            parts,
        })
    }
}

fn language(config: &Config) -> ReportLanguage {
    match config.reports.language {
        Language::Spanish => ReportLanguage::Es,
        Language::English => ReportLanguage::En,
    }
}

fn today(now: Timestamp, zone: &TimeZone) -> Date {
    local(now, zone).map(|(time, _)| time.date()).unwrap_or_default()
}

/// The first and the last day that are meant.
fn days(query: &ReportQuery, today: Date) -> Result<(Date, Date), ControlError> {
    let which = [query.day.is_some(), query.month.is_some(), query.from.is_some()];
    if which.iter().filter(|it| **it).count() != 1 || query.to.is_some() && query.from.is_none() {
        let mend = "day, month, or from and to";
        return Err(question(format!("say which time is meant by one of these: {mend}")));
    }
    if let Some(day) = &query.day {
        let day = date("day", day, today)?;
        return Ok((day, day));
    }
    if let Some(month) = &query.month {
        let first = match &**month {
            "this" => Some(today),
            "last" => today.first_of_month().yesterday().ok(),
            text => format!("{text}-01").parse::<Date>().ok(),
        };
        let like = "month is written as 2026-11, or is `this` or `last`";
        let first = first.ok_or_else(|| question(like))?.first_of_month();
        return Ok((first, first.last_of_month()));
    }
    let from = date("from", query.from.as_deref().unwrap_or_default(), today)?;
    let to = query.to.as_deref().map_or(Ok(today), |to| date("to", to, today))?;
    let count = (to - from).get_days();
    if !(0..DAYS_MAX).contains(&count) {
        return Err(question(format!("from {from} to {to} is not one to {DAYS_MAX} days")));
    }
    Ok((from, to))
}

fn date(key: &str, text: &str, today: Date) -> Result<Date, ControlError> {
    let date = match text {
        "today" => Some(today),
        "yesterday" => today.yesterday().ok(),
        text => text.parse().ok(),
    };
    let like = "is a day: 2026-11-24, today or yesterday";
    date.ok_or_else(|| question(format!("{key} {like}")))
}

fn parts_asked(by: Option<&str>) -> Result<Vec<NumbersBy>, ControlError> {
    let Some(by) = by else { return Ok(PARTS.to_vec()) };
    let mut parts = Vec::new();
    for word in by.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let part = serde_json::from_value::<NumbersBy>(word.into());
        let part = part
            .ok()
            .filter(|part| !matches!(part, NumbersBy::None | NumbersBy::Domain))
            .ok_or_else(|| {
                let known = "provider, source, pool, account, tag, category";
                question(format!("\"{word}\" divides no report: by is some of {known}"))
            })?;
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// The most mail first. Who accepts mail knows no provider and no source: what is only accepted is not in those parts.
fn sorted(by: NumbersBy, rows: Vec<NumbersRow>) -> Vec<NumbersRow> {
    let ended = |row: &NumbersRow| row.delivered + row.bounced + row.expired + row.suppressed;
    let accepted = |row: &NumbersRow| match by {
        NumbersBy::Provider | NumbersBy::Source => 0,
        _ => row.accepted,
    };
    let mail = |row: &NumbersRow| ended(row) + row.deferred + accepted(row);
    let mut rows: Vec<NumbersRow> = rows.into_iter().filter(|row| mail(row) > 0).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(ended(row).max(accepted(row)) * 2 + row.deferred));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(day: &str, month: &str, from: &str, to: &str) -> Result<(String, String), String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let query = ReportQuery {
            day: text(day),
            month: text(month),
            from: text(from),
            to: text(to),
            ..ReportQuery::default()
        };
        let days = days(&query, jiff::civil::date(2026, 12, 1));
        days.map(|(first, last)| (first.to_string(), last.to_string()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn days_and_months_are_understood() {
        for (day, month, from, to, expected) in [
            ("2026-11-24", "", "", "", ("2026-11-24", "2026-11-24")),
            ("yesterday", "", "", "", ("2026-11-30", "2026-11-30")),
            ("", "2028-02", "", "", ("2028-02-01", "2028-02-29")),
            ("", "last", "", "", ("2026-11-01", "2026-11-30")),
            ("", "this", "", "", ("2026-12-01", "2026-12-31")),
            ("", "", "2026-11-05", "2026-11-06", ("2026-11-05", "2026-11-06")),
            ("", "", "2026-11-05", "", ("2026-11-05", "2026-12-01")),
        ] {
            let (first, last) = expected;
            let days = asked(day, month, from, to);
            assert_eq!(days, Ok((first.to_owned(), last.to_owned())));
        }
        for (day, month, from, to) in [
            ("", "", "", ""),
            ("2026-11-24", "2026-11", "", ""),
            ("", "", "", "2026-11-24"),
            ("2026-11-31", "", "", ""),
            ("", "2026-13", "", ""),
            ("", "", "2026-11-24", "2026-11-23"),
            ("", "", "2024-11-24", ""),
        ] {
            assert!(asked(day, month, from, to).is_err(), "{day} {month} {from} {to}");
        }
    }

    #[test]
    fn parts_are_chosen_and_sorted() {
        use NumbersBy::{Pool, Provider, Tag};
        assert_eq!(parts_asked(Some("tag, pool,tag")).unwrap(), [Tag, Pool]);
        assert!(parts_asked(Some("none")).is_err() && parts_asked(Some("colour")).is_err());
        let row = |name: &str, accepted, delivered| NumbersRow {
            name: name.to_owned(),
            accepted,
            delivered,
            ..NumbersRow::default()
        };
        let rows = vec![row("none", 9, 0), row("google", 0, 3), row("microsoft", 0, 5)];
        let names = |by| -> Vec<String> {
            sorted(by, rows.clone()).into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names(Provider), ["microsoft", "google"]);
        assert_eq!(names(Tag), ["none", "microsoft", "google"]);
    }
}
