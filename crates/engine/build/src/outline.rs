//! What a Dockerfile offers, without building it: its targets, and what one of them takes (`--call`). Pure.

use crate::plan::Plan;
use base64::Engine;
use hull_api_types::build::{
    BuildArgument, BuildLocation, BuildNeed, BuildOutline, BuildTarget, BuildTargets,
};
use hull_dockerfile::{
    Argument, Dockerfile, Expander, Globals, Instruction, Mount, MountKind, Run, Scope, Span, Stage, Step,
};
use std::collections::{BTreeMap, BTreeSet};

/// The stages of a file.
pub fn targets(file: &Dockerfile) -> BuildTargets {
    let last = file.stages.len().saturating_sub(1);
    let target = |(index, stage): (usize, &Stage)| BuildTarget {
        name: stage.name.clone().unwrap_or_default(),
        default: index == last,
        description: stage_comment(stage),
        base: stage.base.clone(),
        platform: stage.platform.clone().unwrap_or_default(),
        location: location(stage.from.span),
    };
    BuildTargets { targets: file.stages.iter().enumerate().map(target).collect(), sources: sources(file) }
}

/// What the plan's target takes, with all stages that it needs. `base_env` is the environment of the image that a
/// stage starts from, where it is known.
pub fn outline(
    file: &Dockerfile,
    plan: &Plan,
    globals: &Globals,
    base_env: &dyn Fn(usize) -> Option<Vec<String>>,
) -> BuildOutline {
    let before = declared(file, globals);
    let mut found: BTreeMap<usize, Found> = BTreeMap::new();
    // What a stage starts from stands before it.
    for index in &plan.needed {
        let start = match plan.stages[*index].base {
            crate::plan::Base::Stage(base) => found.get(&base).map(|found| found.scope.clone()),
            _ => base_env(*index).map(|env| Scope::new(&env)),
        };
        found.insert(*index, Found::of(file, &file.stages[*index], start.unwrap_or_default(), globals));
    }
    let target = &file.stages[plan.target];
    let mut outline = BuildOutline {
        name: target.name.clone().unwrap_or_default(),
        description: stage_comment(target),
        sources: sources(file),
        ..BuildOutline::default()
    };
    // The target's own go before those of the stages beneath.
    let (mut open, mut seen) = (vec![plan.target], BTreeSet::new());
    while let Some(index) = open.pop() {
        if !seen.insert(index) {
            continue;
        }
        let Some(mut found) = found.remove(&index) else { continue };
        found.add_globals(&before);
        add(&mut outline.args, found.arguments, |one| &one.name);
        add(&mut outline.secrets, found.secrets, |one| &one.name);
        add(&mut outline.ssh, found.ssh, |one| &one.name);
        open.extend(plan.stages[index].needs.iter().copied());
    }
    outline.args.sort_by_key(|one| one.location.span());
    outline.secrets.sort_by_key(|one| one.location.span());
    outline.ssh.sort_by_key(|one| one.location.span());
    outline
}

fn add<T>(to: &mut Vec<T>, found: Vec<T>, name: impl Fn(&T) -> &String) {
    for one in found {
        if !to.iter().any(|known| name(known) == name(&one)) {
            to.push(one);
        }
    }
}

/// An argument before the first FROM, and the arguments that its default is made of.
struct Declared {
    argument: BuildArgument,
    needs: BTreeSet<String>,
}

fn declared(file: &Dockerfile, globals: &Globals) -> Vec<Declared> {
    let expander = Expander::new(file.directives.escape);
    let mut all = Vec::new();
    for step in &file.arguments {
        let Instruction::Arg(list) = &step.instruction else { continue };
        for one in list {
            let needs = match (&one.default, globals.given.contains_key(&one.name)) {
                (Some(text), false) => {
                    expander.expand(text, &|name| globals.get(name)).unwrap_or_default().used
                }
                _ => BTreeSet::new(),
            };
            let value = globals.get(&one.name).unwrap_or_default();
            all.push(Declared { argument: argument(step, one, value), needs });
        }
    }
    all
}

/// What one stage takes.
struct Found {
    /// The variables at its end.
    scope: Scope,
    arguments: Vec<BuildArgument>,
    secrets: Vec<BuildNeed>,
    ssh: Vec<BuildNeed>,
    /// The arguments before the first FROM that it uses.
    globals: BTreeSet<String>,
}

impl Found {
    fn of(file: &Dockerfile, stage: &Stage, scope: Scope, globals: &Globals) -> Self {
        let expander = Expander::new(file.directives.escape);
        let mut found = Self {
            scope,
            arguments: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            globals: BTreeSet::new(),
        };
        for text in [Some(&stage.base), stage.platform.as_ref()].into_iter().flatten() {
            let expanded = expander.expand(text, &|name| globals.get(name)).unwrap_or_default();
            found.globals.extend(expanded.used);
        }
        for step in &stage.steps {
            let now = found.scope.clone();
            let expand = |text: &str| {
                expander.expand(text, &|name| now.get(name)).map(|done| done.text).unwrap_or_default()
            };
            match &step.instruction {
                Instruction::Arg(list) => {
                    list.iter().for_each(|one| found.declare(step, one, &expand, globals));
                }
                Instruction::Env(pairs) => {
                    pairs.pairs.iter().for_each(|(name, value)| found.scope.set_env(name, &expand(value)));
                }
                Instruction::Run(run) => found.mounts(step, run, &expand),
                _ => {}
            }
        }
        found
    }

    fn declare(&mut self, step: &Step, one: &Argument, expand: &dyn Fn(&str) -> String, globals: &Globals) {
        let value = self.scope.declare(one, one.default.as_deref().map(expand), globals);
        let inherits = one.default.is_none() && !globals.given.contains_key(&one.name);
        if inherits
            && (globals.declared.contains_key(&one.name) || globals.predefined.contains_key(&one.name))
        {
            self.globals.insert(one.name.clone());
        } else {
            self.arguments.retain(|known| known.name != one.name);
            self.arguments.push(argument(step, one, value.unwrap_or_default()));
        }
    }

    fn mounts(&mut self, step: &Step, run: &Run, expand: &dyn Fn(&str) -> String) {
        for mount in run.mounts.iter().filter_map(|text| Mount::parse(&expand(text)).ok()) {
            let list = match mount.kind {
                MountKind::Secret => &mut self.secrets,
                MountKind::Ssh => &mut self.ssh,
                _ => continue,
            };
            let need = BuildNeed { name: mount.id, required: mount.required, location: location(step.span) };
            add(list, vec![need], |one| &one.name);
        }
    }

    /// Adds the arguments before the first FROM that it uses, and those that these are made of.
    fn add_globals(&mut self, all: &[Declared]) {
        let (mut open, mut seen) = (std::mem::take(&mut self.globals), BTreeSet::new());
        while let Some(name) = open.pop_first() {
            let declared = all.iter().rfind(|one| one.argument.name == name);
            if let Some(declared) = declared.filter(|_| seen.insert(name)) {
                open.extend(declared.needs.iter().cloned());
                add(&mut self.arguments, vec![declared.argument.clone()], |one| &one.name);
            }
        }
    }
}

fn argument(step: &Step, one: &Argument, value: String) -> BuildArgument {
    BuildArgument {
        name: one.name.clone(),
        description: comment(step, &one.name),
        value,
        location: location(step.span),
    }
}

/// `# name what it is for`, right above the step.
fn comment(step: &Step, name: &str) -> String {
    let mut about = step.comments.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    about.next().unwrap_or_default().to_owned()
}

fn stage_comment(stage: &Stage) -> String {
    // The name as it is written, which may have capitals.
    let Instruction::From(words) = &stage.from.instruction else { return String::new() };
    words.get(2).map_or(String::new(), |name| comment(&stage.from, name))
}

fn location(span: Span) -> BuildLocation {
    BuildLocation::lines(span.start.line, span.end_line)
}

fn sources(file: &Dockerfile) -> Vec<String> {
    vec![base64::engine::general_purpose::STANDARD.encode(&file.source)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    const FILE: &str = "\
# VERSION which release
ARG VERSION=1
ARG SUFFIX=-slim
ARG TAG=$VERSION$SUFFIX
ARG UNUSED=x

# base what all start from
FROM debian:$TAG AS base
# PREFIX where it goes
ARG PREFIX=/usr
ARG TARGETARCH
RUN --mount=type=secret,id=token,required=true --mount=type=ssh make

FROM scratch AS unused
ARG NOBODY=1

# app the program
FROM --platform=$BUILDPLATFORM base AS app
ARG VERSION
ARG FULL=$PREFIX/$VERSION
ARG EMPTY
RUN --mount=type=secret,id=token --mount=type=secret,id=npm,env=NPM make install
";

    fn asked(target: &str, given: &[(&str, &str)]) -> BuildOutline {
        let file = Dockerfile::parse("Dockerfile", FILE).unwrap();
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let predefined = pairs(&[("TARGETARCH", "amd64"), ("BUILDPLATFORM", "linux/amd64")]);
        let globals = Globals::of(&file, &pairs(given), &predefined).unwrap();
        let plan = plan::plan(&file, target, &globals, &|_| false).unwrap();
        outline(&file, &plan, &globals, &|_| None)
    }

    fn arguments(outline: &BuildOutline) -> Vec<(&str, &str, &str)> {
        let args = outline.args.iter();
        args.map(|one| (one.name.as_str(), one.value.as_str(), one.description.as_str())).collect()
    }

    #[test]
    fn a_target_takes_what_its_stages_use() {
        let app = asked("", &[]);
        assert_eq!((app.name.as_str(), app.description.as_str()), ("app", "the program"));
        let wanted = [
            ("VERSION", "1", "which release"),
            ("SUFFIX", "-slim", ""),
            ("TAG", "1-slim", ""),
            ("PREFIX", "/usr", "where it goes"),
            ("FULL", "/usr/1", ""),
            ("EMPTY", "", ""),
        ];
        assert_eq!(arguments(&app), wanted);
        let secrets: Vec<_> = app.secrets.iter().map(|one| (one.name.as_str(), one.required)).collect();
        assert_eq!(secrets, [("token", false), ("npm", false)], "the target's own word counts");
        assert_eq!(app.ssh[0].name, "default");
        assert_eq!(app.secrets[0].location.span(), (22, 22));
        let base = asked("base", &[("VERSION", "2"), ("TAG", "given")]);
        // A given TAG is made of nothing else.
        assert_eq!(arguments(&base), [("TAG", "given", ""), ("PREFIX", "/usr", "where it goes")]);
        assert!(base.secrets[0].required);
    }

    #[test]
    fn targets_are_the_stages_in_their_order() {
        let file = Dockerfile::parse("Dockerfile", FILE).unwrap();
        let found = serde_json::to_value(targets(&file).targets).unwrap();
        let place = |line: u32| serde_json::json!({ "ranges": [{ "start": { "line": line }, "end": { "line": line } }] });
        let wanted = serde_json::json!([
            { "name": "base", "description": "what all start from", "base": "debian:$TAG", "location": place(8) },
            { "name": "unused", "base": "scratch", "location": place(14) },
            { "name": "app", "default": true, "description": "the program", "base": "base",
              "platform": "$BUILDPLATFORM", "location": place(18) },
        ]);
        assert_eq!(found, wanted);
    }
}
