//! Legacy links (`--link name:alias` on the default bridge): lines in the hosts file, which follow the other container
//! when it starts anew, variables, and a name of the other container: `own/alias`.
//!
//! A record has them as `id:alias`, so that they outlive the other's renaming.

use super::{Published, Supervisor, hosts};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::ContainerSpec;
use hull_api_types::HostConfig;
use hull_network::Link;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Links mean something on the default bridge alone: networks with names have links of their own, as settings of the
/// endpoint.
fn are_legacy(host: &HostConfig) -> bool {
    matches!(host.network_mode.as_str(), "" | "default" | "bridge")
}

/// A container's links: the other's id and the alias.
fn links(spec: &ContainerSpec) -> impl Iterator<Item = (&str, &str)> {
    let texts = spec.host_config.links.iter().flatten().filter(|_| are_legacy(&spec.host_config));
    texts.map(|text| text.split_once(':').unwrap_or((text, text)))
}

/// Finds the containers that are linked to, and writes the links as records have them.
pub(crate) fn resolve(engine: &Engine, host: &mut HostConfig) -> Result<()> {
    if !are_legacy(host) {
        return Ok(());
    }
    for text in host.links.iter_mut().flatten() {
        let (name, alias) = text.split_once(':').unwrap_or((text, text));
        let alias = alias.rsplit('/').next().unwrap_or(alias);
        let found = engine.published(name).map_err(|error| {
            // At a 404 here clients would look for the image.
            Error::invalid(format!("could not get container for {name}: {error}"))
        })?;
        *text = format!("{}:{alias}", found.spec.id);
    }
    Ok(())
}

/// What a container's name is to others, or what is left of it where it is gone.
fn name_of(engine: &Engine, id: &str) -> String {
    engine.published(id).map_or_else(|_| Engine::short(id).to_owned(), |found| found.spec.name.clone())
}

/// The host configuration with the links as inspect shows them: `/other:/own/alias`.
pub(crate) fn shown(engine: &Engine, spec: &ContainerSpec) -> HostConfig {
    let mut host = spec.host_config.clone();
    if are_legacy(&host) && host.links.is_some() {
        let shown = |(id, alias)| format!("/{}:/{}/{alias}", name_of(engine, id), spec.name);
        host.links = Some(links(spec).map(shown).collect());
    }
    host
}

/// The names that links give containers: id → `/own/alias`.
pub(crate) fn names_of_all<'a>(
    all: impl Iterator<Item = &'a ContainerSpec>,
) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for spec in all {
        for (id, alias) in links(spec) {
            names.entry(id.to_owned()).or_default().push(format!("/{}/{alias}", spec.name));
        }
    }
    names
}

/// The id of the container that this one knows by that alias.
pub(crate) fn target<'a>(spec: &'a ContainerSpec, alias: &str) -> Option<&'a str> {
    links(spec).find(|(_, known)| *known == alias).map(|(id, _)| id)
}

/// The containers that are linked to, with their aliases. They have to run.
fn linked(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<(Arc<Published>, String)>> {
    links(spec)
        .map(|(id, alias)| match engine.published(id) {
            Ok(other) if other.state.phase.is_live() => Ok((other, alias.to_owned())),
            _ => Err(Error::conflict(format!(
                "Cannot link to a non running container: /{} AS /{}/{alias}",
                name_of(engine, id),
                spec.name
            ))),
        })
        .collect()
}

/// The names of the hosts file's lines.
fn names(other: &ContainerSpec, alias: &str) -> Vec<String> {
    let mut names = vec![alias.to_owned(), other.config.hostname.clone()];
    if alias != other.name {
        names.push(other.name.clone());
    }
    names
}

/// Whether the names of a line are those of a link; the other may have been renamed since.
fn are_names(known: &str, other: &ContainerSpec, alias: &str) -> bool {
    let lasting = known.strip_prefix(&format!("{alias} {}", other.config.hostname));
    lasting.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// What the networks have to know of them.
pub(super) fn of(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<Link>> {
    let link = |(other, alias): (Arc<Published>, String)| {
        if !other.state.network.endpoints.contains_key("bridge") {
            return Err(Error::conflict(format!(
                "Cannot link to /{}, as it does not belong to the default network",
                other.spec.name
            )));
        }
        Ok(Link { container_id: other.spec.id.clone(), names: names(&other.spec, &alias) })
    };
    linked(engine, spec)?.into_iter().map(link).collect()
}

/// Its addresses on the default bridge, IPv4 first.
fn bridge_addresses(other: &Published) -> Vec<String> {
    let endpoint = other.state.network.endpoints.get("bridge");
    endpoint.map(hosts::addresses).unwrap_or_default()
}

/// The variables about them: `ALIAS_PORT_80_TCP` and so on.
pub(super) fn environment(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (other, alias) in linked(engine, spec)? {
        if let Some(address) = bridge_addresses(&other).first() {
            variables(&other.spec, &spec.name, &alias, address, &mut all);
        }
    }
    Ok(all)
}

fn variables(other: &ContainerSpec, own: &str, alias: &str, address: &str, all: &mut Vec<String>) {
    let prefix = alias.to_uppercase().replace('-', "_");
    let ports = other.config.exposed_ports.iter().flat_map(|set| set.keys());
    let mut ports: Vec<(&str, u16)> = ports
        .filter_map(|text| {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            Some((protocol, port.parse().ok()?))
        })
        .collect();
    ports.sort_by_key(|&(protocol, port)| (protocol != "tcp", protocol.to_owned(), port));
    for (index, (protocol, port)) in ports.iter().enumerate() {
        if index == 0 {
            all.push(format!("{prefix}_PORT={protocol}://{address}:{port}"));
        }
        let name = format!("{prefix}_PORT_{port}_{}", protocol.to_uppercase());
        all.push(format!("{name}={protocol}://{address}:{port}"));
        all.push(format!("{name}_ADDR={address}"));
        all.push(format!("{name}_PORT={port}"));
        all.push(format!("{name}_PROTO={protocol}"));
    }
    all.push(format!("{prefix}_NAME=/{own}/{alias}"));
    for entry in other.config.env.iter().flatten() {
        if let Some((name, value)) =
            entry.split_once('=').filter(|(name, _)| !matches!(*name, "HOME" | "PATH"))
        {
            all.push(format!("{prefix}_ENV_{name}={value}"));
        }
    }
}

/// The container has started: those that run and are linked to it get its addresses into their hosts files.
pub(super) fn follow(engine: &Engine, started: &Published) {
    let addresses = bridge_addresses(started);
    if addresses.is_empty() {
        return;
    }
    for other in engine.all().into_iter().filter(|other| other.state.phase.is_live()) {
        for (_, alias) in links(&other.spec).filter(|(id, _)| *id == started.spec.id) {
            let lines = hosts::lines(&addresses, &names(&started.spec, alias).join(" "));
            let is_old = |_: &str, known: &str| are_names(known, &started.spec, alias);
            hosts::change(engine, &other.spec.id, is_old, &lines);
        }
    }
}

impl Supervisor {
    /// Forgets the other container of that alias.
    pub(super) fn unlink(&mut self, alias: &str) -> Result<()> {
        let mut spec = (*self.spec).clone();
        let is_it = |text: &String| text.split_once(':').is_some_and(|(_, known)| known == alias);
        spec.host_config.links.iter_mut().for_each(|list| list.retain(|text| !is_it(text)));
        if self.live.is_some()
            && let Some(other) = target(&self.spec, alias).and_then(|id| self.engine.published(id).ok())
        {
            let is_its = |_: &str, known: &str| are_names(known, &other.spec, alias);
            hosts::change(&self.engine, &self.spec.id, is_its, &[]);
        }
        self.spec = Arc::new(spec);
        self.write_spec()?;
        self.record();
        Ok(())
    }
}
