//! Which sources a site is sent to from, day after day: enough from each, the new ones a few at a time.

use std::collections::BTreeMap;

use relay_config::config::{WarmUpSchedule, Warmth};

use super::super::Heard;
use super::*;

const DAY_LASTS: Duration = Duration::from_hours(24);
const STEP: Duration = Duration::from_mins(5);

/// So many warm sources and so many cold ones, in a pool that warms up.
fn pool_with(warm: usize, cold: usize, warms_up: bool) -> World {
    let count = warm + cold;
    let mut pool = pool_of("p", &names(count), Rotation::Adaptive);
    pool.warm_up = warms_up.then(WarmUpSchedule::built_in);
    let pools = [Arc::new(pool)];
    let mut made: Vec<_> = names(count).iter().map(source).collect();
    for source in made.iter_mut().take(warm) {
        Arc::get_mut(source).unwrap().warmth = Warmth::Warm;
    }
    let sources = Sources::new(&made, &pools, |_| true);
    let limits = "connections = 5\nconnections_total = 20\nrate = \"1500/h\"\n";
    let egress = Egress::new(sources, settings(limits, 100), NOW.before(DAY_LASTS));
    World { egress, to: to("google"), pool: Arc::clone(&pools[0].name), now: NOW }
}

/// A day on which so much mail comes evenly and all of it is taken. Returns what each source carried.
fn day(world: &mut World, messages: u32) -> BTreeMap<String, u32> {
    let mut carried = BTreeMap::new();
    let steps = u32::try_from(DAY_LASTS.as_secs() / STEP.as_secs()).unwrap();
    let to = at_google("x.pe");
    let begins = world.now;
    for step in 0..steps {
        world.now = begins.after(STEP * step);
        for number in messages * step / steps..messages * (step + 1) / steps {
            world.push_to(&to, key(), Mail::new(number)).ok();
            let mut open = world.open_at("google");
            while let Some((id, source)) = open.pop() {
                while world.pull(id).parse::<u32>().is_ok() {
                    *carried.entry(source.clone()).or_default() += 1;
                    take(world, &source);
                }
                world.close(id);
                open.extend(world.open_at("google"));
            }
            world.now = world.now.after(Duration::from_millis(2500));
        }
    }
    world.now = begins.after(DAY_LASTS);
    carried
}

fn take(world: &mut World, source: &str) {
    let heard = Heard {
        site: &"google".into(),
        source: &source.into(),
        pool: &world.pool,
        sending_domain: None,
        campaign: "",
        recipient_domain: "x.pe",
        accepted: 1,
        said: Vec::new(),
        transactions: 1,
    };
    world.egress.heard(&heard, world.now);
}

fn caps(world: &World) -> Vec<u32> {
    let view = world.egress.view(&at_google("x.pe"), "p", world.now);
    view.paths.iter().filter_map(|path| path.cap).collect()
}

#[test]
fn a_cold_source_warms_up_beside_warm_ones_that_have_room() {
    let mut world = pool_with(3, 1, true);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let carried = day(&mut world, 2_000);
        seen.push(carried.get("ip-3").copied().unwrap_or(0));
        world.egress.balance(&"google".into(), world.now);
    }
    let mut schedule = [50, 75, 100, 150, 200, 300].iter().zip(&seen);
    assert!(schedule.all(|(cap, went)| went * 4 >= cap * 3 && went <= cap), "{seen:?}");
}

#[test]
fn new_sources_come_a_few_at_a_time() {
    let mut world = pool_with(6, 12, true);
    let carried = day(&mut world, 6_000);
    let new = carried.keys().filter(|name| name[3..].parse::<u32>().unwrap() >= 6).count();
    assert_eq!(new, 3, "fewer than half of those that the site knows: {carried:?}");
    world.push_to(&at_google("x.pe"), key(), Mail::new(1)).unwrap();
    assert_eq!(caps(&world), [75, 75, 75, 50, 50, 50, 50, 50, 50, 50, 50, 50]);
}

#[test]
fn warm_sources_share_evenly_as_many_as_get_enough() {
    for (messages, in_use) in [(600, 1), (6_000, 6)] {
        let mut world = pool_with(6, 0, false);
        let carried = day(&mut world, messages);
        assert_eq!(carried.len(), in_use, "{carried:?}");
        let even = messages / u32::try_from(in_use).unwrap();
        let fair = carried.values().all(|count| count.abs_diff(even) * 5 <= even);
        assert!(fair, "{messages}: {carried:?}");
    }
}

#[test]
fn urgent_mail_and_what_was_refused_go_from_where_a_site_knows_us() {
    let mut world = pool_with(1, 1, true);
    day(&mut world, 100);
    for number in 0..200 {
        world.now = world.now.after(Duration::from_mins(1));
        let urgent = number % 2 == 0;
        let refused = (!urgent).then_some("ip-0");
        let mail = Mail { refused, ..Mail::new(number) };
        world.push_to(&at_google("x.pe"), lane(i8::from(urgent) * 5, 0), mail).unwrap();
        world.push_to(&at_google("x.pe"), lane(5, 0), Mail::new(1000 + number)).unwrap();
        assert!(world.run_at("google").iter().all(|source| source == "ip-0"));
        world.now = world.now.after(Duration::from_secs(3));
        assert!(world.run_at("google").iter().all(|source| source == "ip-0"));
    }
}
