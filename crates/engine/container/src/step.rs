//! What a step of a build asks for.

use crate::bundle::ResolvedMount;
use bytes::Bytes;
use hull_api_types::{ContainerConfig, HostConfig};
use hull_types::ChainId;

/// A process to run on a fresh snapshot.
#[derive(Debug, Clone)]
pub struct Step {
    /// 64 hexadecimal digits; the key of the snapshot, which is made here and, when the process has ended, is the
    /// caller's to diff and to remove.
    pub id: String,
    /// The layers that it runs on.
    pub top: Option<ChainId>,
    /// Program, environment, user and directory.
    pub config: ContainerConfig,
    /// Limits, network mode, security options.
    pub host_config: HostConfig,
    /// What is mounted besides what every container has.
    pub mounts: Vec<ResolvedMount>,
}

/// A piece of what it writes.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// Whether it came by standard error.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepExit {
    /// The exit code; 128 and the signal's number for one that was killed.
    pub code: i64,
    /// Whether memory ran out.
    pub oom_killed: bool,
}
