//! What every spool must do, whatever it is made of. Each check gets an empty spool.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::message::Id;

use super::{Family, MemorySpool, Operation, Spool};

fn put(family: Family, key: &str, value: &str) -> Operation {
    Operation::Put(family, key.into(), Bytes::copy_from_slice(value.as_bytes()))
}

fn keys(spool: &dyn Spool, from: &str, until: &str, back: bool, limit: usize) -> String {
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        seen.push(String::from_utf8_lossy(key).into_owned());
        if seen.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (from, until) = (from.as_bytes(), until.as_bytes());
    if back {
        spool.scan_back(Family::Due, from, until, &mut visit).unwrap();
    } else {
        spool.scan(Family::Due, from, until, &mut visit).unwrap();
    }
    seen.join(" ")
}

fn scans_are_in_order_within_bounds(spool: &dyn Spool) {
    let names = ["b", "a", "d", "c", "ca"];
    spool.write(&names.map(|name| put(Family::Due, name, ""))).unwrap();
    spool.write(&[put(Family::State, "bb", "")]).unwrap();
    for (from, until, back, limit, expected) in [
        ("", "z", false, 9, "a b c ca d"),
        ("b", "d", false, 9, "b c ca"),
        ("b", "d", true, 9, "ca c b"),
        ("", "z", true, 2, "d ca"),
        ("bb", "z", false, 1, "c"),
        ("d", "d", false, 9, ""),
        ("d", "b", false, 9, ""),
        ("e", "z", true, 9, ""),
    ] {
        assert_eq!(keys(spool, from, until, back, limit), expected, "{from}..{until} {back}");
    }
}

fn keys_set_once_are_counted(spool: &dyn Spool) {
    let count = || (spool.count_about(Family::Due), spool.count_about(Family::Messages));
    assert_eq!(count(), (0, 0));
    spool.write(&["a", "b", "c"].map(|key| put(Family::Due, key, ""))).unwrap();
    spool.write(&["a", "b"].map(|key| put(Family::Messages, key, "1"))).unwrap();
    assert_eq!(count(), (3, 2));
    spool.write(&[Operation::SingleDelete(Family::Due, b"b".to_vec())]).unwrap();
    spool.write(&[Operation::Delete(Family::Messages, b"b".to_vec())]).unwrap();
    assert_eq!(count(), (2, 1));
}

fn values_are_set_and_removed(spool: &dyn Spool) {
    let get = |key: &str| spool.get(Family::State, key.as_bytes()).unwrap();
    assert_eq!(get("a"), None);
    spool.write(&[put(Family::State, "a", "1"), put(Family::State, "b", "1")]).unwrap();
    spool.write(&[put(Family::State, "a", "2")]).unwrap();
    assert_eq!(get("a"), Some(Bytes::from_static(b"2")));
    let remove = [
        Operation::Delete(Family::State, b"a".to_vec()),
        Operation::SingleDelete(Family::State, b"b".to_vec()),
        Operation::Delete(Family::State, b"never there".to_vec()),
    ];
    spool.write(&remove).unwrap();
    assert_eq!((get("a"), get("b")), (None, None));
    // In one batch the later operation stands.
    spool
        .write(&[
            put(Family::State, "c", "1"),
            Operation::Delete(Family::State, b"c".to_vec()),
            put(Family::State, "c", "2"),
        ])
        .unwrap();
    assert_eq!(get("c"), Some(Bytes::from_static(b"2")));
    let large = "x".repeat(300_000);
    spool.write(&[put(Family::Bodies, "large", &large)]).unwrap();
    let found = spool.get(Family::Bodies, b"large").unwrap().unwrap();
    assert_eq!(found, large.as_bytes());
    assert_eq!(spool.get(Family::Messages, b"large").unwrap(), None, "families are apart");
    spool.sync().unwrap();
    assert!(spool.free_space().unwrap() > 0);
}

fn a_scan_sees_one_moment_while_others_write(spool: &dyn Spool) {
    spool.write(&[put(Family::Due, "a", ""), put(Family::Due, "c", "")]).unwrap();
    let mut seen = 0;
    spool
        .scan(Family::Due, b"", b"z", &mut |_, _| {
            seen += 1;
            spool.write(&[put(Family::Due, &format!("x{seen}"), "")]).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 2);
}

fn event(id: u64) -> Vec<Operation> {
    let key = id.to_be_bytes();
    let entry = [&[3; 9][..], &key].concat();
    vec![
        Operation::Put(Family::Events, key.to_vec(), Bytes::from_static(b"{}")),
        Operation::Put(Family::EventIndex, entry, Bytes::new()),
        Operation::Put(Family::Messages, key.to_vec(), Bytes::from_static(b"m")),
    ]
}

fn count(spool: &dyn Spool, family: Family) -> usize {
    let mut count = 0;
    spool
        .scan(family, &[], &[u8::MAX; 20], &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    count
}

fn nothing_but_old_events_is_forgotten(spool: &dyn Spool) {
    for id in 0..10 {
        spool.write(&event(id)).unwrap();
    }
    spool.forget_events_before(Id::from_bytes(4_u64.to_be_bytes())).unwrap();
    for id in 4..10_u64 {
        assert!(spool.get(Family::Events, &id.to_be_bytes()).unwrap().is_some(), "{id}");
    }
    assert!(count(spool, Family::EventIndex) >= 6);
    assert_eq!(count(spool, Family::Messages), 10);
}

const CHECKS: [fn(&dyn Spool); 5] = [
    nothing_but_old_events_is_forgotten,
    scans_are_in_order_within_bounds,
    keys_set_once_are_counted,
    values_are_set_and_removed,
    a_scan_sees_one_moment_while_others_write,
];

#[test]
fn the_spool_in_memory_keeps_the_contract() {
    for check in CHECKS {
        check(&MemorySpool::new());
    }
}

#[test]
fn the_spool_in_memory_forgets_what_was_not_synced() {
    let spool = MemorySpool::new();
    spool.write(&[put(Family::State, "a", "1")]).unwrap();
    spool.sync().unwrap();
    spool.write(&[put(Family::State, "b", "1")]).unwrap();
    spool.crash();
    let has = |key: &str| spool.get(Family::State, key.as_bytes()).unwrap().is_some();
    assert!(has("a") && !has("b"));
}

#[cfg(feature = "rocks")]
#[test]
fn the_spool_on_disk_keeps_the_contract() {
    for check in CHECKS {
        let folder = tempfile::tempdir().unwrap();
        check(&super::RocksSpool::open(folder.path()).unwrap());
    }
}

#[cfg(feature = "rocks")]
#[test]
fn old_events_leave_the_disk_when_files_are_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let spool = super::RocksSpool::open(folder.path()).unwrap();
    for id in 0..10 {
        spool.write(&event(id)).unwrap();
    }
    spool.compact();
    assert_eq!(count(&spool, Family::Events), 10);
    spool.forget_events_before(Id::from_bytes(4_u64.to_be_bytes())).unwrap();
    spool.compact();
    let left =
        [Family::Events, Family::EventIndex, Family::Messages].map(|family| count(&spool, family));
    assert_eq!(left, [6, 6, 10]);
}

#[cfg(feature = "rocks")]
#[test]
fn the_spool_on_disk_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let spool = super::RocksSpool::open(folder.path()).unwrap();
    spool.write(&[put(Family::State, "a", "1"), put(Family::Bodies, "b", "x")]).unwrap();
    spool.sync().unwrap();
    drop(spool);
    let spool = super::RocksSpool::open(folder.path()).unwrap();
    assert!(spool.get(Family::State, b"a").unwrap().is_some());
    let other = super::RocksSpool::open(folder.path());
    let text = other.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("in use by another tambo"), "{text}");
}
