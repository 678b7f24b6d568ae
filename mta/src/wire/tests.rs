//! Who sees what, and what is left out.

use super::*;

struct Clock(AtomicU64);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn watches() -> (Arc<Watches>, Arc<Clock>) {
    let clock = Arc::new(Clock(AtomicU64::new(1_000)));
    (Watches::new(Arc::clone(&clock) as Arc<dyn WallClock>), clock)
}

fn to(site: &str) -> About {
    About {
        direction: Direction::Out,
        peer: None,
        host: None,
        site: Some(site.into()),
        provider: None,
        source: Some("a".into()),
        listener: None,
    }
}

fn from(client: &str) -> About {
    let peer = Some(client.parse().unwrap());
    let (direction, listener) = (Direction::In, Some("submission".into()));
    About { direction, peer, host: None, site: None, provider: None, source: None, listener }
}

fn wanted() -> Wanted {
    Wanted { connections: 10, ..Wanted::default() }
}

fn seen(watching: &mut Watching) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = watching.at_once() {
        lines.push(format!("{} {} {}", line.connection, line.kind.word(), line.text));
    }
    lines
}

fn opened(watches: &Arc<Watches>, about: About) -> Tap {
    let mut tap = Tap::default();
    tap.look(watches, || about);
    tap
}

fn mail(tap: &Tap, recipient: &str) {
    let Some(watched) = tap.watched() else { return };
    watched.say(Kind::Sent, "MAIL FROM:<x@y.pe>");
    watched.say(Kind::Sent, format!("RCPT TO:<{recipient}> NOTIFY=NEVER"));
    watched.say(Kind::Heard, "250 2.0.0 ok");
}

#[test]
fn nobody_is_asked_about_while_nobody_watches() {
    let (watches, _) = watches();
    let mut tap = Tap::default();
    let never = || -> About { panic!("nobody watches") };
    assert!(!tap.look(&watches, never));
    drop(watches.watch(wanted()));
    assert!(!tap.look(&watches, never), "nor after somebody did");
    assert!(tap.watched().is_none());
}

#[test]
fn who_comes_later_sees_a_connection_that_is_open_and_goes_without_it_noticing() {
    let (watches, _) = watches();
    let mut tap = opened(&watches, to("google"));
    let mut first = watches.watch(wanted()).unwrap();
    assert!(tap.look(&watches, || to("google")));
    assert!(!tap.look(&watches, || to("google")));
    tap.watched().unwrap().say(Kind::Sent, "RSET");
    assert_eq!(seen(&mut first), ["1 begun ", "1 sent RSET"]);
    let mut second = watches.watch(wanted()).unwrap();
    assert!(tap.look(&watches, || to("google")));
    tap.watched().unwrap().say(Kind::Sent, "NOOP");
    assert_eq!(seen(&mut first), ["1 sent NOOP"], "one beginning only");
    assert_eq!(seen(&mut second), ["1 begun ", "1 sent NOOP"]);
    drop(first);
    assert!(tap.look(&watches, || to("google")) && tap.watched().is_some());
    drop(second);
    assert!(tap.look(&watches, || to("google")) && tap.watched().is_none());
}

#[test]
fn what_is_asked_for_must_all_be_so() {
    let google = About { provider: Some("google".into()), ..to("google") };
    let check = |wanted: Wanted, about: &About, expected: bool| {
        assert_eq!(wanted.may_be(about), expected, "{wanted:?} {about:?}");
    };
    let text = |text: &str| Some(text.to_owned());
    check(Wanted { site: text("google"), ..wanted() }, &google, true);
    check(Wanted { site: text("google"), source: text("b"), ..wanted() }, &google, false);
    check(Wanted { site: text("yahoo"), ..wanted() }, &google, false);
    check(Wanted { site: text("google"), ..wanted() }, &from("192.0.2.1"), false);
    check(Wanted { listener: text("submission"), ..wanted() }, &from("192.0.2.1"), true);
    check(Wanted { peer: text("192.0.2.1"), ..wanted() }, &from("192.0.2.1"), true);
    check(Wanted { peer: text("192.0.2.2"), ..wanted() }, &from("192.0.2.1"), false);
    check(Wanted { direction: Some(Direction::In), ..wanted() }, &google, false);
}

#[test]
fn a_mail_that_is_meant_is_shown_with_the_opening_and_others_are_not() {
    let (watches, _) = watches();
    let wanted = Wanted { domain: Some("b.pe".to_owned()), ..wanted() };
    let mut watching = watches.watch(wanted).unwrap();
    let tap = opened(&watches, to("s"));
    tap.watched().unwrap().say(Kind::Heard, "220 hello");
    mail(&tap, "ana@a.pe");
    assert_eq!(seen(&mut watching), [""; 0]);
    mail(&tap, "ana@B.pe");
    let shown = [
        "1 begun ",
        "1 heard 220 hello",
        "1 sent MAIL FROM:<x@y.pe>",
        "1 sent RCPT TO:<ana@B.pe> NOTIFY=NEVER",
        "1 heard 250 2.0.0 ok",
    ];
    assert_eq!(seen(&mut watching), shown);
    mail(&tap, "ana@sub.b.pe");
    mail(&tap, "eva@b.pe");
    assert_eq!(
        seen(&mut watching)[..2],
        ["1 sent MAIL FROM:<x@y.pe>", "1 sent RCPT TO:<eva@b.pe> NOTIFY=NEVER"]
    );
    drop(tap);
    assert_eq!(seen(&mut watching), ["1 ended "]);
}

#[test]
fn a_server_is_known_when_it_is_connected_to() {
    let (watches, _) = watches();
    let of = |peer: &str| Wanted { peer: Some(peer.to_owned()), ..wanted() };
    let mut by_name = watches.watch(of("MX2.b.pe")).unwrap();
    let mut by_address = watches.watch(of("192.0.2.2")).unwrap();
    let mut other = watches.watch(of("192.0.2.1")).unwrap();
    let tap = opened(&watches, to("s"));
    let tapped = tap.watched().unwrap();
    tapped.host("mx2.b.pe");
    tapped.at("192.0.2.2".parse().unwrap());
    tapped.say(Kind::Heard, "220 hello");
    let all = ["1 begun ", "1 heard 220 hello"];
    assert_eq!(seen(&mut by_name), all);
    assert_eq!(seen(&mut by_address), all);
    assert_eq!(seen(&mut other), [""; 0]);
}

#[test]
fn what_comes_too_fast_is_left_out_and_counted() {
    let (watches, clock) = watches();
    let mut watching = watches.watch(wanted()).unwrap();
    let tap = opened(&watches, to("s"));
    let say = |count: u32| (0..count).for_each(|_| tap.watched().unwrap().say(Kind::Sent, "NOOP"));
    say(LINES_PER_SECOND_MAX + 9);
    assert_eq!(watching.left_out(), LeftOut { lines: 10, connections: 0 });
    assert_eq!(seen(&mut watching).len(), LINES_PER_SECOND_MAX as usize);
    for second in 2..5 {
        clock.0.store(second * 1_000, Ordering::Relaxed);
        say(LINES_PER_SECOND_MAX);
    }
    assert_eq!(watching.left_out().lines, u64::from(LINES_PER_SECOND_MAX * 3) - QUEUE_MAX as u64);
}

#[test]
fn connections_and_watchers_are_bounded_and_give_their_places_back() {
    let (watches, _) = watches();
    let mut watching = watches.watch(Wanted { connections: 2, ..wanted() }).unwrap();
    let mut taps: Vec<Tap> = (0..3).map(|_| opened(&watches, to("s"))).collect();
    assert_eq!(watching.left_out(), LeftOut { lines: 0, connections: 1 });
    taps.clear();
    assert_eq!(seen(&mut watching), ["1 begun ", "2 begun ", "1 ended ", "2 ended "]);
    let again = opened(&watches, to("s"));
    assert!(again.watched().is_some() && watching.left_out() == LeftOut::default());
    let more: Vec<_> = (0..WATCHERS_MAX).map_while(|_| watches.watch(wanted())).collect();
    assert_eq!(more.len(), WATCHERS_MAX - 1);
    drop(more);
    assert!(watches.watch(wanted()).is_some());
}
