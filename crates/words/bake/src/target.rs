//! A target: its attributes, how they are merged, overridden and printed.

use crate::arguments::Entry;
use crate::error::{Error, Result};
use crate::evaluate::{self, go_bool, kind_of};
use hcl::Value;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// What a `target` block asks for. An attribute that no file sets is empty or none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Target {
    /// For people.
    pub description: Option<String>,
    /// Targets whose attributes this one has too; empty in a plan.
    pub inherits: Vec<String>,
    /// `--annotation`.
    pub annotations: Vec<String>,
    /// `--attest`.
    pub attest: Vec<Entry>,
    /// The context: a directory, a URL, `target:NAME`…
    pub context: Option<String>,
    /// `--build-context`: name → where.
    pub contexts: BTreeMap<String, String>,
    /// The Dockerfile's path.
    pub dockerfile: Option<String>,
    /// The Dockerfile itself.
    pub dockerfile_inline: Option<String>,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--tag`.
    pub tags: Vec<String>,
    /// `--cache-from`.
    pub cache_from: Vec<Entry>,
    /// `--cache-to`.
    pub cache_to: Vec<Entry>,
    /// `--target`: the stage.
    pub target: Option<String>,
    /// `--secret`.
    pub secret: Vec<Entry>,
    /// `--ssh`.
    pub ssh: Vec<Entry>,
    /// `--platform`.
    pub platforms: Vec<String>,
    /// `--output`.
    pub output: Vec<Entry>,
    /// `--pull`.
    pub pull: Option<bool>,
    /// `--no-cache`.
    pub no_cache: Option<bool>,
    /// `--network`.
    pub network: Option<String>,
    /// `--no-cache-filter`.
    pub no_cache_filter: Vec<String>,
    /// `--shm-size`.
    pub shm_size: Option<String>,
    /// `--ulimit`.
    pub ulimits: Vec<String>,
    /// `--call`.
    pub call: Option<String>,
    /// `--allow`.
    pub entitlements: Vec<String>,
    /// `--add-host`.
    pub extra_hosts: BTreeMap<String, String>,
}

/// A group: names of targets and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// For people.
    pub description: Option<String>,
    /// Its members.
    pub targets: Vec<String>,
}

// The field that a value without `=` stands for.
const CACHE_ALONE: &str = "ref";
const OUTPUT_ALONE: &str = "dest";
const SECRET_ALONE: &str = "id";

impl Target {
    /// Sets an attribute from a file's value.
    pub(crate) fn set(&mut self, attribute: &str, value: Value) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        match attribute {
            "description" => self.description = Some(evaluate::text(&value)?),
            "inherits" => self.inherits = texts(&value)?,
            "annotations" => self.annotations = texts(&value)?,
            "attest" => self.attest = entries(&value, attestation)?,
            "context" => self.context = Some(evaluate::text(&value)?),
            "contexts" => self.contexts = pairs(&value)?,
            "dockerfile" => self.dockerfile = Some(evaluate::text(&value)?),
            "dockerfile-inline" => self.dockerfile_inline = Some(evaluate::text(&value)?),
            "args" => self.args = pairs(&value)?,
            "labels" => self.labels = pairs(&value)?,
            "tags" => self.tags = texts(&value)?,
            "cache-from" => self.cache_from = entries(&value, cache)?,
            "cache-to" => self.cache_to = entries(&value, cache)?,
            "target" => self.target = Some(evaluate::text(&value)?),
            "secret" => self.secret = entries(&value, |value| Entry::read(value, SECRET_ALONE))?,
            "ssh" => self.ssh = entries(&value, ssh)?,
            "platforms" => self.platforms = texts(&value)?,
            "output" => self.output = entries(&value, output)?,
            "pull" => self.pull = Some(evaluate::boolean(&value)?),
            "no-cache" => self.no_cache = Some(evaluate::boolean(&value)?),
            "network" => self.network = Some(evaluate::text(&value)?),
            "no-cache-filter" => self.no_cache_filter = texts(&value)?,
            "shm-size" => self.shm_size = Some(evaluate::text(&value)?),
            "ulimits" => self.ulimits = texts(&value)?,
            "call" => self.call = Some(evaluate::text(&value)?),
            "entitlements" => self.entitlements = texts(&value)?,
            "extra-hosts" => self.extra_hosts = pairs(&value)?,
            _ => return Err("unknown attribute".into()),
        }
        Ok(())
    }

    /// What `other` sets goes over this one; some lists are joined, as the reference of bake files says.
    pub(crate) fn merge(&mut self, other: Target) {
        over(&mut self.description, other.description);
        over(&mut self.context, other.context);
        over(&mut self.dockerfile, other.dockerfile);
        over(&mut self.dockerfile_inline, other.dockerfile_inline);
        over(&mut self.target, other.target);
        over(&mut self.pull, other.pull);
        over(&mut self.no_cache, other.no_cache);
        over(&mut self.network, other.network);
        over(&mut self.shm_size, other.shm_size);
        over(&mut self.call, other.call);
        replace(&mut self.tags, other.tags);
        replace(&mut self.platforms, other.platforms);
        replace(&mut self.cache_to, other.cache_to);
        replace(&mut self.output, other.output);
        self.contexts.extend(other.contexts);
        self.args.extend(other.args);
        self.labels.extend(other.labels);
        self.extra_hosts.extend(other.extra_hosts);
        self.inherits.extend(other.inherits);
        self.annotations.extend(other.annotations);
        self.cache_from.extend(other.cache_from);
        self.no_cache_filter.extend(other.no_cache_filter);
        self.ulimits.extend(other.ulimits);
        self.entitlements.extend(other.entitlements);
        by(&mut self.attest, other.attest, "type");
        by(&mut self.secret, other.secret, "id");
        by(&mut self.ssh, other.ssh, "id");
    }

    /// Removes what stands twice, and what is empty.
    pub(crate) fn normalize(&mut self) {
        if self.network.as_deref() == Some("host") {
            self.entitlements.push("network.host".into());
        }
        for list in [
            &mut self.annotations,
            &mut self.tags,
            &mut self.platforms,
            &mut self.no_cache_filter,
            &mut self.ulimits,
            &mut self.entitlements,
        ] {
            distinct(list);
            list.retain(|item| !item.is_empty());
        }
        distinct(&mut self.cache_from);
        distinct(&mut self.cache_to);
        distinct(&mut self.output);
        self.contexts.retain(|_, place| !place.is_empty());
    }

    /// Sets what a `--set` says: `key` without the target, and its values in the order given.
    pub(crate) fn override_with(&mut self, key: &str, append: bool, values: &[String]) -> Result<()> {
        let last = values.last().cloned().unwrap_or_default();
        let (attribute, name) = key.split_once('.').map_or((key, None), |(key, name)| (key, Some(name)));
        let named = || {
            name.map(str::to_owned).ok_or_else(|| {
                Error::Override(format!(
                    "invalid format for {attribute}, expecting {attribute}.<name>=<value>"
                ))
            })
        };
        let as_bool = || {
            let invalid = || Error::Override(format!("invalid value {last} for boolean key {attribute}"));
            go_bool(&last).ok_or_else(invalid)
        };
        let read = |parse: fn(&Value) -> Result<Entry, String>| {
            let parsed = values.iter().map(|value| parse(&Value::from(value.as_str())));
            parsed.collect::<Result<Vec<_>, _>>().map_err(Error::Override)
        };
        match attribute {
            "context" => self.context = Some(last),
            "dockerfile" => self.dockerfile = Some(last),
            "target" => self.target = Some(last),
            "call" => self.call = Some(last),
            "shm-size" => self.shm_size = Some(last),
            "network" => self.network = Some(last),
            "args" => _ = self.args.insert(named()?, last),
            "contexts" => _ = self.contexts.insert(named()?, last),
            "labels" => _ = self.labels.insert(named()?, last),
            "extra-hosts" => _ = self.extra_hosts.insert(named()?, last),
            "tags" => fill(&mut self.tags, append, values.to_vec()),
            "platform" => fill(&mut self.platforms, append, values.to_vec()),
            "no-cache-filter" => fill(&mut self.no_cache_filter, append, values.to_vec()),
            "ulimits" => fill(&mut self.ulimits, append, values.to_vec()),
            "entitlements" => self.entitlements.extend(values.iter().cloned()),
            "annotations" => self.annotations.extend(values.iter().cloned()),
            "cache-from" => fill(&mut self.cache_from, append, read(cache)?),
            "cache-to" => fill(&mut self.cache_to, append, read(cache)?),
            "output" => fill(&mut self.output, append, read(output)?),
            "secrets" | "secret" => {
                fill(&mut self.secret, append, read(|value| Entry::read(value, SECRET_ALONE))?)
            }
            "ssh" => fill(&mut self.ssh, append, read(ssh)?),
            "attest" => by(&mut self.attest, read(attestation)?, "type"),
            "no-cache" => self.no_cache = Some(as_bool()?),
            "pull" => self.pull = Some(as_bool()?),
            "push" => self.push(as_bool()?),
            "load" => self.load(as_bool()?),
            other => return Err(Error::Override(format!("unknown key: {other}"))),
        }
        Ok(())
    }

    fn push(&mut self, push: bool) {
        if !push {
            self.output.retain(|output| output.get("type") != Some("registry"));
        }
        let value = if push { "true" } else { "false" };
        let images = self.output.iter_mut().filter(|output| output.get("type") == Some("image"));
        images.for_each(|output| output.set("push", value));
        let pushed = |output: &Entry| matches!(output.get("type"), Some("image" | "registry"));
        if push && !self.output.iter().any(pushed) {
            self.output.push(Entry::parse("type=image,push=true", OUTPUT_ALONE));
        }
    }

    fn load(&mut self, load: bool) {
        // One that is written to a file is another matter.
        let loaded = |output: &Entry| output.get("type") == Some("docker") && output.get("dest").is_none();
        if !load {
            self.output.retain(|output| !loaded(output));
        } else if !self.output.iter().any(loaded) {
            self.output.push(Entry::parse("type=docker", OUTPUT_ALONE));
        }
    }

    /// As `--print` shows it, what is not set left out. It can be read as a bake file again.
    pub fn to_json(&self) -> Json {
        let mut json = Map::new();
        let mut put = |key: &str, value: Json| {
            let empty = match &value {
                Json::Null => true,
                Json::Array(items) => items.is_empty(),
                Json::Object(members) => members.is_empty(),
                _ => false,
            };
            if !empty {
                json.insert(key.to_owned(), value);
            }
        };
        let escaped_list =
            |list: &[String]| Json::from(list.iter().map(|item| escaped(item)).collect::<Vec<_>>());
        let escaped_map = |map: &BTreeMap<String, String>| {
            Json::Object(map.iter().map(|(key, value)| (key.clone(), escaped(value).into())).collect())
        };
        let plain_map = |map: &BTreeMap<String, String>| {
            Json::Object(map.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect())
        };
        put("description", self.description.clone().into());
        put("inherits", self.inherits.clone().into());
        put("annotations", escaped_list(&self.annotations));
        put("attest", printed(&self.attest));
        put("context", self.context.clone().into());
        put("contexts", plain_map(&self.contexts));
        put("dockerfile", self.dockerfile.clone().into());
        put("dockerfile-inline", self.dockerfile_inline.as_deref().map(escaped).into());
        put("args", escaped_map(&self.args));
        put("labels", escaped_map(&self.labels));
        put("tags", self.tags.clone().into());
        put("cache-from", printed(&self.cache_from));
        put("cache-to", printed(&self.cache_to));
        put("target", self.target.clone().into());
        put("secret", printed(&self.secret));
        put("ssh", printed(&self.ssh));
        put("platforms", self.platforms.clone().into());
        put("output", printed(&self.output));
        put("pull", self.pull.into());
        put("no-cache", self.no_cache.into());
        put("network", self.network.clone().into());
        put("no-cache-filter", self.no_cache_filter.clone().into());
        put("shm-size", self.shm_size.clone().into());
        put("ulimits", self.ulimits.clone().into());
        put("call", self.call.clone().into());
        put("entitlements", self.entitlements.clone().into());
        put("extra-hosts", escaped_map(&self.extra_hosts));
        Json::Object(json)
    }
}

impl Group {
    /// As `--print` shows it.
    pub fn to_json(&self) -> Json {
        let mut json = Map::new();
        if let Some(description) = &self.description {
            json.insert("description".into(), description.clone().into());
        }
        json.insert("targets".into(), self.targets.clone().into());
        Json::Object(json)
    }
}

// What is printed is read as templates again.
fn escaped(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

fn printed(entries: &[Entry]) -> Json {
    let entry = |Entry(fields): &Entry| {
        Json::Object(fields.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect())
    };
    Json::Array(entries.iter().map(entry).collect())
}

fn over<T>(own: &mut Option<T>, other: Option<T>) {
    if other.is_some() {
        *own = other;
    }
}

fn replace<T>(own: &mut Vec<T>, other: Vec<T>) {
    if !other.is_empty() {
        *own = other;
    }
}

fn fill<T>(own: &mut Vec<T>, append: bool, values: Vec<T>) {
    if !append {
        own.clear();
    }
    own.extend(values);
}

// A later one of the same key stands in the earlier one's place.
fn by(own: &mut Vec<Entry>, other: Vec<Entry>, key: &str) {
    for entry in other {
        match own.iter_mut().find(|old| old.get(key) == entry.get(key)) {
            Some(old) => *old = entry,
            None => own.push(entry),
        }
    }
}

fn distinct<T: PartialEq + Clone>(list: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::new();
    list.retain(|item| {
        let new = !seen.contains(item);
        if new {
            seen.push(item.clone());
        }
        new
    });
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let items =
        value.as_array().ok_or_else(|| format!("list of string required, but have {}", kind_of(value)))?;
    items.iter().filter(|item| !item.is_null()).map(evaluate::text).collect()
}

fn pairs(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let members =
        value.as_object().ok_or_else(|| format!("map of string required, but have {}", kind_of(value)))?;
    let set = members.iter().filter(|(_, value)| !value.is_null());
    set.map(|(key, value)| Ok((key.clone(), evaluate::text(value)?))).collect()
}

fn entries(value: &Value, read: fn(&Value) -> Result<Entry, String>) -> Result<Vec<Entry>, String> {
    let items = value.as_array().ok_or_else(|| format!("list required, but have {}", kind_of(value)))?;
    items.iter().filter(|item| !item.is_null()).map(read).collect()
}

// A name alone is an image in a registry.
fn cache(value: &Value) -> Result<Entry, String> {
    let mut entry = Entry::read(value, CACHE_ALONE)?;
    if entry.get("type").is_none() {
        entry.0.insert(0, ("type".into(), "registry".into()));
    }
    Ok(entry)
}

// A path alone is a directory; `-` a tar on standard output.
fn output(value: &Value) -> Result<Entry, String> {
    let mut entry = Entry::read(value, OUTPUT_ALONE)?;
    if entry.get("type").is_none() {
        let kind = if entry.get("dest") == Some("-") { "tar" } else { "local" };
        entry.0.insert(0, ("type".into(), kind.into()));
    }
    Ok(entry)
}

// `default` or `id=path[,path]`, not fields.
fn ssh(value: &Value) -> Result<Entry, String> {
    let Value::String(text) = value else { return Entry::read(value, "id") };
    let mut entry = Entry::default();
    let (id, paths) = text.split_once('=').map_or((text.as_str(), None), |(id, paths)| (id, Some(paths)));
    entry.set("id", id);
    if let Some(paths) = paths {
        entry.set("paths", paths);
    }
    Ok(entry)
}

fn attestation(value: &Value) -> Result<Entry, String> {
    let entry = Entry::read(value, "type")?;
    if entry.get("type").is_none() {
        return Err("an attestation needs a type: type=sbom or type=provenance".into());
    }
    Ok(entry)
}
