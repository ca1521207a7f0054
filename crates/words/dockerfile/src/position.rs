//! Where something stands in a Dockerfile.

/// A place in the file, both counted from one; a column is a character, not a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// The lines of an instruction, heredocs included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Where its first word begins.
    pub start: Position,
    /// Its last line.
    pub end_line: u32,
}

impl Span {
    /// The lines that an instruction takes.
    pub fn lines(self) -> std::ops::RangeInclusive<u32> {
        self.start.line..=self.end_line
    }
}
