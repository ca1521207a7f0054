//! Rules about FROM and the names of stages.

use super::{Facts, Finding, Rule, add};
use crate::expand::Expander;
use crate::instruction::{Dockerfile, Instruction, Stage, Step};
use crate::scope::{self, Globals};
use crate::suggest;
use std::collections::BTreeMap;

pub(super) fn check(file: &Dockerfile, facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let mut names: Vec<&str> = Vec::new();
    for stage in &file.stages {
        name(stage, &names, findings);
        names.extend(stage.name.as_deref());
        arguments(file, stage, &names, facts, findings);
        platform(stage, findings);
    }
    descriptions(file, findings);
}

fn words(stage: &Stage) -> &[String] {
    match &stage.from.instruction {
        Instruction::From(words) => words,
        _ => &[],
    }
}

fn name(stage: &Stage, earlier: &[&str], findings: &mut Vec<Finding>) {
    let [base, keyword, written] = words(stage) else { return };
    let (from, span) = (&stage.from.word, stage.from.span);
    let lower = written.to_lowercase();
    if *written != lower {
        let fix = format!("{from} {base} {keyword} {lower}");
        let text = format!("Stage name '{written}' should be lowercase");
        add(findings, Rule::StageNameCasing, span, text, fix);
    }
    let upper = |word: &str| word.chars().all(|letter| !letter.is_lowercase());
    let low = |word: &str| word.chars().all(|letter| !letter.is_uppercase());
    if !(upper(from) && upper(keyword) || low(from) && low(keyword)) {
        let matching = if upper(from) { "AS" } else { "as" };
        let text = format!("'{keyword}' and '{from}' keywords' casing do not match");
        add(findings, Rule::FromAsCasing, span, text, format!("{from} {base} {matching} {written}"));
    }
    if earlier.contains(&lower.as_str()) {
        let text = format!("Duplicate stage name {lower:?}, stage names should be unique");
        add(findings, Rule::DuplicateStageName, span, text, format!("{from} {base} {keyword} {lower}-2"));
    }
    if matches!(lower.as_str(), "context" | "scratch") {
        let text = format!("Stage name should not use the same name as reserved stage {lower:?}");
        add(findings, Rule::ReservedStageName, span, text, format!("{from} {base} {keyword} {lower}-stage"));
    }
}

fn arguments(
    file: &Dockerfile,
    stage: &Stage,
    names: &[&str],
    facts: &Facts<'_>,
    findings: &mut Vec<Finding>,
) {
    let expander = Expander::new(file.directives.escape);
    let globals = &facts.globals;
    let known: Vec<&str> =
        globals.declared.keys().map(String::as_str).chain(scope::PLATFORM).chain(scope::BUILDER).collect();
    for text in [Some(&stage.base), stage.platform.as_ref()].into_iter().flatten() {
        let Ok(expanded) = expander.expand(text, &|name| globals.get(name)) else { continue };
        for missing in expanded.missing.iter().filter(|name| !known.contains(&name.as_str())) {
            let hint = suggest::hint(missing, known.iter().copied());
            let text = format!("FROM argument '{missing}' is not declared{hint}");
            let fix = format!("ARG {missing}=… before the first FROM");
            add(findings, Rule::UndefinedArgInFrom, stage.from.span, text, fix);
        }
    }
    // The defaults alone have to make a name, for those who build without arguments.
    let plain = Globals::of(file, &BTreeMap::new(), &globals.predefined).unwrap_or_default();
    let Ok(expanded) = expander.expand(&stage.base, &|name| plain.get(name)) else { return };
    let uses_declared = file.arguments.iter().any(|step| {
        let Instruction::Arg(list) = &step.instruction else { return false };
        list.iter().any(|argument| stage.base.contains('$') && stage.base.contains(&argument.name))
    });
    if uses_declared && !names.contains(&expanded.text.as_str()) && !is_name(&expanded.text) {
        let text =
            format!("Default value for ARG {} results in empty or invalid base image name", stage.base);
        let fix = "give the ARG before FROM a default, or write ${NAME:-default}".to_owned();
        add(findings, Rule::InvalidDefaultArgInFrom, stage.from.span, text, fix);
    }
}

// Not the whole grammar of image names: what an empty argument leaves behind.
fn is_name(text: &str) -> bool {
    let empty_part = ["//", "::", "/:", ":@", "@@"].iter().any(|pair| text.contains(pair));
    !text.is_empty()
        && !empty_part
        && !text.starts_with([':', '/', '@', '-', '.'])
        && !text.ends_with([':', '/', '@', '-', '.'])
}

fn platform(stage: &Stage, findings: &mut Vec<Finding>) {
    let Some(platform) = &stage.platform else { return };
    let span = stage.from.span;
    let without = stage.from.text.replacen(&format!("--platform={platform} "), "", 1);
    if matches!(platform.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        let text = format!(
            "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
        );
        add(findings, Rule::RedundantTargetPlatform, span, text, without);
    } else if !platform.contains('$') {
        // A stage that is named after its architecture means it.
        let meant = |name: &String| platform.split('/').skip(1).any(|part| name.contains(part));
        if !stage.name.as_ref().is_some_and(meant) {
            let text = format!("FROM --platform flag should not use constant value {platform:?}");
            let fix = stage.from.text.replacen(platform, "$BUILDPLATFORM", 1);
            add(findings, Rule::FromPlatformFlagConstDisallowed, span, text, fix);
        }
    }
}

fn descriptions(file: &Dockerfile, findings: &mut Vec<Finding>) {
    let mut describe = |step: &Step, what: &str, name: &str| {
        let Some(comment) = step.comments.last() else { return };
        if comment.split_whitespace().next() != Some(name) {
            let text = format!("Comment for {what} should follow the format: `# {name} <description>`");
            let fix = format!("# {name} {comment}");
            add(findings, Rule::InvalidDefinitionDescription, step.span, text, fix);
        }
    };
    for stage in &file.stages {
        if let [_, _, name] = words(stage) {
            describe(&stage.from, "build stage", name);
        }
    }
    let steps = file.arguments.iter().chain(file.stages.iter().flat_map(|stage| &stage.steps));
    for step in steps {
        if let Instruction::Arg(list) = &step.instruction
            && let Some(first) = list.first()
        {
            describe(step, "arg", &first.name);
        }
    }
}
