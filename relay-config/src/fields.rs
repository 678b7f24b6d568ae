//! Reads tables of TOML key by key, collecting every mistake instead of stopping at the first.
//!
//! A key is read by one call that names it, says what it means, gives its default as a person
//! would write it, and parses it. The same calls, made over an empty file, write the
//! reference: a key cannot be accepted and undocumented, nor documented and unknown.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::origin::{Origin, Places, Setting};
use crate::problem::{Mistake, Problem};

/// What one key means; a line of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyDoc {
    /// `[server]`, `[[listener]]` …
    pub section: String,
    pub key: &'static str,
    pub kind: KeyKind,
    pub text: &'static str,
}

/// What happens when a key is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// It must be written; an example.
    Required(&'static str),
    /// This holds, as TOML.
    Default(&'static str),
    /// Nothing; an example.
    Optional(&'static str),
}

/// Collects what is found while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    pub docs: Vec<KeyDoc>,
    /// One for each section: its name and what it is for.
    pub sections: Vec<(String, &'static str)>,
    /// What the file is called and where its lines begin.
    pub places: Places,
    /// Each key that was read, in this order.
    pub read: Vec<ReadKey>,
}

/// A key that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadKey {
    /// `[server]`, `[[listener]]` …
    pub section: String,
    /// Which of several tables of one name, from 1.
    pub number: usize,
    pub key: &'static str,
    pub value: ReadValue,
}

/// What holds for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadValue {
    /// It is written there.
    Written(Range<usize>),
    /// It is not, and this holds, as TOML.
    Default(&'static str),
    /// It is not, and nothing holds.
    Nothing,
}

/// One table while it is read.
pub(crate) struct Fields<'a> {
    reader: &'a mut Reader,
    section: String,
    table: Option<&'a DeTable<'a>>,
    /// Where the table stands.
    span: Range<usize>,
    known: Vec<&'static str>,
    /// Which of several tables of one name, from 1.
    number: usize,
}

/// A value and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// The value of a key as TOML has it.
pub(crate) type Value<'a> = &'a Spanned<DeValue<'a>>;

impl Reader {
    pub fn problem(&mut self, span: Range<usize>, key: impl Into<String>, mistake: Mistake) {
        let Mistake { message, mend, at } = mistake;
        self.problems.push(Problem { span: at.unwrap_or(span), key: key.into(), message, mend });
    }

    pub fn warn(&mut self, span: Range<usize>, key: impl Into<String>, message: &str, mend: &str) {
        let (message, mend) = (message.to_owned(), mend.to_owned());
        self.warnings.push(Problem { span, key: key.into(), message, mend });
    }
}

impl<'a> Fields<'a> {
    /// The whole file.
    pub fn root(reader: &'a mut Reader, table: &'a DeTable<'a>) -> Self {
        Self {
            reader,
            section: String::new(),
            table: Some(table),
            span: 0..0,
            known: Vec::new(),
            number: 1,
        }
    }

    /// Reports a mistake about the table as a whole, or a key of it.
    pub fn mistake(&mut self, key: &str, mistake: Mistake) {
        let span = self.find(key).map_or(self.span.clone(), |(key, _)| key.span());
        let key = self.full(key);
        self.reader.problem(span, key, mistake);
    }

    /// Reports something that will surprise.
    pub fn warn(&mut self, key: &str, message: &str, mend: &str) {
        let span = self.find(key).map_or(self.span.clone(), |(key, _)| key.span());
        let key = self.full(key);
        self.reader.warn(span, key, message, mend);
    }

    /// Reads the table `[name]` with `read`; an empty one when it is not written.
    pub fn table<T>(
        &mut self,
        name: &'static str,
        about: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let section = self.enter(name, about, false);
        let found = self.find(name).map(|(key, value)| (key.span(), value));
        let mut table = None;
        let mut span = self.span.clone();
        if let Some((key_span, value)) = found {
            span = key_span;
            table = value.get_ref().as_table();
            if table.is_none() {
                let kind = value.get_ref().type_str();
                let mistake = Mistake::new(
                    format!("a table is expected, this is a {kind}"),
                    format!("write `[{name}]` on a line of its own and its keys below"),
                );
                self.reader.problem(span.clone(), name, mistake);
            }
        }
        read_table(self.reader, (section, self.number), table, span, read)
    }

    /// Reads each `[[name]]` with `read`. `None` values (tables that were refused) are left out.
    pub fn tables<T>(
        &mut self,
        name: &'static str,
        about: &'static str,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Vec<Located<T>> {
        let section = self.enter(name, about, true);
        let Some((key, value)) = self.find(name) else {
            // Nothing is read, but the reference wants to hear of the keys.
            let mut silent = Reader::default();
            read_table(&mut silent, (section, 1), None, 0..0, &mut read);
            self.reader.docs.extend(silent.docs);
            self.reader.sections.extend(silent.sections);
            return Vec::new();
        };
        let mut found = Vec::new();
        let items: Vec<Value<'_>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        for (number, item) in (1..).zip(items) {
            let (DeValue::Table(table), true) = (item.get_ref(), value.get_ref().is_array()) else {
                let mend = format!("write `[[{name}]]` (two brackets) for each one");
                let mistake = Mistake::new("a list of tables is expected", mend);
                self.reader.problem(key.span(), name, mistake);
                continue;
            };
            let span = item.span();
            let read = |fields: &mut Fields<'_>| read(fields);
            if let Some(value) =
                read_table(self.reader, (section.clone(), number), Some(table), span.clone(), read)
            {
                found.push(Located { value, span });
            }
        }
        found
    }

    /// Reads an inline table, `key = { … }`, if written.
    pub fn inline<T>(
        &mut self,
        key: &'static str,
        about: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let section = format!("{}.{key}", self.section);
        self.reader.sections.push((section.clone(), about));
        let found = self.find(key);
        let Some((place, value)) = found else {
            let mut silent = Reader::default();
            read_table(&mut silent, (section, 1), None, 0..0, read);
            self.reader.docs.extend(silent.docs);
            return None;
        };
        let Some(table) = value.get_ref().as_table() else {
            let mend = format!("write `{key} = {{ … }}` with its keys between the braces");
            let full = self.full(key);
            self.reader.problem(place.span(), full, Mistake::new("a table is expected", mend));
            return None;
        };
        read_table(self.reader, (section, self.number), Some(table), value.span(), read)
    }

    /// A key that must be written.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        text: &'static str,
        parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
    ) -> Option<T> {
        self.document(key, KeyKind::Required(example), text);
        self.note(key, ReadValue::Nothing);
        if self.find(key).is_none() {
            let mend = format!("add `{key} = {example}`");
            let full = self.full(key);
            let mistake = Mistake::new(format!("`{key}` is missing"), mend);
            self.reader.problem(self.span.clone(), full, mistake);
            return None;
        }
        self.read(key, parse)
    }

    /// A key that has a default, written as TOML.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: &'static str,
        text: &'static str,
        parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
    ) -> T {
        self.document(key, KeyKind::Default(default), text);
        self.note(key, ReadValue::Default(default));
        self.read(key, &parse).unwrap_or_else(|| parse_default(default, parse))
    }

    /// A key whose absence means something.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        text: &'static str,
        parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
    ) -> Option<T> {
        self.document(key, KeyKind::Optional(example), text);
        self.note(key, ReadValue::Nothing);
        self.read(key, parse)
    }

    /// A key that has a default, with the place where its value was decided.
    pub fn setting_or<T>(
        &mut self,
        key: &'static str,
        default: &'static str,
        text: &'static str,
        parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
    ) -> Setting<T> {
        let value = self.or(key, default, text, parse);
        Setting { value, origin: self.origin(key) }
    }

    /// A key whose absence leaves what was decided elsewhere.
    pub fn setting<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        text: &'static str,
        parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
    ) -> Option<Setting<T>> {
        let value = self.optional(key, example, text, parse)?;
        Some(Setting { value, origin: self.origin(key) })
    }

    /// Whether a key is written.
    pub fn is_written(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Where a key is written.
    pub fn place(&self, key: &str) -> Option<Range<usize>> {
        self.find(key).map(|(key, _)| key.span())
    }

    fn origin(&self, key: &str) -> Origin {
        self.place(key).map_or(Origin::Default, |span| self.reader.places.origin(&span))
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
    ) -> Option<T> {
        let (_, value) = self.find(key)?;
        match parse(value) {
            Ok(value) => Some(value),
            Err(mistake) => {
                let full = self.full(key);
                self.reader.problem(value.span(), full, mistake);
                None
            }
        }
    }

    fn find(&self, key: &str) -> Option<(&'a Spanned<toml::de::DeString<'a>>, Value<'a>)> {
        self.table?.iter().find(|(name, _)| name.get_ref() == key)
    }

    fn enter(&mut self, name: &'static str, about: &'static str, list: bool) -> String {
        self.known.push(name);
        let full = match self.section.trim_matches(['[', ']']) {
            "" => name.to_owned(),
            parent => format!("{parent}.{name}"),
        };
        let section = if list { format!("[[{full}]]") } else { format!("[{full}]") };
        self.reader.sections.push((section.clone(), about));
        section
    }

    fn document(&mut self, key: &'static str, kind: KeyKind, text: &'static str) {
        self.known.push(key);
        let section = self.section.clone();
        if !self.reader.docs.iter().any(|doc| doc.section == section && doc.key == key) {
            self.reader.docs.push(KeyDoc { section, key, kind, text });
        }
    }

    /// A key is read: what is written holds, or else this.
    fn note(&mut self, key: &'static str, otherwise: ReadValue) {
        let written = self.find(key).map(|(_, value)| ReadValue::Written(value.span()));
        let (section, number) = (self.section.clone(), self.number);
        let value = written.unwrap_or(otherwise);
        self.reader.read.push(ReadKey { section, number, key, value });
    }

    /// `listener.bind`, as messages name a key.
    fn full(&self, key: &str) -> String {
        let section = self.section.replace(['[', ']'], "");
        [section.as_str(), key]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(".")
    }

    /// Reports keys that nobody asked for.
    pub fn report_unknown(&mut self) {
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let mend = match nearest(name, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            let full = self.full(name);
            let mistake = Mistake::new(format!("`{}` is not a known key", clean(name)), mend);
            self.reader.problem(key.span(), clean(&full), mistake);
        }
    }
}

fn read_table<T>(
    reader: &mut Reader,
    section: (String, usize),
    table: Option<&DeTable<'_>>,
    span: Range<usize>,
    read: impl FnOnce(&mut Fields<'_>) -> T,
) -> T {
    let (section, number) = section;
    let mut fields = Fields { reader, section, table, span, known: Vec::new(), number };
    let value = read(&mut fields);
    fields.report_unknown();
    value
}

fn parse_default<T>(text: &str, parse: impl Fn(Value<'_>) -> Result<T, Mistake>) -> T {
    let value = DeValue::parse(text).expect("defaults are valid TOML: a test reads them all");
    match parse(&value) {
        Ok(value) => value,
        Err(mistake) => unreachable!("the default {text} is not valid: {}", mistake.message),
    }
}

/// What is said of a file cannot move the cursor of who reads it.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(80).collect()
}

/// The known key that differs least, when it is near enough to be meant.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.chars().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
