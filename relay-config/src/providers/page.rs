//! Writes `docs/reference/providers.md`: every built-in provider in the order in which it is tried.

use std::fmt::Write as _;

use crate::values::DomainPattern;

use super::builtin::{Builtin, builtin};
use super::limits::{SiteLimits, WrittenLimits, default_limits};

/// The reference of providers and templates, as Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# Providers\n\n\
         This page is generated: `make docs` writes it from `relay-config/data/providers.toml`.\n\n\
         Many domains share the servers of one operator, so limits belong to the operator. A domain is \
         a provider's when **all** its MX hosts match the provider's suffixes; the first in this order \
         holds. A domain that no provider takes is a site by its set of MX hosts, with the limits of \
         `[delivery.limits]`. Mail goes to each domain's own MX, whatever the provider.\n\n\
         `[[provider]]` tables (see [config.md](config.md)) change a provider by its name, for all mail or for \
         that of one `pool`, or add providers, which are tried before those below. What such a table does \
         not write stays. `tambo config show --provider google` prints what is in force and where \
         each value was decided.\n\n\
         Limits hold for one source (`connections`, `rate` …) and for all sources together (those that \
         end in `total`). They count recipients; `messages_per_connection` counts messages.\n",
    );
    let Builtin { providers, templates } = builtin();
    text.push_str("\n## Who is known\n\n| provider | MX hosts | limits | known from |\n| --- | --- | --- | --- |\n");
    for row in providers {
        let hosts: Vec<String> = row.mx.value.iter().map(code).collect();
        let _ = writeln!(
            text,
            "| `{}`<br>{} | {} | {} | {} |",
            row.name,
            row.title,
            hosts.join("<br>"),
            own(&row.limits),
            row.note
        );
    }
    text.push_str("\n## Everyone else\n\n| limit | default |\n| --- | --- |\n");
    for row in default_limits().rows() {
        let _ = writeln!(text, "| `{}` | {} |", row.name, row.value);
    }
    text.push_str(
        "\n## Templates\n\n| `template` | for | limits | known from |\n| --- | --- | --- | --- |\n",
    );
    for row in templates {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            row.name,
            row.title,
            own(&row.limits),
            row.note
        );
    }
    text
}

fn code(pattern: &DomainPattern) -> String {
    format!("`{pattern}`")
}

/// The limits that are not those of everyone.
fn own(limits: &WrittenLimits) -> String {
    let everyone: SiteLimits = default_limits();
    let over = limits.over(&everyone);
    let rows = over.rows();
    let own: Vec<String> = rows
        .iter()
        .zip(everyone.rows())
        .filter(|(row, below)| *row.origin != *below.origin)
        .map(|(row, _)| format!("`{}` {}", row.name, row.value))
        .collect();
    if own.is_empty() { "those of everyone".to_owned() } else { own.join("<br>") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_current() {
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../docs/reference/providers.md";
        if std::env::var_os("TAMBO_WRITE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page(), "docs/reference/providers.md is not current: run `make docs`");
    }
}
