//! From logical lines to instructions.

use crate::arguments::{self, Head, Word};
use crate::error::{Mistake, ParseError, Result};
use crate::flags::{Flags, Takes};
use crate::heredoc::Heredoc;
use crate::instruction::{
    Argument, CommandLine, Dockerfile, Healthcheck, Instruction, Pairs, Run, Stage, Step, Transfer, WORDS,
};
use crate::lines::{self, Line};
use crate::mount::Mount;
use crate::suggest;
use hull_types::duration;

type Parsed<T> = Result<T, Mistake>;

impl Dockerfile {
    /// Reads a Dockerfile; `name` is what errors call it.
    pub fn parse(name: &str, source: &str) -> Result<Self> {
        let (directives, lines) = lines::split(name, source)?;
        let mut file = Self {
            name: name.into(),
            source: source.into(),
            directives,
            arguments: Vec::new(),
            stages: Vec::new(),
        };
        for line in &lines {
            file.add(line).map_err(|mistake| line.error(name, mistake))?;
        }
        if lines.is_empty() {
            return Err(file.error("file with no instructions"));
        }
        if file.stages.is_empty() {
            return Err(file.error("dockerfile contains no stages to build"));
        }
        Ok(file)
    }

    fn error(&self, message: &str) -> ParseError {
        ParseError {
            file: self.name.clone(),
            position: crate::Position { line: 1, column: 1 },
            message: message.into(),
            expected: Some("FROM".into()),
        }
    }

    fn add(&mut self, line: &Line) -> Parsed<()> {
        let step = step(line, 0, self.directives.escape)?;
        match (&step.instruction, self.stages.last_mut()) {
            (Instruction::From(words), _) => {
                let stage = stage(words.clone(), line, step, self.directives.escape)?;
                self.stages.push(stage);
            }
            (Instruction::Arg(_), None) => self.arguments.push(step),
            (_, Some(stage)) => stage.steps.push(step),
            (_, None) => {
                return Err(Mistake::new(0, "no build stage in current context").expected("FROM or ARG"));
            }
        }
        Ok(())
    }
}

/// Reads an instruction that ONBUILD kept in an image; `name` is what errors call the image.
pub fn trigger(name: &str, text: &str) -> Result<Step> {
    let (directives, lines) = lines::split(name, text)?;
    let [line] = lines.as_slice() else {
        let position = crate::Position { line: 1, column: 1 };
        let message = format!("invalid ONBUILD trigger {text:?}: it is not one instruction");
        return Err(ParseError { file: name.into(), position, message, expected: None });
    };
    step(line, 0, directives.escape)
        .and_then(|step| match forbidden_trigger(&step.word) {
            None => Ok(step),
            Some(message) => Err(Mistake::new(0, message)),
        })
        .map_err(|mistake| line.error(name, mistake))
}

fn forbidden_trigger(word: &str) -> Option<String> {
    match word.to_uppercase().as_str() {
        "ONBUILD" => Some("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into()),
        word @ ("MAINTAINER" | "FROM") => Some(format!("{word} isn't allowed as an ONBUILD trigger")),
        _ => None,
    }
}

fn step(line: &Line, base: usize, escape: char) -> Parsed<Step> {
    let head = arguments::head(&line.text[base..], base, escape);
    let reader = Reader { head: &head, line, escape };
    let instruction = reader.instruction()?;
    Ok(Step {
        span: line.span(),
        word: head.word.to_owned(),
        text: line.text[base..].trim().to_owned(),
        comments: line.comments.clone(),
        empty_continuation: line.empty_continuation,
        instruction,
    })
}

fn stage(words: Vec<String>, line: &Line, from: Step, escape: char) -> Parsed<Stage> {
    let head = arguments::head(&line.text, 0, escape);
    let flags = Flags::read(&head.flags, &[("platform", Takes::Text)])?;
    let name = match words.as_slice() {
        [_] => None,
        [_, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let lower = name.to_lowercase();
            let mut letters = lower.chars();
            let begins = letters.next().is_some_and(|first| first.is_ascii_lowercase());
            let goes_on = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter)
            };
            if !begins || !letters.all(goes_on) {
                let at = line.text.rfind(name.as_str()).unwrap_or(0);
                let text = format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                );
                return Err(
                    Mistake::new(at, text).expected("a letter, then letters, digits, '-', '_' or '.'")
                );
            }
            Some(lower)
        }
        _ => {
            return Err(Mistake::new(head.rest_offset, "FROM requires either one or three arguments")
                .expected("FROM image or FROM image AS name"));
        }
    };
    let base = words.into_iter().next().unwrap_or_default();
    Ok(Stage { name, base, platform: flags.text("platform"), from, steps: Vec::new() })
}

struct Reader<'a> {
    head: &'a Head<'a>,
    line: &'a Line,
    escape: char,
}

impl Reader<'_> {
    fn instruction(&self) -> Parsed<Instruction> {
        let word = self.head.word.to_uppercase();
        if !matches!(word.as_str(), "ADD" | "COPY" | "FROM" | "HEALTHCHECK" | "RUN")
            && WORDS.contains(&word.as_str())
        {
            Flags::read(&self.head.flags, &[])?;
        }
        Ok(match word.as_str() {
            "ADD" => Instruction::Add(self.transfer("ADD")?),
            "ARG" => Instruction::Arg(self.arg()?),
            "CMD" => Instruction::Cmd(self.command(self.head.rest, self.head.rest_offset)?),
            "COPY" => Instruction::Copy(self.transfer("COPY")?),
            "ENTRYPOINT" => Instruction::Entrypoint(self.command(self.head.rest, self.head.rest_offset)?),
            "ENV" => Instruction::Env(self.pairs("ENV")?),
            "EXPOSE" => Instruction::Expose(self.list("EXPOSE")?),
            "FROM" => Instruction::From(self.words()),
            "HEALTHCHECK" => Instruction::Healthcheck(self.healthcheck()?),
            "LABEL" => Instruction::Label(self.pairs("LABEL")?),
            "MAINTAINER" => Instruction::Maintainer(self.one("MAINTAINER")?),
            "ONBUILD" => Instruction::OnBuild(self.on_build()?),
            "RUN" => Instruction::Run(self.run()?),
            "SHELL" => Instruction::Shell(self.shell()?),
            "STOPSIGNAL" => Instruction::StopSignal(self.one("STOPSIGNAL")?),
            "USER" => Instruction::User(self.one("USER")?),
            "VOLUME" => Instruction::Volume(self.volume()?),
            "WORKDIR" => Instruction::Workdir(self.one("WORKDIR")?),
            _ => {
                let hint = suggest::hint(self.head.word, WORDS);
                let text = format!("unknown instruction: {}{hint}", self.head.word);
                return Err(Mistake::new(0, text).expected(WORDS.join(", ")));
            }
        })
    }

    fn mistake(&self, text: impl Into<String>) -> Mistake {
        Mistake::new(self.head.rest_offset, text)
    }

    fn words(&self) -> Vec<String> {
        let words = arguments::blanks(self.head.rest, self.head.rest_offset);
        words.into_iter().map(|word| word.text).collect()
    }

    fn one(&self, name: &str) -> Parsed<String> {
        match self.head.rest {
            "" => Err(self.mistake(format!("{name} requires exactly one argument"))),
            rest => Ok(rest.to_owned()),
        }
    }

    fn at_least_one(&self, name: &str) -> Mistake {
        self.mistake(format!("{name} requires at least one argument"))
    }

    fn list(&self, name: &str) -> Parsed<Vec<String>> {
        let words = self.words();
        if words.is_empty() { Err(self.at_least_one(name)) } else { Ok(words) }
    }

    /// A JSON array, or words between blanks.
    fn json_or_words(&self) -> Parsed<Vec<String>> {
        let json = arguments::json(self.head.rest, self.head.rest_offset)?;
        Ok(json.unwrap_or_else(|| self.words()))
    }

    fn volume(&self) -> Parsed<Vec<String>> {
        let paths = self.json_or_words()?;
        if paths.is_empty() {
            return Err(self.at_least_one("VOLUME"));
        }
        let paths: Vec<String> = paths.iter().map(|path| path.trim().to_owned()).collect();
        if paths.iter().any(String::is_empty) {
            return Err(self.mistake("VOLUME specified can not be an empty string"));
        }
        Ok(paths)
    }

    fn shell(&self) -> Parsed<Vec<String>> {
        match arguments::json(self.head.rest, self.head.rest_offset)? {
            Some(words) if words.is_empty() => Err(self.at_least_one("SHELL")),
            Some(words) => Ok(words),
            None => Err(self
                .mistake("SHELL requires the arguments to be in JSON form")
                .expected("[\"/bin/sh\", \"-c\"]")),
        }
    }

    fn command(&self, text: &str, offset: usize) -> Parsed<CommandLine> {
        let heredocs = self.line.heredocs.clone();
        Ok(match arguments::json(text, offset)? {
            Some(words) => CommandLine { words, shell: false, heredocs },
            None if text.is_empty() => CommandLine { words: Vec::new(), shell: true, heredocs },
            None => CommandLine { words: vec![text.to_owned()], shell: true, heredocs },
        })
    }

    fn arg(&self) -> Parsed<Vec<Argument>> {
        let words = arguments::quoted(self.head.rest, self.head.rest_offset, self.escape);
        if words.is_empty() {
            return Err(self.at_least_one("ARG"));
        }
        words.into_iter().map(argument).collect()
    }

    fn pairs(&self, name: &str) -> Parsed<Pairs> {
        let words = arguments::quoted(self.head.rest, self.head.rest_offset, self.escape);
        let Some(first) = words.first() else { return Err(self.at_least_one(name)) };
        if !first.text.contains('=') {
            let (key, value) = self.head.rest.split_once(char::is_whitespace).ok_or_else(|| {
                self.mistake(format!("{name} must have two arguments")).expected("key=value")
            })?;
            return Ok(Pairs { pairs: vec![(key.into(), value.trim_start().into())], legacy: true });
        }
        let pair = |word: Word| {
            let Some((key, value)) = word.text.split_once('=') else {
                let text = format!(
                    "Syntax error - can't find = in {:?}. Must be of the form: name=value",
                    word.text
                );
                return Err(Mistake::new(word.offset, text).expected("name=value"));
            };
            if key.is_empty() {
                return Err(Mistake::new(word.offset, format!("{name} names can not be blank")));
            }
            Ok((key.to_owned(), value.to_owned()))
        };
        Ok(Pairs { pairs: words.into_iter().map(pair).collect::<Parsed<_>>()?, legacy: false })
    }

    fn on_build(&self) -> Parsed<String> {
        if self.head.rest.is_empty() {
            return Err(self.at_least_one("ONBUILD"));
        }
        let inner =
            arguments::head(&self.line.text[self.head.rest_offset..], self.head.rest_offset, self.escape);
        if let Some(text) = forbidden_trigger(inner.word) {
            return Err(self.mistake(text));
        }
        // It is read here too, so that its mistakes are found where they are written.
        step(self.line, self.head.rest_offset, self.escape)?;
        let mut text = self.head.rest.to_owned();
        for document in &self.line.heredocs {
            text.push_str(&format!("\n{}{}", document.content, document.name));
        }
        Ok(text)
    }

    fn run(&self) -> Parsed<Run> {
        let known = [
            ("device", Takes::Texts),
            ("mount", Takes::Texts),
            ("network", Takes::Text),
            ("security", Takes::Text),
        ];
        let flags = Flags::read(&self.head.flags, &known)?;
        let run = Run {
            command: self.command(self.head.rest, self.head.rest_offset)?,
            mounts: flags.texts("mount").map(|(text, _)| text.to_owned()).collect(),
            network: flags.text("network"),
            security: flags.text("security"),
            devices: flags.texts("device").map(|(text, _)| text.to_owned()).collect(),
        };
        for (text, offset) in flags.texts("mount").filter(|(text, _)| !text.contains('$')) {
            Mount::parse(text).map_err(|error| Mistake::new(offset, error))?;
        }
        let one_of = |name: &str, value: &Option<String>, words: &[&'static str], text: &str| match value {
            Some(value) if !value.contains('$') && !words.contains(&value.as_str()) => {
                let hint = suggest::hint(value, words.iter().copied());
                let text = format!("{text} {value:?}{hint}");
                Err(Mistake::new(flags.offset(name), text).expected(words.join(", ")))
            }
            _ => Ok(()),
        };
        one_of("network", &run.network, &["default", "none", "host"], "unsupported network mode")?;
        one_of("security", &run.security, &["sandbox", "insecure"], "security mode is not valid:")?;
        if run.command.words.is_empty() {
            return Err(self.at_least_one("RUN"));
        }
        Ok(run)
    }

    fn transfer(&self, name: &str) -> Parsed<Transfer> {
        let mut known = vec![
            ("chmod", Takes::Text),
            ("chown", Takes::Text),
            ("exclude", Takes::Texts),
            ("link", Takes::Switch),
        ];
        known.extend(match name {
            "COPY" => &[("from", Takes::Text), ("parents", Takes::Switch)][..],
            _ => &[("checksum", Takes::Text), ("keep-git-dir", Takes::Switch), ("unpack", Takes::Switch)][..],
        });
        let flags = Flags::read(&self.head.flags, &known)?;
        let mut words = self.json_or_words()?;
        if words.len() < 2 {
            let text = format!(
                "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
            );
            return Err(self.mistake(text).expected("source … destination"));
        }
        let destination = words.pop().unwrap_or_default();
        if Heredoc::parse(&destination).is_some() {
            return Err(self.mistake(format!("{name} cannot accept a heredoc as a destination")));
        }
        let (mut sources, mut inline) = (Vec::new(), Vec::new());
        for word in words {
            let announced = Heredoc::parse(&word);
            let found =
                announced.and_then(|one| self.line.heredocs.iter().find(|known| known.name == one.name));
            match found {
                Some(document) => inline.push(document.clone()),
                None => sources.push(word),
            }
        }
        Ok(Transfer {
            sources,
            inline,
            destination,
            from: flags.text("from"),
            chown: flags.text("chown"),
            chmod: flags.text("chmod"),
            link: flags.switch("link").unwrap_or(false),
            parents: flags.switch("parents").unwrap_or(false),
            exclude: flags.texts("exclude").map(|(text, _)| text.to_owned()).collect(),
            keep_git_dir: flags.switch("keep-git-dir").unwrap_or(false),
            checksum: flags.text("checksum"),
            unpack: flags.switch("unpack"),
        })
    }

    fn healthcheck(&self) -> Parsed<Healthcheck> {
        let known = [
            ("interval", Takes::Text),
            ("retries", Takes::Text),
            ("start-interval", Takes::Text),
            ("start-period", Takes::Text),
            ("timeout", Takes::Text),
        ];
        let flags = Flags::read(&self.head.flags, &known)?;
        let (kind, rest) = self.head.rest.split_once(char::is_whitespace).unwrap_or((self.head.rest, ""));
        let test = match kind.to_uppercase().as_str() {
            "" => return Err(self.at_least_one("HEALTHCHECK")),
            "NONE" if rest.trim().is_empty() => {
                return Ok(Healthcheck { test: vec!["NONE".into()], ..Default::default() });
            }
            "NONE" => return Err(self.mistake("HEALTHCHECK NONE takes no arguments")),
            "CMD" => {
                let command = self.command(rest.trim(), self.head.rest_offset)?;
                if command.words.is_empty() {
                    return Err(self.mistake("Missing command after HEALTHCHECK CMD"));
                }
                let form = if command.shell { "CMD-SHELL" } else { "CMD" };
                std::iter::once(form.to_owned()).chain(command.words).collect()
            }
            other => {
                let text = format!("Unknown type {other:?} in HEALTHCHECK (try CMD)");
                return Err(self.mistake(text).expected("CMD or NONE"));
            }
        };
        let time = |name: &str| interval(&flags, name);
        Ok(Healthcheck {
            test,
            interval: time("interval")?,
            timeout: time("timeout")?,
            start_period: time("start-period")?,
            start_interval: time("start-interval")?,
            retries: retries(&flags)?,
        })
    }
}

fn argument(word: Word) -> Parsed<Argument> {
    let (name, default) = match word.text.split_once('=') {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (word.text.as_str(), None),
    };
    if name.is_empty() {
        return Err(Mistake::new(word.offset, "ARG names can not be blank").expected("name or name=value"));
    }
    Ok(Argument { name: name.to_owned(), default })
}

fn interval(flags: &Flags, name: &str) -> Parsed<i64> {
    let Some(text) = flags.text(name).filter(|text| !text.is_empty()) else { return Ok(0) };
    let value = duration::parse(&text)
        .map_err(|error| Mistake::new(flags.offset(name), error).expected("a duration such as 30s"))?;
    if value != 0 && value < 1_000_000 {
        let text = format!("Interval {name:?} cannot be less than 1ms");
        return Err(Mistake::new(flags.offset(name), text));
    }
    Ok(value)
}

fn retries(flags: &Flags) -> Parsed<i64> {
    let Some(text) = flags.text("retries").filter(|text| !text.is_empty()) else { return Ok(0) };
    match text.parse::<i32>() {
        Ok(number) if number < 0 => {
            Err(Mistake::new(flags.offset("retries"), format!("--retries cannot be negative ({number})")))
        }
        Ok(number) => Ok(number.into()),
        Err(_) => {
            let text = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            Err(Mistake::new(flags.offset("retries"), text).expected("a number"))
        }
    }
}

/// Whether a shell form was meant as a JSON form: it looks like an array but is not valid.
pub(crate) fn almost_json(command: &CommandLine) -> bool {
    command.shell && command.words.first().is_some_and(|text| arguments::looks_like_json(text))
}
