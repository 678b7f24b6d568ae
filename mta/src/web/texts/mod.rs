//! All that the web says, in Spanish and in English: one catalogue of keys, a table for each part of the web.
//!
//! `{0}`, `{1}` … stand for what is put in. Spanish is that of the administrators of public institutions in Peru, who
//! are addressed as *usted*. What the relay itself says has its Spanish in `sentences.rs`. The tests see that no text is
//! missing and that none is left over.

mod actions;
mod door;
mod frame;
mod now;
mod pages;
mod sentences;
mod sources;
mod tables;
mod words;

use std::collections::HashMap;
use std::sync::LazyLock;

/// Key, Spanish, English.
type Text = (&'static str, &'static str, &'static str);

const TABLES: [&[Text]; 9] = [
    frame::TEXTS,
    door::TEXTS,
    now::TEXTS,
    pages::TEXTS,
    sources::TEXTS,
    actions::TEXTS,
    tables::TEXTS,
    words::TEXTS,
    crate::admin::CAUSES,
];

static CATALOGUE: LazyLock<HashMap<&str, (&str, &str)>> = LazyLock::new(|| {
    TABLES.iter().flat_map(|table| table.iter()).map(|(key, es, en)| (*key, (*es, *en))).collect()
});

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lang {
    /// Spanish.
    Es,
    /// English.
    En,
}

impl Lang {
    /// As HTML and cookies name it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::En => "en",
        }
    }

    /// From such a name.
    pub(super) fn parse(code: &str) -> Option<Self> {
        match code.get(..2)?.to_ascii_lowercase().as_str() {
            "es" => Some(Self::Es),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The one that a browser likes most of those there are (RFC 9110 section 12.5.4); Spanish when it says nothing.
    pub(super) fn of_browser(accepted: &str) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for part in accepted.split(',') {
            let mut words = part.split(';').map(str::trim);
            let Some(lang) = words.next().and_then(Self::parse) else { continue };
            let weight =
                words.find_map(|word| word.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            if weight > best.map_or(0.0, |(best, _)| best) {
                best = Some((weight, lang));
            }
        }
        best.map_or(Self::Es, |(_, lang)| lang)
    }

    /// The text of a key; the key itself where there is none, which the tests exclude.
    pub(super) fn text(self, key: &'static str) -> &'static str {
        self.known(key).unwrap_or(key)
    }

    /// The text of a key, if there is one.
    pub(super) fn known(self, key: &str) -> Option<&'static str> {
        let (es, en) = CATALOGUE.get(key)?;
        Some(match self {
            Self::Es => es,
            Self::En => en,
        })
    }

    /// The word for a word of the API, as `state` `suspended`; that word where we have none, as for a rule of the
    /// operator's own.
    pub(super) fn word(self, group: &str, word: &str) -> String {
        self.known(&format!("{group}.{word}")).map_or_else(|| word.to_owned(), str::to_owned)
    }

    /// A sentence that the relay wrote, in this language; nothing: it has none. `time` writes moments.
    pub(super) fn sentence(
        self,
        text: &str,
        time: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        match self {
            Self::En => None,
            Self::Es => sentences::spanish(text, &|value| {
                let state = || self.known(&format!("state.{value}")).map(str::to_owned);
                time(value).or_else(state)
            }),
        }
    }

    /// A text with what is put into it.
    pub(super) fn say(self, key: &'static str, values: &[&str]) -> String {
        let text = self.text(key);
        let mut said = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some(begin) = rest.find('{') {
            said.push_str(&rest[..begin]);
            let digit = rest[begin + 1..].chars().next().and_then(|it| it.to_digit(10));
            let value = digit.and_then(|digit| values.get(digit as usize));
            said.push_str(value.unwrap_or(&"…"));
            rest = rest.get(begin + 3..).unwrap_or("");
        }
        said.push_str(rest);
        said
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Groups whose words come from elsewhere: `Lang::word`.
    const GROUPS: [&str; 11] = [
        "names",
        "change",
        "state",
        "delivery",
        "event",
        "category",
        "role",
        "scope",
        "check",
        "outcome",
        "recipient",
    ];

    fn product(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "texts" {
                product(&path, text);
            } else if [".rs", ".html"].iter().any(|end| name.ends_with(end)) {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// Whatever looks like a key of the catalogue in sources and templates.
    fn used() -> BTreeSet<String> {
        let mut text = String::new();
        product(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"), &mut text);
        let tables: BTreeSet<&str> =
            CATALOGUE.keys().filter_map(|key| key.split('.').next()).collect();
        let parts = text.split('"').filter(|part| {
            part.split_once('.').is_some_and(|(table, rest)| {
                tables.contains(table)
                    && !rest.is_empty()
                    && rest
                        .bytes()
                        .all(|it| it.is_ascii_lowercase() || b"-_.0123456789".contains(&it))
            })
        });
        let files = [".html", ".js", ".css", ".csv", ".xlsx", ".example", ".pe"];
        parts.filter(|it| !files.iter().any(|end| it.ends_with(end))).map(str::to_owned).collect()
    }

    #[test]
    fn no_text_is_missing_and_none_is_left_over() {
        let used = used();
        assert!(used.len() > 100, "{used:?}");
        for key in &used {
            assert!(CATALOGUE.contains_key(key.as_str()), "{key} has no text");
        }
        let said = |key: &str| {
            used.contains(key) || key.split('.').next().is_some_and(|it| GROUPS.contains(&it))
        };
        let left: BTreeSet<&&str> = CATALOGUE.keys().filter(|key| !said(key)).collect();
        assert!(left.is_empty(), "nobody says {left:?}");
        let count: usize = TABLES.iter().map(|table| table.len()).sum();
        assert_eq!(count, CATALOGUE.len(), "a key is there twice");
    }

    #[test]
    fn both_languages_say_the_same_with_the_same_values() {
        let values = |text: &str| -> BTreeSet<char> {
            let after = text.match_indices('{').filter_map(|(at, _)| text[at + 1..].chars().next());
            after.collect()
        };
        for (key, (es, en)) in CATALOGUE.iter() {
            assert!(!es.trim().is_empty() && !en.trim().is_empty(), "{key}");
            assert_eq!(values(es), values(en), "{key}");
            assert_eq!(es.matches('{').count(), es.matches('}').count(), "{key}");
            let ends = |text: &str| text.chars().last().filter(|it| ".?:…".contains(*it));
            assert_eq!(ends(es), ends(en), "{key}: {es} / {en}");
        }
    }

    #[test]
    fn words_of_the_relay_have_words_here() {
        for lang in [Lang::Es, Lang::En] {
            for kind in crate::message::EventKind::ALL {
                assert!(lang.known(&format!("event.{}", kind.word())).is_some(), "{kind:?}");
            }
            for role in crate::access::Role::ALL {
                assert!(lang.known(&format!("role.{role}")).is_some(), "{role}");
            }
            for (word, _) in relay_config::responses::Category::WORDS {
                assert!(lang.known(&format!("category.{word}")).is_some(), "{word}");
            }
        }
    }

    #[test]
    fn a_browser_gets_the_language_that_it_likes() {
        let table = [
            ("", Lang::Es),
            ("es-PE,es;q=0.9,en;q=0.8", Lang::Es),
            ("en-US,en;q=0.9", Lang::En),
            ("fr,en;q=0.4,es;q=0.5", Lang::Es),
            ("fr", Lang::Es),
            ("de, en;q=0.1", Lang::En),
            ("é", Lang::Es),
        ];
        for (accepted, expected) in table {
            assert_eq!(Lang::of_browser(accepted), expected, "{accepted}");
        }
    }
}
