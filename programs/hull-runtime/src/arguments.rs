//! Arguments as Go's `flag` package takes them: `--name value`, `--name=value`, `-n value`; options come first.

use std::ffi::OsString;

/// An option that a command has.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Without dashes.
    pub name: &'static str,
    /// Its one-letter form.
    pub short: Option<&'static str>,
    /// Whether it has a value.
    pub valued: bool,
}

/// An option with a value.
pub(crate) const fn value(name: &'static str) -> Flag {
    Flag { name, short: None, valued: true }
}

/// An option without.
pub(crate) const fn switch(name: &'static str) -> Flag {
    Flag { name, short: None, valued: false }
}

/// An option that has a one-letter form too.
pub(crate) const fn short(letter: &'static str, flag: Flag) -> Flag {
    Flag { short: Some(letter), ..flag }
}

/// What was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    options: Vec<(&'static str, String)>,
    /// The words that are no options.
    pub words: Vec<String>,
}

impl Arguments {
    /// Sorts words into options and others. With `stop_early` the first other word ends the options, as for
    /// commands that take a program's own arguments; else options may come after it, too.
    pub(crate) fn parse(
        given: impl IntoIterator<Item = OsString>,
        flags: &[Flag],
        stop_early: bool,
    ) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut given = given.into_iter();
        while let Some(word) = given.next() {
            let word = text(word)?;
            if word == "--" {
                parsed.words.extend(given.by_ref().map(text).collect::<Result<Vec<_>, _>>()?);
                break;
            }
            let Some(name) =
                word.strip_prefix("--").or(word.strip_prefix('-')).filter(|name| !name.is_empty())
            else {
                parsed.words.push(word);
                if stop_early {
                    parsed.words.extend(given.by_ref().map(text).collect::<Result<Vec<_>, _>>()?);
                    break;
                }
                continue;
            };
            let (name, inline) = match name.split_once('=') {
                Some((name, inline)) => (name, Some(inline.to_owned())),
                None => (name, None),
            };
            let flag = flags.iter().find(|flag| flag.name == name || flag.short == Some(name));
            let Some(flag) = flag else {
                return Err(format!("flag provided but not defined: -{name}"));
            };
            let content = match (flag.valued, inline) {
                (_, Some(inline)) => inline,
                (false, None) => "true".into(),
                (true, None) => match given.next() {
                    Some(next) => text(next)?,
                    None => return Err(format!("flag needs an argument: -{name}")),
                },
            };
            parsed.options.push((flag.name, content));
        }
        Ok(parsed)
    }

    /// An option's last value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All values of an option that may be given more than once.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True"))
    }

    /// A number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("invalid value {value:?} for flag -{name}"))
    }

    /// The container's id, which is the first word, and must be there.
    pub(crate) fn id(&self) -> Result<&str, String> {
        match self.words.first() {
            Some(id) if !id.is_empty() => Ok(id),
            Some(_) => Err("container id cannot be empty".into()),
            None => Err("this command needs a container id".into()),
        }
    }
}

fn text(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("{word:?} is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 3] = [short("b", value("bundle")), switch("detach"), short("e", value("env"))];

    fn parse(line: &str, stop_early: bool) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(OsString::from), &FLAGS, stop_early)
    }

    #[test]
    fn options_are_told_from_words() {
        let parsed = parse("-b /x --detach --env=A=1 -e B=2 id sh -c x", true).unwrap();
        assert_eq!(parsed.get("bundle"), Some("/x"));
        assert!(parsed.is_set("detach"));
        assert_eq!(parsed.all("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(parsed.words, ["id", "sh", "-c", "x"]);
        assert_eq!(parse("id --detach -- -x", false).unwrap().words, ["id", "-x"]);
        assert!(!parse("--detach=false id", false).unwrap().is_set("detach"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(parse("--nope", false).unwrap_err().contains("-nope"));
        assert!(parse("--bundle", false).unwrap_err().contains("needs an argument"));
        assert!(parse("", false).unwrap().id().is_err());
    }
}
