//! From a file's lines to logical lines: continuations joined, comments taken out, heredocs gathered.

use crate::directive::{Directives, Reader};
use crate::error::{Mistake, ParseError, Result};
use crate::heredoc::Heredoc;
use crate::position::{Position, Span};

/// One instruction's text, and where its pieces stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) text: String,
    pieces: Vec<Piece>,
    pub(crate) end: u32,
    pub(crate) heredocs: Vec<Heredoc>,
    /// The comments right above it.
    pub(crate) comments: Vec<String>,
    /// The first empty line within a continuation.
    pub(crate) empty_continuation: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    offset: usize,
    at: Position,
}

impl Line {
    pub(crate) fn position(&self, offset: usize) -> Position {
        let index = self.pieces.partition_point(|piece| piece.offset <= offset).saturating_sub(1);
        let Some(piece) = self.pieces.get(index) else { return Position { line: 1, column: 1 } };
        let end = offset.min(self.text.len());
        let between = self.text.get(piece.offset..end).map_or(0, |text| text.chars().count());
        let between = u32::try_from(between).unwrap_or(u32::MAX);
        Position { line: piece.at.line, column: piece.at.column.saturating_add(between) }
    }

    pub(crate) fn span(&self) -> Span {
        Span { start: self.position(0), end_line: self.end }
    }

    fn push(&mut self, text: &str, at: Position) {
        self.pieces.push(Piece { offset: self.text.len(), at });
        self.text.push_str(text);
    }

    /// The mistake with its place; BuildKit's line is the instruction's first.
    pub(crate) fn error(&self, file: &str, mistake: Mistake) -> ParseError {
        ParseError {
            file: file.into(),
            position: self.position(mistake.offset),
            message: mistake.message,
            expected: mistake.expected,
        }
    }
}

struct Lexer<'a> {
    file: &'a str,
    lines: std::iter::Peekable<std::str::SplitInclusive<'a, char>>,
    number: u32,
    directives: Directives,
    reader: Reader,
    comments: Vec<String>,
}

/// Splits a file.
pub(crate) fn split(file: &str, source: &str) -> Result<(Directives, Vec<Line>)> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut lexer = Lexer {
        file,
        lines: source.split_inclusive('\n').peekable(),
        number: 0,
        directives: Directives::default(),
        reader: Reader::default(),
        comments: Vec::new(),
    };
    let mut lines = Vec::new();
    while let Some(raw) = lexer.next() {
        if let Some(line) = lexer.logical(raw)? {
            lines.push(line);
        }
    }
    Ok((lexer.directives, lines))
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line)
    }

    fn error(&self, line: u32, message: impl Into<String>) -> ParseError {
        let position = Position { line, column: 1 };
        ParseError { file: self.file.into(), position, message: message.into(), expected: None }
    }

    fn logical(&mut self, raw: &str) -> Result<Option<Line>> {
        let raw = raw.trim_end_matches(['\r', '\n']);
        let text = raw.trim_start();
        if let Some(comment) = text.strip_prefix('#') {
            self.reader.comment(text, &mut self.directives).map_err(|text| self.error(self.number, text))?;
            match comment.trim() {
                "" => self.comments.clear(),
                comment => self.comments.push(comment.to_owned()),
            }
            return Ok(None);
        }
        self.reader.end();
        if text.is_empty() {
            self.comments.clear();
            return Ok(None);
        }
        let mut line = Line { comments: std::mem::take(&mut self.comments), ..Line::default() };
        let indent = u32::try_from(raw[..raw.len() - text.len()].chars().count()).unwrap_or(0);
        let mut open = self.add(&mut line, text, indent + 1);
        while open {
            let Some(raw) = self.next() else { break };
            let text = raw.trim_end_matches(['\r', '\n']);
            if text.trim_start().starts_with('#') {
                continue;
            }
            if text.trim_start().is_empty() {
                line.empty_continuation.get_or_insert(self.number);
                continue;
            }
            open = self.add(&mut line, text, 1);
        }
        line.end = self.number;
        if line.text.trim().is_empty() {
            return Ok(None);
        }
        self.heredocs(&mut line)?;
        line.end = self.number;
        Ok(Some(line))
    }

    /// Adds a piece; whether the line goes on.
    fn add(&self, line: &mut Line, text: &str, column: u32) -> bool {
        let escape = self.directives.escape;
        let trimmed = text.trim_end_matches([' ', '\t']);
        let before = trimmed.strip_suffix(escape).filter(|before| !before.ends_with(escape));
        line.push(before.unwrap_or(text), Position { line: self.number, column });
        before.is_some()
    }

    fn heredocs(&mut self, line: &mut Line) -> Result<()> {
        let mut words = line.text.split_whitespace().map(str::to_lowercase);
        let mut word = words.next();
        if word.as_deref() == Some("onbuild") {
            word = words.next();
        }
        if !matches!(word.as_deref(), Some("run" | "copy" | "add")) {
            return Ok(());
        }
        let mut documents = Heredoc::announced(&line.text);
        let first = self.number;
        for document in &mut documents {
            loop {
                let Some(raw) = self.next() else {
                    let mut error = self.error(first, "unterminated heredoc");
                    error.expected = Some(format!("a line with {} alone", document.name));
                    return Err(error);
                };
                if document.ends_at(raw) {
                    break;
                }
                document.content.push_str(raw);
            }
        }
        line.heredocs = documents;
        Ok(())
    }
}
