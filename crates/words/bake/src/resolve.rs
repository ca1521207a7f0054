//! From definitions to a plan.

use crate::definition::{Block, Definition};
use crate::error::{Error, Result, at};
use crate::evaluate::{World, kind_of, text};
use crate::target::{Group, Target};
use crate::{File, Options, compose, names};
use hcl::Value;
use hull_types::Glob;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The groups that were asked for, by name, and those in them.
    pub groups: BTreeMap<String, Group>,
    /// The targets, whole, by name; those too that only serve others as contexts.
    pub targets: BTreeMap<String, Target>,
    /// The targets that were asked for, in the order to build them.
    pub wanted: Vec<String>,
}

impl Plan {
    /// As `bake --print` shows it.
    pub fn to_json(&self) -> Json {
        let groups: serde_json::Map<_, _> =
            self.groups.iter().map(|(name, group)| (name.clone(), group.to_json())).collect();
        let targets: serde_json::Map<_, _> =
            self.targets.iter().map(|(name, target)| (name.clone(), target.to_json())).collect();
        json!({ "group": groups, "target": targets })
    }
}

/// One line of `bake --list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// A variable's value as it is, or a group's members.
    pub value: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// All targets and groups before inheritance.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub targets: Vec<(String, Target)>,
    pub groups: Vec<(String, Group)>,
}

impl Known {
    pub fn put_target(&mut self, name: String, target: Target) {
        match self.targets.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.merge(target),
            None => self.targets.push((name, target)),
        }
    }

    pub fn put_group(&mut self, name: String, group: Group) {
        match self.groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                let new: Vec<_> =
                    group.targets.into_iter().filter(|target| !known.targets.contains(target)).collect();
                known.targets.extend(new);
                known.description = group.description.or(known.description.take());
            }
            None => self.groups.push((name, group)),
        }
    }

    fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|(known, _)| known == name).map(|(_, target)| target)
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|(known, _)| known == name).map(|(_, group)| group)
    }

    /// The targets that a pattern of `--set` means.
    fn fitting(&self, pattern: &str) -> Result<Vec<String>> {
        if self.target(pattern).is_some() {
            return Ok(vec![pattern.to_owned()]);
        }
        let glob = Glob::new(pattern)
            .map_err(|cause| Error::Override(format!("could not match targets with '{pattern}': {cause}")))?;
        let found: Vec<String> =
            self.targets.iter().map(|(name, _)| name).filter(|name| glob.matches(name)).cloned().collect();
        if found.is_empty() { Err(Error::NoMatch(pattern.to_owned())) } else { Ok(found) }
    }
}

/// Reads the files and works out what is to be built.
///
/// # Errors
/// See [`Error`]; each names the file, the block or the flag.
pub fn load(files: &[File<'_>], options: &Options<'_>) -> Result<Plan> {
    let known = known(files, options)?;
    let overrides = overrides(&known, options)?;
    let wanted_names = match options.targets {
        [] => vec!["default".to_owned()],
        names => names.to_vec(),
    };
    let mut plan = Plan::default();
    let mut asked = Vec::new();
    for name in &wanted_names {
        expand(&known, name, &mut Vec::new(), &mut plan, &mut asked)?;
    }
    for name in asked {
        let target = whole(&known, &overrides, &name)?;
        if !plan.wanted.contains(&name) {
            plan.wanted.push(name.clone());
        }
        plan.targets.insert(name.clone(), target);
        link(&known, &overrides, &name, &mut vec![name.clone()], &mut plan)?;
    }
    if !plan.groups.contains_key("default") && wanted_names != ["default"] {
        plan.groups.insert("default".into(), Group { description: None, targets: wanted_names });
    } else if plan.groups.is_empty() {
        plan.groups.insert("default".into(), Group { description: None, targets: plan.wanted.clone() });
    }
    Ok(plan)
}

/// What the files define: variables with their values, or targets with groups.
///
/// # Errors
/// As [`load`].
pub fn list(files: &[File<'_>], options: &Options<'_>, variables: bool) -> Result<Vec<Listed>> {
    if !variables {
        let known = known(files, options)?;
        let groups = known.groups.into_iter().map(|(name, group)| {
            let value = Some(group.targets.join(", "));
            Listed { name, value, description: group.description }
        });
        let targets = known.targets.into_iter().map(|(name, target)| Listed {
            name,
            value: None,
            description: target.description,
        });
        let mut all: Vec<Listed> = groups.chain(targets).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        return Ok(all);
    }
    let (definition, _) = read(files, options)?;
    let world = World::new(&definition, options);
    let mut found: Vec<Listed> = Vec::new();
    for variable in &definition.variables {
        let value = world.variable(&variable.name).map_err(at(format!("variable {:?}", variable.name)))?;
        let value = (!value.is_null()).then(|| text(&value).unwrap_or_else(|_| value.to_string()));
        found.retain(|known| known.name != variable.name);
        found.push(Listed { name: variable.name.clone(), value, description: variable.description.clone() });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

// The definitions of HCL and JSON, and what compose files say.
fn read(files: &[File<'_>], options: &Options<'_>) -> Result<(Definition, Known)> {
    let (mut definition, mut known) = (Definition::default(), Known::default());
    let mut compose_files = Vec::new();
    for file in files {
        let name = file.name.to_ascii_lowercase();
        if name.ends_with(".hcl") {
            definition.add_hcl(file)?;
        } else if name.ends_with(".json") {
            definition.add_json(file)?;
        } else if name.ends_with(".yml") || name.ends_with(".yaml") {
            compose_files.push(*file);
        } else if file.text.trim_start().starts_with('{') {
            definition.add_json(file)?;
        } else if hcl::parse(file.text).is_ok() {
            definition.add_hcl(file)?;
        } else {
            compose_files.push(*file);
        }
    }
    compose::add(&compose_files, options, &mut known)?;
    Ok((definition, known))
}

fn known(files: &[File<'_>], options: &Options<'_>) -> Result<Known> {
    let (definition, mut known) = read(files, options)?;
    let world = World::new(&definition, options);
    // A wrong variable is an error whether it is used or not.
    let names = definition.variables.iter().map(|variable| &variable.name);
    for name in names.chain(definition.attributes.iter().map(|(name, _)| name)) {
        world.variable(name).map_err(at(format!("variable {name:?}")))?;
    }
    for block in &definition.groups {
        known.put_group(block.name.clone(), group(&world, block)?);
    }
    for block in &definition.targets {
        for (name, target) in targets(&world, block, &mut known)? {
            known.put_target(name, target);
        }
    }
    Ok(known)
}

fn group(world: &World<'_>, block: &Block) -> Result<Group> {
    let mut made = Group::default();
    for (key, expression) in &block.attributes {
        let place = format!("group {:?}, {key}", block.name);
        let value = world.scope().evaluate(expression).map_err(at(&place))?;
        match (key.as_str(), value) {
            ("description", value) => made.description = Some(text(&value).map_err(at(place))?),
            ("targets", Value::Array(items)) => {
                made.targets = items.iter().map(text).collect::<Result<_, _>>().map_err(at(place))?;
            }
            ("targets", other) => {
                return Err(at(place)(format!("list required, but have {}", kind_of(&other))));
            }
            ("matrix" | "name", _) => return Err(at(place)("not supported for groups".into())),
            _ => return Err(at(place)("unknown attribute: targets and description are known".into())),
        }
    }
    Ok(made)
}

// One target, or one for each cell of its matrix, which then become a group of the block's name.
fn targets(world: &World<'_>, block: &Block, known: &mut Known) -> Result<Vec<(String, Target)>> {
    let place = |attribute: &str| format!("target {:?}, {attribute}", block.name);
    let Some(matrix) = block.attribute("matrix") else {
        if block.attribute("name").is_some() {
            return Err(at(place("name"))("name requires matrix".into()));
        }
        return Ok(vec![(block.name.clone(), target(world, block, Vec::new())?)]);
    };
    let matrix = world.scope().evaluate(matrix).map_err(at(place("matrix")))?;
    let cells = cells(matrix).map_err(at(place("matrix")))?;
    let name = block.attribute("name").ok_or_else(|| at(place("matrix"))("a matrix needs a name".into()))?;
    let mut made: Vec<(String, Target)> = Vec::new();
    for cell in cells {
        let called = world.scope_with(cell.clone()).evaluate(name);
        let called = called.and_then(|name| text(&name)).map_err(at(place("name")))?;
        names::check(&called)?;
        if made.iter().any(|(known, _)| *known == called) {
            let cause =
                format!("several cells of the matrix are called {called:?}: use all its axes in name");
            return Err(at(place("name"))(cause));
        }
        made.push((called, target(world, block, cell)?));
    }
    let members = made.iter().map(|(name, _)| name.clone()).collect();
    known.put_group(block.name.clone(), Group { description: None, targets: members });
    Ok(made)
}

type Cell = Vec<(String, Value)>;

fn cells(matrix: Value) -> Result<Vec<Cell>, String> {
    let Value::Object(axes) = matrix else { return Err("matrix must be a map".into()) };
    let mut cells: Vec<Cell> = vec![Vec::new()];
    for (axis, values) in axes {
        let Value::Array(values) = values else { return Err("matrix values must be a list".into()) };
        let with = |cell: &Cell, value: &Value| {
            let mut cell = cell.clone();
            cell.push((axis.clone(), value.clone()));
            cell
        };
        cells = cells.iter().flat_map(|cell| values.iter().map(move |value| with(cell, value))).collect();
    }
    Ok(cells)
}

fn target(world: &World<'_>, block: &Block, locals: Cell) -> Result<Target> {
    let scope = world.scope_with(locals);
    let mut made = Target::default();
    for (key, expression) in &block.attributes {
        if matches!(key.as_str(), "matrix" | "name") {
            continue;
        }
        let place = format!("target {:?}, {key}", block.name);
        let value = scope.evaluate(expression).map_err(at(&place))?;
        made.set(key, value).map_err(at(place))?;
    }
    Ok(made)
}

#[derive(Debug)]
struct Override {
    key: String,
    append: bool,
    values: Vec<String>,
}

fn overrides(known: &Known, options: &Options<'_>) -> Result<BTreeMap<String, Vec<Override>>> {
    const LISTS: &[&str] = &[
        "output",
        "cache-to",
        "cache-from",
        "tags",
        "platform",
        "secrets",
        "secret",
        "ssh",
        "attest",
        "entitlements",
        "annotations",
        "no-cache-filter",
        "ulimits",
    ];
    let mut found: BTreeMap<String, Vec<Override>> = BTreeMap::new();
    for given in options.overrides {
        let (left, value) =
            given.split_once('=').map_or((given.as_str(), None), |(left, value)| (left, Some(value)));
        let append = left.ends_with('+');
        let left = left.strip_suffix('+').unwrap_or(left);
        let Some((pattern, key)) = left.split_once('.') else {
            return Err(Error::Override(format!("invalid override key {left}, expected target.name")));
        };
        let attribute = key.split('.').next().unwrap_or(key);
        let value = match (value, key.strip_prefix("args.")) {
            (Some(value), _) => value.to_owned(),
            // An argument without a value has the environment's, or stays as it is.
            (None, Some(name)) => match (options.variable)(name) {
                Some(value) => value,
                None => continue,
            },
            (None, None) => {
                return Err(Error::Override(format!("invalid override {given}, expected target.name=value")));
            }
        };
        if matches!(attribute, "args" | "contexts" | "labels") && !key.contains('.') {
            return Err(Error::Override(format!("invalid key {key}, {attribute} requires name")));
        }
        for name in known.fitting(pattern)? {
            let own = found.entry(name).or_default();
            match own.iter_mut().find(|old| old.key == key && LISTS.contains(&attribute)) {
                Some(old) => {
                    old.append = append;
                    old.values.push(value.clone());
                }
                None => own.push(Override { key: key.to_owned(), append, values: vec![value.clone()] }),
            }
        }
    }
    Ok(found)
}

type Overrides = BTreeMap<String, Vec<Override>>;

// The targets that a name stands for, in their order.
fn expand(
    known: &Known,
    name: &str,
    way: &mut Vec<String>,
    plan: &mut Plan,
    asked: &mut Vec<String>,
) -> Result<()> {
    // A group may have a target of its name as a member.
    let Some(group) = known.group(name).filter(|_| way.last().map(String::as_str) != Some(name)) else {
        if known.target(name).is_none() {
            return Err(Error::NoTarget(name.to_owned()));
        }
        if !asked.contains(&name.to_owned()) {
            asked.push(name.to_owned());
        }
        return Ok(());
    };
    if way.iter().any(|above| above == name) {
        return Ok(());
    }
    way.push(name.to_owned());
    for member in &group.targets {
        expand(known, member, way, plan, asked)?;
    }
    way.pop();
    plan.groups.insert(name.to_owned(), group.clone());
    Ok(())
}

fn whole(known: &Known, overrides: &Overrides, name: &str) -> Result<Target> {
    let mut target = inherited(known, overrides, name, &mut Vec::new())?;
    target.inherits.clear();
    target.context.get_or_insert_with(|| ".".into());
    if target.dockerfile.as_deref().is_none_or(str::is_empty) {
        target.dockerfile = Some("Dockerfile".into());
    }
    Ok(target)
}

fn inherited(known: &Known, overrides: &Overrides, name: &str, way: &mut Vec<String>) -> Result<Target> {
    let own = known.target(name).ok_or_else(|| Error::NoTarget(name.to_owned()))?;
    let mut made = Target::default();
    way.push(name.to_owned());
    for parent in own.inherits.iter().filter(|parent| !way.contains(parent)).cloned().collect::<Vec<_>>() {
        made.merge(inherited(known, overrides, &parent, way)?);
    }
    way.pop();
    made.merge(own.clone());
    for set in overrides.get(name).into_iter().flatten() {
        made.override_with(&set.key, set.append, &set.values)?;
    }
    made.normalize();
    Ok(made)
}

// Targets that are contexts of others are built too, and kept by nobody.
fn link(
    known: &Known,
    overrides: &Overrides,
    name: &str,
    way: &mut Vec<String>,
    plan: &mut Plan,
) -> Result<()> {
    let contexts = plan.targets.get(name).map(|target| target.contexts.clone()).unwrap_or_default();
    for other in contexts.values().filter_map(|place| place.strip_prefix("target:")) {
        if other == name {
            return Err(Error::Circle(format!("target {other} cannot link to itself")));
        }
        if way.iter().any(|above| above == other) {
            return Err(Error::Circle(format!("infinite loop from {name} to {other}")));
        }
        if !plan.targets.contains_key(other) {
            let mut linked = whole(known, overrides, other)?;
            linked.output = vec![crate::Entry::parse("type=cacheonly", "dest")];
            plan.targets.insert(other.to_owned(), linked);
        }
        way.push(other.to_owned());
        link(known, overrides, other, way, plan)?;
        way.pop();
    }
    Ok(())
}
