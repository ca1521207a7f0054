//! Compose files: services with a `build` are targets, and all of them the group `default`.
//!
//! What is read is `services.*.{build,image,environment}` and `secrets`, after interpolation of variables, `<<` and the
//! merging of files. All else of a compose file is compose's.

use crate::arguments::Entry;
use crate::error::{Error, Result};
use crate::resolve::Known;
use crate::target::{Group, Target};
use crate::{File, Options, dotenv, names};
use hcl::Value;
use serde_yaml_ng::{Mapping, Value as Yaml};

/// Adds what the files, merged, say.
pub(crate) fn add(files: &[File<'_>], options: &Options<'_>, known: &mut Known) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let filled = |text: &str, look: &dyn Fn(&str) -> Option<String>| {
        interpolated(text, &Options { variable: look, ..*options }, 0)
    };
    let own = dotenv::parse(options.dotenv, options.variable, &filled)
        .map_err(|cause| Error::Parse { file: ".env".into(), cause })?;
    let variable = |name: &str| (options.variable)(name).or_else(|| own.get(name).cloned());
    let options = &Options { variable: &variable, ..*options };
    let mut merged = Mapping::new();
    for file in files {
        let wrong = |cause: String| Error::Parse { file: file.name.to_owned(), cause };
        let mut yaml: Yaml = serde_yaml_ng::from_str(file.text).map_err(|error| wrong(error.to_string()))?;
        yaml.apply_merge().map_err(|error| wrong(error.to_string()))?;
        interpolate(&mut yaml, options).map_err(wrong)?;
        match yaml {
            Yaml::Mapping(mapping) => merge(&mut merged, mapping),
            Yaml::Null => {}
            _ => return Err(wrong("a compose file is a map".into())),
        }
    }
    let Some(file) = files.first() else { return Ok(()) };
    let mut group = Group::default();
    let services = merged.get("services").and_then(Yaml::as_mapping).cloned().unwrap_or_default();
    for (name, service) in &services {
        let Some(build) = service.get("build") else { continue };
        let name = names::sanitize(name.as_str().unwrap_or_default());
        names::check(&name)?;
        let failed = |cause: String| Error::Parse {
            file: file.name.to_owned(),
            cause: format!("service {name}: {cause}"),
        };
        let made = target(build, service, merged.get("secrets"), options).map_err(failed)?;
        group.targets.push(name.clone());
        known.put_target(name, made);
    }
    if !group.targets.is_empty() {
        known.put_group("default".into(), group);
    }
    Ok(())
}

fn target(
    build: &Yaml,
    service: &Yaml,
    secrets: Option<&Yaml>,
    options: &Options<'_>,
) -> Result<Target, String> {
    let mut made = Target::default();
    let fields = match build {
        Yaml::String(context) => {
            made.context = Some(context.clone());
            Mapping::new()
        }
        Yaml::Mapping(fields) => fields.clone(),
        _ => return Err("build is a path or a map".into()),
    };
    for (key, value) in &fields {
        let key = key.as_str().unwrap_or_default();
        field(&mut made, key, value, service, secrets, options)
            .map_err(|cause| format!("build.{key}: {cause}"))?;
    }
    if let Some(extension) = fields.get("x-bake").and_then(Yaml::as_mapping) {
        let mut more = Target::default();
        for (key, value) in extension {
            let key = key.as_str().unwrap_or_default();
            let value = listed(key, contexts(key, hcl_value(value)));
            more.set(key, value).map_err(|cause| format!("x-bake.{key}: {cause}"))?;
        }
        more.tags = [std::mem::take(&mut made.tags), more.tags].concat();
        more.platforms = [std::mem::take(&mut made.platforms), more.platforms].concat();
        more.cache_to = [std::mem::take(&mut made.cache_to), more.cache_to].concat();
        made.merge(more);
    }
    if made.tags.is_empty()
        && let Some(image) = service.get("image").and_then(Yaml::as_str)
    {
        made.tags.push(image.to_owned());
    }
    Ok(made)
}

fn field(
    made: &mut Target,
    key: &str,
    value: &Yaml,
    service: &Yaml,
    secrets: Option<&Yaml>,
    options: &Options<'_>,
) -> Result<(), String> {
    match key {
        "context" | "dockerfile" | "target" | "network" | "pull" | "tags" | "platforms" | "entitlements" => {
            made.set(key, hcl_value(value))
        }
        "dockerfile_inline" => made.set("dockerfile-inline", hcl_value(value)),
        "no_cache" => made.set("no-cache", hcl_value(value)),
        "no_cache_filter" => made.set("no-cache-filter", listed("no-cache-filter", hcl_value(value))),
        "shm_size" => made.set("shm-size", hcl_value(value)),
        "cache_from" => made.set("cache-from", hcl_value(value)),
        "cache_to" => made.set("cache-to", hcl_value(value)),
        "labels" => made.set("labels", paired(value, '=', |_| Some(String::new()))),
        "additional_contexts" => made.set("contexts", contexts("contexts", paired(value, '=', |_| None))),
        "extra_hosts" => made.set("extra-hosts", hosts(value)),
        "args" => {
            let environment = paired(service.get("environment").unwrap_or(&Yaml::Null), '=', |_| None);
            let look = |name: &str| {
                let own = environment.as_object().and_then(|members| members.get(name));
                own.and_then(Value::as_str).map(str::to_owned).or_else(|| (options.variable)(name))
            };
            made.set("args", paired(value, '=', look))
        }
        "ssh" => {
            let keys = match paired(value, '=', |_| Some(String::new())) {
                Value::Object(keys) => keys,
                _ => return Err("a list or a map is required".into()),
            };
            let key = |(id, path): (String, Value)| match path.as_str() {
                None | Some("") => Value::String(id),
                Some(path) => Value::String(format!("{id}={path}")),
            };
            made.set("ssh", Value::Array(keys.into_iter().map(key).collect()))
        }
        "secrets" => {
            let list = value.as_sequence().ok_or("a list is required")?;
            made.secret = list.iter().map(|one| secret(one, secrets)).collect::<Result<_, _>>()?;
            Ok(())
        }
        "ulimits" => {
            let limits = value.as_mapping().ok_or("a map is required")?;
            made.ulimits = limits.iter().map(limit).collect::<Result<_, _>>()?;
            Ok(())
        }
        "sbom" | "provenance" => {
            made.attest.push(attestation(key, value));
            Ok(())
        }
        "x-bake" | "isolation" | "privileged" => Ok(()),
        other if other.starts_with("x-") => Ok(()),
        _ => Err("unknown field".into()),
    }
}

fn attestation(kind: &str, value: &Yaml) -> Entry {
    let mut entry = Entry::parse(&format!("type={kind}"), "type");
    match value {
        Yaml::Bool(false) => entry.set("disabled", "true"),
        Yaml::String(text) if text == "false" => entry.set("disabled", "true"),
        Yaml::String(text) if text != "true" => {
            Entry::parse(text, "mode").0.iter().for_each(|(key, value)| entry.set(key, value));
        }
        _ => {}
    }
    entry
}

fn secret(used: &Yaml, defined: Option<&Yaml>) -> Result<Entry, String> {
    let source = used.as_str().or_else(|| used.get("source").and_then(Yaml::as_str));
    let source = source.ok_or("a secret's source is missing")?;
    let definition = defined.and_then(|secrets| secrets.get(source));
    if definition.and_then(|secret| secret.get("external")).and_then(Yaml::as_bool) == Some(true) {
        return Err(format!("unsupported external secret {source}"));
    }
    let mut entry = Entry::parse(&format!("id={source}"), "id");
    let field = |key: &str| definition.and_then(|secret| secret.get(key)).and_then(Yaml::as_str);
    if let Some(path) = field("file") {
        entry.set("src", path);
    }
    if let Some(variable) = field("environment") {
        entry.set("env", variable);
    }
    Ok(entry)
}

fn limit((name, value): (&Yaml, &Yaml)) -> Result<String, String> {
    let name = name.as_str().unwrap_or_default();
    let number = |value: Option<&Yaml>| value.and_then(Yaml::as_i64);
    let (soft, hard) = match number(Some(value)) {
        Some(both) => (both, both),
        None => {
            number(value.get("soft")).zip(number(value.get("hard"))).ok_or("soft and hard are required")?
        }
    };
    Ok(format!("{name}={soft}:{hard}"))
}

// `name:address`, `name=address`, or a map of one or several addresses.
fn hosts(value: &Yaml) -> Value {
    match value {
        Yaml::Mapping(members) => {
            let address = |value: &Yaml| match value {
                Yaml::Sequence(several) => {
                    several.iter().filter_map(Yaml::as_str).collect::<Vec<_>>().join(",").into()
                }
                one => hcl_value(one),
            };
            let member =
                |(key, value): (&Yaml, &Yaml)| (key.as_str().unwrap_or_default().to_owned(), address(value));
            Value::Object(members.iter().map(member).collect())
        }
        Yaml::Sequence(items) if items.iter().filter_map(Yaml::as_str).all(|item| item.contains('=')) => {
            paired(value, '=', |_| None)
        }
        other => paired(other, ':', |_| None),
    }
}

// A service's image is its target's.
fn contexts(key: &str, value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let place = |(name, place): (String, Value)| {
        let service = place.as_str().and_then(|place| place.strip_prefix("service:"));
        match service.filter(|_| key == "contexts") {
            Some(service) => (name, Value::String(format!("target:{}", names::sanitize(service)))),
            None => (name, place),
        }
    };
    Value::Object(members.into_iter().map(place).collect())
}

// Words in one text are a list where one is expected.
fn listed(key: &str, value: Value) -> Value {
    match value {
        Value::String(text) if !matches!(key, "pull" | "no-cache" | "contexts") => {
            Value::Array(text.split_whitespace().map(Value::from).collect())
        }
        other => other,
    }
}

// A map, or a list of `name=value`; a name alone is looked up, and left out where nothing is found.
fn paired(value: &Yaml, separator: char, look: impl Fn(&str) -> Option<String>) -> Value {
    let pair = |name: &str, value: Option<Value>| {
        let value = value.filter(|value| !value.is_null()).or_else(|| look(name).map(Value::String))?;
        Some((name.to_owned(), value))
    };
    match value {
        Yaml::Mapping(members) => Value::Object(
            members
                .iter()
                .filter_map(|(key, value)| pair(key.as_str().unwrap_or_default(), Some(hcl_value(value))))
                .collect(),
        ),
        Yaml::Sequence(items) => {
            let item = |item: &Yaml| {
                let text = item.as_str()?;
                match text.split_once(separator) {
                    Some((name, value)) => pair(name, Some(value.into())),
                    None => pair(text, None),
                }
            };
            Value::Object(items.iter().filter_map(item).collect())
        }
        _ => Value::Object(hcl::Map::new()),
    }
}

fn hcl_value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => (*value).into(),
        Yaml::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Yaml::String(text) => text.as_str().into(),
        Yaml::Sequence(items) => Value::Array(items.iter().map(hcl_value).collect()),
        Yaml::Mapping(members) => {
            let member = |(key, value): (&Yaml, &Yaml)| {
                (key.as_str().unwrap_or_default().to_owned(), hcl_value(value))
            };
            Value::Object(members.iter().map(member).collect())
        }
        Yaml::Tagged(tagged) => hcl_value(&tagged.value),
    }
}

// Maps deep, lists appended, all else replaced.
fn merge(own: &mut Mapping, other: Mapping) {
    for (key, value) in other {
        match (own.get_mut(&key), value) {
            (Some(Yaml::Mapping(old)), Yaml::Mapping(new)) => merge(old, new),
            (Some(Yaml::Sequence(old)), Yaml::Sequence(new)) => old.extend(new),
            (_, value) => _ = own.insert(key, value),
        }
    }
}

fn interpolate(yaml: &mut Yaml, options: &Options<'_>) -> Result<(), String> {
    match yaml {
        Yaml::String(text) if text.contains('$') => *text = interpolated(text, options, 0)?,
        Yaml::Sequence(items) => items.iter_mut().try_for_each(|item| interpolate(item, options))?,
        Yaml::Mapping(members) => {
            members.iter_mut().try_for_each(|(_, value)| interpolate(value, options))?
        }
        Yaml::Tagged(tagged) => interpolate(&mut tagged.value, options)?,
        _ => {}
    }
    Ok(())
}

// $v ${v} ${v:-default} ${v-default} ${v:?error} ${v?error} ${v:+other} ${v+other}, nested; $$ is a dollar.
fn interpolated(text: &str, options: &Options<'_>, depth: usize) -> Result<String, String> {
    if depth > 20 {
        return Err(format!("variables are nested too deep in {text:?}"));
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        rest = match after.chars().next() {
            Some('$') => {
                result.push('$');
                &after[1..]
            }
            Some('{') => {
                let end = closing(after)
                    .ok_or_else(|| format!("invalid interpolation format for {text:?}: a }} is missing"))?;
                result.push_str(&braced(&after[1..end], options, depth)?);
                &after[end + 1..]
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                let end = after.find(|c| !word(c)).unwrap_or(after.len());
                result.push_str(&(options.variable)(&after[..end]).unwrap_or_default());
                &after[end..]
            }
            _ => return Err(format!("invalid interpolation format for {text:?}: use $$ for a dollar")),
        };
    }
    result.push_str(rest);
    Ok(result)
}

// Where the brace that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

fn braced(inner: &str, options: &Options<'_>, depth: usize) -> Result<String, String> {
    let end = inner.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
    let (name, operation) = inner.split_at(end);
    if name.is_empty() {
        return Err(format!("invalid interpolation format: ${{{inner}}}"));
    }
    let value = (options.variable)(name);
    let (with_colon, operation) = operation.strip_prefix(':').map_or((false, operation), |rest| (true, rest));
    let set = value.clone().filter(|value| !(with_colon && value.is_empty()));
    let Some(operator) = operation.chars().next() else { return Ok(value.unwrap_or_default()) };
    let argument = || interpolated(&operation[1..], options, depth + 1);
    match (operator, set) {
        ('-', Some(value)) | ('?', Some(value)) => Ok(value),
        ('-', None) | ('+', Some(_)) => argument(),
        ('+', None) => Ok(String::new()),
        ('?', None) => Err(format!("required variable {name} is missing a value: {}", argument()?)),
        _ => Err(format!("invalid interpolation format: ${{{inner}}}")),
    }
}
