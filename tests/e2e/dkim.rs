//! DKIM: what leaves verifies with dkimpy and `OpenDKIM`, whatever it looks like; what was tampered
//! with does not. Keys are made with `tambo dkim keygen`; the verifiers get what it prints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tests::corpus::{corpus, is_whole, odd_corpus};
use tests::dkim::{Verdict, verify};
use tests::mx::{Behaviour, MxHost};
use tests::relay::eventually;

use super::world::{World, delivery, message, mx_ip, mx_port};

const SENDER: &str = "ana@institucion.example";

/// A key as `tambo dkim keygen` made it.
pub struct Key {
    name: String,
    record: String,
    path: PathBuf,
    /// Its part of the configuration.
    pub section: String,
}

impl Key {
    pub fn new(folder: &Path, domain: &str, selector: &str, algorithm: &str) -> Self {
        let path = folder.join(format!("{selector}.pem"));
        let words = ["--domain", domain, "--selector", selector, "--algorithm", algorithm];
        let made = Command::new(tests::program("tambo"))
            .args(["dkim", "keygen", "--json", "--out"])
            .arg(&path)
            .args(words)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let section = format!(
            "[[dkim]]\ndomain = \"{domain}\"\nselector = \"{selector}\"\nprivate_key = \"{}\"\n",
            path.display()
        );
        Self { name: text("name"), record: text("value"), path, section }
    }

    pub fn record(&self) -> (String, String) {
        (self.name.clone(), self.record.clone())
    }
}

fn passes(selector: &str, algorithm: &str) -> Verdict {
    Verdict { selector: selector.to_owned(), algorithm: algorithm.to_owned(), pass: true }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A relay that signs with these keys, and servers on 127.0.1.`first` and those after it.
async fn signing(keys: &[&Key], first: u8, behaviours: Vec<Behaviour>) -> (World, Vec<MxHost>) {
    let last = first + u8::try_from(behaviours.len()).unwrap();
    let port = mx_port(first..last);
    let (mut hosts, mut zone) = (Vec::new(), String::new());
    for (number, (letter, behaviour)) in (first..last).zip(('a'..).zip(behaviours)) {
        hosts.push(MxHost::start(SocketAddr::new(mx_ip(number), port), behaviour));
        zone.push_str(&format!(
            "{letter}.example MX 10 mx.{letter}.example\nmx.{letter}.example A 127.0.1.{number}\n"
        ));
    }
    zone.push_str(&format!("institucion.example MX 10 mx.a.example\nx A 127.0.1.{first}\n"));
    let sections: String = keys.iter().map(|key| key.section.as_str()).collect();
    (World::start(&zone, port, &sections).await, hosts)
}

#[tokio::test]
async fn a_varied_corpus_verifies_with_two_implementations_and_is_signed_once() {
    let folder = tempfile::tempdir().unwrap();
    let rsa = Key::new(folder.path(), "institucion.example", "r2026", "rsa");
    let ed25519 = Key::new(folder.path(), "institucion.example", "e2026", "ed25519");
    let behaviours = vec![Behaviour::default(), Behaviour::default()];
    let (world, hosts) = signing(&[&rsa, &ed25519], 210, behaviours).await;
    let corpus: Vec<_> = corpus().into_iter().chain(odd_corpus()).collect();
    let mut client = world.client().await;
    for (name, message) in &corpus {
        let sent = client.deliver(SENDER, &["u@a.example", "u@b.example"], message).await;
        sent.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    eventually("all arrive", async || {
        hosts.iter().all(|host| host.count() == corpus.len()).then_some(())
    })
    .await;
    let records = [rsa.record(), ed25519.record()];
    let both = [passes("r2026", "rsa-sha256"), passes("e2026", "ed25519-sha256")];
    let taken: Vec<Vec<u8>> =
        hosts.iter().flat_map(MxHost::taken).map(|taken| taken.data).collect();
    for (message, verdicts) in taken.iter().zip(verify(&taken, &records)) {
        let head = text(&message[..message.len().min(3000)]);
        assert_eq!(verdicts, both, "{head}");
        let second = head.split("\r\n").find(|line| !line.starts_with(['\t', ' ', 'R']));
        assert!(second.unwrap().starts_with("DKIM-Signature: v=1; "), "below Received: {head}");
    }
    for (name, message) in &corpus {
        let copies = taken.iter().filter(|copy| is_whole(copy, message)).count();
        assert_eq!(copies, 2, "{name}");
    }
    let made = corpus.len() as u64;
    for algorithm in ["rsa", "ed25519"] {
        let name = format!("tambo_dkim_signatures_total{{algorithm=\"{algorithm}\"}}");
        assert_eq!(world.relay.metric(&name).await, made, "once for both destinations");
    }
    tampered_ones_fail(&taken, &records);
    assert!(world.relay.stop().await);
}

/// What would change the meaning breaks each signature; what servers do on the way does not.
fn tampered_ones_fail(taken: &[Vec<u8>], records: &[(String, String)]) {
    let with = |needle: &str| {
        let found = taken.iter().map(|message| text(message)).find(|text| text.contains(needle));
        found.unwrap_or_else(|| panic!("{needle}"))
    };
    let unsubscribe = "List-Unsubscribe-Post: ";
    let (plain, list) = (with("Subject: text\r\n"), with(unsubscribe));
    let change = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let above = |text: &str, field: &str| format!("{field}\r\n{text}").into_bytes();
    let bad = vec![
        change(&plain, "\r\nHola.", "\r\nChau."),
        format!("{plain}mas\r\n").into_bytes(),
        change(&plain, "Subject: text", "Subject: texto"),
        above(&plain, "From: Otra <otra@otra.example>"),
        above(&plain, "Subject: otro"),
        above(&plain, "Reply-To: otra@otra.example"),
        above(&plain, "Content-Type: text/html"),
        above(&plain, "Cc: otra@otra.example"),
        change(&list, unsubscribe, "X-Was: "),
        change(&list, "baja?u=1", "baja?u=2"),
        above(&list, "List-Unsubscribe: <https://otra.example>"),
    ];
    for (message, verdicts) in bad.iter().zip(verify(&bad, records)) {
        assert_eq!(verdicts.len(), 2);
        assert!(verdicts.iter().all(|verdict| !verdict.pass), "{}", text(message));
    }
    let harmless = vec![
        above(&plain, "Received: from x by y; Tue, 24 Nov 2026 08:00:00 -0500"),
        change(&plain, "Subject: text", "subject:\r\n\ttext  "),
        change(&plain, "Hola.\r\n", "Hola.  \r\n"),
        format!("{plain}\r\n \r\n").into_bytes(),
        above(&plain, "List-Id: <added.example>"),
    ];
    for (message, verdicts) in harmless.iter().zip(verify(&harmless, records)) {
        assert!(verdicts.iter().all(|verdict| verdict.pass), "{}", text(message));
    }
}

#[tokio::test]
async fn from_chooses_the_keys_and_what_nobody_signs_for_goes_without() {
    let folder = tempfile::tempdir().unwrap();
    let above = Key::new(folder.path(), "institucion.example", "arriba", "rsa");
    let below = Key::new(folder.path(), "notas.institucion.example", "abajo", "ed25519");
    let refusing = Behaviour { refuse: Some("nadie".to_owned()), ..Behaviour::default() };
    let (world, hosts) = signing(&[&above, &below], 212, vec![refusing]).await;
    let mail = |from: &str| format!("From: {from}\r\nSubject: x\r\n\r\nHola.\r\n").into_bytes();
    let check = async |from: &str, expected: &[Verdict]| {
        let before = hosts[0].count();
        world.send(SENDER, &["u@a.example"], &mail(from)).await;
        eventually("it arrives", async || (hosts[0].count() > before).then_some(())).await;
        let message = hosts[0].taken().pop().unwrap().data;
        let records = [above.record(), below.record()];
        assert_eq!(verify(&[message], &records), [expected], "{from}");
    };
    let (above_signs, below_signs) =
        (passes("arriba", "rsa-sha256"), passes("abajo", "ed25519-sha256"));
    check("ana@institucion.example", std::slice::from_ref(&above_signs)).await;
    check("Acto <acto@ACTO.Institucion.example>", std::slice::from_ref(&above_signs)).await;
    check("a@notas.institucion.example", std::slice::from_ref(&below_signs)).await;
    check("a@x.notas.institucion.example", &[below_signs]).await;
    check("ana@otra.example", &[]).await;
    check("ana@example", &[]).await;
    let before = hosts[0].count();
    world.send(SENDER, &["u@a.example"], b"Subject: nobody\r\n\r\nx\r\n").await;
    eventually("it arrives", async || (hosts[0].count() > before).then_some(())).await;
    assert!(!text(&hosts[0].taken().pop().unwrap().data).contains("DKIM-Signature"));
    for (reason, count) in [("no_key", 2), ("no_from", 1)] {
        let name = format!("tambo_dkim_unsigned_total{{reason=\"{reason}\"}}");
        assert_eq!(world.relay.metric(&name).await, count, "{reason}");
    }
    // Notices are from relay.institucion.example.
    world.send(SENDER, &["nadie@a.example"], &message("refused")).await;
    let notice = eventually("the sender is told", async || {
        hosts[0].taken().into_iter().find(|taken| taken.sender.is_empty())
    })
    .await;
    assert!(text(&notice.data).contains("From: Mail Delivery System <MAILER-DAEMON@relay."));
    assert_eq!(verify(&[notice.data], &[above.record()]), [[above_signs]]);
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn what_is_encoded_for_a_server_of_seven_bits_is_signed_as_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(folder.path(), "institucion.example", "s1", "rsa");
    let seven = Behaviour { seven_bit: true, ..Behaviour::default() };
    let (world, hosts) = signing(&[&key], 216, vec![Behaviour::default(), seven]).await;
    let corpus: Vec<_> = corpus().into_iter().chain(odd_corpus()).collect();
    let wanted = ["eight bit", "8-bit octets that are no UTF-8", "multipart"];
    for (_, message) in corpus.iter().filter(|(name, _)| wanted.contains(name)) {
        world.send(SENDER, &["u@a.example", "u@b.example"], message).await;
    }
    eventually("all arrive", async || {
        hosts.iter().all(|host| host.count() == wanted.len()).then_some(())
    })
    .await;
    let taken: Vec<Vec<u8>> =
        hosts.iter().flat_map(MxHost::taken).map(|taken| taken.data).collect();
    assert!(taken[..3].iter().all(|message| !message.is_ascii()));
    assert!(taken[3..].iter().all(|message| message.is_ascii()));
    for verdicts in verify(&taken, &[key.record()]) {
        assert_eq!(verdicts, [passes("s1", "rsa-sha256")]);
    }
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_signature_is_kept_for_the_next_attempt_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(folder.path(), "institucion.example", "s1", "rsa");
    let greylisting = Behaviour { greylist: true, ..Behaviour::default() };
    let behaviours = vec![greylisting.clone(), greylisting];
    let port_and_terms = |text: &str| text.replace("retry = [\"1s\"]", "retry = [\"1h\"]");
    let (world, hosts) = signing(&[&key], 214, behaviours).await;
    let old = std::fs::read_to_string(&world.config).unwrap();
    assert!(old.contains("retry = [\"1s\"]"), "{}", delivery(0));
    std::fs::write(&world.config, port_and_terms(&old)).unwrap();
    let world = world.restart().await;
    let signatures = "tambo_dkim_signatures_total{algorithm=\"rsa\"}";
    let id = world.send(SENDER, &["u@a.example", "u@b.example"], &message("grey")).await;
    eventually("both are deferred", async || {
        let waiting = world.relay.ask(&["queue", "list"]).await;
        let states = waiting.as_array().unwrap().iter().map(|row| row["state"].clone());
        (states.filter(|state| state == "deferred").count() == 2).then_some(())
    })
    .await;
    assert_eq!(world.relay.metric(signatures).await, 1);
    // The key is gone; what was signed goes out all the same.
    let other = Key::new(folder.path(), "otra.example", "s2", "rsa");
    std::fs::write(&world.config, port_and_terms(&old).replace(&key.section, &other.section))
        .unwrap();
    let world = world.restart().await;
    let (done, _, error) = world.relay.run(&["queue", "retry", &id]).await;
    assert!(done, "{error}");
    eventually("both arrive", async || hosts.iter().all(|host| host.count() == 1).then_some(()))
        .await;
    let taken: Vec<_> = hosts.iter().map(|host| host.taken().pop().unwrap().data).collect();
    assert_eq!(taken[0], taken[1]);
    let good = vec![passes("s1", "rsa-sha256")];
    assert_eq!(verify(&taken, &[key.record()]), [good.clone(), good]);
    assert_eq!(world.relay.metric(signatures).await, 0, "not signed again");
    assert!(world.relay.stop().await);
}

#[tokio::test]
async fn a_reload_takes_new_keys_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = Key::new(folder.path(), "institucion.example", "s1", "rsa");
    let second = Key::new(folder.path(), "institucion.example", "s2", "rsa");
    let (world, hosts) = signing(&[&first], 218, vec![Behaviour::default()]).await;
    let records = [first.record(), second.record()];
    let signs = async |subject: &str| {
        let before = hosts[0].count();
        world.send(SENDER, &["u@a.example"], &message(subject)).await;
        eventually("it arrives", async || (hosts[0].count() > before).then_some(())).await;
        let verdicts = verify(&[hosts[0].taken().pop().unwrap().data], &records);
        assert!(verdicts[0].iter().all(|verdict| verdict.pass), "{verdicts:?}");
        verdicts[0].iter().map(|verdict| verdict.selector.clone()).collect::<Vec<_>>()
    };
    assert_eq!(signs("one").await, ["s1"]);
    let text = std::fs::read_to_string(&world.config).unwrap();
    let with = |keys: &str| {
        std::fs::write(&world.config, text.replace(&first.section, keys)).unwrap();
        kill(world.relay.pid(), Signal::SIGHUP).unwrap();
    };
    with(&format!("{}{}", first.section, second.section));
    eventually("both keys sign", async || (signs("two").await == ["s1", "s2"]).then_some(())).await;
    // A file that is no key any more.
    std::fs::write(&first.path, "nonsense").unwrap();
    with(&first.section);
    let (good, _, error) = world.relay.run(&["check"]).await;
    assert!(!good);
    let place = format!("tambo.toml:{}:15: dkim.private_key: ", line_of(&world.config, "s1.pem"));
    assert!(error.contains(&place) && error.contains("holds no private key in PEM"), "{error}");
    for _ in 0..5 {
        assert_eq!(signs("three").await, ["s1", "s2"]);
    }
    with(&second.section);
    eventually("the new key signs alone", async || (signs("four").await == ["s2"]).then_some(()))
        .await;
    assert!(world.relay.stop().await);
}

fn line_of(path: &Path, needle: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    1 + text.lines().position(|line| line.contains(needle)).unwrap()
}

#[test]
fn keygen_makes_keys_and_never_replaces_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.pem");
    let run = |words: &[&str]| {
        let done = Command::new(tests::program("tambo")).args(words).output().unwrap();
        (done.status.success(), text(&done.stdout), text(&done.stderr))
    };
    let out = path.to_str().unwrap();
    let keygen = ["dkim", "keygen", "--domain", "Peñaranda.pe", "--selector", "S1", "--out", out];
    let (done, said, error) = run(&keygen);
    assert!(done, "{error}");
    let name = "s1._domainkey.xn--pearanda-e3a.pe. IN TXT ( \"v=DKIM1; k=rsa; p=MIIBIjAN";
    assert!(said.contains(name), "{said}");
    let strings: Vec<&str> = said.split('"').skip(1).step_by(2).take(2).collect();
    assert_eq!(strings[0].len(), 255);
    let section = format!(
        "[[dkim]]\ndomain = \"xn--pearanda-e3a.pe\"\nselector = \"s1\"\nprivate_key = \"{out}\"\n"
    );
    assert!(said.ends_with(&section), "{said}");
    let made = std::fs::read(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (done, _, error) = run(&keygen);
    assert!(!done && error.contains("k.pem is there already; name another file"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), made);

    // `record` tells the same of the key in the configuration, and `check` warns of its mode.
    let config = folder.path().join("tambo.toml");
    let head = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:0\"]\n\
                tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n";
    std::fs::write(&config, format!("{head}{section}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = config.to_str().unwrap();
    let (done, said, error) = run(&["dkim", "record", "--config", config, "--json"]);
    assert!(done && error.contains("is open to everybody"), "{error}");
    let records: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(records[0]["strings"][0], strings[0]);
    assert_eq!(records[0]["value"], strings.concat());
    assert_eq!(records[0]["name"], "s1._domainkey.xn--pearanda-e3a.pe");
    let (done, _, error) = run(&["check", "--config", config]);
    assert!(done && error.contains("warning: "), "{error}");
    std::fs::remove_file(&path).unwrap();
    let (done, _, error) = run(&["check", "--config", config]);
    let wanted = format!("{config}:11:15: dkim.private_key: {out} is not there; make it with");
    assert!(!done && error.contains(&wanted), "{error}");
    for (words, why) in [
        (&["--domain", "x..pe", "--selector", "s"][..], "--domain is no host name"),
        (&["--domain", "x.pe", "--selector", "s_1"], "--selector is no selector"),
        (&["--domain", "x.pe", "--selector", "s", "--bits", "1024"], "possible values: 2048"),
        (
            &["--domain", "x.pe", "--selector", "s", "--algorithm", "ed25519", "--bits", "2048"],
            "--bits is for RSA keys only",
        ),
    ] {
        let (done, _, error) = run(&[&["dkim", "keygen", "--out", out], words].concat());
        assert!(!done && error.contains(why) && !path.exists(), "{error}");
    }
}
