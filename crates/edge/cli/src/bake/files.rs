//! The files that a bake reads: of this machine, or of a place elsewhere that the engine gets them from.

use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::session::Session;
use hull_api_types::Map;
use hull_api_types::build::BuildFiles;
use hull_bake::DEFAULT_FILES;
use hull_client::Method;
use std::io::{ErrorKind, Read};

/// The prefix of paths of this machine, where files come from elsewhere.
pub const HERE: &str = "cwd://";

/// What a command line says besides its flags: `[URL [CONTEXT-URL]] TARGET…`.
#[derive(Debug, PartialEq, Eq)]
pub struct Words<'a> {
    /// Where the files are, where that is elsewhere.
    pub remote: Option<&'a str>,
    /// What `BAKE_CMD_CONTEXT` says.
    pub command_context: &'a str,
    /// What is to be built.
    pub targets: &'a [String],
}

/// Whether a word is a place elsewhere.
pub fn is_remote(word: &str) -> bool {
    (word.contains("://") && !word.starts_with(HERE))
        || word.starts_with("git@")
        || word.starts_with("github.com/")
}

impl<'a> Words<'a> {
    /// Reads them.
    pub fn of(arguments: &'a [String]) -> Self {
        let first = |list: &'a [String]| list.first().map(String::as_str).filter(|word| is_remote(word));
        let Some(remote) = first(arguments) else {
            return Self { remote: None, command_context: HERE, targets: arguments };
        };
        let rest = &arguments[1..];
        match first(rest) {
            Some(context) => Self { remote: Some(remote), command_context: context, targets: &rest[1..] },
            None => Self { remote: Some(remote), command_context: HERE, targets: rest },
        }
    }
}

/// All files, and what paths in them are relative to.
#[derive(Debug, Default)]
pub struct Files {
    /// Names and texts.
    pub texts: Vec<(String, String)>,
    /// The place elsewhere that the paths are in; this machine where there is none.
    pub root: Option<String>,
    /// This directory's `.env`, where the files are from here.
    pub dotenv: String,
}

/// The files of `--file` or BUILDX_BAKE_FILE, or those of the usual names that are there.
pub async fn read(session: &Session, matches: &Matches, words: &Words<'_>) -> Result<Files, Failure> {
    let mut named = matches.list("file");
    if named.is_empty() {
        named = named_by_environment();
    }
    if let Some(remote) = words.remote {
        return read_remote(session, remote, &named).await;
    }
    if !named.is_empty() {
        let texts = named.iter().map(|name| one(name)).collect::<Result<_, _>>()?;
        return Ok(Files { texts, root: None, dotenv: dotenv()? });
    }
    let mut texts = Vec::new();
    for name in DEFAULT_FILES {
        match std::fs::read_to_string(name) {
            Ok(text) => texts.push(((*name).to_owned(), text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new(format!("ERROR: {}", file_error("open", name, &error)))),
        }
    }
    found(Files { texts, root: None, dotenv: dotenv()? })
}

fn dotenv() -> Result<String, Failure> {
    match std::fs::read_to_string(".env") {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| Failure::new(format!("ERROR: {}", file_error("open", ".env", &error)))),
    }
}

fn found(files: Files) -> Result<Files, Failure> {
    match files.texts.is_empty() {
        true => Err("ERROR: couldn't find a bake definition".into()),
        false => Ok(files),
    }
}

fn named_by_environment() -> Vec<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let between = variable("BUILDX_BAKE_PATH_SEPARATOR").unwrap_or_else(|| ":".into());
    let files = variable("BUILDX_BAKE_FILE").unwrap_or_default();
    files.split(between.as_str()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

async fn read_remote(session: &Session, remote: &str, named: &[String]) -> Result<Files, Failure> {
    let here = |name: &&String| name.starts_with(HERE) || *name == "-";
    let mut names: Vec<String> = named.iter().filter(|name| !here(name)).cloned().collect();
    if named.is_empty() {
        names = DEFAULT_FILES.iter().map(|name| (*name).to_owned()).collect();
    }
    const ALONE: &str = "Dockerfile";
    let asked = BuildFiles { remote: remote.to_owned(), names: [&names[..], &[ALONE.to_owned()]].concat() };
    let call = session.client().await?.request(Method::POST, "/hull/files").json(&asked);
    let mut answer: Map<String> = call.fetch().await?;
    let alone = answer.remove(ALONE);
    let mut files = Files { root: Some(remote.to_owned()), ..Files::default() };
    if named.is_empty() {
        let usual = names.into_iter().filter_map(|name| answer.remove(&name).map(|text| (name, text)));
        files.texts = usual.collect();
        // One file, not a tree: its paths are this machine's.
        if let (true, Some(text)) = (files.texts.is_empty(), alone) {
            let path = remote.split(['?', '#']).next().unwrap_or(remote);
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            files = Files { texts: vec![(name, text)], root: None, dotenv: dotenv()? };
        }
        return found(files);
    }
    for name in named {
        let text = match here(&name) {
            true => one(name)?,
            false => {
                let text = answer.remove(name);
                let text = text.ok_or_else(|| Failure::new(format!("ERROR: {remote} has no file {name}")))?;
                (name.clone(), text)
            }
        };
        files.texts.push(text);
    }
    Ok(files)
}

fn one(name: &str) -> Result<(String, String), Failure> {
    if name == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::new(format!("ERROR: read standard input: {error}")))?;
        return Ok(("-".into(), text));
    }
    let path = name.strip_prefix(HERE).unwrap_or(name);
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("ERROR: {}", file_error("open", path, &error))))?;
    Ok((path.to_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_before_targets() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let local = words("app db");
        assert_eq!(Words::of(&local), Words { remote: None, command_context: HERE, targets: &local });
        let one = words("https://e/a.git#v1 app");
        let found = Words::of(&one);
        assert_eq!((found.remote, found.command_context), (Some("https://e/a.git#v1"), HERE));
        assert_eq!(found.targets, ["app"]);
        let two = words("git@e:a.git https://e/b.git");
        let found = Words::of(&two);
        assert_eq!((found.remote, found.command_context), (Some("git@e:a.git"), "https://e/b.git"));
        assert!(found.targets.is_empty());
    }
}
