//! Who comes onto the list, who is found on it, and what is left of it after a restart.

use relay_config::responses::Action;

use super::*;
use crate::spool::MemorySpool;

const HARD: Action = Action::Suppress { hits: 1 };
const TWICE: Action = Action::Suppress { hits: 2 };

fn rules() -> SuppressionRules {
    SuppressionRules { automatic: true, keep: Some(Duration::from_hours(24 * 180)) }
}

fn day(number: u64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000).after(Duration::from_hours(24 * number))
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn order(subject: &str, account: Option<&str>, until: Option<Timestamp>) -> Entry {
    Entry {
        subject: Subject::parse(subject).unwrap(),
        account: account.map(str::to_owned),
        since: day(0),
        until,
        cause: Cause::Order,
        who: Some("ana".to_owned()),
        why: "asked not to be written to".to_owned(),
        rule: None,
    }
}

/// A list and where it is kept.
struct World {
    spool: MemorySpool,
    list: Suppressions,
}

impl World {
    fn new() -> Self {
        let spool = MemorySpool::default();
        let list = Suppressions::open(&spool).unwrap();
        Self { spool, list }
    }

    fn add(&self, entry: &Entry) {
        let operation = self.list.add(entry).unwrap();
        self.spool.write(&[operation]).unwrap();
    }

    /// One reply about an address; returns whether it is on the list because of it.
    fn hear(&self, to: &str, action: Action, now: Timestamp) -> bool {
        let subject = Subject::parse(to).unwrap();
        let heard = Heard::Refused { subject, action, rule: "U01", reply: "no such user" };
        let learned = self.list.hear(&self.spool, &[heard], &rules(), now).unwrap();
        self.spool.write(&learned.operations).unwrap();
        !learned.entries.is_empty()
    }

    fn delivered(&self, to: &str) -> usize {
        let address = address(to);
        let heard = [Heard::Delivered(&address)];
        let learned = self.list.hear(&self.spool, &heard, &rules(), day(0)).unwrap();
        self.spool.write(&learned.operations).unwrap();
        learned.operations.len()
    }

    fn finds(&self, to: &str, account: &str, now: Timestamp) -> Option<String> {
        let found = self.list.find(&self.spool, &address(to), account, now).unwrap();
        found.map(|entry| entry.subject.to_string())
    }

    fn restarted(self) -> Self {
        let list = Suppressions::open(&self.spool).unwrap();
        Self { list, ..self }
    }
}

#[test]
fn an_entry_is_of_an_address_or_a_domain_and_of_one_account_or_all() {
    let world = World::new();
    assert_eq!(world.finds("eva@x.pe", "a", day(1)), None);
    world.add(&order("Eva@X.pe", None, None));
    world.add(&order("leo@x.pe", Some("boletin"), None));
    world.add(&order("@y.pe", None, Some(day(10))));
    let world = world.restarted();
    assert_eq!(world.list.len(), 3);
    let check = |to: &str, account: &str, now, expected: Option<&str>| {
        assert_eq!(world.finds(to, account, now).as_deref(), expected, "{to} {account}");
    };
    check("eva@x.pe", "a", day(1), Some("eva@x.pe"));
    check("EVA@x.PE", "a", day(1), Some("eva@x.pe"));
    check("eva2@x.pe", "a", day(1), None);
    check("leo@x.pe", "boletin", day(1), Some("leo@x.pe"));
    check("leo@x.pe", "citaciones", day(1), None);
    check("anyone@y.pe", "a", day(9), Some("@y.pe"));
    check("anyone@y.pe", "a", day(10), None);
    check("anyone@sub.y.pe", "a", day(9), None);
}

#[test]
fn as_many_replies_as_the_rule_says_and_a_delivery_forgets_them() {
    let world = World::new();
    assert!(world.hear("eva@x.pe", HARD, day(0)));
    assert_eq!(world.finds("eva@x.pe", "a", day(1)).as_deref(), Some("eva@x.pe"));
    assert_eq!(world.finds("eva@x.pe", "a", day(181)), None, "it was kept for 180 days");

    assert!(!world.hear("leo@x.pe", TWICE, day(0)));
    let world = world.restarted();
    assert!(world.hear("leo@x.pe", TWICE, day(1)), "the first is not forgotten by a restart");

    assert!(!world.hear("ana@x.pe", TWICE, day(0)));
    assert_eq!(world.delivered("ana@x.pe"), 1);
    assert_eq!(world.delivered("ana@x.pe"), 0, "nothing to forget costs nothing");
    assert!(!world.hear("ana@x.pe", TWICE, day(1)));
    assert!(world.hear("ana@x.pe", TWICE, day(2)));
}

#[test]
fn a_full_mailbox_is_given_up_after_three_replies_in_seven_days() {
    let world = World::new();
    for number in [0, 1, 2, 6] {
        assert!(!world.hear("eva@x.pe", Action::SoftSuppress, day(number)), "day {number}");
    }
    assert!(world.hear("eva@x.pe", Action::SoftSuppress, day(7)));
    assert!(!world.hear("leo@x.pe", Action::SoftSuppress, day(0)));
    assert!(!world.hear("leo@x.pe", Action::SoftSuppress, day(30)), "two are not three");
}

#[test]
fn who_is_taken_off_begins_anew() {
    let world = World::new();
    world.add(&order("eva@x.pe", None, None));
    world.add(&order("eva@x.pe", Some("boletin"), None));
    assert!(!world.hear("eva@x.pe", TWICE, day(0)));
    let subject = Subject::parse("eva@x.pe").unwrap();
    let entries = world.list.of(&world.spool, &subject).unwrap();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        world.spool.write(&world.list.remove(entry)).unwrap();
    }
    assert!(world.list.is_empty());
    assert_eq!(world.finds("eva@x.pe", "boletin", day(0)), None);
    assert!(!world.hear("eva@x.pe", TWICE, day(0)), "what was counted is forgotten");
}

#[test]
fn pages_follow_one_another_and_what_is_over_is_swept() {
    let world = World::new();
    for number in 0..25 {
        let until = (number % 5 == 0).then(|| day(3));
        world.add(&order(&format!("u{number:02}@x.pe"), None, until));
    }
    assert!(!world.hear("old@x.pe", TWICE, day(0)));
    let all = |_: &Entry| true;
    let (first, next) = world.list.page(&world.spool, &[], 10, &all).unwrap();
    let (second, next) = world.list.page(&world.spool, &next.unwrap(), 10, &all).unwrap();
    let (third, last) = world.list.page(&world.spool, &next.unwrap(), 10, &all).unwrap();
    let pages = [first, second, third].concat();
    let names: Vec<String> = pages.iter().map(|entry| entry.subject.to_string()).collect();
    assert!(names.is_sorted() && names.len() == 25 && last.is_none(), "{names:?}");
    assert_eq!(pages[3], order("u03@x.pe", None, None), "as it was written");

    let (operations, next) = world.list.sweep(&world.spool, &[], day(4)).unwrap();
    assert_eq!((operations.len(), next), (5, None));
    world.spool.write(&operations).unwrap();
    assert_eq!(world.list.len(), 20);
    let (operations, _) = world.list.sweep(&world.spool, &[], day(91)).unwrap();
    assert_eq!(operations.len(), 1, "the count of a season ago");
    world.spool.write(&operations).unwrap();
    assert_eq!(world.restarted().list.len(), 20);
}

#[test]
fn what_a_person_writes_is_a_subject_or_is_refused() {
    let check = |text: &str, expected: Option<&str>| {
        let subject = Subject::parse(text).ok();
        assert_eq!(subject.as_ref().map(Subject::as_str), expected, "{text}");
    };
    check(" <Ana@Example.PE> ", Some("ana@example.pe"));
    check("@Año.pe", Some("@xn--ao-zja.pe"));
    check("ana", None);
    check("@", None);
    check("", None);
    check("ana@", None);
}
