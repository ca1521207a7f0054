//! `GET /distribution/{name}/json`: what a name stands for at its registry.

use crate::request::Call;
use crate::response::Outcome;
use crate::router::Router;
use crate::status::Failure;
use base64::Engine;
use futures::TryStreamExt;
use hull_api_types::AuthConfig;
use hull_registry_client::{Auth, MANIFEST_LIMIT, Registry, Repository};
use hull_types::oci::image::{Descriptor, ImageConfig, Index, Manifest};
use hull_types::{ImageRef, Platform};
use serde_json::json;

pub fn register(router: &mut Router, registry: &Registry) {
    router.add("GET /distribution/{name:.*}/json", registry, inspect);
}

async fn inspect(registry: Registry, call: Call) -> Outcome {
    let reference: ImageRef = call
        .name()
        .parse()
        .map_err(|error: hull_types::ImageRefError| Failure::invalid(error.to_string()))?;
    let reference = reference.or_latest();
    let repository = registry.repository(&reference, call.registry_auth().map(credentials));
    let resolved = repository.resolve(&reference).await?;
    let document = match resolved.document {
        Some(document) => document,
        None => repository.manifest(&resolved.descriptor.digest).await?.1,
    };
    let platforms = platforms(&repository, &document).await?;
    let Descriptor { media_type, digest, size, .. } = resolved.descriptor;
    let descriptor = json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size });
    call.shape().json(&json!({ "Descriptor": descriptor, "Platforms": platforms }))
}

async fn platforms(repository: &Repository, document: &[u8]) -> Result<Vec<Platform>, Failure> {
    if let Ok(index) = serde_json::from_slice::<Index>(document) {
        return Ok(index.manifests.into_iter().filter_map(|manifest| manifest.platform).collect());
    }
    let manifest: Manifest = serde_json::from_slice(document)
        .map_err(|error| Failure::internal(format!("unknown manifest: {error}")))?;
    if manifest.config.size > MANIFEST_LIMIT {
        return Err(Failure::internal(format!(
            "image configuration {} is too large",
            manifest.config.digest
        )));
    }
    let mut bytes = Vec::new();
    let mut blob = repository.blob(&manifest.config, 0).await?;
    while let Some(piece) = blob.stream.try_next().await? {
        if (bytes.len() + piece.len()) as u64 > MANIFEST_LIMIT {
            return Err(Failure::internal(format!(
                "image configuration {} is too large",
                manifest.config.digest
            )));
        }
        bytes.extend_from_slice(&piece);
    }
    let config: ImageConfig = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::internal(format!("unknown image configuration: {error}")))?;
    let ImageConfig { architecture, os, variant, .. } = config;
    Ok(vec![Platform { architecture, os, variant, ..Platform::default() }])
}

pub(super) fn credentials(auth: AuthConfig) -> Auth {
    let engine = base64::engine::general_purpose::STANDARD;
    let joined =
        engine.decode(&auth.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (username, password) = match joined.split_once(':') {
        Some((username, password)) if auth.username.is_empty() => (username.to_owned(), password.to_owned()),
        _ => (auth.username, auth.password),
    };
    Auth { username, password, identity_token: auth.identitytoken, registry_token: auth.registrytoken }
}
