//! What can go wrong when talking to the kernel.

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a netlink exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be opened, written or read.
    #[error("cannot {act}: netlink: {source}")]
    Socket {
        /// What was being done.
        act: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The kernel refused a request.
    #[error("cannot {act}: {source}{}", explanation.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// What was asked for.
        act: String,
        /// The errno.
        source: std::io::Error,
        /// The kernel's own words, where it gave any.
        explanation: Option<String>,
    },
    /// An answer that does not hold what its lengths claim.
    #[error("cannot {act}: malformed netlink answer")]
    Malformed {
        /// What was being done.
        act: String,
    },
}

impl Error {
    /// The errno of a refused request.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::Socket { source, .. } => source.raw_os_error(),
            Self::Malformed { .. } => None,
        }
    }

    /// Whether the kernel says that it is there already (EEXIST).
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(17)
    }

    /// Whether the kernel says that there is no such thing (ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL).
    pub fn is_missing(&self) -> bool {
        matches!(self.errno(), Some(2 | 3 | 19 | 99))
    }
}
