//! What can go wrong. Texts that Docker's clients match on are Docker's.

use hull_errors::{HasKind, Kind};

/// The result of the engine's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a container failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container of this name or id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// Several ids begin so.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    /// No such path in a container, which is called as the caller called it.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The path.
        path: String,
        /// The container's name or id.
        container: String,
    },
    /// No exec of this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The container is in a state that forbids it.
    #[error("{0}")]
    Conflict(String),
    /// It already is so.
    #[error("container {0} is already in that state")]
    NotModified(String),
    /// Not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// Something named in the request is not there.
    #[error("{0}")]
    NotFound(String),
    /// Not here.
    #[error("{0}")]
    NotImplemented(String),
    /// The runtime could not create or start the container.
    #[error("{message}")]
    Start {
        /// What Docker would say.
        message: String,
        /// 126, 127 or 128: what the container's exit code becomes.
        exit_code: i64,
    },
    /// Reading or writing something of Hull's own failed.
    #[error("{action}: {source}")]
    Io {
        /// What was done to what.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A service below failed; its text and kind stand.
    #[error("{0}")]
    Service(Box<dyn HasKind>),
    /// The container's supervisor is gone: it was removed meanwhile, or the daemon is leaving.
    #[error("No such container: {0}")]
    Gone(String),
}

impl Error {
    /// The same, with the container called `name`, as the caller called it.
    pub(crate) fn calling(self, name: &str) -> Self {
        match self {
            Self::NoSuchPath { path, .. } => Self::NoSuchPath { path, container: name.to_owned() },
            other => other,
        }
    }

    /// Wraps an error of a service below.
    pub(crate) fn service(error: impl HasKind) -> Self {
        Self::Service(Box::new(error))
    }
    /// Wraps an error of the system.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchPath { .. }
            | Self::NoSuchExec(_)
            | Self::NotFound(_)
            | Self::Gone(_) => Kind::NotFound,
            Self::AmbiguousPrefix(_) | Self::Invalid(_) => Kind::InvalidParameter,
            Self::Conflict(_) => Kind::Conflict,
            Self::NotModified(_) => Kind::NotModified,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::NotImplemented(_) => Kind::NotImplemented,
            Self::Start { exit_code: 126 | 127, .. } => Kind::InvalidParameter,
            Self::Start { .. } | Self::Io { .. } => Kind::Internal,
            Self::Service(error) => error.kind(),
        }
    }
}
