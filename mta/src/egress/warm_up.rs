//! On which day of its warm-up a path is, and what brings it to the next.
//!
//! A receiver trusts an address as far as it has seen it behave. So a path (one source at one site)
//! may send a little more each day, but only after a day that the receiver has really seen: three
//! quarters of the cap accepted, and nothing to complain of. A day with trouble is done again; where
//! the receiver says that it thinks ill of the address, the path goes back; and what it has not seen
//! for weeks it does not know any more.
//!
//! Pure, and small enough to be stored for each path. It does not count what is reserved or in
//! flight: whoever sends asks for the [cap](WarmUp::cap) and keeps within it.

use std::fmt;
use std::sync::Arc;

use relay_config::config::{WarmUpSchedule, Warmth, day_number};
use relay_config::values::Percent;
use serde::{Deserialize, Serialize};

/// Days without mail after which a path begins anew: receivers keep about a month.
const RESTART_AFTER_DAYS: i32 = 30;
/// Days without mail after which half the cap is left.
const HALVE_AFTER_DAYS: i32 = 7;
/// Days that a reply which blames the reputation of the source takes back.
const STEP_BACK_DAYS: u16 = 3;

/// What holds for one path: the caps of its days, and what stops it from going on to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    caps: Arc<[u32]>,
    deferrals: Percent,
    bounces: Percent,
}

impl Rules {
    /// Those of a schedule at a provider, or at a site that is none.
    pub fn new(schedule: &WarmUpSchedule, provider: Option<&str>) -> Self {
        Self {
            caps: Arc::clone(schedule.caps_at(provider)),
            deferrals: schedule.deferrals_at(provider),
            bounces: schedule.bounces,
        }
    }

    /// Days that must count before the path is warm.
    pub fn days(&self) -> u16 {
        u16::try_from(self.caps.len()).unwrap_or(u16::MAX)
    }

    /// Recipients of a day, from 1; `None` after the last.
    pub fn cap_of(&self, day: u16) -> Option<u32> {
        self.caps.get(usize::from(day.max(1)) - 1).copied()
    }

    /// The last day whose cap is at most half of that of `day`, or of the last one after it.
    fn halved(&self, day: u16) -> u16 {
        let cap = self.cap_of(day.min(self.days())).unwrap_or(0);
        // Caps never fall.
        let days = self.caps.partition_point(|it| *it <= cap / 2);
        u16::try_from(days).unwrap_or(u16::MAX).max(1)
    }
}

/// How warm one path is. Days are those of the pool's send window, as days since 1970-01-01.
///
/// Stored; a value is only ever added at the end of its enums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUp {
    stage: Stage,
    /// The day that is counted.
    today: i32,
    /// The last one on which something was accepted, or on which the path began.
    last_mail: i32,
    counts: Counts,
    /// What lets today not count, whatever the counts.
    stop: Option<Stop>,
    /// Half the cap or more was taken away, and nothing was sent since.
    halved: bool,
    /// Why the day before today did not count.
    yesterday: Option<HeldBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// A day of the schedule, from 1.
    Day(u16),
    /// All days have counted.
    Warm,
    /// Somebody says so.
    Declared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stop {
    Frozen,
    Reputation,
    Clock,
}

/// What the receiver answered on one day, in recipients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Taken.
    pub accepted: u32,
    /// Put off for reasons that are not the source's.
    pub deferred: u32,
    /// Put off or refused because of the source.
    pub trouble: u32,
    /// Refused for good because of the recipient.
    pub bounced: u32,
}

/// What a receiver has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heard {
    /// It took them.
    Accepted,
    /// It put them off: greylisting, a full mailbox, a fault of its own.
    Deferred,
    /// It put them off, and blames the source: too much, too fast.
    Trouble,
    /// These recipients are none, for good.
    Bounced,
    /// It put them off or refused them because it thinks ill of the source.
    ReputationHit,
    /// The same as [`Heard::Trouble`], and one such answer is enough for the day not to count.
    Freeze,
}

/// What keeps a path on its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HeldBy {
    /// Too few were accepted for the day to count.
    TooLittleMail,
    /// Too many deferrals that blame the source.
    Deferrals,
    /// Too many recipients that are none.
    Bounces,
    /// The receiver asked for less.
    Frozen,
    /// The receiver thinks ill of the source: the path went back.
    Reputation,
    /// The clock was set back, so nobody knows what a day was.
    Clock,
}

impl WarmUp {
    /// A path on which nothing was sent yet, on the day of its first mail.
    pub fn begin(warmth: &Warmth, today: i32) -> Self {
        Self {
            stage: Stage::of(*warmth, today),
            today,
            last_mail: today,
            counts: Counts::default(),
            stop: None,
            halved: false,
            yesterday: None,
        }
    }

    /// Heeds what the configuration says of the source of a path that is known already: a source that
    /// is declared warm is, and one that no longer is begins as a new path would. What the path has
    /// learned by itself stays.
    pub fn declare(&mut self, warmth: &Warmth, today: i32) {
        match (warmth, self.stage) {
            (Warmth::Warm, _) => self.stage = Stage::Declared,
            (_, Stage::Declared) => self.stage = Stage::of(*warmth, today),
            _ => {}
        }
    }

    /// Goes on to a day. Does nothing when it is that day already; call it before anything else.
    ///
    /// A day back changes nothing: a time zone was changed. More than that, and the clock was wrong:
    /// the day becomes that of the clock, which gives the path nothing, and does not count.
    pub fn turn(&mut self, today: i32, rules: &Rules) {
        if today > self.today {
            self.next_day(today, rules);
        } else if today < self.today.saturating_sub(1) {
            self.today = today;
            self.last_mail = self.last_mail.min(today);
            self.stop = Some(Stop::Clock);
        }
    }

    fn next_day(&mut self, today: i32, rules: &Rules) {
        let held = self.held_today(rules);
        if let Stage::Day(day) = self.stage {
            let day = if held.is_none() { day.saturating_add(1) } else { day };
            self.stage = if day > rules.days() { Stage::Warm } else { Stage::Day(day) };
        }
        let follows = today.saturating_sub(self.today) == 1;
        self.today = today;
        self.counts = Counts::default();
        self.stop = None;
        self.cool(rules);
        let held = if follows { held } else { Some(HeldBy::TooLittleMail) };
        self.yesterday = held.filter(|_| self.day(rules).is_some());
    }

    /// Takes back what a receiver forgets of whoever does not write.
    fn cool(&mut self, rules: &Rules) {
        let day = match self.stage {
            Stage::Day(day) => day,
            Stage::Warm => rules.days(),
            Stage::Declared => return,
        };
        let idle = self.today.saturating_sub(self.last_mail).saturating_sub(1);
        if idle >= RESTART_AFTER_DAYS {
            self.stage = Stage::Day(1);
            self.halved = true;
        } else if idle >= HALVE_AFTER_DAYS && !self.halved {
            self.stage = Stage::Day(rules.halved(day));
            self.halved = true;
        }
    }

    /// Counts an answer for so many recipients.
    pub fn heard(&mut self, heard: Heard, recipients: u32) {
        if recipients == 0 {
            return;
        }
        let Counts { accepted, deferred, trouble, bounced } = &mut self.counts;
        let count = match heard {
            Heard::Accepted => accepted,
            Heard::Deferred => deferred,
            Heard::Trouble | Heard::ReputationHit | Heard::Freeze => trouble,
            Heard::Bounced => bounced,
        };
        *count = count.saturating_add(recipients);
        match heard {
            Heard::Accepted => {
                self.last_mail = self.last_mail.max(self.today);
                self.halved = false;
            }
            Heard::ReputationHit => self.step_back(),
            Heard::Freeze => self.stop = self.stop.or(Some(Stop::Frozen)),
            Heard::Deferred | Heard::Trouble | Heard::Bounced => {}
        }
    }

    /// Once a day: a block is told in a hundred replies, not in one. A warm path has no day to go back
    /// to; that it is slowed or suspended is decided elsewhere.
    fn step_back(&mut self) {
        if self.stop == Some(Stop::Reputation) {
            return;
        }
        self.stop = Some(Stop::Reputation);
        if let Stage::Day(day) = self.stage {
            self.stage = Stage::Day(day.saturating_sub(STEP_BACK_DAYS).max(1));
        }
    }

    /// Recipients that may be sent to today, all in all; `None`: it is warm, and any number.
    pub fn cap(&self, rules: &Rules) -> Option<u32> {
        match self.stage {
            Stage::Day(day) => rules.cap_of(day),
            Stage::Warm | Stage::Declared => None,
        }
    }

    /// Recipients that must be accepted for today to count: three quarters of the cap.
    pub fn enough(&self, rules: &Rules) -> Option<u32> {
        self.cap(rules).map(|cap| cap - cap / 4)
    }

    /// The day of the schedule, from 1; `None`: it is warm.
    pub fn day(&self, rules: &Rules) -> Option<u16> {
        match self.stage {
            Stage::Day(day) if day <= rules.days() => Some(day),
            _ => None,
        }
    }

    /// The day that is counted, in days since 1970-01-01.
    pub fn today(&self) -> i32 {
        self.today
    }

    /// What was answered today.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What keeps the path on its day: what has happened today, or else why yesterday did not count.
    pub fn held_by(&self, rules: &Rules) -> Option<HeldBy> {
        self.day(rules)?;
        match self.held_today(rules) {
            Some(HeldBy::TooLittleMail) => self.yesterday,
            held => held,
        }
    }

    /// Why today would not count, if it ended now.
    fn held_today(&self, rules: &Rules) -> Option<HeldBy> {
        let Counts { accepted, trouble, bounced, .. } = self.counts;
        let answered = accepted.saturating_add(trouble).saturating_add(bounced);
        match self.stop {
            Some(Stop::Reputation) => Some(HeldBy::Reputation),
            Some(Stop::Frozen) => Some(HeldBy::Frozen),
            Some(Stop::Clock) => Some(HeldBy::Clock),
            None if rules.deferrals.is_reached(trouble, answered) => Some(HeldBy::Deferrals),
            None if rules.bounces.is_exceeded(bounced, answered) => Some(HeldBy::Bounces),
            None if accepted < self.enough(rules).unwrap_or(1) => Some(HeldBy::TooLittleMail),
            None => None,
        }
    }

    /// The day on which it will be warm if each day counts from `today` on, in days since 1970-01-01;
    /// `today` when it is.
    pub fn warm_on(&self, rules: &Rules, today: i32) -> i32 {
        let mut then = *self;
        then.turn(today, rules);
        let Some(day) = then.day(rules) else { return today };
        let again = match then.held_today(rules) {
            None | Some(HeldBy::TooLittleMail) => 0,
            // Today is lost.
            Some(_) => 1,
        };
        today.saturating_add(i32::from(rules.days() - day) + 1 + again)
    }
}

impl Stage {
    fn of(warmth: Warmth, today: i32) -> Self {
        match warmth {
            Warmth::Cold => Self::Day(1),
            Warmth::Since(first) => {
                let day = today.saturating_sub(day_number(first)).saturating_add(1);
                Self::Day(u16::try_from(day.max(1)).unwrap_or(u16::MAX))
            }
            Warmth::Warm => Self::Declared,
        }
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLittleMail => "too little was accepted for the day to count",
            Self::Deferrals => "too many deferrals that blame the source",
            Self::Bounces => "too many recipients that do not exist",
            Self::Frozen => "the receiver asked for less",
            Self::Reputation => "the receiver thinks ill of the source",
            Self::Clock => "the clock was set back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const FIRST: i32 = 20_000;

    fn rules(provider: &str) -> Rules {
        Rules::new(&WarmUpSchedule::built_in(), Some(provider))
    }

    fn cold() -> WarmUp {
        WarmUp::begin(&Warmth::Cold, FIRST)
    }

    /// A day is played: what is heard on it, then the next begins.
    fn played(mut path: WarmUp, heard: &[(Heard, u32)], rules: &Rules) -> WarmUp {
        for (heard, recipients) in heard {
            path.heard(*heard, *recipients);
        }
        path.turn(path.today() + 1, rules);
        path
    }

    /// A path of which each day has counted until it is on this one.
    fn on_day(day: u16, rules: &Rules) -> WarmUp {
        (1..day).fold(cold(), |path, _| {
            let all = path.cap(rules).unwrap();
            played(path, &[(Heard::Accepted, all)], rules)
        })
    }

    #[test]
    fn a_path_that_is_used_follows_the_schedule_and_is_warm_after_thirty_days() {
        let rules = rules("google");
        let mut path = cold();
        let mut caps = Vec::new();
        while let Some(cap) = path.cap(&rules) {
            caps.push(cap);
            assert_eq!(path.warm_on(&rules, path.today()), FIRST + 30);
            path = played(path, &[(Heard::Accepted, cap)], &rules);
        }
        assert_eq!(caps[..], WarmUpSchedule::built_in().caps[..]);
        let enough = [1, 2, 9].map(|day| on_day(day, &rules).enough(&rules));
        assert_eq!(enough, [Some(38), Some(57), Some(563)], "of 50, 75 and 750, rounded up");
        assert_eq!((path.today(), path.day(&rules)), (FIRST + 30, None));
        assert_eq!(path.warm_on(&rules, path.today()), path.today());
    }

    /// Each row is a tenth day at a provider, with a cap of 1000 (500 at Microsoft): what is heard,
    /// what keeps it there, and the day after it.
    #[test]
    fn what_lets_a_day_count() {
        use Heard::{Accepted, Bounced, Deferred, Freeze, ReputationHit, Trouble};
        let check = |provider: &str, heard: &[(Heard, u32)], held: Option<HeldBy>, next: u16| {
            let rules = rules(provider);
            let path = on_day(10, &rules);
            let after = played(path, heard, &rules);
            assert_eq!(after.day(&rules), Some(next), "{provider} {heard:?}");
            assert_eq!(after.held_by(&rules), held, "{provider} {heard:?}");
        };
        let google = |heard: &[(Heard, u32)], held, next| check("google", heard, held, next);
        google(&[(Accepted, 750)], None, 11);
        google(&[(Accepted, 749)], Some(HeldBy::TooLittleMail), 10);
        google(&[], Some(HeldBy::TooLittleMail), 10);
        google(&[(Accepted, 980), (Trouble, 19)], None, 11);
        google(&[(Accepted, 980), (Trouble, 20)], Some(HeldBy::Deferrals), 10);
        google(&[(Accepted, 980), (Deferred, 500)], None, 11);
        google(&[(Accepted, 980), (Trouble, 20), (Deferred, 500)], Some(HeldBy::Deferrals), 10);
        google(&[(Accepted, 980), (Bounced, 20)], None, 11);
        google(&[(Accepted, 979), (Bounced, 20)], Some(HeldBy::Bounces), 10);
        google(&[(Accepted, 1000), (Freeze, 1)], Some(HeldBy::Frozen), 10);
        google(&[(Accepted, 1000), (ReputationHit, 1)], Some(HeldBy::Reputation), 7);
        google(&[(Accepted, 1000), (ReputationHit, 0)], None, 11);
        let microsoft = |heard: &[(Heard, u32)], held, next| {
            check("outlook-consumer", heard, held, next);
        };
        microsoft(&[(Accepted, 499), (Trouble, 2)], None, 11);
        microsoft(&[(Accepted, 499), (Trouble, 3)], Some(HeldBy::Deferrals), 10);
        microsoft(&[(Accepted, 374)], Some(HeldBy::TooLittleMail), 10);
        check("apple", &[(Accepted, 499), (Trouble, 3)], None, 11);
    }

    #[test]
    fn a_hit_takes_three_days_back_at_once_and_once_a_day() {
        let rules = rules("google");
        let mut path = on_day(10, &rules);
        for _ in 0..100 {
            path.heard(Heard::ReputationHit, 1);
            path.heard(Heard::Freeze, 1);
        }
        assert_eq!((path.day(&rules), path.cap(&rules)), (Some(7), Some(400)));
        assert_eq!(path.held_by(&rules), Some(HeldBy::Reputation));
        assert_eq!(path.warm_on(&rules, path.today()), path.today() + 25);
        let path = played(path, &[(Heard::Accepted, 1000)], &rules);
        assert_eq!(path.day(&rules), Some(7), "that day does not count");
        let path = played(path, &[(Heard::Freeze, 1), (Heard::ReputationHit, 1)], &rules);
        assert_eq!(path.day(&rules), Some(4));
        let path = played(path, &[(Heard::ReputationHit, 1), (Heard::Freeze, 1)], &rules);
        let path = played(path, &[(Heard::ReputationHit, 1)], &rules);
        assert_eq!((path.day(&rules), path.held_by(&rules)), (Some(1), Some(HeldBy::Reputation)));
        // A warm path has no day to go back to.
        let mut warm = on_day(31, &rules);
        warm.heard(Heard::ReputationHit, 1);
        assert_eq!((warm.cap(&rules), warm.held_by(&rules)), (None, None));
    }

    #[test]
    fn what_is_not_seen_is_forgotten() {
        let rules = rules("google");
        // On day 10 (1000) after one that counted, then so many days without mail.
        let check = |day: u16, idle: i32, expected: Option<u16>| {
            let path = on_day(day, &rules);
            let last = path.today() - 1;
            let mut once = path;
            once.turn(last + idle + 1, &rules);
            assert_eq!(once.day(&rules), expected, "{day} {idle}");
            // Day by day it comes to the same.
            let mut daily = path;
            for today in path.today()..=last + idle + 1 {
                daily.turn(today, &rules);
            }
            assert_eq!(daily, once, "{day} {idle}");
        };
        check(10, 6, Some(10));
        check(10, 7, Some(7));
        check(10, 29, Some(7));
        check(10, 30, Some(1));
        check(1, 8, Some(1));
        check(31, 6, None);
        check(31, 7, Some(26));
        check(31, 30, Some(1));
        // Mail, and the next pause takes half again.
        let mut path = on_day(10, &rules);
        path.turn(path.today() + 9, &rules);
        path.heard(Heard::Accepted, 1);
        path.turn(path.today() + 8, &rules);
        assert_eq!((path.day(&rules), path.cap(&rules)), (Some(5), Some(200)));
    }

    #[test]
    fn what_the_operator_says_of_a_source() {
        let rules = rules("google");
        let since = |days: i8| Warmth::Since(jiff::civil::date(2026, 1, 1 + days));
        let today = day_number(jiff::civil::date(2026, 1, 31));
        let day = |warmth: &Warmth| WarmUp::begin(warmth, today).day(&rules);
        assert_eq!(day(&Warmth::Cold), Some(1));
        assert_eq!(
            (day(&since(30)), day(&since(29)), day(&since(1))),
            (Some(1), Some(2), Some(30))
        );
        assert_eq!((day(&since(0)), day(&Warmth::Warm)), (None, None));
        let future = Warmth::Since(jiff::civil::date(2027, 1, 1));
        assert_eq!(day(&future), Some(1));
        // What is warm by its date is so as if it had been warmed up, what is declared stays so.
        let mut dated = WarmUp::begin(&since(0), today);
        let mut declared = WarmUp::begin(&Warmth::Warm, today);
        for path in [&mut dated, &mut declared] {
            path.turn(today + 1, &rules);
            path.turn(today + 40, &rules);
        }
        assert_eq!((dated.day(&rules), declared.day(&rules)), (Some(1), None));
        declared.declare(&Warmth::Warm, today + 40);
        assert_eq!(declared.cap(&rules), None);
        declared.declare(&Warmth::Cold, today + 40);
        assert_eq!(declared.day(&rules), Some(1));
        let mut trusted = on_day(3, &rules);
        trusted.declare(&Warmth::Warm, trusted.today());
        assert_eq!((trusted.cap(&rules), trusted.day(&rules)), (None, None));
        let mut learned = on_day(10, &rules);
        learned.declare(&since(0), learned.today());
        learned.declare(&Warmth::Cold, learned.today());
        assert_eq!(learned.day(&rules), Some(10), "a reload takes nothing away and gives nothing");
    }

    #[test]
    fn another_schedule_holds_from_now_on() {
        let long = rules("google");
        let short = Rules { caps: [10, 20, 30].into(), ..long.clone() };
        let mut path = on_day(10, &long);
        assert_eq!((path.cap(&short), path.day(&short)), (None, None));
        path.turn(path.today() + 1, &short);
        assert_eq!(path.cap(&long), None, "it stays warm");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let rules = rules("google");
        let mut path = on_day(10, &rules);
        path.heard(Heard::Accepted, 900);
        let before = path;
        path.turn(path.today() - 1, &rules);
        assert_eq!(path, before, "a time zone");
        let (cap, counts, today) = (path.cap(&rules), path.counts(), path.today());
        path.turn(today - 100, &rules);
        assert_eq!((path.cap(&rules), path.counts()), (cap, counts));
        assert_eq!((path.today(), path.held_by(&rules)), (today - 100, Some(HeldBy::Clock)));
        path.turn(today - 99, &rules);
        assert_eq!((path.cap(&rules), path.day(&rules)), (cap, Some(10)));
        path.heard(Heard::Accepted, 900);
        path.turn(today - 98, &rules);
        assert_eq!(path.day(&rules), Some(11), "then days count again");
        // What was sent by the wrong clock is not mail of the days to come.
        path.heard(Heard::Accepted, 1);
        path.turn(path.today() - 50, &rules);
        path.turn(path.today() + 31, &rules);
        assert_eq!(path.day(&rules), Some(1));
    }

    #[test]
    fn reasons_are_those_of_today_or_else_of_yesterday() {
        let rules = rules("google");
        let mut path = on_day(10, &rules);
        assert_eq!(path.held_by(&rules), None, "it went on this morning");
        path = played(path, &[(Heard::Bounced, 1)], &rules);
        assert_eq!(path.held_by(&rules), Some(HeldBy::Bounces));
        path.heard(Heard::Freeze, 1);
        assert_eq!(path.held_by(&rules), Some(HeldBy::Frozen));
        path.turn(path.today() + 3, &rules);
        assert_eq!(path.held_by(&rules), Some(HeldBy::TooLittleMail), "yesterday had no mail");
        path.heard(Heard::Accepted, 750);
        assert_eq!(path.held_by(&rules), None, "today counts already");
        assert_eq!(path.warm_on(&rules, path.today()), path.today() + 21);
        assert_eq!(HeldBy::Frozen.to_string(), "the receiver asked for less");
    }

    #[test]
    fn it_is_stored_in_few_octets() {
        let mut path = on_day(30, &rules("google"));
        path.heard(Heard::Accepted, 60_000);
        path.heard(Heard::ReputationHit, 1000);
        let stored = postcard::to_stdvec(&path).unwrap();
        assert!(stored.len() <= 24, "{}", stored.len());
        assert_eq!(postcard::from_bytes::<WarmUp>(&stored).unwrap(), path);
    }

    /// Whatever is heard, and however the clock goes: on the nth day since it began a cold path has at
    /// most the nth cap, a day gives at most the next cap, and going back gives nothing.
    #[test]
    fn nothing_that_is_heard_is_ahead_of_the_schedule() {
        use Heard::{Accepted, Bounced, Deferred, Freeze, ReputationHit, Trouble};
        let mut random = StdRng::seed_from_u64(4);
        let mut grown = 0;
        for round in 0..2000 {
            let rules = rules(["google", "outlook-consumer", "apple"][round % 3]);
            let mut path = cold();
            let mut latest = FIRST;
            for _ in 0..100 {
                let before = path;
                let cap = path.cap(&rules).unwrap_or(u32::MAX);
                let next = path.day(&rules).map_or(Some(u32::MAX), |day| rules.cap_of(day + 1));
                let next = next.unwrap_or(u32::MAX);
                if random.random_bool(0.5) {
                    let all = [Accepted, Accepted, Accepted, Accepted, Deferred, Trouble, Bounced];
                    let heard = all[random.random_range(0..all.len())];
                    let rare = [ReputationHit, Freeze][random.random_range(0..2)];
                    let heard = if random.random_bool(0.03) { rare } else { heard };
                    let few = if heard == Accepted { cap.min(1 << 20) } else { 3 };
                    path.heard(heard, random.random_range(0..=few));
                    assert!(path.cap(&rules).unwrap_or(u32::MAX) <= cap, "{before:?} {path:?}");
                    continue;
                }
                let step = [1, 1, 1, 1, 1, 0, 2, 9, 40, -1, -2, -50][random.random_range(0..12)];
                let today = path.today() + step;
                path.turn(today, &rules);
                let given = path.cap(&rules).unwrap_or(u32::MAX);
                assert!(given <= next, "{before:?} {path:?}");
                if step <= 0 {
                    assert_eq!((given, path.counts()), (cap, before.counts()), "{before:?}");
                }
                let turned = path;
                path.turn(today, &rules);
                assert_eq!(path, turned, "the same day again");
                grown += u32::from(given > cap);
                latest += step.max(0);
                let days = u16::try_from(latest - FIRST + 1).unwrap();
                assert!(given <= rules.cap_of(days).unwrap_or(u32::MAX), "{path:?} on {days}");
            }
        }
        assert!(grown > 3000, "{grown}: hardly a day has counted");
    }
}
