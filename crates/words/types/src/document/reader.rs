//! JSON (RFC 8259), read straight into slots.

use super::{Document, Shape, Slot};
use std::fmt::{self, Display};

/// How deep objects and lists may be in each other.
const DEEPEST: usize = 128;

/// Why a text is not the document that it should be, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The fields on the way, and what is wrong.
    what: String,
    line: usize,
    column: usize,
}

impl Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.what, self.line, self.column)
    }
}

impl std::error::Error for Malformed {}

type Result<T> = std::result::Result<T, Malformed>;

/// Reads an object.
///
/// # Errors
/// Where the text is no JSON, or a field's value not what the field takes.
pub fn from_json<T: Document + Default>(text: &[u8]) -> Result<T> {
    let mut document = T::default();
    read(Slot::Document(&mut document), text)?;
    Ok(document)
}

/// Reads a value into its place.
///
/// # Errors
/// As [`from_json`].
pub fn read(slot: Slot<'_>, text: &[u8]) -> Result<()> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    if matches!(slot, Slot::Document(_)) && reader.peek() == Some(b'n') {
        return Err(reader.wrong("null", &slot));
    }
    reader.value(slot)?;
    match reader.peek() {
        None => Ok(()),
        Some(_) => Err(reader.error("trailing characters")),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: impl Into<String>) -> Malformed {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Malformed { what: what.into(), line, column }
    }

    fn wrong(&self, found: &str, slot: &Slot<'_>) -> Malformed {
        let expected = match slot {
            Slot::Text(_) => "a string",
            Slot::Flag(_) => "a boolean",
            Slot::Number(_) => "an integer",
            Slot::Nothing => "null",
            Slot::Choice(_) => "a name",
            Slot::Many(many) => match many.shape() {
                Shape::List(what) => {
                    return self.error(format!("invalid type: {found}, expected a list of {what}"));
                }
                Shape::One | Shape::Map => "an object",
            },
            Slot::Document(_) | Slot::Ignored => "an object",
        };
        self.error(format!("invalid type: {found}, expected {expected}"))
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self, slot: Slot<'_>) -> Result<()> {
        let first = self.peek();
        let mut slot = match slot {
            // What is not said is there already: the default.
            Slot::Many(one) if one.shape() == Shape::One && first != Some(b'n') => one.add(""),
            slot => slot,
        };
        match first {
            Some(b'n') => self.literal("null"),
            Some(b't') => self.flag(slot, "true", true),
            Some(b'f') => self.flag(slot, "false", false),
            Some(b'-' | b'0'..=b'9') => self.number(slot),
            Some(b'"') => {
                let start = self.at;
                let text = self.string()?;
                match slot {
                    Slot::Ignored => Ok(()),
                    Slot::Text(field) => {
                        field.set(text);
                        Ok(())
                    }
                    Slot::Choice(choice) => match choice.choose(&text) {
                        Some(Slot::Nothing) => Ok(()),
                        _ => Err(self.error(format!("unknown name {text:?}"))),
                    },
                    slot => {
                        self.at = start;
                        Err(self.wrong(&format!("string {text:?}"), &slot))
                    }
                }
            }
            Some(b'[') => match &mut slot {
                Slot::Ignored => self.items(None),
                Slot::Many(many) if matches!(many.shape(), Shape::List(_)) => self.items(Some(&mut **many)),
                _ => Err(self.wrong("sequence", &slot)),
            },
            Some(b'{') => match slot {
                Slot::Ignored | Slot::Document(_) | Slot::Choice(_) => self.members(slot),
                Slot::Many(ref many) if many.shape() == Shape::Map => self.members(slot),
                _ => Err(self.wrong("map", &slot)),
            },
            Some(_) => Err(self.error("expected value")),
            None => Err(self.error("EOF while parsing a value")),
        }
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error("expected ident"));
        }
        self.at += word.len();
        Ok(())
    }

    fn flag(&mut self, slot: Slot<'_>, word: &str, value: bool) -> Result<()> {
        match slot {
            Slot::Flag(field) => field.set(value),
            Slot::Ignored => {}
            slot => return Err(self.wrong(&format!("boolean `{word}`"), &slot)),
        }
        self.literal(word)
    }

    fn digits(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            [] => Err(self.error("invalid number")),
            digits => Ok(digits),
        }
    }

    fn number(&mut self, slot: Slot<'_>) -> Result<()> {
        let start = self.at;
        let negative = self.text[self.at] == b'-';
        self.at += usize::from(negative);
        let digits = self.digits()?;
        if digits.len() > 1 && digits[0] == b'0' {
            return Err(self.error("invalid number"));
        }
        let mut whole = true;
        if self.text.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        let said = || String::from_utf8_lossy(&self.text[start..self.at]);
        match slot {
            Slot::Ignored => Ok(()),
            Slot::Number(field) if whole => {
                // More digits than any field takes stay more.
                let value = digits.iter().try_fold(0_i128, |value, digit| {
                    value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
                });
                let value = value.unwrap_or(i128::MAX);
                match field.set(if negative { -value } else { value }) {
                    true => Ok(()),
                    false => Err(self.error(format!("{} does not fit", said()))),
                }
            }
            slot => {
                let kind = if whole { "integer" } else { "floating point" };
                Err(self.wrong(&format!("{kind} `{}`", said()), &slot))
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let start = self.at;
            while self.text.get(self.at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            bytes.extend_from_slice(&self.text[start..self.at]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(bytes).map_err(|_| self.error("invalid unicode code point"));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => {
                    let what = "control character (\\u0000-\\u001F) found while parsing a string";
                    return Err(self.error(what));
                }
                None => return Err(self.error("EOF while parsing a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let letter = self.text.get(self.at).copied();
        self.at += 1;
        Ok(match letter {
            Some(plain @ (b'"' | b'\\' | b'/')) => plain.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                let lone = || self.error("lone surrogate in hex escape");
                match first {
                    0xd800..=0xdbff => {
                        if !self.text[self.at..].starts_with(b"\\u") {
                            return Err(lone());
                        }
                        self.at += 2;
                        let second = self.hex()?;
                        let pair = char::decode_utf16([first, second]).next();
                        pair.and_then(std::result::Result::ok)
                            .ok_or_else(|| self.error("lone surrogate in hex escape"))?
                    }
                    other => char::from_u32(other.into()).ok_or_else(lone)?,
                }
            }
            _ => return Err(self.error("invalid escape")),
        })
    }

    fn hex(&mut self) -> Result<u16> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let number =
            digits.and_then(|digits| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let number = number.ok_or_else(|| self.error("invalid escape"))?;
        self.at += 4;
        Ok(number)
    }

    /// Goes into an object or a list, whose first byte is next.
    fn enter(&mut self) -> Result<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEEPEST { Err(self.error("recursion limit exceeded")) } else { Ok(()) }
    }

    /// Whether there is another item; else the end is passed.
    fn more(&mut self, first: bool, end: u8, what: &str) -> Result<bool> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                match self.peek() {
                    Some(byte) if byte == end => Err(self.error("trailing comma")),
                    _ => Ok(true),
                }
            }
            Some(_) if first => Ok(true),
            Some(_) => Err(self.error(format!("expected `,` or `{}`", end as char))),
            None => Err(self.error(format!("EOF while parsing {what}"))),
        }
    }

    fn items(&mut self, mut list: Option<&mut dyn super::Many>) -> Result<()> {
        self.enter()?;
        let mut first = true;
        while self.more(first, b']', "a list")? {
            first = false;
            self.value(list.as_mut().map_or(Slot::Ignored, |list| list.add("")))?;
        }
        Ok(())
    }

    fn members(&mut self, mut slot: Slot<'_>) -> Result<()> {
        self.enter()?;
        let mut first = true;
        while self.more(first, b'}', "an object")? {
            if self.peek() != Some(b'"') {
                return Err(self.error("key must be a string"));
            }
            let name = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            let place = match &mut slot {
                Slot::Document(document) => document.field(&name).unwrap_or(Slot::Ignored),
                Slot::Many(map) => map.add(&name),
                Slot::Choice(choice) if first => match choice.choose(&name) {
                    Some(place) => place,
                    None => return Err(self.error(format!("unknown name {name:?}"))),
                },
                Slot::Choice(_) => return Err(self.error("expected one name")),
                _ => Slot::Ignored,
            };
            first = false;
            let place = match place {
                Slot::Many(many) => {
                    // Of a field that is there twice the last counts.
                    many.clear();
                    Slot::Many(many)
                }
                place => place,
            };
            self.value(place)
                .map_err(|error| Malformed { what: format!("{name}: {}", error.what), ..error })?;
        }
        match slot {
            Slot::Choice(_) if first => Err(self.error("expected a name")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;
    use crate::document::Field;
    use std::collections::BTreeMap;

    /// What is JSON and what is not, as serde_json has it.
    #[test]
    fn the_grammar_is_json() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let texts = [
            "null",
            "true",
            "false",
            " 1 ",
            "-0",
            "0.5",
            "1e9",
            "1E+2",
            "-1.25e-3",
            "\"\"",
            "[]",
            "{}",
            "[1,2]",
            "[[],{}]",
            r#"{"a":1,"a":[null]}"#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u00e9\ud83d\ude00""#,
            "\"\u{7f}é\"",
            "\t\r\n[ 1 , 2 ]\n",
            "",
            " ",
            "nul",
            "tru",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "\"",
            "\"a",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "1 1",
            "[]]",
            "{}x",
            r#""\x""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\ud800""#,
            r#""\ud800x""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            "\"\n\"",
            "\"\u{1}\"",
            "'a'",
            "NaN",
            "\u{feff}1",
        ];
        for text in texts.map(str::to_owned).into_iter().chain([deep(100), deep(200)]) {
            let expected = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(read(Slot::Ignored, text.as_bytes()).is_ok(), expected, "{text}");
        }
        assert!(read(Slot::Ignored, b"\"\xff\"").is_err());
    }

    #[test]
    fn every_prefix_and_every_changed_byte_is_read_without_a_panic() {
        let text = include_bytes!("../../tests/all-fields.json");
        let spec = |text: &[u8]| drop(from_json::<crate::oci::runtime::Spec>(text));
        (0..text.len()).for_each(|end| spec(&text[..end]));
        for at in 0..text.len() {
            for byte in *b"\"\\{}[],:0-n\xff" {
                let mut changed = text.to_vec();
                changed[at] = byte;
                spec(&changed);
            }
        }
    }

    #[test]
    fn texts_are_what_they_say() {
        let text = r#""\"\\\/\b\f\n\r\t é \u00e9\ud83d\ude00""#;
        let mut read_text = String::new();
        read(read_text.slot(), text.as_bytes()).unwrap();
        assert_eq!(read_text, serde_json::from_str::<String>(text).unwrap());
    }

    #[derive(Debug, Default, PartialEq)]
    struct Sheet {
        name: String,
        size: Option<u16>,
        list: Vec<u32>,
        map: BTreeMap<String, String>,
        kind: Kind,
        kinds: Vec<Kind>,
    }

    #[derive(Debug, Default, PartialEq)]
    enum Kind {
        #[default]
        Plain,
        Named(String),
    }

    document!(Sheet { "name" => name, "size" => size, "list" => list, "map" => map, "kind" => kind, "kinds" => kinds, });

    impl document::Choice for Kind {
        fn choose(&mut self, name: &str) -> Option<Slot<'_>> {
            match name {
                "plain" => *self = Self::Plain,
                "named" => *self = Self::Named(String::new()),
                _ => return None,
            }
            Some(match self {
                Self::Plain => Slot::Nothing,
                Self::Named(name) => name.slot(),
            })
        }
    }

    impl Field for Kind {
        fn slot(&mut self) -> Slot<'_> {
            Slot::Choice(self)
        }
    }

    impl document::Member for Kind {}

    #[test]
    fn values_come_to_their_places() {
        let text = r#"{"name":"a","size":65535,"list":[1,2],"map":{"k":"v"},"kind":{"named":"n"},
            "kinds":["plain",{"named":"m"},{"plain":null}],"more":{"a":[1.5,true,{}]}}"#;
        let map = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let kinds = vec![Kind::Plain, Kind::Named("m".into()), Kind::Plain];
        let kind = Kind::Named("n".into());
        let sheet = Sheet { name: "a".into(), size: Some(65535), list: vec![1, 2], map, kind, kinds };
        assert_eq!(from_json::<Sheet>(text.as_bytes()), Ok(sheet));
        assert_eq!(from_json::<Sheet>(br#"{"list":[1],"list":[2],"size":null}"#).unwrap().list, [2]);
    }

    #[test]
    fn what_is_wrong_and_where_is_said() {
        let error = |text: &str| from_json::<Sheet>(text.as_bytes()).unwrap_err().to_string();
        for (text, said) in [
            (r#"{"name":1}"#, "name: invalid type: integer `1`, expected a string at line 1 column 10"),
            (r#"{"size":65536}"#, "size: 65536 does not fit at line 1 column 14"),
            (
                r#"{"size":1.5}"#,
                "size: invalid type: floating point `1.5`, expected an integer at line 1 column 12",
            ),
            (
                "{\n\"list\":\n \"x\"}",
                "list: invalid type: string \"x\", expected a list of integers at line 3 column 2",
            ),
            (
                r#"{"list":["x"]}"#,
                "list: invalid type: string \"x\", expected an integer at line 1 column 10",
            ),
            (r#"{"map":[]}"#, "map: invalid type: sequence, expected an object at line 1 column 8"),
            (r#"{"kind":"named"}"#, "kind: unknown name \"named\" at line 1 column 16"),
            (r#"{"kinds":[{"other":1}]}"#, "kinds: unknown name \"other\" at line 1 column 20"),
            (r#"{"kind":{}}"#, "kind: expected a name at line 1 column 11"),
            ("null", "invalid type: null, expected an object at line 1 column 1"),
            ("[]", "invalid type: sequence, expected an object at line 1 column 1"),
            ("", "EOF while parsing a value at line 1 column 1"),
        ] {
            assert_eq!(error(text), said, "{text}");
        }
    }
}
