//! How an address that nobody knows yet gets to send much: caps for each day, and what stops their
//! growth.
//!
//! Receivers distrust an address that sends a lot from one day to the next, so what a cold source may
//! send to one destination grows day by day. The defaults of `[[warm_up]]` are the built-in schedule:
//! they start below what large senders publish, grow by at most half a day, by a third after
//! the first week, and carry 100,000 messages a day over 18 addresses, half of them to one
//! provider, on day 14. Microsoft's consumer servers, Apple's and single sites are stricter, so
//! they get half.
//!
//! Pure, and only the numbers. On which day a source is at a destination is the relay's to know.

use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use toml::de::{DeTable, DeValue};

use crate::fields::{Fields, Located, Reader, Value};
use crate::parse::{clip, count_from, date, growth, list, located, name, percent, some};
use crate::problem::Mistake;
use crate::providers::Providers;
use crate::sections::{PoolSection, Reference, reference};
use crate::values::Percent;

/// Longest schedule: a day of each year comes once.
const DAYS_MAX: u32 = 366;
/// Tables of the operator: each holds two caps for each of its days.
const TABLES_MAX: usize = 100;
/// Stands for `warm_up = true`.
const BUILT_IN: &str = "built-in";

/// Since when a source has been sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Warmth {
    /// It is new.
    #[default]
    Cold,
    /// It has been sending since this day, to everybody.
    Since(Date),
    /// It may send what it can.
    Warm,
}

/// Caps for the days on which a source is warmed up, and what stops it from going on to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUpSchedule {
    /// As pools name it.
    pub name: Arc<str>,
    /// Recipients that one source may send to in a day at each provider of `caps_for`, one for each day; after the
    /// last the source is warm there. Never falling.
    pub caps: Arc<[u32]>,
    /// The same for every other destination. As many.
    pub slow_caps: Arc<[u32]>,
    /// Providers that get `caps`.
    pub caps_for: Vec<Arc<str>>,
    /// From this part of a day's answers on, deferrals that blame the source hold it on its day.
    pub deferrals: Percent,
    /// The same for providers of `strict_for`.
    pub strict_deferrals: Percent,
    /// Providers that get `strict_deferrals`.
    pub strict_for: Vec<Arc<str>>,
    /// Above this part of a day's answers, recipients that do not exist hold it on its day.
    pub bounces: Percent,
}

impl WarmUpSchedule {
    /// The schedule that `warm_up = true` means.
    pub fn built_in() -> Arc<Self> {
        let mut nothing = Reader::default();
        let table = DeTable::new();
        let mut fields = Fields::root(&mut nothing, &table);
        Arc::new(schedule(&mut fields).named(BUILT_IN.into()))
    }

    /// Days after which a source is warm.
    pub fn days(&self) -> usize {
        self.caps.len()
    }

    /// The caps of each day at a provider, or where there is none.
    pub fn caps_at(&self, provider: Option<&str>) -> &Arc<[u32]> {
        if is_of(&self.caps_for, provider) { &self.caps } else { &self.slow_caps }
    }

    /// The part of deferrals that holds a source at a provider, or where there is none.
    pub fn deferrals_at(&self, provider: Option<&str>) -> Percent {
        if is_of(&self.strict_for, provider) { self.strict_deferrals } else { self.deferrals }
    }
}

fn is_of(list: &[Arc<str>], provider: Option<&str>) -> bool {
    provider.is_some_and(|provider| list.iter().any(|name| **name == *provider))
}

/// `warm_up` of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// `false`
    Nothing,
    /// `true`
    BuiltIn,
    Named(Reference),
}

/// A `[[warm_up]]` as written.
#[derive(Debug)]
pub(crate) struct WarmUpSection {
    name: Located<Arc<str>>,
    schedule: Written,
}

/// A schedule before its name is known and its providers are looked up.
#[derive(Debug)]
struct Written {
    caps: Vec<u32>,
    slow_caps: Vec<u32>,
    caps_for: Vec<Reference>,
    deferrals: Percent,
    strict_deferrals: Percent,
    strict_for: Vec<Reference>,
    bounces: Percent,
}

/// Reads `warm_since` and `warm` of a source.
pub(crate) fn warmth(f: &mut Fields<'_>) -> Warmth {
    let since = f.optional(
        "warm_since",
        "2026-01-15",
        "Day since which the address has been sending to everybody: where its pool warms up, it begins on the day of the schedule that this gives. Without it, the address is new.",
        date,
    );
    let warm = f.or(
        "warm",
        "false",
        "The address is warm, whatever its pool's `warm_up` says.",
        crate::parse::boolean,
    );
    match (warm, since) {
        (true, Some(_)) => {
            let mend = "remove one of the two";
            let mistake =
                Mistake::new("`warm = true` and `warm_since` contradict each other", mend);
            f.mistake("warm", mistake);
            Warmth::Warm
        }
        (true, None) => Warmth::Warm,
        (false, Some(since)) => Warmth::Since(since),
        (false, None) => Warmth::Cold,
    }
}

/// `true`, `false` or the name of a schedule.
pub(crate) fn chosen(value: Value<'_>) -> Result<Chosen, Mistake> {
    match value.get_ref() {
        DeValue::Boolean(true) => Ok(Chosen::BuiltIn),
        DeValue::Boolean(false) => Ok(Chosen::Nothing),
        DeValue::String(_) => reference(value).map(Chosen::Named),
        _ => {
            let mend = "write true, false or the `name` of a [[warm_up]]";
            Err(Mistake::new("true, false or a name in quotes is expected", mend))
        }
    }
}

/// Reads a `[[warm_up]]`.
pub(crate) fn warm_up(f: &mut Fields<'_>) -> Option<WarmUpSection> {
    let name = f.required("name", "\"gentle\"", "Named by pools.", located(name));
    let schedule = schedule(f);
    let name = name?;
    Some(WarmUpSection { name: Located { value: name.value.into(), span: name.span }, schedule })
}

fn schedule(f: &mut Fields<'_>) -> Written {
    let caps = f.or(
        "caps",
        "[50, 75, 100, 150, 200, 300, 400, 550, 750, 1000, 1300, 1700, 2200, 2800, 3600, 4600, 6000, 7500, 9000, 11000]",
        "Recipients that one source may send to in a day at one of `caps_for`: the first for its first day, and so on. A day counts when at least three quarters of its cap were accepted and nothing held it.",
        caps,
    );
    let half: Vec<u32> = caps.iter().map(|cap| cap.div_ceil(2)).collect();
    let slow_caps = f.or(
        "slow_caps",
        "[25, 40, 50, 75, 100, 150, 200, 275, 375, 500, 650, 850, 1100, 1400, 1800, 2300, 3000, 3750, 4500, 5500]",
        "The same for each other destination. Where `caps` is written and this is not: half of those.",
        self::caps,
    );
    let only_caps = f.is_written("caps") && !f.is_written("slow_caps");
    let slow_caps = if only_caps { half } else { slow_caps };
    let caps_for = f.or(
        "caps_for",
        "[\"google\", \"yahoo\", \"office365\"]",
        "Providers (see providers.md) that get `caps`.",
        list(reference),
    );
    let growth = f.or(
        "growth",
        "1.2",
        "After the last cap, each day's is so many times that of the day before, rounded up (1.0 to 2.0).",
        growth,
    );
    let days = f.or("days", "30", "Days that count, after which the source is warm there.", days);
    let longest = caps.len().max(slow_caps.len());
    if usize::try_from(days).is_ok_and(|days| days < longest) {
        let message =
            format!("there are caps for {longest} days, and the source is warm after {days}");
        let mend = format!("write `days = {longest}` or more, or fewer caps");
        let key = if f.is_written("days") { "days" } else { "caps" };
        f.mistake(key, Mistake::new(message, mend));
    }
    let deferrals = f.or(
        "deferrals",
        "\"2%\"",
        "From this part of a day's answers on, deferrals that blame the source let the day not count. Greylisting, full mailboxes and faults of the receiver are no such deferrals.",
        percent,
    );
    let strict_deferrals =
        f.or("strict_deferrals", "\"0.5%\"", "The same at one of `strict_for`.", percent);
    let strict_for = f.or(
        "strict_for",
        "[\"outlook-consumer\", \"office365\"]",
        "Providers that get `strict_deferrals`: Microsoft's.",
        list(reference),
    );
    let bounces = f.or(
        "bounces",
        "\"2%\"",
        "Above this part of a day's answers, recipients that fail for good let the day not count.",
        percent,
    );
    Written {
        caps: extended(caps, growth, days),
        slow_caps: extended(slow_caps, growth, days),
        caps_for,
        deferrals,
        strict_deferrals,
        strict_for,
        bounces,
    }
}

/// Caps of the first days: not falling.
fn caps(value: Value<'_>) -> Result<Vec<u32>, Mistake> {
    let caps = some(located(count_from(1)))(value)?;
    if let Some(beyond) = usize::try_from(DAYS_MAX).ok().and_then(|days| caps.get(days)) {
        let message = format!("there are {} caps", caps.len());
        let mistake = Mistake::new(message, format!("write at most {DAYS_MAX}"));
        return Err(mistake.at(beyond.span.clone()));
    }
    let falls = caps.windows(2).find(|pair| pair[1].value < pair[0].value);
    if let Some([above, below]) = falls {
        let message = format!("{} comes after {}", below.value, above.value);
        let mend = "write caps that never fall: trouble brings a source back by itself";
        return Err(Mistake::new(message, mend).at(below.span.clone()));
    }
    Ok(caps.into_iter().map(|cap| cap.value).collect())
}

fn days(value: Value<'_>) -> Result<u32, Mistake> {
    let days = count_from(1)(value)?;
    if days > DAYS_MAX {
        let mend = format!("write a whole number from 1 to {DAYS_MAX}");
        return Err(Mistake::new(format!("{days} days are more than a year"), mend));
    }
    Ok(days)
}

/// A cap for each day. `growth` is in thousandths.
fn extended(mut caps: Vec<u32>, growth: u32, days: u32) -> Vec<u32> {
    let days = usize::try_from(days).unwrap_or(usize::MAX);
    while caps.len() < days {
        let last = u64::from(caps.last().copied().unwrap_or(1));
        let next = (last * u64::from(growth)).div_ceil(1000);
        caps.push(u32::try_from(next).unwrap_or(u32::MAX));
    }
    caps.truncate(days);
    caps
}

impl Written {
    fn named(&self, name: Arc<str>) -> WarmUpSchedule {
        let names = |list: &[Reference]| list.iter().map(|name| Arc::clone(&name.value)).collect();
        WarmUpSchedule {
            name,
            caps: self.caps.as_slice().into(),
            slow_caps: self.slow_caps.as_slice().into(),
            caps_for: names(&self.caps_for),
            deferrals: self.deferrals,
            strict_deferrals: self.strict_deferrals,
            strict_for: names(&self.strict_for),
            bounces: self.bounces,
        }
    }
}

/// Names of providers in a schedule must be there.
pub(crate) fn check_providers(
    written: &[Located<WarmUpSection>],
    providers: &Providers,
    reader: &mut Reader,
) {
    for Located { value: WarmUpSection { schedule, .. }, .. } in written {
        let lists = [
            ("warm_up.caps_for", &schedule.caps_for),
            ("warm_up.strict_for", &schedule.strict_for),
        ];
        for (key, list) in lists {
            for provider in list.iter().filter(|it| providers.get(&it.value).is_none()) {
                let known: Vec<&str> = providers.iter().map(|known| &*known.name).collect();
                let message = format!("there is no provider `{}`", clip(&provider.value));
                let mend = format!("write one of: {}", known.join(", "));
                reader.problem(provider.span.clone(), key, Mistake::new(message, mend));
            }
        }
    }
}

/// Each schedule that pools may name, the built-in one first. Mistakes go to the reader.
pub(crate) fn resolve(
    written: &[Located<WarmUpSection>],
    pools: &[Located<PoolSection>],
    reader: &mut Reader,
) -> Vec<Arc<WarmUpSchedule>> {
    if let Some(beyond) = written.get(TABLES_MAX) {
        let message = format!("there are {} schedules", written.len());
        let mistake = Mistake::new(message, format!("write at most {TABLES_MAX}"));
        reader.problem(beyond.span.clone(), "warm_up", mistake);
    }
    let mut schedules = vec![WarmUpSchedule::built_in()];
    for Located { value: WarmUpSection { name, schedule }, .. } in written {
        let Located { value: name, span } = name;
        if **name == *BUILT_IN {
            let message = format!("`{BUILT_IN}` is the schedule of `warm_up = true`");
            let mistake = Mistake::new(message, "give yours another name");
            reader.problem(span.clone(), "warm_up.name", mistake);
            continue;
        }
        if schedules.iter().any(|known| known.name == *name) {
            let message = format!("`{name}` is there twice");
            let mistake = Mistake::new(message, "give each its own name");
            reader.problem(span.clone(), "warm_up.name", mistake);
            continue;
        }
        if !pools.iter().any(|pool| names(&pool.value.warm_up, name)) {
            let mend = format!("write `warm_up = \"{name}\"` in a [[pool]]");
            reader.warn(span.clone(), "warm_up.name", "no pool warms up like this", &mend);
        }
        schedules.push(Arc::new(schedule.named(Arc::clone(name))));
    }
    schedules
}

fn names(chosen: &Chosen, name: &str) -> bool {
    matches!(chosen, Chosen::Named(reference) if *reference.value == *name)
}

/// The schedule that a pool has chosen.
pub(crate) fn schedule_of(
    chosen: Chosen,
    schedules: &[Arc<WarmUpSchedule>],
    reader: &mut Reader,
) -> Option<Arc<WarmUpSchedule>> {
    match chosen {
        Chosen::Nothing => None,
        Chosen::BuiltIn => schedules.first().cloned(),
        Chosen::Named(Located { value, span }) => {
            let found = schedules.iter().find(|schedule| schedule.name == value).cloned();
            if found.is_none() {
                unknown(&value, span, schedules, reader);
            }
            found
        }
    }
}

fn unknown(name: &str, span: Range<usize>, schedules: &[Arc<WarmUpSchedule>], reader: &mut Reader) {
    let known: Vec<String> = schedules.iter().map(|known| format!("\"{}\"", known.name)).collect();
    let message = format!("there is no [[warm_up]] `{}`", clip(name));
    let mend = format!("write true or one of: {}", known.join(", "));
    reader.problem(span, "pool.warm_up", Mistake::new(message, mend));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_schedule_is_that_of_the_reference() {
        let built_in = WarmUpSchedule::built_in();
        let fast = built_in.caps_at(Some("google"));
        assert_eq!((fast[0], fast[13], fast[19]), (50, 2800, 11_000));
        assert_eq!((fast[20], fast[21], fast[29], built_in.days()), (13_200, 15_840, 68_115, 30));
        let slow = built_in.caps_at(Some("outlook-consumer"));
        assert_eq!((slow[0], slow[1], slow[19], slow[20]), (25, 40, 5500, 6600));
        assert_eq!(slow.len(), built_in.days());
        for provider in ["yahoo", "office365"] {
            assert_eq!(built_in.caps_at(Some(provider)), fast);
        }
        for provider in [Some("apple"), Some("mimecast"), None] {
            assert_eq!(built_in.caps_at(provider), slow);
        }
        let held = ["google", "outlook-consumer", "office365"]
            .map(|provider| built_in.deferrals_at(Some(provider)).to_string());
        assert_eq!(held, ["2%", "0.5%", "0.5%"]);
        assert_eq!(built_in.deferrals_at(None).to_string(), "2%");
        assert_eq!(built_in.bounces.to_string(), "2%");
        // Half more at most, and a third once there is much to lose.
        for caps in [fast, slow] {
            let grows = |at: usize, percent: u32| caps[at + 1] * 100 <= caps[at] * percent;
            assert!((0..29).all(|at| grows(at, 160)) && (8..29).all(|at| grows(at, 136)));
        }
    }

    #[test]
    fn caps_grow_to_the_last_day() {
        assert_eq!(extended(vec![3], 1500, 5), [3, 5, 8, 12, 18]);
        assert_eq!(extended(vec![1], 1001, 3), [1, 2, 3], "what grows does not stand still");
        assert_eq!(extended(vec![7], 1000, 3), [7, 7, 7]);
        assert_eq!(extended(vec![u32::MAX], 2000, 2), [u32::MAX; 2]);
    }
}
