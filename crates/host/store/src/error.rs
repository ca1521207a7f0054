//! What can go wrong with the store.

use std::path::PathBuf;

use hull_errors::{HasKind, Kind};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the store open.
    #[error("the store {} is in use by another process: one daemon per data root", path.display())]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The store was written by a newer Hull.
    #[error(
        "the store {} has schema version {found}, this Hull knows up to {known}: it was written by a newer Hull, \
         use that one",
        path.display()
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The lock file could not be opened or locked, or the store's mode not be set.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database could not be opened or prepared.
    #[error("cannot open the store {}: {source}", path.display())]
    Open {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Rows could not be read.
    #[error("cannot read {key:?} of table {table}: {source}")]
    Read {
        /// The table.
        table: &'static str,
        /// The row's key; `*` when the whole table was listed.
        key: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row could not be written or removed.
    #[error("cannot write {key:?} of table {table}: {source}")]
    Write {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// A value has no JSON form.
    #[error("cannot write {key:?} of table {table} as JSON: {source}")]
    Encode {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The row is there, but does not parse.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The transaction could not be begun or committed; nothing of it was done.
    #[error("cannot commit to the store {}: {source}", path.display())]
    Commit {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse { .. } => Kind::Conflict,
            _ => Kind::Internal,
        }
    }
}

/// A row that is there but is not what its table holds. It is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {key:?} of table {table} is damaged: {reason}")]
pub struct Damaged {
    /// The table.
    pub table: &'static str,
    /// The row's key.
    pub key: String,
    /// The row's text, as stored.
    pub text: String,
    /// What does not parse.
    pub reason: String,
}
