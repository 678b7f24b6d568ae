//! The shape of the tree, as ARCHITECTURE.md draws it: a map that nobody tests goes stale.

#![expect(clippy::unwrap_used, reason = "a tree that cannot be read is not tidy")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file before its tests.
const LINES_MAX: usize = 500;
/// Tables may be long.
const TABLES: [&str; 1] = ["relay-config/src/sections.rs"];

/// Stage → what it may use beside [`EVERYBODY`].
const IMPORTS: [(&str, &[&str]); 23] = [
    ("current", &[]),
    ("reload", &[]),
    ("message", &[]),
    ("metrics", &[]),
    ("outside", &[]),
    ("password", &[]),
    ("smtp", &[]),
    ("spool", &[]),
    ("wire", &[]),
    ("queue", &["spool"]),
    ("policy", &[]),
    ("compose", &[]),
    ("egress", &[]),
    ("smtp_in", &["policy", "queue"]),
    ("smtp_out", &[]),
    ("outcome", &["queue", "spool"]),
    ("suppression", &["spool"]),
    (
        "dispatch",
        &["compose", "queue", "egress", "smtp_out", "outcome", "policy", "spool", "suppression"],
    ),
    ("access", &["queue", "spool"]),
    ("admin", &["access", "compose"]),
    (
        "control",
        &[
            "admin",
            "compose",
            "dispatch",
            "egress",
            "outcome",
            "policy",
            "queue",
            "smtp_out",
            "spool",
            "suppression",
        ],
    ),
    ("web", &["access", "admin"]),
    ("cli", &["access", "admin", "app", "compose", "queue", "smtp_in", "spool"]),
];
const EVERYBODY: [&str; 7] =
    ["current", "message", "metrics", "outside", "password", "smtp", "wire"];

fn root() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Rust files of the tree with their paths from its root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let parts =
        ["mta", "relay-config", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", "fuzz/tests"];
    let mut folders = parts.map(|name| root().join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 80);
    found
}

#[test]
fn the_map_names_every_folder_and_only_those_there_are() {
    let map = read("ARCHITECTURE.md");
    let named: BTreeSet<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .filter(|name| name.contains('/'))
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect();
    for name in &named {
        assert!(root().join(name).exists(), "ARCHITECTURE.md names {name}, which is not there");
    }
    for parent in ["mta/src", "tests", "relay-config"] {
        for entry in std::fs::read_dir(root().join(parent)).unwrap().flatten() {
            let name = format!("{parent}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                assert!(named.contains(&name), "ARCHITECTURE.md does not name {name}");
            }
        }
    }
}

#[test]
fn stages_use_only_what_they_may() {
    for (name, text) in sources() {
        let Some(inside) = name.strip_prefix("mta/src/") else { continue };
        let stage = inside.split(['/', '.']).next().unwrap();
        let Some((_, may)) = IMPORTS.iter().find(|(known, _)| *known == stage) else {
            let anything = ["app", "lib", "main"].contains(&stage);
            assert!(anything, "{name}: the stage {stage} is not in the table of tests/tidy");
            continue;
        };
        if name.ends_with("/tests.rs") {
            continue;
        }
        let product = text.split("#[cfg(test)]").next().unwrap();
        let code: String = product
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        for used in code.split("crate::").skip(1) {
            let used: String =
                used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let fine =
                used == stage || EVERYBODY.contains(&used.as_str()) || may.contains(&used.as_str());
            assert!(fine, "{name} uses {used}, which {stage} may not");
        }
    }
}

#[test]
fn only_the_door_touches_the_world() {
    let banned = [
        "std::net::TcpStream",
        "TcpListener::",
        "UdpSocket",
        "SystemTime",
        "thread_rng",
        "rand::rng()",
    ];
    for (name, text) in sources() {
        let outside = name.starts_with("mta/src/outside/real/");
        if !name.starts_with("mta/src/") || outside || name == "mta/src/app.rs" {
            continue;
        }
        let product = text.split("#[cfg(test)]").next().unwrap();
        for word in banned {
            assert!(!product.contains(word), "{name} uses {word}; only outside/real may");
        }
    }
}

#[test]
fn files_open_with_what_they_are_for_and_stay_small() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} does not say what it is for");
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
        let table = TABLES.contains(&name.as_str());
        assert!(table || lines <= LINES_MAX, "{name} has {lines} lines: split it by meaning");
        for word in [["TO", "DO"], ["FIX", "ME"], ["X", "XX"]].map(|halves| halves.concat()) {
            let found = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|found| found == word);
            assert!(!found, "{name} has a {word}");
        }
    }
}

#[test]
fn the_changelog_has_an_open_section() {
    assert!(read("CHANGELOG.md").contains("\n## [Unreleased]\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
    {
        let text = read(document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !target.contains("://") {
                assert!(root().join(file).exists(), "{document} links to {target}");
            }
        }
    }
}

#[test]
fn the_readme_shows_a_configuration_that_is_valid() {
    let readme = read("README.md");
    let shown = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    match relay_config::load(shown, "README.md") {
        Ok(loaded) => assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings),
        Err(problems) => panic!("{problems:#?}"),
    }
}
