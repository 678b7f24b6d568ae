//! The command line on a machine where no relay runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::certificate::Certificate;

fn tambo(words: &[&str], config: &Path) -> (bool, String, String) {
    let done = Command::new(tests::program("tambo"))
        .args(words)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

const GOOD: &str = "[server]\nhostname = \"relay.example.pe\"\n[[listener]]\nname = \"relay\"\nbind = [\"127.0.0.1:0\"]\n\
     tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n";

#[test]
fn check_tells_every_mistake_with_its_place_and_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tambo.toml");
    std::fs::write(&config, GOOD).unwrap();
    let (good, said, _) = tambo(&["check"], &config);
    assert!(good && said.ends_with("tambo.toml is good\n"), "{said}");
    std::fs::write(&config, GOOD.replace("bind =", "bnid =").replace("10.0.0.0/8", "10.0.0.1/8"))
        .unwrap();
    let (good, _, why) = tambo(&["check"], &config);
    assert!(!good);
    for wanted in [
        "tambo.toml:5:1: listener.bnid: ",
        "did you mean `bind`?",
        "tambo.toml:7:15: ",
        "3 mistakes in ",
    ] {
        assert!(why.contains(wanted), "{wanted} in\n{why}");
    }
    let (good, _, why) = tambo(&["serve"], &config);
    assert!(!good && why.contains("3 mistakes"), "it does not start either: {why}");
    let (good, _, why) = tambo(&["check"], &folder.path().join("nowhere.toml"));
    assert!(!good && why.contains("--config"), "{why}");
}

#[test]
fn check_tells_what_the_machine_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tambo.toml");
    let (chain, _) = Certificate::new(&["relay.example.pe"]).write(folder.path());
    let (_, other) = {
        let other = folder.path().join("other");
        std::fs::create_dir(&other).unwrap();
        Certificate::new(&["relay.example.pe"]).write(&other)
    };
    let text = format!(
        "{}[tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n[[source]]\nname = \"ip-01\"\naddress = \"192.0.2.77\"\nhelo = \"m01.example.pe\"\n",
        GOOD.replace("\"off\"", "\"starttls\""),
        chain.display(),
        other.display()
    );
    std::fs::write(&config, text).unwrap();
    let (good, _, why) = tambo(&["check"], &config);
    assert!(!good && why.contains("ip address add 192.0.2.77/32"), "{why}");
    assert!(why.contains("[tls]: certificate and private key cannot be used"), "{why}");
}

#[test]
fn a_password_becomes_a_hash_that_the_configuration_takes() {
    let mut child = Command::new(tests::program("tambo"))
        .arg("password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"secreto\n").unwrap();
    let done = child.wait_with_output().unwrap();
    let hash = String::from_utf8(done.stdout).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tambo.toml");
    std::fs::write(
        &config,
        format!("{GOOD}[[account]]\nname = \"a\"\npassword_hash = \"{}\"\n", hash.trim()),
    )
    .unwrap();
    let (good, _, why) = tambo(&["check"], &config);
    assert!(good, "{why}");
}

#[test]
fn config_show_tells_what_is_in_force_and_who_decided_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tambo.toml");
    let text = format!(
        "{GOOD}[[source]]\nname = \"one\"\naddress = \"127.0.0.1\"\nhelo = \"m.example.pe\"\n\
         [[pool]]\nname = \"bulk\"\nsources = [\"one\"]\nwarm_up = true\n[delivery]\npool = \"bulk\"\n\
         [[provider]]\nname = \"google\"\n[provider.limits]\nconnections = 3\n\
         [[provider]]\nname = \"google\"\npool = \"bulk\"\n[provider.limits]\nper_day = 900\n\
         [[provider]]\nname = \"casa\"\nmx = [\"*.casa.pe\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    let (good, said, _) = tambo(&["config", "show", "--provider", "google"], &config);
    assert!(good, "{said}");
    let row = |name: &str| {
        let words: Vec<&str> = said
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} is not in\n{said}"))
            .split_whitespace()
            .collect();
        words[1..].join(" ")
    };
    let at = |line: usize| format!("{}:{line}", config.display());
    assert_eq!(row("connections "), format!("3 {}", at(21)));
    assert_eq!(row("per_day "), format!("900 {}", at(26)));
    assert_eq!(row("rate "), "1500/h built-in");
    assert_eq!(row("rate_total "), "none default");
    assert!(
        said.contains("a cold source of the pool bulk sends 50 a day there at first"),
        "{said}"
    );
    assert!(said.contains("tambo sources show"), "{said}");

    let (good, said, _) = tambo(&["config", "show", "--provider", "casa", "--json"], &config);
    assert!(good, "{said}");
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["mx"]["value"][0], "*.casa.pe");
    assert_eq!(shown["limits"]["connections"]["value"], 2);
    assert_eq!(shown["limits"]["connections"]["from"], "default");
    assert_eq!(shown["warm_up"]["caps"][0], 25);
    let domain = ["config", "show", "--domain", "b.pe", "--mx", "mx.casa.pe", "--json"];
    let (_, said, _) = tambo(&domain, &config);
    let of_hosts: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(of_hosts["provider"], "casa");
    let (good, all, _) = tambo(&["config", "show"], &config);
    assert!(good && all.contains("everyone who is no known provider"), "{all}");
    for (words, wanted) in [
        (&["config", "show", "--provider", "gogle"][..], "there is no provider of that name"),
        (
            &["config", "show", "--pool", "x"][..],
            "there is no pool of that name; write one of: bulk",
        ),
    ] {
        let (good, _, why) = tambo(words, &config);
        assert!(!good && why.contains(wanted), "{why}");
    }
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tambo.toml");
    let script = folder.path().join("tambo.bash");
    let (good, said, _) = tambo(&["completions", "bash"], &config);
    assert!(good && said.contains("tambo__subcmd__queue__subcmd__hold"), "{said}");
    std::fs::write(&script, said).unwrap();
    let read = Command::new("bash").arg("-n").arg(&script).status().unwrap();
    assert!(read.success(), "bash can read it");
    let pages = folder.path().join("man");
    let (good, _, told) = tambo(&["man", &pages.display().to_string()], &config);
    assert!(good && told.contains("tambo.1"), "{told}");
    for page in ["tambo.1", "tambo-queue-hold.1", "tambo-sources-swap.1", "tambo-suppression-add.1"]
    {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH DESCRIPTION"), "{page}: {text}");
    }
}
