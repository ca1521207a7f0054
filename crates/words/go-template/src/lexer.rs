//! Text → tokens. A template is text with actions between `{{` and `}}`; `{{-` and `-}}` trim white space.

use crate::Error;

/// Where a token starts: line from 1, column from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Text(String),
    Open,
    Close,
    /// `.Name`, a field of what stands before it (or of the dot).
    Field(String),
    /// `$name`, or `$` alone with an empty name.
    Variable(String),
    Dot,
    /// A function's or keyword's name.
    Word(String),
    String(String),
    Number(serde_json::Number),
    Pipe,
    LeftParen,
    RightParen,
    Declare,
    Assign,
    Comma,
    /// White space inside an action: it separates arguments.
    Space,
}

pub fn lex(text: &str) -> Result<Vec<(Token, Position)>, Error> {
    Lexer { text, at: 0, tokens: Vec::new() }.run()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<(Token, Position)>,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<(Token, Position)>, Error> {
        let mut trim_next = false;
        loop {
            let rest = &self.text[self.at..];
            let open = rest.find("{{");
            let mut plain = &rest[..open.unwrap_or(rest.len())];
            let start = self.at;
            let trims = open.is_some_and(|o| is_trim_left(&rest[o + 2..]));
            if trim_next {
                plain = plain.trim_start();
            }
            if trims {
                plain = plain.trim_end();
            }
            if !plain.is_empty() {
                self.push(Token::Text(plain.into()), start);
            }
            let Some(open) = open else { return Ok(self.tokens) };
            self.at += open + 2 + if trims { 1 } else { 0 };
            trim_next = match self.comment(trims)? {
                Some(trim) => trim,
                None => self.action(self.at)?,
            };
        }
    }

    fn push(&mut self, token: Token, start: usize) {
        let position = self.position(start);
        self.tokens.push((token, position));
    }

    fn position(&self, at: usize) -> Position {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        Position { line: before.matches('\n').count() + 1, column: at - line_start }
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::Parse { line: self.position(self.at.min(self.text.len())).line, message: message.into() })
    }

    /// `{{/* … */}}`: gives whether what follows is trimmed.
    fn comment(&mut self, trimmed: bool) -> Result<Option<bool>, Error> {
        let rest = &self.text[self.at..];
        let body = if trimmed { rest.trim_start() } else { rest };
        if !body.starts_with("/*") {
            return Ok(None);
        }
        let Some(end) = body.find("*/") else { return self.error("unclosed comment") };
        let after = &body[end + 2..];
        let (close, trim) = match after.trim_start().strip_prefix("-}}") {
            Some(tail) if after.starts_with(char::is_whitespace) => (tail, true),
            _ => match after.strip_prefix("}}") {
                Some(tail) => (tail, false),
                None => return self.error("comment ends before closing delimiter"),
            },
        };
        self.at = self.text.len() - close.len();
        Ok(Some(trim))
    }

    /// The tokens up to `}}`; gives whether what follows is trimmed.
    fn action(&mut self, start: usize) -> Result<bool, Error> {
        self.push(Token::Open, start);
        loop {
            let rest = &self.text[self.at..];
            let here = self.at;
            let trimmed = rest.trim_start();
            let spaces = rest.len() - trimmed.len();
            if spaces > 0 && trimmed.starts_with("-}}") {
                self.at += spaces + 3;
                self.push(Token::Close, here);
                return Ok(true);
            }
            if rest.starts_with("}}") {
                self.at += 2;
                self.push(Token::Close, here);
                return Ok(false);
            }
            if spaces > 0 {
                self.at += spaces;
                self.push(Token::Space, here);
                continue;
            }
            let Some(first) = rest.chars().next() else { return self.error("unclosed action") };
            let token = self.token(first)?;
            self.push(token, here);
        }
    }

    fn token(&mut self, first: char) -> Result<Token, Error> {
        let rest = &self.text[self.at..];
        let (token, length) = match first {
            '|' => (Token::Pipe, 1),
            '(' => (Token::LeftParen, 1),
            ')' => (Token::RightParen, 1),
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '=' => (Token::Assign, 1),
            '"' => return self.quoted(),
            '`' => {
                let Some(end) = rest[1..].find('`') else {
                    return self.error("unterminated raw quoted string");
                };
                (Token::String(rest[1..=end].into()), end + 2)
            }
            '\'' => return self.character(),
            '$' => {
                let name = word(&rest[1..]);
                (Token::Variable(name.into()), 1 + name.len())
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let name = word(&rest[1..]);
                if name.is_empty() { (Token::Dot, 1) } else { (Token::Field(name.into()), 1 + name.len()) }
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => return self.number(),
            c if c.is_alphanumeric() || c == '_' => {
                let name = word(rest);
                (Token::Word(name.into()), name.len())
            }
            c => return self.error(format!("unexpected {:?} in command", c.to_string())),
        };
        self.at += length;
        Ok(token)
    }

    fn number(&mut self) -> Result<Token, Error> {
        let rest = &self.text[self.at..];
        let length = rest
            .char_indices()
            .find(|(i, c)| {
                !(c.is_alphanumeric() || matches!(c, '.' | '_') || (*i == 0 && matches!(c, '+' | '-')))
            })
            .map_or(rest.len(), |(i, _)| i);
        let text = &rest[..length];
        let plain = text.replace('_', "");
        let plain = plain.strip_prefix('+').unwrap_or(&plain);
        let whole = match plain.strip_prefix("0x").or(plain.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => plain.parse().ok(),
        };
        let number = match whole {
            Some(whole) => Some(serde_json::Number::from(whole)),
            None => plain.parse().ok().and_then(serde_json::Number::from_f64),
        };
        let Some(number) = number else { return self.error(format!("bad number syntax: {text:?}")) };
        self.at += length;
        Ok(Token::Number(number))
    }

    fn quoted(&mut self) -> Result<Token, Error> {
        let rest = &self.text[self.at + 1..];
        let mut value = String::new();
        let mut chars = rest.char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += index + 2;
                    return Ok(Token::String(value));
                }
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, escape)) => match unescape(escape, &mut chars) {
                        Some(c) => value.push(c),
                        None => return self.error("invalid syntax"),
                    },
                    None => break,
                },
                c => value.push(c),
            }
        }
        self.error("unterminated quoted string")
    }

    fn character(&mut self) -> Result<Token, Error> {
        let mut chars = self.text[self.at + 1..].char_indices();
        let value = match chars.next() {
            Some((_, '\\')) => chars.next().and_then(|(_, escape)| unescape(escape, &mut chars)),
            Some((_, c)) => Some(c),
            None => None,
        };
        match (value, chars.next()) {
            (Some(c), Some((index, '\''))) => {
                self.at += index + 2;
                Ok(Token::Number(u32::from(c).into()))
            }
            _ => self.error("unterminated character constant"),
        }
    }
}

fn is_trim_left(after: &str) -> bool {
    let mut chars = after.chars();
    chars.next() == Some('-') && chars.next().is_some_and(char::is_whitespace)
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn unescape(escape: char, chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let mut hex = |digits: usize| {
        let text: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
        (text.len() == digits).then(|| u32::from_str_radix(&text, 16).ok()).flatten().and_then(char::from_u32)
    };
    match escape {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'v' => Some('\x0b'),
        '\\' | '"' | '\'' => Some(escape),
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        _ => None,
    }
}
