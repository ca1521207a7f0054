//! What can go wrong with a build, in Docker's words where clients match on them.

use hull_dockerfile::{ParseError, Span};
use hull_errors::{HasKind, Kind};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile can't be read.
    #[error("{error}")]
    Parse {
        /// What is wrong, and where.
        error: ParseError,
        /// The lines around it.
        excerpt: String,
    },
    /// The request or the Dockerfile asks for something impossible.
    #[error("{0}")]
    Invalid(String),
    /// Something that is named is not there.
    #[error("{0}")]
    NotFound(String),
    /// Hull does not do this.
    #[error("{0}")]
    NotImplemented(String),
    /// A command of a RUN step ended badly.
    #[error("The command '{command}' returned a non-zero code: {code}")]
    Command {
        /// The words, as run.
        command: String,
        /// How it ended.
        code: i64,
        /// An image of what it left, where that was asked for.
        image: Option<hull_types::Digest>,
    },
    /// A step failed.
    #[error("{source}")]
    Step {
        /// The Dockerfile's name.
        file: String,
        /// Its lines.
        span: Span,
        /// The step's text.
        text: String,
        /// Why.
        source: Box<Error>,
    },
    /// The client went away.
    #[error("context canceled")]
    Cancelled,
    /// Reading or writing failed.
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
}

impl Error {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
    pub(crate) fn json(error: serde_json::Error) -> Self {
        Self::Invalid(format!("invalid document: {error}"))
    }
    pub(crate) fn service(error: impl HasKind) -> Self {
        Self::Service(Box::new(error))
    }
}

macro_rules! from_service {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::service(error)
            }
        }
    )*};
}

from_service!(
    hull_image::ImageError,
    hull_container::Error,
    hull_snapshot::Error,
    hull_store::Error,
    hull_archive::Error
);

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse { .. } | Self::Invalid(_) => Kind::InvalidParameter,
            Self::NotFound(_) => Kind::NotFound,
            Self::NotImplemented(_) => Kind::NotImplemented,
            Self::Command { .. } => Kind::InvalidParameter,
            Self::Step { source, .. } => source.kind(),
            Self::Cancelled => Kind::Cancelled,
            Self::Io { .. } => Kind::Internal,
            Self::Service(error) => error.kind(),
        }
    }
}
