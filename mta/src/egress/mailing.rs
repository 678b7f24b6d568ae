//! How many days a mailing would take from a pool, asked of the paths as they are at this moment: the day of
//! their warm-up, what of today is used, who is stopped where. [`forecast`] plays the days.

use std::sync::Arc;
use std::time::Duration;

use relay_config::values::Rate;

use crate::message::Timestamp;

use super::Item;
use super::books::{Egress, limits_of, rules_of};
use super::calendar::Day;
use super::forecast::{Forecast, ForecastPath, ForecastSite, forecast};
use super::health::Health;
use super::path::{CATCH_UP, Path, Terms};
use super::site::SiteKind;
use super::warm_up::WarmUp;

/// The word for everybody who is no known provider.
pub const OTHER: &str = "other";
const WHOLE_DAY: Duration = Duration::from_hours(24);

/// A part of a mailing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// A provider, another site that is known, or [`OTHER`].
    pub site: Arc<str>,
    /// Recipients.
    pub recipients: u64,
    /// Sites over which they are spread evenly: more than one only for [`OTHER`].
    pub sites: u32,
}

/// What a mailing would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailing {
    /// What goes when, site by site in the order asked.
    pub forecast: Forecast,
    /// What was taken for granted, or left out, in sentences.
    pub notes: Vec<String>,
}

impl<T: Item> Egress<T> {
    /// How many days a mailing takes from this pool, beginning now, if everything is accepted.
    pub fn mailing(&self, pool: &str, mix: &[Share], now: Timestamp) -> Result<Mailing, String> {
        if !self.sources.has_pool(pool) {
            return Err(format!("there is no pool {pool}"));
        }
        let day = self.sources.day_of(pool, now);
        let mut notes = Vec::new();
        for name in self.sources.active(pool) {
            if !self.sources.is_usable(name) {
                let word = self.sources.standing(name).map_or("gone", |standing| standing.word());
                let word = if word == "active" { "without its address" } else { word };
                notes.push(format!("{name} is left out: it is {word}"));
            }
        }
        let mut sites = Vec::new();
        for share in mix {
            sites.push(self.share(pool, share, day, now, &mut notes)?);
        }
        let mut forecast = forecast(sites, day.number);
        for (place, share) in mix.iter().enumerate().filter(|(_, share)| share.sites > 1) {
            spread(&mut forecast, place, share);
        }
        Ok(Mailing { forecast, notes })
    }

    fn share(
        &self,
        pool: &str,
        share: &Share,
        day: Day,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<ForecastSite, String> {
        let kind = if *share.site == *OTHER {
            Some(SiteKind::Mx)
        } else {
            self.kind_of_known(&share.site)
        };
        let Some(kind) = kind else {
            let known: Vec<&str> = self.settings.providers.iter().map(|it| &*it.name).collect();
            return Err(format!(
                "nothing is known of a site {}; write {OTHER}, a site that mail goes to, or one of {}",
                share.site,
                known.join(", ")
            ));
        };
        let limits = limits_of(&self.settings.providers, &kind, pool);
        let rules = rules_of(&self.sources, &kind, pool);
        let terms = Terms { limits: &limits, day, rules: rules.as_ref() };
        let mut paths = Vec::new();
        for name in self.sources.usable(pool) {
            let path = self.path_now(name, share, terms, now);
            match stopped(&path, day, now) {
                Stopped::No => paths.push(forecast_path(&path, terms, now)),
                Stopped::Today => {
                    let word = path.health.word();
                    notes.push(format!(
                        "{name} sends nothing to {} today: it is {word}",
                        share.site
                    ));
                    paths.push(ForecastPath {
                        gone_today: u32::MAX,
                        ..forecast_path(&path, terms, now)
                    });
                }
                Stopped::Longer(until) => notes.push(format!(
                    "{name} is left out at {}: it is suspended there {until}",
                    share.site
                )),
            }
        }
        let used = self.sites.get(&share.site).map_or(0, |site| {
            let mut budget = site.budget;
            budget.turn(day.number);
            budget.used()
        });
        let capped = limits.per_day.is_some() || rules.is_some();
        let most = least(limits.per_day_total, limits.rate_total, hours(day, capped));
        let gone_today = most.map_or(0, |most| {
            let by_rate = limits.rate_total.map(|rate| times(rate, rest(day, capped, now)));
            most - by_rate.map_or(most, |it| it.min(most)).min(most.saturating_sub(used))
        });
        let recipients = share.recipients.div_ceil(u64::from(share.sites.max(1)));
        Ok(ForecastSite { recipients, per_day: most, gone_today, paths })
    }

    /// A path as it is now, or as it would begin.
    fn path_now(&self, source: &Arc<str>, share: &Share, terms: Terms<'_>, now: Timestamp) -> Path {
        let known = self.sites.get(&share.site).and_then(|site| site.paths.get(source)).cloned();
        let remembered = || {
            let record = self.remembered.path(&share.site, source)?;
            Some(Path::restored(record.clone(), terms.limits, Timestamp::default()))
        };
        let mut path = known.or_else(remembered).unwrap_or_default();
        if terms.rules.is_some()
            && path.warm_up.is_none()
            && let Some(config) = self.sources.get(source)
        {
            path.warm_up = Some(WarmUp::begin(&config.warmth, terms.day.number));
        }
        path.advance(terms, now);
        path
    }
}

/// Whether a path sends.
enum Stopped {
    No,
    /// Not today, or next to nothing.
    Today,
    /// Beyond today; until when, in words.
    Longer(String),
}

fn stopped(path: &Path, day: Day, now: Timestamp) -> Stopped {
    match path.health {
        Health::Suspended { until: None, .. } => Stopped::Longer("until it is resumed".to_owned()),
        Health::Suspended { until: Some(until), .. } if until > day.ends => {
            Stopped::Longer(format!("until {until}"))
        }
        Health::Active => Stopped::No,
        Health::Slowed { until } if until <= now => Stopped::No,
        _ => Stopped::Today,
    }
}

fn forecast_path(path: &Path, terms: Terms<'_>, now: Timestamp) -> ForecastPath {
    let (day, limits) = (terms.day, terms.limits);
    let cap = path.cap(terms).map(|(cap, _)| cap);
    let capped = cap.is_some();
    let per_day = least(limits.per_day, limits.rate, hours(day, capped));
    let left = rest(day, capped, now);
    let today = cap.into_iter().chain(per_day).min();
    let gone_today = today.map_or(0, |most| {
        let unused = most.saturating_sub(path.used_on(day.number));
        let by_rate = limits.rate.map_or(u32::MAX, |rate| times(rate, left));
        // A cap is spread over the window, and may be caught up with only so fast.
        let by_spread = cap.map_or(u32::MAX, |cap| {
            let rate = Rate { count: cap.saturating_mul(CATCH_UP), per: hours(day, true) };
            times(rate, left)
        });
        most - unused.min(by_rate).min(by_spread)
    });
    let warm_up = path.warm_up.zip(terms.rules.cloned());
    ForecastPath { warm_up, per_day, gone_today }
}

/// The hours of a day over which mail goes: those of the window bind only what has a cap.
fn hours(day: Day, capped: bool) -> Duration {
    if capped { day.closes.since(day.opens) } else { WHOLE_DAY }
}

/// What of them is left.
fn rest(day: Day, capped: bool, now: Timestamp) -> Duration {
    if capped { day.closes.since(now.max(day.opens)) } else { day.ends.since(now).min(WHOLE_DAY) }
}

fn least(per_day: Option<u32>, rate: Option<Rate>, hours: Duration) -> Option<u32> {
    per_day.into_iter().chain(rate.map(|rate| times(rate, hours))).min()
}

/// Recipients of a rate in a time.
fn times(rate: Rate, time: Duration) -> u32 {
    let per = rate.per.as_millis().max(1);
    u32::try_from(u128::from(rate.count) * time.as_millis() / per).unwrap_or(u32::MAX)
}

/// One of many equal sites was played: each day of it stands for all of them.
fn spread(forecast: &mut Forecast, place: usize, share: &Share) {
    let mut left = share.recipients;
    for sent in forecast.days.iter_mut().filter_map(|day| day.sent.get_mut(place)) {
        *sent = sent.saturating_mul(u64::from(share.sites)).min(left);
        left -= *sent;
    }
    if let Some(rest) = forecast.left.get_mut(place) {
        *rest = left;
    }
}

#[cfg(test)]
mod tests {
    use relay_config::config::{Pool, Rotation, SendWindow, WarmUpSchedule};

    use super::*;
    use crate::egress::examples::{Mail, pool_of, settings, source};
    use crate::egress::{PathLever, SourceLever, Sources};

    /// Midnight in UTC, where the day of the pool begins.
    const NOW: Timestamp = Timestamp::from_millis(1_764_028_800_000);

    fn egress(window: &str, limits: &str) -> Egress<Mail> {
        let warm_up = Some(WarmUpSchedule::built_in());
        let send_window = SendWindow::parse(window).unwrap();
        let names = ["a", "b"];
        let pool = Pool { warm_up, send_window, ..pool_of("p", &names, Rotation::Adaptive) };
        let sources = Sources::new(&names.map(source), &[Arc::new(pool)], |_| true);
        Egress::new(sources, settings(limits, 100), NOW.before(WHOLE_DAY))
    }

    fn share(site: &str, recipients: u64, sites: u32) -> Share {
        Share { site: site.into(), recipients, sites }
    }

    /// What goes each day, site by site.
    fn days(egress: &Egress<Mail>, mix: &[Share], now: Timestamp) -> Vec<Vec<u64>> {
        let found = egress.mailing("p", mix, now).unwrap();
        found.forecast.days.into_iter().map(|day| day.sent).collect()
    }

    fn google(egress: &Egress<Mail>, recipients: u64, now: Timestamp) -> Vec<u64> {
        days(egress, &[share("google", recipients, 1)], now).into_iter().flatten().collect()
    }

    fn hours(count: u64) -> Timestamp {
        NOW.after(Duration::from_hours(count))
    }

    #[test]
    fn cold_sources_begin_on_their_first_day_and_today_is_what_is_left_of_it() {
        let all_day = egress("00:00-24:00 UTC", "");
        assert_eq!(google(&all_day, 1000, NOW), [100, 150, 200, 300, 250]);
        let day = egress("08:00-20:00 UTC", "");
        assert_eq!(google(&day, 250, hours(5)), [100, 150], "before the window opens");
        assert_eq!(google(&day, 250, hours(14)), [100, 150], "it is caught up with");
        // An hour is a twelfth of the window, at four times the pace a third of the cap; the day does not count.
        assert_eq!(google(&day, 250, hours(19)), [32, 100, 118]);
        assert_eq!(google(&day, 250, hours(21)), [0, 100, 150], "closed");
    }

    #[test]
    fn what_is_used_or_stopped_today_does_not_go_today() {
        let mut egress = egress("00:00-24:00 UTC", "");
        let (site, pool): (Arc<str>, Arc<str>) = ("google".into(), "p".into());
        let kind = SiteKind::Provider("google".into());
        egress.site(&site, &kind, &pool);
        egress.advance(&site, &pool, NOW);
        let path = egress.sites.get_mut(&site).unwrap().paths.get_mut("a").unwrap();
        path.budget.take(20);
        path.warm_up.as_mut().unwrap().heard(crate::egress::warm_up::Heard::Accepted, 20);
        assert_eq!(google(&egress, 230, NOW), [80, 150]);
        let suspend = |until| PathLever::Suspend { why: "x".to_owned(), until };
        let b: Arc<str> = "b".into();
        egress.pull_path_lever(&site, &kind, &b, suspend(Some(hours(2))), NOW).unwrap();
        assert_eq!(google(&egress, 180, NOW), [30, 125, 25], "a alone, then both");
        egress.pull_path_lever(&site, &kind, &b, suspend(None), NOW).unwrap();
        let found = egress.mailing("p", &[share("google", 105, 1)], NOW).unwrap();
        assert_eq!(found.forecast.days.len(), 2);
        assert_eq!(
            found.notes,
            ["b is left out at google: it is suspended there until it is resumed"]
        );
        assert_eq!(days(&egress, &[share("yahoo", 100, 1)], NOW), [[100]], "elsewhere it sends");
        let lever = SourceLever::Drain { why: "x".to_owned() };
        egress.pull_source_lever(&b, lever, NOW).unwrap();
        let found = egress.mailing("p", &[share("yahoo", 100, 1)], NOW).unwrap();
        assert_eq!(found.forecast.days[0].sent, [50]);
        assert_eq!(found.notes, ["b is left out: it is draining"]);
    }

    #[test]
    fn limits_of_a_day_and_rates_bind_too() {
        let limits = "rate = \"2/h\"\nper_day_total = 30\n";
        // Two an hour over twelve hours, from each; all together thirty.
        let window = egress("08:00-20:00 UTC", limits);
        let other = |egress: &Egress<Mail>, now| -> Vec<u64> {
            days(egress, &[share(OTHER, 70, 1)], now).into_iter().flatten().collect()
        };
        assert_eq!(other(&window, NOW), [30, 30, 10]);
        assert_eq!(other(&window, hours(17)), [12, 30, 28], "three hours are left");
    }

    #[test]
    fn many_small_sites_are_each_their_own() {
        let egress = egress("00:00-24:00 UTC", "");
        let mix = [share(OTHER, 305, 10), share("google", 150, 1)];
        assert_eq!(days(&egress, &mix, NOW), [[305, 100], [0, 50]], "31 at each, two sources");
        let one = [share(OTHER, 305, 1)];
        assert_eq!(days(&egress, &one, NOW)[0], [50], "25 from each source to one site");
        let wrong = egress.mailing("p", &[share("gogle", 1, 1)], NOW).unwrap_err();
        assert!(wrong.starts_with("nothing is known of a site gogle; write other, "), "{wrong}");
        assert!(egress.mailing("q", &one, NOW).is_err());
    }
}
