//! What servers mean when they do not take a message: rules, the operator's and the built-in ones
//! of `data/responses.toml`, tried in order on a normalised reply.
//!
//! Pure: a [`Said`] in, a [`Verdict`] out. It says what is blamed and what should be done; it does
//! nothing itself and remembers nothing, so conditions ("once 1 % of the campaign …") are handed
//! on to who counts.

mod builtin;
mod classifier;
mod enhanced;
mod normalise;
mod page;
mod rule;
mod spoken;
#[cfg(test)]
mod tests;
mod words;

pub use classifier::{Classifier, Mail, Said, Verdict, unknown};
pub use normalise::normalise;
pub use page::page;
pub(crate) use rule::operators;
pub use rule::{Rule, Variant};
pub use spoken::Spoken;
pub use words::{
    Action, ActionWord, Blame, Category, Move, Percent, Phase, SOFT_HITS, SOFT_SPAN, span,
};

/// Whether a built-in rule has this id.
pub(crate) fn is_builtin(id: &str) -> bool {
    builtin::builtin().rules.iter().any(|rule| &*rule.id == id)
}
