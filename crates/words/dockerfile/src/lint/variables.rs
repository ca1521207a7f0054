//! The rule about variables that nobody defined.

use super::{Facts, Finding, Rule, add};
use crate::expand::Expander;
use crate::instruction::{Dockerfile, Instruction, Stage};
use crate::scope::{self, Scope};
use crate::suggest;
use std::collections::BTreeSet;

pub(super) fn check(file: &Dockerfile, facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let mut ends: Vec<Option<Scope>> = Vec::new();
    for (index, stage) in file.stages.iter().enumerate() {
        let scope = start(file, index, stage, facts, &ends);
        ends.push(scope.map(|scope| walk(file, stage, scope, facts, findings)));
    }
}

/// The variables that a stage begins with; `None` where its base image is not known.
fn start(
    file: &Dockerfile,
    index: usize,
    stage: &Stage,
    facts: &Facts<'_>,
    ends: &[Option<Scope>],
) -> Option<Scope> {
    let base = stage.base.to_lowercase();
    if let Some(parent) =
        file.stages[..index].iter().rposition(|one| one.name.as_deref() == Some(base.as_str()))
    {
        let parent = ends[parent].as_ref()?;
        return Some(parent.clone());
    }
    if base == "scratch" {
        return Some(Scope::new(&[]));
    }
    facts.base_env.and_then(|env| env(index)).map(|env| Scope::new(&env))
}

fn walk(
    file: &Dockerfile,
    stage: &Stage,
    mut scope: Scope,
    facts: &Facts<'_>,
    findings: &mut Vec<Finding>,
) -> Scope {
    let expander = Expander::new(file.directives.escape);
    for step in &stage.steps {
        let mut missing = BTreeSet::new();
        for word in words(&step.instruction) {
            if let Ok(expanded) = expander.expand(word, &|name| scope.get(name)) {
                missing.extend(expanded.missing);
            }
        }
        for name in missing.iter().filter(|name| !is_known(name, &scope)) {
            let known = scope.env.iter().map(|(name, _)| name.as_str());
            let known: Vec<&str> = known.chain(scope.args.iter().map(|(name, _)| name.as_str())).collect();
            let hint = match suggest::nearest(name, known) {
                Some(near) => format!(" (did you mean ${near}?)"),
                None => String::new(),
            };
            let text = format!("Usage of undefined variable '${name}'{hint}");
            let fix = format!("ARG {name} before this line");
            add(findings, Rule::UndefinedVar, step.span, text, fix);
        }
        match &step.instruction {
            Instruction::Arg(list) => list.iter().for_each(|argument| {
                scope.declare(argument, argument.default.clone(), &facts.globals);
            }),
            Instruction::Env(pairs) => {
                pairs.pairs.iter().for_each(|(name, value)| scope.set_env(name, value))
            }
            _ => {}
        }
    }
    scope
}

// An ARG without value is declared all the same; what every shell has is nobody's mistake.
fn is_known(name: &str, scope: &Scope) -> bool {
    scope.args.iter().any(|(known, _)| known == name)
        || scope::PROXIES.contains(&name)
        || scope::BUILDER.contains(&name)
        || matches!(name, "PATH" | "HOME" | "HOSTNAME")
}

fn words(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Add(one) | Instruction::Copy(one) => {
            let flags = [&one.chown, &one.chmod, &one.from].into_iter().flatten();
            one.sources.iter().chain([&one.destination]).chain(flags).map(String::as_str).collect()
        }
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            pairs.pairs.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]).collect()
        }
        Instruction::Expose(list) | Instruction::Volume(list) => list.iter().map(String::as_str).collect(),
        Instruction::StopSignal(text) | Instruction::User(text) | Instruction::Workdir(text) => vec![text],
        Instruction::Arg(list) => list.iter().filter_map(|one| one.default.as_deref()).collect(),
        _ => Vec::new(),
    }
}
