//! An instruction's text split into its word, its flags and its arguments.

use crate::error::Mistake;
use crate::flags::Written;

/// A piece of an instruction's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) offset: usize,
}

/// The head of an instruction.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The instruction as written.
    pub(crate) word: &'a str,
    pub(crate) flags: Vec<Written>,
    /// What follows, trimmed.
    pub(crate) rest: &'a str,
    /// Where it stands.
    pub(crate) rest_offset: usize,
}

const BLANK: [char; 5] = [' ', '\t', '\u{b}', '\u{c}', '\r'];

pub(crate) fn head<'a>(text: &'a str, base: usize, escape: char) -> Head<'a> {
    let trimmed = text.trim();
    let start = text.len() - text.trim_start().len();
    let (word, rest) = trimmed.split_once(BLANK).unwrap_or((trimmed, ""));
    let rest_start = start + trimmed.len() - rest.len();
    let (flags, used) = flags(rest, base + rest_start, escape);
    let after = &rest[used..];
    let rest_offset = base + rest_start + used + (after.len() - after.trim_start().len());
    Head { word, flags, rest: after.trim(), rest_offset }
}

/// The flags at the beginning, and how many bytes they take.
fn flags(text: &str, base: usize, escape: char) -> (Vec<Written>, usize) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        let start = at + (text[at..].len() - text[at..].trim_start().len());
        if !text[start..].starts_with("--") {
            return (flags, start);
        }
        let (word, length) = flag(&text[start..], escape);
        at = start + length;
        if word == "--" {
            return (flags, at);
        }
        flags.push(Written { text: word, offset: base + start });
    }
}

fn flag(text: &str, escape: char) -> (String, usize) {
    let (mut word, mut quote) = (String::new(), None);
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            c if c == escape => {
                if let Some((_, next)) = characters.next() {
                    word.push(next);
                }
            }
            c if quote == Some(c) => quote = None,
            c if quote.is_some() => word.push(c),
            '"' | '\'' => quote = Some(character),
            c if c.is_whitespace() => return (word, index),
            c => word.push(c),
        }
    }
    (word, text.len())
}

/// Split at white space, quotes meaning nothing.
pub(crate) fn blanks(text: &str, base: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = 0;
    for part in text.split(BLANK) {
        if !part.is_empty() {
            words.push(Word { text: part.to_owned(), offset: base + at });
        }
        at += part.len() + 1;
    }
    words
}

/// Split at white space outside of quotes; quotes and escapes stay.
pub(crate) fn quoted(text: &str, base: usize, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut word, mut start, mut quote) = (String::new(), None, None);
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            if let Some(offset) = start.take() {
                words.push(Word { text: std::mem::take(&mut word), offset });
            }
            continue;
        }
        start.get_or_insert(base + index);
        if character == escape && quote != Some('\'') {
            let Some((_, next)) = characters.next() else { break };
            word.push(character);
            word.push(next);
            continue;
        }
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            _ => {}
        }
        word.push(character);
    }
    if let Some(offset) = start {
        words.push(Word { text: word, offset });
    }
    words
}

/// A JSON array of strings; `None` where the text is none.
pub(crate) fn json(text: &str, base: usize) -> Result<Option<Vec<String>>, Mistake> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => {
            Err(Mistake::new(base, "when using JSON array syntax, arrays must be comprised of strings only")
                .expected("[\"word\", …]"))
        }
    });
    strings.collect::<Result<Vec<_>, _>>().map(Some)
}

/// Whether a text was meant as JSON but is none: it begins and ends like an array.
pub(crate) fn looks_like_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('[') && text.ends_with(']') && text.contains(['"', '\''])
}
