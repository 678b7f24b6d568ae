//! Whole files: those that are wrong and every message they give, and the examples.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::path::{Path, PathBuf};

use relay_config::config::{GatewayProtocol, Rotation, SendWindow, WarmUpSchedule, Warmth};

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
        let loaded = relay_config::load(&text, &path.display().to_string()).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

fn good(name: &str) -> relay_config::Config {
    let path = format!("{}/testdata/good/{name}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    relay_config::load(&std::fs::read_to_string(path).unwrap(), name).unwrap().config
}

#[test]
fn warm_up_windows_and_swap_are_as_written() {
    let config = good("warm-up.toml");
    let warmth: Vec<Warmth> = config.sources.iter().map(|source| source.warmth).collect();
    let since = jiff::civil::date(2026, 1, 15);
    assert_eq!(warmth, [Warmth::Warm, Warmth::Since(since), Warmth::Cold]);
    let [bulk, letters, reports] = &config.pools[..] else { panic!("{:?}", config.pools) };
    assert_eq!(bulk.warm_up, Some(WarmUpSchedule::built_in()));
    assert_eq!(bulk.send_window.to_string(), "08:00-20:00 America/Lima");
    let gentle = letters.warm_up.as_ref().unwrap();
    assert_eq!(gentle.caps_at(Some("ministry"))[..], [15, 20, 30, 33, 37, 41]);
    // Half of what is written, each grown by itself.
    assert_eq!(gentle.caps_at(Some("yahoo"))[..], [8, 10, 15, 17, 19, 21]);
    assert_eq!(gentle.deferrals_at(Some("office365")).to_string(), "0.25%");
    assert_eq!(
        (gentle.deferrals_at(None).to_string(), gentle.bounces.to_string()),
        ("1%".into(), "1.5%".into())
    );
    assert_eq!((bulk.rotation, letters.rotation), (Rotation::Adaptive, Rotation::RoundRobin));
    assert_eq!((&reports.warm_up, &reports.send_window), (&None, &SendWindow::ALWAYS));
    assert_eq!(reports.rotation, Rotation::Adaptive, "a file that says nothing");
    let swap = &config.swap;
    assert!(!swap.automatic);
    assert_eq!((swap.blamed_sites, swap.most_in_a_day(30)), (2, 3));
    let hours = [swap.within, swap.clean_for].map(|it| it.as_secs() / 3600);
    assert_eq!(hours, [12, 48]);
}

#[test]
fn what_will_surprise_of_a_schedule_is_told() {
    let path =
        format!("{}/testdata/good/warm-up.toml", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let text = std::fs::read_to_string(path).unwrap().replace("warm_up = \"gentle\"", "");
    let loaded = relay_config::load(&text, "t.toml").unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "t.toml:51:8: warm_up.name: no pool warms up like this; write `warm_up = \"gentle\"` in a [[pool]]"
        ]
    );
}

/// Every key of the design's contract is accepted.
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
            assert_eq!(warned, [""; 0]);
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

#[test]
fn sources_behind_gateways_are_as_written() {
    let config = good("via.toml");
    let via = |name: &str| {
        let source = config.sources.iter().find(|source| &*source.name == name).unwrap();
        source.via.clone()
    };
    let shown = |name: &str| via(name).map(|gateway| gateway.to_string());
    assert_eq!(shown("here"), None);
    assert_eq!(shown("socks").unwrap(), "socks5://10.0.0.5:1080");
    assert_eq!(shown("socks-with-password").unwrap(), "socks5://[2001:db8::5]:1080");
    assert_eq!(shown("header").unwrap(), "haproxy://10.0.0.5:2525");
    assert_eq!(via("socks").unwrap().protocol, GatewayProtocol::Socks5 { credentials: None });
    let GatewayProtocol::Socks5 { credentials: Some(credentials) } =
        via("socks-with-password").unwrap().protocol
    else {
        panic!("{config:?}")
    };
    assert_eq!(credentials.username, "ip-13");
    assert_eq!(credentials.password_file, Path::new("/etc/tambo/gateway.pw"));
    assert_eq!(via("header").unwrap().protocol, GatewayProtocol::ProxyHeader);
}
