//! What can go wrong with a cgroup.

use hull_errors::{HasKind, Kind};
use std::io;
use std::path::PathBuf;

/// What went wrong with a cgroup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's mounts could not be read.
    #[error("cgroup: cannot read /proc/self/mountinfo: {0}")]
    Mounts(#[source] io::Error),
    /// No cgroup file system is mounted.
    #[error("cgroup: no cgroup file system is mounted on this host")]
    NotMounted,
    /// The path is not one that may be made.
    #[error("cgroup: invalid path {0:?}: it must be absolute, without \"..\"")]
    InvalidPath(String),
    /// A limit needs a controller that the host does not have.
    #[error("cgroup: cannot set {file}: the {controller} controller is not available on this host")]
    NoController {
        /// The controller.
        controller: String,
        /// The file that would have been written.
        file: String,
    },
    /// A directory could not be made.
    #[error("cgroup: cannot create {path}: {source}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cgroup exists and has processes.
    #[error("cgroup: {0} is in use: it has processes")]
    InUse(PathBuf),
    /// A file could not be written.
    #[error("cgroup: cannot write {value:?} to {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cgroup: cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The memory limit is below what is in use.
    #[error("unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")]
    MemoryBusy {
        /// The limit asked for.
        limit: String,
        /// Bytes in use.
        usage: u64,
        /// Most bytes ever in use.
        peak: u64,
    },
    /// A process could not be moved in.
    #[error("cgroup: cannot add process {pid} to {path}: {source}")]
    Attach {
        /// The process.
        pid: i32,
        /// The cgroup.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Freezing or thawing did not finish.
    #[error("cgroup: {0} did not change between frozen and thawed in time")]
    Freeze(PathBuf),
    /// Neither a unified hierarchy nor a freezer is there.
    #[error("cgroup: this host has no freezer")]
    NoFreezer,
    /// The directory could not be removed.
    #[error("cgroup: cannot remove {path}: {source}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device program could not be loaded or attached.
    #[error("cgroup: cannot set the device rules of {path}: {source}")]
    Devices {
        /// The cgroup.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The systemd driver's paths have a form of their own.
    #[error(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {0:?} instead"
    )]
    UnitPath(String),
    /// systemd did not do what it was asked for.
    #[error("systemd cgroup driver: unit {unit}: {source}")]
    Systemd {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A swap limit without a memory limit means nothing on version 2.
    #[error("cgroup: a swap limit needs a memory limit that is not above it")]
    Swap,
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::InvalidPath(_)
            | Error::UnitPath(_)
            | Error::Swap
            | Error::MemoryBusy { .. }
            | Error::NoController { .. } => Kind::InvalidParameter,
            // The kernel takes no such value: "9999" for cpuset.cpus.
            Error::Write { source, .. }
                if matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) =>
            {
                Kind::InvalidParameter
            }
            Error::InUse(_) => Kind::Conflict,
            _ => Kind::Internal,
        }
    }
}
