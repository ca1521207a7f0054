//! The instructions that change nothing but the configuration.

use super::State;
use super::text::quoted;
use crate::error::{Error, Result};
use crate::files;
use hull_dockerfile::{CommandLine, Healthcheck, Instruction, Pairs};
use serde_json::json;

/// Expands a word with a stage's variables.
pub(crate) type Expand<'a> = &'a dyn Fn(&str) -> Result<String>;

/// Applies an instruction; what the history says of it. `None` for one that does more than this.
pub(crate) fn apply(
    state: &mut State,
    instruction: &Instruction,
    expand: Expand<'_>,
) -> Result<Option<String>> {
    Ok(Some(match instruction {
        Instruction::Env(pairs) => env(state, pairs, expand)?,
        Instruction::Label(pairs) => label(state, pairs, expand)?,
        Instruction::Arg(_) => return Ok(None),
        Instruction::Cmd(command) => {
            let words = words(state, command);
            state.command_set = true;
            state.config.config.args_escaped = false;
            let text = format!("CMD {}", quoted(&words));
            state.config.config.cmd = Some(words);
            text
        }
        Instruction::Entrypoint(command) => {
            let words = words(state, command);
            let text = format!("ENTRYPOINT {}", quoted(&words));
            state.config.config.entrypoint = (!words.is_empty()).then_some(words);
            // The arguments were another program's.
            if !state.command_set {
                state.config.config.cmd = None;
            }
            text
        }
        Instruction::Expose(ports) => expose(state, ports, expand)?,
        Instruction::Healthcheck(check) => healthcheck(state, check),
        Instruction::Maintainer(name) => {
            let name = expand(name)?;
            state.config.author.clone_from(&name);
            format!("MAINTAINER {name}")
        }
        Instruction::OnBuild(text) => {
            state.config.config.on_build.get_or_insert_default().push(text.clone());
            format!("ONBUILD {text}")
        }
        Instruction::Shell(words) => {
            state.config.config.shell = Some(words.clone());
            format!("SHELL [{}]", words.join(" "))
        }
        Instruction::StopSignal(signal) => {
            let signal = expand(signal)?;
            if hull_types::signal::parse(&signal).is_none() {
                return Err(Error::Invalid(format!("invalid signal: {signal}")));
            }
            state.config.config.stop_signal.clone_from(&signal);
            format!("STOPSIGNAL {signal}")
        }
        Instruction::User(user) => {
            let user = expand(user)?;
            state.config.config.user.clone_from(&user);
            format!("USER {user}")
        }
        Instruction::Volume(paths) => {
            let paths: Vec<String> = paths.iter().map(|path| expand(path)).collect::<Result<_>>()?;
            for path in &paths {
                if path.trim().is_empty() {
                    return Err(Error::invalid("VOLUME specified can not be an empty string"));
                }
                state.config.config.volumes.insert(path.clone(), json!({}));
            }
            format!("VOLUME [{}]", paths.join(" "))
        }
        _ => return Ok(None),
    }))
}

fn words(state: &State, command: &CommandLine) -> Vec<String> {
    let shell = command.shell && !command.words.is_empty();
    let before = if shell { state.shell() } else { Vec::new() };
    before.into_iter().chain(command.words.iter().cloned()).collect()
}

fn env(state: &mut State, pairs: &Pairs, expand: Expand<'_>) -> Result<String> {
    // All of an instruction's words see the variables as they were before it.
    let pairs = expanded(pairs, expand)?;
    for (name, value) in &pairs {
        state.scope.set_env(name, value);
    }
    state.config.config.env = state.scope.environment();
    Ok(format!("ENV {}", joined(&pairs)))
}

fn label(state: &mut State, pairs: &Pairs, expand: Expand<'_>) -> Result<String> {
    let pairs = expanded(pairs, expand)?;
    state.config.config.labels.extend(pairs.iter().cloned());
    Ok(format!("LABEL {}", joined(&pairs)))
}

fn expanded(pairs: &Pairs, expand: Expand<'_>) -> Result<Vec<(String, String)>> {
    pairs.pairs.iter().map(|(name, value)| Ok((expand(name)?, expand(value)?))).collect()
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn expose(state: &mut State, ports: &[String], expand: Expand<'_>) -> Result<String> {
    let mut all = Vec::new();
    for port in ports {
        for port in expand(port)?.split_whitespace() {
            all.extend(range(port)?);
        }
    }
    all.sort();
    for port in &all {
        state.config.config.exposed_ports.insert(port.clone(), json!({}));
    }
    let texts: Vec<String> = all.iter().map(|port| format!("{port}:{{}}")).collect();
    Ok(format!("EXPOSE map[{}]", texts.join(" ")))
}

/// `80`, `80/udp`, `8000-8010`; what is before the last colon is another machine's business.
fn range(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::Invalid(format!("invalid containerPort: {text}"));
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::Invalid(format!("invalid proto: {protocol}")));
    }
    let numbers = numbers.rsplit(':').next().unwrap_or(numbers);
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn healthcheck(state: &mut State, check: &Healthcheck) -> String {
    let mut test = check.test.clone();
    // The shell form is given to the stage's shell; the default one is known to who runs it.
    if test.first().is_some_and(|kind| kind == "CMD-SHELL")
        && let Some(shell) = state.config.config.shell.clone().filter(|shell| !shell.is_empty())
    {
        let text = test.pop().unwrap_or_default();
        test = std::iter::once("CMD".to_owned()).chain(shell).chain([text]).collect();
    }
    let mut value = json!({ "Test": test });
    let numbers = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        value[name] = json!(number);
    }
    state.config.config.healthcheck = Some(value);
    format!("HEALTHCHECK {}", quoted(&check.test))
}

/// The directory that WORKDIR makes the working one.
pub(crate) fn working_directory(state: &State, path: &str) -> String {
    let now = &state.config.config.working_dir;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{now}/{path}") };
    format!("/{}", String::from_utf8_lossy(&files::clean(path.as_bytes())))
}
