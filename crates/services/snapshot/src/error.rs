//! What can go wrong with snapshots.

use hull_errors::{HasKind, Kind};
use hull_types::ChainId;
use std::io;
use std::path::PathBuf;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the driver could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory of the driver's could not be opened or prepared.
    #[error("cannot open the snapshots at {}: {source}", path.display())]
    Open {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No layer of that chain.
    #[error("layer {} does not exist", .0.0)]
    NoLayer(ChainId),
    /// No snapshot of that key.
    #[error("snapshot {0} does not exist")]
    NoSnapshot(String),
    /// There is a snapshot of that key already.
    #[error("snapshot {0} exists already")]
    Exists(String),
    /// A key that can't be a file name.
    #[error("{0:?} is no snapshot key: 1 to 128 of a-z A-Z 0-9 _ . -, not beginning with a dot")]
    Key(String),
    /// Something still stands on the layer.
    #[error("layer {} is in use by {by}", layer.0)]
    InUse {
        /// The layer.
        layer: ChainId,
        /// Another layer's chain or a snapshot's key.
        by: String,
    },
    /// The layer's archive could not be applied.
    #[error("failed to register layer {layer}: {source}")]
    Apply {
        /// The layer.
        layer: String,
        /// Why.
        source: hull_archive::Error,
    },
    /// The changes of a snapshot could not be found out.
    #[error("cannot compare snapshot {key} with its layers: {source}")]
    Changes {
        /// The snapshot.
        key: String,
        /// Why.
        source: hull_archive::Error,
    },
    /// What a snapshot changes could not be written as a layer.
    #[error("cannot make a layer of snapshot {key}: {source}")]
    Diff {
        /// The snapshot.
        key: String,
        /// Why.
        source: hull_archive::Error,
    },
    /// A layer's directories could not get the attributes of those beneath.
    #[error("cannot fit the layer {} to the ones beneath: {source}", path.display())]
    Settle {
        /// Its directory.
        path: PathBuf,
        /// Why.
        source: hull_archive::Error,
    },
    /// A file or directory could not be made, read, written, renamed or removed.
    #[error("cannot {act} {}: {source}", path.display())]
    Path {
        /// What was done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoLayer(_) | Self::NoSnapshot(_) => Kind::NotFound,
            Self::Exists(_) | Self::InUse { .. } => Kind::Conflict,
            Self::Key(_) => Kind::InvalidParameter,
            Self::Apply { source, .. } | Self::Diff { source, .. } => match source.kind() {
                Kind::InvalidParameter => Kind::InvalidParameter,
                _ => Kind::Internal,
            },
            _ => Kind::Internal,
        }
    }
}
