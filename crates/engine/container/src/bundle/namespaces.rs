//! Namespaces and the kernel parameters in them.

use hull_api_types::HostConfig;
use hull_types::oci::runtime::Namespace;
use std::collections::BTreeMap;

/// Which namespace of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Join {
    /// A new one.
    #[default]
    Own,
    /// The host's.
    Host,
    /// The one at this path.
    Path(String),
}

/// The namespaces that may be another's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespacePlan {
    /// Network.
    pub network: Join,
    /// Process ids.
    pub pid: Join,
    /// System V IPC and message queues.
    pub ipc: Join,
}

/// The namespaces of the specification.
pub fn namespaces(host: &HostConfig, plan: &NamespacePlan) -> Vec<Namespace> {
    let mut list = vec![Namespace { kind: "mount".into(), path: String::new() }];
    let mut add = |kind: &str, join: &Join| match join {
        Join::Own => list.push(Namespace { kind: kind.into(), path: String::new() }),
        Join::Path(path) => list.push(Namespace { kind: kind.into(), path: path.clone() }),
        Join::Host => {}
    };
    add("network", &plan.network);
    add("uts", if host.uts_mode == "host" { &Join::Host } else { &Join::Own });
    add("pid", &plan.pid);
    add("ipc", &plan.ipc);
    add("cgroup", if host.cgroupns_mode == "private" { &Join::Own } else { &Join::Host });
    list
}

/// The kernel parameters: Docker's two that let any user ping and bind low ports inside, and the request's.
pub fn sysctls(host: &HostConfig) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if host.network_mode != "host" && !host.network_mode.starts_with("container:") {
        all.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        all.insert("net.ipv4.ping_group_range".into(), "0 2147483647".into());
    }
    for (name, value) in host.sysctls.iter().flatten() {
        all.insert(name.clone(), value.clone());
    }
    all
}
