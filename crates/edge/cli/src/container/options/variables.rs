//! `--env`, `--env-file`, `--label`, `--label-file`.

use crate::failure::{errno_text, file_error};
use hull_api_types::Map;

/// Checks a value of `--env`.
pub fn check(text: &str) -> Result<(), String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid environment variable: {text}")),
        Some(_) => Ok(()),
    }
}

/// All variables: the files' first, then the flags'. A name alone has this program's value, if there is one.
pub fn environment(files: &[String], values: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for path in files {
        for line in read_lines(path, "env file")? {
            match line.split_once('=') {
                Some(_) => all.push(line),
                // From a file, a name without a value here is left out.
                None => all.extend(std::env::var(&line).ok().map(|value| format!("{line}={value}"))),
            }
        }
    }
    for text in values {
        all.push(match (text.contains('='), std::env::var(text)) {
            (false, Ok(value)) => format!("{text}={value}"),
            _ => text.clone(),
        });
    }
    Ok(all)
}

/// Checks a value of `--label`.
pub fn check_label(text: &str) -> Result<(), String> {
    let key = text.split('=').next().unwrap_or_default().trim_start();
    if key.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if key.contains(char::is_whitespace) {
        return Err(format!("label '{key}' contains whitespaces"));
    }
    Ok(())
}

/// All labels: the files' first, then the flags'.
pub fn labels(files: &[String], values: &[String]) -> Result<Map<String>, String> {
    let mut all = Vec::new();
    for path in files {
        // From a file, a name without a value is left out.
        all.extend(read_lines(path, "label file")?.into_iter().filter(|line| line.contains('=')));
    }
    all.extend(values.iter().cloned());
    Ok(crate::list::pairs(&all))
}

/// The lines of a file of variables, without comments and empty ones.
fn read_lines(path: &str, what: &str) -> Result<Vec<String>, String> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::IsADirectory => {
            format!("invalid {what} ({path}): read {path}: {}", errno_text(&error))
        }
        _ => file_error("open", path, &error),
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let wrong = |why: String| Err(format!("invalid {what} ({path}): {why}"));
        let Ok(line) = std::str::from_utf8(line) else {
            return wrong(format!("invalid utf8 bytes at line {}: {line:?}", index + 1));
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split('=').next().unwrap_or_default();
        if key.is_empty() {
            return wrong(format!("no variable name on line '{line}'"));
        }
        if key.contains(char::is_whitespace) {
            return wrong(format!("variable '{key}' contains whitespaces"));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn files_have_their_rules() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "\u{feff}# no\n\n  A=1 \r\nB=x=y #z\nHULL_SURELY_UNSET\nE=\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let all =
            environment(std::slice::from_ref(&path), &["C=3".into(), "HULL_SURELY_UNSET".into()]).unwrap();
        assert_eq!(all, ["A=1 ", "B=x=y #z", "E=", "C=3", "HULL_SURELY_UNSET"]);
        assert!(!labels(&[path], &["l".into()]).unwrap().contains_key("HULL_SURELY_UNSET"));
        assert!(environment(&["/nope".into()], &[]).unwrap_err().starts_with("open /nope: no such file"));
    }

    #[test]
    fn empty_names_are_refused() {
        assert!(check("=x").is_err() && check("x").is_ok());
        assert_eq!(check_label("").unwrap_err(), "invalid label '': empty name");
        assert!(check_label("a b=c").is_err());
    }
}
