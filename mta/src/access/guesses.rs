//! Who guesses passwords waits, longer each time; who does not is not kept out by those who do. Pure.
//!
//! Wrong passwords are counted for a person at a network: there, each one after the first few doubles the wait. Where
//! a person has never come in from, all strangers together may try so often, however many networks they have; and one
//! network may try so often, whoever's name it gives. A network from which a person has come in is held to the first
//! count alone: behind one address there may be a whole institution, with somebody who guesses in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::message::Timestamp;
use crate::metrics::limit_hit;

use super::{Allowances, TooOften};

/// Wrong ones that cost nothing: people mistype.
const FREE: u32 = 4;
/// The first wait.
const WAIT: Duration = Duration::from_secs(15);
/// The longest.
const WAIT_MAX: Duration = Duration::from_mins(15);
/// After this without a wrong one all is forgotten.
const FORGET: Duration = Duration::from_hours(2);
/// Persons at networks that are remembered; the oldest are forgotten first.
const KEPT_MAX: usize = 10_000;
/// Tries of strangers for one person: so many at once …
const STRANGERS_AT_ONCE: u32 = 20;
/// … and so many an hour from then on.
const STRANGERS_PER_HOUR: u32 = 12;
/// Tries of a network where those persons never came in from, in a minute.
const NETWORK_PER_MINUTE: u32 = 30;

/// Wrong passwords lately.
#[derive(Debug)]
pub(super) struct Guesses {
    wrong: HashMap<(String, IpAddr), (u32, Timestamp)>,
    strangers: Allowances<String>,
    networks: Allowances<IpAddr>,
}

impl Guesses {
    pub(super) fn new() -> Self {
        let networks = f64::from(NETWORK_PER_MINUTE) / 60.0;
        let strangers = f64::from(STRANGERS_PER_HOUR) / 3600.0;
        Self {
            wrong: HashMap::new(),
            strangers: Allowances::new(strangers, STRANGERS_AT_ONCE, KEPT_MAX),
            networks: Allowances::new(networks, NETWORK_PER_MINUTE, KEPT_MAX),
        }
    }

    /// Whether a try may be made now; `known`: the person has come in from there.
    pub(super) fn may_try(
        &mut self,
        user: &str,
        network: IpAddr,
        known: bool,
        now: Timestamp,
    ) -> Result<(), TooOften> {
        let key = (user.to_owned(), network);
        if let Some((count, last)) = self.wrong.get(&key).copied() {
            let wait = wait(count);
            let passed = now.since(last);
            if passed >= FORGET {
                self.wrong.remove(&key);
            } else if passed < wait {
                limit_hit("login_guesses");
                return Err(TooOften { wait: wait.saturating_sub(passed) });
            }
        }
        if !known {
            let name = user.to_owned();
            let leave = self.networks.take(&network, now);
            leave.and_then(|()| self.strangers.take(&name, now)).inspect_err(|_| {
                limit_hit("login_guesses");
            })?;
        }
        Ok(())
    }

    /// It was wrong.
    pub(super) fn wrong(&mut self, user: &str, network: IpAddr, now: Timestamp) {
        let key = (user.to_owned(), network);
        if self.wrong.len() >= KEPT_MAX
            && !self.wrong.contains_key(&key)
            && let Some(oldest) =
                self.wrong.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone())
        {
            limit_hit("login_guesses_kept");
            self.wrong.remove(&oldest);
        }
        let (count, last) = self.wrong.entry(key).or_insert((0, now));
        *count = count.saturating_add(1);
        *last = now;
    }

    /// It was right.
    pub(super) fn right(&mut self, user: &str, network: IpAddr) {
        self.wrong.remove(&(user.to_owned(), network));
    }
}

fn wait(count: u32) -> Duration {
    match count.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => WAIT.saturating_mul(1 << doublings.min(10)).min(WAIT_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn each_wrong_one_doubles_the_wait_and_time_heals() {
        let mut guesses = Guesses::new();
        let mut now = Timestamp::from_millis(0);
        let mut waits = Vec::new();
        for _ in 0..13 {
            waits.push(match guesses.may_try("ana", ip(1), true, now) {
                Ok(()) => 0,
                Err(wait) => {
                    now = now.after(wait.wait);
                    assert_eq!(guesses.may_try("ana", ip(1), true, now), Ok(()));
                    wait.seconds()
                }
            });
            guesses.wrong("ana", ip(1), now);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 15, 30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(guesses.may_try("ana", ip(2), true, now), Ok(()), "elsewhere she comes in");
        assert_eq!(guesses.may_try("eva", ip(1), true, now), Ok(()), "and others from there");
        assert_eq!(guesses.may_try("ana", ip(1), true, now.after(FORGET)), Ok(()));
        guesses.wrong("ana", ip(1), now.after(FORGET));
        guesses.right("ana", ip(1));
        assert!(guesses.wrong.is_empty());
    }

    #[test]
    fn strangers_share_one_allowance_and_keep_nobody_out_where_she_is_known() {
        let mut guesses = Guesses::new();
        let now = Timestamp::from_millis(0);
        for number in 0..STRANGERS_AT_ONCE {
            assert_eq!(guesses.may_try("ana", ip(number), false, now), Ok(()));
        }
        let refused = guesses.may_try("ana", ip(99), false, now).unwrap_err();
        assert_eq!(refused.seconds(), 300);
        assert_eq!(guesses.may_try("ana", ip(99), true, now), Ok(()));
        for number in 0..NETWORK_PER_MINUTE {
            let name = format!("u{number}");
            assert_eq!(guesses.may_try(&name, ip(200), false, now), Ok(()));
        }
        assert_eq!(guesses.may_try("x", ip(200), false, now).unwrap_err().seconds(), 2);
        assert_eq!(guesses.may_try("eva", ip(200), true, now), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut guesses = Guesses::new();
        for number in 0..2 * u32::try_from(KEPT_MAX).unwrap() / 2 + 10 {
            guesses.wrong("ana", ip(number), Timestamp::from_millis(u64::from(number)));
        }
        assert_eq!(guesses.wrong.len(), KEPT_MAX);
    }
}
