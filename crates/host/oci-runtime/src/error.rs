//! What can go wrong, by the act that failed.

use hull_errors::{HasKind, Kind};
use hull_types::document::Malformed;
use std::io;
use std::path::PathBuf;

/// What went wrong with a container.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An id that cannot name a directory.
    #[error("invalid container id format: {0:?}")]
    InvalidId(String),
    /// A container of that id is there.
    #[error("container with given ID already exists: {0}")]
    AlreadyExists(String),
    /// No container of that id is there.
    #[error("container {0:?} does not exist")]
    NotFound(String),
    /// The bundle's configuration could not be read.
    #[error("cannot read {path}: {source}")]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bundle's configuration is no JSON of the right shape.
    #[error("cannot parse {path}: {source}")]
    ParseConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Malformed,
    },
    /// The configuration asks for something impossible.
    #[error("invalid configuration: {0}")]
    InvalidConfig(String),
    /// A file of the container's state could not be read or written.
    #[error("container state: {path}: {source}")]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The container's state is damaged.
    #[error("container state: cannot parse {path}: {source}")]
    ParseState {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Malformed,
    },
    /// A namespace that is to be joined could not be opened or entered.
    #[error("unable to start container process: cannot join the {kind} namespace at {path:?}: {source}")]
    JoinNamespace {
        /// Its type.
        kind: String,
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The first process could not be made.
    #[error("unable to start container process: cannot clone: {0}")]
    Clone(#[source] io::Error),
    /// The first process could not be talked to or given what it needs.
    #[error("unable to start container process: {what}: {source}")]
    Prepare {
        /// The act.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step inside the container failed.
    #[error("unable to start container process: error during container init: {0}")]
    Init(String),
    /// The first process ended without a word.
    #[error("unable to start container process: the container's init ended unexpectedly (status {0})")]
    InitDied(i32),
    /// A further process could not be started.
    #[error("exec failed: unable to start container process: {0}")]
    Exec(String),
    /// The cgroup.
    #[error("unable to apply cgroup configuration: {0}")]
    Cgroup(#[from] hull_cgroup::Error),
    /// The system call filter.
    #[error(transparent)]
    Seccomp(#[from] hull_seccomp::Error),
    /// A network interface could not be given to the container.
    #[error("cannot move the network device {0:?} into the container: {1}")]
    NetDevice(String, String),
    /// A class of service could not be made or entered.
    #[error("cannot apply linux.intelRdt: {path}: {source}")]
    Resctrl {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Checkpoints need CRIU.
    #[error("checkpoint and restore need CRIU, which is not installed here: {0} was not found")]
    NoCriu(PathBuf),
    /// CRIU failed.
    #[error("criu failed to {act} the container: {reason} (its log is {log})")]
    Criu {
        /// What it was to do.
        act: &'static str,
        /// What it said.
        reason: String,
        /// Where it said more.
        log: PathBuf,
    },
    /// A hook failed.
    #[error("error running {point} hook #{index}: {reason}")]
    Hook {
        /// When it runs.
        point: &'static str,
        /// Which of them, from 0.
        index: usize,
        /// Why.
        reason: String,
    },
    /// A terminal, pid or pidfd could not be handed out.
    #[error("cannot send the {what} to {path}: {source}")]
    HandOut {
        /// What.
        what: &'static str,
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Only a created container can be started.
    #[error("cannot start a container that has stopped")]
    StartStopped,
    /// Only a created container can be started.
    #[error("cannot start an already running container")]
    StartRunning,
    /// The act needs a running container.
    #[error("container not running")]
    NotRunning,
    /// A paused container takes no new process.
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    Paused,
    /// What is paused already was to be paused.
    #[error("container is already paused")]
    AlreadyPaused,
    /// What is not paused was to go on.
    #[error("container not paused")]
    NotPaused,
    /// A signal could not be sent.
    #[error("cannot send signal {signal} to container {id:?}: {source}")]
    Signal {
        /// The container.
        id: String,
        /// The signal.
        signal: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A container that is not stopped is deleted only by force.
    #[error("cannot delete container {id:?} that is not stopped: {status}")]
    NotStopped {
        /// The container.
        id: String,
        /// What it is.
        status: &'static str,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NotFound(_) => Kind::NotFound,
            Error::InvalidId(_) | Error::InvalidConfig(_) | Error::ParseConfig { .. } | Error::Seccomp(_) => {
                Kind::InvalidParameter
            }
            Error::NoCriu(_) => Kind::Unavailable,
            Error::Cgroup(error) => error.kind(),
            Error::AlreadyExists(_)
            | Error::StartStopped
            | Error::StartRunning
            | Error::NotRunning
            | Error::Paused
            | Error::AlreadyPaused
            | Error::NotPaused
            | Error::NotStopped { .. } => Kind::Conflict,
            _ => Kind::Internal,
        }
    }
}
