//! How many days a mailing takes, when warm-up and the limits of a day say how much may go.
//!
//! It plays the days: each path sends what its cap leaves, everything is taken, and the path goes on
//! by the same rules by which it really does. So the answer is the best case, and exact as such:
//! trouble makes it later, nothing makes it sooner.
//!
//! Pure. It knows days, not hours: who asks late in a day says how much of today is left.

use super::warm_up::{Heard, Rules, WarmUp};

/// Days that are played: a mailing that takes longer than a year is not going to be sent.
pub const FORECAST_DAYS_MAX: usize = 366;

/// A source and what it may send to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastPath {
    /// How warm it is, and its rules; `None`: it is not warmed up.
    pub warm_up: Option<(WarmUp, Rules)>,
    /// Recipients that its other limits let through in a day; `None`: any number.
    pub per_day: Option<u32>,
    /// Of today's recipients, those that are gone: reserved, or without time left in the send window.
    pub gone_today: u32,
}

/// What waits for a site, and who may send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastSite {
    /// Recipients that wait.
    pub recipients: u64,
    /// Recipients that all paths together may send to in a day; `None`: any number.
    pub per_day: Option<u32>,
    /// Of today's, those that are gone.
    pub gone_today: u32,
    /// In the order in which they are used.
    pub paths: Vec<ForecastPath>,
}

/// What goes when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Today and those that follow, to the last on which something is sent.
    pub days: Vec<ForecastDay>,
    /// Recipients of each site, in the order given, that are not sent within
    /// [`FORECAST_DAYS_MAX`].
    pub left: Vec<u64>,
}

/// One day of a forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastDay {
    /// Days since 1970-01-01.
    pub number: i32,
    /// Recipients sent to each site, in the order given.
    pub sent: Vec<u64>,
}

impl ForecastDay {
    /// Recipients sent to all sites.
    pub fn total(&self) -> u64 {
        self.sent.iter().sum()
    }
}

impl Forecast {
    /// The day on which the last recipient is sent to, in days since 1970-01-01; `None`: some never are.
    /// When nothing waits, the first day that was asked about has nothing to send either, and there is none.
    pub fn done_on(&self) -> Option<i32> {
        let all = self.left.iter().all(|left| *left == 0);
        self.days.last().filter(|_| all).map(|day| day.number)
    }
}

/// What goes on which day, from `today` (days since 1970-01-01) on, if everything is accepted.
pub fn forecast(mut sites: Vec<ForecastSite>, today: i32) -> Forecast {
    let mut days = Vec::new();
    for number in (today..).take(FORECAST_DAYS_MAX) {
        let sent = sites.iter_mut().map(|site| site.play(number)).collect();
        days.push(ForecastDay { number, sent });
        if sites.iter().all(|site| site.recipients == 0) {
            break;
        }
    }
    while days.last().is_some_and(|day| day.total() == 0) {
        days.pop();
    }
    Forecast { days, left: sites.iter().map(|site| site.recipients).collect() }
}

impl ForecastSite {
    /// One day: what was sent.
    fn play(&mut self, number: i32) -> u64 {
        for path in &mut self.paths {
            path.turn(number);
        }
        let room =
            self.per_day.map_or(u64::MAX, |most| most.saturating_sub(self.gone_today).into());
        let mut left = room.min(self.recipients);
        let before = left;
        // First what lets a day count, path by path, then the rest: as an adaptive pool does it. (What
        // goes on a day is the same in any order, unless the site's own limit is in the way.)
        for path in &mut self.paths {
            left -= path.send(left.min(path.needed()));
        }
        for path in &mut self.paths {
            left -= path.send(left);
        }
        let sent = before - left;
        self.recipients -= sent;
        self.gone_today = 0;
        for path in &mut self.paths {
            path.gone_today = 0;
        }
        sent
    }
}

impl ForecastPath {
    fn turn(&mut self, number: i32) {
        if let Some((state, rules)) = &mut self.warm_up {
            state.turn(number, rules);
        }
    }

    /// Recipients that may still be sent to today.
    fn room(&self) -> u64 {
        let cap = self.warm_up.as_ref().and_then(|(state, rules)| state.cap(rules));
        match cap.into_iter().chain(self.per_day).min() {
            Some(most) => most.saturating_sub(self.gone_today).into(),
            None => u64::MAX,
        }
    }

    /// Recipients that must still be accepted for the day to count.
    fn needed(&self) -> u64 {
        let Some((state, rules)) = &self.warm_up else { return 0 };
        let enough = state.enough(rules).unwrap_or(0);
        enough.saturating_sub(state.counts().accepted).into()
    }

    /// Sends so many, or as many as it may: how many.
    fn send(&mut self, recipients: u64) -> u64 {
        let sent = recipients.min(self.room());
        let count = u32::try_from(sent).unwrap_or(u32::MAX);
        self.gone_today = self.gone_today.saturating_add(count);
        if let Some((state, _)) = &mut self.warm_up {
            state.heard(Heard::Accepted, count);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use relay_config::config::{WarmUpSchedule, Warmth};

    const TODAY: i32 = 20_000;

    fn cold(provider: &str) -> ForecastPath {
        let rules = Rules::new(&WarmUpSchedule::built_in(), Some(provider));
        let warm_up = Some((WarmUp::begin(&Warmth::Cold, TODAY), rules));
        ForecastPath { warm_up, per_day: None, gone_today: 0 }
    }

    fn site(recipients: u64, paths: Vec<ForecastPath>) -> ForecastSite {
        ForecastSite { recipients, per_day: None, gone_today: 0, paths }
    }

    #[test]
    fn eighteen_cold_sources_and_a_hundred_thousand_recipients() {
        let sites = vec![
            site(60_000, vec![cold("google"); 18]),
            site(35_000, vec![cold("outlook-consumer"); 18]),
            site(5000, vec![cold("apple"); 18]),
        ];
        let forecast = forecast(sites, TODAY);
        let google: Vec<u64> = forecast.days.iter().map(|day| day.sent[0]).collect();
        assert_eq!(
            google,
            [900, 1350, 1800, 2700, 3600, 5400, 7200, 9900, 13_500, 13_650, 0],
            "18 times each cap, and what is left"
        );
        assert_eq!(forecast.days[10].sent, [0, 2780, 0]);
        assert_eq!(forecast.done_on(), Some(TODAY + 10));
        assert_eq!(forecast.days.iter().map(ForecastDay::total).sum::<u64>(), 100_000);
    }

    #[test]
    fn what_stands_in_the_way() {
        let done = |site: ForecastSite| {
            let forecast = forecast(vec![site], TODAY);
            let days: Vec<u64> = forecast.days.iter().map(ForecastDay::total).collect();
            (days, forecast.left[0])
        };
        let unlimited = ForecastPath { warm_up: None, per_day: None, gone_today: 0 };
        assert_eq!(done(site(5_000_000_000, vec![unlimited.clone()])), (vec![5_000_000_000], 0));
        assert_eq!(done(site(7, vec![])), (vec![], 7), "nobody may send it");
        assert_eq!(done(site(0, vec![unlimited.clone()])), (vec![], 0));
        // A rate that keeps the day from counting keeps the path where it is.
        let slow = ForecastPath { per_day: Some(37), ..cold("google") };
        assert_eq!(done(site(100, vec![slow])), (vec![37, 37, 26], 0));
        let enough = ForecastPath { per_day: Some(38), ..cold("google") };
        assert_eq!(done(site(100, vec![enough])), (vec![38, 38, 24], 0));
        // Today is nearly over.
        let late = ForecastPath { gone_today: 45, ..cold("google") };
        assert_eq!(done(site(100, vec![late])), (vec![5, 50, 45], 0));
        let closed = ForecastPath { gone_today: 50, ..cold("google") };
        assert_eq!(done(site(10, vec![closed])), (vec![0, 10], 0));
        // The site's own limit. Where it leaves little, each path in turn gets what lets its day count.
        let two = || site(240, vec![cold("google"), cold("google")]);
        let narrow = ForecastSite { per_day: Some(60), ..two() };
        assert_eq!(done(narrow), (vec![60; 4], 0));
        let narrow_today = ForecastSite { per_day: Some(1000), gone_today: 924, ..two() };
        assert_eq!(done(narrow_today), (vec![76, 150, 14], 0));
        let never = ForecastSite { per_day: Some(1), ..site(1000, vec![unlimited]) };
        assert_eq!(done(never), (vec![1; FORECAST_DAYS_MAX], 634));
    }

    /// One recipient after the other, from any path that has room, as the relay would send them.
    fn simulated(mut sites: Vec<ForecastSite>, random: &mut StdRng) -> Vec<Vec<u64>> {
        let mut days = Vec::new();
        for today in (TODAY..).take(FORECAST_DAYS_MAX) {
            let mut day = Vec::new();
            for site in &mut sites {
                let mut sent = 0;
                for path in &mut site.paths {
                    if let Some((state, rules)) = &mut path.warm_up {
                        state.turn(today, rules);
                    }
                }
                while site.recipients > 0 {
                    let may = |path: &ForecastPath| {
                        let (state, rules) = path.warm_up.as_ref().unwrap();
                        let most = path.per_day.unwrap_or(u32::MAX);
                        path.gone_today < state.cap(rules).unwrap_or(u32::MAX).min(most)
                    };
                    let free: Vec<usize> =
                        (0..site.paths.len()).filter(|at| may(&site.paths[*at])).collect();
                    if free.is_empty() {
                        break;
                    }
                    let path = &mut site.paths[free[random.random_range(0..free.len())]];
                    path.gone_today += 1;
                    path.warm_up.as_mut().unwrap().0.heard(Heard::Accepted, 1);
                    site.recipients -= 1;
                    sent += 1;
                }
                for path in &mut site.paths {
                    path.gone_today = 0;
                }
                day.push(sent);
            }
            days.push(day);
            if sites.iter().all(|site| site.recipients == 0) {
                break;
            }
        }
        days
    }

    /// A path somewhere in its warm-up, with a part of today behind it.
    fn anywhere(provider: &str, random: &mut StdRng) -> ForecastPath {
        let ForecastPath { warm_up: Some((_, rules)), .. } = cold(provider) else { unreachable!() };
        let days = random.random_range(0..12);
        let mut state = WarmUp::begin(&Warmth::Cold, TODAY - days);
        for day in TODAY - days..TODAY {
            state.heard(Heard::Accepted, state.cap(&rules).unwrap());
            state.turn(day + 1, &rules);
        }
        let gone = random.random_range(0..=state.cap(&rules).unwrap());
        state.heard(Heard::Accepted, random.random_range(0..=gone));
        if random.random_bool(0.2) {
            state.heard(Heard::Freeze, 1);
        }
        let per_day = random.random_bool(0.5).then(|| random.random_range(30..400));
        let gone_today = gone.min(per_day.unwrap_or(gone));
        ForecastPath { warm_up: Some((state, rules)), per_day, gone_today }
    }

    #[test]
    fn it_is_what_a_simulation_of_each_message_comes_to() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..40 {
            let mut sites = Vec::new();
            for _ in 0..random.random_range(1..4) {
                let provider = ["google", "outlook-consumer", "gmx"][random.random_range(0..3)];
                let paths = random.random_range(1..6);
                let paths = (0..paths).map(|_| anywhere(provider, &mut random)).collect();
                sites.push(site(random.random_range(1..20_000), paths));
            }
            let played = forecast(sites.clone(), TODAY);
            let played: Vec<Vec<u64>> = played.days.into_iter().map(|day| day.sent).collect();
            assert_eq!(played, simulated(sites, &mut random));
        }
    }
}
