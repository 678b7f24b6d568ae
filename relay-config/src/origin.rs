//! Where a value was decided, so that `tambo config show` can say who to ask about it.
//!
//! A setting keeps its origin beside its value from the moment it is read. It is for people: nothing
//! decides by it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A value and where it was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// What holds.
    pub value: T,
    /// Who decided it.
    pub origin: Origin,
}

/// Where a value was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it: what Tambo does for everyone.
    Default,
    /// Tambo's own table of providers.
    BuiltIn,
    /// Written in the configuration.
    File(Place),
    /// A template that the configuration chose there.
    Template(Arc<str>, Place),
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file, as it was given.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

/// What a reader needs to know to name the origin of what it reads.
#[derive(Debug, Clone, Default)]
pub(crate) enum Places {
    /// Nothing is read but the defaults.
    #[default]
    Nowhere,
    /// A file that Tambo brings.
    BuiltIn,
    /// A file of the operator: its name, and the octet at which each line begins.
    File(Arc<str>, Vec<usize>),
}

impl Places {
    /// Those of a file of the operator.
    pub fn of_file(name: &str, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self::File(name.into(), std::iter::once(0).chain(starts).collect())
    }

    /// The origin of what stands there.
    pub fn origin(&self, span: &Range<usize>) -> Origin {
        match self {
            Self::Nowhere => Origin::Default,
            Self::BuiltIn => Origin::BuiltIn,
            Self::File(file, starts) => {
                let line = starts.partition_point(|start| *start <= span.start);
                Origin::File(Place { file: Arc::clone(file), line })
            }
        }
    }
}

impl Origin {
    /// The same, for a value that a template gave which was chosen here.
    #[must_use]
    pub fn by_template(&self, name: &Arc<str>) -> Self {
        match self {
            Self::File(place) | Self::Template(_, place) => {
                Self::Template(Arc::clone(name), place.clone())
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(place) => place.fmt(f),
            Self::Template(name, place) => write!(f, "template {name}, {place}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
