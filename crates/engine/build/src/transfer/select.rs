//! Which files a COPY takes: patterns, directories, exclusions.

use crate::error::{Error, Result};
use crate::files::{self, Facts, Files, Name, base, join, parts};
use hull_dockerfile::Ignore;
use hull_types::glob::{Glob, is_pattern};
use std::sync::Arc;

/// What is asked for.
pub(crate) struct Selection<'a> {
    /// The tree.
    pub(crate) files: Arc<dyn Files>,
    /// A path or a pattern.
    pub(crate) source: &'a str,
    /// `--exclude`.
    pub(crate) exclude: &'a Ignore,
    /// `--parents`.
    pub(crate) parents: bool,
}

/// Something that a source named.
pub(crate) struct Found {
    /// Its real path in the tree.
    pub(crate) name: Name,
    /// What it is.
    pub(crate) facts: Facts,
    /// The name that it has at the destination, where that is a directory.
    pub(crate) base: Name,
    /// With `--parents`, the directories above it that go along: real path and facts.
    pub(crate) above: Vec<(Name, Name, Facts)>,
    /// What is in it, for a directory: path below it, facts; parents before children.
    pub(crate) inside: Vec<(Name, Facts)>,
}

/// Finds what a source names; an error where that is nothing.
pub(crate) fn select(selection: &Selection<'_>) -> Result<Vec<Found>> {
    let files = selection.files.as_ref();
    let (before, written) = pivot(selection);
    let pattern = files::clean(written.as_bytes());
    let root = files::clean(before.as_bytes());
    let text = String::from_utf8_lossy(&pattern).into_owned();
    let matches = if is_pattern(&text) {
        let mut matches = Vec::new();
        let parts: Vec<String> =
            parts(&pattern).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        expand(files, &root, &Vec::new(), &parts, &mut matches)?;
        matches.sort();
        matches.dedup();
        matches
    } else {
        vec![pattern]
    };
    let mut found = Vec::new();
    for name in matches {
        if let Some(one) = one(selection, &root, &name)? {
            found.push(one);
        }
    }
    // A pattern may find only what is excluded.
    if found.is_empty() && (selection.exclude.is_empty() || !is_pattern(&text)) {
        return Err(missing(selection.source));
    }
    Ok(found)
}

// Docker's words: clients and people know them.
fn missing(source: &str) -> Error {
    let source = source.trim_start_matches("./");
    Error::NotFound(format!(
        "COPY failed: file not found in build context or excluded by .dockerignore: stat {source}: file does not exist"
    ))
}

// What is before `/./` does not go along with --parents.
fn pivot<'a>(selection: &Selection<'a>) -> (&'a str, &'a str) {
    let source = selection.source;
    match source.find("/./").filter(|_| selection.parents) {
        Some(at) => (&source[..at], &source[at + 3..]),
        None => ("", source),
    }
}

fn unreadable(name: &[u8]) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("look at {}", String::from_utf8_lossy(name)))
}

fn expand(
    files: &dyn Files,
    root: &[u8],
    at: &Name,
    parts: &[String],
    matches: &mut Vec<Name>,
) -> Result<()> {
    let Some((first, rest)) = parts.split_first() else {
        matches.push(at.clone());
        return Ok(());
    };
    let Some(real) = files::resolve(files, &join(root, at), true).map_err(unreadable(at))? else {
        return Ok(());
    };
    if first == "**" {
        if rest.is_empty() {
            matches.push(at.clone());
            return Ok(());
        }
        expand(files, root, at, rest, matches)?;
        for name in files.list(&real).map_err(unreadable(at))? {
            let below = files.facts(&join(&real, &name)).map_err(unreadable(at))?;
            // Links are not followed here: a link to its own parent would never end.
            if below.is_some_and(|facts| facts.is_directory()) {
                expand(files, root, &join(at, &name), parts, matches)?;
            }
        }
        return Ok(());
    }
    if !is_pattern(first) {
        let next = join(at, first.as_bytes());
        if files.facts(&join(&real, first.as_bytes())).map_err(unreadable(at))?.is_some() {
            expand(files, root, &next, rest, matches)?;
        }
        return Ok(());
    }
    let glob = Glob::new(first).map_err(|error| Error::invalid(format!("{error}: {first:?}")))?;
    for name in files.list(&real).map_err(unreadable(at))? {
        if glob.matches(&String::from_utf8_lossy(&name)) {
            expand(files, root, &join(at, &name), rest, matches)?;
        }
    }
    Ok(())
}

fn one(selection: &Selection<'_>, root: &[u8], name: &Name) -> Result<Option<Found>> {
    let files = selection.files.as_ref();
    let full = join(root, name);
    let Some(real) = files::resolve(files, &full, true).map_err(unreadable(&full))? else { return Ok(None) };
    let Some(facts) = files.facts(&real).map_err(unreadable(&real))? else { return Ok(None) };
    let mut found =
        Found { base: base(name).to_vec(), name: real, facts, above: Vec::new(), inside: Vec::new() };
    if selection.parents {
        above(files, root, name, &mut found)?;
    }
    if found.facts.is_directory() {
        let mut inside = Vec::new();
        walk(selection, &found.name, &Vec::new(), &mut inside)?;
        found.inside = inside;
    } else if selection.exclude.ignores(&String::from_utf8_lossy(base(name)))
        || selection.exclude.ignores(&String::from_utf8_lossy(name))
    {
        return Ok(None);
    }
    Ok(Some(found))
}

fn above(files: &dyn Files, root: &[u8], name: &Name, found: &mut Found) -> Result<()> {
    let mut path = Name::new();
    let count = parts(name).count();
    for part in parts(name).take(count.saturating_sub(1)) {
        path = join(&path, part);
        let full = join(root, &path);
        let real = files::resolve(files, &full, true).map_err(unreadable(&full))?.unwrap_or_default();
        let facts = files.facts(&real).map_err(unreadable(&real))?.unwrap_or_else(Facts::directory);
        found.above.push((path.clone(), real, facts));
    }
    found.base = name.clone();
    Ok(())
}

fn walk(selection: &Selection<'_>, top: &Name, below: &Name, inside: &mut Vec<(Name, Facts)>) -> Result<()> {
    let files = selection.files.as_ref();
    let directory = join(top, below);
    for name in files.list(&directory).map_err(unreadable(&directory))? {
        let path = join(below, &name);
        let full = join(top, &path);
        let Some(facts) = files.facts(&full).map_err(unreadable(&full))? else { continue };
        let text = String::from_utf8_lossy(&path);
        let excluded = !selection.exclude.is_empty()
            && (selection.exclude.ignores(&text)
                || selection.exclude.ignores(&String::from_utf8_lossy(&full)));
        let is_directory = facts.is_directory();
        if is_directory && excluded && selection.exclude.skips_directory(&text) {
            continue;
        }
        if !excluded {
            inside.push((path.clone(), facts));
        }
        if is_directory {
            walk(selection, top, &path, inside)?;
        }
    }
    Ok(())
}
