//! For whom reports are written.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::fields::{Fields, Value};
use crate::parse::{clip, one_of, string};
use crate::problem::Mistake;

/// `[reports]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// What they are written in when nobody says.
    pub language: Language,
    /// Name of the zone in which their days turn when nobody says.
    pub zone: String,
}

/// A language that people are told things in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Spanish.
    #[default]
    Spanish,
    /// English.
    English,
}

/// The zone of this name, as the program knows it: the machine may have no zone files, or other names.
pub fn zone_named(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name.trim()).ok()
}

/// Reads `[reports]`.
pub(crate) fn reports(f: &mut Fields<'_>) -> Reports {
    Reports {
        language: f.or(
            "language",
            "\"es\"",
            "Language of reports for whom asks for no other: `es` or `en`.",
            one_of(&[("es", Language::Spanish), ("en", Language::English)]),
        ),
        zone: f.or(
            "zone",
            "\"America/Lima\"",
            "Time zone in which the days of reports turn, one of whole hours.",
            zone,
        ),
    }
}

fn zone(value: Value<'_>) -> Result<String, Mistake> {
    let name = string(value)?;
    match zone_named(&name) {
        Some(_) => Ok(name.trim().to_owned()),
        None => Err(Mistake::new(
            format!("there is no time zone `{}`", clip(&name)),
            "write one as `America/Lima`",
        )),
    }
}
