//! What can go wrong with a task.

use std::io;
use std::path::{Path, PathBuf};

use hull_errors::{HasKind, Kind};

use crate::protocol::{Exit, Failure, FailureKind};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a task could not be made, reached or told to do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shim's socket could not be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shim could not be started.
    #[error("cannot start the shim {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The container could not be created.
    #[error("failed to create task for container: {message}")]
    Create {
        /// The container's id.
        id: String,
        /// In the runtime's words, which name what is missing.
        message: String,
    },
    /// The shim's socket could not be connected to.
    #[error("cannot connect to the shim at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No shim runs there.
    #[error("no shim runs for {}", bundle.display())]
    Gone {
        /// The bundle.
        bundle: PathBuf,
        /// How the container ended, if that was recorded.
        exit: Option<Exit>,
    },
    /// The shim ended before it answered.
    #[error("the shim of {} is gone", bundle.display())]
    Closed {
        /// The bundle.
        bundle: PathBuf,
    },
    /// The shim, the runtime or the kernel refused.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// There is no such exec.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// The shim said something that makes no sense here.
    #[error("the shim of {} answered {message}", bundle.display())]
    Protocol {
        /// The bundle.
        bundle: PathBuf,
        /// What it said.
        message: String,
    },
    /// The record of the exit could not be read.
    #[error("cannot read {}: {source}", path.display())]
    ReadExit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a killed shim left could not be removed.
    #[error("cannot remove what is left of container {id}: {message}")]
    RemoveLeftovers {
        /// The container's id.
        id: String,
        /// In the runtime's words.
        message: String,
    },
}

impl Error {
    pub(crate) fn protocol(bundle: &Path, message: impl ToString) -> Self {
        Self::Protocol { bundle: bundle.into(), message: message.to_string() }
    }
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Gone { .. } | Self::Closed { .. } => Kind::Conflict,
            Self::NoSuchExec(_) => Kind::NotFound,
            Self::Refused(failure) => match failure.kind {
                FailureKind::NotFound => Kind::NotFound,
                FailureKind::Conflict => Kind::Conflict,
                FailureKind::Invalid => Kind::InvalidParameter,
                FailureKind::Failed => Kind::Internal,
            },
            _ => Kind::Internal,
        }
    }
}
