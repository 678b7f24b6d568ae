//! When a source that is blamed or listed leaves its pool, and another takes its place.
//!
//! Only the numbers: what blames a source is a matter of `responses` and of the blocklists, and
//! who is fit to take its place is found out where it would be used.

use std::time::Duration;

use crate::fields::Fields;
use crate::parse::{boolean, count_from, duration, percent};
use crate::values::Percent;

/// `[swap]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapRules {
    /// Standbys join by themselves; without it a quarantined source leaves and people decide.
    pub automatic: bool,
    /// Sites that must blame a source before it is blamed everywhere.
    pub blamed_sites: u32,
    /// In which time they must do so.
    pub within: Duration,
    /// Part of a pool's active sources that may be swapped in a day.
    pub share: Percent,
    /// How long an address must be clean before it returns as a standby.
    pub clean_for: Duration,
}

impl SwapRules {
    /// Sources of a pool with so many active ones that may be swapped in a day: at least one.
    pub fn most_in_a_day(&self, active: usize) -> usize {
        let active = u32::try_from(active).unwrap_or(u32::MAX);
        usize::try_from(self.share.of(active)).unwrap_or(usize::MAX).max(1)
    }
}

/// Reads `[swap]`.
pub(crate) fn swap(f: &mut Fields<'_>) -> SwapRules {
    SwapRules {
        automatic: f.or(
            "automatic",
            "true",
            "A standby takes the place of a source that is quarantined. With false the pool goes on with fewer until somebody runs `tambo sources swap`.",
            boolean,
        ),
        blamed_sites: f.or(
            "blamed_sites",
            "3",
            "So many destinations must blame a source itself, not the mail, before it is quarantined everywhere.",
            count_from(2),
        ),
        within: f.or("within", "\"24h\"", "In which time they must do so.", duration),
        share: f.or(
            "share",
            "\"25%\"",
            "At most this part of a pool's active sources is swapped in a day, and at least one. When more are blamed at once it is hardly the addresses: spreading the same mail over new ones makes it worse.",
            percent,
        ),
        clean_for: f.or(
            "clean_for",
            "\"24h\"",
            "How long an address must be neither listed nor blamed before it returns as a standby.",
            duration,
        ),
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::fields::Reader;

    #[test]
    fn at_least_one_source_may_be_swapped() {
        let rules = swap(&mut Fields::root(&mut Reader::default(), &DeTable::new()));
        let most = [0, 1, 3, 7, 8, 18].map(|active| rules.most_in_a_day(active));
        assert_eq!(most, [1, 1, 1, 1, 2, 4]);
    }
}
