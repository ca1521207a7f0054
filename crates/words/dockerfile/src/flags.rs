//! `--name=value` between an instruction's word and its arguments.

use crate::error::Mistake;
use crate::suggest;

/// A flag as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// With its dashes; quotes and escapes taken away.
    pub(crate) text: String,
    /// Where in the instruction's text.
    pub(crate) offset: usize,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Text,
    Texts,
    Switch,
}

/// The flags that an instruction has, and those that it was given.
pub(crate) struct Flags {
    given: Vec<(&'static str, String, usize)>,
}

impl Flags {
    pub(crate) fn read(written: &[Written], known: &[(&'static str, Takes)]) -> Result<Self, Mistake> {
        let mut given: Vec<(&'static str, String, usize)> = Vec::new();
        for flag in written {
            let body = flag.text.strip_prefix("--").unwrap_or(&flag.text);
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (body, None),
            };
            let Some(&(known_name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                return Err(unknown(name, flag.offset, known));
            };
            if takes != Takes::Texts && given.iter().any(|(given, ..)| *given == known_name) {
                return Err(Mistake::new(flag.offset, format!("duplicate flag specified: {name}")));
            }
            let value = match (takes, value) {
                (Takes::Switch, None) => "true",
                (Takes::Switch, Some(value)) => switch(value).ok_or_else(|| {
                    let text = format!("expecting boolean value for flag {name}, not: {value}");
                    Mistake::new(flag.offset, text).expected("true or false")
                })?,
                (_, Some(value)) => value,
                (_, None) => {
                    return Err(Mistake::new(flag.offset, format!("missing a value on flag: {name}"))
                        .expected(format!("--{name}=…")));
                }
            };
            given.push((known_name, value.to_owned(), flag.offset));
        }
        Ok(Self { given })
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.texts(name).next().map(|(text, _)| text.to_owned())
    }

    pub(crate) fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, usize)> {
        self.given
            .iter()
            .filter(move |(given, ..)| *given == name)
            .map(|(_, value, offset)| (value.as_str(), *offset))
    }

    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.texts(name).next().map(|(text, _)| text == "true")
    }

    pub(crate) fn offset(&self, name: &str) -> usize {
        self.texts(name).next().map_or(0, |(_, offset)| offset)
    }
}

fn switch(value: &str) -> Option<&'static str> {
    match value.to_lowercase().as_str() {
        "" | "true" => Some("true"),
        "false" => Some("false"),
        _ => None,
    }
}

fn unknown(name: &str, offset: usize, known: &[(&'static str, Takes)]) -> Mistake {
    let hint = suggest::hint(name, known.iter().map(|(known, _)| *known));
    let mistake = Mistake::new(offset, format!("unknown flag: {name}{hint}"));
    match known {
        [] => mistake.expected("no flag: this instruction has none"),
        _ => {
            let list: Vec<_> = known.iter().map(|(known, _)| format!("--{known}")).collect();
            mistake.expected(list.join(", "))
        }
    }
}
