//! The day over which a pool counts what it sends, and the hours over which it spreads it.
//!
//! Caps and daily limits are of a day, and a day begins somewhere: in the time zone of those who read
//! the mail, not at midnight in Greenwich, which is the middle of an evening elsewhere. Zones come with the program, so a
//! window means the same on a machine without zone files.
//!
//! Pure: it is told the time. It does not know what is counted.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Hours of each day, written `08:00-20:00 America/Lima`.
///
/// A window that crosses midnight (`22:00-06:00`) belongs to the day on which it opens, and that day
/// lasts until the window closes: one night is one day. Every other day turns at midnight of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendWindow {
    opens: Time,
    closes: Closes,
    zone: TimeZone,
}

/// When a window closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closes {
    /// Later on the same day.
    SameDay(Time),
    /// With the day, at midnight.
    Midnight,
    /// On the day after, and the day with it.
    NextDay(Time),
}

/// One day of a window. Times are milliseconds since 1970-01-01 UTC:
/// `begins <= opens <= closes <= ends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendDay {
    /// Days from 1970-01-01 to the local date: it goes up with each day.
    pub number: i32,
    /// The first moment of the day.
    pub begins_millis: u64,
    /// When sending begins.
    pub opens_millis: u64,
    /// When sending ends.
    pub closes_millis: u64,
    /// The first moment of the next day.
    pub ends_millis: u64,
}

impl SendDay {
    /// Whether it is the day of this moment.
    pub fn contains(&self, now_millis: u64) -> bool {
        (self.begins_millis..self.ends_millis).contains(&now_millis)
    }

    /// Whether the window is open at this moment.
    pub fn is_open(&self, now_millis: u64) -> bool {
        (self.opens_millis..self.closes_millis).contains(&now_millis)
    }
}

impl SendWindow {
    /// Each day from midnight to midnight, UTC.
    pub const ALWAYS: Self =
        Self { opens: Time::midnight(), closes: Closes::Midnight, zone: TimeZone::UTC };

    /// From what a person wrote.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (hours, zone) = text.trim().split_once(' ').ok_or("names no time zone")?;
        let (opens, closes) = hours.split_once('-').ok_or("has no end")?;
        let opens = time(opens)?;
        let closes = match closes {
            "24:00" => Closes::Midnight,
            closes => match time(closes)? {
                closes if closes == opens => return Err("ends when it begins".to_owned()),
                closes if closes == Time::midnight() => Closes::Midnight,
                closes if closes > opens => Closes::SameDay(closes),
                closes => Closes::NextDay(closes),
            },
        };
        let zone = zone.trim();
        // The system's own database is not asked: it may be absent, and may not know the same names.
        let zone = TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_| "names a time zone that is not known".to_owned())?;
        Ok(Self { opens, closes, zone })
    }

    /// The day to which a moment belongs. It looks up the zone several times, so keep the answer until
    /// it no longer [contains](SendDay::contains) the time, rather than ask for each message.
    pub fn day_of(&self, now_millis: u64) -> SendDay {
        let now =
            i64::try_from(now_millis).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
        let now = now.unwrap_or(Timestamp::MAX);
        let mut date = self.zone.to_datetime(now).date();
        // One step, or two where a zone has left out a day. Where a clock is set back over midnight,
        // the day that has begun goes on.
        while let Ok(before) = date.yesterday()
            && now < self.begin_of(date)
        {
            date = before;
        }
        while let Ok(next) = date.tomorrow()
            && now >= self.begin_of(next)
        {
            date = next;
        }
        let begins = self.begin_of(date);
        let ends = date.tomorrow().map_or(Timestamp::MAX, |next| self.begin_of(next));
        let opens = self.earliest(date.to_datetime(self.opens));
        let closes = match self.closes {
            Closes::SameDay(time) => self.latest(date.to_datetime(time)),
            Closes::Midnight | Closes::NextDay(_) => ends,
        };
        // A window in an hour that a change of the clock leaves out or repeats stays inside its day.
        let opens = opens.clamp(begins, ends);
        let closes = closes.clamp(opens, ends);
        SendDay {
            number: day_number(date),
            begins_millis: millis(begins),
            opens_millis: millis(opens),
            closes_millis: millis(closes),
            ends_millis: millis(ends),
        }
    }

    /// The first moment of a day.
    fn begin_of(&self, date: Date) -> Timestamp {
        match self.closes {
            Closes::NextDay(time) => self.latest(date.to_datetime(time)),
            Closes::SameDay(_) | Closes::Midnight => {
                let midnight = date.to_datetime(Time::midnight());
                let shown = self.zone.to_ambiguous_timestamp(midnight);
                shown.compatible().unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// When a clock in the zone shows this for the first time, or would if it had not been set forward.
    fn earliest(&self, shown: DateTime) -> Timestamp {
        self.zone.to_ambiguous_timestamp(shown).earlier().unwrap_or(Timestamp::MAX)
    }

    /// When it shows this for the last time, or would if it had not been set forward.
    fn latest(&self, shown: DateTime) -> Timestamp {
        self.zone.to_ambiguous_timestamp(shown).later().unwrap_or(Timestamp::MAX)
    }
}

/// `08:00`
fn time(text: &str) -> Result<Time, String> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(hour) || !digits(minute) {
            return None;
        }
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    read().ok_or_else(|| "has no hours as in 08:00-20:00".to_owned())
}

/// Days from 1970-01-01 to a date: the number of its [`SendDay`].
pub fn day_number(date: Date) -> i32 {
    let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
    i32::try_from(days).expect("jiff knows the years -9999 to 9999")
}

fn millis(at: Timestamp) -> u64 {
    // Days before 1970 begin at its start.
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

impl fmt::Display for SendWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        let closes = match self.closes {
            Closes::SameDay(time) | Closes::NextDay(time) => minutes(time),
            Closes::Midnight => "24:00".to_owned(),
        };
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, "{}-{closes} {zone}", minutes(self.opens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> SendWindow {
        SendWindow::parse(text).unwrap()
    }

    fn at(text: &str) -> u64 {
        millis(text.parse().unwrap())
    }

    /// The day of a moment: number, then begin, opening, closing and end in UTC.
    fn day(hours: &str, now: &str) -> String {
        let day = window(hours).day_of(at(now));
        assert!(day.contains(at(now)), "{hours} {now} {day:?}");
        let shown = |millis: u64| {
            let millis = i64::try_from(millis).unwrap();
            Timestamp::from_millisecond(millis).unwrap().strftime("%dT%H:%M").to_string()
        };
        let times =
            [day.begins_millis, day.opens_millis, day.closes_millis, day.ends_millis].map(shown);
        format!("{} {}", day.number, times.join(" "))
    }

    #[test]
    fn a_day_turns_at_midnight_of_the_zone() {
        let lima = "08:00-20:00 America/Lima";
        let first = "20468 15T05:00 15T13:00 16T01:00 16T05:00";
        assert_eq!(day(lima, "2026-01-15T05:00:00Z"), first);
        assert_eq!(day(lima, "2026-01-16T04:59:59.999Z"), first);
        let second = "20469 16T05:00 16T13:00 17T01:00 17T05:00";
        assert_eq!(day(lima, "2026-01-16T05:00:00Z"), second);
        let always = "20468 15T00:00 15T00:00 16T00:00 16T00:00";
        for hours in ["00:00-24:00 UTC", "00:00-24:00 Etc/UTC"] {
            assert_eq!(day(hours, "2026-01-15T12:00:00Z"), always);
        }
        assert_eq!(window("00:00-24:00 UTC"), SendWindow::ALWAYS);
    }

    #[test]
    fn a_window_that_crosses_midnight_is_one_day() {
        let night = "22:00-06:00 UTC";
        let expected = "20468 15T06:00 15T22:00 16T06:00 16T06:00";
        for now in ["2026-01-15T06:00:00Z", "2026-01-15T23:00:00Z", "2026-01-16T05:59:00Z"] {
            assert_eq!(day(night, now), expected);
        }
        assert!(day(night, "2026-01-16T06:00:00Z").starts_with("20469 16T06:00"));
        // Until midnight is no crossing.
        let late = "20468 15T00:00 15T22:00 16T00:00 16T00:00";
        assert_eq!(day("22:00-00:00 UTC", "2026-01-15T23:00:00Z"), late);
    }

    #[test]
    fn clocks_that_are_set_forward_and_back() {
        let check = |hours: &str, now: &str, expected: &str| {
            assert_eq!(day(hours, now), expected, "{hours} {now}");
        };
        // Santiago leaves out 00:00 to 01:00 on 2025-09-07: that day has 23 hours.
        let santiago = "08:00-20:00 America/Santiago";
        check(santiago, "2025-09-07T03:59:00Z", "20337 06T04:00 06T12:00 07T00:00 07T04:00");
        check(santiago, "2025-09-07T04:00:00Z", "20338 07T04:00 07T11:00 07T23:00 08T03:00");
        // It repeats 23:00 to 24:00 on 2025-04-05.
        check(santiago, "2025-04-06T03:30:00Z", "20183 05T03:00 05T11:00 05T23:00 06T04:00");
        // New York leaves out 02:00 to 03:00 on 2026-03-08, and repeats 01:00 to 02:00 on 2026-11-01.
        let york = "02:30-03:10 America/New_York";
        check(york, "2026-03-08T12:00:00Z", "20520 08T05:00 08T06:30 08T07:10 09T04:00");
        let york = "01:15-01:45 America/New_York";
        check(york, "2026-11-01T12:00:00Z", "20758 01T04:00 01T05:15 01T06:45 02T05:00");
        // St. John's set 00:01 back to 23:01 on 2006-10-29: the day that had begun goes on.
        let johns = "00:00-24:00 America/St_Johns";
        check(johns, "2006-10-29T02:32:00Z", "13450 29T02:30 29T02:30 30T03:30 30T03:30");
        // Samoa had no 2011-12-30.
        let apia = "08:00-20:00 Pacific/Apia";
        check(apia, "2011-12-30T09:59:00Z", "15337 29T10:00 29T18:00 30T06:00 30T10:00");
        check(apia, "2011-12-30T10:00:00Z", "15339 30T10:00 30T18:00 31T06:00 31T10:00");
    }

    /// Each moment of ten years has one day, the days follow one another, and numbers go up.
    #[test]
    fn days_leave_no_gap() {
        let zones = [
            "America/Lima",
            "America/Santiago",
            "America/St_Johns",
            "Africa/Cairo",
            "Asia/Beirut",
            "Pacific/Apia",
            "Australia/Lord_Howe",
        ];
        for zone in zones {
            for hours in ["00:00-24:00", "08:00-20:00", "22:00-00:30", "23:30-23:29", "00:10-00:40"]
            {
                let window = window(&format!("{hours} {zone}"));
                let mut day = window.day_of(at("2005-12-31T12:00:00Z"));
                while day.ends_millis < at("2016-01-01T00:00:00Z") {
                    assert!(day.begins_millis <= day.opens_millis, "{hours} {zone} {day:?}");
                    assert!(day.opens_millis < day.closes_millis, "{hours} {zone} {day:?}");
                    assert!(day.closes_millis <= day.ends_millis, "{hours} {zone} {day:?}");
                    assert_eq!(window.day_of(day.begins_millis), day, "{hours} {zone}");
                    assert_eq!(window.day_of(day.ends_millis - 1), day, "{hours} {zone}");
                    let next = window.day_of(day.ends_millis);
                    assert_eq!(next.begins_millis, day.ends_millis, "{hours} {zone}");
                    assert!(next.number > day.number, "{hours} {zone} {day:?} {next:?}");
                    day = next;
                }
            }
        }
    }

    #[test]
    fn clocks_that_are_wrong_are_answered() {
        assert_eq!(SendWindow::ALWAYS.day_of(0).number, 0);
        assert_eq!(window("08:00-20:00 America/Lima").day_of(0).number, -1);
        window("22:00-06:00 Asia/Tokyo").day_of(u64::MAX);
    }

    #[test]
    fn windows_as_people_write_them() {
        for written in ["08:00-20:00 America/Lima", "22:00-06:00 Europe/Madrid", "09:30-24:00 UTC"]
        {
            assert_eq!(window(written).to_string(), written);
        }
        let check = |text: &str, why: &str| {
            assert_eq!(SendWindow::parse(text).unwrap_err(), why, "{text}");
        };
        check("", "names no time zone");
        check("08:00-20:00", "names no time zone");
        check("08:00 America/Lima", "has no end");
        check("8-20 America/Lima", "has no hours as in 08:00-20:00");
        check("8:00-20:00 America/Lima", "has no hours as in 08:00-20:00");
        check("08:00-25:00 America/Lima", "has no hours as in 08:00-20:00");
        check("+8:00-20:00 America/Lima", "has no hours as in 08:00-20:00");
        check("24:00-06:00 America/Lima", "has no hours as in 08:00-20:00");
        check("08:00-08:00 America/Lima", "ends when it begins");
        check("08:00-20:00 America/Limma", "names a time zone that is not known");
        check("08:00-20:00 UTC-5", "names a time zone that is not known");
    }
}
