//! What follows from what peers say: each blame reaches as far as it goes, and no further.

use relay_config::responses::{Classifier, Phase, Spoken};

use super::super::{DecisionKind, Health, Heard, Said, SourceLever, Standing};
use super::*;

const BLOCKED: &str = "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service \
     provider since part of their network is on our block list (S3140).";
const TOO_FAST: &str = "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.";
const DOMAIN: &str =
    "421 4.7.0 This message is suspicious due to the very low reputation of the sending domain";
const NOBODY: &str = "550 5.1.1 no such user";

fn provider(name: &str) -> Destination {
    let host_set = format!("mx.{name}.pe").into();
    Destination { site: name.into(), host_set, kind: SiteKind::Provider(name.into()) }
}

impl World {
    /// A delivery from a source ended with this reply; an empty one: it was taken.
    fn hear(&mut self, to: &Destination, source: &str, reply: &str) {
        let verdict = (!reply.is_empty()).then(|| {
            let spoken = Spoken::parse(reply).unwrap();
            Classifier::builtin().classify(&spoken.said(Some(Phase::Rcpt), None))
        });
        let said = verdict.iter().map(|verdict| Said { verdict, recipients: 1, reply }).collect();
        let (source, pool) = (source.into(), Arc::clone(&self.pool));
        self.egress.site(&to.site, &to.kind, &pool);
        self.egress.advance(&to.site, &pool, self.now);
        let heard = Heard {
            site: &to.site,
            source: &source,
            pool: &pool,
            sending_domain: Some("x.pe"),
            campaign: "c",
            recipient_domain: "y.pe",
            accepted: u32::from(reply.is_empty()),
            said,
            transactions: 1,
        };
        self.egress.heard(&heard, self.now);
    }

    fn health(&mut self, to: &Destination, source: &str) -> Health {
        let pool = Arc::clone(&self.pool);
        self.egress.site(&to.site, &to.kind, &pool);
        self.egress.advance(&to.site, &pool, self.now);
        self.egress.sites[&to.site].paths[source].health
    }

    fn decided(&mut self) -> Vec<DecisionKind> {
        self.egress.take_decisions().into_iter().map(|decision| decision.kind).collect()
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }
}

#[test]
fn a_path_that_is_blocked_rests_and_comes_back_by_probes() {
    let mut world = world(3, "rate = \"600/h\"\nconnections = 5\n", 100);
    let (here, there) = (provider("google"), provider("yahoo"));
    world.hear(&here, "ip-0", "");
    world.hear(&here, "ip-0", BLOCKED);
    assert!(matches!(world.health(&here, "ip-0"), Health::Suspended { moves: true, .. }));
    assert_eq!(world.health(&there, "ip-0"), Health::Active, "elsewhere it goes on");
    assert_eq!(world.health(&here, "ip-1"), Health::Active);
    assert_eq!(world.decided(), [DecisionKind::Suspended, DecisionKind::Alert]);
    world.hear(&here, "ip-0", BLOCKED);
    assert_eq!(world.decided(), [], "the same is not told again");
    for number in 0..6 {
        world.push_to(&here, key(), Mail::new(number)).unwrap();
    }
    let from = world.run_at("google");
    assert!(!from.contains(&"ip-0".to_owned()), "{from:?}");

    world.later(Duration::from_hours(25));
    assert_eq!(world.health(&here, "ip-0"), Health::Probing { taken: 0 });
    for _ in 0..3 {
        world.hear(&here, "ip-0", "");
    }
    assert_eq!(world.health(&here, "ip-0"), Health::Active);
    let path = &world.egress.sites["google"].paths["ip-0"];
    let rate = path.learned.rate.unwrap();
    let full = rate.value(world.now.after(Duration::from_hours(10)));
    assert!(
        rate.value(world.now).unwrap() <= 150 && full.is_none(),
        "a tenth first, all by and by"
    );
}

#[test]
fn who_is_asked_for_less_sends_less_and_its_share_waits() {
    let mut world = world(2, "rate = \"600/h\"\n", 100);
    let here = provider("google");
    for source in ["ip-0", "ip-1"] {
        world.push_to(&here, key(), Mail::new(1)).unwrap();
        world.hear(&here, source, "");
        let path = world.egress.sites.get_mut("google").unwrap().paths.get_mut(source).unwrap();
        path.last_used = world.now;
    }
    world.hear(&here, "ip-0", TOO_FAST);
    assert!(matches!(world.health(&here, "ip-0"), Health::Slowed { .. }));
    let pushed: Vec<bool> =
        (0..20).map(|number| world.push_to(&here, key(), Mail::new(number)).is_ok()).collect();
    let waiting = pushed.iter().filter(|kept| !**kept).count();
    assert_eq!(waiting, 10, "half of the mail was its share");
    world.later(Duration::from_hours(1));
    assert_eq!(world.health(&here, "ip-0"), Health::Active);
    let path = &world.egress.sites["google"].paths["ip-0"];
    let rate = path.learned.rate.unwrap().value(world.now).unwrap();
    assert!(rate < 800, "{rate}: not at once the 1,500 that are configured");
}

#[test]
fn a_domain_is_halted_at_one_site_from_every_source_and_no_source_is_blamed() {
    let mut world = world(3, "", 100);
    let (here, there) = (provider("google"), provider("yahoo"));
    world.push_to(&here, key(), Mail::new(1)).unwrap();
    for source in ["ip-0", "ip-1", "ip-2"] {
        for site in ["google", "yahoo", "office365", "apple"] {
            if site != "yahoo" {
                world.hear(&provider(site), source, DOMAIN);
            }
            assert_eq!(world.health(&provider(site), source), Health::Active);
        }
    }
    assert_eq!(world.decided().iter().filter(|it| **it == DecisionKind::Halted).count(), 3);
    let out = world.egress.take_halted(&"google".into(), world.now);
    assert_eq!(out.len(), 1, "what waits goes back to disk");
    let refused = world.push_to(&here, key(), Mail::new(2)).unwrap_err();
    let Refused::Waits(waits) = refused else { unreachable!() };
    assert_eq!(waits.why, WaitsFor::Halted("G08".to_owned()));
    let other = Mail { domain: Some("other.pe"), campaign: "d", ..Mail::new(3) };
    assert_eq!(world.push_to(&here, key(), other), Ok(()));
    assert_eq!(world.push_to(&there, key(), Mail::new(4)), Ok(()));
    assert!(world.egress.wanted().is_empty(), "and none is replaced");
}

#[test]
fn what_a_recipient_is_blamed_for_counts_against_nobody_else() {
    let mut world = world(1, "", 100);
    let here = provider("google");
    for _ in 0..500 {
        world.hear(&here, "ip-0", NOBODY);
    }
    assert_eq!(world.health(&here, "ip-0"), Health::Active);
    assert_eq!(world.decided(), []);
    assert_eq!(world.push_to(&here, key(), Mail::new(1)), Ok(()));
}

#[test]
fn several_sites_replace_a_source_but_not_strangers_alone() {
    let mut world = with_standby();
    for n in 0..9 {
        world.hear(&to(&format!("mx.stranger{n}.pe")), "ip-0", BLOCKED);
    }
    assert_eq!(world.egress.sources().standing("ip-0"), Some(&Standing::Good));
    for name in ["google", "yahoo", "apple"] {
        world.hear(&provider(name), "ip-1", BLOCKED);
    }
    assert!(matches!(world.egress.sources().standing("ip-1"), Some(Standing::Quarantined { .. })));
    let wanted = world.egress.wanted().remove(0);
    assert_eq!((&*wanted.left, wanted.candidates.len()), ("ip-1", 1));
    assert!(world.egress.join(&wanted, &"ip-3".into()));
    assert!(world.egress.wanted().is_empty());
    let active: Vec<&str> = world.egress.sources().active("p").iter().map(|name| &**name).collect();
    assert_eq!(active, ["ip-0", "ip-2", "ip-3"]);
    // A second one on the same day is more than a quarter of three.
    world.decided();
    world.egress.listed(&"ip-2".into(), Some("on a list"), world.now);
    assert_eq!(world.decided(), [DecisionKind::Alert]);
    assert!(world.egress.sources().is_usable("ip-2"));
    // Clean for a day: it waits again.
    world.later(Duration::from_hours(25));
    world.egress.review_quarantine(world.now);
    assert_eq!(world.decided(), [DecisionKind::Returned]);
    assert_eq!(world.egress.sources().standby("p").len(), 1);
}

/// Three active sources and one that waits.
fn with_standby() -> World {
    let pool = Pool { standby: vec!["ip-3".into()], ..pool_of("p", &names(3), Rotation::Adaptive) };
    world_of(4, vec![pool], "", 100)
}

#[test]
fn who_left_and_who_took_the_place_is_known_after_a_restart() {
    let mut world = with_standby();
    world.egress.listed(&"ip-1".into(), Some("on a list"), world.now);
    let wanted = world.egress.wanted().remove(0);
    world.egress.join(&wanted, &"ip-3".into());
    world.hear(&provider("google"), "ip-0", BLOCKED);
    world.hear(&provider("google"), "ip-0", DOMAIN);
    let why = "by hand".to_owned();
    let lever = SourceLever::Suspend { why, until: None };
    world.egress.pull_source_lever(&"ip-2".into(), lever, world.now).unwrap();
    let kept = world.egress.to_save(world.now).into_iter().filter_map(|saving| {
        Some(super::super::Kept { key: saving.key.clone(), value: saving.value.clone()? })
    });
    let kept: Vec<_> = kept.collect();

    let mut after = with_standby();
    assert_eq!(after.egress.restore(kept), Vec::<String>::new());
    let sources = after.egress.sources();
    assert_eq!((sources.is_usable("ip-1"), sources.is_usable("ip-2")), (false, false));
    assert!(sources.active("p").iter().any(|name| &**name == "ip-3"));
    assert!(after.egress.wanted().is_empty(), "the place is taken");
    assert!(matches!(after.health(&provider("google"), "ip-0"), Health::Suspended { .. }));
    let refused = after.push_to(&provider("google"), key(), Mail::new(1));
    assert!(matches!(refused, Err(Refused::Waits(_))), "{refused:?}");
}

#[test]
fn what_is_known_at_hosts_holds_at_those_that_replace_them() {
    let mut world = world(2, "", 100);
    world.hear(&to("mx1.x.pe"), "ip-0", BLOCKED);
    world.egress.inherit("mx1.x.pe", &to("mx2.x.pe"), world.now);
    assert!(matches!(world.health(&to("mx2.x.pe"), "ip-0"), Health::Suspended { .. }));
    assert_eq!(world.health(&to("mx2.x.pe"), "ip-1"), Health::Active);
    world.egress.inherit("mx3.x.pe", &to("mx2.x.pe"), world.now);
    assert!(matches!(world.health(&to("mx2.x.pe"), "ip-0"), Health::Suspended { .. }));
}

#[test]
fn a_smarthost_may_ask_for_less_and_judges_nobody() {
    let mut world = world(1, "", 100);
    let here = Destination { kind: SiteKind::Smarthost, ..to("mail.x.pe:25") };
    for reply in [BLOCKED, DOMAIN] {
        world.hear(&here, "ip-0", reply);
    }
    assert_eq!(world.health(&here, "ip-0"), Health::Active);
    assert_eq!(world.push_to(&here, key(), Mail::new(1)), Ok(()));
}

#[test]
fn a_source_that_is_refused_in_silence_while_others_are_heard_rests() {
    let mut world = world(2, TWO_OF_FIVE, 100);
    world.push(0..100);
    let mut failed = 0;
    for _ in 0..40 {
        for action in world.balance("mx.x.pe") {
            let Action::Open { connection, source, .. } = action else { continue };
            if &*source.name == "ip-0" {
                world.egress.failed_to_open(connection, &failure(), world.now);
                failed += 1;
            } else {
                world.egress.opened(connection, world.now);
            }
        }
        world.later(Duration::from_secs(31));
    }
    assert!(matches!(world.health(&to("mx.x.pe"), "ip-0"), Health::Suspended { .. }));
    assert!((3..=6).contains(&failed), "{failed}");
    let said = world.egress.take_decisions();
    assert!(said[0].text.contains("in silence"), "{said:?}");
}

#[test]
fn neighbours_share_the_blame_of_their_network_and_of_nothing_else() {
    let mut world = world(3, "", 100);
    let (here, there) = (provider("google"), provider("yahoo"));
    world.hear(&here, "ip-0", "421 4.7.28 unusual rate of mail originating from your IP netblock");
    for source in ["ip-0", "ip-1", "ip-2"] {
        world.hear(&there, source, "");
        assert!(matches!(world.health(&here, source), Health::Slowed { .. }), "{source}");
        assert_eq!(world.health(&there, source), Health::Active);
    }
}

#[test]
fn other_sources_take_the_mail_of_a_path_only_when_the_rule_says_so() {
    let mut world = world(2, "", 100);
    let here = provider("google");
    let moves = |world: &mut World| match world.health(&here, "ip-0") {
        Health::Suspended { moves, .. } => Some(moves),
        _ => None,
    };
    let blamed = "550 very low reputation of the sending IP";
    world.hear(&here, "ip-0", blamed);
    assert_eq!(moves(&mut world), Some(false), "said once, its share waits");
    world.later(Duration::from_hours(5));
    world.hear(&here, "ip-0", blamed);
    assert_eq!(moves(&mut world), Some(true), "said again");
}

#[test]
fn what_waits_for_a_source_goes_from_another_once_that_is_blocked() {
    let mut world = world(2, TWO_OF_FIVE, 100);
    let here = provider("google");
    let greylisted = Mail { same: Some("ip-0"), ..Mail::new(7) };
    world.push_to(&here, key(), greylisted).unwrap();
    world.hear(&here, "ip-0", BLOCKED);
    assert_eq!(world.run_at("google"), ["ip-1"]);
}

#[test]
fn a_campaign_is_halted_alone() {
    let mut world = world(2, "", 100);
    let here = provider("google");
    let content = "550 5.7.1 suspicious due to the nature of the content or the links within";
    world.hear(&here, "ip-0", content);
    assert_eq!(world.health(&here, "ip-0"), Health::Active);
    assert!(world.decided().contains(&DecisionKind::Halted));
    let refused = world.push_to(&here, key(), Mail::new(1)).unwrap_err();
    assert!(matches!(refused, Refused::Waits(_)), "{refused:?}");
    let other = Mail { campaign: "d", ..Mail::new(2) };
    assert_eq!(world.push_to(&here, key(), other), Ok(()), "other mail of the domain goes on");
}

#[test]
fn fewer_connections_and_fewer_messages_of_each_are_learned() {
    let mut world = world(1, "connections = 8\nmessages_per_connection = 50\n", 100);
    let here = provider("elsewhere");
    world.hear(&here, "ip-0", "");
    let found = |world: &World| {
        let site = &world.egress.sites["elsewhere"];
        let limits = &site.pools[&world.pool].limits;
        let path = &site.paths["ip-0"];
        (path.connections(limits, world.now), path.messages(limits, world.now))
    };
    assert_eq!(found(&world), (8, 50));
    let site = world.egress.sites.get_mut("elsewhere").unwrap();
    site.paths.get_mut("ip-0").unwrap().open = 6;
    world.hear(&here, "ip-0", "421 too many concurrent connections from your host");
    assert_eq!(found(&world), (3, 50), "half of those that were open");
    world.hear(&here, "ip-0", "451 Max message per connection reached");
    assert_eq!(found(&world).1, 1, "the connection had carried none before");
}
