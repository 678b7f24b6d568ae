//! How many recipients may still go on a day. Reserved in blocks that are on disk before they are used:
//! after a crash a block counts as used, so a day's cap is never exceeded, at most not quite reached.

use serde::{Deserialize, Serialize};

/// Share of a cap in one block: a crash loses at most so much of a day.
const BLOCK_SHARE: u32 = 20;
/// Recipients of one block at most.
const BLOCK_MAX: u32 = 500;

/// What of a day is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Budget {
    day: i32,
    used: u32,
    /// On disk as used.
    reserved: u32,
    /// To be on disk as used before it is.
    asked: u32,
}

/// What is kept of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reserved {
    pub(super) day: i32,
    pub(super) recipients: u32,
}

impl Budget {
    /// As it was found on disk.
    pub(super) fn restored(reserved: Reserved) -> Self {
        let Reserved { day, recipients } = reserved;
        Self { day, used: recipients, reserved: recipients, asked: recipients }
    }

    /// It is this day. A clock that was set back gives nothing again.
    pub(super) fn turn(&mut self, day: i32) {
        if day > self.day {
            *self = Self { day, ..Self::default() };
        }
    }

    /// Recipients that went on this day.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Recipients that may still go under this cap.
    pub(super) fn left(&self, cap: u32) -> u32 {
        cap.saturating_sub(self.used)
    }

    /// Of those, how many are on disk and may go at once.
    pub(super) fn at_hand(&self, cap: u32) -> u32 {
        self.reserved.min(cap).saturating_sub(self.used)
    }

    /// Asks for another block when less than half of one is at hand, or less than is wanted now. `true`:
    /// it must be saved.
    pub(super) fn ask(&mut self, cap: u32, wanted: u32) -> bool {
        let block = (cap / BLOCK_SHARE).clamp(1, BLOCK_MAX).max(wanted);
        let ahead = self.asked.saturating_sub(self.used);
        if (ahead >= wanted && ahead > block / 2) || self.asked >= cap {
            return false;
        }
        self.asked = self.used.saturating_add(block).min(cap).max(self.asked);
        true
    }

    /// So many went.
    pub(super) fn take(&mut self, recipients: u32) {
        self.used = self.used.saturating_add(recipients);
        // Where no cap asked for blocks, what was used is still remembered.
        self.asked = self.asked.max(self.used);
    }

    /// What must be on disk now.
    pub(super) fn to_save(self) -> Reserved {
        Reserved { day: self.day, recipients: self.asked }
    }

    /// That is on disk.
    pub(super) fn saved(&mut self, saved: Reserved) {
        if saved.day == self.day {
            self.reserved = self.reserved.max(saved.recipients);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as much as it may, saving when asked to; returns how much went before `crash`.
    fn send(budget: &mut Budget, cap: u32, tries: u32) -> u32 {
        let mut sent = 0;
        for _ in 0..tries {
            if budget.ask(cap, 1) {
                budget.saved(budget.to_save());
            }
            if budget.at_hand(cap) > 0 {
                budget.take(1);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn a_cap_is_reached_and_not_exceeded() {
        let mut budget = Budget::default();
        budget.turn(5);
        assert_eq!(send(&mut budget, 50, 500), 50);
        assert_eq!((budget.left(50), budget.left(75)), (0, 25));
        budget.turn(4);
        assert_eq!(budget.left(50), 0, "a clock set back gives nothing again");
        budget.turn(6);
        assert_eq!(send(&mut budget, 50, 500), 50);
    }

    #[test]
    fn what_was_reserved_before_a_crash_counts_as_used() {
        for before in 0..60 {
            let mut budget = Budget::default();
            budget.turn(5);
            let sent = send(&mut budget, 60, before);
            let mut after = Budget::restored(budget.to_save());
            after.turn(5);
            let sent_after = send(&mut after, 60, 500);
            assert!(sent + sent_after <= 60, "{before}: {sent} and {sent_after}");
            assert!(sent + sent_after + 3 >= 60, "{before}: a crash loses a block at most");
        }
    }

    #[test]
    fn nothing_goes_before_it_is_saved() {
        let mut budget = Budget::default();
        budget.turn(1);
        assert!(budget.ask(100, 1));
        assert_eq!(budget.at_hand(100), 0);
        let saved = budget.to_save();
        budget.turn(2);
        budget.saved(saved);
        assert_eq!(budget.at_hand(100), 0, "a block of yesterday");
    }
}
