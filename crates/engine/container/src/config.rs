//! What the daemon tells the container engine about this machine and its operator's wishes.

use hull_api_types::{Map, Ulimit};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The runtime that is there without configuration.
pub const BUILT_IN_RUNTIME: &str = "hull";
/// What Docker's clients call the default runtime by its shim; accepted as the default.
pub const DEFAULT_RUNTIME_ALIAS: &str = "io.containerd.runc.v2";

/// An OCI runtime of the operator's (`--add-runtime`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeSpec {
    /// Its program.
    pub path: PathBuf,
    /// Options before its verb.
    pub args: Vec<String>,
}

/// The daemon's configuration, as far as containers are concerned.
#[derive(Debug, Clone)]
pub struct ContainersConfig {
    /// Where what outlives a reboot is: logs below `containers/<id>/`.
    pub data_root: PathBuf,
    /// Where what ends with a reboot is (tmpfs): bundles below `containers/<id>/`, runtime state below `runtime/`.
    pub exec_root: PathBuf,
    /// The `hull-runtime` program.
    pub runtime_binary: PathBuf,
    /// Runtimes beside the built-in one, by name.
    pub runtimes: BTreeMap<String, RuntimeSpec>,
    /// The runtime of containers that ask for none.
    pub default_runtime: String,
    /// The cgroup below which containers are, such as `/hull`.
    pub cgroup_parent: String,
    /// Size of `/dev/shm` in bytes where a container asks for none.
    pub default_shm_size: i64,
    /// Resource limits of containers that ask for none of that name.
    pub default_ulimits: Vec<Ulimit>,
    /// Log driver of containers that ask for none.
    pub log_driver: String,
    /// Its options.
    pub log_opts: Map<String>,
    /// Whether containers get an init by default.
    pub init: bool,
    /// Seconds between a container's stop signal and its kill.
    pub stop_timeout: i64,
    /// `private`, `shareable` or `host`.
    pub default_ipc_mode: String,
    /// `private`, `host`, or empty for the host's usual one: `host` on cgroup v1, `private` on v2.
    pub default_cgroupns_mode: String,
    /// Whether set-user-id programs gain nothing in any container by default.
    pub no_new_privileges: bool,
    /// A seccomp profile in place of the built-in default; the word `unconfined` means none.
    pub seccomp_profile: Option<PathBuf>,
    /// Where devices are described that are asked for by name.
    pub cdi_spec_dirs: Vec<PathBuf>,
}

impl Default for ContainersConfig {
    fn default() -> Self {
        Self {
            data_root: "/var/lib/hull".into(),
            exec_root: "/run/hull".into(),
            runtime_binary: "/usr/local/bin/hull-runtime".into(),
            runtimes: BTreeMap::new(),
            default_runtime: BUILT_IN_RUNTIME.into(),
            cgroup_parent: "/hull".into(),
            default_shm_size: 64 << 20,
            default_ulimits: Vec::new(),
            log_driver: "json-file".into(),
            log_opts: Map::new(),
            init: false,
            stop_timeout: 10,
            default_ipc_mode: "private".into(),
            default_cgroupns_mode: String::new(),
            no_new_privileges: false,
            seccomp_profile: None,
            cdi_spec_dirs: ["/etc/cdi", "/var/run/cdi"].map(PathBuf::from).to_vec(),
        }
    }
}
