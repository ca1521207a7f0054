//! Errors of the client. The texts of [`Error::Api`] and [`Error::Unreachable`] are Docker's: tools match on them.

use std::io;

/// What a call gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine answered with an error.
    #[error("Error response from daemon: {message}")]
    Api {
        /// The HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// Nothing listens there.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Unreachable {
        /// The address as it was given.
        host: String,
        /// What connecting failed with.
        #[source]
        source: io::Error,
    },
    /// The socket is there, but not for us.
    #[error("permission denied while trying to connect to the Docker daemon socket at {host}: {source}")]
    Denied {
        /// The address as it was given.
        host: String,
        /// What connecting failed with.
        #[source]
        source: io::Error,
    },
    /// The address could not be used for another reason: a name that doesn't resolve, a TLS handshake.
    #[error("error during connect: {host}: {source}")]
    Connect {
        /// The address as it was given.
        host: String,
        /// What connecting failed with.
        #[source]
        source: io::Error,
    },
    /// The certificates could not be read or are wrong.
    #[error("unable to load TLS material {path}: {reason}")]
    Tls {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection broke, or what came over it was no HTTP.
    #[error("error during {method} {path}: {}", chain(source))]
    Transport {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// What hyper says.
        #[source]
        source: hyper::Error,
    },
    /// Reading or writing a stream failed.
    #[error("error during {act}: {source}")]
    Stream {
        /// What was being done.
        act: &'static str,
        /// What it failed with.
        #[source]
        source: io::Error,
    },
    /// The answer is not of the form that the API promises.
    #[error("error decoding the engine's answer to {path}: {source}")]
    Decode {
        /// The request's path.
        path: String,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
    /// The engine sent a message of the type `systemerr` in a stream.
    #[error("error from daemon in stream: {0}")]
    InStream(String),
    /// The request could not be built: a header or a path with forbidden characters.
    #[error("cannot build the request {path}: {reason}")]
    Request {
        /// The request's path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine didn't hand its connection over.
    #[error("unable to upgrade to tcp, received {status}")]
    NotUpgraded {
        /// The HTTP status it answered with instead.
        status: u16,
    },
}

/// An error with those that caused it: hyper's own words are seldom the reason.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl Error {
    /// The engine's HTTP status, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Api { status, .. } => Some(*status),
            _ => None,
        }
    }
    /// Whether the engine says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
    /// Whether no engine could be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Unreachable { .. })
    }
    /// Sorts the failure of a connection attempt.
    pub(crate) fn connecting(host: &str, source: io::Error) -> Self {
        let host = host.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut => {
                Error::Unreachable { host, source }
            }
            io::ErrorKind::PermissionDenied => Error::Denied { host, source },
            _ => Error::Connect { host, source },
        }
    }
}
