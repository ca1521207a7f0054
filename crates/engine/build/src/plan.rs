//! What of a Dockerfile is needed, before anything is done: pure.
//!
//! A stage needs the stages that it starts from, copies from and mounts from. What the target does not need is never
//! looked at again. A reference that only a base image's variables would tell is found when it is met: stages are
//! made on demand, the plan only lets them begin early.

use crate::error::{Error, Result};
use hull_dockerfile::{Dockerfile, Expander, Globals, Instruction, Mount, Scope, Stage, nearest};
use std::collections::BTreeSet;

/// Where a stage starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image.
    Image(String),
}

/// A planned stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Where it starts.
    pub base: Base,
    /// `--platform`, expanded.
    pub platform: Option<String>,
    /// The stages that it needs, the base among them.
    pub needs: BTreeSet<usize>,
    /// What its steps are called after.
    pub label: String,
}

/// The stages of a file that the target needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All stages of the file, in its order.
    pub stages: Vec<Planned>,
    /// The stage wanted.
    pub target: usize,
    /// The stages needed, the target among them.
    pub needed: BTreeSet<usize>,
}

/// Plans the target, a stage's name or number; the last stage where empty. `named` says which names are contexts.
pub fn plan(
    file: &Dockerfile,
    target: &str,
    globals: &Globals,
    named: &dyn Fn(&str) -> bool,
) -> Result<Plan> {
    let mut stages = Vec::new();
    for (index, stage) in file.stages.iter().enumerate() {
        stages.push(planned(file, index, stage, globals, named)?);
    }
    let target = find_target(file, target)?;
    let mut needed = BTreeSet::new();
    let mut open = vec![target];
    while let Some(index) = open.pop() {
        if needed.insert(index) {
            open.extend(stages[index].needs.iter().copied());
        }
    }
    Ok(Plan { stages, target, needed })
}

/// The stage of that name or number; the last where empty.
pub(crate) fn find_target(file: &Dockerfile, target: &str) -> Result<usize> {
    if target.is_empty() {
        return Ok(file.stages.len() - 1);
    }
    let lower = target.to_lowercase();
    let named = file.stages.iter().rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
    let numbered = || target.parse::<usize>().ok().filter(|index| *index < file.stages.len());
    named.or_else(numbered).ok_or_else(|| {
        let names = file.stages.iter().filter_map(|stage| stage.name.as_deref());
        let hint = nearest(target, names).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
        Error::Invalid(format!("target stage \"{target}\" could not be found{hint}"))
    })
}

/// The stage before `index` of that name or number.
pub fn earlier(file: &Dockerfile, index: usize, name: &str, numbers: bool) -> Option<usize> {
    let lower = name.to_lowercase();
    let named = file.stages[..index].iter().rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
    let numbered = || name.parse::<usize>().ok().filter(|number| numbers && *number < index);
    named.or_else(numbered)
}

fn planned(
    file: &Dockerfile,
    index: usize,
    stage: &Stage,
    globals: &Globals,
    named: &dyn Fn(&str) -> bool,
) -> Result<Planned> {
    let expander = Expander::new(file.directives.escape);
    let expand = |text: &str| {
        expander.expand(text, &|name| globals.get(name)).map(|expanded| expanded.text).map_err(Error::Invalid)
    };
    let name = expand(&stage.base)?;
    if name.is_empty() {
        return Err(Error::Invalid(format!("base name ({}) should not be blank", stage.base)));
    }
    let base = match earlier(file, index, &name, false) {
        _ if named(&name) => Base::Image(name),
        Some(stage) => Base::Stage(stage),
        None if name.eq_ignore_ascii_case("scratch") => Base::Scratch,
        None => Base::Image(name),
    };
    let platform = stage.platform.as_deref().map(expand).transpose()?.filter(|platform| !platform.is_empty());
    let mut needs: BTreeSet<usize> = references(file, stage, globals)
        .iter()
        .filter(|name| !named(name))
        .filter_map(|name| earlier(file, index, name, true))
        .collect();
    if let Base::Stage(base) = base {
        needs.insert(base);
    }
    let label = match &stage.name {
        Some(name) => name.clone(),
        None => format!("stage-{index}"),
    };
    Ok(Planned { base, platform, needs, label })
}

/// What the steps copy and mount from, as far as it can be told before the base image is known.
fn references(file: &Dockerfile, stage: &Stage, globals: &Globals) -> Vec<String> {
    let expander = Expander::new(file.directives.escape);
    let mut scope = Scope::default();
    let mut found = Vec::new();
    for step in &stage.steps {
        let now = scope.clone();
        let expand = |text: &str| {
            expander.expand(text, &|name| now.get(name)).map(|expanded| expanded.text).unwrap_or_default()
        };
        match &step.instruction {
            Instruction::Copy(copy) => found.extend(copy.from.as_deref().map(expand)),
            Instruction::Run(run) => {
                let mounts = run.mounts.iter().filter_map(|text| Mount::parse(&expand(text)).ok());
                found.extend(mounts.map(|mount| mount.from).filter(|from| !from.is_empty()));
            }
            Instruction::Arg(list) => {
                for argument in list {
                    let default = argument.default.as_deref().map(expand);
                    scope.declare(argument, default, globals);
                }
            }
            Instruction::Env(pairs) => {
                let pairs: Vec<_> =
                    pairs.pairs.iter().map(|(name, value)| (name.clone(), expand(value))).collect();
                pairs.iter().for_each(|(name, value)| scope.set_env(name, value));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn planned(source: &str, target: &str) -> Result<Plan> {
        let file = Dockerfile::parse("Dockerfile", source).unwrap();
        let globals = Globals::of(&file, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        plan(&file, target, &globals, &|name| name == "ctx")
    }

    #[test]
    fn what_the_target_does_not_need_is_left_out() {
        let source = "ARG V=1\nFROM a:$V AS one\nFROM one AS two\nFROM b AS three\nRUN false\nFROM c AS four\nARG W=two\n\
                      COPY --from=$W /x /\nRUN --mount=from=five,target=/x y\nFROM scratch AS five\nFROM scratch\n\
                      COPY --from=three / /\n";
        let plan = planned(source, "four").unwrap();
        assert_eq!(plan.needed, BTreeSet::from([0, 1, 3]));
        assert_eq!(plan.stages[0].base, Base::Image("a:1".into()));
        assert_eq!(plan.stages[1].base, Base::Stage(0));
        assert_eq!(planned(source, "").unwrap().needed, BTreeSet::from([2, 5]));
        assert_eq!(planned(source, "2").unwrap().target, 2);
        let error = planned(source, "thre").unwrap_err().to_string();
        assert_eq!(error, "target stage \"thre\" could not be found (did you mean three?)");
    }

    #[test]
    fn contexts_go_before_stages() {
        let plan = planned("FROM a AS ctx\nRUN x\nFROM scratch\nCOPY --from=ctx / /\n", "").unwrap();
        assert_eq!(plan.needed, BTreeSet::from([1]));
    }
}
