//! Reading the settings: from the command line, from daemon.json, and the two together.

use crate::options::{Setting, Shape, Support, by_flag, by_key, by_short};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Settings by their key in daemon.json, or by their flag where the file has none.
pub type Settings = Map<String, Value>;

/// Why settings can't be used. Texts are dockerd's where it has them.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No such flag.
    #[error("unknown flag: {0}\nSee 'hulld --help'.")]
    UnknownFlag(String),
    /// The value is missing.
    #[error("flag needs an argument: {0}\nSee 'hulld --help'.")]
    NoValue(String),
    /// The value is none for this flag.
    #[error("invalid argument {value:?} for {flag:?} flag: {cause}\nSee 'hulld --help'.")]
    BadValue {
        /// The flag.
        flag: String,
        /// What it was given.
        value: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A word that is no flag.
    #[error("\"hulld\" accepts no arguments.\nSee 'hulld --help'.")]
    Argument,
    /// The file can't be read.
    #[error("unable to configure the Hull daemon with file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file isn't what it should be.
    #[error("unable to configure the Hull daemon with file {path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A value that can't be used.
    #[error("{0}")]
    Value(String),
}

/// What the command line says.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// The settings.
    pub settings: Settings,
    /// Print the usage.
    pub help: bool,
    /// Print the version.
    pub version: bool,
}

/// Reads the words after the program's name, in the manner of pflag: `--flag value`, `--flag=value`, `-f value`,
/// `-fvalue`, and for true-or-false flags only `--flag` and `--flag=value`.
pub fn command_line(words: impl IntoIterator<Item = String>) -> Result<CommandLine, SettingsError> {
    let mut read = CommandLine::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (flag, value) =
                long.split_once('=').map_or((long, None), |(flag, value)| (flag, Some(value)));
            match flag {
                "help" => read.help = true,
                "version" => read.version = true,
                _ => {
                    let setting =
                        by_flag(flag).ok_or_else(|| SettingsError::UnknownFlag(format!("--{flag}")))?;
                    take(
                        &mut read.settings,
                        setting,
                        &format!("--{flag}"),
                        value.map(str::to_owned),
                        &mut words,
                    )?;
                }
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            short_flags(&mut read, letters, &mut words)?;
        } else {
            return Err(SettingsError::Argument);
        }
    }
    Ok(read)
}

fn short_flags(
    read: &mut CommandLine,
    letters: &str,
    words: &mut impl Iterator<Item = String>,
) -> Result<(), SettingsError> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            'h' => read.help = true,
            'v' => read.version = true,
            _ => {
                let flag = format!("-{letter}");
                let setting = by_short(letter).ok_or_else(|| SettingsError::UnknownFlag(flag.clone()))?;
                let value = rest.strip_prefix('=').or(Some(rest).filter(|rest| !rest.is_empty()));
                if setting.shape == Shape::Flag {
                    take(&mut read.settings, setting, &flag, None, words)?;
                    continue;
                }
                return take(&mut read.settings, setting, &flag, value.map(str::to_owned), words);
            }
        }
    }
    Ok(())
}

fn take(
    settings: &mut Settings,
    setting: &'static Setting,
    flag: &str,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
) -> Result<(), SettingsError> {
    let key = name_of(setting);
    if setting.shape == Shape::Flag {
        let value = value.unwrap_or_else(|| "true".into());
        let truth = truth(&value).ok_or_else(|| bad(flag, &value, "invalid syntax"))?;
        settings.insert(key.into(), truth.into());
        return Ok(());
    }
    let value = value.or_else(|| words.next()).ok_or_else(|| SettingsError::NoValue(flag.into()))?;
    match setting.shape {
        Shape::Number => {
            let number: i64 = value.parse().map_err(|_| bad(flag, &value, "invalid syntax"))?;
            settings.insert(key.into(), number.into());
        }
        Shape::List => match settings.entry(key).or_insert(json!([])) {
            Value::Array(list) => list.push(value.into()),
            other => *other = json!([value]),
        },
        Shape::Pairs => {
            let (name, text) =
                value.split_once('=').ok_or_else(|| bad(flag, &value, "expected key=value"))?;
            if let Value::Object(pairs) = settings.entry(key).or_insert(json!({})) {
                pairs.insert(name.into(), text.into());
            }
        }
        _ => {
            settings.insert(key.into(), value.into());
        }
    }
    Ok(())
}

fn bad(flag: &str, value: &str, cause: &str) -> SettingsError {
    SettingsError::BadValue { flag: flag.into(), value: value.into(), cause: cause.into() }
}

fn name_of(setting: &'static Setting) -> &'static str {
    if setting.key.is_empty() { setting.flag } else { setting.key }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads daemon.json. `None` where there is none and nobody named it.
pub fn file(path: &Path, named: bool) -> Result<Option<Settings>, SettingsError> {
    let shown = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(None),
        Err(source) => return Err(SettingsError::Read { path: shown, source }),
    };
    parse_file(&text).map(Some).map_err(|cause| SettingsError::File { path: shown, cause })
}

fn parse_file(text: &str) -> Result<Settings, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Settings::new());
    }
    let settings: Settings = serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))?;
    let unknown: Vec<&str> =
        settings.keys().map(String::as_str).filter(|key| by_key(key).is_none()).collect();
    if !unknown.is_empty() {
        return Err(format!(
            "the following directives don't match any configuration option: {}",
            unknown.join(", ")
        ));
    }
    for (key, value) in &settings {
        let fits = match by_key(key).map(|setting| setting.shape) {
            Some(Shape::Flag) => value.is_boolean(),
            Some(Shape::Number) => value.is_i64(),
            Some(Shape::List) => value.is_array() || (key == "dns-search" && value.is_string()),
            Some(Shape::Pairs) => value.is_object(),
            Some(Shape::Text) => value.is_string() || (key == "default-shm-size" && value.is_i64()),
            _ => true,
        };
        if !fits && !value.is_null() {
            return Err(format!("invalid value for {key}: {value}"));
        }
    }
    Ok(settings)
}

/// The two together. What both say is an error, but for runtimes, which add up.
pub fn merge(flags: Settings, file: Option<Settings>, path: &Path) -> Result<Settings, SettingsError> {
    let Some(file) = file else { return Ok(flags) };
    let in_file = |key: &String| file.get(key).is_some_and(|value| !value.is_null());
    let conflicts: Vec<String> = flags
        .iter()
        .filter(|(key, _)| in_file(key) && key.as_str() != "runtimes")
        .map(|(key, value)| conflict(key, value, &file[key]))
        .collect();
    if !conflicts.is_empty() {
        let cause = format!(
            "the following directives are specified both as a flag and in the configuration file: {}",
            conflicts.join(", ")
        );
        return Err(SettingsError::File { path: path.display().to_string(), cause });
    }
    let mut merged = file;
    merged.retain(|_, value| !value.is_null());
    for (key, value) in flags {
        match (merged.get_mut(&key), value) {
            (Some(Value::Object(both)), Value::Object(more)) => both.extend(more),
            (_, value) => {
                merged.insert(key, value);
            }
        }
    }
    Ok(merged)
}

fn conflict(key: &str, flag: &Value, file: &Value) -> String {
    let secret = key.ends_with("-proxy");
    let shown = |value: &Value| match value {
        _ if secret => "********".to_owned(),
        Value::String(text) => text.clone(),
        // As Go prints a slice.
        Value::Array(list) => {
            format!(
                "[{}]",
                list.iter()
                    .map(|v| v.as_str().map_or(v.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
        other => other.to_string(),
    };
    format!("{key}: (from flag: {}, from file: {})", shown(flag), shown(file))
}

/// Refuses what Hull does not have yet.
pub fn refuse_missing(settings: &Settings) -> Result<(), SettingsError> {
    for (key, value) in settings {
        let Some(setting) = by_key(key).or_else(|| by_flag(key)) else { continue };
        let blank = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(pairs) => pairs.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            Value::Bool(true) => false,
        };
        if setting.support == Support::Missing && !blank {
            return Err(SettingsError::Value(format!("{key} is not available in Hull yet: leave it out")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Result<CommandLine, SettingsError> {
        command_line(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_as_pflag_does() {
        let read =
            line("-D --icc=false -H unix:///a --host=tcp://:1 -ldebug --mtu 1400 --log-opt max-size=1m -G=x")
                .unwrap();
        assert_eq!(
            Value::Object(read.settings),
            json!({
                "debug": true, "icc": false, "hosts": ["unix:///a", "tcp://:1"], "log-level": "debug", "mtu": 1400,
                "log-opts": { "max-size": "1m" }, "group": "x"
            })
        );
        assert!(line("--help").unwrap().help && line("-v").unwrap().version && line("-Dh").unwrap().help);
    }

    #[test]
    fn bad_flags_are_named() {
        for (words, text) in [
            ("--nope", "unknown flag: --nope"),
            ("-Z", "unknown flag: -Z"),
            ("--bip", "flag needs an argument: --bip"),
            ("--mtu x", "invalid argument \"x\" for \"--mtu\" flag: invalid syntax"),
            ("--debug=maybe", "invalid argument \"maybe\""),
            ("--log-opt x", "invalid argument \"x\" for \"--log-opt\" flag: expected key=value"),
            ("run", "\"hulld\" accepts no arguments."),
        ] {
            let error = line(words).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn the_file_is_checked() {
        assert!(parse_file("").unwrap().is_empty());
        assert_eq!(parse_file(r#"{"debug":true}"#).unwrap()["debug"], true);
        assert_eq!(
            parse_file(r#"{"a":1,"debug":true,"b":2}"#).unwrap_err(),
            "the following directives don't match any configuration option: a, b"
        );
        assert!(parse_file(r#"{"debug":"yes"}"#).is_err() && parse_file(r#"{"hosts":"x"}"#).is_err());
        assert!(parse_file("[").unwrap_err().starts_with("invalid JSON"));
    }

    #[test]
    fn flag_and_file_may_not_both_speak() {
        let flags = line("-H unix:///a -l debug --add-runtime crun=/usr/bin/crun").unwrap().settings;
        let file =
            parse_file(r#"{"hosts":["tcp://:1"],"debug":true,"runtimes":{"x":{"path":"/x"}}}"#).unwrap();
        let error = merge(flags.clone(), Some(file), Path::new("/f")).unwrap_err().to_string();
        assert_eq!(
            error,
            "unable to configure the Hull daemon with file /f: the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [unix:///a], from file: [tcp://:1])"
        );
        let file = parse_file(r#"{"debug":true,"runtimes":{"x":{"path":"/x"}}}"#).unwrap();
        let merged = merge(flags, Some(file), Path::new("/f")).unwrap();
        assert_eq!(merged["runtimes"].as_object().unwrap().len(), 2);
        assert_eq!((&merged["debug"], &merged["log-level"]), (&json!(true), &json!("debug")));
    }

    #[test]
    fn what_is_not_there_yet_is_refused() {
        assert!(refuse_missing(&line("--userns-remap default").unwrap().settings).is_err());
        assert!(
            refuse_missing(
                &line("--selinux-enabled=false --live-restore --userland-proxy=false").unwrap().settings
            )
            .is_ok()
        );
    }
}
