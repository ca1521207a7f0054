//! `--volume`: `[source:]target[:options]`.

use hull_api_types::{Empty, Set};
use std::path::{Component, Path, PathBuf};

/// The flags' values, sorted: what is bound or named, and the targets of anonymous volumes.
pub fn parse(values: &[String]) -> Result<(Vec<String>, Set), String> {
    let mut binds = Vec::new();
    let mut anonymous = Set::new();
    for text in values {
        let source = source_of(text)?;
        if source.is_empty() {
            anonymous.insert(text.clone(), Empty {});
        } else if !binds.contains(text) {
            binds.push(text.clone());
        }
    }
    Ok((binds.iter().map(|text| absolute_source(text)).collect(), anonymous))
}

/// A path that begins with a dot is relative to here; the engine knows nothing of where that is.
fn absolute_source(text: &str) -> String {
    match text.split_once(':') {
        Some((host, target)) if host.starts_with('.') => format!("{}:{target}", absolute(host)),
        _ => text.to_owned(),
    }
}

/// The absolute form of a path, cleaned of dots without looking at the file system, as Go's `filepath.Abs` does.
pub fn absolute(path: &str) -> String {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut clean = PathBuf::new();
    for part in here.join(Path::new(path)).components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean.to_string_lossy().into_owned()
}

/// The source; empty for an anonymous volume.
fn source_of(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("invalid spec: {text}: {why}"));
    match text.chars().count() {
        0 => return Err("invalid empty volume spec".into()),
        1 | 2 => return Ok(String::new()),
        _ => {}
    }
    let fields = split(text);
    let count = fields.len();
    for (index, field) in fields.iter().enumerate() {
        if field.is_empty() {
            return wrong("empty section between colons");
        }
        if index >= 2 && index + 1 < count {
            return wrong("too many colons");
        }
    }
    Ok(if count == 1 { String::new() } else { fields[0].clone() })
}

/// Splits at colons, save one after a single letter: that is a drive of Windows.
fn split(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    for letter in text.chars() {
        let Some(field) = fields.last_mut() else { break };
        let drive = field.chars().count() == 1 && field.chars().all(char::is_alphabetic);
        if letter == ':' && !drive {
            fields.push(String::new());
        } else {
            field.push(letter);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_read() {
        for (text, source) in
            [("/data", ""), ("vol:/data", "vol"), ("/a:/b:ro,z", "/a"), ("./x:/y", "./x"), ("a:/b", "")]
        {
            assert_eq!(source_of(text).unwrap(), source, "{text}");
        }
        assert_eq!(source_of(":::").unwrap_err(), "invalid spec: :::: empty section between colons");
        assert_eq!(source_of("/a:/b:ro:x").unwrap_err(), "invalid spec: /a:/b:ro:x: too many colons");
        assert!(source_of("").is_err());
    }

    #[test]
    fn dots_are_resolved_here() {
        let here = std::env::current_dir().unwrap();
        let (binds, _) = parse(&["./a/../b:/c".into(), "vol:/d".into()]).unwrap();
        assert_eq!(binds, [format!("{}:/c", here.join("b").display()), "vol:/d".into()]);
    }
}
