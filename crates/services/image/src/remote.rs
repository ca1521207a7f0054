//! Documents and blobs of a repository that are no image: a build cache's.

use crate::Images;
use crate::auth;
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use hull_api_types::AuthConfig;
use hull_content::Hasher;
use hull_registry_client::Repository;
use hull_types::oci::image::Descriptor;
use hull_types::{Digest, ImageRef, Platform};
use std::io::Write;

/// A repository to read from.
#[derive(Clone)]
pub struct Remote {
    repository: Repository,
    reference: ImageRef,
}

impl Images {
    /// The repository of a name.
    pub fn remote(&self, reference: &ImageRef, auth: Option<&AuthConfig>) -> Result<Remote> {
        let auth = auth.map(auth::credentials).transpose()?;
        let reference = reference.clone().or_latest();
        Ok(Remote { repository: self.registry().repository(&reference, auth), reference })
    }

    /// The name with the digest of the manifest that serves `platform`: pulled by it, an image for another machine
    /// leaves the tag with the one for this machine.
    pub async fn pinned(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        auth: Option<&AuthConfig>,
    ) -> Result<ImageRef> {
        let (root, text) = self.remote(reference, auth)?.root().await?;
        let digest = match documents::parse(&reference.familiar(), &root.media_type, &text)? {
            Document::Manifest(_) => root.digest,
            Document::Index(index) => documents::choose(&index, platform)?.digest.clone(),
        };
        Ok(reference.with_digest(digest))
    }
}

impl Remote {
    /// The document that the name stands for.
    pub async fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        let resolved = self.repository.resolve(&self.reference).await?;
        match resolved.document {
            Some(document) => Ok((resolved.descriptor, document)),
            None => self.document(&resolved.descriptor.digest).await,
        }
    }

    /// A manifest or index, verified.
    pub async fn document(&self, digest: &Digest) -> Result<(Descriptor, Vec<u8>)> {
        Ok(self.repository.manifest(digest).await?)
    }

    /// Writes a blob, verified: an error means that what was written is not it.
    pub async fn blob(&self, wanted: &Descriptor, to: &mut (dyn Write + Send)) -> Result<()> {
        let mut blob = self.repository.blob(wanted, 0).await?;
        let mut hasher = Hasher::like(Some(&wanted.digest));
        let wrong = |cause: String| ImageError::Layer { digest: wanted.digest.clone(), cause };
        let mut size = 0u64;
        while let Some(piece) = futures::StreamExt::next(&mut blob.stream).await {
            let piece = piece?;
            size += piece.len() as u64;
            if size > wanted.size {
                return Err(wrong(format!("it has more than the {} bytes described", wanted.size)));
            }
            hasher.update(&piece);
            to.write_all(&piece).map_err(|error| wrong(error.to_string()))?;
        }
        match hasher.finish() {
            found if found == wanted.digest => Ok(()),
            found => Err(wrong(format!("its content is {found}"))),
        }
    }
}
