//! Whether what is to be sent later can be sent on its day: told when it is accepted, while there is time to mend it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::egress::{OTHER, Share};
use crate::message::{Event, EventKind, Submission, Timestamp};

use super::RelayControl;

const DAY: Duration = Duration::from_hours(24);

impl RelayControl {
    /// A sentence when the paths of its pool, as they are now, cannot carry all of it on the day on which it is to be
    /// sent; the same is an event. It is the best case, as a forecast is.
    pub(super) fn too_much_for_its_day(&self, submissions: &[Submission]) -> Option<String> {
        let first = submissions.first()?;
        let send_at = first.send_at?;
        let config = self.config.get();
        let pool = first.pool.as_deref().unwrap_or(&config.delivery.pool);
        let mix = self.mix(submissions);
        let forecast = self.dispatch.mailing(pool, &mix).ok()?.forecast;
        let days = u32::try_from(forecast.days.len()).unwrap_or(u32::MAX);
        if forecast.done_on().is_some() && days <= 1 {
            return None;
        }
        let recipients: u64 = mix.iter().map(|share| share.recipients).sum();
        let done = send_at.after(DAY * days.saturating_sub(1));
        let expires = send_at.after(config.delivery.expire_after);
        let detail = sentence(recipients, pool, forecast.done_on().map(|_| done), expires);
        let mut event = Event::new(self.queue.next_id(), EventKind::Relay);
        event.message = Some(first.id);
        event.account = Some(first.account.clone());
        event.pool = Some(pool.to_owned());
        event.tags.clone_from(&first.tags);
        event.next_attempt = Some(send_at.to_rfc3339());
        event.expected = forecast.done_on().map(|_| done.to_rfc3339());
        event.detail = Some(detail.clone());
        if let Err(error) = self.queue.record(&[event]) {
            tracing::warn!(%error, "a warning is not recorded");
        }
        Some(detail)
    }

    /// Recipients by where their mail goes, as far as that is known; the rest together.
    fn mix(&self, submissions: &[Submission]) -> Vec<Share> {
        let config = self.config.get();
        let (mut known, mut others, mut rest) = (BTreeMap::new(), HashSet::new(), 0);
        for (address, _) in submissions.iter().flat_map(|submission| &submission.recipients) {
            let domain = address.domain().as_str();
            if let Some(provider) = config.providers.of_domain(domain) {
                *known.entry(Arc::clone(&provider.name)).or_insert(0) += 1;
            } else {
                others.insert(domain);
                rest += 1;
            }
        }
        let mut mix: Vec<Share> = known
            .into_iter()
            .map(|(site, recipients)| Share { site, recipients, sites: 1 })
            .collect();
        if rest > 0 {
            let sites = u32::try_from(others.len()).unwrap_or(u32::MAX);
            mix.push(Share { site: OTHER.into(), recipients: rest, sites });
        }
        mix
    }
}

fn sentence(recipients: u64, pool: &str, done: Option<Timestamp>, expires: Timestamp) -> String {
    let day = |time: Timestamp| time.to_rfc3339().chars().take(10).collect::<String>();
    let begin = format!("{recipients} recipients do not fit into one day of the pool {pool}");
    let (until, late) = match done {
        Some(done) => (format!("the last go about {}", day(done)), done >= expires),
        None => ("some never go".to_owned(), true),
    };
    let end = if late {
        format!(", and what waits on {} is given up", day(expires))
    } else {
        String::new()
    };
    format!(
        "{begin}: at the rates in force {until}{end}; send it in parts, earlier, or from a warm pool"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_its_end() {
        let at = |days: u64| {
            Timestamp::from_millis(1_795_525_500_123).after(DAY * u32::try_from(days).unwrap())
        };
        let told = sentence(9_000, "bulk", Some(at(1)), at(2));
        assert!(told.contains("the last go about 2026-11-25;"), "{told}");
        let told = sentence(9_000, "bulk", Some(at(5)), at(2));
        assert!(told.contains("2026-11-29, and what waits on 2026-11-26 is given up"), "{told}");
        assert!(sentence(9_000, "bulk", None, at(2)).contains("some never go, and"));
    }
}
