//! The kinds of error that Hull's engine tells its callers apart by.
//!
//! Every crate of the engine has an error enum of its own, whose variants name the act that failed; each says
//! which [`Kind`] it is through [`HasKind`]. The edge maps kinds to HTTP statuses in one place
//! (`api/src/status.rs`). This crate must not know HTTP.

/// What sort of failure an error is, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The named object does not exist.
    NotFound,
    /// The request is malformed or asks for something impossible.
    InvalidParameter,
    /// The request clashes with the object's present state.
    Conflict,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The caller may not do this, whatever the credentials.
    Forbidden,
    /// The object already is in the state asked for.
    NotModified,
    /// Something needed (a registry, a swarm, a peer) is not there now.
    Unavailable,
    /// Hull does not have this yet, or never will.
    NotImplemented,
    /// The caller went away or the deadline passed.
    Cancelled,
    /// A fault of Hull's or of the machine's.
    Internal,
}

/// An error that knows its kind.
pub trait HasKind: std::error::Error + Send + Sync + 'static {
    /// The kind, for the caller to act on.
    fn kind(&self) -> Kind;
}
