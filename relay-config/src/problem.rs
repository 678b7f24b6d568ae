//! What is wrong with a file, where, and how to mend it.

use std::fmt;
use std::ops::Range;

/// One mistake in a file, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Octets of the file that it is about.
    pub span: Range<usize>,
    /// The key, as in `listener.bind`; empty when the file cannot be read as TOML there.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub mend: String,
}

/// What a parser has to say of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub message: String,
    pub mend: String,
    /// Where, when it is not the whole value.
    pub at: Option<Range<usize>>,
}

impl Mistake {
    pub fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into(), at: None }
    }

    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.at = self.at.or(Some(span));
        self
    }
}

/// A problem with the file it is in, for people: `tambo.toml:12:8: listener.bind: … (mend)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Name of the file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The problem.
    pub problem: Problem,
}

impl Problem {
    /// Finds line and column.
    pub fn locate(self, file: &str, text: &str) -> Located {
        let (line, column) = line_and_column(text, self.span.start);
        Located { file: file.to_owned(), line, column, problem: self }
    }
}

/// Both from 1; columns are characters.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.problem.key.is_empty() {
            write!(f, "{}: ", self.problem.key)?;
        }
        f.write_str(&self.problem.message)?;
        if self.problem.mend.is_empty() { Ok(()) } else { write!(f, "; {}", self.problem.mend) }
    }
}
