//! A parcel as an image here.

use super::Parcel;
use crate::documents::{self, Document};
use crate::error::{ImageError, Result};
use crate::make::Making;
use crate::packed::Packed;
use hull_types::oci::image::{Descriptor, ImageConfig};
use hull_types::{Digest, ImageRef};
use std::collections::BTreeSet;

impl Parcel {
    /// Makes an image of the manifest `chosen`, whose configuration is `config`; its names stand for the root, so that
    /// all of the parcel is kept with it, and is what a push sends.
    pub fn keep(
        &self,
        making: &Making,
        chosen: &Descriptor,
        config: &ImageConfig,
        names: &[ImageRef],
    ) -> Result<Digest> {
        let missing = || ImageError::NotFound(chosen.digest.to_string());
        let found = self.documents.iter().find(|(descriptor, _)| descriptor.digest == chosen.digest);
        let (descriptor, document) = found.cloned().ok_or_else(missing)?;
        let Document::Manifest(manifest) = documents::parse("", &descriptor.media_type, &document)? else {
            return Err(missing());
        };
        let id = manifest.config.digest.clone();
        let packed = Packed { descriptor, document, manifest: *manifest };
        let target = self.root().cloned().ok_or_else(missing)?;
        let all = self.documents.iter().map(|(descriptor, _)| descriptor).chain(&self.blobs);
        let all: BTreeSet<Digest> = all.map(|descriptor| descriptor.digest.clone()).collect();
        making.finish(&packed, target, config.clone(), names, all, &mut |_, _| Ok(()))?;
        let record = crate::make::known(&self.images, &id);
        for name in names {
            self.images.event("tag", id.as_str(), &name.familiar(), record.as_deref());
        }
        Ok(id)
    }
}
