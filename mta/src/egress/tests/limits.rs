//! Rates, connections a minute, days and messages of a connection: none is exceeded, also over a crash.

use super::super::Kept;
use super::*;

#[test]
fn transactions_of_one_delivery_count_each() {
    let mut world = world(1, TWO_OF_FIVE, 100);
    world.push(0..9);
    let id = world.open()[0].0;
    assert_eq!(world.pull(id), "0");
    let more: Vec<bool> = (0..3).map(|_| world.egress.begin_another(id, NOW)).collect();
    assert_eq!(more, [true, true, false], "three is the limit");
    assert_eq!(world.pull(id), "close");
}

#[test]
fn a_rate_spaces_recipients_evenly() {
    let mut world = world(1, "connections = 2\nrate = \"60/m\"\n", 100);
    world.push(0..9);
    let open = world.open();
    assert_eq!(world.pull(open[0].0), "0");
    assert_eq!(world.pull(open[0].0), "wait 1");
    assert_eq!(world.pull(open[1].0), "wait 1", "the limit is the path's");
    world.now = NOW.after(Duration::from_secs(1));
    assert_eq!(world.pull(open[0].0), "1");
}

#[test]
fn a_rate_of_all_sources_holds_over_them_all() {
    let mut world = world(2, "connections = 1\nrate_total = \"60/m\"\n", 100);
    world.push(0..9);
    let open = world.open();
    assert_eq!((open.len(), world.pull(open[0].0)), (2, "0".to_owned()));
    assert_eq!(world.pull(open[1].0), "wait 1");
    world.now = NOW.after(Duration::from_secs(1));
    assert_eq!((world.pull(open[1].0), world.pull(open[0].0)), ("1".into(), "wait 1".into()));
}

#[test]
fn connections_are_opened_no_faster_than_both_limits_allow() {
    let limits = "connections = 9\nconnections_total = 90\nconnections_per_minute = 30\n\
                  connections_per_minute_total = 40\n";
    let mut world = world(2, limits, 100);
    world.push(0..1000);
    let mut opened = Vec::new();
    for second in 0..6 {
        world.now = NOW.after(Duration::from_millis(1500) * second);
        opened.extend(world.open().into_iter().map(|(_, source)| (second, source)));
    }
    let sources: Vec<&str> = opened.iter().map(|(_, source)| source.as_str()).collect();
    assert_eq!(
        sources,
        ["ip-0", "ip-1", "ip-0", "ip-1", "ip-0", "ip-1"],
        "one every 1.5 s, 2 s for each"
    );
}

#[test]
fn what_a_day_may_carry_is_counted_in_recipients_and_waits_for_the_next() {
    let mut world = world(1, "messages_per_connection = 100\nper_day = 10\n", 100);
    for number in 0..4 {
        let mail = Mail { recipients: 3, ..Mail::new(number) };
        world.push_to(&to("mx.x.pe"), key(), mail).unwrap();
    }
    let id = world.open()[0].0;
    let mut sent = Vec::new();
    for half_hour in 0..47 {
        world.now = NOW.after(Duration::from_mins(30) * half_hour);
        loop {
            match world.egress.pull(id, world.now) {
                Pull::Deliver { recipients, .. } => sent.push(recipients),
                Pull::Save => {
                    let savings = world.egress.to_save(world.now);
                    world.egress.saved(&savings);
                }
                _ => break,
            }
        }
    }
    assert_eq!(sent, [3, 3, 3, 1], "the last is divided");
    let refused = world.egress.push(&to("mx.x.pe"), &world.pool, key(), Mail::new(9), world.now);
    let Err((_, Refused::Waits(waits))) = refused else { unreachable!("{refused:?}") };
    assert_eq!(waits.why, WaitsFor::Source(Reason::DaySpent(10)));
}

#[test]
fn a_block_of_a_cap_that_was_written_counts_as_used_after_a_crash() {
    let mut sent = 0;
    let mut kept = Vec::new();
    for crash in 0..30 {
        let mut world = world(1, "messages_per_connection = 100\nper_day = 40\n", 100);
        world.egress.restore(kept.clone());
        world.now = NOW.after(Duration::from_mins(30) * crash);
        world.push_to(&to("mx.x.pe"), key(), Mail::new(1)).ok();
        world.push_to(&to("mx.x.pe"), key(), Mail::new(2)).ok();
        for (id, _) in world.open() {
            loop {
                match world.egress.pull(id, world.now) {
                    Pull::Deliver { recipients, .. } => sent += recipients,
                    Pull::Save => {
                        let savings = world.egress.to_save(world.now);
                        for saving in &savings {
                            let value = saving.value.clone().unwrap();
                            kept.retain(|it: &Kept| it.key != saving.key);
                            kept.push(Kept { key: saving.key.clone(), value });
                        }
                        world.egress.saved(&savings);
                    }
                    _ => break,
                }
            }
        }
    }
    assert!((1..=40).contains(&sent), "{sent}");
}

#[test]
fn a_backlog_at_a_slow_site_waits_on_disk() {
    let mut world = world(1, "rate = \"60/h\"\n", 100);
    let mut refused = Vec::new();
    for number in 0..200 {
        if let Err(Refused::Waits(waits)) = world.push_to(&to("mx.x.pe"), key(), Mail::new(number))
        {
            assert_eq!(waits.why, WaitsFor::Backlog);
            refused.push(waits.until);
        }
    }
    assert!((150..=180).contains(&refused.len()), "{}", refused.len());
    let (first, last) = (refused.iter().min().unwrap(), refused.iter().max().unwrap());
    assert!(*first > NOW && *last <= NOW.after(Duration::from_hours(1)));
    assert_eq!(world.push_to(&to("mx.x.pe"), lane(0, 7), Mail::new(9)), Ok(()), "another lane");
}
