//! What is known of lists, from `data/blocklists.toml`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use toml::de::DeTable;

use crate::fields::{Fields, Reader, Value};
use crate::origin::Places;
use crate::parse::{boolean, domain_pattern, duration, list, one_of, some, string, text};
use crate::values::DomainPattern;

use super::keys::{answers, zone};
use super::{ACTIONS, Code, KINDS, ListAction, ListOf};

/// The file as it was when Tambo was built.
const FILE: &str = include_str!("../../data/blocklists.toml");

/// What the file holds.
pub(super) struct Builtin {
    pub lists: Vec<Row>,
    pub gone: Vec<Gone>,
}

/// A list as the file has it.
pub(super) struct Row {
    pub zones: Vec<String>,
    pub title: String,
    pub of: ListOf,
    pub ipv6: bool,
    pub bitmask: bool,
    pub test: Option<String>,
    pub every: Duration,
    pub delisting: String,
    /// Where this is known from.
    pub note: String,
    pub codes: Vec<KnownCode>,
}

/// Answers that mean the same.
pub(super) struct KnownCode {
    /// With what they lead to where the operator does not say.
    pub code: Code,
    /// More than which they never lead to.
    pub most: ListAction,
}

/// Zones that are no more.
pub(super) struct Gone {
    pub zones: Vec<DomainPattern>,
    pub since: String,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| match read(FILE) {
    Ok(builtin) => builtin,
    Err(problems) => unreachable!("the built-in blocklists are wrong: {problems:?}"),
});

/// The rows in their order; read once.
pub(super) fn builtin() -> &'static Builtin {
    &BUILTIN
}

impl Builtin {
    /// What is known of a zone, written with [`super::KEY`] where it has one.
    pub fn of_zone(&self, zone: &str) -> Option<&Row> {
        self.lists.iter().find(|row| row.zones.iter().any(|known| known == zone))
    }

    /// Since when a zone is no more.
    pub fn gone(&self, zone: &str) -> Option<&str> {
        let has = |gone: &&Gone| gone.zones.iter().any(|pattern| pattern.matches(zone));
        self.gone.iter().find(has).map(|gone| gone.since.as_str())
    }
}

fn read(file: &str) -> Result<Builtin, Vec<String>> {
    let mut reader = Reader { places: Places::BuiltIn, ..Reader::default() };
    let table = DeTable::parse(file).map_err(|error| vec![error.to_string()])?;
    let mut fields = Fields::root(&mut reader, table.get_ref());
    let lists = fields.tables("list", "A list.", row);
    let gone = fields.tables("gone", "Lists that are no more.", |f| {
        let pattern = |value: Value<'_>| domain_pattern(value, "");
        let zones = f.required("zones", "[\"*.sorbs.net\"]", "Its zones.", some(pattern));
        let since = f.required("since", "\"shut down in 2024\"", "Since when.", text);
        Some(Gone { zones: zones?, since: since? })
    });
    fields.report_unknown();
    if !reader.problems.is_empty() {
        let located = |problem: crate::Problem| problem.locate("blocklists.toml", file).to_string();
        return Err(reader.problems.into_iter().map(located).collect());
    }
    Ok(Builtin {
        lists: lists.into_iter().map(|row| row.value).collect(),
        gone: gone.into_iter().map(|gone| gone.value).collect(),
    })
}

fn row(f: &mut Fields<'_>) -> Option<Row> {
    let zones = f.required("zones", "[\"zen.spamhaus.org\"]", "Its zones.", some(zone));
    let title = f.required("title", "\"ZEN\"", "What it is called.", text);
    let of = f.required("of", "\"addresses\"", "What it lists.", one_of(&KINDS));
    let ipv6 = f.or("ipv6", "false", "Whether it lists IPv6 addresses.", boolean);
    let bitmask = f.or("bitmask", "false", "Whether answers are sums.", boolean);
    let test = f.optional("test", "\"dbltest.com\"", "What it always lists.", string);
    let every = f.required("every", "\"1h\"", "How often it is asked.", duration);
    let delisting = f.required("delisting", "\"https://…\"", "Where to ask to be taken out.", text);
    let note = f.required("note", "\"chosen\"", "Where this is known from.", text);
    let codes = f.tables("code", "Answers that mean the same.", |f| {
        let answers = f.required("answers", "[\"127.0.0.2\"]", "The answers.", list(answers));
        let meaning = f.required("meaning", "\"spam\"", "What they mean.", text);
        let action = f.required("action", "\"act\"", "What is done.", one_of(&ACTIONS));
        let most = f.or("most", "\"act\"", "More than which is never done.", one_of(&ACTIONS));
        let (meaning, action): (Arc<str>, _) = (meaning?.into(), action?);
        let code = |(first, last)| KnownCode {
            code: Code { first, last, meaning: Arc::clone(&meaning), action },
            most,
        };
        Some(answers?.into_iter().map(code).collect::<Vec<_>>())
    });
    Some(Row {
        zones: zones?,
        title: title?,
        of: of?,
        ipv6,
        bitmask,
        test,
        every: every?,
        delisting: delisting?,
        note: note?,
        codes: codes.into_iter().flat_map(|codes| codes.value).collect(),
    })
}
