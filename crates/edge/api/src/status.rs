//! Error kinds become HTTP statuses here, and nowhere else.

use hull_errors::{HasKind, Kind};
use hyper::StatusCode;
use std::error::Error;

/// The status that tells a client of this kind of error.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::InvalidParameter => StatusCode::BAD_REQUEST,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Cancelled | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A request that failed: what its client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, hence the status.
    pub kind: Kind,
    /// The text.
    pub message: String,
}

impl Failure {
    /// A failure of this kind with this text.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, message)
    }
    /// Hull's own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }
}

impl<E: HasKind> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.kind(), text_of(&error))
    }
}

/// The error's text and those of its causes, each once: crates differ in whether they show their cause.
pub fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open {path}")]
    struct Open {
        path: &'static str,
        #[source]
        source: std::io::Error,
    }
    impl HasKind for Open {
        fn kind(&self) -> Kind {
            Kind::NotFound
        }
    }

    #[test]
    fn texts_have_their_causes_once() {
        let failure = Failure::from(Open { path: "/x", source: std::io::Error::other("gone") });
        assert_eq!(failure, Failure::new(Kind::NotFound, "open /x: gone"));
        assert_eq!(status_of(failure.kind), StatusCode::NOT_FOUND);
    }
}
