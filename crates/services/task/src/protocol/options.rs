//! What a container is created with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hull_types::Rootfs;
use serde::Serialize;

/// What the shim needs to create a container. The bundle holds its `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreateOptions {
    /// The container's id.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Where Hull's runtime keeps its state.
    pub state_root: PathBuf,
    /// The root file system; `None` is what `config.json` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Rootfs>,
    /// Images of layers whose mounts come as descriptors with the first bytes of this message, in this order. A shim
    /// that doesn't take them, or gets fewer, mounts its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounted: Vec<PathBuf>,
    /// What another runtime is to mount by a path that nobody can exchange: the shim mounts these for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<MountSource>,
    /// Where output is logged.
    pub log: LogTarget,
    /// What runs the container.
    pub runtime: RuntimeKind,
    /// Whether `config.json` asks for a terminal.
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Whether there is a standard input; otherwise it is `/dev/null`.
    pub stdin_open: bool,
    /// Standard input ends with the first client that ends its own or leaves.
    pub stdin_once: bool,
    /// The first process has a pid namespace of its own: the kernel kills all others with it. Otherwise the
    /// shim does.
    pub own_pid_namespace: bool,
    /// What the container's resolver at 127.0.0.11 is to do (`hull_dns::Settings`); `None` is no resolver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<PathBuf>,
    /// MS_MOVE and chroot in place of pivot_root.
    pub no_pivot: bool,
}

/// A file or directory that the shim mounts for another runtime, in its own mount namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MountSource {
    /// What: a descriptor of the daemon's, under `/proc`.
    pub from: PathBuf,
    /// Where; made for it, in the bundle.
    pub at: PathBuf,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            id: String::new(),
            bundle: PathBuf::new(),
            state_root: PathBuf::new(),
            rootfs: None,
            mounted: Vec::new(),
            sources: Vec::new(),
            log: LogTarget::default(),
            runtime: RuntimeKind::default(),
            terminal: false,
            console_size: None,
            stdin_open: false,
            stdin_once: false,
            own_pid_namespace: true,
            resolver: None,
            no_pivot: false,
        }
    }
}

/// Where output is logged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    None,
    /// To a file, as Docker's `json-file` driver does.
    JsonFile(JsonLog),
}

/// A `json-file` log; the fields of `hull_logs::JsonFileOptions`, which this crate does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct JsonLog {
    /// The current file.
    pub path: PathBuf,
    /// The size from which on it is rotated; `None` is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// How many files there are at most; 0 and 1 are one.
    pub max_file: u32,
    /// Written with every entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
}

/// What runs the container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// Hull's own, within the shim's process.
    #[default]
    Hull,
    /// Another OCI runtime, by its command line.
    Command {
        /// The program.
        path: PathBuf,
        /// Options before the verb.
        options: Vec<String>,
        /// Its `--root`, where it keeps its state.
        root: PathBuf,
    },
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ConsoleSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}
