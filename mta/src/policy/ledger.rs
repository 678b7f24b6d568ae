//! What each account has sent in the last hour and day.
//!
//! Sliding windows in steps of a sixtieth: a limit is never exceeded by more than the message
//! that reaches it, and what was sent 60 minutes ago (24 hours ago) no longer counts. Kept in memory:
//! after a restart the windows start empty.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use relay_config::config::Account;

use crate::message::Timestamp;
use crate::metrics::limit_hit;

/// Steps that a window is divided into.
const STEPS: u64 = 60;
const HOUR_MILLIS: u64 = 3_600_000;
const DAY_MILLIS: u64 = 24 * HOUR_MILLIS;

/// A limit of the account is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// Key of the limit.
    pub limit: &'static str,
    /// Its value.
    pub value: u32,
}

/// Messages, and recipients of all of them.
pub(super) type Load = (u32, u32);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<Arc<str>, Windows>,
}

#[derive(Debug)]
struct Windows {
    hour: Window,
    day: Window,
}

/// (step, messages, recipients), oldest first.
#[derive(Debug)]
struct Window {
    step_millis: u64,
    steps: VecDeque<(u64, u64, u64)>,
}

impl Ledger {
    /// Whether so many more messages, to so many recipients together, fit.
    pub(super) fn check(
        &mut self,
        account: &Account,
        (messages, recipients): Load,
        now: Timestamp,
    ) -> Result<(), OverQuota> {
        let limits = &account.limits;
        let windows = self.windows(account);
        let (hour, day) = (windows.hour.sums(now), windows.day.sums(now));
        let (messages, recipients) = (u64::from(messages), u64::from(recipients));
        for (limit, value, sent) in [
            ("messages_per_hour", limits.messages_per_hour, hour.0 + messages),
            ("messages_per_day", limits.messages_per_day, day.0 + messages),
            ("recipients_per_hour", limits.recipients_per_hour, hour.1 + recipients),
            ("recipients_per_day", limits.recipients_per_day, day.1 + recipients),
        ] {
            if let Some(value) = value
                && sent > u64::from(value)
            {
                limit_hit(limit);
                return Err(OverQuota { limit, value });
            }
        }
        Ok(())
    }

    /// They were accepted.
    pub(super) fn count(&mut self, account: &Account, load: Load, now: Timestamp) {
        let windows = self.windows(account);
        windows.hour.add(load, now);
        windows.day.add(load, now);
    }

    /// What was counted is not there after all.
    pub(super) fn uncount(&mut self, account: &Account, load: Load, now: Timestamp) {
        let windows = self.windows(account);
        windows.hour.subtract(load, now);
        windows.day.subtract(load, now);
    }

    fn windows(&mut self, account: &Account) -> &mut Windows {
        // Bounded by the accounts of the configuration.
        self.accounts.entry(Arc::clone(&account.name)).or_insert_with(|| Windows {
            hour: Window { step_millis: HOUR_MILLIS / STEPS, steps: VecDeque::new() },
            day: Window { step_millis: DAY_MILLIS / STEPS, steps: VecDeque::new() },
        })
    }
}

impl Window {
    fn sums(&mut self, now: Timestamp) -> (u64, u64) {
        let step = now.as_millis() / self.step_millis;
        while self.steps.front().is_some_and(|(old, ..)| old + STEPS <= step) {
            self.steps.pop_front();
        }
        self.steps.iter().fold((0, 0), |(m, r), step| (m + step.1, r + step.2))
    }

    fn subtract(&mut self, (fewer, recipients): Load, now: Timestamp) {
        let _ = self.sums(now);
        if let Some((_, messages, sent)) = self.steps.back_mut() {
            *messages = messages.saturating_sub(u64::from(fewer));
            *sent = sent.saturating_sub(u64::from(recipients));
        }
    }

    fn add(&mut self, (more, recipients): Load, now: Timestamp) {
        let step = now.as_millis() / self.step_millis;
        match self.steps.back_mut() {
            // A clock that was set back counts into the newest step.
            Some((newest, messages, sent)) if *newest >= step => {
                *messages += u64::from(more);
                *sent += u64::from(recipients);
            }
            _ => self.steps.push_back((step, u64::from(more), u64::from(recipients))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::config::{AccountLimits, DsnPolicy};

    fn account(limits: AccountLimits) -> Account {
        Account {
            name: "boletin".into(),
            password_hash: None,
            senders: vec![],
            networks: vec![],
            pool: None,
            allow_headers: false,
            dsn: DsnPolicy::Sender,
            limits,
        }
    }

    fn minutes(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000 / HOUR_MILLIS * HOUR_MILLIS + minutes * 60_000)
    }

    #[test]
    fn a_limit_holds_for_its_window_and_no_longer() {
        let limits = AccountLimits { messages_per_hour: Some(2), ..AccountLimits::default() };
        let account = account(limits);
        let mut ledger = Ledger::default();
        for minute in [0, 30] {
            assert_eq!(ledger.check(&account, (1, 1), minutes(minute)), Ok(()));
            ledger.count(&account, (1, 1), minutes(minute));
        }
        let over = Err(OverQuota { limit: "messages_per_hour", value: 2 });
        assert_eq!(ledger.check(&account, (1, 1), minutes(59)), over);
        assert_eq!(ledger.check(&account, (1, 1), minutes(60)), Ok(()));
        ledger.count(&account, (1, 1), minutes(60));
        assert_eq!(ledger.check(&account, (1, 1), minutes(61)), over);
    }

    #[test]
    fn recipients_count_each() {
        let limits = AccountLimits { recipients_per_day: Some(100), ..AccountLimits::default() };
        let account = account(limits);
        let mut ledger = Ledger::default();
        ledger.count(&account, (1, 60), minutes(0));
        assert_eq!(ledger.check(&account, (1, 40), minutes(1)), Ok(()));
        let over = Err(OverQuota { limit: "recipients_per_day", value: 100 });
        assert_eq!(ledger.check(&account, (1, 41), minutes(1)), over);
        assert_eq!(ledger.check(&account, (1, 41), minutes(24 * 60)), Ok(()));
        ledger.uncount(&account, (1, 60), minutes(2));
        assert_eq!(ledger.check(&account, (1, 100), minutes(2)), Ok(()));
    }

    #[test]
    fn messages_that_come_together_count_each() {
        let limits = AccountLimits { messages_per_hour: Some(10), ..AccountLimits::default() };
        let account = account(limits);
        let mut ledger = Ledger::default();
        ledger.count(&account, (6, 6), minutes(0));
        assert!(ledger.check(&account, (5, 5), minutes(1)).is_err());
        assert_eq!(ledger.check(&account, (4, 4), minutes(1)), Ok(()));
        ledger.uncount(&account, (6, 6), minutes(1));
        assert_eq!(ledger.check(&account, (10, 10), minutes(1)), Ok(()));
    }
}
