//! What answers mean, what is known of lists, and what a file may say.

use super::builtin::builtin;
use super::*;
use crate::load;

const BASE: &str = "[server]\nhostname = \"relay.example.pe\"\n[[listener]]\nname = \"in\"\n\
    bind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n[[blocklist]]\n";

fn list(text: &str) -> Arc<Blocklist> {
    let loaded = load(&format!("{BASE}{text}"), "t.toml").unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    Arc::clone(&loaded.config.blocklists[0])
}

/// What it is, in short: `act 127.0.0.2 127.0.0.3: SBL, CSS`.
fn read(list: &Blocklist, answers: &str) -> String {
    let answers: Vec<Ipv4Addr> =
        answers.split_whitespace().map(|answer| answer.parse().unwrap()).collect();
    match list.read(&answers) {
        Reading::Clear => "clear".to_owned(),
        Reading::Unknown(why) => format!("unknown: {why}"),
        Reading::Listed(Listing { answers, meanings, action }) => {
            let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
            let first_word = |meaning: &Arc<str>| meaning.split(':').next().unwrap().to_owned();
            let meanings: Vec<String> = meanings.iter().map(first_word).collect();
            format!("{} {}: {}", action.word(), answers.join(" "), meanings.join(", "))
        }
    }
}

#[test]
fn answers_of_zen() {
    let zen = list("zone = \"zen.spamhaus.org\"");
    for (answers, expected) in [
        ("", "clear"),
        ("127.0.0.2", "act 127.0.0.2: SBL"),
        ("127.0.0.3", "act 127.0.0.3: CSS"),
        ("127.0.0.4", "act 127.0.0.4: XBL"),
        ("127.0.0.7", "act 127.0.0.7: XBL"),
        ("127.0.0.9 127.0.0.2 127.0.0.2", "act 127.0.0.2 127.0.0.9: SBL, DROP"),
        ("127.0.0.4 127.0.0.5", "act 127.0.0.4 127.0.0.5: XBL"),
        ("127.0.0.10", "warn 127.0.0.10: PBL"),
        ("127.0.0.11 127.0.0.3", "act 127.0.0.3 127.0.0.11: CSS, PBL"),
        ("127.0.0.99 127.0.0.11", "warn 127.0.0.11: PBL"),
        ("127.0.0.8", "unknown: 127.0.0.8 is no answer that counts as a listing"),
        ("127.0.0.1", "unknown: 127.0.0.1 is no answer that counts as a listing"),
        ("127.255.255.255 127.0.0.2", "unknown: 127.255.255.255: asked too often: it refuses us"),
        ("127.255.255.252", "unknown: 127.255.255.252: the zone is misspelt"),
        ("127.255.255.7", "unknown: 127.255.255.7: an error"),
        (
            "127.255.255.254",
            "unknown: 127.255.255.254: asked through a public resolver, which it refuses: use one of your own",
        ),
        (
            "203.0.113.9",
            "unknown: 203.0.113.9: not an answer of a list (RFC 5782 section 2.1): somebody else answers in its place",
        ),
    ] {
        assert_eq!(read(&zen, answers), expected, "{answers}");
    }
}

#[test]
fn answers_that_are_sums() {
    let uribl = list("zone = \"multi.uribl.com\"");
    for (answers, expected) in [
        ("127.0.0.2", "act 127.0.0.2: black"),
        ("127.0.0.14", "act 127.0.0.14: black, grey, red"),
        ("127.0.0.8", "inform 127.0.0.8: red"),
        ("127.0.0.1", "unknown: 127.0.0.1: it refuses to answer us"),
        ("127.0.0.16", "unknown: 127.0.0.16 is no answer that counts as a listing"),
        ("127.0.1.2", "unknown: 127.0.1.2 is no answer that counts as a listing"),
    ] {
        assert_eq!(read(&uribl, answers), expected, "{answers}");
    }
    let surbl = list("zone = \"multi.surbl.org\"\nlisted = [\"127.0.0.8\", \"127.0.0.32\"]");
    assert_eq!(read(&surbl, "127.0.0.40"), "act 127.0.0.40: PH, listed");
    assert!(read(&surbl, "127.0.0.64").starts_with("unknown"));
}

#[test]
fn what_is_not_written_is_known_or_usual() {
    let zen = list("zone = \"ZEN.Spamhaus.org.\"");
    assert_eq!((&*zen.name, zen.ipv6, zen.of), ("zen.spamhaus.org", true, ListOf::Addresses));
    assert_eq!((zen.every, zen.confirm_after), (Duration::from_mins(15), Duration::from_mins(5)));
    assert_eq!(zen.delisting.as_deref(), Some("https://check.spamhaus.org/"));
    let dbl = list("zone = \"{key}.dbl.dq.spamhaus.net\"\nkey_file = \"/k\"");
    assert_eq!((&*dbl.name, &*dbl.zone), ("dbl.dq.spamhaus.net", "{key}.dbl.dq.spamhaus.net"));
    assert_eq!(dbl.key.as_ref().unwrap().place.to_string(), "t.toml:10:12");
    assert_eq!((dbl.of, dbl.test.as_deref()), (ListOf::Domains, Some("dbltest.com")));
    assert_eq!(
        read(&dbl, "127.0.1.255"),
        "unknown: 127.0.1.255 is no answer that counts as a listing"
    );
    let zrd = list("zone = \"{key}.zrd.dq.spamhaus.net\"\nkey_file = \"/k\"");
    assert_eq!(zrd.test, None);
    let own = list("zone = \"bl.example.pe\"");
    assert_eq!((own.test.as_deref(), own.every), (Some("127.0.0.2"), Duration::from_mins(15)));
    assert_eq!((own.ipv6, own.bitmask, own.delisting.as_ref()), (true, false, None));
    assert_eq!(read(&own, "127.0.0.2"), "act 127.0.0.2: listed");
    assert!(read(&own, "127.0.0.3").starts_with("unknown"));
    let domains = list("zone = \"bl.example.pe\"\nof = \"domains\"");
    assert_eq!((domains.test.as_deref(), domains.every), (Some("test"), Duration::from_hours(1)));
}

#[test]
fn what_is_written_holds() {
    let own = list(
        "zone = \"bl.example.pe\"\nname = \"ours\"\nlisted = [\"127.0.0.3\", \"127.0.0.5-127.0.0.7\"]\naction = \"warn\"\n\
         test = \"none\"\nevery = \"1s\"\nconfirm_after = \"2s\"\nipv6 = false\ndelisting = \"https://x.pe/\"",
    );
    assert_eq!((&*own.name, own.test.as_ref(), own.ipv6), ("ours", None, false));
    assert_eq!(read(&own, "127.0.0.6"), "warn 127.0.0.6: listed");
    assert!(read(&own, "127.0.0.4").starts_with("unknown"));
    // The contract's example: one code, with the meaning that is known.
    let zen = list("zone = \"zen.spamhaus.org\"\nlisted = [\"127.0.0.2\"]\naction = \"act\"");
    assert_eq!(read(&zen, "127.0.0.2"), "act 127.0.0.2: SBL");
    assert!(read(&zen, "127.0.0.3").starts_with("unknown"));
    // A delegation fault of a whole range is never a reason to replace a source.
    let zen =
        list("zone = \"zen.spamhaus.org\"\nlisted = [\"127.0.0.2-127.0.0.11\"]\naction = \"act\"");
    assert_eq!(read(&zen, "127.0.0.10"), "warn 127.0.0.10: PBL");
    assert_eq!(read(&zen, "127.0.0.8"), "act 127.0.0.8: listed");
    let zen = list("zone = \"zen.spamhaus.org\"\naction = \"inform\"");
    assert_eq!(read(&zen, "127.0.0.9 127.0.0.10"), "inform 127.0.0.9 127.0.0.10: DROP, PBL");
    let psbl = list("zone = \"psbl.surriel.com\"\naction = \"act\"");
    assert_eq!(read(&psbl, "127.0.0.2"), "act 127.0.0.2: mail from it has met a trap");
}

#[test]
fn strangers_are_not_asked_too_often() {
    let text = format!("{BASE}zone = \"bl.spamcop.net\"\nevery = \"1m\"");
    let warnings = load(&text, "t.toml").unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let expected = "t.toml:10:1: blocklist.every: asks servers of strangers so often that they may refuse; \
                    write \"15m\", or remove the key";
    assert!(told.iter().any(|warning| warning == expected), "{told:?}");
}

#[test]
fn there_is_a_bound() {
    let more = |count: usize| -> String {
        let table = |i| format!("[[blocklist]]\nzone = \"bl{i}.example.pe\"\n");
        (0..count).map(table).collect::<Vec<_>>().concat()
    };
    let first = "zone = \"bl.example.pe\"\n";
    assert!(load(&format!("{BASE}{first}{}", more(29)), "t.toml").is_ok());
    let problems = load(&format!("{BASE}{first}{}", more(30)), "t.toml").unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["t.toml:68:1: blocklist: there are 31 lists; write at most 30"]);
}

#[test]
fn the_table_says_what_the_lists_say_of_themselves() {
    for row in &builtin().lists {
        for zone in &row.zones {
            let key = if zone.starts_with(KEY) { "\nkey_file = \"/k\"" } else { "" };
            let list = list(&format!("zone = \"{zone}\"{key}"));
            // What is no answer of any list, and 127.0.0.1, never are listings.
            for answer in ["127.0.0.1", "127.255.255.254", "192.0.2.1"] {
                assert!(read(&list, answer).starts_with("unknown"), "{zone} {answer}");
            }
            for known in &row.codes {
                let answer = known.code.last.to_string();
                let expected = format!("{} {answer}: ", known.code.action.word());
                assert!(read(&list, &answer).starts_with(&expected), "{zone} {answer}");
                assert!(known.code.action <= known.most, "{zone}");
            }
        }
        assert!(row.delisting.starts_with("https://"), "{}", row.title);
    }
}
