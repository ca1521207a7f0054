//! Credentials for registries.

use crate::is_default;
use serde::{Deserialize, Serialize};

/// What `X-Registry-Auth` carries (base64url of JSON) and `POST /auth` takes.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub struct AuthConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
    #[serde(skip_serializing_if = "is_default")]
    pub password: String,
    /// base64 of `user:password`.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: String,
    #[serde(skip_serializing_if = "is_default")]
    pub serveraddress: String,
    #[serde(skip_serializing_if = "is_default")]
    pub identitytoken: String,
    #[serde(skip_serializing_if = "is_default")]
    pub registrytoken: String,
}

/// Secrets never reach a log.
impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("serveraddress", &self.serveraddress)
            .finish()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthResponse {
    pub status: String,
    pub identity_token: String,
}
