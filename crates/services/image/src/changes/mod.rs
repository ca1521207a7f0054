//! Dockerfile instructions that change an image's configuration: `--change` of `import` and `commit`.

mod words;

use crate::error::{ImageError, Result};
use hull_types::oci::image::Execution;
use serde_json::{Value, json};

const ALLOWED: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What one run of changes has set already.
#[derive(Debug, Default)]
pub struct Changed {
    command: bool,
}

/// Applies the instructions, each of which may have several lines.
pub fn apply(config: &mut Execution, changes: &[String], changed: &mut Changed) -> Result<()> {
    for line in joined(&changes.join("\n")) {
        one(config, &line, changed).map_err(ImageError::Change)?;
    }
    Ok(())
}

// The instructions: continued lines as one, comments and empty lines left out.
fn joined(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with('#') || (line.trim().is_empty() && open.is_empty()) {
            continue;
        }
        match line.trim_end().strip_suffix('\\') {
            Some(part) => open.push_str(part),
            None => {
                open.push_str(line);
                lines.push(std::mem::take(&mut open).trim().to_owned());
            }
        }
    }
    if !open.trim().is_empty() {
        lines.push(open.trim().to_owned());
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn one(config: &mut Execution, line: &str, changed: &mut Changed) -> Result<(), String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (name, rest) = (word.to_ascii_uppercase(), rest.trim());
    if !ALLOWED.contains(&name.as_str()) {
        let lower = word.to_ascii_lowercase();
        return Err(match is_instruction(&name) {
            true => format!("{lower} is not a valid change command"),
            false => format!("dockerfile parse error line 1: unknown instruction: {word}"),
        });
    }
    if rest.is_empty() && name != "CMD" && name != "ENTRYPOINT" {
        return Err(format!("dockerfile parse error: {name} requires at least one argument"));
    }
    let expand = |text: &str| words::expand(text, &config.env);
    match name.as_str() {
        "CMD" => {
            config.cmd = Some(command(config, rest));
            config.args_escaped = false;
            changed.command = true;
        }
        "ENTRYPOINT" => {
            let words = command(config, rest);
            config.entrypoint = (!rest.is_empty()).then_some(words);
            // Arguments of another program make no sense for this one.
            if !changed.command {
                config.cmd = None;
            }
        }
        "ENV" => {
            for (key, value) in words::pairs(rest, &config.env, "ENV")? {
                config.env.retain(|entry| entry.split('=').next() != Some(&key));
                config.env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config.labels.extend(words::pairs(rest, &config.env, "LABEL")?),
        "EXPOSE" => {
            for port in words::split(rest) {
                for port in ports(&expand(&port)?)? {
                    config.exposed_ports.insert(port, json!({}));
                }
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(health(rest)?),
        "ONBUILD" => {
            let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            if ["ONBUILD", "FROM", "MAINTAINER"].contains(&trigger.as_str()) {
                return Err(format!("{trigger} isn't allowed as an ONBUILD trigger"));
            }
            config.on_build.get_or_insert_default().push(rest.to_owned());
        }
        "STOPSIGNAL" => {
            let signal = expand(rest)?;
            if hull_types::signal::parse(&signal).is_none() {
                return Err(format!("invalid signal: {signal}"));
            }
            config.stop_signal = signal;
        }
        "USER" => config.user = expand(rest)?,
        "VOLUME" => {
            for path in json_words(rest).unwrap_or_else(|| words::split(rest)) {
                let path = expand(&path)?;
                if path.trim().is_empty() {
                    return Err("VOLUME specified can not be an empty string".into());
                }
                config.volumes.insert(path, json!({}));
            }
        }
        _ => {
            let path = expand(rest)?;
            config.working_dir = match path.starts_with('/') {
                true => clean(&path),
                false => clean(&format!("/{}/{path}", config.working_dir)),
            };
        }
    }
    Ok(())
}

fn is_instruction(name: &str) -> bool {
    ["ADD", "ARG", "COPY", "FROM", "MAINTAINER", "RUN", "SHELL"].contains(&name)
}

// The form of a JSON array; none for the shell's form.
fn json_words(text: &str) -> Option<Vec<String>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(config: &Execution, text: &str) -> Vec<String> {
    json_words(text).unwrap_or_else(|| {
        let default = ["/bin/sh".to_owned(), "-c".to_owned()];
        let mut words = config.shell.clone().filter(|shell| !shell.is_empty()).unwrap_or(default.into());
        words.push(text.to_owned());
        words
    })
}

// `80`, `80/udp`, `8000-8010/tcp`.
fn ports(text: &str) -> Result<Vec<String>, String> {
    let invalid = || format!("invalid containerPort: {text}");
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("invalid proto: {protocol}"));
    }
    // `host:container` is accepted, and the host's part ignored.
    let range = range.rsplit(':').next().unwrap_or(range);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn health(text: &str) -> Result<Value, String> {
    let mut value = json!({});
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (word, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, given) = word.split_once('=').ok_or_else(|| format!("Missing a value on flag: {word}"))?;
        let nanoseconds =
            || words::duration(given).ok_or_else(|| format!("invalid duration {given:?} of --{name}"));
        match name {
            "interval" => value["Interval"] = json!(nanoseconds()?),
            "timeout" => value["Timeout"] = json!(nanoseconds()?),
            "start-period" => value["StartPeriod"] = json!(nanoseconds()?),
            "start-interval" => value["StartInterval"] = json!(nanoseconds()?),
            "retries" => {
                let number: u32 = given.parse().map_err(|_| format!("invalid --retries {given:?}"))?;
                value["Retries"] = json!(number);
            }
            other => return Err(format!("unknown flag: {other}")),
        }
        rest = after.trim_start();
    }
    let (kind, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    value["Test"] = match kind.to_ascii_uppercase().as_str() {
        "NONE" if words.trim().is_empty() && value == json!({}) => json!(["NONE"]),
        "NONE" => return Err("HEALTHCHECK NONE takes no arguments".into()),
        "CMD" if words.trim().is_empty() => return Err("Missing command after HEALTHCHECK CMD".into()),
        "CMD" => match json_words(words.trim()) {
            Some(list) => json!([vec!["CMD".to_owned()], list].concat()),
            None => json!(["CMD-SHELL", words.trim()]),
        },
        _ => return Err(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)")),
    };
    Ok(value)
}

fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &[&str]) -> Result<Value> {
        let mut config = Execution {
            env: vec!["PATH=/bin".into(), "HOME=/root".into()],
            cmd: Some(vec!["sh".into()]),
            working_dir: "/srv".into(),
            ..Execution::default()
        };
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        apply(&mut config, &lines, &mut Changed::default())?;
        Ok(serde_json::to_value(&config).unwrap())
    }

    #[test]
    fn each_instruction_does_what_it_does_in_a_dockerfile() {
        let all = changed(&[
            "cmd echo hi",
            r#"ENTRYPOINT ["/run", "-x"]"#,
            "ENV A=1 B=\"two words\" PATH=$PATH:/opt C=${D:-none}",
            "ENV OLD the old form",
            "EXPOSE 80 53/udp 7000-7002",
            "LABEL a.b=c \"with space\"=yes",
            "USER $HOME:wheel",
            "VOLUME [\"/data\", \"/more\"]",
            "WORKDIR sub/../dir",
            "STOPSIGNAL SIGQUIT",
            "ONBUILD RUN make",
            "HEALTHCHECK --interval=5s --retries=3 CMD curl -f localhost",
        ])
        .unwrap();
        assert_eq!(
            all,
            json!({
                "User": "/root:wheel",
                "ExposedPorts": {"53/udp": {}, "7000/tcp": {}, "7001/tcp": {}, "7002/tcp": {}, "80/tcp": {}},
                "Env": ["HOME=/root", "A=1", "B=two words", "PATH=/bin:/opt", "C=none", "OLD=the old form"],
                "Entrypoint": ["/run", "-x"],
                "Cmd": ["/bin/sh", "-c", "echo hi"],
                "Volumes": {"/data": {}, "/more": {}},
                "WorkingDir": "/srv/dir",
                "Labels": {"a.b": "c", "with space": "yes"},
                "StopSignal": "SIGQUIT",
                "OnBuild": ["RUN make"],
                "Healthcheck": {"Interval": 5_000_000_000_u64, "Retries": 3, "Test": ["CMD-SHELL", "curl -f localhost"]},
            })
        );
    }

    #[test]
    fn an_entrypoint_alone_drops_the_command() {
        assert_eq!(changed(&["ENTRYPOINT /x"]).unwrap().get("Cmd"), None);
        assert_eq!(changed(&["CMD a", "ENTRYPOINT /x"]).unwrap()["Cmd"], json!(["/bin/sh", "-c", "a"]));
    }

    #[test]
    fn what_changes_no_configuration_is_refused() {
        for (line, text) in [
            ("RUN rm", "run is not a valid change command"),
            ("COPY a b", "copy is not a valid change command"),
            ("NONSENSE x", "unknown instruction"),
            ("EXPOSE 99999", "invalid containerPort"),
            ("STOPSIGNAL nope", "invalid signal"),
            ("ENV A=1 B", "Syntax error"),
            ("HEALTHCHECK maybe", "Unknown type"),
            ("USER", "requires"),
        ] {
            let error = changed(&[line]).unwrap_err().to_string();
            assert!(error.contains(text), "{line}: {error}");
        }
    }
}
