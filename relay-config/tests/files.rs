//! Whole files: those that are wrong and every message they give, and the examples.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::path::{Path, PathBuf};

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// `TAMBO_WRITE_DOCS=1 cargo test` writes what is expected; the difference is read by people.
#[test]
fn bad_files_say_what_is_wrong_and_how_to_mend_it() {
    for path in toml_files("testdata/bad") {
        let text = std::fs::read_to_string(&path).unwrap();
        let errors =
            relay_config::load(&text, "tambo.toml").expect_err(&path.display().to_string());
        let mut found = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        found.push('\n');
        let beside = path.with_extension("expected");
        if std::env::var_os("TAMBO_WRITE_DOCS").is_some() {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(found, expected, "{}", path.display());
    }
}

#[test]
fn examples_are_valid_and_say_nothing_surprising() {
    for path in toml_files("../examples") {
        let text = std::fs::read_to_string(&path).unwrap();
        match relay_config::load(&text, &path.display().to_string()) {
            Ok(loaded) => assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings),
            Err(errors) => panic!("{errors:#?}"),
        }
    }
}

#[test]
fn good_files_are_valid_and_say_nothing_surprising() {
    for path in toml_files("testdata/good") {
        // The contract has keys of later versions, which are told.
        if path.ends_with("contract.toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut loaded = relay_config::load(&text, &path.display().to_string()).unwrap();
        loaded.warnings.retain(|it| it.problem.message != "has no effect yet in this version");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

/// Every key of the design's contract is accepted, those of later versions with a warning.
#[test]
fn the_whole_contract_is_accepted() {
    let text = std::fs::read_to_string(
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap())
            .join("testdata/good/contract.toml"),
    )
    .unwrap();
    match relay_config::load(&text, "contract.toml") {
        Ok(loaded) => {
            let warned: Vec<&str> =
                loaded.warnings.iter().map(|warning| warning.problem.key.as_str()).collect();
            let later = [
                "source.warm_since",
                "pool.warm_up",
                "pool.send_window",
                "pool.rotation",
                "provider",
                "blocklist",
            ];
            assert_eq!(warned, later);
            assert_eq!(loaded.config.routes.iter().count(), 1);
            assert_eq!(&*loaded.config.delivery.pool, "bulk");
            let key = &loaded.config.dkim[0];
            assert_eq!(key.record_name(), "s2026a._domainkey.example.pe");
            assert_eq!(key.place.to_string(), "contract.toml:75:15");
            let google = loaded.config.providers.limits(Some("google"), "bulk");
            assert_eq!(google.connections_total.origin.to_string(), "contract.toml:83");
        }
        Err(errors) => panic!("{errors:#?}"),
    }
}
