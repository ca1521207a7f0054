//! An image as a registry or an archive holds it: manifest, configuration and layer blobs.

use crate::Images;
use crate::catalogue::{Record, ReferenceRow};
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use hull_content::{ContentError, digest_of};
use hull_registry_client::MANIFEST_LIMIT;
use hull_types::Digest;
use hull_types::oci::image::{Descriptor, Manifest, media_type};
use std::collections::BTreeMap;

/// Documents and layers of an image, all of which are blobs here.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// Of the manifest.
    pub(crate) descriptor: Descriptor,
    /// The manifest's text.
    pub(crate) document: Vec<u8>,
    /// The manifest.
    pub(crate) manifest: Manifest,
}

impl Images {
    /// The image in the form in which it goes out: as it came in where all of that is still here, in a manifest made
    /// for it otherwise.
    ///
    /// Everything named is held by the caller's lease, if it protected the row's blobs before.
    pub(crate) fn packed(&self, record: &Record, row: Option<&ReferenceRow>) -> Result<Packed> {
        let found = match row {
            Some(row) => Some(row.manifest.clone()),
            None => Some(self.nameless_row(record).manifest),
        };
        let found = found.filter(|manifest| manifest.media_type != media_type::OCI_CONFIG);
        if let Some(packed) =
            found.map(|descriptor| self.as_it_came(record, descriptor)).transpose()?.flatten()
        {
            return Ok(packed);
        }
        let layers: Result<Vec<Descriptor>> =
            (0..record.row.layers.len()).map(|at| self.plain_layer(record, at)).collect();
        let config = descriptor(media_type::OCI_CONFIG, record.id.clone(), record.row.config_size);
        pack(config, layers?)
    }

    // The manifest of that descriptor, if it is the image's and all its layers are here.
    fn as_it_came(&self, record: &Record, descriptor: Descriptor) -> Result<Option<Packed>> {
        let document = match self.content().read(&descriptor.digest, MANIFEST_LIMIT) {
            Ok(document) => document,
            Err(ContentError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Document::Manifest(manifest) =
            documents::parse(record.id.as_str(), &descriptor.media_type, &document)?
        else {
            return Ok(None);
        };
        let whole = manifest.config.digest == record.id
            && manifest.layers.iter().all(|layer| self.content().has(&layer.digest));
        Ok(whole.then_some(Packed { descriptor, document, manifest: *manifest }))
    }

    // A layer's uncompressed tar as a blob.
    fn plain_layer(&self, record: &Record, at: usize) -> Result<Descriptor> {
        let digest = record.config.rootfs.diff_ids.get(at).map(|id| id.0.clone());
        let digest = digest.ok_or_else(|| ImageError::NotFound(record.id.to_string()))?;
        let size = self.content().size(&digest)?;
        Ok(descriptor(media_type::OCI_LAYER, digest, size))
    }
}

/// An OCI manifest of these parts.
pub(crate) fn pack(config: Descriptor, layers: Vec<Descriptor>) -> Result<Packed> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config,
        layers,
        annotations: BTreeMap::new(),
    };
    let document = to_json(&manifest)?;
    let described = descriptor(media_type::OCI_MANIFEST, digest_of(&document), document.len() as u64);
    Ok(Packed { descriptor: described, document, manifest })
}

/// A descriptor that says type, digest and size alone.
pub(crate) fn descriptor(kind: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: kind.into(),
        digest,
        size,
        urls: Vec::new(),
        annotations: BTreeMap::new(),
        platform: None,
        artifact_type: None,
    }
}

/// A document's text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| ImageError::Task(format!("write a document as JSON: {error}")))
}
