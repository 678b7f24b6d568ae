//! Each rule of the models by itself.

use super::address::Address;
use super::domain::Strike;
use super::outages::{Outage, Trouble};
use super::replies::forms;
use super::rules::{Greylisting, Growth, Rules, Snowshoe};
use super::standing::Hardness;
use super::*;
use relay_config::responses::{Blame, Classifier, Phase, Spoken};

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const KINDS: [Kind; 5] =
    [Kind::Google, Kind::MicrosoftConsumer, Kind::Office365, Kind::Yahoo, Kind::Small];

/// One provider with the rules of a test, and a list.
struct World {
    provider: Provider,
    list: Blocklist,
    now: Timestamp,
    recipient: u64,
}

impl World {
    fn new(rules: Rules) -> Self {
        let provider = Provider::with(0, Kind::Google, rules, 1, START);
        let list = Blocklist::new(Duration::from_hours(72));
        Self { provider, list, now: START, recipient: 0 }
    }

    fn pass(&mut self, minutes: u64) {
        self.now = self.now.after(Duration::from_mins(minutes));
    }

    fn connect(&mut self, last: u8) -> Result<usize, Heard> {
        let (session, said) = self.provider.connect(ip(last), &mut self.list, self.now);
        session.ok_or_else(|| heard(said))
    }

    /// One message to somebody new over an open connection.
    fn offer(&mut self, session: usize, domain: usize) -> Heard {
        self.recipient += 1;
        self.offer_to(session, domain, self.recipient)
    }

    fn offer_to(&mut self, session: usize, domain: usize, rcpt: u64) -> Heard {
        let (now, list) = (self.now, &mut self.list);
        let sender = Sender { domain, local: 1 };
        let mut said = heard(self.provider.mail(session, sender, list, now));
        if said == Taken {
            said = heard(self.provider.rcpt(session, rcpt, list, now));
        }
        if said == Taken {
            said = heard(self.provider.data(session, list, now));
        }
        said
    }

    /// One message over a connection of its own.
    fn send(&mut self, last: u8, domain: usize) -> Heard {
        match self.connect(last) {
            Err(said) => said,
            Ok(session) => {
                let said = self.offer(session, domain);
                self.provider.quit(session);
                said
            }
        }
    }

    /// So many messages at once: how many were taken.
    fn taken(&mut self, last: u8, count: usize) -> usize {
        (0..count).filter(|_| self.send(last, 0) == Taken).count()
    }

    fn address(&self, last: u8) -> &Address {
        &self.provider.addresses[&ip(last)]
    }
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, last)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Taken,
    No(Why),
    /// The connection broke.
    Gone,
}
use Heard::{Gone, No, Taken};

fn heard(said: Said) -> Heard {
    match said.answer {
        Answer::Yes => Taken,
        Answer::No(reply) => No(reply.why),
        Answer::Gone => Gone,
    }
}

#[test]
fn hard_limits_are_refused_and_counted() {
    let rules = Rules {
        connections: 2,
        connections_in_all: 3,
        messages_per_connection: 2,
        ..Rules::easy()
    };
    let mut world = World::new(rules);
    let first = world.connect(1).unwrap();
    let second = world.connect(1).unwrap();
    assert_eq!(world.connect(1), Err(No(Why::Connections)));
    world.connect(2).unwrap();
    assert_eq!(world.connect(3), Err(No(Why::Connections)));
    assert_eq!(world.offer(first, 0), Taken);
    assert_eq!(world.offer(first, 0), Taken);
    assert_eq!(world.offer(first, 0), No(Why::EnoughForConnection));
    assert_eq!(world.offer(first, 0), Gone, "it was closed with 421");
    assert_eq!(world.offer(second, 0), Taken, "the other one goes on");
    world.connect(1).unwrap();
    let violations = world.provider.violations;
    assert_eq!(violations.connections, 1);
    assert_eq!(violations.connections_in_all, 1);
    assert_eq!(violations.messages_per_connection, 1);
    let conduct = &world.address(1).conduct;
    assert_eq!((conduct.connections, conduct.most_at_once, conduct.most_in_one), (3, 2, 2));
    assert_eq!((conduct.accepted, conduct.deferred), (3, 2));
}

#[test]
fn recipients_a_minute_an_hour_and_from_a_network() {
    let mut world = World::new(Rules { per_minute: 5, per_hour: 12, ..Rules::easy() });
    assert_eq!(world.taken(1, 9), 5);
    assert_eq!(world.send(1, 0), No(Why::TooFast));
    assert_eq!(world.send(2, 0), Taken, "another address");
    world.pass(2);
    assert_eq!(world.taken(1, 9), 2, "ten attempts count: twelve in the hour");
    world.pass(60);
    assert_eq!(world.send(1, 0), Taken);

    let mut world = World::new(Rules { netblock_per_hour: Some(10), ..Rules::easy() });
    assert_eq!(world.taken(1, 6) + world.taken(2, 9), 11);
    assert_eq!(world.send(3, 0), No(Why::Netblock), "a third address of the network");
    let list = &mut world.list;
    let (session, _) = world.provider.connect(Ipv4Addr::new(203, 0, 113, 1), list, START);
    assert_eq!(world.offer(session.unwrap(), 0), Taken, "another network");
}

fn a_hundred_a_day() -> Rules {
    let growth = Growth { newcomer: 100.0, factor: 1.5, leeway: 1.2, ..Rules::easy().address };
    Rules { address: growth, tries: 100_000, ..Rules::easy() }
}

#[test]
fn an_unknown_address_may_send_little_and_speed_is_resented() {
    let mut world = World::new(a_hundred_a_day());
    let taken = world.taken(1, 115);
    assert!((100..115).contains(&taken), "{taken}");
    let before = world.address(1).standing.value();
    assert!((before - 0.7).abs() < 1e-9, "within the leeway nobody is angry: {before}");
    assert_eq!(world.taken(1, 100), 0, "and beyond nothing is taken");
    assert!(world.address(1).standing.value() < 0.5);
    world.taken(1, 100);
    let blocks = &world.address(1).standing.blocks;
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].hardness, Hardness::Temporary);
    assert_eq!(world.send(1, 0), No(Why::BlockedForNow));
    assert!(world.address(1).conduct.while_blocked > 0);
    assert_eq!(world.send(2, 0), Taken, "another address is another matter");
    world.pass(60 * 3);
    world.taken(1, 120);
    assert_eq!(world.send(1, 0), No(Why::Blocked), "the next block is of days");
    world.pass(60 * 23);
    assert_eq!(world.send(1, 0), No(Why::Blocked));
}

#[test]
fn patience_and_steady_growth_are_tolerated_everywhere() {
    for moment in [Moment::Banner, Moment::Mail, Moment::Rcpt, Moment::Data] {
        let mut world = World::new(Rules { speaks_at: moment, ..a_hundred_a_day() });
        let mut a_day: usize = 80;
        for day in 0..10 {
            assert_eq!(world.taken(1, a_day), a_day, "{moment:?} day {day}");
            world.pass(24 * 60);
            a_day = a_day * 7 / 5;
        }
        assert!(world.address(1).standing.value() > 0.9);
        world.taken(1, a_day * 4);
        assert!(world.address(1).standing.value() < 0.5, "{moment:?}: a leap is resented");
        let by_day = &world.address(1).conduct.by_day;
        assert_eq!(by_day.iter().map(|count| u64::from(*count)).sum::<u64>(), {
            world.address(1).conduct.accepted
        });
    }
}

#[test]
fn what_was_put_off_counts_as_offered_wherever_it_was_put_off() {
    for moment in [Moment::Banner, Moment::Mail, Moment::Rcpt, Moment::Data] {
        let mut rules = Rules { speaks_at: moment, ..a_hundred_a_day() };
        rules.reputation.over = 0.0;
        let mut world = World::new(rules);
        assert!(world.taken(1, 300) < 130);
        assert_eq!(world.address(1).history.offered(), 300, "{moment:?}");
    }
}

#[test]
fn who_does_not_wait_when_told_to_is_resented() {
    let rules = Rules { per_minute: 5, per_hour: 50, tries: 3, ..a_hundred_a_day() };
    let mut world = World::new(rules);
    assert_eq!(world.taken(1, 6), 5);
    world.taken(1, 3);
    assert_eq!(world.address(1).conduct.impatient, 0, "these may have been on their way");
    world.taken(1, 4);
    assert_eq!(world.address(1).conduct.impatient, 4);
    let value = world.address(1).standing.value();
    assert!((value - 0.684).abs() < 1e-9, "0.4 for a hundred: {value}");
    world.pass(5);
    assert_eq!(world.send(1, 0), Taken);
    assert_eq!(world.address(1).conduct.impatient, 4, "it waited");
}

#[test]
fn too_many_unknown_recipients_are_resented() {
    let rules = Rules { unknown: 0.1, ..Rules::easy() };
    let mut world = World::new(rules.clone());
    let refused = (0..200).filter(|_| world.send(1, 0) == No(Why::Unknown)).count();
    let nobody = (1..=200).filter(|recipient| !world.provider.has(*recipient)).count();
    assert_eq!(refused, nobody);
    assert!((10..35).contains(&nobody), "{nobody}");
    let before = world.address(1).standing.value();
    assert!(before < 0.65);
    world.provider.rules.unknown = 0.02;
    world.pass(24 * 60);
    assert!(world.taken(1, 300) < 300);
    assert!((world.address(1).standing.value() - before).abs() < 1e-9, "a day is judged by itself");
    let mut world = World::new(Rules { unknown: 0.01, ..rules });
    world.taken(1, 500);
    assert!((world.address(1).standing.value() - 0.7).abs() < 1e-9, "a few happen to anybody");
    assert!(world.address(1).conduct.unknown > 0);
}

#[test]
fn a_stranger_is_greylisted_and_comes_again() {
    let greylisting = Greylisting {
        delay: Duration::from_mins(5),
        forgets: Duration::from_hours(30),
        trusts_after: 10,
    };
    let mut world = World::new(Rules { greylisting: Some(greylisting), ..Rules::easy() });
    let session = world.connect(1).unwrap();
    assert_eq!(world.offer_to(session, 0, 7), No(Why::Greylisted));
    world.pass(6);
    assert_eq!(world.offer_to(session, 0, 7), Taken);
    assert_eq!(world.provider.greylist.put_off, 1);
    let other = world.connect(2).unwrap();
    assert_eq!(world.offer_to(other, 0, 7), No(Why::Greylisted), "from another address");
    let mailbox = world.address(1).standing.value();
    assert!((mailbox - 0.7).abs() < 1e-9, "nobody is angry");
}

#[test]
fn full_mailboxes_are_emptied_after_days() {
    let mut world = World::new(Rules { full: 0.2, ..Rules::easy() });
    let session = world.connect(1).unwrap();
    let full = (1..1000).find(|recipient| world.provider.is_full(*recipient)).unwrap();
    assert_eq!(world.offer_to(session, 0, full), No(Why::Full));
    let mut days = 0;
    while world.offer_to(session, 0, full) != Taken {
        world.pass(24 * 60);
        days += 1;
    }
    assert!((1..=9).contains(&days), "{days}");
}

#[test]
fn two_providers_that_block_an_address_have_it_listed_for_a_third() {
    let rules = Rules { asks_list: true, ..a_hundred_a_day() };
    let mut world = World::new(rules.clone());
    world.taken(1, 300);
    assert!(!world.list.lists(ip(1), world.now));
    let (list, now) = (std::mem::replace(&mut world.list, Blocklist::new(Duration::ZERO)), START);
    let mut second = World { list, now, ..World::new(rules.clone()) };
    second.provider.number = 1;
    second.taken(1, 300);
    assert!(second.list.lists(ip(1), START));
    let mut third = World { list: second.list, now, ..World::new(rules) };
    assert_eq!(third.send(1, 0), No(Why::Listed));
    assert_eq!(third.send(2, 0), Taken);
    third.pass(73 * 60);
    assert_eq!(third.send(1, 0), Taken);
}

#[test]
fn troubles_of_a_provider_are_nobodys_fault() {
    let check = |trouble, at_banner: Result<(), Heard>, in_session: Heard| {
        let mut world = World::new(Rules::easy());
        let session = world.connect(1).unwrap();
        let from = world.now.after(Duration::from_mins(10));
        let until = from.after(Duration::from_hours(1));
        world.provider.outages = vec![Outage { from, until, trouble }];
        assert_eq!(world.offer(session, 0), Taken, "{trouble:?} before");
        world.pass(20);
        assert_eq!(world.connect(2).map(|_| ()), at_banner, "{trouble:?}");
        assert_eq!(world.offer(session, 0), in_session, "{trouble:?}");
        world.pass(60);
        assert_eq!(world.send(1, 0), Taken, "{trouble:?} after");
        assert!((world.address(1).standing.value() - 0.7).abs() < 0.05);
    };
    check(Trouble::Silent, Err(Gone), Gone);
    check(Trouble::Down, Err(Gone), Gone);
    check(Trouble::Busy, Err(No(Why::Trouble)), Taken);
    check(Trouble::Failing, Ok(()), No(Why::Trouble));
}

fn strike(from: Timestamp) -> Strike {
    let hours = Duration::from_hours;
    let until = from.after(hours(20));
    Strike { domain: 2, from, until, each_adds: hours(5), new_addresses: 0 }
}

#[test]
fn a_struck_domain_is_refused_from_everywhere_and_new_addresses_make_it_worse() {
    let mut world = World::new(Rules::easy());
    world.provider.strike = Some(strike(START.after(Duration::from_hours(1))));
    assert_eq!(world.send(1, 2), Taken);
    assert_eq!(world.send(2, 2), Taken);
    world.pass(70);
    assert_eq!(world.send(1, 2), No(Why::DomainBlocked));
    assert_eq!(world.send(2, 2), No(Why::DomainBlocked));
    assert_eq!(world.send(1, 3), Taken, "another domain");
    let (strike, before) = (world.provider.strike.clone().unwrap(), 0.7);
    assert_eq!(strike.new_addresses, 0, "these were there before");
    assert_eq!(world.send(3, 2), No(Why::DomainBlocked));
    assert_eq!(world.send(3, 2), No(Why::DomainBlocked));
    let worse = world.provider.strike.clone().unwrap();
    assert_eq!(worse.until, strike.until.after(Duration::from_hours(5)), "once");
    assert!(world.address(3).standing.value() < before);
    assert!((world.address(1).standing.value() - before).abs() < 1e-9);
    world.pass(20 * 60);
    assert_eq!(world.send(1, 2), No(Why::DomainBlocked));
    world.pass(5 * 60);
    assert_eq!(world.send(1, 2), Taken);
}

#[test]
fn a_domain_that_grows_too_fast_is_put_off_from_every_address() {
    let growth = Growth { newcomer: 50.0, ..Rules::easy().address };
    let mut world = World::new(Rules { domain: Some(growth), ..Rules::easy() });
    let taken: usize = (1..=10).map(|address| world.taken(address, 9)).sum();
    assert!((50..61).contains(&taken), "{taken}");
    assert_eq!(world.send(20, 0), No(Why::DomainTooMuch));
    assert_eq!(world.send(20, 1), Taken, "another domain");
    for _ in 0..150 {
        world.send(21, 0);
    }
    assert_eq!(world.provider.domains[0].standing.blocks.len(), 1);
    assert!(world.address(21).standing.blocks.is_empty(), "the address is not to blame");
    let offered = world.provider.domains[3].history.offered();
    world.provider.rules.per_minute = 4;
    (0..40).for_each(|_| {
        world.send(22, 3);
    });
    let more = world.provider.domains[3].history.offered() - offered;
    assert_eq!(more, 4, "what the address was refused for is not the domain's doing");
}

#[test]
fn mail_spread_thin_over_new_addresses_is_found() {
    let snowshoe = Snowshoe { addresses: 8, little: 20, new_for: Duration::from_hours(24 * 7) };
    let rules = Rules { snowshoe: Some(snowshoe), ..Rules::easy() };
    let day = |addresses: u8, each: usize, old: bool| {
        let mut world = World::new(rules.clone());
        for last in 0..addresses {
            if old {
                world.provider.acquaint(ip(last), 10.0, START.before(Duration::from_hours(999)));
            }
            world.taken(last, each);
        }
        world.pass(24 * 60);
        world.send(99, 4);
        let value = world.address(0).standing.value();
        (world.provider.domains[0].snowshoe_days, value < 0.6)
    };
    assert_eq!(day(8, 20, false), (1, true));
    assert_eq!(day(7, 20, false), (0, false), "few addresses");
    assert_eq!(day(8, 21, false), (0, false), "not so little");
    assert_eq!(day(8, 20, true), (0, false), "known of old");
}

#[test]
fn who_has_been_good_for_long_may_send_much_at_once() {
    let mut world = World::new(a_hundred_a_day());
    world.provider.acquaint(ip(1), 2000.0, START.before(Duration::from_hours(999)));
    assert_eq!(world.taken(1, 3000), 3000);
    assert!((world.address(1).history.level() - 2000.0).abs() < 1e-9);
}

#[test]
fn a_seed_gives_the_same_replies_to_the_same_questions() {
    let story = |seed| {
        let mut internet = Internet::draw(seed, 20, START);
        let mut said = Vec::new();
        for round in 0..3000_u64 {
            let now = START.after(Duration::from_mins(round * 7));
            let provider = usize::try_from(round % 24).unwrap();
            let (session, answer) = internet.connect(provider, ip((round % 5) as u8), now);
            said.push(answer);
            let Some(session) = session else { continue };
            for recipient in 0..9 {
                let sender = Sender { domain: (round % 5) as usize, local: 3 };
                said.push(internet.mail(session, sender, now));
                said.push(internet.rcpt(session, round * 100 + recipient, now));
                said.push(internet.data(session, now));
            }
            internet.quit(session);
        }
        said
    };
    assert!(story(1) == story(1));
    assert!(story(1) != story(2));
    let refused = story(1).iter().filter(|said| said.answer != Answer::Yes).count();
    assert!(refused > 100, "{refused}");
}

#[test]
fn about_half_of_the_seeds_strike_a_domain() {
    let struck = (0..60)
        .filter(|seed| {
            let internet = Internet::draw(*seed, 0, START);
            internet.providers.iter().any(|provider| provider.strike.is_some())
        })
        .count();
    assert!((20..=40).contains(&struck), "{struck}");
}

/// Texts are real ones, so a reader of replies finds in them what was meant.
#[test]
fn replies_blame_what_they_are_about() {
    let reasons: [(Why, Phase, &[Blame]); 14] = [
        (Why::Connections, Phase::Greeting, &[Blame::Source]),
        (Why::EnoughForConnection, Phase::Mail, &[Blame::Connection]),
        (Why::TooFast, Phase::Rcpt, &[Blame::Source]),
        (Why::TooMuch, Phase::Rcpt, &[Blame::Source]),
        (Why::Netblock, Phase::Rcpt, &[Blame::Netblock, Blame::Source]),
        (Why::BlockedForNow, Phase::Rcpt, &[Blame::Source]),
        (Why::Blocked, Phase::Rcpt, &[Blame::Source]),
        (Why::Listed, Phase::Rcpt, &[Blame::Source]),
        (Why::DomainTooMuch, Phase::Final, &[Blame::SendingDomain]),
        (Why::DomainBlocked, Phase::Final, &[Blame::SendingDomain]),
        (Why::Greylisted, Phase::Rcpt, &[Blame::Triplet]),
        (Why::Unknown, Phase::Rcpt, &[Blame::Recipient]),
        (Why::Full, Phase::Rcpt, &[Blame::Recipient]),
        (Why::Trouble, Phase::Final, &[Blame::Receiver]),
    ];
    let rules = Classifier::builtin();
    let mut wrong = Vec::new();
    for kind in KINDS {
        for (why, phase, blamed) in reasons {
            for form in forms(kind, why) {
                let reply =
                    Reply { why, form, address: ip(7), domain: 1, recipient: 5, token: 0xbeef };
                let spoken = Spoken::parse(&reply.line()).unwrap();
                assert!(!reply.line().contains('{'), "{form}");
                assert_eq!(spoken.code, reply.code());
                let verdict = rules.classify(&spoken.said(Some(phase), None));
                if !verdict.scope.iter().any(|blame| blamed.contains(blame)) {
                    wrong.push(format!("{kind:?} {why:?} {} {:?}", verdict.rule, verdict.scope));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
