//! `--security-opt`: what needs the client is done here: a seccomp profile's file is sent as its content.

use crate::failure::file_error;
use crate::matches::go_quoted;
use serde::de::IgnoredAny;

/// What the flags give.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// The options for the engine.
    pub options: Vec<String>,
    /// `systempaths=unconfined`: no path of the kernel's is hidden or read-only.
    pub system_paths_unconfined: bool,
}

/// Reads the flags' values.
pub fn parse(values: &[String]) -> Result<Security, String> {
    let mut out = Security::default();
    for text in values {
        if text == "systempaths=unconfined" {
            out.system_paths_unconfined = true;
            continue;
        }
        out.options.push(option(text)?);
    }
    Ok(out)
}

fn option(text: &str) -> Result<String, String> {
    let pair = match text.split_once('=') {
        Some(pair) => Some(pair),
        None if text == "no-new-privileges" => return Ok(text.to_owned()),
        // The older form.
        None => text.split_once(':'),
    };
    match pair {
        Some(("no-new-privileges", _)) => Ok(text.to_owned()),
        None | Some((_, "")) => Err(format!("Invalid --security-opt: {}", go_quoted(text))),
        Some(("seccomp", "builtin" | "unconfined")) => Ok(text.to_owned()),
        Some(("seccomp", path)) => Ok(format!("seccomp={}", profile(path)?)),
        Some(_) => Ok(text.to_owned()),
    }
}

fn profile(path: &str) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| {
        format!("opening seccomp profile ({path}) failed: {}", file_error("open", path, &error))
    })?;
    let failed = |why: String| format!("compacting json for seccomp profile ({path}) failed: {why}");
    let text = String::from_utf8(bytes).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(&text).map_err(|error| failed(error.to_string()))?;
    Ok(compact(&text))
}

/// JSON without white space between its tokens.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for letter in json.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
        } else if letter == '"' {
            quoted = true;
        } else if letter.is_ascii_whitespace() {
            continue;
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read() {
        let list = [
            "no-new-privileges",
            "apparmor=x",
            "label:disable",
            "systempaths=unconfined",
            "seccomp=unconfined",
        ];
        let out = parse(&list.map(String::from)).unwrap();
        assert_eq!(out.options, ["no-new-privileges", "apparmor=x", "label:disable", "seccomp=unconfined"]);
        assert!(out.system_paths_unconfined);
        assert_eq!(option("foo").unwrap_err(), "Invalid --security-opt: \"foo\"");
        assert!(
            option("seccomp=/nope").unwrap_err().starts_with("opening seccomp profile (/nope) failed: open")
        );
    }

    #[test]
    fn json_is_compacted_outside_of_texts() {
        assert_eq!(compact("{ \"a b\" : [ 1 ,\n \"\\\" x\" ] }"), r#"{"a b":[1,"\" x"]}"#);
    }
}
