//! Why a profile is no filter.

use hull_errors::{HasKind, Kind};
use hull_types::document::Malformed;

/// Why a profile cannot be made into a filter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile's text is no profile.
    #[error("decoding seccomp profile failed: {0}")]
    Decode(#[source] Malformed),
    /// A field that every profile, or every rule, must have.
    #[error("decoding seccomp profile failed: missing field `{0}`")]
    Missing(&'static str),
    /// Two ways of naming architectures at once.
    #[error(
        "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'"
    )]
    ArchitecturesTwice,
    /// Two ways of naming system calls at once.
    #[error("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'")]
    NamesTwice,
    /// An action that the specification does not have.
    #[error("seccomp: invalid action {0:?}")]
    UnknownAction(String),
    /// An operator that the specification does not have.
    #[error("seccomp: invalid comparison operator {0:?}")]
    UnknownOperator(String),
    /// An architecture that the specification does not have.
    #[error("seccomp: invalid architecture {0:?}")]
    UnknownArchitecture(String),
    /// A loading flag that the specification does not have.
    #[error("seccomp: seccomp flag {0:?} not supported")]
    UnknownFlag(String),
    /// System calls have six arguments.
    #[error("seccomp: rule for {name} looks at argument {index}; system calls have arguments 0 to 5")]
    ArgumentIndex {
        /// The system call.
        name: String,
        /// The index.
        index: u32,
    },
    /// The kernel takes at most 4096 instructions.
    #[error("seccomp: the profile needs {0} instructions; the kernel takes at most 4096")]
    TooLong(usize),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl HasKind for Error {
    fn kind(&self) -> Kind {
        // Every one of them is the profile's fault.
        Kind::InvalidParameter
    }
}
