//! `--call`: what is asked of a Dockerfile in place of a build, and how the answer is said.

use super::places::fields;
use crate::failure::Failure;
use crate::matches::{Matches, parse_bool};
use crate::{streams, table};
use base64::Engine;
use hull_api_types::build::{BuildChecked, BuildNeed, BuildOutline, BuildTargets};
use hull_dockerfile::{excerpt, hint};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What can be asked.
const NAMES: [&str; 4] = ["build", "check", "outline", "targets"];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `check`, `outline` or `targets`.
    pub name: String,
    /// Whether the answer is wanted as JSON.
    pub json: bool,
    ignores_status: bool,
}

impl Call {
    /// `--call` and `--check`; nothing for a build.
    pub fn of(matches: &Matches) -> Result<Option<Self>, Failure> {
        if matches.switch("check") {
            let same = matches.text("call");
            if !matches!(same, "build" | "check") {
                return Err(Failure::new(format!("ERROR: --check and --call={same} exclude each other")));
            }
            return Self::parse("check");
        }
        Self::parse(matches.text("call"))
    }

    /// Reads `NAME[,format=json][,ignorestatus=true]`.
    pub fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let mut call = Self { name: String::new(), json: false, ignores_status: false };
        for field in fields(text) {
            match field.split_once('=') {
                Some(("format", "json")) => call.json = true,
                Some(("format", "text" | "")) => call.json = false,
                Some(("ignorestatus", value)) => {
                    call.ignores_status = parse_bool(value).ok_or_else(|| {
                        Failure::new(format!(
                            "ERROR: invalid value {value:?} of ignorestatus in --call={text}"
                        ))
                    })?;
                }
                Some((key, value)) => {
                    return Err(Failure::new(format!(
                        "ERROR: invalid field {key}={value} in --call={text}: format=json and ignorestatus=true are known"
                    )));
                }
                None if call.name.is_empty() => call.name = field,
                None => return Err(Failure::new(format!("ERROR: invalid value of --call: {text}"))),
            }
        }
        // Its older name.
        if call.name == "lint" {
            call.name = "check".into();
        }
        match call.name.as_str() {
            "" | "build" => Ok(None),
            name if NAMES.contains(&name) => Ok(Some(call)),
            name => {
                let hint = hint(name, NAMES);
                Err(Failure::new(format!(
                    "ERROR: unsupported --call {name:?}{hint}: {} are known",
                    NAMES.join(", ")
                )))
            }
        }
    }

    /// The answer for people, as buildx says it.
    pub fn text(&self, answer: &Value) -> Result<String, Failure> {
        match self.name.as_str() {
            "outline" => Ok(outline(&read(answer)?)),
            "targets" => Ok(targets(&read(answer)?)),
            _ => Ok(checked(&read(answer)?)),
        }
    }

    /// The exit code: rules that found something are a failure, unless that is not wanted.
    pub fn code(&self, answer: &Value) -> i32 {
        let found = answer.get("warnings").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        i32::from(self.name == "check" && found && !self.ignores_status)
    }

    /// Says the answer.
    pub fn say(&self, answer: &Value) -> Result<(), Failure> {
        match self.json {
            true => streams::print_line(&format!("{answer:#}")),
            false => streams::print(&self.text(answer)?),
        }
        match self.code(answer) {
            0 => Ok(()),
            code => Err(Failure::silent(code)),
        }
    }
}

fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    serde_json::from_value(answer.clone())
        .map_err(|error| Failure::new(format!("the engine's answer is not understood: {error}")))
}

fn outline(outline: &BuildOutline) -> String {
    let mut text = String::new();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut head = format!("TARGET:\t{name}\n");
        if !outline.description.is_empty() {
            head.push_str(&format!("DESCRIPTION:\t{}\n", outline.description));
        }
        text.push_str(&(table::layout_with(&head, 0, 1) + "\n"));
    }
    let arguments =
        outline.args.iter().map(|one| format!("{}\t{}\t{}\n", one.name, one.value, one.description));
    let needs = |list: &[BuildNeed]| -> Vec<String> {
        list.iter().map(|one| format!("{}\t{}\n", one.name, if one.required { "true" } else { "" })).collect()
    };
    for (head, rows) in [
        ("BUILD ARG\tVALUE\tDESCRIPTION\n", arguments.collect()),
        ("SECRET\tREQUIRED\n", needs(&outline.secrets)),
        ("SSH\tREQUIRED\n", needs(&outline.ssh)),
    ] {
        if !rows.is_empty() {
            text.push_str(&(table::layout_with(&(head.to_owned() + &rows.concat()), 0, 3) + "\n"));
        }
    }
    text
}

fn targets(list: &BuildTargets) -> String {
    let mut text = "TARGET\tDESCRIPTION\n".to_owned();
    for target in &list.targets {
        let mark = match (target.default, target.name.is_empty()) {
            (true, true) => "(default)",
            (true, false) => " (default)",
            _ => "",
        };
        text.push_str(&format!("{}{mark}\t{}\n", target.name, target.description));
    }
    table::layout_with(&text, 0, 1)
}

fn checked(found: &BuildChecked) -> String {
    let mut text = match found.warnings.len() {
        0 => return "Check complete, no warnings found.\n".into(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    let source = found.sources.first().cloned().unwrap_or_default();
    let file = base64::engine::general_purpose::STANDARD.decode(&source.data).unwrap_or_default();
    let file = String::from_utf8_lossy(&file);
    for warning in &found.warnings {
        let (first, last) = warning.location.span();
        text.push_str(&format!("\nWARNING: {} - {}\n", warning.rule_name, warning.url));
        text.push_str(&format!("{}\n{}\n{}:{first}\n", warning.description, warning.detail, source.filename));
        text.push_str(&excerpt(&file, first, last, None));
        text.push_str(&format!("suggested: {}\n", warning.fix));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_read() {
        assert_eq!(Call::parse("build").unwrap(), None);
        let call = Call::parse("lint,format=json,ignorestatus=1").unwrap().unwrap();
        assert_eq!((call.name.as_str(), call.json, call.ignores_status), ("check", true, true));
        let wrong = Call::parse("outlin").unwrap_err().message;
        assert!(wrong.contains("did you mean outline?"), "{wrong}");
        assert!(Call::parse("check,color=red").is_err() && Call::parse("check,outline").is_err());
    }

    #[test]
    fn answers_are_said_as_buildx_does() {
        let call = |name: &str| Call::parse(name).unwrap().unwrap();
        let answer = json!({
            "name": "app", "description": "the program",
            "args": [{ "name": "VERSION", "value": "1", "description": "which release" }, { "name": "EMPTY" }],
            "secrets": [{ "name": "token", "required": true }, { "name": "npm" }],
            "ssh": [{ "name": "default" }],
        });
        let wanted = "TARGET:      app\nDESCRIPTION: the program\n\n\
                      BUILD ARG   VALUE   DESCRIPTION\nVERSION     1       which release\nEMPTY               \n\n\
                      SECRET   REQUIRED\ntoken    true\nnpm      \n\nSSH       REQUIRED\ndefault   \n\n";
        assert_eq!(call("outline").text(&answer).unwrap(), wanted);
        let answer = json!({ "targets": [
            { "name": "base", "description": "what all start from" }, { "name": "app", "default": true },
        ] });
        let wanted = "TARGET        DESCRIPTION\nbase          what all start from\napp (default) \n";
        assert_eq!(call("targets").text(&answer).unwrap(), wanted);
        let clean = json!({ "warnings": [] });
        assert_eq!(call("check").text(&clean).unwrap(), "Check complete, no warnings found.\n");
        assert_eq!(call("check").code(&clean), 0);
        let found = json!({ "warnings": [{ "ruleName": "R", "detail": "d", "location": { "ranges": [] } }] });
        assert!(call("check").text(&found).unwrap().contains("1 warning has been found!\n\nWARNING: R"));
        assert_eq!((call("check").code(&found), call("check,ignorestatus=true").code(&found)), (1, 0));
    }
}
