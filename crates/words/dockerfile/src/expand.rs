//! Variables and quotes: what a word of an instruction comes to.
//!
//! ```text
//!  $name ${name}      ${name:-word} ${name-word}    ${name:+word} ${name+word}   ${name:?text} ${name?text}
//!  ${name#pattern} ## (beginning)   ${name%pattern} %% (end)   ${name/pattern/text} // (replace one, all)
//! ```

use crate::pattern::Pattern;
use std::collections::BTreeSet;

/// What is done with quotes and escapes besides the variables.
#[derive(Debug, Clone, Copy)]
pub struct Expander {
    /// The escape character, `\` or a backquote.
    pub escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape characters stay in the result.
    pub raw_escapes: bool,
    /// Quotes are letters like others.
    pub no_quotes: bool,
    /// A variable that is not set stays as it is written.
    pub keep_unset: bool,
}

/// What a word came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// The text split at unquoted white space.
    pub words: Vec<String>,
    /// The variables that were found.
    pub used: BTreeSet<String>,
    /// The variables that were not, where nothing stands in for them.
    pub missing: BTreeSet<String>,
}

/// Finds a variable's value.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Expander {
    /// As instructions' arguments are expanded.
    pub fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, no_quotes: false, keep_unset: false }
    }

    /// As heredocs' contents are: quotes mean nothing there.
    pub fn heredoc(escape: char) -> Self {
        Self { no_quotes: true, ..Self::new(escape) }
    }

    /// Expands `word`.
    pub fn expand(&self, word: &str, lookup: Lookup<'_>) -> Result<Expanded, String> {
        let characters: Vec<char> = word.chars().collect();
        let mut run = Run {
            options: *self,
            characters: &characters,
            at: 0,
            depth: 0,
            lookup,
            result: Expanded::default(),
        };
        let piece = run
            .until(None, self.raw_escapes)
            .map_err(|error| format!("failed to process {word:?}: {error}"))?;
        let mut result = run.result;
        result.text = piece.text;
        result.words = piece.words.finish();
        Ok(result)
    }
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    inside: bool,
}

impl Words {
    fn add(&mut self, character: char) {
        if !character.is_whitespace() {
            self.word.push(character);
            self.inside = true;
        } else if self.inside && !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
            self.inside = false;
        }
    }
    fn add_raw(&mut self, text: &str) {
        self.word.push_str(text);
        self.inside = true;
    }
    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

#[derive(Default)]
struct Piece {
    text: String,
    words: Words,
}

struct Run<'a> {
    options: Expander,
    characters: &'a [char],
    at: usize,
    depth: u32,
    lookup: Lookup<'a>,
    result: Expanded,
}

/// How deep `${a:-${b:-…}}` may go: what is beyond is no honest file.
const DEEPEST: u32 = 64;

impl Run<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<Piece, String> {
        let mut piece = Piece::default();
        while let Some(character) = self.peek() {
            if Some(character) == stop {
                self.at += 1;
                return Ok(piece);
            }
            match character {
                '\'' | '"' if !self.options.no_quotes => {
                    let text = if character == '"' {
                        self.double_quoted(raw_escapes)?
                    } else {
                        self.single_quoted()?
                    };
                    piece.words.add_raw(&text);
                    piece.text.push_str(&text);
                }
                '$' => {
                    let text = self.dollar()?;
                    text.chars().for_each(|character| piece.words.add(character));
                    piece.text.push_str(&text);
                }
                _ => {
                    self.at += 1;
                    self.plain(character, raw_escapes, &mut piece);
                }
            }
        }
        match stop {
            None => Ok(piece),
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
        }
    }

    fn plain(&mut self, character: char, raw_escapes: bool, piece: &mut Piece) {
        if character != self.options.escape {
            piece.words.add(character);
            piece.text.push(character);
            return;
        }
        if raw_escapes {
            piece.words.add_raw(character.encode_utf8(&mut [0; 4]));
            piece.text.push(character);
        }
        if let Some(escaped) = self.next() {
            piece.words.add_raw(escaped.encode_utf8(&mut [0; 4]));
            piece.text.push(escaped);
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let quote = self.next().filter(|_| self.options.raw_quotes);
        text.extend(quote);
        loop {
            match self.next() {
                None => {
                    return Err("unexpected end of statement while looking for matching single-quote".into());
                }
                Some('\'') => {
                    text.extend(quote);
                    return Ok(text);
                }
                Some(character) => text.push(character),
            }
        }
    }

    fn double_quoted(&mut self, raw_escapes: bool) -> Result<String, String> {
        let mut text = String::new();
        let quote = self.next().filter(|_| self.options.raw_quotes);
        text.extend(quote);
        loop {
            match self.peek() {
                None => {
                    return Err("unexpected end of statement while looking for matching double-quote".into());
                }
                Some('"') => {
                    self.at += 1;
                    text.extend(quote);
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(character) => {
                    self.at += 1;
                    if character == self.options.escape {
                        if raw_escapes {
                            text.push(character);
                        }
                        match self.peek() {
                            None => continue,
                            Some(next) if next == '"' || next == '$' || next == self.options.escape => {
                                self.at += 1;
                                text.push(next);
                            }
                            Some(_) if !raw_escapes => text.push(character),
                            Some(_) => {}
                        }
                        continue;
                    }
                    text.push(character);
                }
            }
        }
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name);
        if value.is_some() {
            self.result.used.insert(name.to_owned());
        }
        value
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.at += 1;
        if self.peek() == Some('{') {
            self.at += 1;
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(format!("more than {DEEPEST} substitutions within each other"));
            }
            let result = self.braces();
            self.depth -= 1;
            return result;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".into());
        }
        Ok(match self.value(&name) {
            Some(value) => value,
            None => {
                self.result.missing.insert(name.clone());
                if self.options.keep_unset { format!("${name}") } else { String::new() }
            }
        })
    }

    fn braces(&mut self) -> Result<String, String> {
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err("syntax error: missing '}'".into()),
            Some('}') => Ok(match self.value(&name) {
                Some(value) => value,
                None => {
                    self.result.missing.insert(name.clone());
                    if self.options.keep_unset { format!("${{{name}}}") } else { String::new() }
                }
            }),
            Some('/') => self.replaced(&name),
            Some(':') => {
                let modifier = self.next().ok_or("syntax error: missing '}'")?;
                match modifier {
                    '-' | '+' | '?' => self.modified(&name, modifier, true),
                    other => Err(format!("unsupported modifier (:{other}) in substitution")),
                }
            }
            Some(modifier @ ('-' | '+' | '?' | '#' | '%')) => self.modified(&name, modifier, false),
            Some(other) => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    /// The text up to `stop`; where the file ends before it, what is missing.
    fn part(&mut self, stop: char, raw_escapes: bool, missing: &str) -> Result<String, String> {
        match self.until(Some(stop), raw_escapes) {
            Ok(piece) => Ok(piece.text),
            Err(_) if self.peek().is_none() => Err(format!("syntax error: missing {missing}")),
            Err(error) => Err(error),
        }
    }

    fn modified(&mut self, name: &str, modifier: char, empty_is_unset: bool) -> Result<String, String> {
        let word = self.part('}', matches!(modifier, '#' | '%'), "'}'")?;
        let value = self.value(name);
        let colon = if empty_is_unset { ":" } else { "" };
        if self.options.keep_unset && value.is_none() {
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let set = value.as_ref().filter(|value| !(empty_is_unset && value.is_empty())).cloned();
        match modifier {
            '-' => Ok(set.unwrap_or(word)),
            '+' => Ok(if set.is_some() { word } else { String::new() }),
            '?' => set.ok_or_else(|| match (word.is_empty(), value.is_none()) {
                (false, _) => format!("{name}: {word}"),
                (true, true) => format!("{name}: is not allowed to be unset"),
                (true, false) => format!("{name}: is not allowed to be empty"),
            }),
            _ => {
                let doubled = word.starts_with(modifier);
                let text = if doubled { &word[1..] } else { &word[..] };
                let pattern = compile(text)?;
                let value = value.unwrap_or_default();
                Ok(match modifier {
                    '#' => pattern.trim_start(&value, doubled),
                    _ => pattern.trim_end(&value, doubled),
                })
            }
        }
    }

    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        self.at += usize::from(all);
        let pattern = self.part('/', true, "'/' in ${}")?;
        let replacement = self.part('}', true, "'}'")?;
        let value = self.value(name);
        if self.options.keep_unset && value.is_none() {
            let slash = if all { "//" } else { "/" };
            return Ok(format!("${{{name}{slash}{pattern}/{replacement}}}"));
        }
        let replacement = unescaped(&replacement, self.options.escape);
        Ok(compile(&pattern)?.replace(&value.unwrap_or_default(), &replacement, all))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(first) if first.is_ascii_digit() => {
                while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                    name.push(digit);
                    self.at += 1;
                }
                return name;
            }
            Some(first @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.at += 1;
                return first.into();
            }
            _ => {}
        }
        while let Some(letter) = self.peek().filter(|letter| letter.is_alphanumeric() || *letter == '_') {
            name.push(letter);
            self.at += 1;
        }
        name
    }
}

fn compile(pattern: &str) -> Result<Pattern, String> {
    Pattern::new(pattern).map_err(|error| format!("invalid pattern ({pattern}) in substitution: {error}"))
}

// An escape before `/` or `}` was only needed because of what is around the text.
fn unescaped(text: &str, escape: char) -> String {
    let mut result = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if !(character == escape && matches!(characters.peek(), Some('/' | '}'))) {
            result.push(character);
        }
    }
    result
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
