//! Shell patterns of `${name#pattern}`, `%` and `/`: `*` and `?`, with `\` before what is meant literally.

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Literal(char),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Vec<Piece>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let piece = match character {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => match characters.next() {
                    // `/` and `}` had to be escaped because of what is around the pattern.
                    Some(next @ ('*' | '?' | '\\' | '/' | '}')) => Piece::Literal(next),
                    Some(next) => return Err(format!("invalid escape '\\{next}'")),
                    None => return Err("invalid escape at the end".into()),
                },
                other => Piece::Literal(other),
            };
            if !(piece == Piece::Any && pieces.last() == Some(&Piece::Any)) {
                pieces.push(piece);
            }
        }
        Ok(Self(pieces))
    }

    /// The lengths of `text`'s beginnings that match, as a mark per length.
    fn prefixes(&self, text: &[char]) -> Vec<bool> {
        let mut reachable = vec![false; text.len() + 1];
        reachable[0] = true;
        for piece in &self.0 {
            let mut next = vec![false; text.len() + 1];
            match piece {
                Piece::Any => {
                    let first = reachable.iter().position(|reached| *reached);
                    next.iter_mut().skip(first.unwrap_or(usize::MAX)).for_each(|reached| *reached = true);
                }
                Piece::One => next[1..].copy_from_slice(&reachable[..text.len()]),
                Piece::Literal(wanted) => {
                    for index in 0..text.len() {
                        next[index + 1] = reachable[index] && text[index] == *wanted;
                    }
                }
            }
            reachable = next;
        }
        reachable
    }

    fn length(&self, text: &[char], greedy: bool) -> Option<usize> {
        let prefixes = self.prefixes(text);
        if greedy { prefixes.iter().rposition(|hit| *hit) } else { prefixes.iter().position(|hit| *hit) }
    }

    /// `text` without the beginning that matches.
    pub(crate) fn trim_start(&self, text: &str, greedy: bool) -> String {
        let text: Vec<char> = text.chars().collect();
        let cut = self.length(&text, greedy).unwrap_or(0);
        text[cut..].iter().collect()
    }

    /// `text` without the end that matches.
    pub(crate) fn trim_end(&self, text: &str, greedy: bool) -> String {
        let backwards = Self(self.0.iter().rev().copied().collect());
        let text: Vec<char> = text.chars().rev().collect();
        let cut = backwards.length(&text, greedy).unwrap_or(0);
        text[cut..].iter().rev().collect()
    }

    /// `text` with the first match, or all, replaced; a match is as long as can be.
    pub(crate) fn replace(&self, text: &str, replacement: &str, all: bool) -> String {
        let text: Vec<char> = text.chars().collect();
        let (mut result, mut at) = (String::new(), 0);
        while at <= text.len() {
            match self.length(&text[at..], true) {
                Some(length) if length > 0 || self.0.iter().all(|piece| *piece == Piece::Any) => {
                    result.push_str(replacement);
                    at += length;
                    if !all || length == 0 || at == text.len() {
                        break;
                    }
                }
                _ => {
                    let Some(character) = text.get(at) else { break };
                    result.push(*character);
                    at += 1;
                }
            }
        }
        result.extend(text.get(at..).unwrap_or_default());
        result
    }
}
