//! What was refused last from each source, in the words of who refused: the first thing that an operator wants to read
//! when an address is in trouble. In memory: what is older than the start stands in the events.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use relay_config::responses::{Blame, Mail, Verdict};

use crate::message::{Reply, Timestamp};

use super::Dispatch;
use super::hearing::Way;

/// Kept of each source: what a person reads at a glance. There are as many sources as the configuration has.
const KEPT: usize = 10;

/// Refusals of the same words at the same site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The last time.
    pub at: Timestamp,
    /// Where.
    pub site: Arc<str>,
    /// The rule that knew the reply.
    pub rule: Arc<str>,
    /// What it is about, in a word.
    pub category: &'static str,
    /// The mail was refused for good, not put off.
    pub for_good: bool,
    /// The reply, with its codes.
    pub reply: String,
    /// Recipients for whom this rule knew the reply of this site, as long as it is among the last.
    pub times: u64,
}

/// Of all sources.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Arc<str>, VecDeque<Refusal>>>);

impl Refusals {
    fn add(&self, source: &Arc<str>, refusal: Refusal) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(Arc::clone(source)).or_default();
        let same = |it: &Refusal| {
            it.site == refusal.site && it.rule == refusal.rule && it.for_good == refusal.for_good
        };
        // Replies differ by ids and addresses: the rule says whether it is the same trouble.
        let before = known.iter().position(same).and_then(|place| known.remove(place));
        let times = refusal.times + before.map_or(0, |it| it.times);
        known.push_front(Refusal { times, ..refusal });
        known.truncate(KEPT);
    }

    fn of(&self, source: &str) -> Vec<Refusal> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(source).map(|known| known.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Dispatch {
    /// What was refused last from a source, the latest first.
    pub fn refusals(&self, source: &str) -> Vec<Refusal> {
        self.refusals.of(source)
    }

    /// A peer refused something. What blames the recipient alone says nothing of a source, and there is much of it.
    pub(super) fn refused(&self, way: &Way<'_>, verdict: &Verdict, reply: &Reply) {
        if verdict.scope.iter().all(|blamed| *blamed == Blame::Recipient) {
            return;
        }
        let refusal = Refusal {
            at: self.queue.now(),
            site: Arc::clone(&way.route.site),
            rule: Arc::clone(&verdict.rule),
            category: verdict.category.word(),
            for_good: verdict.mail == Mail::Fail,
            reply: reply.to_string(),
            times: 1,
        };
        self.refusals.add(way.source, refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(site: &str, rule: &str, reply: &str, at: u64) -> Refusal {
        Refusal {
            at: Timestamp::from_millis(at),
            site: site.into(),
            rule: rule.into(),
            category: "rate",
            for_good: false,
            reply: reply.to_owned(),
            times: 1,
        }
    }

    #[test]
    fn the_last_of_each_kind_is_kept_and_how_often_it_came() {
        let refusals = Refusals::default();
        let source: Arc<str> = "ip-01".into();
        refusals.add(&source, refusal("google", "G01", "421 id 1", 1));
        refusals.add(&source, refusal("yahoo", "Y01", "421 other", 2));
        refusals.add(&source, refusal("google", "G01", "421 id 2", 3));
        let told: Vec<(String, String, u64)> = refusals
            .of("ip-01")
            .into_iter()
            .map(|it| (it.site.to_string(), it.reply, it.times))
            .collect();
        let expected = [("google", "421 id 2", 2), ("yahoo", "421 other", 1)];
        assert_eq!(told, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c)));
        assert!(refusals.of("ip-02").is_empty());
        for number in 0..50 {
            refusals.add(&source, refusal("other", &format!("R{number}"), "no", number));
        }
        let kept = refusals.of("ip-01");
        assert_eq!((kept.len(), &*kept[0].rule), (KEPT, "R49"));
    }
}
