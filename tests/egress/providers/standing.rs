//! What is thought of somebody, and the blocks that follow when it is bad.

use std::time::Duration;

use mta::message::Timestamp;

use super::rules::Reputation;

/// A block that ended so long ago counts no more.
const REMEMBERED: Duration = Duration::from_hours(4 * 24);
/// Blocks double so often at most.
const DOUBLINGS_MAX: u32 = 2;
/// What silence alone brings back ends here.
const HEALS_IDLE_TO: f64 = 0.6;

/// How hard a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardness {
    /// Said with 4xx, for hours.
    Temporary,
    /// Said with 5xx, for days.
    Permanent,
}

/// A time in which nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// When it began.
    pub from: Timestamp,
    /// When it ends, or ended.
    pub until: Timestamp,
    /// How hard it is.
    pub hardness: Hardness,
}

/// The reputation of an address or of a domain at one provider.
#[derive(Debug, Clone)]
pub struct Standing {
    value: f64,
    /// Harm of this day.
    harmed: f64,
    block: Option<Block>,
    /// All there were, the present one too.
    pub blocks: Vec<Block>,
}

impl Standing {
    /// Of a stranger.
    pub fn new(rules: &Reputation) -> Self {
        Self { value: rules.newcomer, harmed: 0.0, block: None, blocks: Vec::new() }
    }

    /// From 0 to 1.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Share of the tolerance that is granted.
    pub fn trust(&self, rules: &Reputation) -> f64 {
        let above = self.value - rules.block_below;
        (above / (rules.slow_below - rules.block_below)).clamp(0.15, 1.0)
    }

    /// Somebody who has been good for long.
    pub fn prove(&mut self) {
        self.value = self.value.max(0.95);
    }

    /// It did something bad. Returns the block that begins when that was too much.
    pub fn harm(&mut self, amount: f64, rules: &Reputation, now: Timestamp) -> Option<Block> {
        self.value = (self.value - amount).max(0.0);
        self.harmed += amount;
        let running = self.block.filter(|block| block.until > now).map(|block| block.hardness);
        let far_below = self.value < rules.block_below / 2.0;
        let hardness = match running {
            Some(Hardness::Permanent) => return None,
            Some(Hardness::Temporary) if !far_below => return None,
            None if self.value >= rules.block_below => return None,
            Some(Hardness::Temporary) => Hardness::Permanent,
            None if far_below || self.recent(now) > 0 => Hardness::Permanent,
            None => Hardness::Temporary,
        };
        let lasts = match hardness {
            Hardness::Temporary => rules.temporary,
            Hardness::Permanent => {
                let doublings = self.recent(now).saturating_sub(1).min(DOUBLINGS_MAX);
                rules.permanent * 2u32.pow(doublings)
            }
        };
        let block = Block { from: now, until: now.after(lasts), hardness };
        self.block = Some(block);
        self.blocks.push(block);
        Some(block)
    }

    /// Blocks that are not forgotten yet.
    fn recent(&self, now: Timestamp) -> u32 {
        let remembered = |block: &&Block| block.until.after(REMEMBERED) > now;
        u32::try_from(self.blocks.iter().filter(remembered).count()).unwrap_or(u32::MAX)
    }

    /// Whether nothing is taken now. A block that ends leaves a probation.
    pub fn blocked(&mut self, rules: &Reputation, now: Timestamp) -> Option<Hardness> {
        let block = self.block?;
        if now < block.until {
            return Some(block.hardness);
        }
        self.block = None;
        self.value = self.value.max(f64::midpoint(rules.block_below, rules.slow_below));
        None
    }

    /// A day has ended, on which it sent or did not.
    pub fn turn(&mut self, sent: bool, rules: &Reputation) {
        // A slip does not undo a good day.
        if std::mem::take(&mut self.harmed) < rules.heals {
            let most = if sent { 1.0 } else { HEALS_IDLE_TO.max(self.value) };
            self.value = (self.value + rules.heals).min(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rules;
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_block_is_temporary_first_then_permanent_then_longer() {
        let rules = Rules::easy().reputation;
        let mut now = Timestamp::from_millis(1_000_000);
        let mut standing = Standing::new(&rules);
        assert_eq!(standing.harm(0.3, &rules, now), None);
        let first = standing.harm(0.15, &rules, now).unwrap();
        assert_eq!(first.hardness, Hardness::Temporary);
        assert_eq!(first.until, now.after(HOUR * 2));
        assert_eq!(standing.blocked(&rules, now.after(HOUR)), Some(Hardness::Temporary));
        now = now.after(HOUR * 3);
        assert_eq!(standing.blocked(&rules, now), None);
        assert!(standing.value() > rules.block_below, "it gets another chance");
        let second = standing.harm(0.15, &rules, now).unwrap();
        assert_eq!((second.hardness, second.until), (Hardness::Permanent, now.after(HOUR * 24)));
        now = now.after(HOUR * 25);
        assert_eq!(standing.blocked(&rules, now), None);
        let third = standing.harm(0.15, &rules, now).unwrap();
        assert_eq!(third.until, now.after(HOUR * 48), "it doubles");
        now = now.after(HOUR * 24 * 10);
        assert_eq!(standing.blocked(&rules, now), None);
        let late = standing.harm(0.15, &rules, now).unwrap();
        assert_eq!(late.hardness, Hardness::Temporary, "what was long ago is forgotten");
        assert_eq!(standing.blocks.len(), 4);
    }

    #[test]
    fn who_goes_on_in_a_temporary_block_gets_a_permanent_one() {
        let rules = Rules::easy().reputation;
        let now = Timestamp::from_millis(1_000_000);
        let mut standing = Standing::new(&rules);
        assert!(standing.harm(0.45, &rules, now).is_some());
        assert_eq!(standing.harm(0.05, &rules, now), None);
        let worse = standing.harm(0.1, &rules, now).unwrap();
        assert_eq!(worse.hardness, Hardness::Permanent);
        assert_eq!(standing.harm(0.1, &rules, now), None, "it is as bad as it gets");
    }

    #[test]
    fn reputation_comes_back_slowly_and_not_by_silence_alone() {
        let rules = Rules::easy().reputation;
        let now = Timestamp::from_millis(1_000_000);
        let mut standing = Standing::new(&rules);
        standing.harm(0.2, &rules, now);
        let trust = standing.trust(&rules);
        assert!((trust - 1.0).abs() < 1e-9);
        standing.harm(0.1, &rules, now);
        assert!(standing.trust(&rules) < 0.6, "half of what it was");
        standing.turn(true, &rules);
        assert!((standing.value() - 0.4).abs() < 1e-9, "no healing on a bad day");
        standing.harm(0.01, &rules, now);
        standing.turn(true, &rules);
        assert!((standing.value() - 0.42).abs() < 1e-9, "a slip does not undo a good day");
        (0..30).for_each(|_| standing.turn(false, &rules));
        assert!((standing.value() - HEALS_IDLE_TO).abs() < 1e-9);
        (0..30).for_each(|_| standing.turn(true, &rules));
        assert!((standing.value() - 1.0).abs() < 1e-9);
    }
}
