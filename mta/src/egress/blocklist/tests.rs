//! The monitor over hours of a paused clock, against lists that answer from a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;

const MINUTE: u64 = 60_000;
const BASE: &str = "[server]\nhostname = \"r.example.pe\"\n[[listener]]\nname = \"in\"\n\
    bind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n";
const ZEN: &str = "[[blocklist]]\nname = \"zen\"\nzone = \"zen.spamhaus.org\"\n";
const TESTS: &str = "2.0.0.127.zen.spamhaus.org";
const OURS: &str = "11.113.0.203.zen.spamhaus.org";

fn lists(text: &str) -> Vec<Arc<Blocklist>> {
    relay_config::load(&format!("{BASE}{text}"), "t.toml").unwrap().config.blocklists
}

fn subject(text: &str) -> Subject {
    text.parse().map_or_else(|_| Subject::Domain(text.into()), Subject::Address)
}

/// A monitor, the lists that it asks, and what came of it.
struct World {
    monitor: Monitor,
    now: Timestamp,
    /// Name → answers; `!why` is no answer. Names that are not here do not exist.
    zones: BTreeMap<String, &'static str>,
    /// What was asked, in minutes and names.
    asked: Vec<(u64, String)>,
    told: Vec<String>,
}

impl World {
    fn new(text: &str, subjects: &[&str]) -> Self {
        let mut world = Self {
            monitor: Monitor::default(),
            now: Timestamp::from_millis(0),
            zones: BTreeMap::from([(TESTS.to_owned(), "127.0.0.2 127.0.0.4 127.0.0.10")]),
            asked: Vec::new(),
            told: Vec::new(),
        };
        world.configure(text, subjects);
        world
    }

    fn configure(&mut self, text: &str, subjects: &[&str]) {
        let subjects: BTreeSet<Subject> = subjects.iter().map(|it| subject(it)).collect();
        let findings = self.monitor.configure(&lists(text), &subjects, self.now);
        self.tell(findings);
    }

    fn set(&mut self, name: &str, answers: &'static str) {
        self.zones.insert(name.to_owned(), answers);
    }

    fn tell(&mut self, findings: Vec<Finding>) {
        let minute = self.now.as_millis() / MINUTE;
        let short = |finding: Finding| match finding {
            Finding::Listed(it) => {
                let answers: Vec<String> = it.answers.iter().map(ToString::to_string).collect();
                format!("{} {} {} {}", it.list, it.action.word(), it.subject, answers.join(" "))
            }
            Finding::Released { list, subject, why, .. } => format!("{list} {why:?} {subject}"),
            Finding::Unknown { list, subject, why, .. } => {
                format!("{list} unknown {subject}: {why}")
            }
            Finding::ListBroken { list, why, .. } => format!("{list} broken: {why}"),
            Finding::ListWell { list, .. } => format!("{list} well"),
        };
        self.told.extend(findings.into_iter().map(|it| format!("{minute}: {}", short(it))));
    }

    fn answer(&self, question: &Question) -> Answer {
        match self.zones.get(&question.name(None)).copied().unwrap_or_default() {
            refused if refused.starts_with('!') => Answer::Unavailable(refused[1..].to_owned()),
            answers => Answer::Records {
                addresses: answers.split_whitespace().map(|it| it.parse().unwrap()).collect(),
                text: None,
            },
        }
    }

    /// Asks whatever is due until this minute.
    fn run(&mut self, until: u64) {
        let until = Timestamp::from_millis(until * MINUTE);
        while let Some(next) = self.monitor.next_due(self.now).filter(|next| *next <= until) {
            self.now = self.now.max(next);
            let due = self.monitor.due(self.now);
            assert!(!due.is_empty(), "{next} is told to be due");
            for question in due {
                let minute = self.now.as_millis() / MINUTE;
                self.asked.push((minute, question.name(None)));
                let findings = self.monitor.answered(&question, self.answer(&question), self.now);
                self.tell(findings);
            }
        }
        self.now = until;
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn times_asked(&self, name: &str) -> Vec<u64> {
        self.asked.iter().filter(|(_, it)| it == name).map(|(minute, _)| *minute).collect()
    }

    fn states(&self, of: &str) -> String {
        let words = self.monitor.standings(&subject(of)).into_iter().map(|it| match it.state {
            State::Unknown(_) => "unknown".to_owned(),
            State::Ignored(_) => "ignored".to_owned(),
            State::Clear => "clear".to_owned(),
            State::Suspected(_, action) => format!("suspected {}", action.word()),
            State::Listed(listed) => format!("listed {}", listed.action.word()),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn names_that_are_asked() {
    let lists = lists(
        "[[blocklist]]\nzone = \"zen.spamhaus.org\"\n\
         [[blocklist]]\nzone = \"{key}.dbl.dq.spamhaus.net\"\nkey_file = \"/k\"\n\
         [[blocklist]]\nzone = \"d.example.pe\"\nof = \"domains\"\n",
    );
    let ask = |list: usize, about: About| {
        let list = Arc::clone(&lists[list]);
        let key = list.key.as_ref().map(|_| "secretkey");
        Question { list, about }.name(key)
    };
    let of = |text: &str| About::Subject(subject(text));
    assert_eq!(ask(0, of("203.0.113.11")), "11.113.0.203.zen.spamhaus.org");
    assert_eq!(
        ask(0, of("2001:db8:1:2:3:4:567:89ab")),
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org"
    );
    assert_eq!(ask(0, About::MustList), "2.0.0.127.zen.spamhaus.org");
    assert_eq!(ask(0, About::MustNotList), "1.0.0.127.zen.spamhaus.org");
    assert_eq!(ask(1, of("acto.example.pe")), "acto.example.pe.secretkey.dbl.dq.spamhaus.net");
    assert_eq!(ask(1, About::MustList), "dbltest.com.secretkey.dbl.dq.spamhaus.net");
    assert_eq!(ask(1, About::MustNotList), "invalid.secretkey.dbl.dq.spamhaus.net");
    assert_eq!(ask(2, About::MustList), "test.d.example.pe");
}

#[test]
fn whom_a_list_is_asked_about() {
    let long = format!("{}.pe", ["a".repeat(60).as_str(); 4].join("."));
    let lists = lists(
        "[[blocklist]]\nzone = \"zen.spamhaus.org\"\n[[blocklist]]\nzone = \"bl.spamcop.net\"\n\
         [[blocklist]]\nzone = \"dbl.spamhaus.org\"\n",
    );
    for (text, expected) in [
        ("203.0.113.11", [true, true, false]),
        ("2001:db8::1", [true, false, false]),
        ("example.pe", [false, false, true]),
        (&long, [false, false, false]),
    ] {
        let fits = |list: &Arc<Blocklist>| subject(text).fits(list);
        assert_eq!(lists.iter().map(fits).collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn a_listing_needs_two_answers_and_its_end_two_more() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    assert_eq!(world.states("203.0.113.11"), "unknown");
    world.run(10);
    assert_eq!(world.states("203.0.113.11"), "clear");
    world.set(OURS, "127.0.0.2");
    let asked = world.asked.len();
    world.run(37);
    let first = world.asked[asked..].iter().find(|(_, name)| name == OURS).unwrap().0;
    assert_eq!(world.told(), [format!("{}: zen act 203.0.113.11 127.0.0.2", first + 5)]);
    assert_eq!(world.states("203.0.113.11"), "listed act");
    // The list was looked at between the two answers.
    let tests = world.times_asked(TESTS);
    assert!(tests.contains(&first), "{tests:?} {first}");
    world.set(OURS, "");
    world.run(80);
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with(": zen NotListed 203.0.113.11"), "{told:?}");
    assert_eq!(world.states("203.0.113.11"), "clear");
}

#[test]
fn one_answer_is_nothing() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.set(OURS, "127.0.0.4");
    world.run(4);
    assert_eq!(world.states("203.0.113.11"), "suspected act");
    world.set(OURS, "");
    world.run(300);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.states("203.0.113.11"), "clear");
}

#[test]
fn what_says_nothing_changes_nothing() {
    for nothing in ["!SERVFAIL", "127.255.255.255", "127.0.0.77", "192.0.2.1"] {
        let mut world = World::new(ZEN, &["203.0.113.11"]);
        world.set(OURS, nothing);
        world.run(50);
        assert_eq!(world.told(), [""; 0], "{nothing}");
        assert_eq!(world.states("203.0.113.11"), "unknown", "{nothing}");
        world.set(OURS, "127.0.0.2");
        world.run(100);
        assert_eq!(world.told().len(), 1, "{nothing}");
        world.set(OURS, nothing);
        world.run(300);
        assert_eq!(world.states("203.0.113.11"), "listed act", "{nothing}");
        let told = world.told();
        assert!(told.len() == 1 && told[0].contains("zen unknown 203.0.113.11: "), "{told:?}");
    }
}

#[test]
fn an_answer_that_says_more_is_confirmed_anew() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.set(OURS, "127.0.0.10");
    world.run(30);
    assert!(world.told()[0].ends_with("zen warn 203.0.113.11 127.0.0.10"));
    world.set(OURS, "127.0.0.2 127.0.0.10");
    world.run(60);
    let told = world.told();
    assert!(
        told.len() == 1 && told[0].ends_with("act 203.0.113.11 127.0.0.2 127.0.0.10"),
        "{told:?}"
    );
    // Listed since it first was, not since it was listed otherwise.
    assert!(world.monitor.listed().all(|it| it.since.as_millis() < 10 * MINUTE));
    world.set(OURS, "127.0.0.10");
    world.run(90);
    let told = world.told();
    assert!(told.len() == 1 && told[0].ends_with("warn 203.0.113.11 127.0.0.10"), "{told:?}");
    // What only warned the first time does not act by the second.
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.set(OURS, "127.0.0.10");
    world.run(3);
    world.set(OURS, "127.0.0.2");
    world.run(8);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.states("203.0.113.11"), "suspected act");
    world.set(OURS, "127.0.0.10");
    world.run(14);
    assert!(world.told()[0].ends_with("zen warn 203.0.113.11 127.0.0.10"));
}

#[test]
fn a_list_that_lists_the_world_is_not_believed() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.run(10);
    world.set(OURS, "127.0.0.2");
    world.set("1.0.0.127.zen.spamhaus.org", "127.0.0.2");
    world.run(65);
    assert_eq!(world.told(), [""; 0], "an hour is not over");
    world.run(120);
    let broken = "zen broken: it lists what no list may (127.0.0.2), perhaps everything";
    let told = world.told();
    assert!(told.len() == 1 && told[0].ends_with(broken), "{told:?}");
    assert_eq!(world.states("203.0.113.11"), "ignored");
    let asked = world.times_asked(OURS).len();
    world.run(240);
    assert_eq!(world.times_asked(OURS).len(), asked, "asked though it is ignored");
    world.set("1.0.0.127.zen.spamhaus.org", "");
    world.run(246);
    let told = world.told();
    assert!(told.len() == 1 && told[0].ends_with("zen well"), "{told:?}");
    world.run(250);
    // What was heard of the broken list counts for nothing: two answers from here on.
    let again = world.asked.iter().rfind(|(_, name)| name == OURS).map(|(minute, _)| *minute);
    assert_eq!(world.states("203.0.113.11"), "suspected act");
    world.run(260);
    assert_eq!(world.told(), [format!("{}: zen act 203.0.113.11 127.0.0.2", again.unwrap() + 5)]);
}

#[test]
fn a_list_that_lists_nobody_any_more_releases_nobody() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.set(OURS, "127.0.0.2");
    world.run(20);
    assert_eq!(world.told().len(), 1);
    world.set(OURS, "");
    world.set(TESTS, "");
    world.run(60);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.states("203.0.113.11"), "listed act");
    world.run(120);
    let broken = "zen broken: it does not list 127.0.0.2, which every list of its kind does";
    let told = world.told();
    assert!(told.len() == 1 && told[0].ends_with(broken), "{told:?}");
    assert_eq!(world.states("203.0.113.11"), "listed act");
}

#[test]
fn a_list_that_refuses_is_told_of_after_an_hour() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.set(TESTS, "127.255.255.254");
    world.run(59);
    assert_eq!((world.told(), world.times_asked(OURS).len()), (vec![], 0));
    world.run(70);
    let told = world.told();
    assert!(told.len() == 1 && told[0].contains("public resolver"), "{told:?}");
    world.run(300);
    assert_eq!(world.told(), [""; 0], "told once");
    // A short fault is not told, and leaves a suspicion standing.
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.set(OURS, "127.0.0.2");
    world.run(3);
    assert_eq!(world.states("203.0.113.11"), "suspected act");
    world.set(TESTS, "!SERVFAIL");
    world.run(17);
    world.set(TESTS, "127.0.0.2");
    world.run(60);
    let told = world.told();
    assert!(told.len() == 1 && told[0].contains("act"), "{told:?}");
}

#[test]
fn a_list_without_a_test_entry_is_asked_all_the_same() {
    let text = "[[blocklist]]\nname = \"own\"\nzone = \"bl.example.pe\"\ntest = \"none\"\n";
    let mut world = World::new(text, &["203.0.113.11"]);
    world.set("11.113.0.203.bl.example.pe", "127.0.0.2");
    world.run(20);
    assert_eq!(world.told().len(), 1);
    assert_eq!(world.times_asked("2.0.0.127.bl.example.pe"), [0; 0]);
}

#[test]
fn questions_are_spread_over_the_round() {
    let sources: Vec<String> = (11..29).map(|last| format!("203.0.113.{last}")).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let text = format!("{ZEN}[[blocklist]]\nzone = \"bl.spamcop.net\"\n");
    let mut world = World::new(&text, &sources);
    world.set("2.0.0.127.bl.spamcop.net", "127.0.0.2");
    world.run(5);
    let whom: BTreeSet<&String> = world.asked.iter().map(|(_, name)| name).collect();
    assert_eq!(whom.len(), 2 * (18 + 2), "within five minutes everything is known");
    world.run(24 * 60);
    // As many as the interval says, give or take the first round: 96 a day.
    for name in [TESTS, OURS, "28.113.0.203.bl.spamcop.net"] {
        let times = world.times_asked(name);
        assert!((95..=98).contains(&times.len()), "{name}: {}", times.len());
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| (7..=23).contains(&gap)), "{name}: {times:?}");
        assert!(gaps.skip(2).all(|gap| (14..=16).contains(&gap)), "{name}: {times:?}");
    }
    // 40 questions in 15 minutes: no minute has a burst, nor has one when a list works again.
    world.set(TESTS, "!SERVFAIL");
    world.run(26 * 60);
    world.set(TESTS, "127.0.0.2");
    world.run(28 * 60);
    let calm = (60..120).chain(24 * 60..28 * 60);
    for minute in calm {
        let count = world.asked.iter().filter(|(it, _)| *it == minute).count();
        assert!(count <= 9, "{count} in minute {minute}");
    }
}

#[test]
fn few_questions_are_open_and_one_that_is_lost_is_asked_again() {
    let text: String = (0..6)
        .map(|i| format!("[[blocklist]]\nzone = \"b{i}.example.pe\"\n"))
        .fold(String::new(), |all, one| all + &one);
    let mut world = World::new(&text, &["203.0.113.11"]);
    let first = world.monitor.due(world.now);
    assert_eq!(first.len(), OPEN_MAX);
    assert_eq!(world.monitor.due(world.now), []);
    let lost = world.now.after(Duration::from_mins(2));
    assert_eq!(world.monitor.next_due(world.now), Some(lost));
    let findings = world.monitor.answered(&first[0], world.answer(&first[0]), world.now);
    assert_eq!(findings, []);
    assert_eq!(world.monitor.due(world.now).len(), 1, "an answer makes room for one");
    assert!(!world.monitor.due(lost).is_empty());
}

#[test]
fn a_confirmed_listing_outlives_a_restart() {
    let mut world = World::new(ZEN, &["203.0.113.11", "203.0.113.12"]);
    world.set(OURS, "127.0.0.3");
    world.run(20);
    assert_eq!(world.told().len(), 1);
    let before: Vec<Listed> = world.monitor.listed().collect();
    let stored = postcard::to_allocvec(&world.monitor.memory()).unwrap();
    let memory: Memory = postcard::from_bytes(&stored).unwrap();
    // Before the lists are known nothing is lost either.
    assert_eq!(Monitor::new(memory.clone()).memory(), memory);
    world.monitor = Monitor::new(memory.clone());
    world.configure(ZEN, &["203.0.113.11"]);
    assert_eq!(world.monitor.listed().collect::<Vec<_>>(), before);
    world.run(60);
    assert_eq!(world.told(), [""; 0], "nothing new");
    world.set(OURS, "");
    world.run(100);
    assert!(world.told()[0].ends_with("zen NotListed 203.0.113.11"));
    // What the file no longer says has ended, and is told.
    for (text, expected) in [
        ("", "NoLongerAsked"),
        ("[[blocklist]]\nname = \"zen\"\nzone = \"z.example.pe\"\n", "NoLongerAsked"),
        (&format!("{ZEN}listed = [\"127.0.0.2\"]\n"), "NoLongerCounts"),
    ] {
        world.monitor = Monitor::new(memory.clone());
        world.configure(text, &["203.0.113.11"]);
        let told = world.told();
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        assert_eq!(world.monitor.memory(), Memory::default());
    }
}

#[test]
fn a_reload_keeps_what_is_known() {
    let mut world = World::new(ZEN, &["203.0.113.11", "203.0.113.12"]);
    world.set(OURS, "127.0.0.3");
    world.run(20);
    world.told();
    world.configure(ZEN, &["203.0.113.11", "203.0.113.12", "203.0.113.13"]);
    assert_eq!(world.states("203.0.113.11"), "listed act");
    assert_eq!(
        (world.states("203.0.113.12"), world.states("203.0.113.13")),
        ("clear".into(), "unknown".into())
    );
    world.configure(&format!("{ZEN}action = \"warn\"\n"), &["203.0.113.11"]);
    assert!(world.told()[0].ends_with("zen warn 203.0.113.11 127.0.0.3"));
    world.configure(&format!("{ZEN}listed = [\"127.0.0.2\"]\n"), &["203.0.113.11"]);
    assert!(world.told()[0].ends_with("zen NoLongerCounts 203.0.113.11"));
    world.configure(ZEN, &["203.0.113.11"]);
    world.run(60);
    assert!(world.told()[0].ends_with("zen act 203.0.113.11 127.0.0.3"));
    world.configure(ZEN, &["203.0.113.12"]);
    assert!(world.told()[0].ends_with("zen NoLongerAsked 203.0.113.11"));
    world.configure("", &["203.0.113.12"]);
    assert_eq!((world.told(), world.monitor.next_due(world.now)), (vec![], None));
}

#[test]
fn who_is_asked_about_at_once_waits_for_no_turn() {
    let mut world = World::new(&format!("{ZEN}every = \"6h\"\n"), &["203.0.113.11"]);
    world.run(60);
    world.set(OURS, "127.0.0.2");
    let asked = world.times_asked(OURS).len();
    world.monitor.ask_now(&subject("203.0.113.11"), world.now);
    world.monitor.ask_now(&subject("203.0.113.99"), world.now);
    world.run(66);
    assert_eq!(world.times_asked(OURS)[asked..], [60, 65]);
    assert_eq!(world.told().len(), 1);
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    world.run(3 * 24 * 60);
    world.set(OURS, "127.0.0.2");
    world.now = Timestamp::from_millis(24 * 60 * MINUTE);
    world.run(25 * 60);
    assert_eq!(world.told().len(), 1);
}

#[test]
fn what_people_read() {
    let mut world = World::new(ZEN, &["203.0.113.11"]);
    let mut say = |text: &str| -> Option<String> {
        world.now = world.now.after(Duration::from_mins(20));
        for question in world.monitor.due(world.now) {
            let mut answer = world.answer(&question);
            if let (Answer::Records { addresses, text: said }, true) =
                (&mut answer, question.wants_text())
            {
                *addresses = vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 9)];
                *said = Some(text.to_owned());
            }
            let found = world.monitor.answered(&question, answer, world.now);
            if let Some(finding) = found.first() {
                return Some(finding.to_string());
            }
        }
        None
    };
    let long = format!("see\u{1b}[2J SBL1 {}", "ñ".repeat(400));
    let told = (0..9).find_map(|_| say(&long)).unwrap();
    let expected = "203.0.113.11 is listed by zen (127.0.0.2, 127.0.0.9: SBL: an address that spam comes from, or \
                    that supports it; DROP: a network of criminals): \"see [2J SBL1 ññ";
    assert!(told.starts_with(expected), "{told}");
    assert!(told.ends_with("ñ\"; to be taken out: https://check.spamhaus.org/"), "{told}");
    assert!(told.len() < 600, "{told}");
}
