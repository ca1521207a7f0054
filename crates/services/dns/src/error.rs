//! Why there is no resolver.

use std::io;
use std::path::PathBuf;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a resolver could not be set up, or its files not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A namespace could not be entered.
    #[error("cannot enter the network namespace of process {pid}: {source}")]
    Namespace {
        /// The container's process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// A socket could not be had.
    #[error("cannot listen on 127.0.0.11 for {protocol}: {source}")]
    Listen {
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The packet filter took no rules.
    #[error("cannot send port 53 of 127.0.0.11 to the resolver: {0}")]
    Redirect(#[from] hull_nft::Error),
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is none of the resolver's, or of another version.
    #[error("{}: line {line}: {text:?} is not understood", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}
