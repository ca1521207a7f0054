//! From a request to a container's specification: pure, and done once.
//!
//! `ContainerCreateRequest + image's configuration + daemon's defaults → Plan`. Everything that can be told to be
//! wrong without touching the machine is told here, in Docker's words.

mod id_map;
mod limits;
pub use limits::ULIMITS;
mod merge;
mod mode;
mod mounts;
mod name;
mod ports;
mod security;
mod validate;

pub use id_map::IdMap;
pub use limits::check_resources;
pub use mounts::{MountKind, MountSpec, VolumeSource, clean, lent, parse_volumes_from};
pub use name::{check_name, random_name};
pub use security::{CAPABILITIES, SeccompChoice, SecurityOptions, parse_security_options};
pub use validate::check_restart_policy;

use crate::config::{BUILT_IN_RUNTIME, ContainersConfig, DEFAULT_RUNTIME_ALIAS};
use crate::error::{Error, Result};
use hull_api_types::{ContainerConfig, ContainerCreateRequest, EndpointSettings, HostConfig, Map};
use hull_types::oci::image::Execution;

/// What the planning must know of the machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// Online processors.
    pub cpus: u32,
    /// CPUs that a cpuset may name, such as `0-3`.
    pub cpuset_cpus: String,
    /// Memory nodes that a cpuset may name.
    pub cpuset_mems: String,
    /// Whether the cgroups are the unified hierarchy's.
    pub cgroup_v2: bool,
    /// The host's name.
    pub hostname: String,
}

/// A container's specification before it has an id.
#[derive(Debug, Clone)]
pub struct Plan {
    /// With the image's configuration merged in.
    pub config: ContainerConfig,
    /// With defaults filled in.
    pub host_config: HostConfig,
    /// Networks to be in.
    pub networks: Map<EndpointSettings>,
    /// Mounts in the order of their destinations' depth.
    pub mounts: Vec<MountSpec>,
    /// What the client should hear.
    pub warnings: Vec<String>,
}

/// Plans a container. `inherited` are the mounts of `--volumes-from`, in order.
pub fn plan(
    request: ContainerCreateRequest,
    image: &Execution,
    inherited: Vec<MountSpec>,
    config: &ContainersConfig,
    host: &Host,
) -> Result<Plan> {
    let ContainerCreateRequest { config: mut wanted, host_config, networking_config } = request;
    let mut host_config = host_config;
    merge::image_into(&mut wanted, image)?;
    validate::check_config(&wanted)?;
    defaults(&mut host_config, config, host);
    let mut warnings = validate::check_host_config(&host_config, &wanted, config)?;
    warnings.extend(limits::check_resources(&mut host_config.resources, host)?);
    ports::check(&host_config.port_bindings, wanted.exposed_ports.as_ref())?;
    for port in host_config.port_bindings.keys() {
        let exposed = wanted.exposed_ports.get_or_insert_default();
        exposed.entry(ports::with_protocol(port)).or_default();
    }
    let mounts = mounts::plan(&wanted, &host_config, inherited)?;
    let mut networks = networking_config.endpoints_config;
    if networks.is_empty() && mode::needs_endpoint(&host_config.network_mode) {
        networks.insert(host_config.network_mode.clone(), EndpointSettings::default());
    }
    if !wanted.mac_address.is_empty()
        && let Some(endpoint) = networks.get_mut(&host_config.network_mode)
        && endpoint.mac_address.is_empty()
    {
        endpoint.mac_address = wanted.mac_address.clone();
    }
    Ok(Plan { config: wanted, host_config, networks, mounts, warnings })
}

/// Fills in what the request left open, as `docker inspect` shows it.
fn defaults(host_config: &mut HostConfig, config: &ContainersConfig, host: &Host) {
    if host_config.network_mode.is_empty() || host_config.network_mode == "default" {
        host_config.network_mode = "bridge".into();
    }
    if host_config.runtime.is_empty() || host_config.runtime == DEFAULT_RUNTIME_ALIAS {
        host_config.runtime = config.default_runtime.clone();
    }
    if host_config.runtime.is_empty() {
        host_config.runtime = BUILT_IN_RUNTIME.into();
    }
    if host_config.ipc_mode.is_empty() {
        host_config.ipc_mode = config.default_ipc_mode.clone();
    }
    if host_config.cgroupns_mode.is_empty() {
        host_config.cgroupns_mode = default_cgroupns(config, host, host_config.privileged);
    }
    if host_config.shm_size == 0 && !host_config.ipc_mode.starts_with("container:") {
        host_config.shm_size = config.default_shm_size;
    }
    if host_config.log_config.kind.is_empty() {
        host_config.log_config.kind = config.log_driver.clone();
        for (key, value) in &config.log_opts {
            host_config.log_config.config.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if host_config.restart_policy.name.is_empty() {
        host_config.restart_policy.name = "no".into();
    }
    if !host_config.privileged {
        host_config.masked_paths.get_or_insert_with(|| words(&crate::bundle::MASKED_PATHS));
        host_config.readonly_paths.get_or_insert_with(|| words(&crate::bundle::READONLY_PATHS));
    }
    if host_config.resources.memory > 0 && host_config.resources.memory_swap == 0 {
        host_config.resources.memory_swap = host_config.resources.memory * 2;
    }
    // Docker normalizes `CAP_` prefixes and letter case away when it stores them.
    for list in [&mut host_config.cap_add, &mut host_config.cap_drop].into_iter().flatten() {
        for capability in list.iter_mut() {
            *capability = security::capability_name(capability);
        }
    }
}

fn default_cgroupns(config: &ContainersConfig, host: &Host, privileged: bool) -> String {
    match config.default_cgroupns_mode.as_str() {
        "" if host.cgroup_v2 && !privileged => "private".into(),
        "" => "host".into(),
        mode => mode.into(),
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// The runtime that a container's name for it means: `None` is the built-in one.
pub fn runtime_of<'a>(
    name: &str,
    config: &'a ContainersConfig,
) -> Result<Option<&'a crate::config::RuntimeSpec>> {
    if name == BUILT_IN_RUNTIME || name == DEFAULT_RUNTIME_ALIAS {
        return Ok(None);
    }
    match config.runtimes.get(name) {
        Some(runtime) => Ok(Some(runtime)),
        None => Err(Error::invalid(format!("unknown or invalid runtime name: {name}"))),
    }
}
