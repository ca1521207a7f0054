//! Namespace modes: whether they are words that mean something, and whether they go together.

use crate::error::{Error, Result};
use hull_api_types::{ContainerConfig, HostConfig};

/// Whether a container of this network mode has endpoints of its own.
pub fn needs_endpoint(network_mode: &str) -> bool {
    network_mode != "host" && network_mode != "none" && !network_mode.starts_with("container:")
}

fn of_container(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
}

/// Checks all modes.
pub fn check(host: &HostConfig, config: &ContainerConfig) -> Result<()> {
    check_words(host)?;
    check_network(host, config)?;
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return Err(Error::invalid("conflicting options: hostname and the UTS mode"));
    }
    Ok(())
}

fn check_words(host: &HostConfig) -> Result<()> {
    let known = |mode: &str, words: &[&str], joins: bool| {
        words.contains(&mode) || (joins && of_container(mode).is_some_and(|name| !name.is_empty()))
    };
    let invalid = |what: &str, mode: &str| Err(Error::invalid(format!("invalid {what}: {mode}")));
    if !known(&host.pid_mode, &["", "host"], true) {
        return invalid("PID mode", &host.pid_mode);
    }
    if !known(&host.ipc_mode, &["", "none", "private", "shareable", "host"], true) {
        return invalid("IPC mode", &host.ipc_mode);
    }
    if !known(&host.uts_mode, &["", "host"], false) {
        return invalid("UTS mode", &host.uts_mode);
    }
    if !known(&host.userns_mode, &["", "host"], false) {
        return invalid("userns mode", &host.userns_mode);
    }
    if !known(&host.cgroupns_mode, &["", "private", "host"], false) {
        return invalid("cgroup namespace mode", &host.cgroupns_mode);
    }
    if !known(&host.isolation, &["", "default"], false) {
        return Err(Error::invalid(format!("invalid isolation '{}' on linux", host.isolation)));
    }
    Ok(())
}

fn check_network(host: &HostConfig, config: &ContainerConfig) -> Result<()> {
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let conflict = |what: &str| Err(Error::invalid(format!("conflicting options: {what}")));
    if host.network_mode == "host" && some(&host.links) {
        return conflict(
            "host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    let Some(name) = of_container(&host.network_mode) else { return Ok(()) };
    if name.is_empty() {
        return Err(Error::invalid(format!("invalid container format {}", host.network_mode)));
    }
    if !config.hostname.is_empty() {
        return conflict("hostname and the network mode");
    }
    if some(&host.links) {
        return conflict(
            "container type network can't be used with links. This would result in undefined behavior",
        );
    }
    if some(&host.dns) {
        return conflict("dns and the network mode");
    }
    if some(&host.extra_hosts) {
        return conflict("custom host-to-IP mapping and the network mode");
    }
    if !config.mac_address.is_empty() {
        return conflict("mac-address and the network mode");
    }
    if !host.port_bindings.is_empty() || host.publish_all_ports {
        return conflict("port publishing and the container type network mode");
    }
    Ok(())
}
