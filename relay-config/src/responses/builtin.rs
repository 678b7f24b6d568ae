//! The rules that Tambo brings, from `data/responses.toml`.

use std::sync::{Arc, LazyLock};

use toml::de::DeTable;

use crate::fields::{Fields, Reader};
use crate::parse::text;

use super::rule::{self, Rule};

/// The file as it was when Tambo was built.
pub(super) const FILE: &str = include_str!("../../data/responses.toml");

/// What the file holds.
pub(super) struct Builtin {
    pub origins: Vec<Origin>,
    pub rules: Vec<Arc<Rule>>,
}

/// Where rules are known from.
pub(super) struct Origin {
    pub key: String,
    pub title: String,
    /// When it was seen, where that is known.
    pub date: Option<String>,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| match read(FILE) {
    Ok(builtin) => builtin,
    Err(problems) => unreachable!("the built-in rules are wrong: {problems:?}"),
});

/// The rules in their order; read once.
pub(super) fn builtin() -> &'static Builtin {
    &BUILTIN
}

pub(super) fn read(file: &str) -> Result<Builtin, Vec<String>> {
    let mut reader = Reader::default();
    let table = DeTable::parse(file).map_err(|error| vec![error.to_string()])?;
    let mut fields = Fields::root(&mut reader, table.get_ref());
    let origins = fields.tables("origin", "Where rules are known from.", |f| {
        let key = f.required("key", "\"yahoo\"", "Its name in rules.", text);
        let title = f.required("title", "\"Yahoo\"", "What it is.", text);
        let date = f.optional("date", "\"2026-01-31\"", "When it was seen.", text);
        Some(Origin { key: key?, title: title?, date })
    });
    let rules = fields.tables("response", "A rule.", rule::builtin);
    fields.report_unknown();
    if !reader.problems.is_empty() {
        let located = |problem: crate::Problem| problem.locate("responses.toml", file).to_string();
        return Err(reader.problems.into_iter().map(located).collect());
    }
    Ok(Builtin {
        origins: origins.into_iter().map(|origin| origin.value).collect(),
        rules: rules.into_iter().map(|rule| Arc::new(rule.value)).collect(),
    })
}
