//! What can go wrong with a log.

use std::path::PathBuf;

use hull_errors::{HasKind, Kind};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file could not be opened.
    #[error("cannot open the log {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Entries could not be written.
    #[error("cannot write to the log {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A full file could not be put aside.
    #[error("cannot rotate the log {}: {source}", path.display())]
    Rotate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log could not be read.
    #[error("cannot read the log {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Changes of the log could not be watched.
    #[error("cannot follow the log {}: {source}", path.display())]
    Follow {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such log driver here. Docker's text.
    #[error("logger: no log driver named '{0}' is registered")]
    UnknownDriver(String),
    /// The driver does not have such an option. Docker's text.
    #[error("unknown log opt '{option}' for {driver} log driver")]
    UnknownOption {
        /// The option.
        option: String,
        /// The driver.
        driver: &'static str,
    },
    /// An option's value makes no sense. Docker's text where it has one.
    #[error("{0}")]
    InvalidOption(String),
    /// The driver writes nothing that could be read. Docker's text.
    #[error("configured logging driver does not support reading")]
    NotReadable,
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownDriver(_) | Self::UnknownOption { .. } | Self::InvalidOption(_) => {
                Kind::InvalidParameter
            }
            // Docker answers 501 to logs of a container without a readable driver.
            Self::NotReadable => Kind::NotImplemented,
            _ => Kind::Internal,
        }
    }
}
