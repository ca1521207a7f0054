//! What is wrong with a Dockerfile, and where.

use crate::position::Position;
use std::fmt::Write;

/// A Dockerfile that cannot be read. Its text is BuildKit's, which clients match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dockerfile parse error on line {}: {message}", .position.line)]
pub struct ParseError {
    /// The file, as the client names it.
    pub file: String,
    /// Where.
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// What could stand there instead.
    pub expected: Option<String>,
}

/// The result of reading a Dockerfile.
pub type Result<T, E = ParseError> = std::result::Result<T, E>;

impl ParseError {
    /// The place with the lines around it, the column marked, and what was expected.
    pub fn excerpt(&self, source: &str) -> String {
        let mut text = format!("{}:{}:{}\n", self.file, self.position.line, self.position.column);
        text.push_str(&excerpt(source, self.position.line, self.position.line, Some(self.position.column)));
        if let Some(expected) = &self.expected {
            let _ = writeln!(text, "expected {expected}");
        }
        text
    }
}

/// The lines `first..=last` of a file with two lines around them, as BuildKit shows the place of a failure.
pub fn excerpt(source: &str, first: u32, last: u32, column: Option<u32>) -> String {
    const RULE: &str = "--------------------\n";
    let mut text = RULE.to_owned();
    for (index, line) in source.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if number + 2 < first || number > last.saturating_add(2) {
            continue;
        }
        let inside = (first..=last).contains(&number);
        let mark = if inside { ">>>" } else { "   " };
        let _ = writeln!(text, "{number:>4} | {mark} {}", line.trim_end_matches('\r'));
        if let Some(column) = column.filter(|column| number == first && *column > 0) {
            let _ = writeln!(text, "     |     {}^", " ".repeat(column as usize - 1));
        }
    }
    text.push_str(RULE);
    text
}

/// A mistake within an instruction, before its place in the file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where in the instruction's joined text.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
}

impl Mistake {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), expected: None }
    }
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
}
