//! Who comes onto the suppression list by what servers say, and for how long.

use std::time::Duration;

use crate::fields::Fields;
use crate::parse::{boolean, duration_or_never};

/// `[suppression]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRules {
    /// Replies put recipients on the list; without it people and programs do, and nobody else.
    pub automatic: bool,
    /// How long those stay that came by replies; `None`: until somebody removes them.
    pub keep: Option<Duration>,
}

/// Reads `[suppression]`.
pub(crate) fn suppression(f: &mut Fields<'_>) -> SuppressionRules {
    SuppressionRules {
        automatic: f.or(
            "automatic",
            "true",
            "Recipients that servers say do not exist get no more mail, as the rules for replies say (`suppress` and `soft-suppress` in responses.md): providers count such mail against the sources. With false only those that people or programs put on the list.",
            boolean,
        ),
        keep: f.or(
            "keep",
            "\"180d\"",
            "How long they stay on the list; `never` over: until somebody removes them. A mailbox may be made again, and a server may have been wrong.",
            duration_or_never,
        ),
    }
}
