//! Who shares a site, or the connections of the relay, gets alike; what is urgent does not wait.

use super::*;

/// Opens, pulls and closes as the dispatch does, for so many pulls; counts what each site got.
fn carried(world: &mut World, sites: &[&str], pulls: usize) -> Vec<usize> {
    let mut counts = vec![0; sites.len()];
    let mut open: Vec<(ConnectionId, usize)> = Vec::new();
    let place = |name: &str| sites.iter().position(|site| *site == name).unwrap();
    let balance = |world: &mut World, site: &str, open: &mut Vec<_>| {
        open.extend(world.open_at(site).into_iter().map(|(id, _)| (id, place(site))));
    };
    for site in sites {
        balance(world, site, &mut open);
    }
    for turn in 0..pulls {
        let (id, site) = open[turn % open.len()];
        if world.pull(id).parse::<u32>().is_ok() {
            counts[site] += 1;
            continue;
        }
        open.retain(|(other, _)| *other != id);
        let own = world.egress.closed(id, NOW).unwrap();
        while let Some(site) = world.egress.next_with_room() {
            balance(world, &site, &mut open);
        }
        balance(world, &own, &mut open);
    }
    counts
}

#[test]
fn who_has_no_limit_does_not_hold_what_others_wait_for() {
    let mut world = world(3, TWO_OF_FIVE, 4);
    let sites = ["smart", "a", "b", "c"];
    for (number, site) in sites.iter().enumerate() {
        let kind = if number == 0 { SiteKind::Smarthost } else { SiteKind::Mx };
        for item in 0..5_000 {
            let to = Destination { kind: kind.clone(), ..to(site) };
            world.push_to(&to, key(), Mail::new(item)).unwrap();
        }
    }
    let counts = carried(&mut world, &sites, 4_000);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    assert!(counts[1].abs_diff(counts[3]) <= 12, "those alike get alike: {counts:?}");
}

#[test]
fn the_backlog_of_a_pool_does_not_keep_another_from_the_site() {
    let pools = ["bulk", "urgent"].map(|name| pool_of(name, &names(3), Rotation::Adaptive));
    let limits = "connections = 2\nconnections_total = 4\nmessages_per_connection = 3\n";
    let mut world = world_of(3, pools.into(), limits, 100);
    world.push(0..1000);
    let open = world.open();
    assert_eq!(open.len(), 4);
    world.pool = "urgent".into();
    world.push(5000..5001);
    assert!(world.open().is_empty(), "the site is full");
    world.close(open[0].0);
    let next = world.open();
    assert_eq!(world.pull(next[0].0), "5000");
}

#[test]
fn accounts_share_a_provider_whatever_the_number_of_their_domains() {
    let mut world = world(1, "", 100);
    for n in 0..300 {
        world.push_to(&at_google(&format!("a{n}.pe")), lane(0, 1), Mail::new(n)).unwrap();
    }
    for n in 0..10 {
        world.push_to(&at_google(&format!("b{n}.pe")), lane(0, 2), Mail::new(1000 + n)).unwrap();
    }
    let mut order = Vec::new();
    let mut open: std::collections::VecDeque<ConnectionId> = std::collections::VecDeque::new();
    while order.len() < 30 {
        world.now = world.now.after(Duration::from_secs(3));
        open.extend(world.open_at("google").into_iter().map(|it| it.0));
        let id = open.pop_front().unwrap();
        if let Ok(number) = world.pull(id).parse::<u32>() {
            order.push(number);
            open.push_back(id);
        } else {
            world.close(id);
        }
    }
    let small = order.iter().filter(|number| **number >= 1000).count();
    assert_eq!(small, 10, "all of the small account are among the first thirty: {order:?}");
}

#[test]
fn an_urgent_message_to_another_tenant_does_not_wait_for_a_campaign() {
    let mut world = world(1, "", 100);
    for n in 0..200 {
        world.push_to(&at_google(&format!("a{}.pe", n % 5)), lane(0, 1), Mail::new(n)).unwrap();
    }
    let open = world.open_at("google");
    assert_eq!(open.len(), 5, "all that one path may have");
    assert_eq!(world.pull(open[0].0), "0");
    world.push_to(&at_google("b.pe"), lane(5, 1), Mail::new(1000)).unwrap();
    assert!(world.open_at("google").is_empty());
    world.now = world.now.after(Duration::from_secs(3));
    assert_eq!(world.pull(open[1].0), "close", "it gives up its place after one message");
    world.close(open[1].0);
    let next = world.open_at("google");
    assert_eq!(world.pull(next[0].0), "1000");
}
