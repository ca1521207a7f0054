//! Rules about single instructions and how they are written.

use super::{Facts, Finding, Rule, add};
use crate::instruction::{Dockerfile, Instruction, Stage, Step};

pub(super) fn check(file: &Dockerfile, facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    casing(file, findings);
    for step in steps(file) {
        if let Some(line) = step.empty_continuation {
            let mut span = step.span;
            span.start.line = line.min(span.end_line);
            let fix = "remove the empty line".to_owned();
            add(findings, Rule::NoEmptyContinuation, span, "Empty continuation line".into(), fix);
        }
        one(step, facts, findings);
    }
    let mut absolute: Vec<(Option<&str>, bool)> = Vec::new();
    for stage in &file.stages {
        repeated(stage, findings);
        json(stage, findings);
        let inherited =
            absolute.iter().any(|(name, set)| *set && *name == Some(stage.base.to_lowercase().as_str()));
        let set = workdir(stage, inherited, findings);
        absolute.push((stage.name.as_deref(), set));
    }
}

pub(super) fn steps(file: &Dockerfile) -> impl Iterator<Item = &Step> {
    let stages = file.stages.iter().flat_map(|stage| std::iter::once(&stage.from).chain(&stage.steps));
    file.arguments.iter().chain(stages)
}

fn casing(file: &Dockerfile, findings: &mut Vec<Finding>) {
    let lower = steps(file).filter(|step| step.word == step.word.to_lowercase()).count();
    let upper = steps(file).filter(|step| step.word == step.word.to_uppercase()).count();
    let to_lower = lower > upper;
    for step in steps(file) {
        let wanted = if to_lower { step.word.to_lowercase() } else { step.word.to_uppercase() };
        if step.word != wanted {
            let majority = if to_lower { "lowercase" } else { "uppercase" };
            let text =
                format!("Command '{}' should match the case of the command majority ({majority})", step.word);
            let fix = step.text.replacen(&step.word, &wanted, 1);
            add(findings, Rule::ConsistentInstructionCasing, step.span, text, fix);
        }
    }
}

fn one(step: &Step, facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    match &step.instruction {
        Instruction::Maintainer(name) => {
            let text = "Maintainer instruction is deprecated in favor of using label".to_owned();
            let fix = format!("LABEL org.opencontainers.image.authors={name:?}");
            add(findings, Rule::MaintainerDeprecated, step.span, text, fix);
        }
        Instruction::Env(pairs) | Instruction::Label(pairs) if pairs.legacy => {
            let word = step.word.to_uppercase();
            let text =
                format!("\"{word} key=value\" should be used instead of legacy \"{word} key value\" format");
            let (key, value) = &pairs.pairs[0];
            let blank = value.contains(char::is_whitespace) && !value.starts_with('"');
            let value = if blank { format!("{value:?}") } else { value.clone() };
            add(
                findings,
                Rule::LegacyKeyValueFormat,
                step.span,
                text,
                format!("{} {key}={value}", step.word),
            );
        }
        Instruction::Expose(ports) => ports.iter().for_each(|port| expose(step, port, findings)),
        Instruction::Copy(transfer) | Instruction::Add(transfer) if transfer.from.is_none() => {
            let Some(ignore) = facts.ignore else { return };
            for source in
                transfer.sources.iter().filter(|source| !source.contains("://") && !source.contains('$'))
            {
                let path = source.trim_start_matches("./").trim_matches('/');
                if !path.is_empty() && path != "." && ignore.skips_directory(path) {
                    let word = match &step.instruction {
                        Instruction::Add(_) => "Add",
                        _ => "Copy",
                    };
                    let text =
                        format!("Attempting to {word} file {source:?} that is excluded by .dockerignore");
                    let fix = format!("add !{path} to .dockerignore, or do not copy it");
                    add(findings, Rule::CopyIgnoredFile, step.span, text, fix);
                }
            }
        }
        _ => {}
    }
    secrets(step, findings);
}

fn expose(step: &Step, port: &str, findings: &mut Vec<Finding>) {
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, ""));
    let lower = protocol.to_lowercase();
    if protocol != lower {
        let text = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
        let fix = format!("{} {numbers}/{lower}", step.word);
        add(findings, Rule::ExposeProtoCasing, step.span, text, fix);
    }
    if !numbers.contains('$') && numbers.contains(':') {
        let text = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        );
        let last = port.rsplit(':').next().unwrap_or(port);
        add(findings, Rule::ExposeInvalidFormat, step.span, text, format!("{} {last}", step.word));
    }
}

fn secrets(step: &Step, findings: &mut Vec<Finding>) {
    const WORDS: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let names: Vec<&str> = match &step.instruction {
        Instruction::Arg(list) => list.iter().map(|argument| argument.name.as_str()).collect(),
        Instruction::Env(pairs) => pairs.pairs.iter().map(|(name, _)| name.as_str()).collect(),
        _ => return,
    };
    for name in names {
        let parts: Vec<String> = name.to_lowercase().split('_').map(str::to_owned).collect();
        let sensitive = parts.iter().any(|part| WORDS.contains(&part.as_str()));
        if sensitive && !parts.iter().any(|part| part == "public") {
            let word = step.word.to_uppercase();
            let text = format!("Do not use ARG or ENV instructions for sensitive data ({word} {name:?})");
            let fix = format!("RUN --mount=type=secret,id={name} …");
            add(findings, Rule::SecretsUsedInArgOrEnv, step.span, text, fix);
        }
    }
}

fn repeated(stage: &Stage, findings: &mut Vec<Finding>) {
    for kind in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
        let same: Vec<&Step> =
            stage.steps.iter().filter(|step| step.word.eq_ignore_ascii_case(kind)).collect();
        for step in same.iter().rev().skip(1) {
            let text = format!(
                "Multiple {kind} instructions should not be used in the same stage because only the last one will be used"
            );
            let fix = "remove this line".to_owned();
            add(findings, Rule::MultipleInstructionsDisallowed, step.span, text, fix);
        }
    }
}

fn json(stage: &Stage, findings: &mut Vec<Finding>) {
    // Who sets a shell wants it.
    if stage.steps.iter().any(|step| matches!(step.instruction, Instruction::Shell(_))) {
        return;
    }
    for step in &stage.steps {
        if let Instruction::Cmd(command) | Instruction::Entrypoint(command) = &step.instruction
            && command.shell
            && !command.words.is_empty()
        {
            let word = step.word.to_uppercase();
            let mut text = format!(
                "JSON arguments recommended for {word} to prevent unintended behavior related to OS signals"
            );
            if crate::parse::almost_json(command) {
                text.push_str(" (this looks like JSON but is not valid JSON)");
            }
            let words: Vec<String> =
                command.words[0].split_whitespace().map(|part| format!("{part:?}")).collect();
            let fix = format!("{} [{}]", step.word, words.join(", "));
            add(findings, Rule::JsonArgsRecommended, step.span, text, fix);
        }
    }
}

fn workdir(stage: &Stage, inherited: bool, findings: &mut Vec<Finding>) -> bool {
    let mut absolute = inherited;
    for step in &stage.steps {
        let Instruction::Workdir(path) = &step.instruction else { continue };
        if path.starts_with(['/', '$']) {
            absolute = true;
        } else if !absolute {
            let text =
                format!("Relative workdir {path:?} can have unexpected results if the base image changes");
            add(findings, Rule::WorkdirRelativePath, step.span, text, format!("{} /{path}", step.word));
        }
    }
    absolute
}
