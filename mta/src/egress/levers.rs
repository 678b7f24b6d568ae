//! What an operator does by hand to a source at one site, and to what is halted there.

use std::sync::Arc;

use crate::message::Timestamp;

use super::Item;
use super::books::{Egress, limits_of};
use super::decision::{Decision, DecisionKind, halted_words, span};
use super::halts::{Halt, Halted};
use super::health::{Health, Why};
use super::path::Path;
use super::site::SiteKind;

/// The rule that is told where no reply but an operator stopped a path.
pub const BY_HAND: &str = "operator";

/// What an operator may do to a source at one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathLever {
    /// Nothing is sent from it there; the other sources take its mail.
    Suspend {
        /// Who and why.
        why: String,
        /// `None`: until resumed.
        until: Option<Timestamp>,
    },
    /// It comes back, as from every suspension: by single messages, then with a share of its rate.
    Resume {
        /// Who and why.
        why: String,
    },
}

impl<T: Item> Egress<T> {
    /// An operator acts on a source at one site. Returns the sentence that says what was done, or why it
    /// cannot be.
    pub fn pull_path_lever(
        &mut self,
        site: &Arc<str>,
        kind: &SiteKind,
        source: &Arc<str>,
        lever: PathLever,
        now: Timestamp,
    ) -> Result<String, String> {
        if self.sources.get(source).is_none() {
            return Err(format!("there is no source {source}"));
        }
        let Some(Some(pool)) = self.pools_at(site, source).into_iter().next() else {
            return Err(format!("{source} is in no pool: it sends nothing anywhere"));
        };
        self.site(site, kind, &pool);
        self.advance(site, &pool, now);
        let limits = limits_of(&self.settings.providers, kind, &pool);
        let started = self.started;
        let Some(known) = self.sites.get_mut(site) else {
            return Err(format!("nothing is known of {site}"));
        };
        let path =
            known.paths.entry(Arc::clone(source)).or_insert_with(|| Path::new(&limits, started));
        let pulled = pull(path, source, site, lever, now);
        if pulled.is_err() {
            self.forget_if_quiet(site, now);
        }
        let (kind, why, text) = pulled?;
        self.settle_path(site, source);
        let pools: Vec<Arc<str>> =
            self.sites.get(site).map_or_else(Vec::new, |site| site.pools.keys().cloned().collect());
        for pool in &pools {
            self.redeal(site, pool, source, now);
        }
        let decision = Decision::new(kind, text.clone()).source(source).site(site);
        self.decisions.push(decision.because(BY_HAND, &why));
        Ok(text)
    }

    /// Everything that is halted, in order of sites.
    pub fn halts(&self, now: Timestamp) -> Vec<(Arc<str>, Halted, Halt)> {
        let halts = self.halts.iter().filter(|(_, halt)| halt.holds(now));
        halts.map(|((site, what), halt)| (Arc::clone(site), what.clone(), halt.clone())).collect()
    }

    /// An operator has a sending domain or a campaign go on at a site: every halt there that bears the name
    /// ends. Returns what was halted.
    pub fn release(
        &mut self,
        site: &Arc<str>,
        name: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<Vec<Halted>, String> {
        let named = [
            Halted::Domain(name.trim_end_matches('.').to_ascii_lowercase()),
            Halted::Campaign(name.to_owned()),
        ];
        let released: Vec<Halted> = named
            .into_iter()
            .filter(|what| self.halts.release(site, what).is_some_and(|halt| halt.holds(now)))
            .collect();
        for what in &released {
            let text = format!("{} to {site} goes on: {why}", halted_words(what));
            let decision = Decision::new(DecisionKind::Resumed, text).site(site);
            self.decisions.push(decision.because(BY_HAND, why));
        }
        if released.is_empty() {
            let there = self.halts(now).into_iter().filter(|(at, ..)| at == site);
            let there: Vec<String> = there.map(|(_, what, _)| halted_words(&what)).collect();
            return Err(if there.is_empty() {
                format!("nothing is halted at {site}")
            } else {
                format!("{name} is not halted at {site}; what is: {}", there.join(", "))
            });
        }
        Ok(released)
    }
}

/// Changes the path; what is to be told of it.
fn pull(
    path: &mut Path,
    source: &str,
    site: &str,
    lever: PathLever,
    now: Timestamp,
) -> Result<(DecisionKind, String, String), String> {
    match lever {
        PathLever::Suspend { why, until } => {
            let reason = Why { rule: BY_HAND.to_owned(), said: why.clone(), at: now };
            path.suspend(until, true, reason);
            let how_long = match path.health {
                Health::Suspended { until: Some(until), .. } => {
                    format!("for {}", span(until.since(now)))
                }
                _ => "until it is resumed".to_owned(),
            };
            let text = format!(
                "{source} sends nothing to {site} {how_long}: {why}. The other sources take its mail"
            );
            Ok((DecisionKind::Suspended, why, text))
        }
        PathLever::Resume { why } => match path.health {
            Health::Suspended { .. } | Health::Slowed { .. } => {
                path.resume();
                let text = format!(
                    "{source} comes back to {site}: single messages first, then a share of its rate; {why}"
                );
                Ok((DecisionKind::Probing, why, text))
            }
            Health::Probing { .. } => {
                Err(format!("{source} comes back to {site} already, by single messages"))
            }
            Health::Active => Err(format!("{source} is not stopped at {site}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay_config::config::Rotation;

    use super::*;
    use crate::egress::examples::{Mail, pool_of, settings, source};
    use crate::egress::{Action, Destination, Kept, PathState, Sources};
    use crate::message::{Lane, Priority};

    const NOW: Timestamp = Timestamp::from_millis(1_764_028_800_000);

    fn egress() -> Egress<Mail> {
        let names = ["a", "b"];
        let pool = pool_of("p", &names, Rotation::RoundRobin);
        let made: Vec<_> = ["a", "b", "idle"].map(source).into();
        let sources = Sources::new(&made, &[Arc::new(pool)], |_| true);
        Egress::new(sources, settings("", 100), NOW.before(Duration::from_hours(24)))
    }

    fn push(egress: &mut Egress<Mail>, count: u32, now: Timestamp) {
        let to = Destination { site: "mx".into(), host_set: "mx".into(), kind: SiteKind::Mx };
        let lane = Lane { priority: Priority::default(), account: 0, tag: 0 };
        for number in 0..count {
            let key = ("x.pe".into(), lane);
            egress.push(&to, &"p".into(), key, Mail::new(number), now).unwrap();
        }
    }

    /// The sources from which connections are opened.
    fn opens(egress: &mut Egress<Mail>) -> Vec<String> {
        let actions = egress.balance(&"mx".into(), NOW).into_iter();
        let mut names: Vec<String> = actions
            .filter_map(|action| match action {
                Action::Open { source, .. } => Some(source.name.to_string()),
                Action::Wake(_) => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn pull(
        egress: &mut Egress<Mail>,
        source: &str,
        lever: PathLever,
        now: Timestamp,
    ) -> Result<String, String> {
        egress.pull_path_lever(&"mx".into(), &SiteKind::Mx, &source.into(), lever, now)
    }

    fn suspend(hours: Option<u64>) -> PathLever {
        let until = hours.map(|hours| NOW.after(Duration::from_hours(hours)));
        PathLever::Suspend { why: "ana: test".to_owned(), until }
    }

    fn resume() -> PathLever {
        PathLever::Resume { why: "ana: again".to_owned() }
    }

    fn path(egress: &Egress<Mail>, source: &str, now: Timestamp) -> PathState {
        egress.paths(|name| name == source, now).remove(0)
    }

    #[test]
    fn a_path_that_is_suspended_leaves_its_mail_to_the_others() {
        let mut both = egress();
        push(&mut both, 6, NOW);
        assert_eq!(opens(&mut both), ["a", "b"]);

        let mut egress = egress();
        push(&mut egress, 6, NOW);
        let said = pull(&mut egress, "a", suspend(Some(2)), NOW).unwrap();
        assert_eq!(
            said,
            "a sends nothing to mx for 2 h: ana: test. The other sources take its mail"
        );
        assert_eq!(opens(&mut egress), ["b"], "also what was dealt to it");
        let decisions = egress.take_decisions();
        let found = (decisions[0].kind, decisions[0].site.as_deref(), decisions[0].rule.as_deref());
        assert_eq!(found, (DecisionKind::Suspended, Some("mx"), Some(BY_HAND)));
        let longer = pull(&mut egress, "a", suspend(None), NOW).unwrap();
        assert!(longer.contains("until it is resumed"), "{longer}");

        let said = pull(&mut egress, "a", resume(), NOW).unwrap();
        assert!(said.starts_with("a comes back to mx: single messages first"), "{said}");
        assert_eq!(path(&egress, "a", NOW).health, Health::Probing { taken: 0 });
        for (source, wrong) in [
            ("a", "a comes back to mx already, by single messages"),
            ("b", "b is not stopped at mx"),
            ("idle", "idle is in no pool: it sends nothing anywhere"),
            ("none", "there is no source none"),
        ] {
            assert_eq!(pull(&mut egress, source, resume(), NOW).unwrap_err(), wrong);
        }
    }

    #[test]
    fn it_is_remembered_and_shown_before_the_site_is_used_again() {
        let mut first = egress();
        pull(&mut first, "a", suspend(Some(2)), NOW).unwrap();
        let kept = first
            .to_save(NOW)
            .into_iter()
            .filter_map(|saving| Some(Kept { key: saving.key, value: saving.value? }));
        let mut again = egress();
        assert!(again.restore(kept.collect()).is_empty());
        let (hour, day) = (NOW.after(Duration::from_hours(1)), NOW.after(Duration::from_hours(24)));
        let found = path(&again, "a", hour);
        let until = Some(NOW.after(Duration::from_hours(2)));
        assert_eq!(found.health, Health::Suspended { until, moves: true });
        assert_eq!((&*found.site, found.pool.as_deref()), ("mx", Some("p")));
        assert_eq!(found.why.unwrap().said, "ana: test");
        assert_eq!(path(&again, "a", day).health.word(), "probing", "its time is over");
        assert_eq!(again.kind_of_known("mx"), Some(SiteKind::Mx));
        assert_eq!(again.kind_of_known("google"), Some(SiteKind::Provider("google".into())));
        assert_eq!(again.kind_of_known("elsewhere"), None);
        push(&mut again, 6, hour);
        assert_eq!(again.paths(|name| name == "a", hour).len(), 1, "told once");
    }

    #[test]
    fn a_halt_is_released_by_its_name() {
        let mut egress = egress();
        let site: Arc<str> = "google".into();
        let halt = || Halt::new("G02", "too much", NOW, None, false);
        egress.halts.add(&site, Halted::Domain("x.pe".to_owned()), halt());
        egress.halts.add(&site, Halted::Campaign("x.pe".to_owned()), halt());
        egress.halts.add(&site, Halted::Campaign("Feria".to_owned()), halt());
        assert_eq!(egress.halts(NOW).len(), 3);
        let wrong = egress.release(&site, "y.pe", "why", NOW).unwrap_err();
        assert_eq!(
            wrong,
            "y.pe is not halted at google; what is: mail of x.pe, campaign Feria, campaign x.pe"
        );
        let both = egress.release(&site, "X.pe.", "why", NOW).unwrap();
        assert_eq!(both, [Halted::Domain("x.pe".to_owned())], "a campaign is what it is");
        egress.release(&site, "x.pe", "why", NOW).unwrap();
        egress.release(&site, "Feria", "why", NOW).unwrap();
        let told: Vec<String> = egress.take_decisions().into_iter().map(|it| it.text).collect();
        assert_eq!(told[0], "mail of x.pe to google goes on: why");
        assert_eq!(told.len(), 3);
        let wrong = egress.release(&site, "Feria", "why", NOW).unwrap_err();
        assert_eq!(wrong, "nothing is halted at google");
        assert!(egress.to_save(NOW).iter().all(|saving| saving.value.is_none()));
    }
}
