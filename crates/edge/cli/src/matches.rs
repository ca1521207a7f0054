//! Reading a command line as Docker's does (the rules of Go's `pflag`): `--name value`, `--name=value`, `-n value`,
//! `-nvalue`, `-n=value`, `-abc`, `--` ends the flags.

use crate::command::{Arguments, Command, Flag, FlagKind};

/// A command line that was understood.
#[derive(Debug)]
pub struct Matches {
    /// The command's names from the program's on: `container ls`.
    pub path: String,
    command: &'static Command,
    given: Vec<(usize, String)>,
    arguments: Vec<String>,
}

/// Why one wasn't, or what it asks for instead.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// `--help`, or `-h` where no flag has that letter.
    Help {
        /// Whether it was the deprecated `-h`.
        short: bool,
    },
    /// A wrong flag, with Docker's words.
    Flag(String),
}

/// What reading the words gives.
#[derive(Debug, Default)]
pub struct Words {
    /// The flags given, by their place in the table, in order.
    pub given: Vec<(usize, String)>,
    /// All else.
    pub arguments: Vec<String>,
    /// What was said of deprecated flags.
    pub notes: Vec<String>,
}

/// Reads `words` by the table `flags`.
pub fn read(flags: &[Flag], interspersed: bool, words: &[String]) -> Result<Words, Stop> {
    let mut out = Words::default();
    let mut help = None;
    let mut index = 0;
    while index < words.len() {
        let word = &words[index];
        index += 1;
        if word == "--" {
            out.arguments.extend_from_slice(&words[index..]);
            break;
        }
        if !word.starts_with('-') || word == "-" {
            if interspersed {
                out.arguments.push(word.clone());
                continue;
            }
            out.arguments.extend_from_slice(&words[index - 1..]);
            break;
        }
        let rest = &words[index..];
        let stop = match word.strip_prefix("--") {
            Some(long) => read_long(flags, long, rest, &mut out),
            None => read_short(flags, &word[1..], rest, &mut out),
        };
        match stop {
            Ok(taken) => index += taken,
            // A later wrong flag is still told of, before any help.
            Err(stop @ Stop::Help { .. }) => help = help.or(Some(stop)),
            Err(stop) => return Err(stop),
        }
    }
    help.map_or(Ok(out), Err)
}

/// How many of the following words were taken as a value.
fn read_long(flags: &[Flag], text: &str, rest: &[String], out: &mut Words) -> Result<usize, Stop> {
    if text.starts_with(['-', '=']) {
        return Err(Stop::Flag(format!("bad flag syntax: --{text}")));
    }
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let Some(place) = flags.iter().position(|flag| flag.name == name) else {
        return match (name, value) {
            ("help", None | Some("true")) => Err(Stop::Help { short: false }),
            ("help", Some(_)) => Ok(0),
            _ => Err(Stop::Flag(format!("unknown flag: --{name}"))),
        };
    };
    if name == "help" && value.is_none_or(|value| parse_bool(value) == Some(true)) {
        return Err(Stop::Help { short: false });
    }
    let (value, taken) = match (value, flags[place].kind, rest.first()) {
        (Some(value), _, _) => (value.to_owned(), 0),
        (None, FlagKind::Switch, _) => ("true".to_owned(), 0),
        (None, _, Some(next)) => (next.clone(), 1),
        (None, _, None) => return Err(Stop::Flag(format!("flag needs an argument: --{name}"))),
    };
    take(flags, place, value, out)?;
    Ok(taken)
}

fn read_short(flags: &[Flag], cluster: &str, rest: &[String], out: &mut Words) -> Result<usize, Stop> {
    for (at, letter) in cluster.char_indices() {
        let Some(place) = flags.iter().position(|flag| flag.short == letter) else {
            if letter == 'h' {
                return Err(Stop::Help { short: true });
            }
            return Err(Stop::Flag(format!("unknown shorthand flag: {letter:?} in -{}", &cluster[at..])));
        };
        let tail = &cluster[at + letter.len_utf8()..];
        if let Some(value) = tail.strip_prefix('=') {
            take(flags, place, value.to_owned(), out)?;
            return Ok(0);
        }
        if flags[place].kind == FlagKind::Switch {
            take(flags, place, "true".into(), out)?;
            continue;
        }
        if !tail.is_empty() {
            take(flags, place, tail.to_owned(), out)?;
            return Ok(0);
        }
        let Some(next) = rest.first() else {
            return Err(Stop::Flag(format!("flag needs an argument: {letter:?} in -{}", &cluster[at..])));
        };
        take(flags, place, next.clone(), out)?;
        return Ok(1);
    }
    Ok(0)
}

fn take(flags: &[Flag], place: usize, value: String, out: &mut Words) -> Result<(), Stop> {
    let flag = &flags[place];
    if !flag.deprecated.is_empty() {
        out.notes.push(format!("Flag --{} has been deprecated, {}", flag.name, flag.deprecated));
    }
    let place = match flag.alias_of {
        "" => place,
        target => flags.iter().position(|flag| flag.name == target).unwrap_or(place),
    };
    let flag = &flags[place];
    let checked = match flag.kind {
        FlagKind::Switch if parse_bool(&value).is_none() => {
            Err(format!("strconv.ParseBool: parsing {}: invalid syntax", go_quoted(&value)))
        }
        _ => flag.check.map_or(Ok(()), |check| check(&value)),
    };
    if let Err(why) = checked {
        let name = match flag.short {
            '\0' => format!("--{}", flag.name),
            letter => format!("-{letter}, --{}", flag.name),
        };
        return Err(Stop::Flag(format!(
            "invalid argument {} for {} flag: {why}",
            go_quoted(&value),
            go_quoted(&name)
        )));
    }
    out.given.push((place, value));
    Ok(())
}

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `%q`.
pub fn go_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c == '\u{feff}' || (c.is_control() && (c as u32) < 0x10000) => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Matches {
    /// Of a command and what [`read`] gave for it.
    pub fn new(path: &str, command: &'static Command, words: Words) -> Self {
        Self { path: path.to_owned(), command, given: words.given, arguments: words.arguments }
    }
    /// The command's table row.
    pub fn command(&self) -> &'static Command {
        self.command
    }
    /// What are no flags.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
    /// The argument with this number; empty where there is none.
    pub fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map(String::as_str).unwrap_or_default()
    }
    /// Whether the flag was given.
    pub fn changed(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
    /// A switch.
    pub fn switch(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or(false)
    }
    /// The last value given, or the default.
    pub fn text(&self, name: &str) -> &str {
        let last = self.values(name).last();
        last.unwrap_or_else(|| self.flag(name).map(|flag| flag.default).unwrap_or_default())
    }
    /// All values given.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.values(name).map(str::to_owned).collect()
    }
    /// A whole number that the flag's check let pass; 0 where none is given.
    pub fn integer(&self, name: &str) -> i64 {
        crate::check::parse_integer(self.text(name)).unwrap_or(0)
    }
    /// A whole number, if the flag was given.
    pub fn given_integer(&self, name: &str) -> Option<i64> {
        self.changed(name).then(|| self.integer(name))
    }

    fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.command.flags.iter().find(|flag| flag.name == name)
    }
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let place = self.command.flags.iter().position(|flag| flag.name == name);
        self.given.iter().filter(move |(at, _)| Some(*at) == place).map(|(_, value)| value.as_str())
    }
}

/// What is wrong with the number of arguments: Docker's words, without the command's name.
pub fn count_error(rule: Arguments, count: usize) -> Option<(String, &'static str)> {
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    let text = match rule {
        Arguments::None if count > 0 => "accepts no arguments".to_owned(),
        Arguments::AtLeast(least) if count < least => {
            return Some((format!("requires at least {least} argument{}", plural(least)), "See"));
        }
        Arguments::AtMost(most) if count > most => {
            format!("requires at most {most} argument{}", plural(most))
        }
        Arguments::Exactly(number) if count != number => {
            format!("requires {number} argument{}", plural(number))
        }
        Arguments::Between(least, most) if count < least || count > most => {
            format!("requires at least {least} and at most {most} argument{}", plural(most))
        }
        _ => return None,
    };
    Some((text, "Run"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    const FLAGS: &[Flag] = &[
        Flag::switch("all", "").short('a'),
        Flag::list("env", "list", "").short('e'),
        Flag::text("last", "int", "").short('n').check(check::integer),
        Flag::switch("tty", "").short('t'),
        Flag::alias("time", "last", FlagKind::Text).deprecated("use --last instead"),
    ];

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect()
    }

    #[test]
    fn flags_are_read_as_pflag_does() {
        let all = read(FLAGS, true, &words("x -ate A=1 --env=B -e=C -eD -n5 y -- -z")).unwrap();
        let given: Vec<_> = all.given.iter().map(|(at, value)| (FLAGS[*at].name, value.as_str())).collect();
        let expected = [
            ("all", "true"),
            ("tty", "true"),
            ("env", "A=1"),
            ("env", "B"),
            ("env", "C"),
            ("env", "D"),
            ("last", "5"),
        ];
        assert_eq!(given, expected);
        assert_eq!(all.arguments, ["x", "y", "-z"]);
        let first = read(FLAGS, false, &words("-a img -t --nope")).unwrap();
        assert_eq!(first.arguments, ["img", "-t", "--nope"]);
        let aliased = read(FLAGS, true, &words("--time 3")).unwrap();
        assert_eq!((aliased.given[0].0, aliased.notes.len()), (2, 1));
    }

    #[test]
    fn wrong_flags_have_dockers_words() {
        for (line, text) in [
            ("--nope", "unknown flag: --nope"),
            ("-az", "unknown shorthand flag: 'z' in -z"),
            ("--env", "flag needs an argument: --env"),
            ("-ae", "flag needs an argument: 'e' in -e"),
            ("--=x", "bad flag syntax: --=x"),
            ("---x", "bad flag syntax: ---x"),
            (
                "--tty=foo",
                r#"invalid argument "foo" for "-t, --tty" flag: strconv.ParseBool: parsing "foo": invalid syntax"#,
            ),
            (
                "-n xx",
                r#"invalid argument "xx" for "-n, --last" flag: strconv.ParseInt: parsing "xx": invalid syntax"#,
            ),
        ] {
            assert_eq!(read(FLAGS, true, &words(line)).unwrap_err(), Stop::Flag(text.into()), "{line}");
        }
        assert_eq!(read(FLAGS, true, &words("-h")).unwrap_err(), Stop::Help { short: true });
        assert!(matches!(read(FLAGS, true, &words("--help --nope")), Err(Stop::Flag(_))));
    }
}
