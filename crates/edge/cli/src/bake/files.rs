//! The files that a bake reads.

use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use hull_bake::DEFAULT_FILES;
use std::io::{ErrorKind, Read};

/// Their names and texts: those of `--file`, or those of the usual names that are there.
pub fn read(matches: &Matches) -> Result<Vec<(String, String)>, Failure> {
    let first = matches.argument(0);
    if first.contains("://") || first.starts_with("git@") {
        return Err(Failure::new(format!(
            "ERROR: a bake file from elsewhere is not available: clone {first} and bake there"
        )));
    }
    let named = matches.list("file");
    if !named.is_empty() {
        return named.iter().map(|name| one(name)).collect();
    }
    let mut found = Vec::new();
    for name in DEFAULT_FILES {
        match std::fs::read_to_string(name) {
            Ok(text) => found.push(((*name).to_owned(), text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new(format!("ERROR: {}", file_error("open", name, &error)))),
        }
    }
    match found.is_empty() {
        true => Err("ERROR: couldn't find a bake definition".into()),
        false => Ok(found),
    }
}

fn one(name: &str) -> Result<(String, String), Failure> {
    if name == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::new(format!("ERROR: read standard input: {error}")))?;
        return Ok(("-".into(), text));
    }
    let path = name.strip_prefix("cwd://").unwrap_or(name);
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("ERROR: {}", file_error("open", path, &error))))?;
    Ok((path.to_owned(), text))
}
