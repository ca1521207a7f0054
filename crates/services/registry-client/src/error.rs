//! What can go wrong between Hull and a registry, in Docker's words where clients match on them.

use hull_errors::{HasKind, Kind};
use std::path::PathBuf;
use std::time::Duration;

/// A failed act of the registry client.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry could not be reached, or the connection broke.
    #[error("{method} \"{url}\": {cause}")]
    Transport {
        /// `Get`, `Head`, `Post`, `Put` or `Patch`.
        method: &'static str,
        /// What was asked for.
        url: String,
        /// The innermost cause, in the words of Go's net package for the common ones.
        cause: String,
        /// Whether the peer speaks no TLS or none that can be verified, as opposed to being unreachable.
        tls: bool,
    },
    /// The registry wants a user name and password, and there are none.
    #[error("{method} \"{url}\": no basic auth credentials")]
    NoBasicCredentials {
        /// `Get` or `Head`.
        method: &'static str,
        /// What was asked for.
        url: String,
    },
    /// The repository does not exist, or may not be seen with these credentials: registries do not tell which.
    #[error(
        "pull access denied for {repository}, repository does not exist or may require 'docker login': {cause}"
    )]
    Denied {
        /// The repository's familiar name.
        repository: String,
        /// The registry's own words.
        cause: String,
    },
    /// The repository may not be written to.
    #[error("{0}")]
    PushDenied(String),
    /// The repository has no such tag or digest.
    #[error("manifest for {reference} not found: {cause}")]
    ManifestUnknown {
        /// The familiar name.
        reference: String,
        /// The registry's own words.
        cause: String,
    },
    /// The registry has no such repository.
    #[error("repository {repository} not found: {cause}")]
    NameUnknown {
        /// The repository's familiar name.
        repository: String,
        /// The registry's own words.
        cause: String,
    },
    /// The credentials are missing or wrong.
    #[error("{0}")]
    Unauthorized(String),
    /// What is at an address can't be had.
    #[error("failed to fetch {url}: status code {status}")]
    Fetch {
        /// The address.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// No address of the web.
    #[error("{0:?} is no http or https address")]
    Address(String),
    /// Credentials would have to go where they must not.
    #[error(
        "refusing to send credentials for {registry} to token server {realm}: it is neither on https nor on the registry's own host"
    )]
    Realm {
        /// The registry's host.
        registry: String,
        /// Where it points to.
        realm: String,
    },
    /// A redirect that leads from https to http, to no URL, or in circles.
    #[error("{method} \"{url}\": refusing redirect to {target:?}")]
    Redirect {
        /// `Get` or `Head`.
        method: &'static str,
        /// What was asked for.
        url: String,
        /// Where it led.
        target: String,
    },
    /// An answer that the protocol does not foresee here.
    #[error("{cause}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The registry's words, or the status in words.
        cause: String,
        /// When the registry says to come back.
        retry_after: Option<Duration>,
    },
    /// What came back is no manifest, token or error document, or is too large for one.
    #[error("invalid answer from {url}: {cause}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A registry's name or a mirror's URL is no place to connect to.
    #[error("invalid registry endpoint {0:?}")]
    Endpoint(String),
    /// A `hosts.toml` that says nothing that can be followed.
    #[error("read {path}: {cause}", path = path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Certificates for a registry could not be used.
    #[error("load certificates for registry from {path}: {cause}", path = path.display())]
    Certificates {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// No HTTP client could be made.
    #[error("prepare TLS for registry {host}: {cause} (is the package ca-certificates installed?)")]
    Client {
        /// The registry's host.
        host: String,
        /// Why.
        cause: String,
    },
}

impl RegistryError {
    /// Whether the same request may well succeed a moment later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { tls, .. } => !tls,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
    /// When the registry says to come back.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl HasKind for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unauthorized(_) => Kind::Unauthorized,
            Self::PushDenied(_) => Kind::Forbidden,
            Self::Denied { .. } | Self::ManifestUnknown { .. } | Self::NameUnknown { .. } => Kind::NotFound,
            Self::Realm { .. } => Kind::Forbidden,
            Self::Endpoint(_) | Self::Address(_) => Kind::InvalidParameter,
            Self::Fetch { status: 404, .. } => Kind::NotFound,
            // Missing credentials among them: at a 401 Docker's client would ask for a login, where dockerd says 500.
            Self::NoBasicCredentials { .. }
            | Self::Transport { .. }
            | Self::Status { .. }
            | Self::Fetch { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. }
            | Self::Certificates { .. }
            | Self::Hosts { .. }
            | Self::Client { .. } => Kind::Internal,
        }
    }
}

/// The errors document of the distribution specification ("Error Codes"), and what is made of it.
pub(crate) mod codes {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        errors: Vec<Entry>,
        // Token servers answer so.
        #[serde(default)]
        details: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }

    /// The first error's code and, as Go's registry client words it, `code in lower case: message`.
    pub(crate) fn first(body: &[u8]) -> Option<(String, String)> {
        let document: Document = serde_json::from_slice(body).ok()?;
        if let Some(entry) = document.errors.into_iter().next() {
            let words = entry.code.to_lowercase().replace('_', " ");
            // Registries' words go to terminals: no control characters of theirs, and not endlessly many.
            let message: String = entry.message.chars().filter(|c| !c.is_control()).take(1000).collect();
            let message = if message.is_empty() { words.clone() } else { message };
            return Some((entry.code.to_uppercase(), format!("{words}: {message}")));
        }
        let text = document.details.or(document.message)?;
        Some((String::new(), text.chars().filter(|c| !c.is_control()).take(1000).collect()))
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn words_are_the_go_clients() {
            let body =
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
            let (code, text) = super::first(body).unwrap();
            assert_eq!(
                (code.as_str(), text.as_str()),
                ("MANIFEST_UNKNOWN", "manifest unknown: manifest unknown")
            );
            assert!(super::first(b"<html>").is_none());
            let evil = br#"{"errors":[{"code":"X","message":"a\u001b[2Jb"}]}"#;
            assert_eq!(super::first(evil).unwrap().1, "x: a[2Jb");
        }
    }
}
