//! What can go wrong with an archive.

use hull_errors::{HasKind, Kind};
use rustix::io::Errno;
use std::io;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an archive could not be read, made or applied. Names of entries are shown lossily: they are bytes of a
/// stranger's choice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream does not hold what a tar stream must hold.
    #[error("invalid tar header at byte {offset}: {reason}")]
    Malformed {
        /// Where the header begins in the uncompressed stream.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream could not be read to its end.
    #[error("cannot read the archive: {0}")]
    Read(#[source] io::Error),
    /// The archive could not be written.
    #[error("cannot write the archive: {0}")]
    Write(#[source] io::Error),
    /// An entry's name or link points out of the tree.
    #[error("{name:?} is outside of the extraction root")]
    Breakout {
        /// The entry's name.
        name: String,
    },
    /// The entry is of a kind that can't be extracted.
    #[error("cannot extract {name:?}: {reason}")]
    Unsupported {
        /// The entry's name.
        name: String,
        /// Which kind, and why not.
        reason: String,
    },
    /// A system call on a path inside the tree failed.
    #[error("{act} {path}: {}", text_of(*source))]
    Path {
        /// What was done, as a verb: `open`, `mkdir`.
        act: &'static str,
        /// The path inside the tree.
        path: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The contents of a file inside the tree could not be read or written.
    #[error("{act} {path}: {source}")]
    Contents {
        /// `read` or `write`.
        act: &'static str,
        /// The path inside the tree.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A hard link whose target is not in the same archive.
    #[error("hard link {name:?}: its target {target:?} is not in the archive")]
    LinkTarget {
        /// The link's name.
        name: String,
        /// What it links to.
        target: String,
    },
    /// `noOverwriteDirNonDir` and the two are of different sorts.
    #[error("{0}")]
    Overwrite(String),
    /// The extraction point is something else than a directory.
    #[error("extraction point is not a directory")]
    NotADirectory,
    /// More entries or bytes than allowed.
    #[error("the archive has more than {allowed} {what}")]
    TooMuch {
        /// `entries` or `bytes`.
        what: &'static str,
        /// The limit.
        allowed: u64,
    },
}

impl Error {
    pub(crate) fn path(act: &'static str, path: &[u8], source: Errno) -> Self {
        Self::Path { act, path: format!("/{}", lossy(path).trim_start_matches('/')), source }
    }

    /// The kernel's error number, where one is the cause.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Path { source, .. } => Some(source.raw_os_error()),
            Self::Read(source) | Self::Write(source) | Self::Contents { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Malformed { .. }
            | Self::Breakout { .. }
            | Self::Unsupported { .. }
            | Self::LinkTarget { .. }
            | Self::Overwrite(_)
            | Self::NotADirectory
            | Self::TooMuch { .. } => Kind::InvalidParameter,
            Self::Path { source: Errno::NOENT | Errno::NOTDIR, .. } => Kind::NotFound,
            Self::Path { source: Errno::ROFS, .. } => Kind::Forbidden,
            _ => Kind::Internal,
        }
    }
}

// As Go's syscall.Errno prints the ones that clients see; others in the C library's words.
fn text_of(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "no such file or directory".into(),
        Errno::NOTDIR => "not a directory".into(),
        Errno::EXIST => "file exists".into(),
        Errno::ISDIR => "is a directory".into(),
        Errno::ROFS => "read-only file system".into(),
        Errno::NOSPC => "no space left on device".into(),
        Errno::PERM => "operation not permitted".into(),
        Errno::LOOP => "too many levels of symbolic links".into(),
        other => io::Error::from(other).to_string(),
    }
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
