//! Writes `docs/reference/blocklists.md`: what is known of lists.

use std::fmt::Write as _;

use super::builtin::{Builtin, KnownCode, Row, builtin};

/// The reference of lists, as Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# Blocklists\n\n\
         This page is generated: `make docs` writes it from `relay-config/data/blocklists.toml`.\n\n\
         None of these is asked by itself: whose servers are asked, and that they learn of our addresses, is your \
         decision. Most refuse who comes through a public resolver or asks much, so they need a resolver of your \
         own (`[dns]`) or a key. A `[[blocklist]]` (see [config.md](config.md)) with the zone of one of these takes from \
         here what it does not write.\n\n\
         An answer that is not in the table says nothing, and 127.255.255.x never does: what was known before stays. A \
         list is asked about 127.0.0.1 (or the domain `invalid`), which it must not list, and about its test \
         entry, which it must, before it is believed (RFC 5782 section 5). Two answers `confirm_after` apart must agree before \
         anything is done.\n",
    );
    let Builtin { lists, gone } = builtin();
    for row in lists {
        list(&mut text, row);
    }
    text.push_str("\n## No more\n\n| zones | |\n| --- | --- |\n");
    for gone in gone {
        let zones: Vec<String> = gone.zones.iter().map(|zone| format!("`{zone}`")).collect();
        let _ = writeln!(text, "| {} | {} |", zones.join(", "), gone.since);
    }
    text
}

fn list(text: &mut String, row: &Row) {
    let zones: Vec<String> = row.zones.iter().map(|zone| format!("`{zone}`")).collect();
    let mut facts = vec![format!("Lists {}", row.of.word())];
    if row.of == super::ListOf::Addresses {
        facts.push(if row.ipv6 { "IPv4 and IPv6" } else { "IPv4 only" }.to_owned());
    }
    facts.push(format!("asked every {} min", row.every.as_secs() / 60));
    facts.extend(row.test.as_ref().map(|test| format!("test entry `{test}`")));
    if row.bitmask {
        facts.push("answers are sums of these bits".to_owned());
    }
    let _ = write!(
        text,
        "\n## {}\n\n{}. {}. To be taken out: <{}>. {}\n\n| answer | meaning | action |\n| --- | --- | --- |\n",
        row.title,
        zones.join(" or "),
        facts.join(", "),
        row.delisting,
        row.note,
    );
    for KnownCode { code, most } in &row.codes {
        let most = match most {
            super::ListAction::Act => "",
            _ => ", never more",
        };
        let _ = writeln!(text, "| {code} | {} | `{}`{most} |", code.meaning, code.action.word());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_current() {
        let path =
            std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../docs/reference/blocklists.md";
        if std::env::var_os("TAMBO_WRITE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == page(),
            "docs/reference/blocklists.md is not current: run `make docs`"
        );
    }
}
