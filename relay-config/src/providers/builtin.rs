//! The providers and templates that Tambo brings, from `data/providers.toml`.

use std::sync::{Arc, LazyLock};

use toml::de::DeTable;

use crate::fields::{Fields, Reader};
use crate::origin::{Places, Setting};
use crate::parse::{name, some, text};
use crate::values::DomainPattern;

use super::keys::host_pattern;
use super::limits::{self, WrittenLimits};

/// The file as it was when Tambo was built.
const FILE: &str = include_str!("../../data/providers.toml");

/// What the file holds.
pub(super) struct Builtin {
    pub providers: Vec<Row>,
    pub templates: Vec<Template>,
}

/// A provider as the file has it.
pub(super) struct Row {
    pub name: Arc<str>,
    pub title: String,
    pub mx: Setting<Vec<DomainPattern>>,
    pub limits: WrittenLimits,
    /// Where suffixes and limits are known from.
    pub note: String,
}

/// Limits that an operator may choose by name.
pub(super) struct Template {
    pub name: Arc<str>,
    pub title: String,
    pub limits: WrittenLimits,
    /// Where its numbers come from.
    pub note: String,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| match read(FILE) {
    Ok(builtin) => builtin,
    Err(problems) => unreachable!("the built-in providers are wrong: {problems:?}"),
});

/// The rows in their order; read once.
pub(super) fn builtin() -> &'static Builtin {
    &BUILTIN
}

fn read(file: &str) -> Result<Builtin, Vec<String>> {
    let mut reader = Reader { places: Places::BuiltIn, ..Reader::default() };
    let table = DeTable::parse(file).map_err(|error| vec![error.to_string()])?;
    let mut fields = Fields::root(&mut reader, table.get_ref());
    let providers = fields.tables("provider", "A provider.", |f| {
        let name = f.required("name", "\"google\"", "Its name.", name);
        let title = f.required("title", "\"Google\"", "Who it is.", text);
        let mx = f.setting("mx", "[\"*.google.com\"]", "Its hosts.", some(host_pattern));
        let note = f.required("note", "\"chosen\"", "Where this is known from.", text);
        let limits = f.table("limits", "Its limits.", limits::providers);
        Some(Row { name: name?.into(), title: title?, mx: mx?, limits, note: note? })
    });
    let templates = fields.tables("template", "Limits to choose.", |f| {
        let name = f.required("name", "\"small-site\"", "Its name.", name);
        let title = f.required("title", "\"A small server\"", "Whom it is for.", text);
        let note = f.required("note", "\"chosen\"", "Where this is known from.", text);
        let limits = f.table("limits", "Its limits.", limits::providers);
        Some(Template { name: name?.into(), title: title?, limits, note: note? })
    });
    fields.report_unknown();
    if !reader.problems.is_empty() {
        let located = |problem: crate::Problem| problem.locate("providers.toml", file).to_string();
        return Err(reader.problems.into_iter().map(located).collect());
    }
    Ok(Builtin {
        providers: providers.into_iter().map(|row| row.value).collect(),
        templates: templates.into_iter().map(|template| template.value).collect(),
    })
}
