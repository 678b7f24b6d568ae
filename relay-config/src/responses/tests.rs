//! That every rule fires where it stands, and what the rules must never say.

use std::collections::BTreeSet;

use super::builtin::{self, builtin};
use super::*;

const SAMPLE: &str = include_str!("../../testdata/responses/sample.tsv");
const FIXTURES: &str = include_str!("../../data/responses-fixtures.tsv");

struct Fixture<'a> {
    rule: &'a str,
    date: &'a str,
    source: &'a str,
    reply: &'a str,
}

fn fixtures() -> Vec<Fixture<'static>> {
    let lines = FIXTURES.lines().filter(|line| !line.starts_with('#')).skip(1);
    let read = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [rule, date, source, reply] = columns[..] else { panic!("{line}") };
        Fixture { rule, date, source, reply }
    };
    lines.map(read).collect()
}

fn verdict(written: &str, phase: Option<Phase>) -> Verdict {
    let spoken = Spoken::parse(written).unwrap_or_else(|why| panic!("{written}: {why}"));
    Classifier::builtin().classify(&spoken.said(phase, None))
}

fn actions(written: &str, phase: Option<Phase>) -> Vec<String> {
    verdict(written, phase).actions.iter().map(Action::to_string).collect()
}

#[test]
fn the_builtin_rules_can_be_read() {
    assert_eq!(builtin::read(builtin::FILE).err(), None);
    let mut ids = BTreeSet::new();
    let keys: BTreeSet<&str> = builtin().origins.iter().map(|origin| &*origin.key).collect();
    let mut used = BTreeSet::new();
    for rule in &builtin().rules {
        assert!(ids.insert(&*rule.id), "{} is there twice", rule.id);
        assert!(rule.about.is_some() && !rule.origin.is_empty(), "{}", rule.id);
        used.extend(rule.origin.iter().map(String::as_str));
    }
    assert_eq!(used, keys);
}

#[test]
fn the_sample_maps() {
    for line in SAMPLE.lines().skip(1) {
        let (reply, rule) = line.split_once('\t').unwrap();
        assert_eq!(&*verdict(reply, None).rule, rule, "{reply}");
    }
}

/// A rule whose words another takes before it never fires: each has a reply that it gets.
#[test]
fn every_rule_has_a_reply_that_nothing_takes_before_it() {
    let fixtures = fixtures();
    let wrong: Vec<String> = fixtures
        .iter()
        .map(|fixture| (fixture, verdict(fixture.reply, None).rule))
        .filter(|(fixture, found)| **found != *fixture.rule)
        .map(|(fixture, found)| format!("{} instead of {}: {}", found, fixture.rule, fixture.reply))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let proved: BTreeSet<&str> = fixtures.iter().map(|fixture| fixture.rule).collect();
    let rules: BTreeSet<&str> = builtin().rules.iter().map(|rule| &*rule.id).collect();
    assert_eq!(proved, rules);
    for rule in &builtin().rules {
        for variant in &rule.variants {
            let own = fixtures.iter().filter(|fixture| *fixture.rule == *rule.id);
            let fires = own.map(|fixture| verdict(fixture.reply, None)).any(|verdict| {
                verdict.actions == variant.actions && verdict.actions != rule.actions
            });
            assert!(fires, "a variant of {} has no reply", rule.id);
        }
    }
}

/// A source has a date or a commit; what has none says that it was reconstructed.
#[test]
fn every_reply_says_where_it_is_from() {
    for Fixture { rule, date, source, reply } in fixtures() {
        let commit = date.strip_prefix("at ").is_some_and(|commit| commit.len() == 7);
        let day = date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let known = source.contains('.') && (commit || day);
        assert!(known || (source == "reconstructed" && date == "-"), "{rule}: {date} {source}");
        assert!(!reply.is_empty());
    }
}

#[test]
fn measures_and_exceptions() {
    let check = |reply: &str, expected: &[&str]| {
        assert_eq!(actions(reply, None), expected, "{reply}");
    };
    check("421 4.7.0 [TSS04] Messages", &["suspend 2h", "freeze-warm-up"]);
    check("421 4.7.0 [TSS05] Messages", &["suspend 4h", "freeze-warm-up"]);
    check("421 4.7.28 unusual rate", &["slow 1h", "step-back"]);
    check("421 RP-001 rate", &["slow 2h"]);
    check("421 RP-003 count", &["fewer-connections 2h"]);
    check("550 5.7.26 unauthenticated", &["halt-domain"]);
    check("451 4.7.26 DNS failures", &["retry"]);
    check("550 5.7.28 blocked", &["suspend 24h", "move at-once"]);
    check("550 very low reputation of the sending IP", &["suspend 4h", "move if-repeated"]);
    check("550 in our blacklist", &["check-listing", "suspend 4h", "move if-listed"]);
    check("550 likely unsolicited mail", &["fail", "halt-campaign above 1%"]);
    check("550 SPF check: fail", &["halt-domain after 3"]);
    check("450 4.2.0 Greylisted", &["retry 5m", "same-source"]);
    check("452 4.2.2 full", &["soft-suppress", "retry 6h"]);
    check("550 5.5.0 mailbox unavailable", &["suppress after 2"]);
    check("421 4.3.2 closing", &["retry", "slow 1h above 30%"]);
}

/// A permanent reply about the source has not judged the recipient; one about content has.
#[test]
fn what_becomes_of_the_mail() {
    let check = |reply: &str, phase: Option<Phase>, expected: Mail| {
        assert_eq!(verdict(reply, phase).mail, expected, "{reply} {phase:?}");
    };
    let hours = |hours: u64| std::time::Duration::from_hours(hours);
    let rcpt = Some(Phase::Rcpt);
    check("550 5.7.1 blocked using zen.spamhaus.org", rcpt, Mail::Wait);
    check("421 4.7.0 [TSS04] Messages", rcpt, Mail::Wait);
    check("421 4.7.28 unusual rate", rcpt, Mail::Retry(None));
    check("553 5.7.2 [TSS09] permanently", rcpt, Mail::Wait);
    check("550 5.7.26 unauthenticated", rcpt, Mail::Wait);
    check("550 5.7.1 message rejected as spam", rcpt, Mail::Fail);
    check("554 5.7.9 not accepted for policy reasons", rcpt, Mail::Fail);
    check("550 5.1.1 no such user", rcpt, Mail::Fail);
    check("450 4.1.1 no such user", rcpt, Mail::Retry(None));
    check("450 4.2.1 receiving mail too quickly", rcpt, Mail::Retry(Some(hours(1))));
    check("530 5.7.0 Must issue a STARTTLS command first", rcpt, Mail::Retry(None));
    check("552 5.3.4 too big", rcpt, Mail::Fail);
    check("550 something", rcpt, Mail::Fail);
    check("421 4.7.0 IP not in whitelist for RCPT domain", rcpt, Mail::Fail);
    check("451 Open relay not allowed", rcpt, Mail::Retry(None));
    check("450 something", rcpt, Mail::Retry(None));
    check("550 something", Some(Phase::Mail), Mail::Fail);
    check("554 something", Some(Phase::Greeting), Mail::Wait);
    check("554 message rejected as spam", Some(Phase::Hello), Mail::Wait);
}

#[test]
fn before_rcpt_nothing_is_said_of_the_recipient() {
    let check = |reply: &str, phase: Phase, expected: &str| {
        let verdict = verdict(reply, Some(phase));
        assert_eq!(&*verdict.rule, expected, "{reply} {phase}");
        assert!(!verdict.scope.iter().any(|blame| blame.is_recipient()), "{reply} {phase}");
        assert!(!verdict.actions.iter().any(|action| action.suppresses()), "{reply} {phase}");
    };
    check("550 5.1.1 user unknown", Phase::Mail, "class:5");
    check("450 4.2.2 full", Phase::Mail, "class:4");
    check("550 5.1.7 bad sender", Phase::Mail, "enhanced:5.1.7");
    check("550 user unknown", Phase::Mail, "class:5");
    check("554 5.7.1 Relay access denied", Phase::Mail, "enhanced:5.7.1");
    check("521 this host does not accept mail", Phase::Greeting, "class:5");
    check("550 5.1.1 user unknown and spam", Phase::Mail, "S01");
    for phase in [Phase::Rcpt, Phase::Data, Phase::Final] {
        assert_eq!(&*verdict("550 5.1.1 user unknown", Some(phase)).rule, "U01");
    }
    // What is said to a stranger who connects is about the address, not so after RCPT.
    let banner = "554 we are not accepting mail";
    assert_eq!(&*verdict(banner, Some(Phase::Greeting)).rule, "A05");
    assert_eq!(&*verdict(banner, Some(Phase::Rcpt)).rule, "class:5");
}

#[test]
fn nobody_is_suppressed_on_a_code_of_policy_alone_nor_on_a_transient_reply() {
    for class in [4, 5] {
        for detail in 0..1000 {
            let reply = format!("{class}50 {class}.7.{detail}");
            let verdict = verdict(&reply, Some(Phase::Rcpt));
            let suppressed =
                verdict.actions.iter().any(|action| matches!(action, Action::Suppress { .. }));
            assert!(!suppressed, "{reply} {verdict:?}");
        }
    }
    for Fixture { reply, .. } in fixtures() {
        let spoken = Spoken::parse(reply).unwrap();
        let transient = Said { code: 450, ..spoken.said(Some(Phase::Rcpt), None) };
        let verdict = Classifier::builtin().classify(&transient);
        let suppressed =
            verdict.actions.iter().any(|action| matches!(action, Action::Suppress { .. }));
        let ends = verdict.mail == Mail::Fail && &*verdict.rule != "G20";
        assert!(!suppressed && !ends, "{reply} {verdict:?}");
    }
}

/// Blame is kept apart: what blames a source never suppresses, what suppresses never holds one.
#[test]
fn blame_does_not_spill() {
    for rule in &builtin().rules {
        let holds = rule.actions.iter().any(|action| {
            matches!(action, Action::Slow { .. } | Action::Suspend { .. } | Action::Move(_))
        });
        let suppresses = rule.actions.iter().any(|action| action.suppresses());
        assert!(!(holds && suppresses), "{}", rule.id);
        let moves = rule.actions.iter().any(|action| matches!(action, Action::Move(_)));
        let source = rule.scope.contains(&Blame::Source);
        let domain = rule.actions.iter().any(|a| matches!(a, Action::HaltDomain { .. }));
        assert!(!moves || (source && !domain), "{} moves mail that is blamed itself", rule.id);
    }
}

#[test]
fn what_no_rule_knows_falls_to_its_code() {
    let check = |reply: &str, rule: &str, category: &str, blame: Blame| {
        let verdict = verdict(reply, Some(Phase::Rcpt));
        let found = (&*verdict.rule, verdict.category.word(), &*verdict.scope);
        assert_eq!(found, (rule, category, &[blame][..]), "{reply}");
        assert!(verdict.actions.is_empty());
    };
    check("450 4.1.1 later", "enhanced:4.1.1", "bad-mailbox", Blame::Recipient);
    check("550 5.2.0 no", "enhanced:5.2.0", "mailbox", Blame::Recipient);
    check("550 5.1.8 no", "enhanced:5.1.8", "bad-sender", Blame::SendingDomain);
    check("550 5.4.4 no route", "enhanced:5.4.4", "bad-domain", Blame::RecipientDomain);
    check("554 5.6.3 no", "enhanced:5.6.3", "content", Blame::Message);
    check("538 5.7.11 no", "enhanced:5.7.11", "tls", Blame::Route);
    check("550 5.7.1 no", "enhanced:5.7.1", "policy", Blame::Unclear);
    check("550 5.0.0 no", "class:5", "refused", Blame::Unclear);
    check("450 4.9.1 no", "class:4", "temporary", Blame::Unclear);
    check("550 4.2.2x no", "class:5", "refused", Blame::Unclear);
    check("450 later", "class:4", "temporary", Blame::Unclear);
}

#[test]
fn rules_of_the_operator_come_first() {
    let text = "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:25\"]\n\
        tls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n\
        [[response]]\nid = \"partner\"\npattern = 'no such user.*<ADDR>'\ncategory = \"rate-limit\"\n\
        scope = \"source\"\naction = [\"suspend\"]\nfor = \"3h\"\nmove = \"at-once\"\nproviders = [\"partner\"]\n";
    let config = crate::load(text, "t").unwrap().config;
    let check = |reply: &str, provider: Option<&str>, expected: &str| {
        let spoken = Spoken::parse(reply).unwrap();
        let verdict = config.responses.classify(&spoken.said(Some(Phase::Rcpt), provider));
        assert_eq!(&*verdict.rule, expected, "{reply} {provider:?}");
        verdict.actions.iter().map(Action::to_string).collect::<Vec<_>>()
    };
    let found = check("550 No such User: <a@x.pe>", Some("partner"), "partner");
    assert_eq!(found, ["suspend 3h", "move at-once"]);
    check("550 No such User: <a@x.pe>", Some("google"), "U01");
    check("550 No such User: <a@x.pe>", None, "U01");
    check("550 No such User", Some("partner"), "U01");
    assert_eq!(config.responses.own(), 1);
    let same = crate::load(text, "t").unwrap().config;
    assert_eq!(config.responses, same.responses);
    let other = crate::load(&text.replace("3h", "4h"), "t").unwrap().config;
    assert_ne!(config.responses, other.responses);
}

/// `cargo test --workspace -p relay-config --lib speed -- --ignored --nocapture`
#[test]
#[ignore = "says how long a classification takes; run it alone"]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "the number is what it is for")]
fn speed() {
    let classifier = Classifier::builtin();
    let plain: Vec<Spoken> = SAMPLE
        .lines()
        .skip(1)
        .map(|line| Spoken::parse(line.split('\t').next().unwrap()).unwrap())
        .collect();
    let accents: Vec<Spoken> = plain
        .iter()
        .map(|said| Spoken { text: format!("el buzón {}", said.text), ..said.clone() })
        .collect();
    let long: Vec<Spoken> = plain
        .iter()
        .map(|said| Spoken {
            text: format!("{} {}", "words of nothing ".repeat(50), said.text),
            ..said.clone()
        })
        .collect();
    for (name, replies) in [("sample", plain), ("with accents", accents), ("of 1 KiB", long)] {
        const ROUNDS: u32 = 500;
        let mut normalising = std::time::Duration::ZERO;
        let mut total = std::time::Duration::ZERO;
        for round in 0..ROUNDS {
            let begin = std::time::Instant::now();
            for reply in &replies {
                std::hint::black_box(classifier.classify(&reply.said(Some(Phase::Rcpt), None)));
            }
            let middle = std::time::Instant::now();
            for reply in &replies {
                std::hint::black_box(reply.said(None, None).normalised());
            }
            if round > 0 {
                total += middle - begin;
                normalising += middle.elapsed();
            }
        }
        let count = (ROUNDS - 1) * u32::try_from(replies.len()).unwrap();
        println!(
            "{name}: {:?} a reply, of it {:?} normalising",
            total / count,
            normalising / count
        );
    }
}
