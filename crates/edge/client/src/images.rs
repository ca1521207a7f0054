//! Calls about images that running a container needs.

use crate::{Client, JsonStream, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hull_api_types::{AuthConfig, JsonMessage};
use hyper::Method;

/// What to pull.
#[derive(Debug, Clone, Default)]
pub struct PullQuery {
    /// The repository, as Docker shows it.
    pub repository: String,
    /// Tag or digest; empty for all tags.
    pub tag: String,
    /// A platform other than the engine's.
    pub platform: String,
    /// Credentials for the registry.
    pub auth: Option<AuthConfig>,
}

impl Client {
    /// `POST /images/create`: progress as it comes.
    pub async fn image_pull(&self, pull: &PullQuery) -> Result<JsonStream<JsonMessage>> {
        let call = self.request(Method::POST, "/images/create");
        let call = call.query(|query| {
            query.add("fromImage", &pull.repository).text("platform", &pull.platform).text("tag", &pull.tag);
        });
        let call = call.header("x-registry-auth", &Self::registry_auth(pull.auth.as_ref()));
        Ok(call.send().await?.messages())
    }
    /// The value of the header `X-Registry-Auth`.
    pub fn registry_auth(auth: Option<&AuthConfig>) -> String {
        URL_SAFE
            .encode(auth.map_or_else(|| "{}".into(), |auth| serde_json::to_string(auth).unwrap_or_default()))
    }
}
