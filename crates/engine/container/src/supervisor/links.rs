//! Legacy links (`--link name:alias` on the default bridge): lines in the hosts file, which follow the other container
//! when it starts anew, and variables.

use super::Published;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::ContainerSpec;
use hull_network::Link;
use std::sync::Arc;

/// The running containers that are linked to, with their aliases.
fn linked(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<(Arc<Published>, String)>> {
    let wanted = spec.host_config.links.iter().flatten();
    wanted
        .map(|text| {
            let (name, alias) = text.split_once(':').unwrap_or((text, text));
            let alias = alias.rsplit('/').next().unwrap_or(alias);
            let other = engine
                .published(name)
                .map_err(|_| Error::invalid(format!("could not get container for {name}")))?;
            if !other.state.phase.is_live() {
                return Err(Error::conflict(format!(
                    "Cannot link to a non running container: /{} AS /{}/{alias}",
                    other.spec.name, spec.name
                )));
            }
            Ok((other, alias.to_owned()))
        })
        .collect()
}

fn names(other: &ContainerSpec, alias: &str) -> Vec<String> {
    vec![alias.to_owned(), Engine::short(&other.id).to_owned(), other.name.clone()]
}

/// What the networks have to know of them.
pub(super) fn of(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<Link>> {
    let linked = linked(engine, spec)?.into_iter();
    let link = |(other, alias): (Arc<Published>, String)| Link {
        container_id: other.spec.id.clone(),
        names: names(&other.spec, &alias),
    };
    Ok(linked.map(link).collect())
}

fn bridge_address(other: &Published) -> Option<String> {
    let endpoint = other.state.network.endpoints.get("bridge")?;
    (!endpoint.ip_address.is_empty()).then(|| endpoint.ip_address.clone())
}

/// The variables about them: `ALIAS_PORT_80_TCP` and so on.
pub(super) fn environment(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (other, alias) in linked(engine, spec)? {
        if let Some(address) = bridge_address(&other) {
            variables(&other.spec, &spec.name, &alias, &address, &mut all);
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

/// The container has started: those that run and are linked to it get its address into their hosts files.
pub(super) fn follow(engine: &Engine, started: &Published) {
    let Some(address) = bridge_address(started) else { return };
    for other in engine.all().into_iter().filter(|other| other.state.phase.is_live()) {
        for text in other.spec.host_config.links.iter().flatten() {
            let (name, alias) = text.split_once(':').unwrap_or((text, text));
            if engine.published(name).is_ok_and(|found| found.spec.id == started.spec.id) {
                let alias = alias.rsplit('/').next().unwrap_or(alias);
                let path = engine.bundle(&other.spec.id).join("hosts");
                let line = names(&started.spec, alias).join(" ");
                let Ok(before) = std::fs::read_to_string(&path) else { continue };
                let after = with_address(&before, &line, &address);
                // In place: the container has this very file.
                if after != before
                    && let Err(error) = std::fs::write(&path, after)
                {
                    tracing::warn!(container = %other.spec.id, %error, "cannot update the hosts file of a link");
                }
            }
        }
    }
}

/// A hosts file with that address for the names of a link.
fn with_address(hosts: &str, names: &str, address: &str) -> String {
    let line = |line: &str| match line.split_once('\t') {
        Some((_, found)) if found == names => format!("{address}\t{names}\n"),
        _ => format!("{line}\n"),
    };
    hosts.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_follows() {
        let hosts = "127.0.0.1\tlocalhost\n172.17.0.2\tdb 0123456789ab web\n172.17.0.3\town\n";
        assert_eq!(
            with_address(hosts, "db 0123456789ab web", "172.17.0.9"),
            "127.0.0.1\tlocalhost\n172.17.0.9\tdb 0123456789ab web\n172.17.0.3\town\n"
        );
    }
}
