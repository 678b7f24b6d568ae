//! The table of providers, what the operator changes in it, and the hosts that prove it.

use super::builtin::builtin;
use super::limits::default_limits;
use super::resolve::unchanged;
use super::*;
use crate::load;

const FIXTURES: &str = include_str!("../../data/providers-fixtures.tsv");
const BASE: &str = "[server]\nhostname = \"relay.example.pe\"\n[[listener]]\nname = \"in\"\n\
    bind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[source]]\nname = \"one\"\n\
    address = \"127.0.0.2\"\nhelo = \"one.example.pe\"\n[[pool]]\nname = \"bulk\"\nsources = [\"one\"]\n";

/// The providers of a file that begins with `BASE`, and its warnings.
fn providers(text: &str) -> (Providers, Vec<String>) {
    let loaded = load(&format!("{BASE}{text}"), "t.toml").unwrap();
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    (loaded.config.providers, warnings)
}

fn name(found: Option<&Arc<Provider>>) -> Option<&str> {
    found.map(|provider| &*provider.name)
}

fn rows(limits: &SiteLimits) -> Vec<String> {
    let own = |row: &LimitRow<'_>| *row.origin != crate::Origin::Default;
    let shown = |row: LimitRow<'_>| format!("{} {} ({})", row.name, row.value, row.origin);
    limits.rows().into_iter().filter(own).map(shown).collect()
}

#[test]
fn every_fixture_falls_to_its_provider_and_every_suffix_has_one() {
    let providers = unchanged(&default_limits());
    let mut matched: Vec<String> = Vec::new();
    for line in FIXTURES.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [expected, source, hosts] = columns[..] else { panic!("{line}") };
        assert!(!source.is_empty(), "{line}");
        let hosts: Vec<&str> = hosts.split(' ').collect();
        assert_eq!(name(providers.of_hosts("example.org", &hosts)), Some(expected), "{line}");
        let own = &providers.get(expected).unwrap().mx.as_ref().unwrap().value;
        let used = own.iter().filter(|mx| hosts.iter().any(|host| mx.matches(host)));
        matched.extend(used.map(ToString::to_string));
    }
    for row in &builtin().providers {
        for suffix in &row.mx.value {
            assert!(matched.contains(&suffix.to_string()), "no fixture for {suffix}");
        }
    }
}

#[test]
fn all_hosts_must_match() {
    let providers = unchanged(&default_limits());
    let check = |hosts: &[&str], expected: Option<&str>| {
        assert_eq!(name(providers.of_hosts("example.org", hosts)), expected, "{hosts:?}");
    };
    check(&["aspmx.l.google.com", "aspmx2.googlemail.com"], Some("google"));
    check(&["aspmx.l.google.com", "mail.example.org"], None);
    check(&["mail.example.org", "aspmx.l.google.com"], None);
    check(&["aspmx.l.google.com", "example-org.mail.protection.outlook.com"], None);
    check(&["google.com"], None);
    check(&["mx.notgoogle.com"], None);
    check(&["aspmx.l.google.com.example.org"], None);
    check(&[], None);
    // A consumer host and a tenant's: the wider suffix does not take both, nor does the narrower.
    check(
        &["hotmail-com.olc.protection.outlook.com", "example-org.mail.protection.outlook.com"],
        None,
    );
}

#[test]
fn built_in_limits_are_those_that_are_known_and_the_others_everyones() {
    let providers = unchanged(&default_limits());
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(rows(providers.limits(Some(name), "bulk")), expected, "{name}");
    };
    check(
        "google",
        &[
            "connections 5 (built-in)",
            "connections_total 20 (built-in)",
            "messages_per_connection 50 (built-in)",
            "rate 1500/h (built-in)",
        ],
    );
    check(
        "apple",
        &[
            "connections 10 (built-in)",
            "connections_total 40 (built-in)",
            "messages_per_connection 5 (built-in)",
            "rate 300/h (built-in)",
        ],
    );
    check("proofpoint", &[]);
    check("nobody", &[]);
    let everyone = providers.limits(None, "bulk");
    assert_eq!(
        everyone.rows().map(|row| row.value.to_string()),
        ["2", "10", "none", "none", "20", "none", "none", "none", "none", "none"]
    );
}

#[test]
fn a_table_changes_only_what_it_writes() {
    let (providers, warnings) = providers(
        "[delivery.limits]\nper_day = 900\n[[provider]]\nname = \"google\"\n[provider.limits]\n\
         connections = 3\nrate = \"none\"\n[[provider]]\nname = \"google\"\npool = \"bulk\"\n\
         limits = { rate = \"60/m\" }\n",
    );
    assert_eq!(warnings, [""; 0]);
    let google = providers.get("google").unwrap();
    let common = [
        "connections 3 (t.toml:20)",
        "connections_total 20 (built-in)",
        "messages_per_connection 50 (built-in)",
        "rate none (t.toml:21)",
        "per_day 900 (t.toml:16)",
    ];
    assert_eq!(rows(google.common_limits()), common);
    assert_eq!(rows(google.limits("other-pool")), common);
    let bulk = rows(providers.limits(Some("google"), "bulk"));
    assert_eq!(bulk[3], "rate 60/m (t.toml:25)");
    assert_eq!(bulk[0], common[0]);
    assert_eq!(google.mx.as_ref().unwrap().value.len(), 2);
    assert_eq!(rows(providers.limits(None, "bulk")), ["per_day 900 (t.toml:16)"]);
}

#[test]
fn the_operators_come_first_and_domains_before_hosts() {
    let (providers, warnings) = providers(
        "[[provider]]\nname = \"tenant\"\nmx = [\"unsaac-edu-pe.mail.protection.outlook.com\"]\n\
         [[provider]]\nname = \"schools\"\ndomains = [\"*.edu.pe\", \"school.pe\"]\ntemplate = \"small-site\"\n\
         [provider.limits]\nrate_total = \"60/m\"\n\
         [[provider]]\nname = \"google\"\nmx = [\"*.google.com\"]\ndomains = [\"gmail.com\"]\n",
    );
    assert_eq!(warnings, [""; 0]);
    let check = |domain: &str, hosts: &[&str], expected: Option<&str>| {
        assert_eq!(name(providers.of_hosts(domain, hosts)), expected, "{domain} {hosts:?}");
    };
    check("unsaac.pe", &["unsaac-edu-pe.mail.protection.outlook.com"], Some("tenant"));
    check("uni.pe", &["uni-pe.mail.protection.outlook.com"], Some("office365"));
    check("uni.edu.pe", &["uni-edu-pe.mail.protection.outlook.com"], Some("schools"));
    check("school.pe", &[], Some("schools"));
    check("gmail.com", &["mx.example.pe"], Some("google"));
    // What is written for a built-in provider replaces its own.
    check("x.pe", &["aspmx2.googlemail.com"], None);
    assert_eq!(
        rows(providers.limits(Some("schools"), "bulk")),
        [
            "connections 2 (template small-site, t.toml:21)",
            "connections_total 2 (template small-site, t.toml:21)",
            "connections_per_minute_total 60 (template small-site, t.toml:21)",
            "messages_per_connection 20 (template small-site, t.toml:21)",
            "rate_total 60/m (t.toml:23)",
        ]
    );
}

#[test]
fn what_will_surprise_is_told() {
    let (_, warnings) = providers(
        "[[provider]]\nname = \"yahoo\"\nlimits = { connections = 100 }\n\
         [[provider]]\nname = \"aol\"\nmx = [\"*.yahoodns.net\"]\n",
    );
    assert_eq!(
        warnings,
        [
            "t.toml:17:1: provider.limits: 100 connections of one source, and 40 of all: 40 is the limit; \
             write `connections_total`, too",
            "t.toml:19:8: provider.mx: takes every host of the built-in provider `yahoo`; \
             write `name = \"yahoo\"` to change that one",
        ]
    );
}

#[test]
fn there_is_a_bound() {
    let many = |count: usize| -> String {
        let table = |i| format!("[[provider]]\nname = \"p{i}\"\nmx = [\"mx.p{i}.pe\"]\n");
        (0..count).map(table).collect::<Vec<_>>().concat()
    };
    let enough = many(100);
    assert_eq!(providers(&enough).0.iter().count(), 100 + builtin().providers.len());
    let errors = load(&format!("{BASE}{}", many(101)), "t.toml").unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["t.toml:315:1: provider: there are 101 providers; write at most 100"]);
}
