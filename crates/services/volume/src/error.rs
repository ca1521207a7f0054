//! What can go wrong with volumes. The texts are Docker's where its clients show or match them.

use hull_errors::{HasKind, Kind};
use std::io;
use std::path::PathBuf;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a volume could not be made, found, used or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No volume of that name.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// A character that a volume's name can't have.
    #[error(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A name of one character.
    #[error("create {0}: volume name is too short, names should be at least two alphanumeric characters")]
    ShortName(String),
    /// A volume of that name is there.
    #[error("create {0}: a volume by this name exists with files of its own")]
    Exists(String),
    /// Containers use the volume.
    #[error("{act} {name}: volume is in use - [{}]", users.join(", "))]
    InUse {
        /// `remove` or `rename`.
        act: &'static str,
        /// The volume.
        name: String,
        /// The containers' ids.
        users: Vec<String>,
    },
    /// Only the `local` driver exists.
    #[error("create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found")]
    Driver {
        /// The volume.
        name: String,
        /// The driver asked for.
        driver: String,
    },
    /// Options of the local driver that don't make a mount.
    #[error("create {name}: {reason}")]
    Options {
        /// The volume.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A filter that `docker volume ls` or `prune` does not have, or a value it can't have.
    #[error("invalid filter '{0}'")]
    Filter(String),
    /// A filter's value that is none.
    #[error("invalid filter '{key}=[{value}]'")]
    FilterValue {
        /// The filter.
        key: String,
        /// Its value.
        value: String,
    },
    /// Its file system could not be mounted; the words are Docker's.
    #[error("error while mounting volume '{}': {reason}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What can't be done with this volume.
    #[error("{0}")]
    Refused(String),
    /// An archive that is none, or that nobody takes.
    #[error("{act} {name}: {reason}")]
    Archive {
        /// What was done.
        act: &'static str,
        /// The volume.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The files could not be read or written.
    #[error("cannot {act} volume {name}: {source}")]
    Transfer {
        /// What was done.
        act: &'static str,
        /// The volume.
        name: String,
        /// Why.
        source: hull_archive::Error,
    },
    /// The record could not be read or written.
    #[error("volume store: {0}")]
    Store(#[from] hull_store::Error),
    /// A directory could not be made, read or removed.
    #[error("cannot {act} {}: {source}", path.display())]
    Path {
        /// What was done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image's content could not be copied into the volume.
    #[error("cannot copy {} into volume {name}: {source}", path.display())]
    CopyUp {
        /// The volume.
        name: String,
        /// The path in the container.
        path: PathBuf,
        /// Why.
        source: hull_archive::Error,
    },
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::Driver { .. } => Kind::NotFound,
            Self::Transfer { source, .. } => source.kind(),
            Self::Name { .. }
            | Self::Archive { .. }
            | Self::ShortName(_)
            | Self::Options { .. }
            | Self::Filter(_)
            | Self::FilterValue { .. } => Kind::InvalidParameter,
            Self::Exists(_) | Self::InUse { .. } | Self::Refused(_) => Kind::Conflict,
            _ => Kind::Internal,
        }
    }
}
