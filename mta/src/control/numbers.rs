//! What events add up to, for those who ask.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use relay_config::reports::zone_named;

use crate::admin::{ControlError, NumbersBy, NumbersQuery, NumbersRow, NumbersStep};
use crate::message::Timestamp;
use crate::outcome::tally::{Asked, By, RowsExceeded, Step, Tallied, tallied_together};

use super::RelayControl;
use super::events::parse_time;

impl RelayControl {
    /// The sums that are asked for.
    pub(super) async fn number_rows(
        &self,
        query: &NumbersQuery,
    ) -> Result<Vec<NumbersRow>, ControlError> {
        let mut all = self.number_rows_together(std::slice::from_ref(query)).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// The answers to several questions, which read what is kept once.
    pub(super) async fn number_rows_together(
        &self,
        queries: &[NumbersQuery],
    ) -> Result<Vec<Vec<NumbersRow>>, ControlError> {
        let now = self.queue.now();
        let asked: Result<Vec<Asked>, ControlError> =
            queries.iter().map(|query| asked(query, now)).collect();
        let asked = asked?;
        let zones: Vec<TimeZone> = asked.iter().map(|it| it.zone.clone()).collect();
        let spool = self.queue.spool();
        let found = self.read(move || tallied_together(&*spool, &asked)).await?;
        let all = found.map_err(|why: RowsExceeded| question(why.to_string()))?;
        let rows = |(rows, zone): (Vec<Tallied>, &TimeZone)| -> Vec<NumbersRow> {
            rows.into_iter().map(|it| row(it, zone)).collect()
        };
        Ok(all.into_iter().zip(&zones).map(rows).collect())
    }
}

/// What a query means.
fn asked(query: &NumbersQuery, now: Timestamp) -> Result<Asked, ControlError> {
    let step = match query.step.unwrap_or_default() {
        NumbersStep::Minute => Step::Minute,
        NumbersStep::Hour => Step::Hour,
        NumbersStep::Day => Step::Day,
        NumbersStep::All => Step::All,
    };
    let by = match query.by.unwrap_or_default() {
        NumbersBy::None => None,
        NumbersBy::Provider => Some(By::Provider),
        NumbersBy::Source => Some(By::Source),
        NumbersBy::Pool => Some(By::Pool),
        NumbersBy::Account => Some(By::Account),
        NumbersBy::Category => Some(By::Category),
        NumbersBy::Tag => Some(By::Tag),
        NumbersBy::Domain => Some(By::Domain),
    };
    if step == Step::Minute && !matches!(by, None | Some(By::Provider)) {
        return Err(question("minutes are known by provider only: ask for hours"));
    }
    let zone = zone(query.zone.as_deref())?;
    let default = match step {
        Step::Minute => Duration::from_hours(1),
        Step::Hour => Duration::from_hours(24),
        Step::Day | Step::All => Duration::from_hours(30 * 24),
    };
    let time = |key, text: Option<&str>, default| {
        text.map_or(Ok(default), |text| time_in(key, text, &zone, now))
    };
    let from = time("from", query.from.as_deref(), now.before(default))?;
    let until = time("to", query.to.as_deref(), now)?;
    if until < from {
        return Err(question("`to` is before `from`"));
    }
    if step != Step::Minute && [from, until].iter().any(|it| !turns_on_the_hour(*it, &zone)) {
        return Err(question(
            "hours are added up as UTC has them, and days of this zone turn in the middle of them: ask for a zone of whole hours",
        ));
    }
    Ok(Asked { from, until, step, by, zone })
}

/// The zone of this name.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, ControlError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    zone_named(name)
        .ok_or_else(|| question(format!("there is no zone \"{name}\": write one as America/Lima")))
}

/// A time, or a day or time of day in the zone.
fn time_in(
    key: &str,
    text: &str,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Timestamp, ControlError> {
    if Timestamp::parse_rfc3339(text).is_none()
        && let Ok(local) = text.trim().parse::<DateTime>()
    {
        let there = zone.to_timestamp(local).ok();
        let millis = there
            .map(jiff::Timestamp::as_millisecond)
            .and_then(|millis| u64::try_from(millis).ok());
        return millis
            .map(Timestamp::from_millis)
            .ok_or_else(|| question(format!("{key} is no time of this world")));
    }
    parse_time(key, text, now)
}

fn turns_on_the_hour(time: Timestamp, zone: &TimeZone) -> bool {
    local(time, zone).is_none_or(|(_, offset)| offset % 3_600 == 0)
}

/// What the clocks of a zone show, and how many seconds they are before UTC.
pub(super) fn local(time: Timestamp, zone: &TimeZone) -> Option<(DateTime, i32)> {
    let millis = i64::try_from(time.as_millis()).ok()?;
    let time = jiff::Timestamp::from_millisecond(millis).ok()?;
    Some((zone.to_datetime(time), zone.to_offset(time).seconds()))
}

/// RFC 3339 in the zone: `2026-11-24T08:05:00-05:00`, and `Z` where that is UTC.
pub(super) fn told(time: Timestamp, zone: &TimeZone) -> String {
    let Some((local, offset)) = local(time, zone).filter(|(_, offset)| *offset != 0) else {
        return time.to_rfc3339();
    };
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    let local = local.strftime("%Y-%m-%dT%H:%M:%S");
    format!("{local}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn row(tallied: Tallied, zone: &TimeZone) -> NumbersRow {
    let Tallied { from, name, sums } = tallied;
    let tenths = |seconds: f64| (seconds * 10.0).round() / 10.0;
    NumbersRow {
        from: told(from, zone),
        name,
        median_seconds: sums.within(0.5).map(tenths),
        p95_seconds: sums.within(0.95).map(tenths),
        accepted: sums.accepted,
        delivered: sums.delivered,
        deferred: sums.deferred,
        bounced: sums.bounced,
        expired: sums.expired,
        suppressed: sums.suppressed,
        complaints: sums.complaints,
        octets: sums.octets,
    }
}

pub(super) fn question(why: impl Into<String>) -> ControlError {
    ControlError::Question(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tally::Sums;

    /// 2026-11-24, 13:05 UTC: 8:05 in Lima.
    const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);

    fn query(from: &str, to: &str, zone: &str) -> NumbersQuery {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let step = Some(NumbersStep::Day);
        NumbersQuery { from: text(from), to: text(to), zone: text(zone), step, by: None }
    }

    #[test]
    fn days_are_those_of_the_zone() {
        for (from, zone, expected) in [
            ("2026-11-24", "America/Lima", "2026-11-24T05:00:00.000Z"),
            ("2026-11-24T07:30", "America/Lima", "2026-11-24T12:30:00.000Z"),
            ("2026-11-24", "", "2026-11-24T00:00:00.000Z"),
            ("2026-11-24T00:00:00Z", "America/Lima", "2026-11-24T00:00:00.000Z"),
            ("2026-11-23T22:00:00-05:00", "", "2026-11-24T03:00:00.000Z"),
            ("2h", "America/Lima", "2026-11-24T11:05:00.123Z"),
            ("", "America/Lima", "2026-10-25T13:05:00.123Z"),
        ] {
            let asked = asked(&query(from, "", zone), NOW).unwrap();
            assert_eq!(asked.from.to_rfc3339(), expected, "{from} {zone}");
            assert_eq!(asked.until, NOW);
        }
        let tallied = Tallied { from: NOW, name: String::new(), sums: Sums::default() };
        let lima = zone(Some("America/Lima")).unwrap();
        assert_eq!(row(tallied.clone(), &lima).from, "2026-11-24T08:05:00-05:00");
        assert_eq!(row(tallied, &TimeZone::UTC).from, "2026-11-24T13:05:00.123Z");
    }

    #[test]
    fn what_has_no_answer_is_told() {
        for (from, to, zone, why) in [
            ("", "", "America/Cuzco", "there is no zone"),
            ("", "", "Asia/Kolkata", "a zone of whole hours"),
            ("yesterday", "", "", "from is no time"),
            ("2026-11-24", "2026-11-23", "", "`to` is before"),
        ] {
            let problem = asked(&query(from, to, zone), NOW).unwrap_err().to_string();
            assert!(problem.contains(why), "{problem}");
        }
        let step = Some(NumbersStep::Minute);
        let by = Some(NumbersBy::Tag);
        let minutes = NumbersQuery { step, by, ..NumbersQuery::default() };
        assert!(asked(&minutes, NOW).is_err());
        assert!(asked(&NumbersQuery { by: Some(NumbersBy::Provider), ..minutes }, NOW).is_ok());
    }
}
