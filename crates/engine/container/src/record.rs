//! What is kept of a container: the intent ([`ContainerSpec`]) and the fact ([`State`]).
//!
//! They are two rows, since the first hardly ever changes and the second changes with every start and exit.

use crate::spec::MountSpec;
use hull_api_types::{ContainerConfig, EndpointSettings, Health, HostConfig, Map, PortMap};
use hull_types::{ChainId, Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// What a container is to be. Validated once, when it was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without a slash.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// The image as the request named it.
    pub image_name: String,
    /// The image.
    pub image: Digest,
    /// The image's topmost layer; none for an image without layers.
    pub top: Option<ChainId>,
    /// The container's configuration with the image's merged in.
    pub config: ContainerConfig,
    /// The part that is about this host, with defaults filled in.
    pub host_config: HostConfig,
    /// Networks to be in, by the names of the request, with what was asked of each.
    #[serde(default)]
    pub networks: Map<EndpointSettings>,
    /// Everything mounted beside what every container has.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
}

impl ContainerSpec {
    /// The program: first word of the entrypoint, or of the command.
    pub fn path(&self) -> &str {
        self.words().next().map_or("", String::as_str)
    }
    /// Its arguments.
    pub fn args(&self) -> Vec<String> {
        self.words().skip(1).cloned().collect()
    }
    /// Entrypoint and command.
    pub fn words(&self) -> impl Iterator<Item = &String> {
        self.config.entrypoint.iter().flatten().chain(self.config.cmd.iter().flatten())
    }
    /// Whether its network is the host's or another container's.
    pub fn has_own_network(&self) -> bool {
        self.host_config.network_mode != "host" && !self.host_config.network_mode.starts_with("container:")
    }
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Never started.
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It exited and will be started again.
    Restarting,
    /// It is being removed.
    Removing,
    /// Its process ended.
    Exited,
    /// Its removal failed half way.
    Dead,
}

impl Phase {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
    /// Whether there is a process.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What a container is, now or when the daemon last knew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where it is in its life.
    pub phase: Phase,
    /// The process on the host; 0 where there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub pid: i32,
    /// Of the last exit.
    #[serde(skip_serializing_if = "is_default")]
    pub exit_code: i64,
    /// Why the last start failed, or the exit is not known.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// Whether the kernel killed a process of it for want of memory.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_killed: bool,
    /// The last start.
    pub started_at: Timestamp,
    /// The last exit.
    pub finished_at: Timestamp,
    /// Automatic restarts since the last start by hand.
    #[serde(skip_serializing_if = "is_default")]
    pub restart_count: i64,
    /// Whether a person stopped it: `unless-stopped` minds.
    #[serde(skip_serializing_if = "is_default")]
    pub manually_stopped: bool,
    /// Its place in the networks while it runs.
    #[serde(skip_serializing_if = "is_default")]
    pub network: NetworkState,
    /// The health check's findings.
    #[serde(skip_serializing_if = "is_default")]
    pub health: Option<Health>,
}

/// A running container's place in the networks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkState {
    /// A random id.
    pub sandbox_id: String,
    /// By network name.
    pub endpoints: Map<EndpointSettings>,
    /// As published.
    pub ports: PortMap,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
