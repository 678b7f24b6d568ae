//! What every page has around it: who looks, in which language and time zone, and how times and numbers are written.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};

use crate::access::{Person, Scope};
use crate::admin::Problem;
use crate::admin::sheet::grouped;
use crate::message::Timestamp;

use super::assets;
use super::texts::Lang;

/// The time zone of those who chose none.
pub(super) const ZONE: &str = "America/Lima";
/// Time zones that can be chosen with a click.
pub(super) const ZONES: [&str; 6] =
    [ZONE, "UTC", "America/Bogota", "America/La_Paz", "America/Santiago", "Europe/Madrid"];
/// Pages of the navigation: path and the key of its name.
const PAGES: [(&str, &str); 8] = [
    ("/", "frame.now"),
    ("/sources", "frame.sources"),
    ("/queue", "frame.queue"),
    ("/messages", "frame.messages"),
    ("/bounces", "frame.bounces"),
    ("/providers", "frame.providers"),
    ("/reports", "frame.reports"),
    ("/settings", "frame.settings"),
];

/// Around a page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The language.
    pub lang: Lang,
    /// The time zone.
    pub zone: jiff::tz::TimeZone,
    /// Its name.
    pub zone_name: String,
    /// Who looks; nobody at the door.
    pub person: Option<Person>,
    /// What forms carry.
    pub form_key: String,
    /// The path with its query.
    pub path: String,
    /// Name of the relay.
    pub relay: String,
    /// What was done a moment ago.
    pub flash: Option<String>,
    /// The time of day.
    pub now: Timestamp,
}

#[expect(clippy::unused_self, reason = "templates call methods")]
impl Frame {
    /// The text of a key.
    pub(super) fn t(&self, key: &'static str) -> &'static str {
        self.lang.text(key)
    }

    /// A text with what is put into it.
    pub(super) fn say(&self, key: &'static str, values: &[&str]) -> String {
        self.lang.say(key, values)
    }

    /// What the relay says, in the language of who looks as far as it has that.
    pub(super) fn said(&self, text: &str) -> String {
        self.sentence(text).unwrap_or_else(|| text.to_owned())
    }

    /// The language that is in.
    pub(super) fn said_in(&self, text: &str) -> &'static str {
        if self.sentence(text).is_some() { self.lang.code() } else { Lang::En.code() }
    }

    fn sentence(&self, text: &str) -> Option<String> {
        let time = |value: &str| Timestamp::parse_rfc3339(value).map(|at| self.at(at));
        self.lang.sentence(text, &time)
    }

    /// A word of the API.
    pub(super) fn word(&self, group: &str, word: &str) -> String {
        self.lang.word(group, word)
    }

    /// The navigation: path, name, and whether this page is part of it.
    pub(super) fn pages(&self) -> Vec<(&'static str, &'static str, bool)> {
        let path = self.path.split('?').next().unwrap_or("");
        let here = |page: &str| match page {
            "/" => path == "/",
            "/sources" if path == "/forecast" => true,
            page => path.strip_prefix(page).is_some_and(|it| it.is_empty() || it.starts_with('/')),
        };
        PAGES.iter().map(|(page, key)| (*page, self.t(key), here(page))).collect()
    }

    /// Whether who looks may do what needs this.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.person.as_ref().is_some_and(|person| person.caller.may(scope))
    }

    /// Whether buttons that change something are shown.
    pub(super) fn operates(&self) -> bool {
        self.may(Scope::Operate)
    }

    /// The name of who looks.
    pub(super) fn who(&self) -> &str {
        self.person.as_ref().map_or("", |person| &person.caller.name)
    }

    /// What they may do, in a word.
    pub(super) fn role(&self) -> String {
        self.person.as_ref().map_or(String::new(), |person| self.word("role", person.role.word()))
    }

    /// The other language: its code, and its name in itself.
    pub(super) fn other(&self) -> (&'static str, &'static str) {
        match self.lang {
            Lang::Es => ("en", "English"),
            Lang::En => ("es", "Español"),
        }
    }

    /// Time zones to choose from.
    pub(super) fn zones(&self) -> Vec<(String, bool)> {
        let mut zones: Vec<String> = ZONES.iter().map(ToString::to_string).collect();
        if !zones.contains(&self.zone_name) {
            zones.push(self.zone_name.clone());
        }
        zones.into_iter().map(|zone| (zone.clone(), zone == self.zone_name)).collect()
    }

    /// Where the stylesheet is.
    pub(super) fn style(&self) -> &'static str {
        assets::style()
    }

    /// Where the script is.
    pub(super) fn script(&self) -> &'static str {
        assets::script()
    }

    /// A moment (RFC 3339) in the zone of who looks: `1/12/2026 08:05`, with seconds where they matter.
    pub(super) fn time(&self, text: &str) -> String {
        Timestamp::parse_rfc3339(text).map_or_else(|| text.to_owned(), |at| self.at(at))
    }

    /// The same of a moment of ours.
    pub(super) fn at(&self, at: Timestamp) -> String {
        self.zoned(at).map_or_else(String::new, |it| match self.lang {
            Lang::Es => it.strftime("%d/%m/%Y %H:%M:%S").to_string(),
            Lang::En => it.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        })
    }

    /// The day: `30/11/2026`.
    pub(super) fn date(&self, at: Timestamp) -> String {
        self.zoned(at).map_or_else(String::new, |it| match self.lang {
            Lang::Es => it.strftime("%d/%m/%Y").to_string(),
            Lang::En => it.strftime("%Y-%m-%d").to_string(),
        })
    }

    /// The moment at which it is so late there.
    pub(super) fn instant(&self, at: jiff::civil::DateTime) -> Option<Timestamp> {
        let at = self.zone.to_timestamp(at).ok()?.as_millisecond();
        u64::try_from(at).ok().map(Timestamp::from_millis)
    }

    /// The time of day: `08:05`.
    pub(super) fn clock(&self, at: Timestamp) -> String {
        self.zoned(at).map_or_else(String::new, |it| it.strftime("%H:%M").to_string())
    }

    /// A moment in the zone of who looks.
    pub(super) fn zoned(&self, at: Timestamp) -> Option<jiff::civil::DateTime> {
        let millis = i64::try_from(at.as_millis()).ok()?;
        let at = jiff::Timestamp::from_millisecond(millis).ok()?;
        Some(self.zone.to_datetime(at))
    }

    /// How long ago, or how long from now: `hace 5 min`, `en 2 h`.
    pub(super) fn ago(&self, text: &str) -> String {
        let Some(at) = Timestamp::parse_rfc3339(text) else { return text.to_owned() };
        if at > self.now {
            return self.say("frame.in", &[&span(at.since(self.now).as_secs())]);
        }
        self.say("frame.ago", &[&span(self.now.since(at).as_secs())])
    }

    /// A number with its thousands apart, as Peru and English-speaking countries write it: `12,345`.
    pub(super) fn number(&self, number: impl TryInto<u64>) -> String {
        grouped(number.try_into().unwrap_or(0))
    }

    /// A rate: `12.3`.
    pub(super) fn rate(&self, rate: f64) -> String {
        if rate >= 100.0 || rate == 0.0 {
            return format!("{rate:.0}");
        }
        format!("{rate:.1}")
    }

    /// Octets: `12.3 MB`.
    pub(super) fn octets(&self, octets: u64) -> String {
        let mut value = octets as f64;
        for unit in ["B", "kB", "MB", "GB"] {
            if value < 1000.0 {
                return format!(
                    "{} {unit}",
                    if unit == "B" { format!("{value:.0}") } else { self.rate(value) }
                );
            }
            value /= 1000.0;
        }
        format!("{} TB", self.rate(value))
    }
}

/// `5 s`, `12 min`, `3 h`, `2 d`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=5_399 => format!("{} min", (seconds + 30) / 60),
        5_400..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} d", (seconds + 43_200) / 86_400),
    }
}

/// A template as an answer.
pub(super) fn shown(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        // Templates are checked when they are compiled; what is left are errors of formatting, which ours have not.
        Err(error) => Problem::unavailable(error.to_string()).into_response(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn frame(lang: Lang) -> Frame {
        Frame {
            lang,
            zone: jiff::tz::TimeZone::get(ZONE).unwrap(),
            zone_name: ZONE.to_owned(),
            person: None,
            form_key: "key".to_owned(),
            path: "/sources/ip-01?x=1".to_owned(),
            relay: "relay.example".to_owned(),
            flash: None,
            now: Timestamp::parse_rfc3339("2026-12-01T15:00:00Z").unwrap(),
        }
    }

    #[test]
    fn times_and_numbers_are_written_as_the_language_writes_them() {
        let (es, en) = (frame(Lang::Es), frame(Lang::En));
        let at = "2026-12-01T02:05:09Z";
        assert_eq!(
            (es.time(at), en.time(at)),
            ("30/11/2026 21:05:09".into(), "2026-11-30 21:05:09".into())
        );
        assert_eq!((es.ago(at), en.ago(at)), ("hace 13 h".into(), "13 h ago".into()));
        assert_eq!(es.ago("2026-12-01T15:05:00Z"), "en 5 min");
        assert_eq!(es.time("nada"), "nada");
        assert_eq!(es.number(1_234_567_u64), "1,234,567");
        assert_eq!([es.octets(999), es.octets(12_345)], ["999 B", "12.3 kB"]);
    }

    #[test]
    fn the_navigation_shows_where_one_is() {
        let here: Vec<&str> =
            frame(Lang::Es).pages().iter().filter(|it| it.2).map(|it| it.0).collect();
        assert_eq!(here, ["/sources"]);
    }
}
