//! Patterns of paths: Go's `path.Match`, and with `**` for any number of directories.

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(char),
    /// `?`: one character, not `/`.
    One,
    /// `*`: any number of characters, not `/`.
    Star,
    /// `**` at the end: anything.
    Anything,
    /// Before the two pieces of `**/`, anything and a slash: they may be left out.
    Maybe,
    /// `[a-z]`, `[^a]`.
    Class(bool, Vec<(char, char)>),
}

/// A compiled pattern of whole paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pieces: Vec<Piece>,
    literal: Option<String>,
}

/// Whether a text has a character that a pattern gives a meaning.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

impl Glob {
    /// Reads a pattern as `.dockerignore` has them, with `**`, and `!` for `^` in classes; Go's `syntax error in
    /// pattern` otherwise.
    pub fn new(pattern: &str) -> Result<Self, String> {
        Self::read(pattern, true)
    }

    /// Reads a pattern of Go's `path.Match`, in which every star ends at a `/`.
    pub fn plain(pattern: &str) -> Result<Self, String> {
        Self::read(pattern, false)
    }

    fn read(pattern: &str, wide: bool) -> Result<Self, String> {
        let bad = || "syntax error in pattern".to_owned();
        let mut pieces = Vec::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let piece = match character {
                '*' if wide && characters.peek() == Some(&'*') => {
                    while characters.peek() == Some(&'*') {
                        characters.next();
                    }
                    let begins = matches!(pieces.last(), None | Some(Piece::Literal('/')));
                    match characters.peek() {
                        Some('/') if begins => {
                            characters.next();
                            pieces.extend([Piece::Maybe, Piece::Anything]);
                            Piece::Literal('/')
                        }
                        _ => Piece::Anything,
                    }
                }
                '*' => Piece::Star,
                '?' => Piece::One,
                '[' => class(&mut characters, wide).ok_or_else(bad)?,
                '\\' => Piece::Literal(characters.next().ok_or_else(bad)?),
                other => Piece::Literal(other),
            };
            pieces.push(piece);
        }
        let literal = pieces
            .iter()
            .map(|piece| if let Piece::Literal(character) = piece { Some(*character) } else { None })
            .collect();
        Ok(Self { pieces, literal })
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &str) -> bool {
        if let Some(literal) = &self.literal {
            return literal == path;
        }
        // All states at once: no input makes it slow.
        let (mut reached, mut next) = (States::new(self.pieces.len()), States::new(self.pieces.len()));
        self.reach(0, &mut reached);
        for character in path.chars() {
            next.clear();
            for &state in &reached.list {
                match self.pieces.get(state) {
                    Some(Piece::Anything) => self.reach(state, &mut next),
                    Some(Piece::Star) if character != '/' => self.reach(state, &mut next),
                    Some(piece) if takes(piece, character) => self.reach(state + 1, &mut next),
                    _ => {}
                }
            }
            if next.list.is_empty() {
                return false;
            }
            std::mem::swap(&mut reached, &mut next);
        }
        reached.has[self.pieces.len()]
    }

    /// Notes a state, and those that follow it without a character.
    fn reach(&self, state: usize, states: &mut States) {
        if std::mem::replace(&mut states.has[state], true) {
            return;
        }
        states.list.push(state);
        match self.pieces.get(state) {
            Some(Piece::Star | Piece::Anything) => self.reach(state + 1, states),
            Some(Piece::Maybe) => {
                self.reach(state + 1, states);
                self.reach(state + 3, states);
            }
            _ => {}
        }
    }
}

/// Places in a pattern.
struct States {
    list: Vec<usize>,
    has: Vec<bool>,
}

impl States {
    fn new(last: usize) -> Self {
        Self { list: Vec::new(), has: vec![false; last + 1] }
    }
    fn clear(&mut self) {
        for state in self.list.drain(..) {
            self.has[state] = false;
        }
    }
}

fn takes(piece: &Piece, character: char) -> bool {
    match piece {
        Piece::Literal(wanted) => *wanted == character,
        Piece::One => character != '/',
        Piece::Class(negated, ranges) => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
        }
        Piece::Star | Piece::Anything | Piece::Maybe => false,
    }
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, wide: bool) -> Option<Piece> {
    let negated = characters.next_if(|next| *next == '^' || (wide && *next == '!')).is_some();
    let mut ranges = Vec::new();
    loop {
        let mut read = || match characters.next()? {
            '\\' => characters.next(),
            other => Some(other),
        };
        let low = read()?;
        if low == ']' && !ranges.is_empty() {
            return Some(Piece::Class(negated, ranges));
        }
        if low == ']' || low == '-' {
            return None;
        }
        let high = match characters.next_if_eq(&'-') {
            None => low,
            Some(_) => match characters.next()? {
                '\\' => characters.next()?,
                ']' => return None,
                other => other,
            },
        };
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go_and_stars_cross_directories() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("*.go", "a.go", true),
            ("*.go", "d/a.go", false),
            ("**/*.go", "a.go", true),
            ("**/*.go", "d/e/a.go", true),
            ("**/x", "ax", false),
            ("a/**", "a/b/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("**", "a/b", true),
            ("ü*", "über", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
        for bad in ["[", "[]a]", "a[b-]", "\\"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn plain_patterns_are_gos() {
        let fits = |pattern: &str, text: &str| Glob::plain(pattern).ok().map(|glob| glob.matches(text));
        for (pattern, text, expected) in [
            ("busy*", "busybox:latest", Some(true)),
            ("*", "a/b", Some(false)),
            ("**", "a/b", Some(false)),
            ("**b", "aab", Some(true)),
            ("*/*", "a/b:1", Some(true)),
            ("b?sy[a-c]ox", "busybox", Some(true)),
            ("b[^u]sybox", "busybox", Some(false)),
            ("b[!u]sybox", "busybox", Some(true)),
            ("a[^b]c", "a/c", Some(true)),
            ("*box*test", "busybox:latest", Some(true)),
            ("\\*", "*", Some(true)),
            ("[", "a", None),
            ("[]a]", "]", None),
            ("a\\", "a", None),
            ("", "", Some(true)),
            ("a*b*c", "axxbxxd", Some(false)),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        let long = "a".repeat(10_000);
        assert_eq!(fits(&"a*".repeat(500), &format!("{long}/")), Some(false));
    }
}
