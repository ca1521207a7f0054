//! What can be wrong with bake files.

use hull_errors::{HasKind, Kind};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A bake file, or what was asked of it, is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not what its name says.
    #[error("failed to parse {file}: {cause}")]
    Parse {
        /// The file.
        file: String,
        /// Why, with its line where the reader knows it.
        cause: String,
    },
    /// An expression has no value.
    #[error("{place}: {cause}")]
    Evaluate {
        /// Where it stands: a block and its attribute.
        place: String,
        /// Why.
        cause: String,
    },
    /// A name of a target that does not exist.
    #[error("failed to find target {0}")]
    NoTarget(String),
    /// A pattern that no target fits.
    #[error("could not find any target matching '{0}'")]
    NoMatch(String),
    /// A `--set` that can't be read.
    #[error("{0}")]
    Override(String),
    /// Targets that refer to themselves or to each other in a circle.
    #[error("{0}")]
    Circle(String),
    /// A name that no target or group may have.
    #[error("invalid target name {name:?}: {cause}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        cause: &'static str,
    },
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoTarget(_) | Self::NoMatch(_) => Kind::NotFound,
            _ => Kind::InvalidParameter,
        }
    }
}

/// Sets the place of an expression's failure, for `map_err`.
pub(crate) fn at(place: impl std::fmt::Display) -> impl FnOnce(String) -> Error {
    move |cause| Error::Evaluate { place: place.to_string(), cause }
}
