//! What can go wrong with blobs.

use hull_errors::{HasKind, Kind};
use hull_types::Digest;
use std::io;
use std::path::PathBuf;

/// A failed act of the content store.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The layout's directories or marker files could not be made or read.
    #[error("open content store {path}: {source}", path = path.display())]
    Open {
        /// Which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such blob.
    #[error("content {0} not found")]
    NotFound(Digest),
    /// A blob could not be read.
    #[error("read content {digest}: {source}")]
    Read {
        /// Which blob.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A blob is larger than the reader is willing to hold in memory.
    #[error("content {digest} has {size} bytes, which is over the limit of {limit}")]
    TooLarge {
        /// Which blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// What was written or read does not hash to the name it should have.
    #[error("content verification failed: expected {expected}, got {actual}")]
    Mismatch {
        /// The name it should have.
        expected: Digest,
        /// What it hashes to.
        actual: Digest,
    },
    /// A blob could not be written.
    #[error("write content into {path}: {source}", path = path.display())]
    Write {
        /// The file being written.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A blob could not be removed.
    #[error("remove content {digest}: {source}")]
    Remove {
        /// Which blob.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl HasKind for ContentError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::TooLarge { .. } => Kind::InvalidParameter,
            _ => Kind::Internal,
        }
    }
}
