//! Sources, halts and warm-up, as rows for people and programs; what operators order of them.

use std::sync::Arc;
use std::time::Duration;

use relay_config::values::Rate;
use tokio::task::JoinSet;

use crate::admin::{
    AmissRow, CheckRow, ControlError, ForecastAnswer, ForecastDay, ForecastQuestion, HaltRow,
    LimitNow, NamesRow, PathRow, RefusalRow, ReleaseOrder, Released, SourceAction, SourceAnswer,
    SourceDone, SourceOrder, SourceRow, StandbyRow, SwapAnswer, SwapOrder, SwapPool, WarmUpRow,
};
use crate::dispatch::{self, Looked, Named, NotDone, PoolSwap, Refusal};
use crate::egress::vetting::{Check, Outcome, Verdict};
use crate::egress::{
    Halt, Halted, Health, Listed, OTHER, PathLever, PathState, Share, SourceLever, Standing,
};
use crate::message::{DeliveryId, Timestamp};
use crate::queue::Lever;

use super::RelayControl;

/// Paths of one answer: what a person may read. Those in trouble and those of providers come first.
const PATHS_MAX: usize = 1_000;
/// Parts of a mailing: there are about twenty providers.
const MIX_MAX: usize = 100;
/// Recipients of one site, where nobody says over how many those of others are spread.
const RECIPIENTS_OF_A_SITE: u64 = 10;
/// Deliveries that go on at once when a halt is released, …
const AT_ONCE_MAX: usize = 1_000;
/// … so many of them at a time, so that they share a sync.
const TOGETHER: usize = 64;

impl RelayControl {
    pub(super) fn source_answer(&self, name: &str) -> Result<SourceAnswer, ControlError> {
        let found = self.dispatch.source(name);
        let Some((listed, mut paths)) = found else { return Err(no_source(name)) };
        // Trouble first, then providers.
        paths.sort_by_key(|path| (path.health == Health::Active, path.kind.provider().is_none()));
        let paths_left_out = paths.len().saturating_sub(PATHS_MAX);
        let paths = paths.iter().take(PATHS_MAX).map(path_row).collect();
        let refusals = self.dispatch.refusals(name).iter().map(refusal_row).collect();
        Ok(SourceAnswer { source: self.source_row(&listed), refusals, paths, paths_left_out })
    }

    pub(super) fn source_rows(&self) -> Vec<SourceRow> {
        self.dispatch.sources().iter().map(|listed| self.source_row(listed)).collect()
    }

    fn source_row(&self, listed: &Listed) -> SourceRow {
        let names = self.dispatch.named(&listed.source);
        SourceRow { names: names.as_ref().map(names_row), ..source_row(listed) }
    }

    pub(super) async fn names_now(&self, name: &str) -> Result<NamesRow, ControlError> {
        let named = self.dispatch.look_at_names(name).await;
        named.as_ref().map(names_row).ok_or_else(|| no_source(name))
    }

    pub(super) async fn order_source(
        &self,
        name: &str,
        order: SourceOrder,
    ) -> Result<SourceDone, ControlError> {
        let SourceOrder { action, at, for_seconds, why } = order;
        let until = for_seconds.map(|time| self.queue.now().after(Duration::from_secs(time)));
        if for_seconds.is_some() && action != SourceAction::Suspend {
            return Err(ControlError::Question("only a suspension has an end".to_owned()));
        }
        let said = match (at, action) {
            (None, SourceAction::Suspend) => {
                self.dispatch.pull_source_lever(name, SourceLever::Suspend { why, until }).await
            }
            (None, SourceAction::Drain) => {
                self.dispatch.pull_source_lever(name, SourceLever::Drain { why }).await
            }
            (None, SourceAction::Resume) => {
                self.dispatch.pull_source_lever(name, SourceLever::Resume { why }).await
            }
            (Some(at), SourceAction::Suspend) => {
                let lever = PathLever::Suspend { why, until };
                self.dispatch.pull_path_lever(name, &at, lever).await
            }
            (Some(at), SourceAction::Resume) => {
                self.dispatch.pull_path_lever(name, &at, PathLever::Resume { why }).await
            }
            (Some(_), SourceAction::Drain) => Err(NotDone::Refused(
                "a source is drained everywhere; suspend it at the site".to_owned(),
            )),
        };
        Ok(SourceDone { said: said.map_err(not_done)? })
    }

    pub(super) async fn order_swap(
        &self,
        name: &str,
        order: SwapOrder,
    ) -> Result<SwapAnswer, ControlError> {
        let SwapOrder { with, dry_run, force, why } = order;
        let asked = dispatch::SwapOrder { source: name.to_owned(), with, dry_run, force, why };
        let config = self.config.get();
        let swap = self.dispatch.swap(&asked).await.map_err(not_done)?;
        Ok(SwapAnswer {
            source: name.to_owned(),
            done: swap.done,
            obstacle: swap.obstacle,
            pools: swap.pools.iter().map(swap_pool).collect(),
            clean_for_seconds: config.swap.clean_for.as_secs(),
        })
    }

    pub(super) fn halt_rows(&self) -> Vec<HaltRow> {
        let row = |(site, what, halt): &(Arc<str>, Halted, Halt)| {
            let (kind, name) = match what {
                Halted::Domain(name) => ("domain", name),
                Halted::Campaign(name) => ("campaign", name),
            };
            HaltRow {
                site: site.to_string(),
                kind: kind.to_owned(),
                name: name.clone(),
                rule: halt.rule().to_owned(),
                reply: halt.said().to_owned(),
                since: halt.since().to_rfc3339(),
                until: halt.until().map(Timestamp::to_rfc3339),
            }
        };
        self.dispatch.halts().iter().map(row).collect()
    }

    /// Ends a halt, and brings forward what was put off because of it.
    pub(super) async fn release_halt(&self, order: ReleaseOrder) -> Result<Released, ControlError> {
        let ReleaseOrder { site, name, why } = order;
        let (site, released) = self.dispatch.release(&site, &name, &why).await.map_err(not_done)?;
        let (ids, more) = self.put_off(site, released.clone()).await?;
        let mut at_once = 0;
        for together in ids.chunks(TOGETHER) {
            let mut open = JoinSet::new();
            for id in together.iter().copied() {
                let queue = Arc::clone(&self.queue);
                open.spawn(async move { queue.pull(id, &Lever::Retry).await.is_ok() });
            }
            at_once += open.join_all().await.into_iter().filter(|done| *done).count();
        }
        let words = |what: &Halted| match what {
            Halted::Domain(domain) => format!("mail of {domain}"),
            Halted::Campaign(campaign) => format!("campaign {campaign}"),
        };
        Ok(Released { released: released.iter().map(words).collect(), at_once, more })
    }

    /// Deliveries to a site that were halted as one of these and wait on disk; whether there may be more.
    async fn put_off(
        &self,
        site: Arc<str>,
        halted: Vec<Halted>,
    ) -> Result<(Vec<DeliveryId>, bool), ControlError> {
        let spool = |error: String| ControlError::Spool(error);
        self.queue.barrier().await.map_err(|error| spool(error.to_string()))?;
        let (queue, dispatch) = (Arc::clone(&self.queue), Arc::clone(&self.dispatch));
        let looked = tokio::task::spawn_blocking(move || {
            let (mut ids, mut from) = (Vec::new(), None);
            loop {
                let page = queue.list(from, AT_ONCE_MAX - ids.len(), &|delivery, message| {
                    delivery.hold.is_none()
                        && dispatch::is_halted_as(message, &halted)
                        && dispatch.site_of(&delivery.domain).is_some_and(|at| *at == *site)
                })?;
                let waits = page.rows.iter().filter(|row| !row.active);
                ids.extend(waits.map(|row| row.delivery.id));
                from = page.next;
                if from.is_none() || ids.len() >= AT_ONCE_MAX {
                    return Ok((ids, from.is_some()));
                }
            }
        });
        let found: Result<_, crate::spool::SpoolError> =
            looked.await.map_err(|error| spool(error.to_string()))?;
        found.map_err(|error| spool(error.to_string()))
    }

    pub(super) fn warm_up_rows(&self, pool: Option<&str>) -> Result<Vec<WarmUpRow>, ControlError> {
        if let Some(pool) = pool {
            self.known_pool(pool)?;
        }
        let mut paths = self.dispatch.paths_warming(pool);
        paths.sort_by_key(|path| path.kind.provider().is_none());
        let rows = paths.iter().filter_map(warm_up_row);
        Ok(rows.take(PATHS_MAX).collect())
    }

    pub(super) fn amiss_rows(&self) -> Vec<AmissRow> {
        let row = |path: &PathState| AmissRow {
            source: path.source.name.to_string(),
            path: path_row(path),
        };
        self.dispatch.paths_amiss().iter().take(PATHS_MAX).map(row).collect()
    }

    pub(super) fn forecast_answer(
        &self,
        question: &ForecastQuestion,
    ) -> Result<ForecastAnswer, ControlError> {
        let config = self.config.get();
        let pool = question.pool.as_deref().unwrap_or(&config.delivery.pool);
        self.known_pool(pool)?;
        let (mix, mut notes) = parse_mix(&question.mix).map_err(ControlError::Question)?;
        let found = self.dispatch.mailing(pool, &mix).map_err(not_done)?;
        notes.extend(found.notes);
        let named = |sent: &[u64]| {
            let sites = mix.iter().map(|share| share.site.to_string());
            sites.zip(sent.iter().copied()).collect()
        };
        let forecast = &found.forecast;
        let day = |day: &crate::egress::forecast::ForecastDay| ForecastDay {
            date: date(day.number),
            sent: named(&day.sent),
            total: day.total(),
        };
        Ok(ForecastAnswer {
            pool: pool.to_owned(),
            sites: mix.iter().map(|share| share.site.to_string()).collect(),
            days: forecast.days.iter().map(day).collect(),
            done_on: forecast.done_on().map(date),
            left: named(&forecast.left),
            notes,
        })
    }

    pub(super) fn known_pool(&self, name: &str) -> Result<(), ControlError> {
        let config = self.config.get();
        if config.pools.iter().any(|pool| *pool.name == *name) {
            return Ok(());
        }
        let known: Vec<&str> = config.pools.iter().map(|pool| &*pool.name).collect();
        let known = known.join(", ");
        Err(ControlError::Question(format!("there is no pool {name}; write one of: {known}")))
    }
}

/// A source as it is listed, without what is known of its names.
pub(super) fn source_row(listed: &Listed) -> SourceRow {
    let Listed { source, active, standby, present, standing } = listed;
    let (why, until) = match standing {
        Standing::Good if !present => (Some(missing(source)), None),
        Standing::Good => (None, None),
        Standing::Suspended { why, until } => (Some(why.clone()), *until),
        Standing::Draining { why } | Standing::Quarantined { why, .. } => (Some(why.clone()), None),
    };
    let names = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect();
    SourceRow {
        name: source.name.to_string(),
        address: source.address.to_string(),
        public: source.public.to_string(),
        via: source.via.as_ref().map(ToString::to_string),
        helo: source.helo.clone(),
        pool: active.first().or(standby.first()).map(ToString::to_string),
        pools: names(active),
        standby: names(standby),
        state: listed.state().to_owned(),
        why,
        until: until.map(Timestamp::to_rfc3339),
        names: None,
    }
}

fn names_row(named: &Named) -> NamesRow {
    let verdict = match named.verdict() {
        Verdict::Passes if named.is_helo => "fits",
        Verdict::Passes => "differs",
        Verdict::Fails => "fails",
        Verdict::Later => "unknown",
    };
    NamesRow {
        at: named.at.to_rfc3339(),
        verdict: verdict.to_owned(),
        pointers: named.pointers.clone(),
        checks: named.checks.iter().map(check_row).collect(),
    }
}

fn refusal_row(refusal: &Refusal) -> RefusalRow {
    RefusalRow {
        at: refusal.at.to_rfc3339(),
        site: refusal.site.to_string(),
        rule: refusal.rule.to_string(),
        category: refusal.category.to_owned(),
        for_good: refusal.for_good,
        reply: refusal.reply.clone(),
        times: refusal.times,
    }
}

fn missing(source: &relay_config::config::Source) -> String {
    match &source.via {
        None => format!("this machine does not have {}", source.address),
        Some(gateway) => {
            format!("the gateway {gateway} does not answer, or does not take this relay")
        }
    }
}

fn path_row(path: &PathState) -> PathRow {
    let until = match path.health {
        Health::Slowed { until } => Some(until),
        Health::Suspended { until, .. } => until,
        Health::Active | Health::Probing { .. } => None,
    };
    let why = path.why.as_ref();
    let kept = |(reason, until): (crate::egress::Reason, Timestamp)| {
        let never = until == Timestamp::MAX;
        let until = if never { "until it is resumed".to_owned() } else { format!("until {until}") };
        format!("{}; {until}", reason.sentence())
    };
    PathRow {
        site: path.site.to_string(),
        provider: path.kind.provider().map(ToString::to_string),
        pool: path.pool.as_ref().map(ToString::to_string),
        state: path.health.word().to_owned(),
        until: until.map(Timestamp::to_rfc3339),
        rule: why.map(|why| why.rule.clone()),
        reply: why.map(|why| why.said.clone()),
        since: why.map(|why| why.at.to_rfc3339()),
        kept: path.kept.map(kept),
        open: path.open,
        used: path.used,
        cap: path.cap,
        warm_up_day: path.warming.map(|it| it.day),
        warm_up_days: path.warming.map(|it| it.days),
        held: path.warming.and_then(|it| it.held).map(|held| held.to_string()),
        limits: limits(path),
        last_used: path.last_used.map(Timestamp::to_rfc3339),
    }
}

fn limits(path: &PathState) -> Vec<LimitNow> {
    let count = |value: u32| if value == u32::MAX { none() } else { value.to_string() };
    let rate = |rate: Option<Rate>| rate.map_or_else(none, |rate| rate.to_string());
    let per_hour = |rate: Option<u32>| rate.map_or_else(none, |rate| format!("{rate}/h"));
    let row = |name: &str, now: String, configured: String| LimitNow {
        name: name.to_owned(),
        now,
        configured,
    };
    let of = &path.limits;
    vec![
        row("connections", count(path.connections), count(of.connections)),
        row("messages_per_connection", count(path.messages), count(of.messages_per_connection)),
        row("rate", per_hour(path.per_hour), rate(of.rate)),
    ]
}

fn none() -> String {
    "none".to_owned()
}

fn warm_up_row(path: &PathState) -> Option<WarmUpRow> {
    let warming = path.warming?;
    Some(WarmUpRow {
        source: path.source.name.to_string(),
        pool: path.pool.as_ref().map(ToString::to_string),
        site: path.site.to_string(),
        provider: path.kind.provider().map(ToString::to_string),
        day: warming.day,
        days: warming.days,
        cap: path.cap,
        used: path.used,
        accepted: warming.accepted,
        enough: warming.enough,
        held: warming.held.map(|held| held.to_string()),
        warm_on: date(warming.warm_on),
    })
}

fn swap_pool(pool: &PoolSwap) -> SwapPool {
    let leaving = &pool.leaving;
    let stopped = leaving.stopped.iter();
    SwapPool {
        pool: leaving.pool.to_string(),
        comes: pool.comes.as_ref().map(|source| source.name.to_string()),
        forced: pool.forced,
        waiting: leaving.waiting,
        swaps_left: leaving.swaps_left,
        swaps_allowed: leaving.swaps_allowed,
        looked_at: pool.looked_at.iter().map(standby_row).collect(),
        stopped: stopped.map(|(name, how)| (name.to_string(), (*how).to_owned())).collect(),
    }
}

fn standby_row(looked: &Looked) -> StandbyRow {
    let verdict = match looked.verdict {
        Verdict::Passes => "passes",
        Verdict::Fails => "fails",
        Verdict::Later => "later",
    };
    StandbyRow {
        name: looked.source.name.to_string(),
        verdict: verdict.to_owned(),
        checks: looked.checks.iter().map(check_row).collect(),
    }
}

fn check_row(check: &Check) -> CheckRow {
    let what = check.what.to_string();
    match &check.outcome {
        Outcome::Passed => CheckRow { what, outcome: "passed".to_owned(), ..CheckRow::default() },
        Outcome::Failed { found, expected, mend } => CheckRow {
            what,
            outcome: "failed".to_owned(),
            found: Some(found.clone()),
            expected: Some(expected.clone()),
            mend: Some(mend.clone()),
        },
        Outcome::Unknown(why) => CheckRow {
            what,
            outcome: "unknown".to_owned(),
            found: Some(why.clone()),
            ..CheckRow::default()
        },
    }
}

/// `google=50000,other=1000/100`, and what is taken for granted where nothing is written.
fn parse_mix(text: &str) -> Result<(Vec<Share>, Vec<String>), String> {
    let (mut mix, mut notes) = (Vec::<Share>::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let wrong = || format!("{part} is not SITE=RECIPIENTS, as in google=50000");
        let (site, number) = part.split_once('=').ok_or_else(wrong)?;
        let site: Arc<str> = site.trim().into();
        let (recipients, sites) = match number.split_once('/') {
            Some((recipients, sites)) => (recipients, Some(sites)),
            None => (number, None),
        };
        let recipients: u64 = recipients.trim().parse().map_err(|_| wrong())?;
        let sites = match sites {
            Some(_) if *site != *OTHER => {
                return Err(format!("{part}: {site} is one site; only {OTHER} are many"));
            }
            Some(sites) => {
                sites.trim().parse().ok().filter(|sites| *sites > 0).ok_or_else(wrong)?
            }
            None if *site == *OTHER => {
                let sites = recipients.div_ceil(RECIPIENTS_OF_A_SITE).max(1);
                notes.push(format!(
                    "{OTHER}: {recipients} recipients at {sites} sites, {RECIPIENTS_OF_A_SITE} at each; \
                     {OTHER}={recipients}/SITES says it better"
                ));
                u32::try_from(sites).unwrap_or(u32::MAX)
            }
            None => 1,
        };
        if mix.iter().any(|share| share.site == site) {
            return Err(format!("{site} is written twice"));
        }
        mix.push(Share { site, recipients, sites });
    }
    match mix.len() {
        0 => Err("nothing is to be sent: write a mix, as in google=50000,other=1000".to_owned()),
        1..=MIX_MAX => Ok((mix, notes)),
        _ => Err(format!("more than {MIX_MAX} sites: put the small ones together as {OTHER}")),
    }
}

/// `2026-11-25`, from days since 1970-01-01.
fn date(day: i32) -> String {
    let first = jiff::civil::Date::constant(1970, 1, 1);
    let date = first.checked_add(jiff::Span::new().days(day));
    date.map_or_else(|_| day.to_string(), |date| date.to_string())
}

fn no_source(name: &str) -> ControlError {
    ControlError::NotFound(format!("there is no source {name}; `tambo sources list` names them"))
}

pub(super) fn not_done(error: NotDone) -> ControlError {
    match error {
        NotDone::Refused(why) => ControlError::Refused(why),
        NotDone::NotWritten(_) => ControlError::Spool(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_or_refused_with_the_mend() {
        let read = |text: &str| -> Result<Vec<(String, u64, u32)>, String> {
            let (mix, _) = parse_mix(text)?;
            let row = |it: Share| (it.site.to_string(), it.recipients, it.sites);
            Ok(mix.into_iter().map(row).collect())
        };
        let row = |site: &str, recipients, sites| (site.to_owned(), recipients, sites);
        assert_eq!(read("google=50000").unwrap(), [row("google", 50_000, 1)]);
        let both = [row("google", 5, 1), row("other", 1000, 40)];
        assert_eq!(read(" google = 5, other=1000/40,").unwrap(), both);
        assert_eq!(read("other=1001").unwrap(), [row("other", 1001, 101)], "ten at each");
        assert_eq!(read("mx.x.pe=0").unwrap(), [row("mx.x.pe", 0, 1)]);
        let (_, notes) = parse_mix("other=1001").unwrap();
        assert!(notes[0].contains("at 101 sites, 10 at each"), "{notes:?}");
        for (text, wrong) in [
            ("", "nothing is to be sent"),
            ("google", "google is not SITE=RECIPIENTS"),
            ("google=many", "google=many is not SITE=RECIPIENTS"),
            ("google=-1", "google=-1 is not SITE=RECIPIENTS"),
            ("other=10/0", "other=10/0 is not SITE=RECIPIENTS"),
            ("google=10/2", "google=10/2: google is one site"),
            ("google=1,google=2", "google is written twice"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.starts_with(wrong), "{text}: {why}");
        }
        let many: Vec<String> = (0..=MIX_MAX).map(|n| format!("s{n}=1")).collect();
        assert!(read(&many.join(",")).unwrap_err().starts_with("more than 100 sites"));
    }

    #[test]
    fn dates_are_days_since_the_beginning_of_1970() {
        let dates = [0, -1, 20_417].map(date);
        assert_eq!(dates, ["1970-01-01", "1969-12-31", "2025-11-25"]);
    }
}
