//! From a container's specification and what this start found out, to the bundle's `config.json`: pure.
//!
//! Whatever needs the machine (device numbers, users, other containers' namespaces) is resolved before and handed in
//! with [`Resolved`].

mod capabilities;
mod devices;
mod mounts;
mod namespaces;
mod process;
mod resources;

pub use capabilities::{DEFAULT_CAPABILITIES, capability_sets};
pub use devices::{default_rules, parse_rule as parse_device_rule};
pub use mounts::{ResolvedMount, ShmSource, Source, tmpfs_options};
pub use namespaces::{Join, NamespacePlan};
pub use process::{environment, exec_process};
pub use resources::{BlockDevices, resources};

use crate::cdi;
use crate::record::ContainerSpec;
use crate::spec::SecurityOptions;
use crate::user::User;
use hull_api_types::Ulimit;
use hull_types::oci::runtime as oci;
use std::path::PathBuf;

/// What a container cannot read, unless it is privileged.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What a container cannot write, unless it is privileged.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What this start found out.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Who the process runs as.
    pub user: User,
    /// The host name that it sees.
    pub hostname: String,
    /// The namespaces that are not its own.
    pub namespaces: NamespacePlan,
    /// Mounts of the specification, with sources on the host.
    pub mounts: Vec<ResolvedMount>,
    /// `/etc/resolv.conf`, `/etc/hostname` and `/etc/hosts` on the host.
    pub network_files: [PathBuf; 3],
    /// `/dev/shm`.
    pub shm: ShmSource,
    /// Device nodes beside the ones that every container has.
    pub devices: Vec<oci::Device>,
    /// Rules for them.
    pub device_rules: Vec<oci::DeviceCgroup>,
    /// What devices change that were asked for by name.
    pub device_edits: cdi::Edits,
    /// Numbers of the block devices that limits name.
    pub block_devices: BlockDevices,
    /// The system call filter.
    pub seccomp: Option<oci::Seccomp>,
    /// What `--security-opt` says.
    pub security: SecurityOptions,
    /// Capabilities that can be given at all.
    pub grantable: Vec<String>,
    /// Further paths to mask, that depend on the machine.
    pub masked_here: Vec<String>,
    /// The daemon's limits.
    pub default_ulimits: Vec<Ulimit>,
    /// Whether set-user-id programs gain nothing by default.
    pub no_new_privileges: bool,
    /// The cgroup's path.
    pub cgroups_path: String,
    /// Variables about linked containers; the container's own come before them.
    pub link_environment: Vec<String>,
    /// The init's program on the host, if the container gets one.
    pub init: Option<PathBuf>,
    /// The terminal's first size, rows and columns.
    pub console_size: Option<(u32, u32)>,
}

/// The bundle's configuration.
pub fn oci_spec(spec: &ContainerSpec, resolved: &Resolved) -> oci::Spec {
    let host = &spec.host_config;
    let own_uts = host.uts_mode != "host";
    let mut document = oci::Spec {
        oci_version: oci::VERSION.into(),
        process: Some(process::first_process(spec, resolved)),
        root: Some(oci::Root { path: "rootfs".into(), readonly: host.readonly_rootfs }),
        hostname: if own_uts { resolved.hostname.clone() } else { String::new() },
        domainname: if own_uts { spec.config.domainname.clone() } else { String::new() },
        mounts: mounts::mounts(spec, resolved),
        hooks: None,
        annotations: host.annotations.clone().unwrap_or_default(),
        linux: Some(linux(spec, resolved)),
    };
    resolved.device_edits.apply(&mut document);
    document
}

fn linux(spec: &ContainerSpec, resolved: &Resolved) -> oci::Linux {
    let host = &spec.host_config;
    let mut limits = resources(&host.resources, &resolved.block_devices);
    limits.devices = if host.privileged {
        vec![oci::DeviceCgroup { allow: true, access: "rwm".into(), ..Default::default() }]
    } else {
        default_rules().into_iter().chain(resolved.device_rules.iter().cloned()).collect()
    };
    let mut masked = host.masked_paths.clone().unwrap_or_default();
    if !masked.is_empty() {
        masked.extend(resolved.masked_here.iter().cloned());
    }
    oci::Linux {
        namespaces: namespaces::namespaces(host, &resolved.namespaces),
        sysctl: namespaces::sysctls(host),
        cgroups_path: resolved.cgroups_path.clone(),
        resources: Some(limits),
        devices: resolved.devices.clone(),
        seccomp: resolved.seccomp.clone(),
        rootfs_propagation: mounts::root_propagation(&resolved.mounts).into(),
        masked_paths: masked,
        readonly_paths: host.readonly_paths.clone().unwrap_or_default(),
        ..oci::Linux::default()
    }
}

#[cfg(test)]
mod tests;
