//! What a provider thinks of those who come: the order in which it objects, and what each offence
//! costs the offender.

use std::net::Ipv4Addr;
use std::time::Duration;

use mta::message::Timestamp;

use super::blocklist::Blocklist;
use super::domain::Strike;
use super::history::Window;
use super::provider::{Provider, Session};
use super::replies::Why;
use super::rules::{Growth, Moment};
use super::standing::{Block, Hardness};

/// Share of what it was known for that a block costs an address.
const TEMPORARY_COSTS: f64 = 0.3;
/// The same for a block of days.
const PERMANENT_COSTS: f64 = 0.7;

impl Provider {
    /// What is thought of the sender, where this provider says such things.
    pub(super) fn judge_sender_at(
        &mut self,
        moment: Moment,
        session: &Session,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Option<Why> {
        // At the banner nobody has named a domain yet: that comes with MAIL.
        let banner = self.rules.speaks_at == Moment::Banner;
        let speaks_at = self.rules.speaks_at.max(Moment::Mail);
        if moment != speaks_at {
            return None;
        }
        match self.judge_domain(session, list, now) {
            None if !banner => self.judge_address(session.address, list, now),
            judged => judged,
        }
    }

    /// An attempt of an address, which may have been told to wait.
    pub(super) fn attempted(&mut self, ip: Ipv4Addr, list: &mut Blocklist, now: Timestamp) {
        let rules = &self.rules;
        let Some(address) = self.addresses.get_mut(&ip) else { return };
        let block = address.attempt(rules, now);
        self.blocked(ip, block, list, now);
    }

    /// The address and its network: listed, blocked, or more than is tolerated.
    pub(super) fn judge_address(
        &mut self,
        ip: Ipv4Addr,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Option<Why> {
        if self.rules.asks_list && list.lists(ip, now) {
            return Some(Why::Listed);
        }
        let rules = &self.rules;
        let address = self.addresses.get_mut(&ip)?;
        if let Some(hardness) = address.standing.blocked(&rules.reputation, now) {
            address.conduct.while_blocked += 1;
            return Some(match hardness {
                Hardness::Temporary => Why::BlockedForNow,
                Hardness::Permanent => Why::Blocked,
            });
        }
        let trust = address.standing.trust(&rules.reputation);
        let excess = address.history.excess(&rules.address, trust, now);
        // Where it speaks before the recipients are named, an attempt counts as one of them.
        let early = rules.speaks_at < Moment::Data;
        if let Some(most) = rules.netblock_per_hour
            && self.netblocks.get(&network(ip)).is_some_and(|window| window.count(now) > most)
        {
            return Some(Why::Netblock);
        }
        if excess <= 1.0 {
            return None;
        }
        if excess <= rules.address.leeway {
            let probability = (excess - 1.0) / (rules.address.leeway - 1.0);
            if !self.chance(probability) {
                return None;
            }
            if early && let Some(address) = self.addresses.get_mut(&ip) {
                address.history.offer(now);
            }
            return Some(Why::TooMuch);
        }
        if early {
            address.history.offer(now);
        }
        let harm = rules.reputation.over / address.history.tolerance(&rules.address, trust);
        let block = address.standing.harm(harm, &rules.reputation, now);
        self.blocked(ip, block, list, now);
        Some(Why::TooMuch)
    }

    /// The sending domain, from whatever address.
    fn judge_domain(
        &mut self,
        session: &Session,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Option<Why> {
        let (ip, number) = (session.address, session.sender.domain);
        let new = self.address(ip, now).carries(number);
        let struck = |strike: &Strike| strike.domain == number && strike.is_on(now);
        if self.strike.as_ref().is_some_and(struck) {
            if new {
                self.worsen_strike(ip, list, now);
            }
            return Some(Why::DomainBlocked);
        }
        let growth = self.rules.domain.clone()?;
        let rules = &self.rules;
        let domain = self.domains.get_mut(number)?;
        match domain.standing.blocked(&rules.reputation, now) {
            Some(Hardness::Temporary) => return Some(Why::DomainTooMuch),
            Some(Hardness::Permanent) => return Some(Why::DomainBlocked),
            None => {}
        }
        let trust = domain.standing.trust(&rules.reputation);
        let excess = domain.history.excess(&growth, trust, now);
        if excess > growth.leeway {
            let harm = rules.reputation.over / domain.history.tolerance(&growth, trust);
            domain.standing.harm(harm, &rules.reputation, now);
        } else {
            let probability = (excess - 1.0) / (growth.leeway - 1.0);
            if excess <= 1.0 || !self.chance(probability) {
                return None;
            }
        }
        if let Some(domain) = self.domains.get_mut(number) {
            domain.history.offer(now);
        }
        Some(Why::DomainTooMuch)
    }

    /// Who brings new addresses while the domain is not wanted makes it worse, for both.
    fn worsen_strike(&mut self, ip: Ipv4Addr, list: &mut Blocklist, now: Timestamp) {
        if let Some(strike) = &mut self.strike {
            strike.worsen();
        }
        let reputation = &self.rules.reputation;
        let Some(address) = self.addresses.get_mut(&ip) else { return };
        let block = address.standing.harm(reputation.snowshoe, reputation, now);
        self.blocked(ip, block, list, now);
    }

    /// A recipient: whether it comes too fast, is put off, exists, has room.
    pub(super) fn judge_recipient(
        &mut self,
        session: &Session,
        recipient: u64,
        list: &mut Blocklist,
        now: Timestamp,
    ) -> Option<Why> {
        let ip = session.address;
        let (has, is_full) = (self.has(recipient), self.is_full(recipient));
        if self.rules.netblock_per_hour.is_some() {
            let window: &mut Window = self.netblocks.entry(network(ip)).or_default();
            window.add(Duration::from_hours(1), now);
        }
        let rules = &self.rules;
        let address = self.addresses.get_mut(&ip)?;
        if address.recipient(rules, now) {
            return Some(Why::TooFast);
        }
        if !has {
            let block = address.unknown(rules, now);
            self.blocked(ip, block, list, now);
            return Some(Why::Unknown);
        }
        if let Some(greylisting) = &rules.greylisting {
            let triplet = (ip, session.sender.number(), recipient);
            if !self.greylist.passes(greylisting, triplet, now) {
                return Some(Why::Greylisted);
            }
        }
        is_full.then_some(Why::Full)
    }

    /// A block has begun: the address loses part of its name, and the list hears of it.
    fn blocked(
        &mut self,
        ip: Ipv4Addr,
        block: Option<Block>,
        list: &mut Blocklist,
        now: Timestamp,
    ) {
        let Some(block) = block else { return };
        list.report(ip, self.number, now);
        if let Some(address) = self.addresses.get_mut(&ip) {
            address.history.lose(match block.hardness {
                Hardness::Temporary => TEMPORARY_COSTS,
                Hardness::Permanent => PERMANENT_COSTS,
            });
        }
    }

    /// A day has ended: everybody's history goes on, and mail that was spread thin is found.
    pub(super) fn turn_day(&mut self, list: &mut Blocklist, now: Timestamp) {
        self.find_snowshoes(list, now);
        let rules = &self.rules;
        for address in self.addresses.values_mut() {
            address.turn(rules);
        }
        let unused: &Growth = &rules.address;
        for domain in &mut self.domains {
            domain.standing.turn(!domain.today.is_empty(), &rules.reputation);
            domain.history.turn(rules.domain.as_ref().unwrap_or(unused));
            domain.today.clear();
        }
    }

    fn find_snowshoes(&mut self, list: &mut Blocklist, now: Timestamp) {
        let Some(snowshoe) = &self.rules.snowshoe else { return };
        let reputation = &self.rules.reputation;
        let mut blocks = Vec::new();
        for domain in &mut self.domains {
            let thin = domain.today.iter().filter(|(ip, count)| {
                let address = self.addresses.get(ip);
                let new = address.is_some_and(|it| it.first_seen.after(snowshoe.new_for) > now);
                new && *count <= snowshoe.little
            });
            let thin: Vec<Ipv4Addr> = thin.map(|(ip, _)| *ip).collect();
            if thin.len() < snowshoe.addresses {
                continue;
            }
            domain.snowshoe_days += 1;
            domain.standing.harm(reputation.snowshoe, reputation, now);
            for ip in thin {
                let Some(address) = self.addresses.get_mut(&ip) else { continue };
                blocks.push((ip, address.standing.harm(reputation.snowshoe, reputation, now)));
            }
        }
        for (ip, block) in blocks {
            self.blocked(ip, block, list, now);
        }
    }
}

fn network(ip: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = ip.octets();
    [a, b, c]
}
