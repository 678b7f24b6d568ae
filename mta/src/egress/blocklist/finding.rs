//! What follows from answers, in values and in words.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use relay_config::blocklists::ListAction;

use crate::message::Timestamp;

use super::question::Subject;

/// Something that an operator, or a pool, should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is listed, and a second answer has confirmed it. Told again when the answers change.
    Listed(Listed),
    /// It is no longer listed.
    Released {
        /// The list.
        list: Arc<str>,
        /// Whom it had listed.
        subject: Subject,
        /// Since when.
        since: Timestamp,
        /// Why that has ended.
        why: Ended,
    },
    /// For an hour nothing can be known of it, though the list works.
    Unknown {
        /// The list.
        list: Arc<str>,
        /// Who is asked about.
        subject: Subject,
        /// Since when.
        since: Timestamp,
        /// What the list answers.
        why: String,
    },
    /// For an hour the list has not worked: what it says is ignored.
    ListBroken {
        /// The list.
        list: Arc<str>,
        /// Since when.
        since: Timestamp,
        /// What is wrong.
        why: String,
    },
    /// A list that was told to be broken works again.
    ListWell {
        /// The list.
        list: Arc<str>,
        /// Since when it had not worked.
        since: Timestamp,
    },
}

/// A listing, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The list.
    pub list: Arc<str>,
    /// Whom it lists.
    pub subject: Subject,
    /// What it answered.
    pub answers: Vec<Ipv4Addr>,
    /// What that means.
    pub meanings: Vec<Arc<str>>,
    /// What the list says of it in words: a stranger's text, bounded and without control characters.
    pub text: Option<String>,
    /// What it leads to.
    pub action: ListAction,
    /// Page where to ask to be taken out.
    pub delisting: Option<String>,
    /// When it was first seen.
    pub since: Timestamp,
}

/// Why a listing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The list has said so, twice.
    NotListed,
    /// The configuration no longer asks this list about it.
    NoLongerAsked,
    /// The configuration no longer counts these answers as a listing.
    NoLongerCounts,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(listed) => listed.fmt(f),
            Self::Released { list, subject, since, why } => {
                write!(f, "{subject} is no longer listed by {list}, as it was since {since}")?;
                f.write_str(match why {
                    Ended::NotListed => "",
                    Ended::NoLongerAsked => ": the list is no longer asked about it",
                    Ended::NoLongerCounts => ": what it answers no longer counts",
                })
            }
            Self::Unknown { list, subject, since, why } => {
                write!(f, "nothing is known from {list} of {subject} since {since}: {why}")
            }
            Self::ListBroken { list, since, why } => {
                write!(f, "{list} is ignored, it does not work since {since}: {why}")
            }
            Self::ListWell { list, since } => {
                write!(f, "{list} works again, as it did not since {since}")
            }
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: Vec<String> = self.answers.iter().map(ToString::to_string).collect();
        let Self { list, subject, meanings, .. } = self;
        write!(
            f,
            "{subject} is listed by {list} ({}: {})",
            answers.join(", "),
            meanings.join("; ")
        )?;
        if let Some(text) = &self.text {
            write!(f, ": \"{text}\"")?;
        }
        if let Some(page) = &self.delisting {
            write!(f, "; to be taken out: {page}")?;
        }
        Ok(())
    }
}
