//! What can go wrong with a batch.

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error(transparent)]
    Netlink(#[from] hull_netlink::Error),
    /// The kernel refused a change, and with it the batch.
    #[error("cannot {change}: {source}{}", explanation.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// The change, such as `add rule to chain forward of table hull`.
        change: String,
        /// The errno.
        source: std::io::Error,
        /// The kernel's own words, where it gave any.
        explanation: Option<String>,
    },
    /// The kernel did not say whether it applied the batch.
    #[error("the kernel did not acknowledge the nftables batch")]
    NotAcknowledged,
}

impl Error {
    /// The errno of a refused change.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Netlink(error) => error.errno(),
            Self::Refused { source, .. } => source.raw_os_error(),
            Self::NotAcknowledged => None,
        }
    }
}
