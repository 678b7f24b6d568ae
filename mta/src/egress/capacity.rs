//! What a day can carry, and when what waits is likely to go: said before anybody has to wonder.

use std::sync::Arc;
use std::time::Duration;

use relay_config::config::{Pool, Source};
use relay_config::values::Rate;

use crate::message::Timestamp;

use super::Item;
use super::books::Egress;
use super::calendar::Calendar;
use super::decision::{Decision, DecisionKind};
use super::forecast::{ForecastPath, ForecastSite, forecast};
use super::limits::{Limits, interval};
use super::path::Terms;
use super::push::LOOK_AGAIN;
use super::site::{Destination, Site, SitePool};
use super::warm_up::{Rules, WarmUp};

const DAY_MILLIS: u64 = 24 * 3_600_000;

/// Deliveries that were put back to disk lately. Each comes back within [`LOOK_AGAIN`], so those of the last such
/// time are about as many as wait there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PutBack {
    period: u64,
    now: u64,
    before: u64,
}

impl PutBack {
    /// So many recipients are put back.
    pub(super) fn add(&mut self, recipients: u32, now: Timestamp) {
        self.turn(now);
        self.now = self.now.saturating_add(u64::from(recipients));
    }

    /// Recipients that wait on disk, about.
    fn waiting(mut self, now: Timestamp) -> u64 {
        self.turn(now);
        self.now.max(self.before)
    }

    fn turn(&mut self, now: Timestamp) {
        let period = now.as_millis() / u64::try_from(LOOK_AGAIN.as_millis()).unwrap_or(u64::MAX);
        if period != self.period {
            self.before = if period == self.period + 1 { self.now } else { 0 };
            (self.period, self.now) = (period, 0);
        }
    }
}

/// What a pool that warms up may send on its first day under a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayOfPool {
    /// Which pool.
    pub pool: Arc<str>,
    /// Its active sources.
    pub sources: usize,
    /// Those of them that have no cap.
    pub warm: usize,
    /// Recipients at each provider that the schedule names; `None`: no cap. Those of a provider without a name
    /// in it are the last row, `any other destination`.
    pub recipients: Vec<(String, Option<u64>)>,
}

/// What pools may send on a day if nothing is known of their sources but what the configuration says.
pub fn day_of_pools(
    pools: &[Arc<Pool>],
    sources: &[Arc<Source>],
    now: Timestamp,
) -> Vec<DayOfPool> {
    pools.iter().filter_map(|pool| day_of_pool(pool, sources, now)).collect()
}

fn day_of_pool(pool: &Pool, sources: &[Arc<Source>], now: Timestamp) -> Option<DayOfPool> {
    let schedule = pool.warm_up.as_ref()?;
    let today = Calendar::new(pool.send_window.clone()).day(now).number;
    let active = sources.iter().filter(|source| pool.sources.contains(&source.name));
    let states: Vec<WarmUp> = active.map(|source| WarmUp::begin(&source.warmth, today)).collect();
    let named = schedule.caps_for.iter().map(|name| Some(&**name)).chain([None]);
    let row = |provider: Option<&str>| {
        let rules = Rules::new(schedule, provider);
        let caps: Option<Vec<u64>> =
            states.iter().map(|state| state.cap(&rules).map(u64::from)).collect();
        let name = provider.unwrap_or("any other destination").to_owned();
        (name, caps.map(|caps| caps.iter().sum()))
    };
    let rules = Rules::new(schedule, None);
    Some(DayOfPool {
        pool: Arc::clone(&pool.name),
        sources: states.len(),
        warm: states.iter().filter(|state| state.cap(&rules).is_none()).count(),
        recipients: named.map(row).collect(),
    })
}

impl DayOfPool {
    /// In one sentence; `None`: nothing is capped.
    pub fn sentence(&self) -> Option<String> {
        let capped: Vec<String> = self
            .recipients
            .iter()
            .filter_map(|(name, count)| count.map(|count| format!("{count} to {name}")))
            .collect();
        if capped.is_empty() {
            return None;
        }
        let Self { pool, sources, warm, .. } = self;
        Some(format!(
            "pool {pool} warms up: its {sources} sources ({warm} of them warm) may send today, by what the configuration \
             says of them: {} recipients. More waits for the days that follow",
            capped.join(", ")
        ))
    }
}

impl<T: Item> Egress<T> {
    /// When the last of what waits at a destination is likely to go, if all goes well; `None`: within the
    /// hour, or nothing can be said.
    pub fn expected(&self, to: &Destination, pool: &str, now: Timestamp) -> Option<Timestamp> {
        let site = self.sites.get(&to.site)?;
        let state = site.pools.get(pool)?;
        let day = self.sources.day_of(pool, now);
        let terms = Terms { limits: &state.limits, day, rules: state.rules.as_ref() };
        let waiting = state.put_back.waiting(now) + u64::try_from(state.waiting).unwrap_or(0);
        let paths = self.sources.active(pool).iter();
        let paths = paths.filter(|name| self.sources.is_usable(name));
        let paths: Vec<ForecastPath> =
            paths.map(|name| forecast_path(site, name, terms, now)).collect();
        let forecast = forecast(
            vec![ForecastSite {
                recipients: waiting,
                per_day: state.limits.per_day_total,
                gone_today: site.budget.used(),
                paths,
            }],
            day.number,
        );
        let done = forecast.done_on()?;
        let days = u64::try_from(done.saturating_sub(day.number)).unwrap_or(0);
        (days > 0).then(|| day.closes.after(Duration::from_millis(days * DAY_MILLIS)))
    }

    /// What waits is expected so late that it would expire first, or after the send window of today: an operator
    /// should know now. Told once an hour for each site.
    pub fn alert_of_delay(
        &mut self,
        to: &Destination,
        pool: &Arc<str>,
        (expected, expires): (Timestamp, Timestamp),
        now: Timestamp,
    ) {
        let day = self.sources.day_of(pool, now);
        let has_window = day.closes < day.ends;
        let expires_first = expected >= expires;
        let late = expires_first || (has_window && expected > day.closes);
        let key = if expires_first { "late" } else { "after the window" };
        if !late || !self.blames.may_alert(key, &to.site, now) {
            return;
        }
        let waiting =
            self.sites.get(&to.site).and_then(|site| site.pools.get(pool)).map_or(0, |state| {
                state.put_back.waiting(now) + u64::try_from(state.waiting).unwrap_or(0)
            });
        let begin = format!(
            "about {waiting} recipients wait for {}, and what {pool} may send there in a day carries the last of them on {}",
            to.site,
            expected.to_rfc3339()
        );
        let mend = "send less to this destination at a time, declare sources that are warm (`warm`, `warm_since`)";
        let text = if expires_first {
            let expires = expires.to_rfc3339();
            format!(
                "{begin}: mail accepted now expires on {expires} before its turn. To mend it, {mend}, raise \
                 `delivery.expire_after`, or send from a pool that is warm"
            )
        } else {
            let closes = day.closes.to_rfc3339();
            format!(
                "{begin}: after the send window of today, which closes on {closes}. What is wanted today must go from a \
                 pool that is warm, or with a later `send_window`; for the days to come, {mend}"
            )
        };
        let decision = Decision::new(DecisionKind::Late, text).site(&to.site).pool(pool);
        self.decisions.push(decision);
    }
}

fn forecast_path<T>(
    site: &Site<T>,
    name: &Arc<str>,
    terms: Terms<'_>,
    now: Timestamp,
) -> ForecastPath {
    let rate = terms.limits.rate.map(|rate| of_rate(rate, terms));
    let per_day = terms.limits.per_day.into_iter().chain(rate).min();
    let Some(path) = site.paths.get(name) else {
        return ForecastPath { warm_up: None, per_day, gone_today: 0 };
    };
    let warm_up = path.warm_up.zip(terms.rules.cloned());
    let cap = path.cap(terms).map(|(cap, _)| cap).into_iter().chain(per_day).min();
    let gate = path.gate(terms, now);
    let closed = gate.opens() >= terms.day.ends || now >= terms.day.closes;
    let gone_today = if closed { cap.unwrap_or(u32::MAX) } else { path.used_on(terms.day.number) };
    ForecastPath { warm_up, per_day, gone_today }
}

/// Recipients of a day at this rate, within the window.
fn of_rate(rate: Rate, terms: Terms<'_>) -> u32 {
    let window = terms.day.closes.since(terms.day.opens);
    u32::try_from(window.as_millis() / interval(rate).as_millis().max(1)).unwrap_or(u32::MAX)
}

impl<T> SitePool<T> {
    /// A delivery is put back to disk.
    pub(super) fn puts_back(&mut self, recipients: u32, now: Timestamp) {
        self.put_back.add(recipients, now);
    }
}

/// Whether a limit of these bounds a day at all.
pub(super) fn bounds_a_day(limits: &Limits, rules: Option<&Rules>) -> bool {
    rules.is_some() || limits.per_day.is_some() || limits.per_day_total.is_some()
}

#[cfg(test)]
mod tests {
    use relay_config::config::{Rotation, SendWindow, WarmUpSchedule, Warmth};

    use super::super::examples::{Mail, pool_of, settings, source};
    use super::super::{SiteKind, Sources};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_764_028_800_000);

    #[test]
    fn eighteen_cold_sources_may_send_nine_hundred_to_google() {
        let names: Vec<String> = (0..18).map(|n| format!("ip-{n}")).collect();
        let mut sources: Vec<_> = names.iter().map(source).collect();
        let warm_up = Some(WarmUpSchedule::built_in());
        let pool = Arc::new(Pool { warm_up, ..pool_of("bulk", &names, Rotation::Adaptive) });
        let days = day_of_pools(&[Arc::clone(&pool)], &sources, NOW);
        let words = days[0].sentence().unwrap();
        assert!(words.contains("900 to google") && words.contains("450 to any other"), "{words}");
        for source in &mut sources {
            *source = Arc::new(Source { warmth: Warmth::Warm, ..(**source).clone() });
        }
        assert_eq!(day_of_pools(&[pool], &sources, NOW)[0].sentence(), None);
    }

    #[test]
    fn an_operator_hears_of_what_does_not_go_in_the_window_of_today() {
        let told = |window: &str, expected: Timestamp, expires: Timestamp| {
            let send_window = SendWindow::parse(window).unwrap();
            let warm_up = Some(WarmUpSchedule::built_in());
            let made = Pool { send_window, warm_up, ..pool_of("p", &["a"], Rotation::Adaptive) };
            let sources = Sources::new(&[source("a")], &[Arc::new(made)], |_| true);
            let mut egress: Egress<Mail> = Egress::new(sources, settings("", 100), NOW);
            let to =
                Destination { site: "google".into(), host_set: "mx".into(), kind: SiteKind::Mx };
            for _ in 0..2 {
                egress.alert_of_delay(&to, &"p".into(), (expected, expires), NOW);
            }
            egress.take_decisions().into_iter().map(|decision| decision.text).collect::<Vec<_>>()
        };
        let hours = |count| NOW.after(Duration::from_hours(count));
        let window = told("08:00-20:00 UTC", hours(44), hours(100));
        assert!(window.len() == 1 && window[0].contains("send window of today"), "{window:?}");
        let both = told("08:00-20:00 UTC", hours(44), hours(30));
        assert!(both.len() == 1 && both[0].contains("expires"), "{both:?}");
        assert_eq!(told("08:00-20:00 UTC", hours(19), hours(100)), [""; 0]);
        assert_eq!(told("00:00-24:00 UTC", hours(44), hours(100)), [""; 0]);
    }

    #[test]
    fn what_was_put_back_is_about_what_waits() {
        let mut back = PutBack::default();
        back.add(500, NOW);
        assert_eq!(back.waiting(NOW), 500);
        let hour = NOW.after(LOOK_AGAIN);
        back.add(100, hour);
        assert_eq!(back.waiting(hour), 500);
        assert_eq!(back.waiting(hour.after(LOOK_AGAIN)), 100);
        assert_eq!(back.waiting(hour.after(2 * LOOK_AGAIN)), 0);
    }
}
