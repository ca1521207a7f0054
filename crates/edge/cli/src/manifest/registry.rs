//! What a registry knows of a name, asked directly.

use super::full;
use super::store::Image;
use crate::credentials;
use crate::failure::Failure;
use crate::session::Session;
use futures::TryStreamExt;
use hull_registry_client::{Auth, Config, MANIFEST_LIMIT, Proxies, Registry, RegistryError, Repository};
use hull_types::oci::image::{Descriptor, ImageConfig, Index, Manifest, media_type};
use hull_types::{ImageRef, Platform};
use std::path::Path;

/// What a name stands for.
pub enum Found {
    /// One image.
    Image(Box<Image>),
    /// Images for several platforms.
    List(Vec<Image>),
}

/// Access to the registry of `name`; `insecure` lets it be spoken to by http.
pub fn access(name: &ImageRef, insecure: bool) -> Registry {
    let own = Path::new("/etc/hull/certs.d");
    let certificates = if own.exists() { own } else { Path::new("/etc/docker/certs.d") };
    let listed = if insecure { vec![name.domain().to_owned()] } else { Vec::new() };
    Registry::new(Config {
        insecure: listed,
        certs_dir: Some(certificates.into()),
        user_agent: format!("hull/{}", env!("CARGO_PKG_VERSION")),
        proxies: Proxies::from_environment(),
        ..Config::default()
    })
}

/// The login for the registry of `name`.
pub fn login(session: &Session, name: &ImageRef) -> Result<Option<Auth>, Failure> {
    let found = credentials::find(session.config(), name.domain())?;
    Ok(found.map(|auth| Auth {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identitytoken,
        registry_token: auth.registrytoken,
    }))
}

/// Asks what `name` stands for.
pub async fn find(session: &Session, name: &ImageRef, insecure: bool) -> Result<Found, Failure> {
    let repository = access(name, insecure).repository(name, login(session, name)?);
    let resolved = repository.resolve(name).await.map_err(|error| said(name, error))?;
    let (descriptor, document) = match resolved.document {
        Some(document) => (resolved.descriptor, document),
        None => {
            let digest = resolved.descriptor.digest;
            repository.manifest(&digest).await.map_err(|error| said(name, error))?
        }
    };
    if ![media_type::OCI_INDEX, media_type::DOCKER_INDEX].contains(&descriptor.media_type.as_str()) {
        return Ok(Found::Image(Box::new(image(&repository, name, descriptor, &document).await?)));
    }
    let index: Index = serde_json::from_slice(&document)
        .map_err(|error| Failure::new(format!("{}: invalid manifest list: {error}", full(name))))?;
    let mut images = Vec::new();
    for entry in index.manifests {
        let (served, document) =
            repository.manifest(&entry.digest).await.map_err(|error| said(name, error))?;
        let by_digest = name.with_digest(entry.digest.clone());
        let descriptor = Descriptor { platform: entry.platform, annotations: entry.annotations, ..served };
        images.push(Image::new(&by_digest, descriptor, &document)?);
    }
    Ok(Found::List(images))
}

/// The one image that `name` stands for.
pub async fn find_image(session: &Session, name: &ImageRef, insecure: bool) -> Result<Image, Failure> {
    match find(session, name, insecure).await? {
        Found::Image(image) => Ok(*image),
        Found::List(_) => Err(Failure::new(format!("{} is a manifest list", full(name)))),
    }
}

// An image alone says what it is for in its configuration.
async fn image(
    repository: &Repository,
    name: &ImageRef,
    mut descriptor: Descriptor,
    document: &[u8],
) -> Result<Image, Failure> {
    let wrong = |cause: String| Failure::new(format!("{}: {cause}", full(name)));
    let manifest: Manifest = serde_json::from_slice(document)
        .map_err(|_| wrong(format!("unsupported manifest format {:?}", descriptor.media_type)))?;
    let mut text = Vec::new();
    let mut blob = repository.blob(&manifest.config, 0).await.map_err(|error| said(name, error))?;
    while let Some(piece) = blob.stream.try_next().await.map_err(|error| said(name, error))? {
        if (text.len() + piece.len()) as u64 > MANIFEST_LIMIT {
            return Err(wrong("its configuration is too large".into()));
        }
        text.extend_from_slice(&piece);
    }
    let digest = hash(&text);
    if digest != manifest.config.digest.as_str() && manifest.config.digest.algorithm() == "sha256" {
        return Err(wrong(format!("its configuration is {digest}, not {}", manifest.config.digest)));
    }
    let config: ImageConfig = serde_json::from_slice(&text).unwrap_or_default();
    descriptor.platform = Some(config.platform()).filter(|platform| *platform != Platform::default());
    Image::new(name, descriptor, document)
}

fn hash(text: &[u8]) -> String {
    let raw = ring::digest::digest(&ring::digest::SHA256, text);
    let hex: String = raw.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A registry's refusal, in the words of Docker's manifest commands where there is no such name.
pub fn said(name: &ImageRef, error: RegistryError) -> Failure {
    match error {
        RegistryError::ManifestUnknown { .. } | RegistryError::NameUnknown { .. } => {
            Failure::new(format!("no such manifest: {}", full(name)))
        }
        other => Failure::new(other.to_string()),
    }
}
