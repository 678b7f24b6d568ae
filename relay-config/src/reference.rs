//! Writes `docs/reference/config.md` from the calls that read the keys.

use std::fmt::Write as _;

use toml::de::DeTable;

use crate::fields::{Fields, KeyDoc, KeyKind, Reader};
use crate::sections;

/// The reference of all keys, as Markdown.
pub fn reference() -> String {
    let reader = read_nothing();
    let mut text = String::from(
        "# Configuration reference\n\n\
         This page is generated: `make docs` writes it from the code that reads the file.\n\n\
         The file is TOML. `tambo check --config FILE` reports every mistake at once, with line, \
         column and what to write instead. Unknown keys are mistakes. Durations are written \
         `30s`, `5m`, `4h`, `2d`; sizes `512KiB`, `50MiB`; rates `1500/h`, `60/m`.\n",
    );
    for (section, about) in &reader.sections {
        let keys: Vec<&KeyDoc> = reader.docs.iter().filter(|doc| doc.section == *section).collect();
        let _ = write!(text, "\n## `{section}`\n\n{about}\n");
        if keys.is_empty() {
            text.push_str("\nRead by a later version: accepted now, without effect.\n");
            continue;
        }
        text.push_str("\n| key | default | meaning |\n| --- | --- | --- |\n");
        for doc in keys {
            let default = match doc.kind {
                KeyKind::Required(example) => format!("required, as in `{example}`"),
                KeyKind::Default(default) => format!("`{default}`"),
                KeyKind::Optional(example) => format!("none; as in `{example}`"),
            };
            let _ = writeln!(text, "| `{}` | {default} | {} |", doc.key, doc.text);
        }
    }
    text
}

fn read_nothing() -> Reader {
    let mut reader = Reader::default();
    let empty = DeTable::new();
    sections::read(Fields::root(&mut reader, &empty));
    reader
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_reference_is_current() {
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../docs/reference/config.md";
        if std::env::var_os("TAMBO_WRITE_DOCS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == reference(),
            "docs/reference/config.md is not current: run `make docs`"
        );
    }

    #[test]
    fn every_key_has_a_meaning() {
        for doc in read_nothing().docs {
            assert!(doc.text.ends_with('.'), "{} {}: {}", doc.section, doc.key, doc.text);
        }
    }
}
